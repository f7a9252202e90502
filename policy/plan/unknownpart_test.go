package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

// Issue 10, A1: what a change does for clients of whom only the country is known.
// To serve them again opens a market.
func TestWhoseSubdivisionIsUnknownMovesToo(t *testing.T) {
	const (
		open     = "{}"
		serve    = "{US-MS: {phase: withdrawn, unknown-part: serve}}"
		withhold = "{US-MS: {phase: withdrawn, unknown-part: withhold}}"
	)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	counts := map[plan.Traffic]uint64{
		{Jurisdiction: "US", Class: "other"}:                    1000,
		{Jurisdiction: "US", Class: "other", UnknownPart: true}: 64,
	}
	for _, test := range []struct {
		name, before, after string
		effects             []plan.Effect
		moves               []plan.Move // of UnknownPart
		refused, served     uint64
	}{
		{"withheld", serve, withhold, []plan.Effect{plan.WithdrawsMarket}, []plan.Move{{Effect: plan.WithdrawsMarket, After: plan.Treatment{Phase: policy.Withdrawn}}}, 64, 0},
		{"served again", withhold, serve, []plan.Effect{plan.OpensMarket}, []plan.Move{{Effect: plan.OpensMarket, Before: plan.Treatment{Phase: policy.Withdrawn}}}, 0, 64},
		{"withdrawn, and withheld", open, withhold, []plan.Effect{plan.WithdrawsMarket}, []plan.Move{{Effect: plan.WithdrawsMarket, After: plan.Treatment{Phase: policy.Withdrawn}}}, 64, 0},
		{"withdrawn, and served", open, serve, []plan.Effect{plan.WithdrawsMarket}, nil, 0, 0},
		{"the country withdrawn, too", withhold, "{US: withdrawn, US-MS: {phase: withdrawn, unknown-part: withhold}}", []plan.Effect{plan.WithdrawsMarket}, nil, 1000, 0},
		{"more withdrawn elsewhere", withhold, "{DE: withdrawn, US-MS: {phase: withdrawn, unknown-part: serve}}", []plan.Effect{plan.OpensMarket, plan.WithdrawsMarket}, []plan.Move{{Effect: plan.OpensMarket, Before: plan.Treatment{Phase: policy.Withdrawn}}}, 0, 64},
	} {
		t.Run(test.name, func(t *testing.T) {
			read := func(entries string) *policy.Policy {
				p, err := document.Read("policy.yaml", []byte("version: 1\njurisdictions: "+entries))
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			p := plan.New(read(test.before), read(test.after), nil, at)
			if diff := cmp.Diff(test.effects, p.Effects); diff != "" {
				t.Error(diff)
			}
			var moves []plan.Move
			impact := p.Impact(counts)
			for i, m := range p.Moves {
				if m.UnknownPart {
					if diff := cmp.Diff([]policy.Code{"US"}, m.Jurisdictions); diff != "" {
						t.Error(diff)
					}
					if impact.Moves[i] != test.refused+test.served {
						t.Errorf("the move hits %d", impact.Moves[i])
					}
					m.UnknownPart, m.Jurisdictions = false, nil
					moves = append(moves, m)
				}
			}
			if diff := cmp.Diff(test.moves, moves); diff != "" {
				t.Error(diff)
			}
			if impact.Refused != test.refused || impact.Served != test.served || impact.Perhaps > 1000 {
				t.Errorf("it hits %+v", impact)
			}
			if p.OnlyRestricts() != (len(p.Effects) == 1 && p.Effects[0] == plan.WithdrawsMarket) {
				t.Error("an emergency may open a market, or not withdraw one")
			}
		})
	}
}
