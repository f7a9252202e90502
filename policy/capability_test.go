package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/policy"
)

// finds returns what a database can tell apart that has these places.
func finds(codes ...policy.Code) *policy.Capability {
	c := &policy.Capability{Places: make(map[policy.Code]policy.Coverage)}
	for _, code := range codes {
		some := policy.Coverage{All: policy.Addresses{IPv4: 100, IPv6: 100}}
		if len(code) == 2 {
			some.Subdivided = policy.Addresses{IPv4: 40, IPv6: 5}
		}
		c.Places[code] = some
	}
	return c
}

// Issue 10, A1: what can't be found isn't enforced, and is not said to be.
func TestSnapshot_Unenforced(t *testing.T) {
	anonymous := finds("US")
	anonymous.Anonymous = true
	for _, test := range []struct {
		name, jurisdictions string
		by                  *policy.Capability
		want                []policy.Code
	}{
		{"a subdivision that is found", "{US-MS: withdrawn}", finds("US", "US-MS"), nil},
		{"a subdivision that no database has", "{US-MS: withdrawn}", finds("US"), []policy.Code{"US-MS"}},
		{"one in a country that is withdrawn as well", "{US: withdrawn, US-MS: withdrawn}", finds("US"), nil},
		{"one in a country that gets more", "{US: wind-down, US-MS: withdrawn}", finds("US"), []policy.Code{"US-MS"}},
		{"one that is opened", "{US: withdrawn, US-MS: open}", finds("US"), nil},
		{"a department whose region is found, and gets the same", "{FR-IDF: withdrawn, FR-75C: withdrawn}", finds("FR", "FR-IDF"), nil},
		{"a department whose region is found, and gets more", "{FR-75C: withdrawn}", finds("FR", "FR-IDF"), []policy.Code{"FR-75C"}},
		{"a country", "{FR: withdrawn}", finds("US"), []policy.Code{"FR"}},
		{"a country, where the unlocated get no more", "{FR: withdrawn, unlocated: withdrawn}", finds("US"), nil},
		{"a member of a group", "{EU: withdrawn}", finds("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
			"NL", "PL", "PT", "RO", "SE", "SI", "SK", "AX", "BL", "GF", "GP", "MF", "MQ", "RE", "YT", "ES-CN"), []policy.Code{"MT"}},
		{"anonymous without a database for it", "{anonymous: withdrawn}", finds("US"), []policy.Code{policy.Anonymous}},
		{"anonymous with one", "{anonymous: withdrawn}", anonymous, nil},
		{"what will be withdrawn later", "{US-MS: {schedule: [{phase: withdrawn, from: 2027-01-01T00:00:00Z}]}}", finds("US"), nil},
		{"nothing is known of the databases", "{US-MS: withdrawn, anonymous: withdrawn}", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := compile(t, "version: 1\njurisdictions: "+test.jurisdictions+"\n", time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
			if diff := cmp.Diff(test.want, s.Unenforced(test.by)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnfindable(t *testing.T) {
	p := parse(t, "version: 1\njurisdictions: {US-MS: {schedule: [{phase: withdrawn, from: 2027-01-01T00:00:00Z}]}, CA-ON: withdrawn, DE: withdrawn}\n")
	got := policy.Unfindable(p, nil, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), finds("US", "CA", "CA-ON", "DE"))
	share := policy.Addresses{IPv4: 0.6, IPv6: 0.95}
	want := []policy.PoorlyFound{{Jurisdiction: "CA-ON", Found: true, Untold: share}, {Jurisdiction: "US-MS", Untold: share}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
