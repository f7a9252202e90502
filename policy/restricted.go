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

// RestrictsByDemand reports whether a market is restricted now because of a
// demand that binds: by an entry that says so, or as what is demanded there
// breaks a guarantee.
func (s *Snapshot) RestrictsByDemand() bool {
	p := s.policy
	if slices.ContainsFunc(p.bindings, func(b binding) bool { return b.isInForce(s.at) }) {
		return true
	}
	for _, rule := range p.rules {
		if rule.restrictsAt(s.at) && slices.ContainsFunc(rule.because, func(name string) bool { return p.demands[name].Binds() }) {
			return true
		}
	}
	return false
}
