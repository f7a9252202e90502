package policy

import (
	"fmt"
	"slices"
	"time"
)

// Backdated describes the steps that the policy has and another, that it takes the
// place of, has not, and that begin before a moment: they would say of the past what
// wasn't so by that other one.
func (p *Policy) Backdated(inForce *Policy, before time.Time) []string {
	var all []string
	for _, code := range p.Jurisdictions() {
		rule := p.rules[code]
		had := inForce.stepsOf(code)
		add := func(steps []Step, about string) {
			for _, s := range steps {
				if s.From.IsZero() || !s.From.Before(before) || slices.ContainsFunc(had, s.Equal) {
					continue
				}
				text := fmt.Sprintf("%s%s %s from %s", code, about, s.Phase, s.From.UTC().Format(time.RFC3339))
				if !slices.Contains(all, text) {
					all = append(all, text)
				}
			}
		}
		add(rule.steps, "")
		for class, steps := range rule.features {
			add(steps, " ("+p.classes[class]+")")
		}
	}
	return all
}

// stepsOf returns all steps of an entry, none if there is none.
func (p *Policy) stepsOf(code Code) []Step {
	if rule := p.rules[code]; rule != nil {
		return slices.Concat(rule.Timelines()...)
	}
	return nil
}
