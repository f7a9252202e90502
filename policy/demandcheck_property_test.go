package policy_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

func TestAPolicyLoadsIfAndOnlyIfItKeepsItsPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Promises.Draw(t, "promise")
		_, err := document.Read("policy.yaml", []byte(p.Document()))
		switch broken := p.Broken(); {
		case broken != "" && err == nil:
			t.Fatalf("it loads, although %s\n%s", broken, p.Document())
		case broken == "" && err != nil && !p.Contradictory():
			t.Fatalf("it doesn't load: %v\n%s", err, p.Document())
		}
	})
}

// TestNoSnapshotForwardsBelowAGuarantee is the promise itself: whatever the
// policy, the flags and the time, as long as the policy loads.
func TestNoSnapshotForwardsBelowAGuarantee(t *testing.T) {
	loaded := 0
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Promises.Draw(t, "promise")
		loads, err := document.Read("policy.yaml", []byte(p.Document()))
		if err != nil {
			return
		}
		loaded++
		flags, at := policytest.Flags.Draw(t, "flags"), policytest.Moments.Draw(t, "at")
		if rapid.Bool().Draw(t, "its own") {
			flags = loads.OwnFlags()
		}
		s, without := policy.Compile(loads, flags, at), policy.Compile(loads, nil, at)
		for _, place := range policytest.PlacesOf(p.World) {
			for request := range policytest.Requests {
				d := policytest.Ask(t, s, place, request)
				if of(policytest.Ask(t, without, place, request)).StricterThan(of(d)) {
					t.Fatalf("%v from %+v: opened by flags: %s", request, place, sentence(d))
				}
				for _, told := range s.FlagsToApp(d.Jurisdiction) {
					if f, named := loads.Flag(told.Name); !named || !f.Allows(told.Value) {
						t.Fatalf("the app is told %v in %s", told, d.Jurisdiction)
					}
				}
				if d.Class == policy.Essential || d.Action == policy.Refuse {
					continue
				}
				settings := flags[d.Jurisdiction]
				for name, v := range settings.Values {
					if f, named := loads.Flag(name); named && !f.Allows(v) {
						t.Fatalf("%v from %+v is forwarded with %s: %v\n%s", request, place, name, v, p.Document())
					}
				}
				if len(settings.Breached) > 0 {
					t.Fatalf("%v from %+v is forwarded after a breach", request, place)
				}
			}
		}
		// Wherever a database has somebody, also where its chains of subdivisions
		// are not those of ISO 3166-2 (issue 10, A2).
		for _, place := range slices.Concat(policytest.RealPlaces(p.World), policytest.PlacesOf(p.World)) {
			for request := range policytest.Requests {
				d := policytest.Ask(t, s, place, request)
				for name, law := range p.Demands {
					concerns := law.Routes == nil || slices.Contains(law.Routes, d.Class)
					if d.Class != policy.Essential && d.Action != policy.Refuse && concerns && law.Binds() && law.Breaks() && p.Covers(law, place) && !at.Before(law.From()) {
						t.Fatalf("%v from %+v is forwarded under %s\n%s", request, place, name, p.Document())
					}
				}
			}
		}
	})
	if loaded == 0 && !testing.Short() {
		t.Error("no policy was loaded")
	}
}

func TestOwnFlagsAreWhatValueReturns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Promises.Draw(t, "promise")
		loads, err := document.Read("policy.yaml", []byte(p.Document()))
		if err != nil {
			return
		}
		s := policy.Compile(loads, loads.OwnFlags(), policytest.Moments.Draw(t, "at"))
		for _, place := range policytest.RealPlaces(p.World) {
			d := policytest.Ask(t, s, place, [3]string{"GET", "", "/"})
			told := map[string]policy.Value{}
			for _, flag := range s.FlagsToApp(d.Jurisdiction) {
				told[flag.Name] = flag.Value
			}
			if v, set := policytest.Value(p, p.E2EE, place); set && v {
				if told["end-to-end-encryption"].Any() != true {
					t.Fatalf("%+v: told %v\n%s", place, told, p.Document())
				}
			} else if _, said := told["end-to-end-encryption"]; said {
				t.Fatalf("%+v: told %v\n%s", place, told, p.Document())
			}
			if v, set := policytest.Value(p, p.Days, place); set && v <= 7 && told["retention-days"].Any() != int64(v) {
				t.Fatalf("%+v: told %v, not %d\n%s", place, told, v, p.Document())
			}
		}
	})
}
