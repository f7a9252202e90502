package admin_test

import (
	"errors"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// Issue 10, A1: a place that no database here can find isn't withdrawn because of a
// demand, as it would be served; but where it was so before.
func TestAPlaceThatCantBeFoundIsRefusedUnderADemand(t *testing.T) {
	const open = "version: 1\nguarantees: {e2ee: {require: true}}\n"
	exit := func(entry string) string {
		return open + "demands: {law: {jurisdiction: US-MS, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {" + entry + "}\n"
	}
	countries := &policy.Capability{Places: map[policy.Code]policy.Coverage{"US": {}, "DE": {}}}
	cities := &policy.Capability{Places: map[policy.Code]policy.Coverage{"US": {}, "US-MS": {}}}
	operator := changes.Actor{Name: "ada", Roles: []changes.Role{changes.Operator}}
	for name, test := range map[string]struct {
		before, after string
		capability    *policy.Capability
		refused       bool
	}{
		"by countries":               {open, exit("US-MS: {phase: withdrawn, unknown-part: serve}"), countries, true},
		"by cities":                  {open, exit("US-MS: {phase: withdrawn, unknown-part: serve}"), cities, false},
		"withheld from all":          {open, exit("US-MS: {phase: withdrawn, unknown-part: withhold}"), countries, false},
		"the place around it, too":   {open, exit("US: withdrawn, US-MS: withdrawn"), countries, false},
		"so before":                  {exit("US-MS: {phase: withdrawn, unknown-part: serve}"), exit("US-MS: {phase: withdrawn, unknown-part: serve}, DE: announced"), countries, false},
		"nothing known of databases": {open, exit("US-MS: {phase: withdrawn, unknown-part: serve}"), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newLedgerFixture(t, test.before)
			m.capability = test.capability
			proposal := api.Proposal{Policy: test.after, Because: "The law is in force."}
			planned, err := m.Control.Plan(t.Context(), proposal)
			if err != nil {
				t.Fatal(err)
			}
			proposal.Plan = planned.Plan.Hash
			_, err = m.Control.Propose(t.Context(), operator, planned.Revision, proposal, changes.Request{})
			var refused *changes.Error
			if got := errors.As(err, &refused); got != test.refused || got && refused.Code != changes.WrongPolicy {
				t.Errorf("refused: %v", err)
			}
		})
	}
}
