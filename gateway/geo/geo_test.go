package geo_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/policy"
)

func open(t testing.TB, options geo.Options) *geo.Locator {
	t.Helper()
	locator, err := geo.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return locator
}

// openFiles opens databases in their order.
func openFiles(t testing.TB, databases ...[]byte) *geo.Locator {
	t.Helper()
	var files []string
	for _, database := range databases {
		files = append(files, geotest.File(t, database))
	}
	return open(t, geo.Options{Files: files})
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// in is a place in a country, maybe in its subdivisions.
func in(country policy.Code, subdivisions ...policy.Code) policy.Place {
	place := policy.Place{Country: country}
	copy(place.Subdivisions[:], subdivisions)
	return place
}

var (
	private   = policy.Place{Private: true}
	unlocated = policy.Place{}
)

func isAnonymous(place policy.Place) policy.Place {
	place.Anonymous = true
	return place
}

func TestLocate_schemas(t *testing.T) {
	const somewhere = "81.2.69.0/24"
	city := func(text string) []byte { return geotest.City(t, network{somewhere: text, "2.0.0.0/16": "FR"}) }
	for _, test := range []struct {
		name     string
		database []byte
		want     policy.Place
	}{
		{"GeoLite2 Country has a country", geotest.Country(t, network{somewhere: "GB"}), in("GB")},
		{"GeoIP2 Country is the same", geotest.Country(t, network{somewhere: "GB"}, geotest.Type("GeoIP2-Country")), in("GB")},
		{"GeoLite2 City may have a country only", city("GB"), in("GB")},
		{"GeoLite2 City has a first-level subdivision", city("US-MS"), in("US", "US-MS")},
		{"GeoLite2 City has both levels", city("FR-IDF FR-78"), in("FR", "FR-IDF", "FR-78")},
		{"a code that ISO has replaced is today's", city("FR-IDF FR-75"), in("FR", "FR-IDF", "FR-75C")},
		{"the second level alone lies in the first", city("FR-38"), in("FR", "FR-ARA", "FR-38")},
		{"the levels are in order, whatever the database's", city("FR-38 FR-ARA"), in("FR", "FR-ARA", "FR-38")},
		{"a database's own order of what lies in what stays", city("FR-IDF FR-38"), in("FR", "FR-IDF", "FR-38")},
		{"IPinfo's location with the code of a second level", geotest.IPinfoLocation(t, network{somewhere: "ES-GC"}), in("ES", "ES-CN", "ES-GC")},
		{"more than two levels are cut", city("GB-ENG GB-LND GB-WSM"), in("GB", "GB-ENG", "GB-LND")},
		{"City can be of another name, in records it is itself", geotest.City(t, network{somewhere: "US-MS"}, geotest.Type("our offices")), in("US", "US-MS")},
		{"Enterprise is City and more", geotest.Enterprise(t, network{somewhere: "US-MS AS7018"}), in("US", "US-MS")},
		{"DB-IP's Country Lite", geotest.Country(t, network{somewhere: "GB"}, geotest.Type("DBIP-Country-Lite")), in("GB")},
		{"DB-IP's City Lite, whose subdivisions have no codes", geotest.City(t, network{somewhere: "US-"}, geotest.Type("DBIP-City-Lite")), in("US")},
		{"DB-IP's Location", geotest.City(t, network{somewhere: "US-MS"}, geotest.Type("DBIP-Location (compat=City)")), in("US", "US-MS")},
		{"DB-IP's Location and ISP", geotest.Enterprise(t, network{somewhere: "US-MS AS1"}, geotest.Type("DBIP-Location-ISP (compat=Enterprise)")), in("US", "US-MS")},
		{"IPinfo Lite has the code in country_code", geotest.IPinfoLite(t, network{somewhere: "GB AS1 One"}), in("GB")},
		{"IPinfo's older one has it in country", geotest.IPinfoCountryASN(t, network{somewhere: "GB AS1 One"}), in("GB")},
		{"IPinfo's location with a region's name only", geotest.IPinfoLocation(t, network{somewhere: "US"}), in("US")},
		{"IPinfo's location with a region's code", geotest.IPinfoLocation(t, network{somewhere: "US-MS"}), in("US", "US-MS")},
		{"ip-location-db's country", geotest.IPLocationCountry(t, network{somewhere: "GB"}), in("GB")},
		{"ip-location-db's city, which has no codes of subdivisions", geotest.IPLocationCity(t, network{somewhere: "US"}), in("US")},
		{"a database for IPv4 only", geotest.Country(t, network{somewhere: "GB"}, geotest.IPv4Only()), in("GB")},

		{"a code in lower case is the same code", city("us-ms"), in("US", "US-MS")},
		{"Kosovo has a code", city("XK"), in("XK")},
		{"a code for some place in Europe is no country", city("EU"), unlocated},
		{"a code for some place in Asia is no country", city("AP"), unlocated},
		{"a code for proxies is no country", city("A1"), unlocated},
		{"a code for satellites is no country", city("A2"), unlocated},
		{"a code for anything else is no country", city("O1"), unlocated},
		{"Cloudflare's code for Tor is no country", city("T1"), unlocated},
		{"codes left to users are no countries", city("XX"), unlocated},
		{"nor is the last of all codes", city("ZZ"), unlocated},
		{"a country that is no more is none", city("AN"), unlocated},
		{"a name is no code", city("France"), unlocated},
		{"a subdivision with an impossible code is left out", city("US-MISS"), in("US")},
		{"a subdivision of no country is left out", city("EU-MS"), unlocated},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := openFiles(t, test.database).Locate(addr("81.2.69.142")); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLocate_countryCodes(t *testing.T) {
	for _, test := range []struct {
		name       string
		record     string
		registered bool
		want       policy.Place
	}{
		{"the country, whatever else is there", "FR registered DE represented US", true, in("FR")},
		{"without one, none", "registered DE represented US", false, unlocated},
		{"without one, the registered country where the operator permits it", "registered DE represented US", true, in("DE")},
		{"the represented country never", "represented US", true, unlocated},
		{"a country that is none counts as missing", "EU registered DE", true, in("DE")},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := geotest.File(t, geotest.Country(t, geotest.Networks{"81.2.69.0/24": test.record, "2.0.0.0/16": "FR"}))
			locator := open(t, geo.Options{Files: []string{file}, RegisteredCountry: test.registered})
			if got := locator.Locate(addr("81.2.69.142")); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLocate_severalDatabases(t *testing.T) {
	const at = "81.2.69.0/24"
	country := func(code string) []byte { return geotest.Country(t, network{at: code, "2.0.0.0/16": "FR"}) }
	city := func(code string) []byte { return geotest.City(t, network{at: code, "2.0.0.0/16": "FR-IDF"}) }
	elsewhere := geotest.City(t, network{"2.0.0.0/16": "FR-IDF"})
	anonymous := func(fields string) []byte { return geotest.AnonymousIP(t, network{at: fields}) }
	privacy := func(fields string) []byte { return geotest.IPinfoPrivacy(t, network{at: fields}) }
	asn := geotest.ASN(t, network{at: "AS64500 Example"})

	for _, test := range []struct {
		name      string
		databases [][]byte
		want      policy.Place
	}{
		{"the first country wins", [][]byte{country("GB"), country("IE")}, in("GB")},
		{"the next is asked where the first has none", [][]byte{elsewhere, country("IE")}, in("IE")},
		{"and where what it has is none", [][]byte{country("EU"), country("IE")}, in("IE")},
		{"a finer database adds the subdivision", [][]byte{country("US"), city("US-MS")}, in("US", "US-MS")},
		{"but not another country's", [][]byte{country("CA"), city("US-MS")}, in("CA")},
		{"the third may still add it", [][]byte{country("US"), city("CA-ON"), city("US-MS")}, in("US", "US-MS")},
		{"a coarser database after a fine one changes nothing", [][]byte{city("US-MS"), country("CA")}, in("US", "US-MS")},
		{"an autonomous system is no place", [][]byte{asn, country("GB")}, in("GB")},
		{"two families' files make one", [][]byte{
			geotest.IPLocationCountry(t, network{at: "GB"}, geotest.IPv4Only(), geotest.Type("country ipv4")),
			geotest.IPLocationCountry(t, network{"2a01:cb00::/24": "FR"}, geotest.Type("country ipv6")),
		}, in("GB")},

		{"a VPN hides", [][]byte{country("GB"), anonymous("anonymous anonymous_vpn")}, isAnonymous(in("GB"))},
		{"a Tor exit hides", [][]byte{country("GB"), anonymous("anonymous tor_exit_node")}, isAnonymous(in("GB"))},
		{"a public proxy hides", [][]byte{country("GB"), anonymous("anonymous public_proxy")}, isAnonymous(in("GB"))},
		{"a residential proxy hides", [][]byte{country("GB"), anonymous("anonymous residential_proxy")}, isAnonymous(in("GB"))},
		{"something anonymous of no known kind hides", [][]byte{country("GB"), anonymous("anonymous")}, isAnonymous(in("GB"))},
		{"hosting hides nobody, although MaxMind calls it anonymous", [][]byte{country("GB"), anonymous("anonymous hosting_provider")}, in("GB")},
		{"a VPN at a hosting provider hides", [][]byte{country("GB"), anonymous("anonymous hosting_provider anonymous_vpn")}, isAnonymous(in("GB"))},
		{"the anonymous database may come first", [][]byte{anonymous("anonymous_vpn"), city("US-MS")}, isAnonymous(in("US", "US-MS"))},
		{"who hides may be unlocated", [][]byte{elsewhere, anonymous("anonymous_vpn")}, isAnonymous(unlocated)},
		{"Anonymous Plus is like Anonymous IP", [][]byte{country("GB"),
			geotest.AnonymousIP(t, network{at: "anonymous_vpn"}, geotest.Type("GeoIP-Anonymous-Plus"))}, isAnonymous(in("GB"))},
		{"IPinfo's relay hides", [][]byte{country("GB"), privacy("relay")}, isAnonymous(in("GB"))},
		{"IPinfo's Tor hides", [][]byte{country("GB"), privacy("tor hosting")}, isAnonymous(in("GB"))},
		{"IPinfo's hosting hides nobody", [][]byte{country("GB"), privacy("hosting")}, in("GB")},
		{"one database that says so is enough", [][]byte{country("GB"), privacy("hosting"), anonymous("tor_exit_node")}, isAnonymous(in("GB"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			locator := openFiles(t, test.databases...)
			if got := locator.Locate(addr("81.2.69.142")); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if got := locator.Describe(addr("81.2.69.142")).Place; got != test.want {
				t.Errorf("described as %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	const at = "81.2.69.0/24"
	country := geotest.File(t, geotest.Country(t, network{at: "US", "2.0.0.0/16": "FR"}))
	city := geotest.File(t, geotest.City(t, network{at: "US-MS"}))
	asn := geotest.File(t, geotest.ASN(t, network{at: "AS64500 Example Ltd"}))
	anonymous := geotest.File(t, geotest.AnonymousIP(t, network{at: "anonymous_vpn"}))
	lite := geotest.File(t, geotest.IPinfoLite(t, network{"2.0.0.0/16": "FR AS64501 Exemple SA"}))
	locator := open(t, geo.Options{Files: []string{country, city, asn, anonymous, lite}})

	for _, test := range []struct {
		name, address string
		want          geo.Description
	}{
		{"each part by its database", "81.2.69.142", geo.Description{
			Place: isAnonymous(in("US", "US-MS")), Address: addr("81.2.69.142"),
			CountryFrom: country, SubdivisionsFrom: city, AnonymousFrom: anonymous,
			ASNFrom: asn, ASN: 64500, Organisation: "Example Ltd",
		}},
		{"and the way to the address", "2002:5102:458e::1", geo.Description{
			Place: isAnonymous(in("US", "US-MS")), Address: addr("81.2.69.142"), Form: "6to4",
			CountryFrom: country, SubdivisionsFrom: city, AnonymousFrom: anonymous,
			ASNFrom: asn, ASN: 64500, Organisation: "Example Ltd",
		}},
		{"a database of places may know the autonomous system", "::ffff:2.0.0.1", geo.Description{
			Place: in("FR"), Address: addr("2.0.0.1"), Form: "IPv4-mapped", CountryFrom: country,
			ASNFrom: lite, ASN: 64501, Organisation: "Exemple SA",
		}},
		{"nothing known", "9.9.9.9", geo.Description{Address: addr("9.9.9.9")}},
		{"private", "192.168.1.1", geo.Description{Place: private}},
		{"private within another", "64:ff9b::192.168.1.1", geo.Description{Form: "NAT64"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := locator.Describe(addr(test.address))
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDatabases(t *testing.T) {
	built := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	city := geotest.File(t, geotest.City(t, network{"81.2.69.0/24": "US-MS"}, geotest.Built(built)))
	enterprise := geotest.File(t, geotest.Enterprise(t, network{"81.2.69.0/24": "US-MS AS1"}))
	asn := geotest.File(t, geotest.ASN(t, network{"81.2.69.0/24": "AS1 One"}))
	anonymous := geotest.File(t, geotest.AnonymousIP(t, network{"81.2.69.0/24": "hosting_provider"}))
	lite := geotest.File(t, geotest.IPinfoLite(t, network{"81.2.69.0/24": "GB AS1 One"}))
	ipinfoASN := geotest.File(t, geotest.IPinfoCountryASN(t, network{"81.2.69.0/24": "GB AS1 One"}, geotest.Type("ipinfo generic_asn_mmdb_v4.mmdb")))

	locator := open(t, geo.Options{Files: []string{city, enterprise, asn, anonymous, lite, ipinfoASN, "embedded"}})
	want := []geo.Database{
		{Path: city, Type: "GeoLite2-City", Build: built, Role: geo.RolePlace},
		{Path: enterprise, Type: "GeoIP2-Enterprise", Build: geotest.Build(), Role: geo.RolePlace | geo.RoleASN},
		{Path: asn, Type: "GeoLite2-ASN", Build: geotest.Build(), Role: geo.RoleASN},
		{Path: anonymous, Type: "GeoIP2-Anonymous-IP", Build: geotest.Build(), Role: geo.RoleAnonymous},
		{Path: lite, Type: "ipinfo bundle_ipinfo_lite.mmdb", Build: geotest.Build(), Role: geo.RolePlace | geo.RoleASN},
		{Path: ipinfoASN, Type: "ipinfo generic_asn_mmdb_v4.mmdb", Build: geotest.Build(), Role: geo.RoleASN},
		{Path: "embedded", Type: "GeoIP2-Country", Build: geo.EmbeddedBuild(), Role: geo.RolePlace},
	}
	if diff := cmp.Diff(want, locator.Databases()); diff != "" {
		t.Error(diff)
	}
}

func TestRole_String(t *testing.T) {
	for role, want := range map[geo.Role]string{
		geo.RolePlace:               "place",
		geo.RoleASN:                 "asn",
		geo.RoleAnonymous:           "anonymous",
		geo.RolePlace | geo.RoleASN: "place+asn",
		geo.RolePlace | geo.RoleASN | geo.RoleAnonymous: "place+asn+anonymous",
	} {
		if got := role.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A database without the description that the reader's verification demands,
// as ip-location-db's are; one with data that no address leads to, which the
// format permits; one whose nodes are shared by 2^31 networks, not to be
// visited one by one; and the two sizes of records that the others don't have.
func TestOpen_unusualDatabases(t *testing.T) {
	content := geotest.Country(t, network{"81.2.69.0/24": "GB"})
	maze := geotest.Country(t, network{"81.2.69.142/32": "GB"}, geotest.IPv4Only())
	for i := range 31 {
		copy(maze[6*i:], []byte{0, 0, byte(i + 1), 0, 0, byte(i + 1)})
	}
	for name, database := range map[string][]byte{
		"no description":     geotest.IPLocationCountry(t, network{"81.2.69.0/24": "GB"}, geotest.NoDescription()),
		"unreferenced data":  insertBefore(t, content, "\xab\xcd\xefMaxMind.com", "\x43abc"),
		"a maze":             maze,
		"records of 28 bits": geotest.Country(t, network{"81.2.69.0/24": "GB", "2.0.0.0/7": "FR"}, geotest.RecordSize(28)),
		"records of 32 bits": geotest.Country(t, network{"81.2.69.0/24": "GB", "2.0.0.0/7": "FR"}, geotest.RecordSize(32)),
	} {
		t.Run(name, func(t *testing.T) {
			if got := openFiles(t, database).Locate(addr("81.2.69.142")); got != in("GB") {
				t.Errorf("got %+v, want GB", got)
			}
		})
	}
}
