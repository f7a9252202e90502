package plan_test

import (
	"fmt"
	"testing"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

func TestNeededApprovals(t *testing.T) {
	a := policy.Approvals{Open: 3, Withdraw: 1, WeakenGuarantee: 5, WeakenDemand: 4, Acknowledge: 2}
	for _, test := range []struct {
		effects []plan.Effect
		want    int
	}{
		{nil, 0},
		{[]plan.Effect{plan.ChangesOther}, 0},
		{[]plan.Effect{plan.WithdrawsMarket}, 1},
		{[]plan.Effect{plan.AcknowledgesBreach}, 2},
		{[]plan.Effect{plan.OpensMarket}, 3},
		{[]plan.Effect{plan.WeakensDemand}, 4},
		{[]plan.Effect{plan.WeakensGuarantee}, 5},
		{[]plan.Effect{plan.OpensMarket, plan.WeakensDemand, plan.ChangesOther}, 4},
		{[]plan.Effect{plan.WeakensApprovals}, 5},
		{[]plan.Effect{plan.ChangesOther, "unheard-of"}, 5},
	} {
		if got := plan.NeededApprovals(a, test.effects); got != test.want {
			t.Errorf("%v needs %d approvals, want %d", test.effects, got, test.want)
		}
	}
}

// To take the rules away in one change and to use that in the next must not
// need fewer approvals than to do it at once.
func TestNeededApprovals_ofAWeakerRule(t *testing.T) {
	for _, rule := range []string{"open", "withdraw", "weaken-guarantee", "weaken-demand", "acknowledge", "other"} {
		strict := parse(t, fmt.Sprintf("version: 1\napprovals: {%s: 3}\n", rule))
		lax := parse(t, fmt.Sprintf("version: 1\napprovals: {%s: 2}\n", rule))
		if change := plan.New(strict, lax, nil, planned); !change.HasEffect(plan.WeakensApprovals) || plan.NeededApprovals(strict.Approvals(), change.Effects) != 3 {
			t.Errorf("%s: to lower the count needs %d approvals of 3: %v", rule, plan.NeededApprovals(strict.Approvals(), change.Effects), change.Effects)
		}
		if change := plan.New(lax, strict, nil, planned); change.HasEffect(plan.WeakensApprovals) {
			t.Errorf("%s: to raise the count: %v", rule, change.Effects)
		}
	}
}
