package changes_test

import (
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/edit"
)

// An approval is for what a change does, and stands when another revision comes between
// that is about something else.
func TestApprovalsStandBesideOtherRevisions(t *testing.T) {
	const stood = `version: 1
approvals: {withdraw: 2, other: 0}
guarantees: {e2ee: {require: true}}
routes: {news: [/news/]}
groups: {iberia: [ES, PT]}
demands:
  law: {jurisdiction: BY, stage: proposed, requires: {e2ee: false}}
jurisdictions:
  BY: withdrawn # as ever
  FR: {territories: none, phase: announced} # since the summer
`
	set := func(code policy.Code, phase policy.Phase) changes.Proposal {
		return changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: code, Phase: phase, Territories: map[bool]policy.Territories{true: policy.NoTerritories()}[code == "FR"]}}
	}
	emergency := func(code policy.Code) func(*world) {
		return func(w *world) {
			p := set(code, policy.Withdrawn)
			p.Emergency = true
			w.must(w.proposes(oleg, p))
		}
	}
	document := func(old, new string) func(*world) {
		return func(w *world) {
			w.must(w.proposes(ada, changes.Proposal{Policy: []byte(strings.Replace(string(w.s.Source()), old, new, 1))}))
		}
	}
	for name, test := range map[string]struct {
		change  changes.Proposal
		between []func(*world)
		status  changes.Status // of the change then
		fails   string         // the approval that was the last one needed
	}{
		"another market, in an emergency":  {set("FR", policy.Withdrawn), []func(*world){emergency("IT")}, changes.Pending, ""},
		"several":                          {set("FR", policy.Withdrawn), []func(*world){emergency("IT"), emergency("DE"), emergency("AT")}, changes.Pending, ""},
		"both are new":                     {set("DE", policy.Withdrawn), []func(*world){emergency("IT")}, changes.Pending, ""},
		"in the line beside":               {set("FR", policy.Withdrawn), []func(*world){document("BY: withdrawn # as ever", "BY: {because: [law], phase: withdrawn}")}, changes.Pending, ""},
		"a notice":                         {set("FR", policy.Withdrawn), []func(*world){document("groups:", "notices: {IT: {status: 403}}\ngroups:")}, changes.Pending, ""},
		"the same market":                  {set("FR", policy.Withdrawn), []func(*world){emergency("FR")}, changes.Stale, "ended"},
		"the same new market":              {set("DE", policy.Withdrawn), []func(*world){emergency("DE")}, changes.Stale, "ended"},
		"a group that it is in":            {set("ES", policy.Withdrawn), []func(*world){emergency("iberia")}, changes.Stale, "plan-changed"},
		"a member of its group":            {set("iberia", policy.Withdrawn), []func(*world){emergency("ES")}, changes.Stale, "plan-changed"},
		"a guarantee":                      {set("FR", policy.Withdrawn), []func(*world){document("guarantees: {", "guarantees: {more: {at-least: 1}, ")}, changes.Stale, "ended"},
		"a demand":                         {set("FR", policy.Withdrawn), []func(*world){document("stage: proposed", "stage: rejected")}, changes.Stale, "ended"},
		"routes":                           {set("FR", policy.Withdrawn), []func(*world){document("[/news/]", "[/news/, /blog/]")}, changes.Stale, "ended"},
		"a group":                          {set("FR", policy.Withdrawn), []func(*world){document("[ES, PT]", "[ES, PT, AD]")}, changes.Stale, "ended"},
		"approvals":                        {set("FR", policy.Withdrawn), []func(*world){document("withdraw: 2", "withdraw: 3")}, changes.Stale, "ended"},
		"what was taken back again":        {set("FR", policy.Withdrawn), []func(*world){document("[/news/]", "[/blog/]"), document("[/blog/]", "[/news/]")}, changes.Pending, ""},
		"a change of routes is no entry's": {changes.Proposal{Policy: []byte(strings.Replace(stood, "FR: {territories: none, phase: announced}", "FR: {territories: none, phase: withdrawn}", 1) + "notices: {default: {status: 403}}\nflags: {e2ee: true}\n")}, []func(*world){emergency("IT")}, changes.Stale, "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			w := begun(t, stood)
			w.must(w.proposes(ada, test.change))
			w.must(w.approves(bob, 2))
			for _, comes := range test.between {
				w.passes(time.Minute)
				comes(w)
			}
			restored, err := changes.Restore([]byte(kept(t, w.s)), w.s.Supplement(), parsers)
			w.must(err)
			before := w.s.Revision()
			for how, s := range map[string]changes.State{"": w.s, " once it is restored": restored} {
				if c, _, _ := s.Change(2, nil, w.now); c.Status != test.status || (c.Rebased == before.Number) != (test.status == changes.Pending) || (c.StaleBecause == "") != (test.status == changes.Pending) || len(c.Approvals) != 1 {
					t.Fatalf("%s: it is %+v", how, c)
				}
			}
			w.s = restored
			inForce := string(w.s.Source())
			err = w.approves(eve, 2)
			if test.fails != "" {
				if got := w.code(err); got != test.fails {
					t.Errorf("it is %s, not %s", got, test.fails)
				}
				return
			}
			w.must(err)
			made := w.s.Revision()
			if made.Base != before.Number || made.Change != 2 || len(made.Approvals) != 2 {
				t.Errorf("it came into force as %+v", made)
			}
			for _, line := range strings.Split(inForce, "\n") {
				if !strings.Contains(line, "FR: ") && !strings.Contains(string(w.s.Source()), line) {
					t.Errorf("%q is gone in\n%s", line, w.s.Source())
				}
			}
			if again, err := w.s.Plan(test.change, nil, w.now); err != nil || again.Plan.Before != again.Plan.After {
				t.Errorf("the change isn't in, %v\n%s", err, w.s.Source())
			}
		})
	}
}

// Until when changes stand as they do is known, so that nobody has to plan them meanwhile; and
// whom they are about, also of those that are stale.
func TestChangesUntil(t *testing.T) {
	w := begun(t, rules)
	from := begin.Add(2 * time.Hour)
	dated := set("DE", policy.Withdrawn)
	dated.Set.From = from
	w.must(w.proposes(ada, dated))
	w.must(w.proposes(ada, set("ES", policy.Withdrawn)))
	at := func(now, until time.Time, want ...changes.Status) {
		t.Helper()
		all, got := w.s.ChangesUntil(nil, now)
		if !got.Equal(until) {
			t.Errorf("at %s they stand so until %s, and not %s", now, got, until)
		}
		for i, c := range all {
			if c.Status != want[i] || len(c.Jurisdictions) != 1 || c.Jurisdictions[0] != []policy.Code{"DE", "ES"}[i] {
				t.Errorf("at %s change %d is %s, about %q", now, c.Number, c.Status, c.Jurisdictions)
			}
		}
	}
	expires := w.now.Add(changes.ExpireAfter)
	at(begin, from, changes.Pending, changes.Pending)
	at(from.Add(-1), from, changes.Pending, changes.Pending)
	at(from, expires, changes.Stale, changes.Pending)
	// One that can't be put on top of another revision is stale for good, and about the same.
	p := set("ES", policy.WindDown)
	p.Emergency = true
	w.must(w.proposes(oleg, p))
	at(begin, from, changes.Pending, changes.Stale)
}
