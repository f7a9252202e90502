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

func TestDecideIsANaiveReadingOfTheDocument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		p, err := document.Parse("policy.yaml", []byte(spec.Document()))
		if err != nil {
			t.Fatalf("%v\n%s", err, spec.Document())
		}
		at := policytest.Moments.Draw(t, "at")
		s := policy.Compile(p, nil, at)
		for _, place := range policytest.PlacesOf(spec.World) {
			for request, class := range policytest.Requests {
				d := policytest.Ask(t, s, place, request)
				want, by := spec.Read(place, class, at)
				action := policy.Forward
				switch {
				case want.Refused && spec.Observe:
					action = policy.WouldRefuse
				case want.Refused:
					action = policy.Refuse
				}
				if d.Action != action || int(d.Phase) != want.Phase || !slices.Contains(by, string(d.Entry)) {
					t.Fatalf("%v from %+v: decided %s, read %s %s by %s\n%s", request, place, sentence(d), action, policytest.Phases[want.Phase], by, spec.Document())
				}
			}
		}
	})
}

func TestTheWinnerOfExplainIsWhatDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		s := compileSpec(t, spec, policytest.Moments.Draw(t, "at"))
		for _, place := range policytest.PlacesOf(spec.World) {
			for request := range policytest.Requests {
				d := policytest.Ask(t, s, place, request)
				x := s.Explain(place, request[0], request[1], request[2])
				if x.Decision != *d || x.Class != d.Class || x.Place != place {
					t.Fatalf("decided %s, explained %s", sentence(d), sentence(&x.Decision))
				}
				var winners []policy.Code
				for _, m := range x.Matches {
					if m.Wins {
						winners = append(winners, m.Entry)
					}
				}
				switch {
				case d.Entry == policy.Default && winners == nil:
				case len(winners) != 1 || winners[0] != d.Entry || x.Matches[0].Entry != d.Entry:
					t.Fatalf("%v from %+v: %s wins, explained by %+v\n%s", request, place, d.Entry, x.Matches, spec.Document())
				case d.Phase != policy.Open && (x.Matches[0].Phase != d.Phase || !x.Matches[0].Since.Equal(d.Since)):
					t.Fatalf("%v from %+v: decided %+v, explained by %+v", request, place, d, x.Matches[0])
				}
				if !x.Next.IsZero() && (!x.Next.After(s.At()) || s.Until().IsZero() || x.Next.Before(s.Until())) {
					t.Fatalf("may change at %v, but the snapshot of %v holds until %v", x.Next, s.At(), s.Until())
				}
			}
		}
	})
}

func TestTimeNeverOpensAMarket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		times := []time.Time{policytest.Moments.Draw(t, "a"), policytest.Moments.Draw(t, "b")}
		slices.SortFunc(times, time.Time.Compare)
		earlier, later := compileSpec(t, spec, times[0]), compileSpec(t, spec, times[1])
		for _, place := range policytest.PlacesOf(spec.World) {
			for request := range policytest.Requests {
				before, after := policytest.Ask(t, earlier, place, request), policytest.Ask(t, later, place, request)
				if of(before).StricterThan(of(after)) {
					t.Fatalf("%v from %+v: %s at %v, but %s at %v\n%s", request, place, sentence(before), times[0], sentence(after), times[1], spec.Document())
				}
			}
		}
	})
}

// Issue 10, B7: a step that was taken holds whatever a clock says later.
func TestStepsThatWereTakenHoldAtEveryMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := parseSpec(t, policytest.Specs.Draw(t, "spec"))
		at, back := policytest.Moments.Draw(t, "at"), policytest.Moments.Draw(t, "back")
		if back.After(at) {
			at, back = back, at
		}
		want, got := policy.Compile(p, nil, at), policy.Compile(p.WithTaken(p.TakenAt(at)), nil, back)
		if !slices.Equal(want.Decisions(), got.Decisions()) {
			t.Fatalf("what was decided at %v isn't at %v: %v", at, back, policy.Differences(want, got))
		}
		// What governs nowhere is taken nowhere: it goes by the clock, and changes nothing.
		next := got
		for until := next.Until(); !until.Equal(want.Until()); until = next.Until() {
			next = policy.Compile(got.Policy(), nil, until)
			if until.IsZero() || !until.After(back) || !slices.Equal(want.Decisions(), next.Decisions()) {
				t.Fatalf("what was decided at %v holds until %v, and at %v until %v", at, want.Until(), back, got.Until())
			}
		}
		if again := got.Policy().TakenAt(back); !maps.Equal(again, p.TakenAt(at)) {
			t.Fatalf("%v were taken, and then %v", p.TakenAt(at), again)
		}
	})
}

func TestHidingOnesPlaceNeverOpensAMarket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		at := policytest.Moments.Draw(t, "at")
		s := compileSpec(t, spec, at)
		spec.Entries["anonymous"] = policytest.DrawEntry(t, "anonymous", spec.Routes)
		named := compileSpec(t, spec, at)
		for _, place := range policytest.PlacesOf(spec.World) {
			hidden, seen := place, place
			hidden.Anonymous, seen.Anonymous = true, false
			for request := range policytest.Requests {
				plain := policytest.Ask(t, named, seen, request)
				if of(plain).StricterThan(of(policytest.Ask(t, named, hidden, request))) {
					t.Fatalf("%v from %+v: opened by hiding", request, place)
				}
				if of(policytest.Ask(t, s, seen, request)) != of(plain) {
					t.Fatalf("%v from %+v: the entry anonymous changes what the others get", request, place)
				}
			}
		}
	})
}

func TestASnapshotHoldsUntilItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := parseSpec(t, policytest.Specs.Draw(t, "spec"))
		s := policy.Compile(p, nil, policytest.Moments.Draw(t, "at"))
		during := policytest.Moments.Draw(t, "during")
		switch until := s.Until(); {
		case until.IsZero():
			if during.Before(s.At()) {
				during = s.At().Add(1000 * time.Hour)
			}
		case !until.After(s.At()):
			t.Fatalf("the snapshot of %v holds until %v", s.At(), until)
		case during.Before(s.At()) || !during.Before(until):
			during = until.Add(-1)
		}
		again := policy.Compile(p, nil, during)
		if !slices.Equal(s.Decisions(), again.Decisions()) {
			t.Fatalf("the snapshot of %v holds until %v, but decides otherwise at %v", s.At(), s.Until(), during)
		}
		if !again.Until().Equal(s.Until()) {
			t.Fatalf("until %v, or %v", s.Until(), again.Until())
		}
		if changes := policy.Differences(s, again); changes != nil {
			t.Fatalf("changes: %v", changes)
		}
	})
}

func TestDecisionInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		s := compileSpec(t, spec, policytest.Moments.Draw(t, "at"))
		for i, d := range s.Decisions() {
			switch {
			case d.ID != i:
				t.Fatalf("decision %d has ID %d", i, d.ID)
			case d.Class == policy.Essential && d.Action != policy.Forward:
				t.Fatalf("the essential class is refused: %+v", d)
			case spec.Observe && d.Action == policy.Refuse:
				t.Fatalf("refused while observing: %+v", d)
			case !spec.Observe && d.Action == policy.WouldRefuse:
				t.Fatalf("would be refused, but isn't: %+v", d)
			case (d.Action != policy.Forward) != d.Phase.Refuses(d.Class):
				t.Fatalf("%s in phase %s: %+v", d.Class, d.Phase, d)
			case d.Phase == policy.Open && !(d.Since.IsZero() && d.Announced.IsZero() && d.Sunset.IsZero()):
				t.Fatalf("open, but with dates: %+v", d)
			case d.Phase == policy.Withdrawn && !d.Since.Equal(d.Sunset), d.Since.Before(d.Announced):
				t.Fatalf("dates in disorder: %+v", d)
			case (d.Reason == policy.ByDefault) != (d.Entry == policy.Default):
				t.Fatalf("%s by %s", d.Reason, d.Entry)
			}
		}
	})
}

func of(d *policy.Decision) policytest.Verdict {
	return policytest.Verdict{Refused: d.Action != policy.Forward, Phase: int(d.Phase)}
}

func parseSpec(t *rapid.T, s policytest.Spec) *policy.Policy {
	p, err := document.Parse("policy.yaml", []byte(s.Document()))
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Document())
	}
	return p
}

func compileSpec(t *rapid.T, s policytest.Spec, at time.Time) *policy.Snapshot {
	return policy.Compile(parseSpec(t, s), nil, at)
}
