package policy_test

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
)

// successions are two documents about the same world, of which the second
// often is the first with a few differences.
var successions = rapid.Custom(func(t *rapid.T) [2]promise {
	before, after := promises.Draw(t, "before"), promises.Draw(t, "after")
	if rapid.Bool().Draw(t, "alike") {
		before.groups, before.routes = after.groups, after.routes
		for code, e := range before.entries {
			if rapid.IntRange(0, 3).Draw(t, "kept") > 0 {
				after.entries[code] = e
			}
		}
	}
	before.world, after.world = countries, countries
	return [2]promise{before, after}
})

// parseBoth returns nil unless both documents are good.
func parseBoth(pair [2]promise) (before, after *policy.Policy) {
	before, err := policy.Parse("before.yaml", []byte(pair[0].document()))
	if err != nil {
		return nil, nil
	}
	after, err = policy.Parse("after.yaml", []byte(pair[1].document()))
	if err != nil {
		return nil, nil
	}
	return before, after
}

// standing is what a snapshot gives a place of a class, which is taken for
// other if the policy doesn't have it.
func standing(s *policy.Snapshot, place policy.Place, class string) policy.Treatment {
	found := max(slices.Index(s.Policy().Classes(), class), 0)
	d := s.Decide(place, policy.Class(found))
	return policy.Treatment{
		Phase:    d.Phase,
		Observed: s.Policy().Mode() == policy.Observe && d.Reason != policy.ByGuarantee && d.Phase >= policy.ClosedToNew,
	}
}

// spokenOf is the code under which a plan has the moves of a place.
func spokenOf(p policy.Plan, place policy.Place) policy.Code {
	for _, code := range []policy.Code{place.Subdivisions[1], place.Subdivisions[0]} {
		if slices.Contains(p.Exceptions, code) {
			return code
		}
	}
	place.Subdivisions = [2]policy.Code{}
	return place.Jurisdiction()
}

// replay takes the moves of a plan over what was.
func replay(p policy.Plan, was policy.Treatment, code policy.Code, class string, at time.Time) (policy.Treatment, bool) {
	moved := false
	for _, m := range p.Moves {
		if slices.Contains(m.Jurisdictions, code) && (m.Routes == nil || slices.Contains(m.Routes, class)) &&
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
		flags, at := someFlags.Draw(t, "flags"), moments.Draw(t, "at")
		plan := policy.NewPlan(before, after, flags, at)
		planned++
		later := moments.Draw(t, "later")
		if later.Before(at) {
			later = at
		}
		was := policy.Compile(before, flags, later)
		is := policy.Compile(after, after.PredictFlags(before, flags), later)
		for _, place := range append(realPlaces(countries), policy.Place{}, policy.Place{Private: true}, policy.Place{Country: "JP"}) {
			for _, class := range []string{"other", "sign-up", "export", "news"} {
				if class != "other" && !slices.Contains(pair[0].routes, class) && !slices.Contains(pair[1].routes, class) {
					continue
				}
				in := func(p promise) string {
					if slices.Contains(p.routes, class) {
						return class
					}
					return "other"
				}
				old, now := standing(was, place, in(pair[0])), standing(is, place, in(pair[1]))
				if got, ok := replay(plan, old, spokenOf(plan, place), class, later); !ok || got != now {
					t.Fatalf("%s of %v at %v: was %v, is %v, the plan says %v\n%v\n%s\n%s", class, place, later, old, now, got, plan.Moves, pair[0].document(), pair[1].document())
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
		flags, at := someFlags.Draw(t, "flags"), moments.Draw(t, "at")
		plan := policy.NewPlan(before, after, flags, at)
		opens, withdraws := plan.HasEffect(policy.OpensMarket), plan.HasEffect(policy.WithdrawsMarket)
		if opens && withdraws {
			return
		}
		harmless++
		later := moments.Draw(t, "later")
		if later.Before(at) {
			later = at
		}
		was := policy.Compile(before, flags, later)
		is := policy.Compile(after, after.PredictFlags(before, flags), later)
		for _, place := range append(realPlaces(countries), policy.Place{}, policy.Place{Private: true}) {
			for _, place.Anonymous = range []bool{false, true} {
				for request := range requests {
					old, now := ask(t, was, place, request), ask(t, is, place, request)
					switch {
					case !opens && old.Action == policy.Refuse && now.Action != policy.Refuse:
						t.Fatalf("%v from %v at %v: %s, then %s\n%v\n%s\n%s", request, place, later, sentence(old), sentence(now), plan.Amendments, pair[0].document(), pair[1].document())
					case !withdraws && old.Action != policy.Refuse && now.Action == policy.Refuse:
						t.Fatalf("%v from %v at %v: %s, then %s, but nothing is withdrawn\n%s\n%s", request, place, later, sentence(old), sentence(now), pair[0].document(), pair[1].document())
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
		flags, at := someFlags.Draw(t, "flags"), moments.Draw(t, "at")
		plan := policy.NewPlan(before, after, flags, at)
		if !plan.OnlyRestricts() {
			return
		}
		restricting++
		for _, effect := range []policy.Effect{policy.OpensMarket, policy.WeakensApprovals, policy.WeakensGuarantee, policy.WeakensDemand, policy.AcknowledgesBreach, policy.ChangesOther} {
			if plan.HasEffect(effect) {
				t.Fatalf("effects %v", plan.Effects)
			}
		}
		later := moments.Draw(t, "later")
		if later.Before(at) {
			later = at
		}
		flags = someFlags.Draw(t, "later flags")
		maps.DeleteFunc(flags, func(code policy.Code, _ policy.Settings) bool {
			place := policy.PlaceOf(code)
			return !slices.Contains(before.Places(), place) || !slices.Contains(after.Places(), place)
		})
		was := policy.Compile(before, flags, later)
		is := policy.Compile(after, after.PredictFlags(before, flags), later)
		for _, place := range append(realPlaces(countries), policy.Place{}, policy.Place{Private: true}, policy.Place{Country: "JP"}) {
			for _, place.Anonymous = range []bool{false, true} {
				for request := range requests {
					old, now := ask(t, was, place, request), ask(t, is, place, request)
					if old.Class != now.Class || old.Action == policy.Refuse && now.Action != policy.Refuse || old.Class != policy.Essential && now.Phase < old.Phase {
						t.Fatalf("%v from %v at %v: %s, then %s\n%+v\n%s\n%s", request, place, later, sentence(old), sentence(now), plan, pair[0].document(), pair[1].document())
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
func restricted(t *rapid.T, p promise) promise {
	p.entries = maps.Clone(p.entries)
	codes := append(slices.Sorted(maps.Keys(p.entries)), "DE", "RE", "FR-75C", "EU", "anonymous")
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 1, 3, rapid.ID).Draw(t, "changed") {
		switch e := p.entries[code]; rapid.IntRange(0, 7).Draw(t, "how") {
		case 0:
			delete(p.entries, code)
		case 1:
			p.entries[code] = drawEntry(t, code, p.routes)
		default:
			p.entries[code] = entry{steps: []step{{rapid.SampledFrom(append(someTimes, "", "", "")).Draw(t, "from"), "withdrawn"}}, territories: e.territories}
		}
	}
	p.observe = p.observe && rapid.Bool().Draw(t, "observed")
	return p
}

func TestNothingIsPlannedForThePolicyInUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := policy.Parse("policy.yaml", []byte(promises.Draw(t, "promise").document()))
		if err != nil {
			return
		}
		plan := policy.NewPlan(p, p, someFlags.Draw(t, "flags"), moments.Draw(t, "at"))
		if !plan.Empty() || plan.Effects != nil || plan.Expansions != nil {
			t.Fatalf("planned: %+v", plan)
		}
	})
}

func TestAPlanIsTheSameEachTimeAndOverJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := parseBoth(successions.Draw(t, "succession"))
		if before == nil {
			return
		}
		flags, at := someFlags.Draw(t, "flags"), moments.Draw(t, "at")
		plan := policy.NewPlan(before, after, flags, at)
		text, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(policy.NewPlan(before, after, flags, at)); !bytes.Equal(text, again) {
			t.Fatalf("%s\n%s", text, again)
		}
		var read policy.Plan
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plan.Moves, read.Moves); diff != "" {
			t.Fatal(diff)
		}
		later := policy.NewPlan(before, after, flags, at.Add(1))
		same := cmp.Equal(plan.Moves, later.Moves) && cmp.Equal(plan.Effects, later.Effects) && cmp.Equal(plan.Amendments, later.Amendments)
		if same != (plan.Hash == later.Hash) {
			t.Fatalf("what is planned is the same: %t, the hashes %s and %s", same, plan.Hash, later.Hash)
		}
	})
}

func TestAHitIsWhatDecidesOtherwise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pair := successions.Draw(t, "succession")
		pair[0].routes = pair[1].routes
		before, after := parseBoth(pair)
		if before == nil {
			return
		}
		flags, at := someFlags.Draw(t, "flags"), moments.Draw(t, "at")
		was := policy.Compile(before, flags, at)
		is := policy.Compile(after, after.PredictFlags(before, flags), at)
		counts := map[policy.Traffic]uint64{}
		var want policy.Impact
		places := append(realPlaces(countries), policy.Place{}, policy.Place{Private: true})
		for _, place := range places {
			place.Anonymous = rapid.Bool().Draw(t, "anonymous")
			for request := range requests {
				old, now := ask(t, was, place, request), ask(t, is, place, request)
				if old.Jurisdiction != place.Jurisdiction() {
					continue // what the counts can't tell: see Perhaps
				}
				counts[policy.Traffic{Jurisdiction: old.Jurisdiction, Class: old.Class, Anonymous: place.Anonymous}]++
				want.Requests++
				switch {
				case old.Action == policy.Refuse && now.Action != policy.Refuse:
					want.Served++
				case old.Action != policy.Refuse && now.Action == policy.Refuse:
					want.Refused++
				}
			}
		}
		hit := policy.NewPlan(before, after, flags, at).Impact(counts)
		if diff := cmp.Diff(want, hit, cmpopts.IgnoreFields(policy.Impact{}, "Perhaps", "Moves")); diff != "" {
			t.Fatal(diff)
		}
	})
}
