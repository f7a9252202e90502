package document_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
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
		p, err := document.Parse("policy.yaml", text)
		if err != nil {
			if p != nil || err.Error() == "" {
				t.Fatalf("policy %v, error %q", p, err)
			}
			return
		}
		for _, w := range document.Warnings("policy.yaml", p, moment) {
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

// everyDecision asks for decisions on all that a snapshot distinguishes.
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
