package changes_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
)

// Issue 10, A4: what stands in a ledger stays usable; the new rules are for new proposals.
// Nobody is kept from going back to a revision of before a rule, if nobody gets more by it.
func TestARollbackIsToWhatStood(t *testing.T) {
	const (
		law = "version: 1\nguarantees: {e2ee: {require: true}}\ndemands:\n  order: {jurisdiction: FR, stage: in-force, in-force: 2026-01-01T00:00:00Z, requires: {e2ee: false}}\n"
		old = law + "jurisdictions: {FR: withdrawn, DE: withdrawn}\n" // it doesn't say which territories
		now = "version: 1\nguarantees: {e2ee: {require: true}}\n"
	)
	if _, err := parse([]byte(old)); err == nil {
		t.Fatal("a proposal needn't say which territories an order reaches")
	}
	read := func(source []byte) (*policy.Policy, error) { return document.Read("policy", source) }
	w := &world{t: t, s: changes.New(changes.Parsers{Proposed: parse, Recorded: read}), now: begin}
	w.must(w.write(changes.FirstRevision([]byte(old)), nil))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(now)}))

	wrong := func(what string, p changes.Proposal, says string) {
		t.Helper()
		var refused *changes.Error
		if _, err := w.s.Plan(p, nil, w.now); !errors.As(err, &refused) || refused.Code != changes.WrongPolicy || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "territories") {
			t.Errorf("%s: %v", what, err)
		}
	}
	wrong("somebody proposes the text", changes.Proposal{Policy: []byte(old)}, "the policy would be wrong")
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(old), Rollback: 1}))
	if !strings.Contains(w.s.Revision().Summary, "open → withdrawn") {
		t.Errorf("it is %s", w.s.Revision().Summary)
	}
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(now)}))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(old), Rollback: 1}))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(strings.Replace(old, "DE: ", "IT: withdrawn, DE: ", 1)), Emergency: true}))

	// Italy is withdrawn now: the same would open it.
	wrong("a rollback that opens", changes.Proposal{Policy: []byte(old), Rollback: 1}, "exitgate log 1 --policy")
	wrong("an emergency that opens", changes.Proposal{Policy: []byte(old), Emergency: true}, "the policy would be wrong")
}
