package plan_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
	"github.com/exitgate/exitgate/policy/plan"
)

// successions are two documents about the same world, of which the second
// often is the first with a few differences.
var successions = rapid.Custom(func(t *rapid.T) [2]policytest.Promise {
	before, after := policytest.Promises.Draw(t, "before"), policytest.Promises.Draw(t, "after")
	if rapid.Bool().Draw(t, "alike") {
		before.Groups, before.Routes = after.Groups, after.Routes
		for code, e := range before.Entries {
			if rapid.IntRange(0, 3).Draw(t, "kept") > 0 {
				after.Entries[code] = e
			}
		}
	}
	before.World, after.World = policytest.Countries, policytest.Countries
	return [2]policytest.Promise{before, after}
})

// parseBoth returns nil unless both documents are good.
func parseBoth(pair [2]policytest.Promise) (before, after *policy.Policy) {
	before, err := document.Read("before.yaml", []byte(pair[0].Document()))
	if err != nil {
		return nil, nil
	}
	after, err = document.Read("after.yaml", []byte(pair[1].Document()))
	if err != nil {
		return nil, nil
	}
	return before, after
}

// treatment is what a snapshot gives a place of a class, which is taken for
// other if the policy doesn't have it.
func treatment(s *policy.Snapshot, place policy.Place, class string) plan.Treatment {
	found := max(slices.Index(s.Policy().Classes(), class), 0)
	d := s.Decide(place, policy.Class(found))
	return plan.Treatment{
		Phase:    d.Phase,
		Observed: s.Policy().Mode() == policy.Observe && d.Action != policy.Refuse && d.Phase >= policy.ClosedToNew,
	}
}

// movedWith is the code under which a plan has the moves of a place.
func movedWith(p plan.Plan, place policy.Place) policy.Code {
	for _, code := range []policy.Code{place.Subdivisions[1], place.Subdivisions[0]} {
		if slices.Contains(p.Exceptions, code) {
			return code
		}
	}
	place.Subdivisions = [2]policy.Code{}
	return place.Jurisdiction()
}

// replay takes the moves of a plan over what was.
func replay(p plan.Plan, was plan.Treatment, place policy.Place, class string, at time.Time) (plan.Treatment, bool) {
	code, moved := movedWith(p, place), false
	unknownPart := slices.Contains(p.UnknownParts, place.Jurisdiction())
	if unknownPart {
		code = place.Jurisdiction()
	}
	for _, m := range p.Moves {
		if m.UnknownPart == unknownPart && slices.Contains(m.Jurisdictions, code) && (m.Routes == nil || slices.Contains(m.Routes, class)) &&
			!at.Before(m.From) && (m.Until.IsZero() || at.Before(m.Until)) {
			if m.Before != was || moved {
				return m.After, false
			}
			was, moved = m.After, true
		}
	}
	return was, true
}

func TestAPlanReplayedGivesWhatTheNewPolicyGives(t *testing.T) {
	planned := 0
	rapid.Check(t, func(t *rapid.T) {
		pair := successions.Draw(t, "succession")
		before, after := parseBoth(pair)
		if before == nil {
			return
		}
		flags, at := policytest.Flags.Draw(t, "flags"), policytest.Moments.Draw(t, "at")
		if rapid.Bool().Draw(t, "steps were taken") { // by a clock that was set back
			taken := before.TakenAt(policytest.Moments.Draw(t, "until"))
			before, after = before.WithTaken(taken), after.WithTaken(taken)
		}
		change := plan.New(before, after, flags, at)
		planned++
		later := policytest.Moments.Draw(t, "later")
		if later.Before(at) {
			later = at
		}
		was := policy.Compile(before, flags, later)
		is := policy.Compile(after, plan.PredictFlags(before, after, flags), later)
		for _, place := range append(policytest.RealPlaces(policytest.Countries), policy.Place{}, policy.Place{Private: true}, policy.Place{Country: "JP"}) {
			for _, class := range []string{"other", "sign-up", "export", "news"} {
				if class != "other" && !slices.Contains(pair[0].Routes, class) && !slices.Contains(pair[1].Routes, class) {
					continue
				}
				in := func(p policytest.Promise) string {
					if slices.Contains(p.Routes, class) {
						return class
					}
					return "other"
				}
				old, now := treatment(was, place, in(pair[0])), treatment(is, place, in(pair[1]))
				if got, ok := replay(change, old, place, class, later); !ok || got != now {
					t.Fatalf("%s of %v at %v: was %v, is %v, the plan says %v\n%v\n%s\n%s", class, place, later, old, now, got, change.Moves, pair[0].Document(), pair[1].Document())
				}
			}
		}
	})
	if planned == 0 && !testing.Short() {
		t.Error("nothing was planned")
	}
}

func TestAPlanThatOpensNothingOpensNothingAtAnyTime(t *testing.T) {
	harmless := 0
	rapid.Check(t, func(t *rapid.T) {
		pair := successions.Draw(t, "succession")
		if rapid.Bool().Draw(t, "kin") {
			pair[1] = restricted(t, pair[0])
		}
		before, after := parseBoth(pair)
		if before == nil {
			return
		}
		flags, at := policytest.Flags.Draw(t, "flags"), policytest.Moments.Draw(t, "at")
		change := plan.New(before, after, flags, at)
		opens, withdraws := change.HasEffect(plan.OpensMarket), change.HasEffect(plan.WithdrawsMarket)
		if opens && withdraws {
			return
		}
		harmless++
		later := policytest.Moments.Draw(t, "later")
		if later.Before(at) {
			later = at
		}
		was := policy.Compile(before, flags, later)
		is := policy.Compile(after, plan.PredictFlags(before, after, flags), later)
		for _, place := range append(policytest.RealPlaces(policytest.Countries), policy.Place{}, policy.Place{Private: true}) {
			for _, place.Anonymous = range []bool{false, true} {
				for request := range policytest.Requests {
					old, now := policytest.Ask(t, was, place, request), policytest.Ask(t, is, place, request)
					switch {
					case !opens && old.Action == policy.Refuse && now.Action != policy.Refuse:
						t.Fatalf("%v from %v at %v: %s, then %s\n%v\n%s\n%s", request, place, later, old.Phase, now.Phase, change.Amendments, pair[0].Document(), pair[1].Document())
					case !withdraws && old.Action != policy.Refuse && now.Action == policy.Refuse:
						t.Fatalf("%v from %v at %v: %s, then %s, but nothing is withdrawn\n%s\n%s", request, place, later, old.Phase, now.Phase, pair[0].Document(), pair[1].Document())
					}
				}
			}
		}
	})
	if harmless == 0 && !testing.Short() { // which draws few
		t.Error("every plan opened and withdrew")
	}
}

// What one person may do in an emergency gives nobody more than before, at any
// later time, and whatever flag sources say then of what both policies tell
// apart.
func TestAPlanThatOnlyRestrictsGivesNobodyMoreEver(t *testing.T) {
	restricting := 0
	rapid.Check(t, func(t *rapid.T) {
		pair := successions.Draw(t, "succession")
		pair[1] = restricted(t, pair[0])
		before, after := parseBoth(pair)
		if before == nil {
			return
		}
		flags, at := policytest.Flags.Draw(t, "flags"), policytest.Moments.Draw(t, "at")
		change := plan.New(before, after, flags, at)
		if !change.OnlyRestricts() {
			return
		}
		restricting++
		for _, effect := range []plan.Effect{plan.OpensMarket, plan.WeakensApprovals, plan.WeakensGuarantee, plan.WeakensDemand, plan.AcknowledgesBreach, plan.ChangesOther} {
			if change.HasEffect(effect) {
				t.Fatalf("effects %v", change.Effects)
			}
		}
		later := policytest.Moments.Draw(t, "later")
		if later.Before(at) {
			later = at
		}
		flags = policytest.Flags.Draw(t, "later flags")
		maps.DeleteFunc(flags, func(code policy.Code, _ policy.Settings) bool {
			place := policy.PlaceOf(code)
			return !slices.Contains(before.Places(), place) || !slices.Contains(after.Places(), place)
		})
		was := policy.Compile(before, flags, later)
		is := policy.Compile(after, plan.PredictFlags(before, after, flags), later)
		for _, place := range append(policytest.RealPlaces(policytest.Countries), policy.Place{}, policy.Place{Private: true}, policy.Place{Country: "JP"}) {
			for _, place.Anonymous = range []bool{false, true} {
				for request := range policytest.Requests {
					old, now := policytest.Ask(t, was, place, request), policytest.Ask(t, is, place, request)
					if old.Class != now.Class || old.Action == policy.Refuse && now.Action != policy.Refuse || old.Class != policy.Essential && now.Phase < old.Phase {
						t.Fatalf("%v from %v at %v: %s, then %s\n%+v\n%s\n%s", request, place, later, old.Phase, now.Phase, change, pair[0].Document(), pair[1].Document())
					}
				}
			}
		}
		if diff := cmp.Diff(before.Notices(), after.Notices()); diff != "" {
			t.Fatal(diff)
		}
	})
	if restricting == 0 && !testing.Short() {
		t.Error("no plan only restricted")
	}
}

// restricted is a document of which some entries say something else, mostly
// that a market is withdrawn.
func restricted(t *rapid.T, p policytest.Promise) policytest.Promise {
	p.Entries = maps.Clone(p.Entries)
	codes := append(slices.Sorted(maps.Keys(p.Entries)), "DE", "RE", "FR-75C", "EU", "anonymous")
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 1, 3, rapid.ID).Draw(t, "changed") {
		switch e := p.Entries[code]; rapid.IntRange(0, 7).Draw(t, "how") {
		case 0:
			delete(p.Entries, code)
		case 1:
			p.Entries[code] = policytest.DrawEntry(t, code, p.Routes)
		default:
			p.Entries[code] = policytest.Entry{Steps: []policytest.Step{{From: rapid.SampledFrom(append(policytest.Times, "", "", "")).Draw(t, "from"), Phase: "withdrawn"}}, Territories: e.Territories}
		}
	}
	p.Observe = p.Observe && rapid.Bool().Draw(t, "observed")
	return p
}

func TestNothingIsPlannedForThePolicyInUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := document.Read("policy.yaml", []byte(policytest.Promises.Draw(t, "promise").Document()))
		if err != nil {
			return
		}
		change := plan.New(p, p, policytest.Flags.Draw(t, "flags"), policytest.Moments.Draw(t, "at"))
		if !change.Empty() || change.Effects != nil || change.Expansions != nil {
			t.Fatalf("planned: %+v", change)
		}
	})
}

func TestAPlanIsTheSameEachTimeAndOverJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := parseBoth(successions.Draw(t, "succession"))
		if before == nil {
			return
		}
		flags, at := policytest.Flags.Draw(t, "flags"), policytest.Moments.Draw(t, "at")
		change := plan.New(before, after, flags, at)
		text, err := json.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(plan.New(before, after, flags, at)); !bytes.Equal(text, again) {
			t.Fatalf("%s\n%s", text, again)
		}
		var read plan.Plan
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(change.Moves, read.Moves); diff != "" {
			t.Fatal(diff)
		}
		later := plan.New(before, after, flags, at.Add(1))
		same := cmp.Equal(change.Moves, later.Moves) && cmp.Equal(change.Effects, later.Effects) && cmp.Equal(change.Amendments, later.Amendments, cmpopts.IgnoreFields(plan.Amendment{}, "Dropped"))
		if same != (change.Hash == later.Hash) {
			t.Fatalf("what is planned is the same: %t, the hashes %s and %s", same, change.Hash, later.Hash)
		}
	})
}

func TestImpactIsWhatDecidesOtherwise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pair := successions.Draw(t, "succession")
		pair[0].Routes = pair[1].Routes
		before, after := parseBoth(pair)
		if before == nil {
			return
		}
		flags, at := policytest.Flags.Draw(t, "flags"), policytest.Moments.Draw(t, "at")
		was := policy.Compile(before, flags, at)
		is := policy.Compile(after, plan.PredictFlags(before, after, flags), at)
		counts := map[plan.Traffic]uint64{}
		var want plan.Impact
		places := append(policytest.RealPlaces(policytest.Countries), policy.Place{}, policy.Place{Private: true})
		for _, place := range places {
			place.Anonymous = rapid.Bool().Draw(t, "anonymous")
			for request := range policytest.Requests {
				old, now := policytest.Ask(t, was, place, request), policytest.Ask(t, is, place, request)
				if old.Jurisdiction != place.Jurisdiction() {
					continue // what the counts can't tell: see Perhaps
				}
				counts[plan.Traffic{Jurisdiction: old.Jurisdiction, Class: old.Class, Anonymous: place.Anonymous, UnknownPart: place.Country != ""}]++
				want.Requests++
				switch {
				case old.Action == policy.Refuse && now.Action != policy.Refuse:
					want.Served++
				case old.Action != policy.Refuse && now.Action == policy.Refuse:
					want.Refused++
				}
			}
		}
		hit := plan.New(before, after, flags, at).Impact(counts)
		if diff := cmp.Diff(want, hit, cmpopts.IgnoreFields(plan.Impact{}, "Perhaps", "Moves")); diff != "" {
			t.Fatal(diff)
		}
	})
}
