package plan

import (
	"cmp"
	"slices"

	"github.com/exitgate/exitgate/policy"
)

// An Effect is what a change does, as far as the rules for approving it tell
// changes apart.
type Effect string

const (
	WeakensApprovals   Effect = "weaken-approvals" // a kind of change needs fewer approvals than before
	OpensMarket        Effect = "open"             // somebody gets more than before, at some moment
	WeakensGuarantee   Effect = "weaken-guarantee" // a value is possible that wasn't
	WeakensDemand      Effect = "weaken-demand"    // a demand is taken back a stage, or binds less
	AcknowledgesBreach Effect = "acknowledge"      // a breach of a guarantee is said to be looked into
	WithdrawsMarket    Effect = "withdraw"         // somebody gets less than before, or the end is announced
	ChangesOther       Effect = "other"
)

// effects lists them, the gravest first.
var effects = [...]Effect{WeakensApprovals, OpensMarket, WeakensGuarantee, WeakensDemand, AcknowledgesBreach, WithdrawsMarket, ChangesOther}

// NeededApprovals returns how many approvals a change with these effects needs
// by the rules of a policy: as many as the effect that needs most. One that
// weakens the rules of approval needs as many as any rule asks for, and so does
// one with an effect that is not known here.
func NeededApprovals(a policy.Approvals, effects []Effect) int {
	most := 0
	for _, effect := range effects {
		most = max(most, approvalsFor(a, effect))
	}
	return most
}

func approvalsFor(a policy.Approvals, effect Effect) int {
	switch effect {
	case OpensMarket:
		return a.Open
	case WithdrawsMarket:
		return a.Withdraw
	case WeakensGuarantee:
		return a.WeakenGuarantee
	case WeakensDemand:
		return a.WeakenDemand
	case AcknowledgesBreach:
		return a.Acknowledge
	case ChangesOther:
		return a.Other
	}
	return max(a.Open, a.Withdraw, a.WeakenGuarantee, a.WeakenDemand, a.Acknowledge, a.Other)
}

func byGravity(a, b Effect) int {
	return cmp.Compare(slices.Index(effects[:], a), slices.Index(effects[:], b))
}
