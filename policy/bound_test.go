package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/iso3166"
)

const law = "guarantees: {e2ee: {require: true}}\n"

// Issue 10, A2: what a demand binds is bound by any reading of where a client is.
func TestNoEntryWithinABoundPlaceOpensIt(t *testing.T) {
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	chain := func(country, first, second policy.Code) policy.Place {
		return policy.Place{Country: country, Subdivisions: [2]policy.Code{first, second}}
	}
	for name, test := range map[string]struct {
		document string
		place    policy.Place
		by       policy.Code
	}{
		"a municipality in a county": {
			"demands: {law: {jurisdiction: EE-37, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {EE-37: withdrawn, EE-784: open}\n",
			chain("EE", "EE-37", "EE-784"), "EE-37",
		},
		"Iceland": {
			"demands: {law: {jurisdiction: IS-1, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {IS-1: withdrawn, IS-RKN: open}\n",
			chain("IS", "IS-1", "IS-RKN"), "IS-1",
		},
		"a province that the database has in another region": {
			"demands: {law: {jurisdiction: PH-12, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {PH-12: withdrawn, PH-LAS: open}\n",
			chain("PH", "PH-12", "PH-LAS"), "PH-12",
		},
		"a department without its region, as our table has it": {
			"demands: {law: {jurisdiction: FR-IDF, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {FR-IDF: withdrawn}\n",
			chain("FR", "FR-77", ""), "FR-IDF",
		},
		"a department in another region, by the law of ours": {
			"demands: {law: {jurisdiction: FR-IDF, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {FR-IDF: withdrawn, FR-ARA: open}\n",
			chain("FR", "FR-ARA", "FR-75C"), "FR-IDF",
		},
		"a member of an open group, standing alone": {
			"groups: {some: [FR-75C]}\ndemands: {law: {jurisdiction: FR, territories: false, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {EU: withdrawn, FR-IDF: withdrawn, some: open}\n",
			chain("FR", "FR-75C", ""), "EU",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := document.Read("policy.yaml", []byte("version: 1\n"+law+test.document))
			if err != nil {
				t.Fatal(err)
			}
			s := policy.Compile(p, nil, at)
			d := s.Decide(test.place, p.Class(policy.Other))
			if d.Action != policy.Refuse || d.Phase != policy.Withdrawn || d.Entry != test.by {
				t.Errorf("%+v: %+v, want it refused by %s", test.place, *d, test.by)
			}
			x := s.Explain(test.place, "GET", "", "/")
			if x.Decision != *d || len(x.Matches) == 0 || x.Matches[0].Entry != test.by || !x.Matches[0].Wins {
				t.Errorf("explained: %+v", x)
			}
		})
	}
}

// Issue 10, A2: a new policy doesn't say that a bound municipality is open; one that
// stands since our table didn't know its county can still be read, and withholds.
func TestANewPolicyOpensNothingInABoundCounty(t *testing.T) {
	text := []byte("version: 1\n" + law + "demands: {law: {jurisdiction: IS-1, stage: in-force, requires: {e2ee: false}}}\n" +
		"jurisdictions: {IS-1: {phase: withdrawn, unknown-part: serve}, IS-RKV: open}\n")
	if _, err := document.Parse("policy.yaml", text); err == nil || !strings.Contains(err.Error(), "IS-RKV") {
		t.Errorf("newly proposed: %v", err)
	}
	p, err := document.Read("policy.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []policy.Place{policy.PlaceOf("IS-RKV"), {Country: "IS", Subdivisions: [2]policy.Code{"IS-RKV"}}} {
		if d := policy.Compile(p, nil, time.Now()).Decide(place, p.Class(policy.Other)); d.Action != policy.Refuse {
			t.Errorf("%+v: %+v", place, *d)
		}
	}
}

// Issue 10, A2: from its date on, and for what it is about.
func TestADemandBindsFromItsDateOn(t *testing.T) {
	p, err := document.Read("policy.yaml", []byte("version: 1\n"+law+`routes: {news: [/news/]}
demands: {law: {jurisdiction: EE-37, stage: adopted, in-force: 2026-12-01T00:00:00Z, routes: [news], requires: {e2ee: false}}}
jurisdictions: {EE-37: withdrawn, EE-784: open}
`))
	if err != nil {
		t.Fatal(err)
	}
	place := policy.Place{Country: "EE", Subdivisions: [2]policy.Code{"EE-37", "EE-784"}}
	inForce := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		class string
		at    time.Time
		want  policy.Action
	}{
		{"news", inForce.Add(-1), policy.Forward},
		{"news", inForce, policy.Refuse},
		{policy.Other, inForce, policy.Forward},
	} {
		s := policy.Compile(p, nil, test.at)
		if got := s.Decide(place, p.Class(test.class)).Action; got != test.want {
			t.Errorf("%s at %s: %s, want %s", test.class, test.at, got, test.want)
		}
		if test.at.Before(inForce) && !s.Until().Equal(inForce) {
			t.Errorf("until %s", s.Until())
		}
	}
}

// Issue 10, A2: over the real hierarchy of ISO 3166-2, and whatever chains a
// database makes of its codes.
func TestWhatLiesInABoundPlaceIsWithheldByAnyHierarchy(t *testing.T) {
	var countries []string
	for country := range iso3166.Countries() {
		for range iso3166.Subdivisions(country.Code) {
			countries = append(countries, country.Code)
			break
		}
	}
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	loaded := 0
	rapid.Check(t, func(t *rapid.T) {
		country := rapid.SampledFrom(countries).Draw(t, "country")
		subs := slices.DeleteFunc(slices.Collect(iso3166.Subdivisions(country)), func(sub iso3166.Subdivision) bool {
			return policy.PlaceOf(policy.Code(sub.Code)).Country != policy.Code(country) // located to a code of its own
		})
		parents := make(map[string]string)
		for _, sub := range subs {
			parents[sub.Code] = sub.Parent
		}
		draw := func(label string) string { return rapid.SampledFrom(subs).Draw(t, label).Code }
		bound := draw("bound")
		if parent := parents[bound]; parent != "" && rapid.Bool().Draw(t, "its parent") {
			bound = parent
		}
		var b strings.Builder
		fmt.Fprintf(&b, "version: 1\n%sdemands: {law: {jurisdiction: %s, stage: in-force, requires: {e2ee: false}}}\njurisdictions:\n  %s: withdrawn\n", law, bound, bound)
		inner := draw("open")
		if inner != bound {
			fmt.Fprintf(&b, "  %s: open\n", inner)
		}
		p, err := document.Read("policy.yaml", []byte(b.String()))
		if err != nil {
			return // our table has the open one in the bound one
		}
		loaded++
		s := policy.Compile(p, nil, at)
		for _, chain := range [][2]string{{bound, inner}, {inner, bound}, {bound, ""}, {draw("first"), bound}, {bound, draw("second")}, {draw("first"), draw("second")}, {draw("alone"), ""}, {inner, ""}} {
			in := slices.ContainsFunc(chain[:], func(code string) bool { return code == bound || parents[code] == bound })
			place := policy.Place{Country: policy.Code(country), Subdivisions: [2]policy.Code{policy.Code(chain[0]), policy.Code(chain[1])}}
			if d := s.Decide(place, p.Class(policy.Other)); (d.Action == policy.Refuse) != in {
				t.Fatalf("%v: %s by %s\n%s", chain, d.Action, d.Entry, b.String())
			}
		}
	})
	if loaded == 0 {
		t.Error("no policy was loaded")
	}
}

// Issue 10, C11: a demand about some classes is met by a phase that refuses these,
// and one about the whole service by nothing but a withdrawal.
func TestAPartialDemandIsMetByThePhaseThatRefusesItsClasses(t *testing.T) {
	phases := policy.Phases()
	for routes, least := range map[string]policy.Phase{
		"[sign-up]":           policy.ClosedToNew,
		"[messages]":          policy.WindDown,
		"[sign-up, messages]": policy.WindDown,
		"[other]":             policy.WindDown,
		"[export]":            policy.Withdrawn,
		"":                    policy.Withdrawn,
	} {
		for _, phase := range phases {
			limit := ""
			if routes != "" {
				limit = ", routes: " + routes
			}
			text := fmt.Sprintf("version: 1\n%sroutes: {sign-up: [/signup], messages: [/messages/], export: [/export]}\ndemands: {law: {jurisdiction: IT, stage: in-force, requires: {e2ee: false}%s}}\njurisdictions: {IT: %s}\n", law, limit, phase)
			_, err := document.Parse("policy.yaml", []byte(text))
			if kept := phase >= least; (err == nil) != kept {
				t.Errorf("a demand on %s in the phase %s: %v", routes, phase, err)
			}
		}
	}
}

// Issue 10, A6: a list of the markets that are served.
func TestOnlyTheMarketsThatAreNamedAreServed(t *testing.T) {
	p, err := document.Parse("policy.yaml", []byte("version: 1\njurisdictions: {default: withdrawn, DE: open, EFTA: open, private: open}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Compile(p, nil, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	for _, place := range p.Places() {
		served := slices.Contains([]policy.Code{"DE", "NO", "IS", "LI", "CH", policy.Private}, place.Jurisdiction())
		d := s.Decide(place, p.Class(policy.Other))
		if (d.Action == policy.Forward) != served {
			t.Errorf("%s: %s by %s", place.Jurisdiction(), d.Action, d.Entry)
		}
		if !served && (d.Entry != policy.Default || d.Reason != policy.ByDefault) {
			t.Errorf("%s: by %s, %s", place.Jurisdiction(), d.Entry, d.Reason)
		}
	}
}

// Issue 10, A4: a binding demand says which territories it reaches, itself or by
// the entry of its country. What stands needn't.
func TestABindingDemandSaysWhichTerritoriesItReaches(t *testing.T) {
	for name, test := range map[string]struct {
		demand, entry string
		said          bool
		reached       []policy.Code
	}{
		"unsaid":            {"", "{phase: withdrawn}", false, nil},
		"all":               {", territories: all", "{phase: withdrawn, territories: all}", true, []policy.Code{"RE", "GP"}},
		"as before":         {", territories: true", "{phase: withdrawn, territories: true}", true, []policy.Code{"RE", "GP"}},
		"none":              {", territories: none", "withdrawn", true, nil},
		"not, as before":    {", territories: false", "withdrawn", true, nil},
		"some":              {", territories: [RE]", "{phase: withdrawn, territories: [RE, YT]}", true, []policy.Code{"RE"}},
		"by the entry":      {"", "{phase: withdrawn, territories: [GP]}", true, []policy.Code{"GP"}},
		"none by the entry": {"", "{phase: withdrawn, territories: none}", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte(fmt.Sprintf("version: 1\n%sdemands: {law: {jurisdiction: FR, stage: in-force, requires: {e2ee: false}%s}}\njurisdictions: {FR: %s}\n", law, test.demand, test.entry))
			if _, err := document.Parse("policy.yaml", text); (err == nil) != test.said {
				t.Errorf("proposed: %v", err)
			}
			p, err := document.Read("policy.yaml", text)
			if err != nil {
				t.Fatal(err)
			}
			bound := p.BoundPlaces(p.Demands()["law"])
			for _, code := range []policy.Code{"RE", "GP"} {
				in := slices.ContainsFunc(bound, func(place policy.Place) bool { return place.Country == code })
				if in != slices.Contains(test.reached, code) {
					t.Errorf("%s is bound: %t", code, in)
				}
			}
		})
	}
	open := fmt.Sprintf("version: 1\n%sdemands: {law: {jurisdiction: FR, territories: [RE], stage: in-force, requires: {e2ee: false}}}\njurisdictions: {FR: withdrawn}\n", law)
	if _, err := document.Read("policy.yaml", []byte(open)); err == nil {
		t.Error("RE is served under a demand that reaches it")
	}
}

// Issue 10, A1: what those get who are located to the country alone, while an entry
// is about a part of it, is said by the entry.
func TestWhoMayBeInAPartGetsWhatItsEntrySays(t *testing.T) {
	text := func(unknown string) []byte {
		return []byte(fmt.Sprintf("version: 1\n%sdemands: {law: {jurisdiction: US-MS, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {US-MS: {phase: withdrawn%s}, FR-75C: {phase: withdrawn, unknown-part: withhold}}\n", law, unknown))
	}
	if _, err := document.Parse("policy.yaml", text("")); err == nil {
		t.Error("it isn't said, and taken")
	}
	if _, err := document.Read("policy.yaml", text("")); err != nil {
		t.Error("what stands is refused:", err)
	}
	if _, err := document.Parse("policy.yaml", []byte(strings.Replace(string(text("")), "FR-75C:", "US: withdrawn, FR-75C:", 1))); err != nil {
		t.Error("the place around it is withdrawn:", err)
	}
	for unknown, withheld := range map[string]bool{", unknown-part: serve": false, ", unknown-part: withhold": true} {
		p, err := document.Parse("policy.yaml", text(unknown))
		if err != nil {
			t.Fatal(err)
		}
		s := policy.Compile(p, nil, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
		for place, want := range map[policy.Place]bool{
			{Country: "US"}: withheld,
			{Country: "US", Subdivisions: [2]policy.Code{"US-MS"}}: true,
			{Country: "US", Subdivisions: [2]policy.Code{"US-AL"}}: false,
			{Country: "US", Subdivisions: [2]policy.Code{"US-00"}}: withheld, // of no use
			{Country: "FR"}: true,
			{Country: "FR", Subdivisions: [2]policy.Code{"FR-IDF"}}:           true,
			{Country: "FR", Subdivisions: [2]policy.Code{"FR-ARA"}}:           false,
			{Country: "FR", Subdivisions: [2]policy.Code{"FR-77"}}:            false,
			{Country: "FR", Subdivisions: [2]policy.Code{"FR-IDF", "FR-77"}}:  false,
			{Country: "FR", Subdivisions: [2]policy.Code{"FR-IDF", "FR-75C"}}: true,
		} {
			d := s.Decide(place, p.Class(policy.Other))
			if (d.Action == policy.Refuse) != want {
				t.Errorf("%s: %+v: %s by %s", unknown, place, d.Action, d.Entry)
			}
			if x := s.Explain(place, "GET", "", "/"); want && (x.Decision != *d || !x.Matches[0].Wins || x.Matches[0].Entry != d.Entry) {
				t.Errorf("%+v: explained %+v", place, x)
			}
			if want && place.Subdivisions[0] == "" && (d.Jurisdiction != place.Country || d.Reason != policy.ByUnknownPart) {
				t.Errorf("%+v: %+v", place, *d)
			}
		}
	}
}

// Issue 10, E: the demand of a region binds a department that has an entry of its
// own.
func TestARegionsDemandBindsADepartmentWithAnEntry(t *testing.T) {
	for entries, kept := range map[string]bool{
		"FR-IDF: withdrawn":                    true,
		"FR-IDF: withdrawn, FR-75C: withdrawn": true,
		"FR-IDF: withdrawn, FR-75C: open":      false,
		"FR-IDF: withdrawn, FR-69: open":       true, // elsewhere
	} {
		_, err := document.Read("policy.yaml", []byte("version: 1\n"+law+"demands: {law: {jurisdiction: FR-IDF, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {"+entries+"}\n"))
		if (err == nil) != kept {
			t.Errorf("%s: %v", entries, err)
		}
	}
}

// Issue 10, A2 with B7: a clock that is set back takes no demand back, and neither
// costs a decision an allocation.
func TestADemandThatCameIntoForceStaysSoWhateverTheClock(t *testing.T) {
	p, err := document.Read("policy.yaml", []byte("version: 1\n"+law+`demands: {law: {jurisdiction: EE-37, stage: adopted, in-force: 2026-12-01T00:00:00Z, requires: {e2ee: false}}}
jurisdictions: {EE-37: {phase: withdrawn, unknown-part: withhold}, EE-784: open}
`))
	if err != nil {
		t.Fatal(err)
	}
	inForce := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	place := policy.Place{Country: "EE", Subdivisions: [2]policy.Code{"EE-37", "EE-784"}}
	class := p.Class(policy.Other)
	if d := policy.Compile(p, nil, inForce.Add(-time.Hour)).Decide(place, class); d.Action != policy.Forward {
		t.Errorf("an hour before: %s", d.Action)
	}
	s := policy.Compile(p.WithTaken(p.TakenAt(inForce)), nil, inForce.Add(-time.Hour))
	if d := s.Decide(place, class); d.Action != policy.Refuse {
		t.Errorf("an hour before, set back: %s", d.Action)
	}
	if allocations := testing.AllocsPerRun(100, func() { s.Decide(place, class); s.Decide(policy.Place{Country: "EE"}, class) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
