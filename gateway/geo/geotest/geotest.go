// Package geotest writes geo databases for tests, in every schema that the geo
// package reads, from one line a network:
//
//	path := geotest.File(t, geotest.City(t, geotest.Networks{
//		"81.2.69.0/24":  "GB-ENG",
//		"2.125.160.0/24": "US-MS",
//		"2a01:cb00::/24": "FR-IDF FR-75",
//	}))
package geotest

import (
	"bytes"
	"cmp"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Networks are the records of a database by their networks, in a notation that
// the function that writes it explains. Networks may overlap: the narrower one
// holds. Reserved ones may be used.
type Networks map[string]string

// An Option changes the metadata of a database.
type Option func(*mmdbwriter.Options)

// Built sets the time of the build, which is otherwise Build.
func Built(at time.Time) Option {
	return func(o *mmdbwriter.Options) { o.BuildEpoch = at.Unix() }
}

// Type sets the database_type, which is otherwise that of the best-known
// database of the schema.
func Type(name string) Option {
	return func(o *mmdbwriter.Options) { o.DatabaseType = name }
}

// IPv4Only makes a database that has no room for IPv6.
func IPv4Only() Option {
	return func(o *mmdbwriter.Options) { o.IPVersion = 4 }
}

// RecordSize sets the size of the search tree's records, 24, 28 or 32 bits,
// which is otherwise 24.
func RecordSize(bits int) Option {
	return func(o *mmdbwriter.Options) { o.RecordSize = bits }
}

// NoDescription leaves out the description, as ip-location-db does.
func NoDescription() Option {
	return func(o *mmdbwriter.Options) { o.Description = map[string]string{} }
}

// Build is when databases are built, if Built doesn't say otherwise.
func Build() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }

// Country writes a database of the schema of GeoLite2-Country: "FR". What
// follows "registered" and "represented" is that country: "FR registered DE",
// "registered DE represented US".
func Country(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "GeoLite2-Country", networks, geoip2Place, options)
}

// City writes a database of the schema of GeoLite2-City: a country or its
// subdivisions, "US", "US-MS", "FR-IDF FR-75", and what Country takes.
func City(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "GeoLite2-City", networks, geoip2Place, options)
}

// Enterprise writes a database of the schema of GeoIP2-Enterprise: what City
// takes and the number of the autonomous system, "US-MS AS7018".
func Enterprise(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "GeoIP2-Enterprise", networks, geoip2Place, options)
}

// ASN writes a database of the schema of GeoLite2-ASN: "AS15169 Google LLC".
func ASN(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "GeoLite2-ASN", networks, func(text string) mmdbtype.Map {
		number, name := autonomousSystem(text)
		return mmdbtype.Map{
			"autonomous_system_number":       mmdbtype.Uint32(number),
			"autonomous_system_organization": mmdbtype.String(name),
		}
	}, options)
}

// AnonymousIP writes a database of the schema of GeoIP2-Anonymous-IP: the
// names of the fields that are true, without is_: "anonymous anonymous_vpn".
func AnonymousIP(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "GeoIP2-Anonymous-IP", networks, func(text string) mmdbtype.Map {
		record := mmdbtype.Map{}
		for field := range strings.FieldsSeq(text) {
			record[mmdbtype.String("is_"+field)] = mmdbtype.Bool(true)
		}
		return record
	}, options)
}

// IPinfoLite writes a database of IPinfo's Lite: "FR AS3215 Orange S.A.".
func IPinfoLite(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "ipinfo bundle_ipinfo_lite.mmdb", networks, func(text string) mmdbtype.Map {
		code, system, _ := strings.Cut(text, " ")
		number, name := autonomousSystem(system)
		return strs("country_code", code, "country", "The country "+code, "continent", "Some continent",
			"asn", "AS"+strconv.Itoa(int(number)), "as_name", name, "as_domain", "example.net")
	}, options)
}

// IPinfoCountryASN writes IPinfo's older database of countries and autonomous
// systems, whose country is the code: "FR AS3215 Orange S.A.".
func IPinfoCountryASN(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "ipinfo generic_country_asn_free.mmdb", networks, func(text string) mmdbtype.Map {
		code, system, _ := strings.Cut(text, " ")
		number, name := autonomousSystem(system)
		return strs("country", code, "country_name", "The country "+code,
			"asn", "AS"+strconv.Itoa(int(number)), "as_name", name, "as_domain", "example.net")
	}, options)
}

// IPinfoLocation writes IPinfo's database of locations: the country and, if
// there is one, the code of the region, "US" or "US-MS".
func IPinfoLocation(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "ipinfo standard_location.mmdb", networks, func(text string) mmdbtype.Map {
		code, region, known := strings.Cut(text, "-")
		record := strs("country", code, "region", "Some region", "city", "Some city", "timezone", "Etc/UTC")
		if known {
			record["region_code"] = mmdbtype.String(region)
		}
		return record
	}, options)
}

// IPinfoPrivacy writes IPinfo's database of privacy detection: the names of
// the fields that are true, "vpn", "hosting". They are strings, as in IPinfo's.
func IPinfoPrivacy(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "ipinfo standard_privacy.mmdb", networks, func(text string) mmdbtype.Map {
		record := strs("vpn", "", "proxy", "", "tor", "", "relay", "", "hosting", "", "service", "")
		for field := range strings.FieldsSeq(text) {
			record[mmdbtype.String(field)] = mmdbtype.String("true")
		}
		return record
	}, options)
}

// IPLocationCountry writes a database of countries as ip-location-db's: "FR".
func IPLocationCountry(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "country ipvAll", networks, func(text string) mmdbtype.Map {
		return strs("country_code", text)
	}, options)
}

// IPLocationCity writes a database of cities as ip-location-db's, which has no
// codes of subdivisions: "US".
func IPLocationCity(t testing.TB, networks Networks, options ...Option) []byte {
	return write(t, "city ipv4", networks, func(text string) mmdbtype.Map {
		record := strs("country_code", text, "state1", "Some state", "state2", "", "city", "Some city",
			"postcode", "", "timezone", "Etc/UTC")
		record["latitude"], record["longitude"] = mmdbtype.Float32(1), mmdbtype.Float32(2)
		return record
	}, options)
}

// Records writes a database of the given type in which the network has the
// record, whatever it is.
func Records(t testing.TB, databaseType, network string, record mmdbtype.DataType, options ...Option) []byte {
	return write(t, databaseType, Networks{network: ""}, func(string) mmdbtype.DataType { return record }, options)
}

// File writes a database to a file of its own, which the test removes, and
// returns its path.
func File(t testing.TB, database []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	if err := os.WriteFile(path, database, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Replace puts a database in the place of a file, as good tools do it: by
// renaming another over it.
func Replace(t testing.TB, path string, database []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, database, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func geoip2Place(text string) mmdbtype.Map {
	record := mmdbtype.Map{}
	field := mmdbtype.String("country")
	var subdivisions mmdbtype.Slice
	for word := range strings.FieldsSeq(text) {
		switch {
		case word == "registered" || word == "represented":
			field = mmdbtype.String(word + "_country")
			continue
		case strings.HasPrefix(word, "AS") && len(word) > 2 && !strings.Contains(word, "-"):
			number, _ := autonomousSystem(word)
			record["traits"] = mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(number)}
			continue
		}
		code, subdivision, within := strings.Cut(word, "-")
		record[field] = mmdbtype.Map{
			"iso_code": mmdbtype.String(code),
			"names":    mmdbtype.Map{"en": mmdbtype.String("The country " + code)},
		}
		if within {
			subdivisions = append(subdivisions, mmdbtype.Map{
				"iso_code": mmdbtype.String(subdivision),
				"names":    mmdbtype.Map{"en": mmdbtype.String("The subdivision " + word)},
			})
		}
	}
	if len(subdivisions) > 0 {
		record["subdivisions"] = subdivisions
	}
	return record
}

func autonomousSystem(text string) (number uint64, name string) {
	digits, name, _ := strings.Cut(strings.TrimPrefix(text, "AS"), " ")
	number, _ = strconv.ParseUint(digits, 10, 32)
	return number, name
}

func strs(namesAndValues ...string) mmdbtype.Map {
	record := mmdbtype.Map{}
	for i := 0; i < len(namesAndValues); i += 2 {
		record[mmdbtype.String(namesAndValues[i])] = mmdbtype.String(namesAndValues[i+1])
	}
	return record
}

func write[Record mmdbtype.DataType](t testing.TB, databaseType string, networks Networks,
	record func(string) Record, options []Option,
) []byte {
	t.Helper()
	writer := mmdbwriter.Options{
		BuildEpoch:              Build().Unix(),
		DatabaseType:            databaseType,
		Description:             map[string]string{"en": "A database for tests"},
		Languages:               []string{"en"},
		RecordSize:              24,
		IncludeReservedNetworks: true,
		DisableIPv4Aliasing:     true,
	}
	for _, option := range options {
		option(&writer)
	}
	tree, err := mmdbwriter.New(writer)
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range widestFirst(t, networks) {
		network := &net.IPNet{
			IP:   prefix.Addr().AsSlice(),
			Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}
		if err := tree.Insert(network, record(networks[prefix.String()])); err != nil {
			t.Fatalf("%s: %v", prefix, err)
		}
	}
	var database bytes.Buffer
	if _, err := tree.WriteTo(&database); err != nil {
		t.Fatal(err)
	}
	return database.Bytes()
}

// widestFirst returns the networks such that a narrower one, which replaces
// what it covers, comes after those that contain it.
func widestFirst(t testing.TB, networks Networks) []netip.Prefix {
	t.Helper()
	var prefixes []netip.Prefix
	for network := range networks {
		prefix, err := netip.ParsePrefix(network)
		if err != nil || prefix != prefix.Masked() || prefix.String() != network {
			t.Fatalf("network %q: want a prefix like 192.0.2.0/24", network)
		}
		prefixes = append(prefixes, prefix)
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	return prefixes
}

// named is the network that has the place in databases with names.
const named = "81.2.69.0/24"

// DBIPCityLite writes a database as DB-IP's City Lite, with one network,
// 81.2.69.0/24: subdivisions have names and no codes.
func DBIPCityLite(t testing.TB, country, subdivision string) []byte {
	english := func(name string) mmdbtype.Map {
		return mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(name)}}
	}
	return Records(t, "DBIP-City-Lite", named, mmdbtype.Map{
		"city": english("Some city"),
		"country": mmdbtype.Map{
			"geoname_id": mmdbtype.Uint32(1), "is_in_european_union": mmdbtype.Bool(false),
			"iso_code": mmdbtype.String(country), "names": mmdbtype.Map{"en": mmdbtype.String("The country " + country)},
		},
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float32(1), "longitude": mmdbtype.Float32(2)},
		"subdivisions": mmdbtype.Slice{english(subdivision)},
	})
}

// IPinfoRegion writes IPinfo's database of locations as it was before it had
// codes of regions, with one network, 81.2.69.0/24.
func IPinfoRegion(t testing.TB, country, region string) []byte {
	return Records(t, "ipinfo standard_location.mmdb", named,
		strs("city", "Some city", "country", country, "lat", "1", "lng", "2", "postal_code", "", "region", region, "timezone", "Etc/UTC"))
}

// IPLocationState writes a database of cities as ip-location-db's with one
// network, 81.2.69.0/24.
func IPLocationState(t testing.TB, country, state string) []byte {
	return Records(t, "city ipv4", named, strs("country_code", country, "state1", state, "state2", "", "city", "Some city", "postcode", "", "timezone", "Etc/UTC"))
}
