package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

// describePublic says what is public, a market with its features after each other.
func describePublic(markets []policy.PublicMarket) string {
	var rows []string
	for _, m := range markets {
		row := string(m.Jurisdiction)
		if len(m.Places) > 0 && !slices.Equal(m.Places, []policy.Code{m.Jurisdiction}) {
			row += fmt.Sprint(" in ", m.Places)
		}
		if len(m.UnknownParts) > 0 {
			row += fmt.Sprint(" perhaps in ", m.UnknownParts)
		}
		row += " " + m.Phase.String()
		if !m.Sunset.IsZero() {
			row += " until " + m.Sunset.Format(time.DateOnly)
		}
		if len(m.Next) > 0 {
			row += fmt.Sprintf(", %d next", len(m.Next))
		}
		for _, f := range m.Features {
			row += fmt.Sprint(", ", strings.Join(f.Routes, " "), " ", f.Phase)
			if !f.Sunset.IsZero() {
				row += " until " + f.Sunset.Format(time.DateOnly)
			}
			for _, step := range f.Next {
				row += fmt.Sprint(", then ", step.Phase)
			}
		}
		for _, demand := range m.Because {
			row += ", because of " + demand.Title.String()
		}
		rows = append(rows, row)
	}
	return strings.Join(rows, "; ")
}

func TestPublic(t *testing.T) {
	const past, march, april = "{from: 2026-01-01T00:00:00Z, phase: announced}", "{from: 2026-03-01T00:00:00Z, phase: announced}", "{from: 2026-04-01T00:00:00Z, phase: withdrawn}"
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct{ name, jurisdictions, want string }{
		{"nothing is named", "{}", "default open"},
		// While a market is open, nothing of its future is public.
		{"open, to be announced", "{IE: {schedule: [" + march + ", " + april + "]}}", "default open"},
		{"open, to be withdrawn", "{IE: {schedule: [" + april + "]}}", "default open"},
		{"open, because of a demand", "{IE: {because: [law], schedule: [" + april + "]}}", "default open"},
		{"announced", "{IE: {because: [law], schedule: [" + past + ", " + april + "]}}", "IE announced until 2026-04-01, 1 next, because of Law; default open"},
		{"open, beside what is withdrawn", "{IE: {schedule: [" + april + "]}, JP: withdrawn}", "JP withdrawn; default open"},
		{"open, within what is withdrawn", "{IE: {because: [law], schedule: [" + april + "]}, Five-Eyes: withdrawn, GB: open}", "Five-Eyes in [AU CA NZ US] withdrawn; default open"},
		{"open, where the rest is withdrawn", "{IE: open, default: withdrawn}", "IE open; default withdrawn"},
		{"open by default", "{default: {schedule: [" + april + "]}}", "default open"},
		{"a group that is open, of whose members one is withdrawn", "{Five-Eyes: {schedule: [" + april + "]}, NZ: withdrawn}", "NZ withdrawn; default open"},
		{"a feature is withdrawn, and the whole will be", "{IE: {schedule: [" + april + "], features: {news: withdrawn}}}", "IE open, news withdrawn; default open"},
		{"announced, and a feature will be withdrawn", "{IE: {phase: announced, features: {news: {schedule: [" + april + "]}}}}", "IE announced; default open"},
		{"a feature alone that will be withdrawn", "{IE: {features: {news: {schedule: [" + april + "]}}}}", "default open"},

		{"a feature ends that was announced, while the whole is in wind-down", "{IE: {phase: wind-down, features: {news: {schedule: [" + past + ", " + april + "]}}}}", "IE wind-down, news wind-down until 2026-04-01, then withdrawn; default open"},
		{"a feature ends that was announced, while the whole is closed to new", "{IE: {phase: closed-to-new, features: {news: {schedule: [" + past + ", " + april + "]}}}}", "IE closed-to-new, news closed-to-new until 2026-04-01, then withdrawn; default open"},
		{"a feature will end that isn't announced, while the whole is in wind-down", "{IE: {phase: wind-down, features: {news: {schedule: [" + april + "]}}}}", "IE wind-down; default open"},
		{"a feature ends with the whole, and both are announced", "{IE: {schedule: [" + past + ", " + april + "], features: {news: {schedule: [" + past + ", " + april + "]}}}}", "IE announced until 2026-04-01, 1 next; default open"},
		{"a feature would end after the whole, and both are announced", "{IE: {schedule: [" + past + ", " + april + "], features: {news: {schedule: [" + past + ", {from: 2026-05-01T00:00:00Z, phase: withdrawn}]}}}}", "IE announced until 2026-04-01, 1 next; default open"},
		{"a feature ends before the whole, and both are announced", "{IE: {schedule: [" + past + ", {from: 2026-05-01T00:00:00Z, phase: withdrawn}], features: {news: {schedule: [" + past + ", " + april + "]}}}}", "IE announced until 2026-05-01, 1 next, news announced until 2026-04-01, then withdrawn; default open"},

		{"a country with territories", "{DK: {phase: withdrawn, territories: all}}", "DK in [DK FO GL] withdrawn; default open"},
		{"a country without its territories", "{DK: withdrawn}", "DK withdrawn; default open"},
		{"a territory that is served", "{DK: {phase: withdrawn, territories: all}, GL: open}", "DK in [DK FO] withdrawn; default open"},
		{"two territories that are announced, the rest withdrawn", "{DK: {phase: announced, territories: all}, default: withdrawn}", "DK in [DK FO GL] announced; default withdrawn"},
		{"an operator's group", "{nordic: withdrawn}", "nordic in [IS NO] withdrawn; default open"},
		{"a part of a country", "{US-MS: withdrawn}", "US-MS withdrawn; default open"},
		{"a part, and who may be there", "{US-MS: {phase: withdrawn, unknown-part: withhold}}", "US-MS perhaps in [US] withdrawn; default open"},
		{"all but a part", "{US: withdrawn, US-MS: open}", "US withdrawn; US-MS open; default open"},
		{"all but a part, and who may be there", "{JP: withdrawn, JP-13: {phase: announced, unknown-part: withhold}}", "JP withdrawn; JP-13 announced; default open"},
		{"a part that gets what its country does", "{US: withdrawn, US-MS: withdrawn}", "US withdrawn; default open"},
		{"who hides, and who can't be located", "{anonymous: closed-to-new, unlocated: withdrawn, private: open}", "anonymous closed-to-new; unlocated withdrawn; default open"},
		{"all is withdrawn but the network inside", "{default: withdrawn, private: open}", "private open; default withdrawn"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := document.Read("policy.yaml", []byte("version: 1\nroutes: {news: [/news/]}\ngroups: {nordic: [IS, \"NO\"]}\ndemands: {law: {jurisdiction: IE, title: Law, stage: proposed, requires: {a: true}}}\njurisdictions: "+test.jurisdictions))
			if err != nil {
				t.Fatal(err)
			}
			if got := describePublic(policy.Compile(p, nil, at).Public(nil)); got != test.want {
				t.Errorf("it is public that %q, want %q", got, test.want)
			}
		})
	}
}

// A flag that restricts a market says nothing of what its entry has planned.
func TestPublicByFlags(t *testing.T) {
	p, err := document.Read("policy.yaml", []byte(`version: 1
demands: {law: {jurisdiction: FR, title: Law, stage: proposed, requires: {a: true}}}
jurisdictions: {FR: {because: [law], schedule: [{from: 2026-04-01T00:00:00Z, phase: withdrawn}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Compile(p, policy.Flags{"FR": {Phase: policy.ClosedToNew}}, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	if got := describePublic(s.Public(nil)); got != "FR closed-to-new; default open" {
		t.Errorf("it is public that %s", got)
	}
}

// What only would be refused is public as open; what a guarantee withholds is
// refused in any mode.
func TestPublicWhileThePolicyOnlyObserves(t *testing.T) {
	p, err := document.Read("policy.yaml", []byte("version: 1\nmode: observe\nguarantees: {a: {require: true}}\nflags: {a: {value: true}}\njurisdictions: {FR: withdrawn, JP: announced}\n"))
	if err != nil {
		t.Fatal(err)
	}
	flags := policy.Flags{"IE": {Breached: map[string]time.Time{"a": {}}}}
	if got := describePublic(policy.Compile(p, flags, time.Now()).Public(nil)); got != "IE withdrawn; default open" {
		t.Errorf("it is public that %s", got)
	}
}

// publicly returns what is public of a place: as who reads it finds it, the
// narrowest place first.
func publicly(markets []policy.PublicMarket, place policy.Place) policy.PublicMarket {
	find := func(in func(policy.PublicMarket) []policy.Code, code policy.Code) *policy.PublicMarket {
		i := slices.IndexFunc(markets, func(m policy.PublicMarket) bool { return slices.Contains(in(m), code) })
		if i < 0 {
			return nil
		}
		return &markets[i]
	}
	places := func(m policy.PublicMarket) []policy.Code { return m.Places }
	parts := func(m policy.PublicMarket) []policy.Code { return m.UnknownParts }
	known := func(code policy.Code) bool { return policy.PlaceOf(code).Subdivisions[0] != "" }
	switch {
	case place.Private:
		place = policy.PlaceOf(policy.Private)
	case place.Country == "":
		if m := find(places, policy.Unlocated); m != nil {
			return *m
		}
	}
	if place.Private {
		if m := find(places, policy.Private); m != nil {
			return *m
		}
		return markets[len(markets)-1]
	}
	first, second := place.Subdivisions[0], place.Subdivisions[1]
	if m := find(places, second); known(second) && m != nil {
		return *m
	}
	if m := find(parts, first); known(first) && !known(second) && m != nil {
		return *m
	}
	if m := find(places, first); known(first) && m != nil {
		return *m
	}
	if m := find(parts, place.Country); !known(first) && !known(second) && m != nil {
		return *m
	}
	if m := find(places, place.Country); m != nil {
		return *m
	}
	return markets[len(markets)-1]
}

// phaseOf returns the phase that a market has for a class.
func phaseOf(m policy.PublicMarket, class string) policy.Phase {
	for _, f := range m.Features {
		if slices.Contains(f.Routes, class) {
			return f.Phase
		}
	}
	return m.Phase
}

// TestWhatIsPublicIsWhatIsDecided holds what is public of each place against what
// a client there gets.
func TestWhatIsPublicIsWhatIsDecided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		at := policytest.Moments.Draw(t, "at")
		s := compileSpec(t, spec, at)
		public := s.Public(nil)
		hidden := policy.PublicMarket{}
		if i := slices.IndexFunc(public, func(m policy.PublicMarket) bool { return slices.Contains(m.Places, policy.Anonymous) }); i >= 0 {
			hidden = public[i]
		}
		for _, place := range policytest.RealPlaces(spec.World) {
			for _, anonymous := range []bool{false, true} {
				place.Anonymous = anonymous
				m := publicly(public, place)
				for request := range policytest.Requests {
					d := policytest.Ask(t, s, place, request)
					phase := phaseOf(m, d.Class)
					if anonymous {
						phase = max(phase, phaseOf(hidden, d.Class))
					}
					if got := phase.Refuses(d.Class); got != (d.Action == policy.Refuse) {
						t.Fatalf("at %v it is public that %s of the class %s refused in %+v: %v, and it is %v\n%s\n%s", at, request, d.Class, place, got, d.Action, describePublic(public), spec.Document())
					}
				}
			}
		}
	})
}

func TestPublicHasNoSecrets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		at := policytest.Moments.Draw(t, "at")
		public := func(spec policytest.Spec) string {
			text, err := json.Marshal(compileSpec(t, spec, at).Public(nil))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if is, want := public(spec), public(spec.WithoutSecrets(at)); is != want {
			t.Fatalf("at %v it is public that %s, without the secrets %s\n%s", at, is, want, spec.Document())
		}
	})
}
