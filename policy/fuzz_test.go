package policy_test

import (
	"slices"
	"testing"

	"github.com/exitgate/exitgate/policy"
)

// FuzzDecide: whatever a database and a client may say, there is a decision,
// and Explain tells of the same one.
func FuzzDecide(f *testing.F) {
	p := parse(f, classes+`
groups:
  ours: [DE, FR-75C, GB-LND]
jurisdictions:
  FR:
    territories: true
    schedule:
      - {from: 2026-10-01T00:00:00Z, phase: announced}
      - {from: 2026-12-01T00:00:00Z, phase: withdrawn}
  FR-IDF: withdrawn
  EU: closed-to-new
  GB-nations: withdrawn
  ours: wind-down
  RE: open
  CA: {phase: withdrawn, routes: [news]}
  US-MS: withdrawn
  unlocated: announced
  private: closed-to-new
  anonymous: wind-down
`)
	s := policy.Compile(p, nil, moment)
	f.Add("FR", "FR-IDF", "FR-75C", false, true, "GET", "example.org", "/")
	f.Add("GB", "GB-ENG", "GB-LND", false, false, "POST", "news.example.com", "/signup")
	f.Add("US", "US-MS", "", false, false, "HEAD", "", "/news/../signup")
	f.Add("CA", "US-MS", "EU", false, true, "GET", "news.example.com", "/robots.txt")
	f.Add("EU", "", "anonymous", false, false, "OPTIONS", "", "*")
	f.Add("fr", "GB-nations", "\x00", true, true, "", "\xff", "")
	f.Add("\u00e9", "default", "unlocated", true, false, "get", "EXAMPLE.ORG:443", "/.well-known/%61cme-challenge/%2e%2e%2f")
	f.Fuzz(func(t *testing.T, country, first, second string, private, anonymous bool, method, host, path string) {
		place := policy.Place{
			Country:      policy.Code(country),
			Subdivisions: [2]policy.Code{policy.Code(first), policy.Code(second)},
			Private:      private,
			Anonymous:    anonymous,
		}
		d, inDoubt := s.DecideReadings(place, s.Classify(method, host, path))
		if d != &s.Decisions()[d.ID] {
			t.Fatalf("decision %d isn't the one with this ID", d.ID)
		}
		x := s.Explain(place, method, host, path)
		if x.Decision != *d || x.Ambiguous != inDoubt || x.Class != d.Class {
			t.Fatalf("decided %s, explained %s", sentence(d), sentence(&x.Decision))
		}
		wins := slices.ContainsFunc(x.Matches, func(m policy.Match) bool { return m.Wins && m.Entry == d.Entry })
		if !wins && d.Entry != policy.Default {
			t.Fatalf("nothing explains %s: %+v", sentence(d), x.Matches)
		}
	})
}
