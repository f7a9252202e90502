package policy_test

import (
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
