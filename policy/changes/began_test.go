package changes_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/edit"
)

// statesOf returns the state of a world, and what is restored of it, by how it came about.
func statesOf(t *testing.T, w *world) map[string]changes.State {
	t.Helper()
	restored, err := changes.Restore([]byte(kept(t, w.s)), w.s.Supplement(), parsers)
	w.must(err)
	return map[string]changes.State{"": w.s, " once it is restored": restored}
}

// Since when a market gets what it gets is by the records, and not by dates that
// somebody typed.
func TestSince(t *testing.T) {
	w := begun(t, "version: 1\njurisdictions:\n  BY: withdrawn\n  RU: {schedule: [{from: 2026-01-01T00:00:00Z, phase: withdrawn}]}\n")
	apply := func(entries string) time.Time {
		t.Helper()
		w.passes(time.Hour)
		w.must(w.proposes(ada, changes.Proposal{Policy: []byte("version: 1\njurisdictions:\n" + entries), Backdated: true}))
		return w.now.UTC()
	}
	expect := func(what string, wants map[policy.Code]time.Time) {
		t.Helper()
		for how, s := range statesOf(t, w) {
			for _, m := range policy.Compile(s.Policy(), nil, w.now).Markets() {
				want, ok := wants[m.Jurisdiction]
				if ok && !m.Since.Equal(want) {
					t.Errorf("%s%s: %s is %s since %s, not %s", what, how, m.Jurisdiction, m.Phase, format(m.Since), format(want))
				}
			}
		}
	}
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	expect("at first, nothing but dates is known", map[policy.Code]time.Time{"BY": {}, "RU": old})

	first := apply("  BY: withdrawn\n  RU: {schedule: [{from: 2026-01-01T00:00:00Z, phase: withdrawn}]}\n  FR: {territories: none, phase: announced}\n  ES: {schedule: [{from: 2020-01-01T00:00:00Z, phase: withdrawn}]}\n  IT: {schedule: [{from: 2026-11-22T05:00:00Z, phase: withdrawn}]}\n")
	expect("at once, and by a date that is long past", map[policy.Code]time.Time{"BY": {}, "RU": old, "FR": first, "ES": first})

	apply("  FR: {territories: none, schedule: [{from: 2026-11-22T00:00:00Z, phase: announced}, {from: 2026-11-22T06:00:00Z, phase: withdrawn}]}\n  EU: {schedule: [{from: 2020-01-01T00:00:00Z, phase: announced}]}\n  ES: {schedule: [{from: 2021-06-01T00:00:00Z, phase: withdrawn}]}\n  IT: {schedule: [{from: 2026-11-22T05:00:00Z, phase: withdrawn}]}\n")
	union := w.now
	expect("what is so already goes on, however it is written", map[policy.Code]time.Time{"FR": first, "ES": first, "EU": w.now})

	w.passes(3 * time.Hour) // 07:00
	expect("a step that was taken since has its date", map[policy.Code]time.Time{"FR": begin.Add(4 * time.Hour), "IT": begin.Add(3 * time.Hour), "ES": first})

	opened := apply("  FR: {territories: none, phase: announced}\n  DE: announced\n  EU: announced\n")
	expect("what is taken back begins anew", map[policy.Code]time.Time{"FR": opened, "DE": union})
	again := apply("  FR: {territories: none, phase: withdrawn}\n  EU: announced\n  DE: announced\n")
	expect("and comes again", map[policy.Code]time.Time{"FR": again})

	d := policy.Compile(w.s.Policy(), nil, w.now).Decide(policy.PlaceOf("FR"), 0)
	if !d.Since.Equal(again) || !d.Announced.Equal(first) {
		t.Errorf("France is decided as since %s, announced at %s", format(d.Since), format(d.Announced))
	}
}

// What is newly said of the past is refused, unless that is meant, and then shown.
func TestBackdated(t *testing.T) {
	const stood = "version: 1\njurisdictions:\n  RU: {schedule: [{from: 2026-01-01T00:00:00Z, phase: withdrawn}]}\n"
	past := begin.Add(-2 * time.Hour)
	for name, test := range map[string]struct {
		p     changes.Proposal
		wants string // in the summary, or the error's code
	}{
		"a step of last year":           {changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn, From: past, Territories: policy.NoTerritories()}}, "wrong-policy"},
		"the same, as it is meant":      {changes.Proposal{Backdated: true, Set: &edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn, From: past, Territories: policy.NoTerritories()}}, "FR open → withdrawn (backdated)"},
		"some minutes ago":              {changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn, From: begin.Add(-10 * time.Minute), Territories: policy.NoTerritories()}}, "FR open → withdrawn"},
		"at once":                       {changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn, Territories: policy.NoTerritories()}}, "FR open → withdrawn"},
		"a document with what stood":    {changes.Proposal{Policy: []byte(stood + "  BY: withdrawn\n")}, "BY open → withdrawn"},
		"a document that says it newly": {changes.Proposal{Policy: []byte(stood + "  BY: {schedule: [{from: 2025-01-01T00:00:00Z, phase: announced}]}\n")}, "wrong-policy"},
		"what stood, withdrawn earlier": {changes.Proposal{Policy: []byte("version: 1\njurisdictions:\n  RU: {schedule: [{from: 2025-12-01T00:00:00Z, phase: withdrawn}]}\n")}, "wrong-policy"},
	} {
		t.Run(name, func(t *testing.T) {
			w := begun(t, stood)
			p := test.p
			got := ""
			planned, err := w.s.Plan(p, nil, w.now)
			if refused, ok := errors.AsType[*changes.Error](err); ok {
				got = string(refused.Code)
			} else {
				w.must(err)
				p.Expected, p.Plan, p.Because = w.s.Revision().Number, planned.Plan.Hash, "the law"
				w.must(w.propose(ada, p))
				got = w.s.Revision().Summary
			}
			if got != test.wants {
				t.Errorf("it is %q, not %q", got, test.wants)
			}
		})
	}
	w := begun(t, stood)
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte("version: 1\n")}))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(stood), Rollback: 1})) // it stood
}

func format(at time.Time) string { return strings.TrimSuffix(fmt.Sprint(at.UTC()), " +0000 UTC") }

// Since when a place gets what it gets isn't since when others get it by the same entry.
func TestSinceOfAPlace(t *testing.T) {
	w := begun(t, "version: 1\njurisdictions:\n  FR: {territories: none, schedule: [{from: 2026-01-01T00:00:00Z, phase: withdrawn}]}\n")
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	apply := func(policy string) time.Time {
		t.Helper()
		w.passes(time.Hour)
		w.must(w.proposes(ada, changes.Proposal{Policy: []byte("version: 1\n" + policy), Backdated: true}))
		return w.now.UTC()
	}
	expect := func(what string, wants map[policy.Code]time.Time) {
		t.Helper()
		for how, s := range statesOf(t, w) {
			snapshot := policy.Compile(s.Policy(), nil, w.now)
			for place, want := range wants {
				if d := snapshot.Decide(policy.PlaceOf(place), 0); !d.Since.Equal(want) {
					t.Errorf("%s%s: %s is %s since %s, not %s", what, how, place, d.Phase, format(d.Since), format(want))
				}
			}
		}
	}
	joined := apply("jurisdictions:\n  FR: {territories: [RE], schedule: [{from: 2026-01-01T00:00:00Z, phase: withdrawn}]}\n")
	expect("a territory joins", map[policy.Code]time.Time{"FR": old, "RE": joined})
	public := make(map[policy.Code]time.Time)
	for _, m := range policy.Compile(w.s.Policy(), nil, w.now).Public(nil) {
		for _, place := range m.Places {
			public[place] = m.Since
		}
	}
	if len(public) != 2 || !public["FR"].Equal(old) || !public["RE"].Equal(joined) {
		t.Errorf("it is public that it is so since %v", public)
	}
	apply("groups: {mine: [FR, RE, DE]}\njurisdictions:\n  mine: withdrawn\n")
	expect("what was so goes on by a group's entry", map[policy.Code]time.Time{"FR": old, "RE": joined, "DE": w.now})
	union := apply("jurisdictions: {EU: withdrawn, ES: open, IT: withdrawn, IT-25: open}\n")
	expect("by another group's", map[policy.Code]time.Time{"FR": old, "RE": joined, "IT": union, "ES": {}})
	left := apply("jurisdictions: {EU: withdrawn, IT: withdrawn}\n")
	expect("exceptions end", map[policy.Code]time.Time{"FR": old, "ES": left, "IT": union, "IT-25": left, "IT-21": union})
	apply("jurisdictions: {EU: withdrawn, IT: withdrawn, BR: announced}\n")
	expect("and stay so", map[policy.Code]time.Time{"FR": old, "ES": left, "IT": union, "IT-25": left, "BR": w.now})
	listed := apply("jurisdictions: {default: withdrawn, DE: open}\n")
	expect("all but a list", map[policy.Code]time.Time{"FR": old, "ES": left, "IT-25": left, "US": listed, "BR": listed, "DE": {}})
	ended := apply("jurisdictions: {default: withdrawn}\n")
	expect("the list ends", map[policy.Code]time.Time{"FR": old, "US": listed, "DE": ended})
	apply("jurisdictions: {}\n")
	again := apply("jurisdictions: {default: withdrawn}\n")
	expect("what was taken back begins anew", map[policy.Code]time.Time{"FR": again, "US": again, "DE": again, "IT-25": again})

	const routes = "routes: {news: [/news/]}\n"
	apply(routes + "groups: {mine: [FR]}\njurisdictions: {mine: {features: {news: withdrawn}}}\n")
	whole := apply(routes + "jurisdictions: {FR: {territories: none, phase: withdrawn}}\n")
	expect("the whole by an entry of its own", map[policy.Code]time.Time{"FR": whole})

	const groups = "groups: {mine: [FR, IT], yours: [FR, ES]}\n"
	apply(groups + "jurisdictions: {mine: withdrawn, yours: announced}\n")
	apply(groups + "jurisdictions: {mine: announced, yours: withdrawn}\n")
	expect("two groups swap what they get", map[policy.Code]time.Time{"FR": whole, "IT": w.now, "ES": w.now})

	part := apply("jurisdictions: {US-MS: {phase: withdrawn, unknown-part: serve}}\n")
	expect("a part alone", map[policy.Code]time.Time{"US-MS": part, "US": {}})
	unknown := apply("jurisdictions: {US-MS: {phase: withdrawn, unknown-part: withhold}}\n")
	expect("and those who may be in it", map[policy.Code]time.Time{"US-MS": part, "US": unknown})
	apply("jurisdictions: {US-MS: {phase: withdrawn, unknown-part: withhold}, BR: announced}\n")
	expect("who stay so", map[policy.Code]time.Time{"US-MS": part, "US": unknown})
	also := apply("jurisdictions: {US-MS: {phase: withdrawn, unknown-part: serve}, US-TX: {phase: withdrawn, unknown-part: withhold}}\n")
	expect("by another part's entry", map[policy.Code]time.Time{"US-MS": part, "US-TX": also, "US": unknown})
}
