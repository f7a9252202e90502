package admin_test

import (
	"errors"
	"strings"
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
			planned, err := m.Control.Plan(t.Context(), counsel, proposal)
			if err != nil {
				t.Fatal(err)
			}
			if (planned.Objection != "") != test.refused {
				t.Errorf("the plan's objection is %q", planned.Objection)
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

// Issue 10, A1 and A4: whom a change of one market reaches is said in it, or it isn't
// done; with what it would hit. In an emergency nothing is asked, and it is said.
func TestWhomASetReachesIsSaid(t *testing.T) {
	const law = "version: 1\nguarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: US-MS, stage: in-force, requires: {e2ee: false}}}\n"
	const around = law + "jurisdictions: {US: {phase: withdrawn, territories: none}}\n"
	const inside = law + "jurisdictions: {US: {phase: withdrawn, territories: none}, US-MS: withdrawn}\n"
	const served = law + "jurisdictions: {US-MS: {phase: withdrawn, unknown-part: serve}}\n"
	cities := &policy.Capability{Places: map[policy.Code]policy.Coverage{"US": {}, "US-MS": {}}}
	operator := changes.Actor{Name: "ada", Roles: []changes.Role{changes.Operator}}
	for name, test := range map[string]struct {
		before    string
		set       api.Set
		emergency bool
		code      changes.ErrorCode
		unsaid    int
	}{
		"a country with territories":            {around, api.Set{Jurisdiction: "FR", Phase: policy.Withdrawn}, false, changes.UnsaidTerritories, 0},
		"announced":                             {around, api.Set{Jurisdiction: "FR", Phase: policy.Announced}, false, changes.UnsaidTerritories, 0},
		"none of them":                          {around, api.Set{Jurisdiction: "FR", Phase: policy.Withdrawn, Territories: policy.NoTerritories()}, false, "", 0},
		"as the entry says":                     {around, api.Set{Jurisdiction: "US", Phase: policy.Withdrawn, Territories: policy.AllTerritories()}, false, "", 0},
		"opened":                                {"version: 1\njurisdictions: {FR: withdrawn}\n", api.Set{Jurisdiction: "FR", Phase: policy.Open}, false, "", 0},
		"in an emergency":                       {around, api.Set{Jurisdiction: "FR", Phase: policy.Withdrawn}, true, "", 1},
		"a country without":                     {around, api.Set{Jurisdiction: "DE", Phase: policy.Withdrawn}, false, "", 0},
		"the place around a part":               {inside, api.Set{Jurisdiction: "US", Phase: policy.Announced}, false, changes.WrongPolicy, 0},
		"a part whose country is withdrawn":     {around, api.Set{Jurisdiction: "US-MS", Phase: policy.Withdrawn}, false, "", 0},
		"a part of which it was said":           {served, api.Set{Jurisdiction: "DE", Phase: policy.Withdrawn}, false, "", 0},
		"a part, said another way":              {served, api.Set{Jurisdiction: "US-MS", Phase: policy.Withdrawn, UnknownPart: policy.WithholdPart}, false, "", 0},
		"neither serve nor withhold":            {served, api.Set{Jurisdiction: "US-MS", Phase: policy.Withdrawn, UnknownPart: "perhaps"}, false, changes.Invalid, 0},
		"a part that stands unsaid":             {law + "jurisdictions: {US-MS: withdrawn}\n", api.Set{Jurisdiction: "DE", Phase: policy.Withdrawn}, false, "", 0},
		"a part that stands unsaid, set itself": {strings.Replace(law, "in-force, requires", "in-force, in-force: 2020-01-01T00:00:00Z, requires", 1) + "jurisdictions: {US-MS: {schedule: [{from: 2020-01-01T00:00:00Z, phase: withdrawn}]}}\n", api.Set{Jurisdiction: "US-MS", Phase: policy.Withdrawn}, false, changes.UnsaidPart, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := newLedgerFixture(t, test.before)
			m.capability = cities
			proposal := api.Proposal{Set: &test.set, Because: "The law is in force.", Emergency: test.emergency}
			planned, err := m.Control.Plan(t.Context(), counsel, proposal)
			refused := func(err error) (code changes.ErrorCode) {
				if e, ok := errors.AsType[*changes.Error](err); ok {
					code = e.Code
				}
				return code
			}
			if refused(err) != test.code || len(planned.Unsaid) != test.unsaid {
				t.Errorf("planned: %v, unsaid %q", err, planned.Unsaid)
			}
			proposal.Plan = planned.Plan.Hash
			if test.code == changes.UnsaidTerritories || test.code == changes.UnsaidPart { // whoever doesn't plan
				_, err = m.Control.Propose(t.Context(), operator, m.Control.Status(operator).Revision, proposal, changes.Request{})
			} else if err == nil {
				_, err = m.Control.Propose(t.Context(), operator, planned.Revision, proposal, changes.Request{})
			}
			if refused(err) != test.code {
				t.Errorf("proposed: %v", err)
			}
		})
	}
}

// Issue 10, A4: what stands beside a change that waits needn't be as new ones have to
// be: the change can be looked at.
func TestAChangeBesideWhatStandsCanBeLookedAt(t *testing.T) {
	m := newLedgerFixture(t, `version: 1
guarantees: {e2ee: {require: true}}
demands: {law: {jurisdiction: FR, stage: in-force, requires: {e2ee: false}}}
jurisdictions: {FR: withdrawn}
approvals: {withdraw: 1}
`)
	operator := changes.Actor{Name: "ada", Roles: []changes.Role{changes.Operator}}
	proposal := api.Proposal{Set: &api.Set{Jurisdiction: "IT", Phase: policy.Withdrawn}, Because: "The law there."}
	planned, err := m.Control.Plan(t.Context(), counsel, proposal)
	if err != nil {
		t.Fatal(err)
	}
	proposal.Plan = planned.Plan.Hash
	change, err := m.Control.Propose(t.Context(), operator, planned.Revision, proposal, changes.Request{})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := m.Control.Change(t.Context(), change.Number)
	if err != nil {
		t.Fatal(err)
	}
	if shown.Planned == nil || shown.Planned.Plan.Hash != planned.Plan.Hash {
		t.Errorf("shown is %+v", shown.Planned)
	}
}
