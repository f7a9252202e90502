package geo_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// insertBefore puts bytes before the last place where others are.
func insertBefore(t testing.TB, content []byte, before, what string) []byte {
	t.Helper()
	i := bytes.LastIndex(content, []byte(before))
	if i < 0 {
		t.Fatalf("no %q", before)
	}
	return bytes.Join([][]byte{content[:i], content[i:]}, []byte(what))
}

type network = geotest.Networks

// badFiles are files that can neither be opened nor replace another.
func badFiles(t testing.TB) []struct {
	name    string
	content []byte
} {
	city := geotest.City(t, network{"81.2.69.0/24": "US-MS", "2.0.0.0/16": "FR-IDF FR-75"})
	str := func(s string) mmdbtype.String { return mmdbtype.String(s) }
	record := func(databaseType string, record mmdbtype.DataType) []byte {
		return geotest.Records(t, databaseType, "81.2.69.0/24", record)
	}
	tree := bytes.Clone(city)
	copy(tree, "\xff\xff\xff\xff\xff\xff")
	loop := bytes.Clone(city)
	copy(loop, "\x00\x00\x00\x00\x00\x00")
	return []struct {
		name    string
		content []byte
	}{
		{"an empty file", nil},
		{"a text", []byte("start,end,country\n1.0.0.0,1.0.0.255,AU\n")},
		{"half a database", city[:len(city)/2]},
		{"a database without its last bytes", city[:len(city)-20]},
		{"a compressed database", []byte("\x1f\x8b\x08\x00")},
		{"a zip archive", []byte("PK\x03\x04")},
		{"a database whose first half is missing", city[len(city)/2:]},
		{"a tree that points nowhere", tree},
		{"a tree that points to itself", loop},
		{"a damaged record", bytes.Replace(city, []byte("\x48iso_code"), []byte("\x48iso_co\xff\xff"), 1)},
		{"a database without records", geotest.City(t, nil)},
		{"a database of domains", record("GeoIP2-Domain", mmdbtype.Map{"domain": str("example.net")})},
		{"a database of connection types", record("GeoIP2-Connection-Type", mmdbtype.Map{"connection_type": str("Cable/DSL")})},
		{"a database of somebody's records", record("weather", mmdbtype.Map{"rain": mmdbtype.Bool(true)})},
		{"a database of many fields", record("weather", mmdbtype.Map{"a": str(""), "b": str(""), "c": str(""), "d": str(""),
			"e": str(""), "f": str(""), "g": str(""), "h": str(""), "i": str("")})},
		{"records that are no maps", record("countries", str("FR"))},
		{"IPinfo's abuse contacts, whose country is the contact's", record("ipinfo standard_abuse_mmdb_v4.mmdb",
			mmdbtype.Map{"country": str("FR"), "email": str("abuse@example.net")})},
		{"a City database that isn't one", record("GeoLite2-City", mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(1)})},
		{"a country that is a number", record("GeoLite2-Country", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.Uint32(1)}})},
		{"a code of endless length", record("GeoLite2-Country", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": str(strings.Repeat("F", 1000))}})},
		{"names instead of codes, beside autonomous systems", geotest.IPinfoLite(t, network{"81.2.69.0/24": "France AS1 One"})},
		{"names instead of codes", record("ipinfo free_country.mmdb", mmdbtype.Map{"country": str("France")})},
	}
}

func TestOpen_invalidContent(t *testing.T) {
	var errs strings.Builder
	damage := regexp.MustCompile(`is damaged: .*: `)
	for _, bad := range badFiles(t) {
		path := geotest.File(t, bad.content)
		_, err := geo.Open(geo.Options{Files: []string{path}})
		if err == nil {
			t.Errorf("%s: opened", bad.name)
			continue
		}
		text := damage.ReplaceAllString(strings.ReplaceAll(err.Error(), path, "FILE"), "is damaged: (the reader's error): ")
		fmt.Fprintf(&errs, "# %s\n%s\n\n", bad.name, text)
	}
	testkit.Golden(t, "testdata/errors.txt", errs.String())
}

func TestOpen_unusableFiles(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.mmdb")
	if err := os.WriteFile(huge, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 2<<30+1); err != nil {
		t.Skip(err)
	}
	asn := geotest.File(t, geotest.ASN(t, network{"81.2.69.0/24": "AS1 One"}))
	city := geotest.File(t, geotest.City(t, network{"81.2.69.0/24": "US-MS"}))
	missing := filepath.Join(dir, "missing.mmdb")
	for _, test := range []struct {
		name  string
		files []string
		want  []string // in the error
	}{
		{"missing", []string{missing}, []string{missing, "correct the path"}},
		{"a folder", []string{dir}, []string{dir, "not a regular file"}},
		{"too large", []string{huge}, []string{huge, "limit"}},
		{"one file twice", []string{city, asn, city}, []string{city, "twice"}},
		{"no database of places", []string{asn}, []string{asn, "countries"}},
		{"several errors", []string{missing, city, dir}, []string{missing, dir}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := geo.Open(geo.Options{Files: test.files})
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	for _, bad := range badFiles(f) {
		f.Add(bad.content)
	}
	f.Add(geotest.City(f, network{"81.2.69.0/24": "US-MS", "2a01:cb00::/24": "FR-IDF FR-75"}))
	f.Add(geotest.Enterprise(f, network{"81.2.69.0/24": "US-MS AS7018 registered CA"}))
	f.Add(geotest.AnonymousIP(f, network{"81.2.69.0/24": "anonymous tor_exit_node"}))
	f.Add(geotest.IPinfoLite(f, network{"81.2.69.0/24": "GB AS1 One"}, geotest.IPv4Only()))
	f.Add(geotest.IPinfoPrivacy(f, network{"81.2.69.0/24": "vpn"}))
	f.Fuzz(func(t *testing.T, content []byte) {
		locate, err := geo.OpenContent(content)
		if err != nil {
			return
		}
		for _, address := range []string{"0.0.0.0", "81.2.69.142", "255.255.255.255", "::", "2a01:cb00::1", "ffff::"} {
			place := locate(addr(address))
			if c := place.Country; c != "" && len(c) != 2 {
				t.Errorf("%s: %+v", address, place)
			}
		}
	})
}
