package policy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/exitgate/exitgate/policy"
)

// FuzzParse: whatever the text, Parse doesn't panic, and what it takes can be
// compiled and decides.
func FuzzParse(f *testing.F) {
	fixtures, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(fixtures) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, file := range fixtures {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Parse("policy.yaml", text)
		if err != nil {
			if p != nil || err.Error() == "" {
				t.Fatalf("policy %v, error %q", p, err)
			}
			return
		}
		for _, w := range p.Warnings() {
			_ = w.Error()
		}
		for s, steps := policy.Compile(p, nil, moment), 0; ; steps++ {
			everyDecision(t, s)
			if s.Until().IsZero() {
				break
			}
			if steps > len(text) {
				t.Fatal("the schedules never end")
			}
			next := policy.Compile(p, nil, s.Until())
			policy.Differences(s, next)
			s = next
		}
	})
}

// everyDecision asks for decisions on all that a snapshot tells apart.
func everyDecision(t *testing.T, s *policy.Snapshot) {
	p := s.Policy()
	places := []policy.Place{{}, {Private: true}, {Anonymous: true}, {Country: "US"}}
	for _, code := range p.Jurisdictions() {
		for _, code := range append(p.Reaches(code), code) {
			places = append(places, policy.Place{Country: code}, policy.Place{Country: code[:2], Subdivisions: [2]policy.Code{code, code}, Anonymous: true})
		}
	}
	classes := p.Classes()
	for _, place := range places {
		for class, name := range classes {
			d := s.Decide(place, policy.Class(class))
			switch {
			case d.Class != name:
				t.Fatalf("the decision on class %s is one on %s", name, d.Class)
			case name == policy.Essential && d.Action != policy.Forward:
				t.Fatalf("essential requests from %v: %s", place, d.Action)
			case p.Mode() == policy.Observe && d.Action == policy.Refuse:
				t.Fatalf("refused while observing: %v", place)
			case d.Entry != policy.Default && !p.HasEntry(d.Entry):
				t.Fatalf("%s decides, but isn't in the policy", d.Entry)
			}
			p.Notice(*d)
		}
	}
}

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
		class, ambiguous := s.Classify(method, host, path)
		d := s.Decide(place, class)
		if d != &s.Decisions()[d.ID] {
			t.Fatalf("decision %d isn't the one with this ID", d.ID)
		}
		x := s.Explain(place, method, host, path)
		if x.Decision != *d || x.Ambiguous != ambiguous || x.Class != d.Class {
			t.Fatalf("decided %s, explained %s", sentence(d), sentence(&x.Decision))
		}
		wins := slices.ContainsFunc(x.Matches, func(m policy.Match) bool { return m.Wins && m.Entry == d.Entry })
		if !wins && d.Entry != policy.Default {
			t.Fatalf("nothing explains %s: %+v", sentence(d), x.Matches)
		}
	})
}
