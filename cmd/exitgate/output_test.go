package main

import (
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// What becomes of a market is never shortened, however narrow the terminal.
func TestMovesAreWholeOnAnyTerminal(t *testing.T) {
	at := func(text string) time.Time {
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	moves := movesTable{moves: []plan.Move{
		{Effect: plan.WithdrawsMarket, Before: plan.Treatment{Phase: policy.Open}, After: plan.Treatment{Phase: policy.ClosedToNew}, Jurisdictions: []policy.Code{"FR", "DE"}, From: at("2026-11-29T23:00:00Z"), Until: at("2026-12-09T23:00:00Z")},
		{Effect: plan.OpensMarket, Before: plan.Treatment{Phase: policy.Withdrawn}, After: plan.Treatment{Phase: policy.Open}, Jurisdictions: []policy.Code{"US-MS"}, Routes: []string{"account-export"}},
	}}
	for _, width := range []int{40, 60, 80, 100, 200} {
		var out strings.Builder
		moves.write(printer{Writer: &out, width: width})
		text := strings.Join(strings.Fields(out.String()), " ")
		for _, want := range []string{"open → closed-to-new", "withdrawn → open (account-export only)", "until 2026-12-09T23:00:00Z", "US-MS"} {
			if !strings.Contains(text, want) {
				t.Errorf("on %d columns there is no %q in\n%s", width, want, out.String())
			}
		}
	}
}
