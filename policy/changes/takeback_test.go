package changes_test

import (
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/edit"
)

// Who has typed the wrong market in an emergency takes that back alone: at once, all of it
// and nothing else, and both are still to be signed.
func TestTakingAnEmergencyBack(t *testing.T) {
	back := func(w *world) changes.Proposal {
		base := w.s.Revision().Base
		for _, r := range w.records {
			if d, _ := changes.Describe(r); r.Number == base {
				return changes.Proposal{Policy: d.Policy, Rollback: base, Emergency: true}
			}
		}
		return changes.Proposal{}
	}
	first := func(w *world) []byte { d, _ := changes.Describe(w.records[0]); return d.Policy }
	withdraws := func(code policy.Code) changes.Proposal {
		return changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: code, Phase: policy.Withdrawn}, Emergency: true}
	}
	for name, test := range map[string]struct {
		do   func(*world) error
		want string
	}{
		"by its author":      {func(w *world) error { return w.proposes(ada, back(w)) }, "writes revision"},
		"after nine minutes": {func(w *world) error { w.passes(9 * time.Minute); return w.proposes(ada, back(w)) }, "writes revision"},
		"after eleven":       {func(w *world) error { w.passes(11 * time.Minute); return w.proposes(ada, back(w)) }, "invalid"},
		"by somebody else":   {func(w *world) error { return w.proposes(oleg, back(w)) }, "four-eyes"},
		"when it is signed":  {func(w *world) error { w.must(w.approves(bob, 2)); return w.proposes(ada, back(w)) }, "writes revision"},
		"when more has come": {func(w *world) error {
			w.must(w.proposes(ada, withdraws("PT")))
			return w.proposes(ada, changes.Proposal{Policy: first(w), Rollback: 1, Emergency: true})
		}, "invalid"},
		"and more": {func(w *world) error {
			p := back(w)
			p.Policy = append(p.Policy, "  PT: withdrawn\n"...)
			p.Rollback = 0
			return w.proposes(ada, p)
		}, "invalid"},
		"by opening it": {func(w *world) error {
			return w.proposes(ada, changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "ES", Remove: true}, Emergency: true})
		}, "invalid"},
		"and then again what was taken back": {func(w *world) error { w.must(w.proposes(ada, back(w))); return w.proposes(ada, back(w)) }, "writes revision"},
		"what was no emergency": {func(w *world) error {
			w.must(w.proposes(ada, back(w)))
			w.must(w.proposes(ada, notice()))
			return w.proposes(ada, back(w))
		}, "invalid"},
		"through a change that waits": {func(w *world) error {
			w.must(w.proposes(ada, changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "DE", Phase: policy.Withdrawn}}))
			return w.edits(ada, 3, back(w))
		}, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			w := begun(t, rules)
			w.must(w.proposes(ada, withdraws("ES")))
			err := test.do(w)
			if got := w.code(err); got != test.want {
				t.Errorf("it is %s (%v), not %s", got, err, test.want)
			}
		})
	}
	w := begun(t, rules)
	w.must(w.proposes(ada, withdraws("ES")))
	w.must(w.proposes(ada, back(w)))
	if is := w.s.Revision(); !is.Emergency || is.SignBy.IsZero() || len(w.s.Unsigned()) != 2 {
		t.Errorf("%+v, and %d wait to be signed", is, len(w.s.Unsigned()))
	}
}

// A step that was taken, or a flag that broke a guarantee since, withdraws all the same.
func TestWhatIsTakenBackStaysWithdrawnByAllElse(t *testing.T) {
	w := begun(t, "version: 1\napprovals: {open: 1, withdraw: 1}\njurisdictions:\n  ES: {schedule: [{from: 2026-11-22T02:05:00Z, phase: withdrawn}]}\n")
	w.must(w.proposes(ada, changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "ES", Phase: policy.Withdrawn}, Emergency: true}))
	d, _ := changes.Describe(w.records[0])
	w.passes(6 * time.Minute)
	w.must(w.proposes(ada, changes.Proposal{Policy: d.Policy, Rollback: 1, Emergency: true}))
	if got := policy.Compile(w.s.Policy(), nil, w.now).Decide(policy.PlaceOf("ES"), 0); got.Action != policy.Refuse {
		t.Errorf("Spain gets %+v", got)
	}
}
