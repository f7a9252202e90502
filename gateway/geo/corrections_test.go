package geo_test

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/policy"
)

func correct(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "corrections.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Issue 10, A6: what the operator knows better goes before the databases.
func TestCorrections(t *testing.T) {
	csv := correct(t, `# our offices
192.0.2.0/24,US,US-MS,Jackson,
192.0.2.128/25,FR,,,
192.0.2.129,ca
"2001:db8::/32",DE,DE-BY,"München",80331
2001:db8:1::/48,NO,NO-02
3.0.0.0/16,US,,,
66.50.0.0/16,US,US-PR,San Juan,
11.0.77.0/24,ES,ES-GC,,
11.0.46.0/24,EE,EE-784,,
`)
	city := geotest.File(t, geotest.City(t, network{"192.0.2.0/24": "JP", "192.0.3.0/24": "JP", "3.0.0.0/16": "US-CA", "192.0.4.0/24": "FR-974"}))
	anonymous := geotest.File(t, geotest.AnonymousIP(t, network{"192.0.2.0/24": "anonymous_vpn"}))
	options := geo.Options{Files: []string{city, anonymous}, Corrections: []string{csv}}
	locator := open(t, options)
	for address, want := range map[string]struct {
		place policy.Place
		from  string
	}{
		"192.0.2.1":            {isAnonymous(in("US", "US-MS")), csv + ":2"},
		"192.0.2.130":          {isAnonymous(in("FR")), csv + ":3"},
		"192.0.2.129":          {isAnonymous(in("CA")), csv + ":4"},
		"::ffff:192.0.2.129":   {isAnonymous(in("CA")), csv + ":4"},
		"192.0.3.1":            {in("JP"), city},
		"2001:db8::1":          {in("DE", "DE-BY"), csv + ":5"},
		"2001:db8:1::1":        {in("NO", "NO-32"), csv + ":6"},
		"3.0.0.1":              {in("US", "US-CA"), csv + ":7"},          // the subdivision is the database's
		"66.50.1.1":            {in("PR"), csv + ":8"},                   // which has two codes
		"11.0.77.1":            {in("ES", "ES-CN", "ES-GC"), csv + ":9"}, // which lies in another one
		"11.0.46.1":            {in("EE", "EE-37", "EE-784"), csv + ":10"},
		"192.0.4.1":            {in("RE"), city},
		"9.9.9.9":              {unlocated, ""},
		"64:ff9b::192.0.2.129": {isAnonymous(in("CA")), csv + ":4"},
	} {
		if got := locator.Locate(addr(address)); got != want.place {
			t.Errorf("%s is %+v, want %+v", address, got, want.place)
		}
		if got := locator.Describe(addr(address)); got.CountryFrom != want.from {
			t.Errorf("%s is from %q, want %q", address, got.CountryFrom, want.from)
		}
	}
	for _, code := range []policy.Code{"DE-BY", "ES-GC", "ES-CN"} {
		if !locator.Capability().Finds(code) {
			t.Errorf("%s, which is in corrections, isn't found", code)
		}
	}
	asked := addr("192.0.2.129")
	if allocs := testing.AllocsPerRun(100, func() { locator.Locate(asked) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}

	// It is watched and checked as a database is, and isn't read where it looks cut off.
	for _, text := range []string{"192.0.2.0/24,XX\n", "", "192.0.2.0/24,FR,US-MS\n", "# our offices\n192.0.2.0/24,US,US-MS,Jackson,\n", "192.0.2.0/24,US"} {
		if err := os.WriteFile(csv, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := locator.Reload(); err == nil || locator.Locate(asked) != isAnonymous(in("CA")) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.WriteFile(csv, []byte("192.0.2.129/32,IE\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := locator.Reload(); err != nil || locator.Locate(asked) != isAnonymous(in("IE")) {
		t.Errorf("the changed ones: %v, %+v", err, locator.Locate(asked))
	}
}

func TestCorrections_whatIsWrong(t *testing.T) {
	city := geotest.File(t, geotest.City(t, network{"3.0.0.0/16": "US-CA"}))
	for text, want := range map[string]string{
		"":                                   "no corrections",
		"# nothing\n":                        "no corrections",
		"192.0.2.1/24,US\n":                  "line 1: 192.0.2.1/24 has bits set behind its length",
		"192.0.2.0/24,US\n192.0.2.0/24,FR\n": "line 2: 192.0.2.0/24 is in line 1 already",
		"192.0.2.0/24\n":                     `line 1: "" is not`,
		"192.0.2.0/24,France\n":              `line 1: "France" is not`,
		"192.0.2.0/24,US,US-XX\n":            `line 1: "US-XX" is not`,
		"example.org,US\n":                   `line 1: "example.org" is not a network`,
		"10.0.0.0/8,US\n":                    "line 1: 10.0.0.0/8 is private",
		"0.0.0.0/0,US\n":                     "line 1: 0.0.0.0/0 is no network of clients",
		"::/1,US\n":                          "line 1: ::/1 is no network of clients",
		"::ffff:192.0.2.0/120,US\n":          "line 1: ::ffff:192.0.2.0/120 ",
		"2002::/16,US\n":                     "line 1: 2002::/16 has addresses that carry IPv4 addresses",
	} {
		_, err := geo.Open(geo.Options{Files: []string{city}, Corrections: []string{correct(t, text)}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := geo.Open(geo.Options{Files: []string{geotest.File(t, geotest.ASN(t, network{"3.0.0.0/16": "AS1 One"}))}, Corrections: []string{correct(t, "3.0.0.0/16,US")}}); err == nil {
		t.Error("corrections are taken for a database with countries")
	}
}

// The narrowest correction holds, as by going through all of them.
func TestCorrections_narrowest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	codes := []policy.Code{"US", "FR", "DE", "JP", "BR", "ZA"}
	for range 20 {
		all := map[netip.Prefix]policy.Code{}
		var text strings.Builder
		for range 60 {
			prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(random.Uint32() % 4), byte(random.Uint32()), byte(random.Uint32())}), 8+random.IntN(25)).Masked()
			if _, twice := all[prefix]; !twice {
				all[prefix] = codes[random.IntN(len(codes))]
				text.WriteString(prefix.String() + "," + string(all[prefix]) + "\n")
			}
		}
		city := geotest.File(t, geotest.City(t, network{"3.0.0.0/16": "US-CA"}))
		locator := open(t, geo.Options{Files: []string{city}, Corrections: []string{correct(t, text.String())}})
		for range 500 {
			address := netip.AddrFrom4([4]byte{20, byte(random.Uint32() % 4), byte(random.Uint32()), byte(random.Uint32())})
			var want policy.Code
			narrowest := -1
			for prefix, code := range all {
				if prefix.Contains(address) && prefix.Bits() > narrowest {
					want, narrowest = code, prefix.Bits()
				}
			}
			if got := locator.Locate(address).Country; got != want {
				t.Fatalf("%s is %q, want %q by\n%s", address, got, want, &text)
			}
		}
	}
}
