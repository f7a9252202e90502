package policy_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

// Issue 10, C13: a copy may be given to nobody who would be refused. Whatever is
// refused at some moment was said to be by then, if the public could know.
func TestWhatIsRefusedLaterWasForeseen(t *testing.T) {
	loaded := 0
	rapid.Check(t, func(t *rapid.T) {
		promise := policytest.Promises.Draw(t, "promise")
		p, err := document.Read("policy.yaml", []byte(promise.Document()))
		if err != nil {
			return
		}
		loaded++
		times := []time.Time{policytest.Moments.Draw(t, "at"), policytest.Moments.Draw(t, "later")}
		slices.SortFunc(times, time.Time.Compare)
		s, later := policy.Compile(p, nil, times[0]), policy.Compile(p, nil, times[1])
		foreseen := func(from time.Time) bool { return !from.IsZero() && !from.After(times[1]) }
		real := make(map[policy.Place]bool)
		for _, place := range policytest.RealPlaces(promise.World) {
			real[place] = true
		}
		for _, place := range policytest.PlacesOf(promise.World) {
			for _, place.Anonymous = range []bool{false, true} {
				for request, name := range policytest.Requests {
					class := s.Classify(request[0], request[1], request[2]).Class
					from := s.RefusedFrom(place, class)
					if d := policytest.Ask(t, later, place, request); d.Action == policy.Refuse {
						before := policytest.Ask(t, s, place, request).Action
						entry := promise.Entries[string(d.Entry)]
						bound := slices.ContainsFunc(slices.Collect(maps.Values(promise.Demands)), func(d policytest.Demand) bool { return promise.Covers(d, place) })
						if before != policy.Refuse && (bound || !entry.Foretells(promise.ClassOf(name), times[0], times[1])) {
							continue // whom a demand is found to bind is another matter
						}
						if !foreseen(from) || !foreseen(s.RefusedFromAnywhere(class)) || !place.Private && !foreseen(s.RefusedFromWithin(place.Country, class)) {
							t.Fatalf("%v from %+v is refused at %v, foreseen for %v at %v\n%s", request, place, times[1], from, times[0], promise.Document())
						}
						for _, code := range place.Subdivisions {
							if policy.PlaceOf(code) == place && !foreseen(s.RefusedFromWithin(code, class)) {
								t.Fatalf("%v from within %s is refused at %v\n%s", request, code, times[1], promise.Document())
							}
						}
					} else if real[place] && policytest.Ask(t, s, place, request).Action != policy.Refuse && !from.IsZero() && !from.After(times[0]) {
						t.Fatalf("%v from %+v is served at %v, and said to be refused from %v\n%s", request, place, times[0], from, promise.Document())
					}
				}
			}
		}
	})
	if loaded == 0 {
		t.Error("no policy was good")
	}
}

// Issue 10, C13; issue 11, 1: while a market is open, nobody can find out what will
// become of it: neither by how long answers may be kept, nor by what is said of when
// the service ends.
func TestWhatIsNotPublicMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		at := policytest.Moments.Draw(t, "at")
		s, without := compileSpec(t, spec, at), compileSpec(t, spec.WithoutSecrets(at), at)
		if is, want := s.LongestFreshness(), without.LongestFreshness(); is != want {
			t.Fatalf("answers are fresh for %v, without the secrets for %v\n%s", is, want, spec.Document())
		}
		for _, place := range policytest.PlacesOf(spec.World) {
			for request := range policytest.Requests {
				class := s.Classify(request[0], request[1], request[2]).Class
				same := func(what string, is, want time.Time) {
					if !is.Equal(want) {
						t.Fatalf("%v from %+v at %v: %s %v, without the secrets %v\n%s", request, place, at, what, is, want, spec.Document())
					}
				}
				same("refused from", s.RefusedFrom(place, class), without.RefusedFrom(place, class))
				same("refused anywhere from", s.RefusedFromAnywhere(class), without.RefusedFromAnywhere(class))
				for _, code := range []policy.Code{place.Country, place.Subdivisions[0]} {
					same("refused within from", s.RefusedFromWithin(code, class), without.RefusedFromWithin(code, class))
				}
				is, want := *policytest.Ask(t, s, place, request), *policytest.Ask(t, without, place, request)
				if is.ID, want.ID = 0, 0; is != want {
					t.Fatalf("%v from %+v at %v: %+v, without the secrets %+v\n%s", request, place, at, is, want, spec.Document())
				}
			}
		}
	})
}

func TestRefusedFrom(t *testing.T) {
	const announced = "{from: 2026-01-01T00:00:00Z, phase: announced}, "
	const march, april = "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, policy         string
		place                policy.Place
		class                string
		here, around, within string // "" for never, "now"
	}{
		{"nothing is restricted", "", policy.PlaceOf("FR"), "other", "", "", ""},
		{"withdrawn now", "jurisdictions: {FR: withdrawn}", policy.PlaceOf("FR"), "other", "now", "now", "now"},
		{"withdrawn elsewhere", "jurisdictions: {FR: withdrawn}", policy.PlaceOf("DE"), "other", "", "now", ""},
		{"what is essential", "jurisdictions: {FR: withdrawn}", policy.PlaceOf("FR"), "essential", "", "", ""},
		{"what is announced", "jurisdictions: {FR: announced}", policy.PlaceOf("FR"), "other", "", "", ""},
		{"a step to come", "jurisdictions: {FR: {schedule: [" + announced + "{from: " + march + ", phase: closed-to-new}, {from: " + april + ", phase: withdrawn}]}}", policy.PlaceOf("FR"), "other", april, april, april},
		{"a step to come, for new users", "jurisdictions: {FR: {schedule: [" + announced + "{from: " + march + ", phase: closed-to-new}, {from: " + april + ", phase: withdrawn}]}}", policy.PlaceOf("FR"), "sign-up", march, march, march},
		{"a feature", "jurisdictions: {FR: {features: {news: withdrawn}}}", policy.PlaceOf("DE"), "news", "", "now", ""},
		{"all but a feature", "jurisdictions: {FR: {features: {news: withdrawn}}}", policy.PlaceOf("FR"), "other", "", "", ""},
		{"while it only observes", "mode: observe\njurisdictions: {FR: withdrawn}", policy.PlaceOf("FR"), "other", "", "", ""},
		{"by default", "jurisdictions: {default: withdrawn, DE: open}", policy.PlaceOf("DE"), "other", "", "now", ""},
		{"those who hide", "jurisdictions: {anonymous: {schedule: [" + announced + "{from: " + march + ", phase: withdrawn}]}}", policy.PlaceOf("DE"), "other", "", march, march},
		{"a part of the country", "jurisdictions: {US-MS: withdrawn}", policy.PlaceOf("US"), "other", "", "now", "now"},
		{"another part of the country", "jurisdictions: {US-MS: withdrawn}", policy.PlaceOf("US-CA"), "other", "", "now", ""},
		{"an unknown part", "jurisdictions: {US-MS: {unknown-part: withhold, schedule: [" + announced + "{from: " + march + ", phase: withdrawn}]}}", policy.PlaceOf("US"), "other", march, march, march},
		{"a known part beside it", "jurisdictions: {US-MS: {unknown-part: withhold, schedule: [" + announced + "{from: " + march + ", phase: withdrawn}]}}", policy.PlaceOf("US-CA"), "other", "", march, ""},
		{"within what a demand binds", "guarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: EE-37, stage: adopted, in-force: " + april + ", requires: {e2ee: false}}}\njurisdictions: {EE-37: {unknown-part: serve, schedule: [" + announced + "{from: " + march + ", phase: withdrawn}]}, EE-784: open}",
			policy.Place{Country: "EE", Subdivisions: [2]policy.Code{"EE-37", "EE-784"}}, "other", "", march, march}, // when a demand will bind isn't public
		{"a step that isn't public", "jurisdictions: {FR: {schedule: [{from: " + march + ", phase: announced}, {from: " + april + ", phase: withdrawn}]}}", policy.PlaceOf("FR"), "other", "", "", ""},
		{"a demand that will bind", "guarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: FR, territories: none, stage: adopted, disclose: false, in-force: " + april + ", requires: {e2ee: false}}}\njurisdictions: {FR: {territories: none, schedule: [{from: " + april + ", phase: withdrawn}]}}", policy.PlaceOf("FR"), "other", "", "", ""},
		{"an announced feature of what will be withdrawn in secret", "jurisdictions: {FR: {schedule: [{from: " + march + ", phase: withdrawn}], features: {news: {schedule: [" + announced + "{from: " + april + ", phase: withdrawn}]}}}}", policy.PlaceOf("FR"), "news", april, april, april},
		{"what isn't of that feature", "jurisdictions: {FR: {schedule: [{from: " + march + ", phase: withdrawn}], features: {news: announced}}}", policy.PlaceOf("FR"), "other", "", "", ""},
		{"another entry that isn't public", "jurisdictions: {FR: {schedule: [{from: " + march + ", phase: withdrawn}]}, DE: {schedule: [" + announced + "{from: " + april + ", phase: withdrawn}]}}", policy.PlaceOf("FR"), "other", "", april, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := document.Read("policy.yaml", []byte("version: 1\nroutes: {sign-up: [POST /signup], news: [/news/]}\n"+test.policy))
			if err != nil {
				t.Fatal(err)
			}
			s := policy.Compile(p, nil, at)
			class := p.Class(test.class)
			code := test.place.Jurisdiction()
			if test.place.Subdivisions[1] != "" {
				code = test.place.Subdivisions[0]
			}
			for _, got := range []struct {
				what string
				from time.Time
				want string
			}{
				{"here", s.RefusedFrom(test.place, class), test.here},
				{"anywhere", s.RefusedFromAnywhere(class), test.around},
				{"within " + string(code), s.RefusedFromWithin(code, class), test.within},
			} {
				want := got.want
				if want == "now" {
					want = at.Format(time.RFC3339)
				}
				is := ""
				if !got.from.IsZero() {
					is = got.from.Format(time.RFC3339)
				}
				if is != want {
					t.Errorf("%s is refused from %q, want %q", got.what, is, want)
				}
			}
			place := test.place
			if n := testing.AllocsPerRun(10, func() { s.RefusedFrom(place, class); s.RefusedFromWithin(code, class) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	p, err := document.Parse("policy.yaml", []byte("version: 1\nroutes: {news: [/news/]}\njurisdictions: {FR: {features: {news: withdrawn}}, anonymous: withdrawn, US-MS: {phase: withdrawn, unknown-part: withhold}}"))
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Compile(p, nil, time.Now())
	all := s.Refusals()
	routes := all[0].Routes
	for i := range all {
		if all[i].Routes != routes || routes == "" {
			t.Errorf("%+v is by other routes", all[i])
		}
		all[i].Routes = ""
	}
	for _, want := range []policy.Refusal{
		{Jurisdiction: "FR", Class: "news"}, {Jurisdiction: "anonymous", Class: "other"}, {Jurisdiction: "US-MS", Class: "other"},
		{Jurisdiction: "US", Class: "other", Of: "unknown-part"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%+v is missing in %+v", want, all)
		}
	}
	if slices.ContainsFunc(all, func(r policy.Refusal) bool { return r.Class == policy.Essential || r.Jurisdiction == "DE" }) {
		t.Errorf("there is more: %+v", all)
	}
}
