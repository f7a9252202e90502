package policy

import (
	"maps"
	"slices"
	"time"
)

// Restricted returns the jurisdictions that a policy restricts at a moment or
// later, sorted: the places that it tells apart, and Anonymous.
func Restricted(p *Policy, flags Flags, at time.Time) []Code {
	restricted := make(map[Code]bool)
	for steps := 0; steps < maxSteps; steps++ {
		s := Compile(p, flags, at)
		for i := range s.decisions {
			if d := &s.decisions[i]; d.restriction() > 0 {
				restricted[d.Jurisdiction] = true
			}
		}
		if rule := p.rules[Anonymous]; rule != nil && rule.restrictsAt(s.at) {
			restricted[Anonymous] = true
		}
		if at = s.Until(); at.IsZero() {
			break
		}
	}
	return slices.Sorted(maps.Keys(restricted))
}

// Restricts reports whether a market is restricted now. Whether that is because of a
// demand makes no difference: it would tell of one that may not be disclosed.
func (s *Snapshot) Restricts() bool {
	for _, rule := range s.policy.rules {
		if rule.restrictsAt(s.at) {
			return true
		}
	}
	return false
}
