package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
)

func TestApprovalsAreAsThePolicySays(t *testing.T) {
	for document, want := range map[string]policy.Approvals{
		"version: 1\n":                       {Expire: 72 * time.Hour},
		"version: 1\napprovals: {}\n":        {Expire: 72 * time.Hour},
		"version: 1\napprovals: {open: 1}\n": {Open: 1, Expire: 72 * time.Hour},
		"version: 1\napprovals: {open: 10, withdraw: 0, expire: 1m}\n": {Open: 10, Expire: time.Minute},
		"version: 1\napprovals: {open: 1, withdraw: 2, weaken-guarantee: 3, weaken-demand: 4, acknowledge: 5, other: 6, expire: 2160h}\n": {
			Open: 1, Withdraw: 2, WeakenGuarantee: 3, WeakenDemand: 4, Acknowledge: 5, Other: 6, Expire: 90 * 24 * time.Hour,
		},
	} {
		if got := parse(t, document).Approvals(); got != want {
			t.Errorf("%s%+v, want %+v", document, got, want)
		}
	}
	if got, want := policy.OpenEverywhere().Approvals(), (policy.Approvals{Expire: 72 * time.Hour}); got != want {
		t.Errorf("without a policy: %+v, want %+v", got, want)
	}
}

func TestAChangeNeedsAsManyApprovalsAsItsEffectThatNeedsMost(t *testing.T) {
	a := policy.Approvals{Open: 3, Withdraw: 1, WeakenGuarantee: 5, WeakenDemand: 4, Acknowledge: 2}
	for _, test := range []struct {
		effects []policy.Effect
		want    int
	}{
		{nil, 0},
		{[]policy.Effect{policy.ChangesOther}, 0},
		{[]policy.Effect{policy.WithdrawsMarket}, 1},
		{[]policy.Effect{policy.AcknowledgesBreach}, 2},
		{[]policy.Effect{policy.OpensMarket}, 3},
		{[]policy.Effect{policy.WeakensDemand}, 4},
		{[]policy.Effect{policy.WeakensGuarantee}, 5},
		{[]policy.Effect{policy.OpensMarket, policy.WeakensDemand, policy.ChangesOther}, 4},
		{[]policy.Effect{policy.WeakensApprovals}, 5},
		{[]policy.Effect{policy.ChangesOther, "unheard-of"}, 5},
	} {
		if got := a.Needs(test.effects); got != test.want {
			t.Errorf("%v needs %d approvals, want %d", test.effects, got, test.want)
		}
	}
}

// To take the rules away in one change and to use that in the next must not
// need fewer approvals than to do it at once.
func TestTheRulesOfApprovalAreNotWeakenedByFewerThanTheyAskFor(t *testing.T) {
	for _, rule := range []string{"open", "withdraw", "weaken-guarantee", "weaken-demand", "acknowledge", "other"} {
		strict := parse(t, fmt.Sprintf("version: 1\napprovals: {%s: 3}\n", rule))
		lax := parse(t, fmt.Sprintf("version: 1\napprovals: {%s: 2}\n", rule))
		if plan := policy.NewPlan(strict, lax, nil, planned); !plan.HasEffect(policy.WeakensApprovals) || strict.Approvals().Needs(plan.Effects) != 3 {
			t.Errorf("%s: to lower the count needs %d approvals of 3: %v", rule, strict.Approvals().Needs(plan.Effects), plan.Effects)
		}
		if plan := policy.NewPlan(lax, strict, nil, planned); plan.HasEffect(policy.WeakensApprovals) {
			t.Errorf("%s: to raise the count: %v", rule, plan.Effects)
		}
	}
}
