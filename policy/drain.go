package policy

import (
	"fmt"
	"time"
)

// LongestDrain is how long what is under way may go on at most that is refused by then.
const LongestDrain = time.Hour

// A Withdrawal is how markets are left.
type Withdrawal struct {
	Drain time.Duration `yaml:"drain" default:"0s" doc:"How long what is under way may go on when it would be refused from now on: 0s to 1h. It ends at the moment of a step of a schedule. There is none where a demand binds, where a guarantee is breached, and in an emergency."`
}

// addDrains checks how long what is under way may go on.
func (p *builder) addDrains() {
	p.checkDrain(p.def.Withdrawal.Drain, at("withdrawal", "drain"))
	for name, entry := range p.def.Jurisdictions {
		if entry.Drain != nil {
			p.checkDrain(*entry.Drain, at("jurisdictions", name, "drain"))
		}
	}
	p.policy.drain = p.def.Withdrawal.Drain
}

func (p *builder) checkDrain(drain time.Duration, path []any) {
	if err := CheckDrain(drain); err != nil {
		p.errorf("give a time from 0s to 1h, as in 30s", path, "%v", err)
	}
}

// CheckDrain returns why what is under way can't go on for so long, nil if it can.
func CheckDrain(drain time.Duration) error {
	if drain < 0 || drain > LongestDrain {
		return fmt.Errorf("what is under way can't go on for %s", FormatDrain(drain))
	}
	return nil
}

// FormatDrain writes a drain as a policy does: 10m, not 10m0s.
func FormatDrain(drain time.Duration) string { return formatDuration(drain) }

// HasDrains reports whether the definition says how long what is under way may go on.
func (d Definition) HasDrains() bool {
	for _, entry := range d.Jurisdictions {
		if entry.Drain != nil {
			return true
		}
	}
	return d.Withdrawal.Drain != 0
}

// MostDrain returns the longest drain of the policy, 0 if it has none.
func (p *Policy) MostDrain() time.Duration {
	most := p.drain
	for _, r := range p.rules {
		if r.drain != nil {
			most = max(most, *r.drain)
		}
	}
	return most
}

// Drain returns for how long at most what is under way from a place goes on that a decision
// of the snapshot refuses, 0 if it ends at once: where a demand binds, where a guarantee is
// breached, and where the policy says nothing else.
func (s *Snapshot) Drain(place Place, d *Decision) time.Duration {
	rule := s.policy.rules[d.Entry]
	switch {
	case d.Reason == ByGuarantee, s.market(place, s.policy.Class(d.Class)).withheld, s.isBound(place, d), d.Entry != Default && s.isBound(PlaceOf(d.Entry), d):
		return 0
	case rule != nil && rule.drain != nil:
		return *rule.drain
	}
	return s.policy.drain
}

// isBound reports whether a demand binds a place that would break a guarantee in what the
// decision is about.
func (s *Snapshot) isBound(place Place, d *Decision) bool {
	for _, b := range s.policy.bindings {
		if !b.Concerns(d.Class) {
			continue
		}
		for _, code := range b.binds(place) {
			if s.policy.isInForceAt(b, code, s.at) {
				return true
			}
		}
	}
	return false
}

// StepOf returns the date of the step of a schedule by which a decision is what it is, zero
// if it has none.
func (s *Snapshot) StepOf(place Place, d *Decision) time.Time {
	rule := s.policy.rules[d.Entry]
	if rule == nil {
		return time.Time{}
	}
	rule = rule.takenTo(s.policy.taken.of(place.Jurisdiction()).From)
	return rule.stepAt(rule.StepsOf(s.policy.Class(d.Class)), s.at).From
}
