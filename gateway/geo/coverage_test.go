package geo_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/policy"
)

// Issue 10, A1: a database states what it can tell apart.
func TestCapability(t *testing.T) {
	amount := func(ipv4, ipv6 float64) policy.Addresses { return policy.Addresses{IPv4: ipv4, IPv6: ipv6} }
	networks := network{
		"3.0.0.0/16":     "US",
		"3.0.8.0/24":     "US-MS",
		"3.1.0.0/16":     "US-CA",
		"2.0.0.0/24":     "FR-IDF FR-75C",
		"2.0.1.0/32":     "EU",
		"2a01:cb00::/32": "FR",
		"2a01:cb00::/40": "FR-IDF",
		"2a01:cb01::/50": "FR", // less than a site
	}
	want := map[policy.Code]policy.Coverage{
		"US":     {All: amount(2<<16, 0), Subdivided: amount(256+1<<16, 0)},
		"US-MS":  {All: amount(256, 0)},
		"US-CA":  {All: amount(1<<16, 0)},
		"FR":     {All: amount(256, 1<<16+0.25), Subdivided: amount(256, 256)},
		"FR-IDF": {All: amount(256, 256)},
		"FR-75C": {All: amount(256, 0)},
	}
	for _, size := range []int{24, 28, 32} {
		got := openFiles(t, geotest.City(t, networks, geotest.RecordSize(size))).Capability()
		if diff := cmp.Diff(want, got.Places); diff != "" {
			t.Errorf("records of %d bits: %s", size, diff)
		}
		if got.Anonymous || got.Finds(policy.Anonymous) || !got.Finds("FR-75C") || got.Finds("DE") {
			t.Errorf("finds %+v", got)
		}
	}
}

func TestCapability_severalDatabases(t *testing.T) {
	country := geotest.Country(t, network{"3.0.0.0/16": "US", "5.0.0.0/16": "DE"})
	city := geotest.City(t, network{"3.0.0.0/24": "US-MS"})
	hidden := geotest.AnonymousIP(t, network{"9.0.0.0/16": "anonymous_vpn"})
	got := openFiles(t, country, city, hidden).Capability()
	for code, want := range map[policy.Code]bool{"US": true, "DE": true, "US-MS": true, "US-CA": false, policy.Anonymous: true, policy.Unlocated: true} {
		if got.Finds(code) != want {
			t.Errorf("finds %s: %v", code, !want)
		}
	}
	if got := got.Untold("US"); got != (policy.Addresses{IPv4: 1 - 256.0/65536, IPv6: 1}) {
		t.Errorf("the share of US that can't be told is %v", got)
	}
}

// What is counted in the tree is what look-ups find.
func TestCapability_isWhatLookUpsFind(t *testing.T) {
	locator := open(t, geo.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	const draws = 200_000
	found := make(map[policy.Code]float64)
	for range draws {
		found[locator.Locate(randomIPv4(random)).Country]++
	}
	for _, code := range []policy.Code{"US", "CN", "JP", "DE", "FR", "BR"} {
		counted := locator.Capability().Places[code].All.IPv4 / (1 << 32)
		if sampled := found[code] / draws; counted < 0.9*sampled || counted > 1.1*sampled {
			t.Errorf("%s has %.2f%% of the IPv4 addresses by the tree, %.2f%% by look-ups", code, 100*counted, 100*sampled)
		}
	}
}

// Databases that have names of subdivisions and no codes: issue 10, A1.
func TestLocate_namesOfSubdivisions(t *testing.T) {
	for _, test := range []struct {
		country policy.Code
		name    string
		want    policy.Code
	}{
		{"US", "Mississippi", "US-MS"},
		{"DE", "Bavaria", "DE-BY"},
		{"DE", "Bayern", "DE-BY"},
		{"FR", "Île-de-France", "FR-IDF"},
		{"FR", "Ile-de-France", "FR-IDF"},
		{"PL", "Łódzkie", "PL-10"},
		{"IT", "Lombardy", "IT-25"},
		{"SE", "Stockholm County", "SE-AB"},
		{"UA", "Crimea", "UA-43"},
		{"UA", "Kyiv Oblast", "UA-32"},
		{"UA", "Kyiv City", "UA-30"},
		{"RU", "Moscow Oblast", "RU-MOS"},
		{"RU", "Moscow", "RU-MOW"},

		{"UA", "Kyiv", ""}, // the city or the oblast around it
		{"MX", "Mexico", ""},
		{"US", "Somewhere", ""},
		{"US", "Bavaria", ""},
		{"LT", "Kaunas", ""}, // no first-level one, but both a town and a district in one
	} {
		want := in(test.country)
		if test.want != "" {
			want = in(test.country, test.want)
		}
		for schema, database := range map[string][]byte{
			"DB-IP's City Lite":     geotest.DBIPCityLite(t, string(test.country), test.name),
			"IPinfo's location":     geotest.IPinfoRegion(t, string(test.country), test.name),
			"ip-location-db's city": geotest.IPLocationState(t, string(test.country), test.name),
		} {
			if got := openFiles(t, database).Locate(addr("81.2.69.142")); got != want {
				t.Errorf("%s: %s in %s is %+v, want %+v", schema, test.name, test.country, got, want)
			}
		}
	}
}
