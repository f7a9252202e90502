package changes_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
)

// Who does things in tests.
var (
	ada  = changes.Actor{Name: "ada", Roles: []changes.Role{changes.Operator}}
	oleg = changes.Actor{Name: "oleg", Roles: []changes.Role{changes.Operator}}
	bob  = changes.Actor{Name: "bob", Roles: []changes.Role{changes.Approver}}
	eve  = changes.Actor{Name: "eve", Roles: []changes.Role{changes.Approver}}
	both = changes.Actor{Name: "both", Roles: []changes.Role{changes.Operator, changes.Approver}}
	vic  = changes.Actor{Name: "vic", Roles: []changes.Role{changes.Viewer}}
	none = changes.Actor{Name: "nobody"}
)

// The policy that most tests begin with: record 1.
const rules = `version: 1
approvals: {open: 1, withdraw: 2, other: 0}
jurisdictions:
  FR: withdrawn
  IT: announced
`

var begin = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

func parse(source []byte) (*policy.Policy, error) { return document.Parse("policy", source) }

var parsers = changes.Parsers{Proposed: parse, Recorded: parse}

// A world is a ledger with one gateway and its clock.
type world struct {
	t       testing.TB
	s       changes.State
	now     time.Time
	flags   policy.Flags
	records []changes.Record
}

func begun(t testing.TB, source string) *world {
	w := &world{t: t, s: changes.New(parsers), now: begin}
	w.must(w.write(changes.FirstRevision([]byte(source)), nil))
	return w
}

// write appends an entry, unless there is an error.
func (w *world) write(e changes.Draft, err error) error {
	w.t.Helper()
	if err != nil {
		return err
	}
	r := changes.Record{Number: w.s.Last() + 1, Time: w.now, Draft: e}
	next, err := w.s.With(r)
	if err != nil {
		w.t.Fatalf("a draft is invalid as a record: %v\n%s", err, e.Body)
	}
	w.records, w.s = append(w.records, r), next
	return nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// last is the record that was written last.
func (w *world) last() changes.Record { return w.records[len(w.records)-1] }

func (w *world) passes(d time.Duration) { w.now = w.now.Add(d) }

// agreed completes a proposal by somebody who has looked at its plan.
func (w *world) agreed(p changes.Proposal) changes.Proposal {
	w.t.Helper()
	planned, err := w.s.Plan(p, w.flags, w.now)
	w.must(err)
	p.Expected, p.Plan, p.Because = w.s.Revision().Number, planned.Plan.Hash, "because of the law"
	return p
}

func (w *world) propose(by changes.Actor, p changes.Proposal) error {
	w.t.Helper()
	return w.write(w.s.Propose(by, p, w.flags, w.now))
}

// proposes is a proposal that is as it should be.
func (w *world) proposes(by changes.Actor, p changes.Proposal) error {
	w.t.Helper()
	return w.propose(by, w.agreed(p))
}

func (w *world) edits(by changes.Actor, number uint64, p changes.Proposal) error {
	w.t.Helper()
	return w.write(w.s.Edit(by, number, w.agreed(p), w.flags, w.now))
}

// approves is by somebody who has looked at the change, or at the revision that
// is to be signed.
func (w *world) approves(by changes.Actor, number uint64) error {
	w.t.Helper()
	c, _, _ := w.s.Change(number, w.flags, w.now)
	plan := c.Plan
	for _, u := range w.s.Unsigned() {
		if u.Number == number {
			plan = u.SHA256
		}
	}
	return w.approve(by, number, plan)
}

func (w *world) approve(by changes.Actor, number uint64, plan string) error {
	w.t.Helper()
	return w.write(w.s.Approve(by, number, plan, "", changes.Request{}, w.flags, w.now))
}

func (w *world) rejects(by changes.Actor, number uint64) error {
	w.t.Helper()
	return w.write(w.s.Reject(by, number, "no", changes.Request{}, w.now))
}

func (w *world) sets(by changes.Actor, p changes.Principal) error {
	w.t.Helper()
	return w.write(w.s.SetPrincipal(by, p, "new here", changes.Request{}, w.now))
}

// root is who came through the socket.
func (w *world) root() changes.Actor { return w.s.ByUser("root") }

func set(code policy.Code, phase policy.Phase) changes.Proposal {
	return changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: code, Phase: phase}}
}

// Of the rules above, a withdrawal needs two approvals and an opening one. What
// changes a notice needs none.
func withdrawal() changes.Proposal { return set("DE", policy.Withdrawn) }
func opening() changes.Proposal    { return set("FR", policy.Open) }
func emergency() changes.Proposal {
	p := withdrawal()
	p.Emergency = true
	return p
}
func guarantee() changes.Proposal {
	return proposing(rules + "guarantees: {e2ee: {require: true}}\n")
}
func notice() changes.Proposal { return proposing(rules + "notices: {default: {status: 403}}\n") }

func proposing(text string) changes.Proposal { return changes.Proposal{Policy: []byte(text)} }

// code returns the code of a command's error, or what the command has written.
func (w *world) code(err error) string {
	var refusal *changes.Error
	switch {
	case err == nil:
		return "writes " + string(w.last().Kind)
	case errors.As(err, &refusal):
		return string(refusal.Code)
	}
	return fmt.Sprintf("%T", err)
}

// A step is what somebody does, and what comes of it: a code.
type step struct {
	name string
	do   func(*world) error
	want string
}

// check does each step in a world of its own. The messages are in a golden file
// of the test.
func check(t *testing.T, source string, steps []step) {
	t.Helper()
	var messages strings.Builder
	for _, test := range steps {
		t.Run(test.name, func(t *testing.T) {
			w := begun(t, source)
			err := test.do(w)
			if got := w.code(err); got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
			if err != nil {
				fmt.Fprintf(&messages, "%s: %v\n", test.name, err)
			}
		})
	}
	testkit.Golden(t, "testdata/"+t.Name()+".golden", messages.String())
}

func equal[T any](t testing.TB, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
