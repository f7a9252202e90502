package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// TakenSteps are the last steps of schedules that were taken, by the entry that
// has the schedule. A step that was taken holds whatever a clock says later:
// only another policy that gives the entry less takes it back.
type TakenSteps map[Code]Step

// WithTaken returns the policy as it holds after some steps were taken, be it by
// an earlier text: for whatever moment it is compiled, each of these entries'
// schedules has come at least as far as the date of its step. What replaces an
// entry that is gone has come as far as that had.
func (p *Policy) WithTaken(taken TakenSteps) *Policy {
	dates := make(map[*Rule]time.Time)
	extend := func(r *Rule, date time.Time) {
		var last time.Time
		for _, steps := range r.Timelines() {
			if len(steps) > 0 && steps[len(steps)-1].From.After(last) {
				last = steps[len(steps)-1].From
			}
		}
		if last.Before(date) {
			date = last
		}
		if r.taken.Before(date) && dates[r].Before(date) {
			dates[r] = date
		}
	}
	for code, step := range taken {
		if r := p.rules[code]; r != nil {
			extend(r, step.From)
			continue
		}
		for _, place := range append(slices.Clip(p.groups[code].members), code) {
			if isPseudo(place) || !isPlace(string(place)) {
				continue
			}
			for _, r := range p.Governing(PlaceOf(place)) {
				extend(r, step.From)
			}
		}
	}
	bindings := p.bindingsTaken(taken)
	if len(dates) == 0 && bindings == nil {
		return p
	}
	copies := make(map[*Rule]*Rule, len(dates))
	for r, date := range dates {
		c := *r
		c.taken = date
		copies[r] = &c
	}
	replace := func(r *Rule) *Rule {
		if c := copies[r]; c != nil {
			return c
		}
		return r
	}
	next := *p
	if bindings != nil {
		next.bindings = bindings
	}
	next.rules, next.territoryOf, next.rulesOf = maps.Clone(p.rules), maps.Clone(p.territoryOf), maps.Clone(p.rulesOf)
	for code, r := range next.rules {
		next.rules[code] = replace(r)
	}
	for code, r := range next.territoryOf {
		next.territoryOf[code] = replace(r)
	}
	for code, rules := range next.rulesOf {
		if slices.ContainsFunc(rules, func(r *Rule) bool { return copies[r] != nil }) {
			next.rulesOf[code] = slices.Clone(rules)
			for i, r := range rules {
				next.rulesOf[code][i] = replace(r)
			}
		}
	}
	return &next
}

// TakenAt returns the steps that the policy's schedules have taken at a moment.
func (p *Policy) TakenAt(at time.Time) TakenSteps {
	taken := make(TakenSteps)
	for code, r := range p.rules {
		for _, steps := range r.Timelines() {
			if step := r.stepAt(steps, at); step.From.After(taken[code].From) {
				taken[code] = Step{From: step.From.UTC(), Phase: step.Phase}
			}
		}
	}
	for _, b := range p.bindings {
		if b.isInForce(at) && !b.InForce.IsZero() {
			taken[b.key()] = Step{From: b.InForce.UTC(), Phase: Withdrawn}
		}
	}
	return taken
}

// isTaken reports whether a step of the rule holds at a moment, by its date or
// as it was taken before.
func (r *Rule) isTaken(s Step, at time.Time) bool {
	return !s.From.After(at) || !s.From.After(r.taken)
}

// TakenOf returns which of some of the rule's steps hold at a moment, by their
// dates or as they were taken before.
func (r *Rule) TakenOf(steps []Step, at time.Time) []Step {
	i := slices.IndexFunc(steps, func(s Step) bool { return !r.isTaken(s, at) })
	if i < 0 {
		i = len(steps)
	}
	return steps[:i]
}

// key names the demand among the steps that were taken. No jurisdiction has such a
// name.
func (b binding) key() Code {
	key := "demands/" + b.demand
	if b.duty > 0 {
		key += fmt.Sprint("#", b.duty+1)
	}
	return Code(key)
}

// bindingsTaken returns the demands as they hold after some came into force, nil
// if that changes nothing.
func (p *Policy) bindingsTaken(taken TakenSteps) []binding {
	var bindings []binding
	for i, b := range p.bindings {
		if step, ok := taken[b.key()]; ok && b.taken.Before(step.From) {
			if bindings == nil {
				bindings = slices.Clone(p.bindings)
			}
			bindings[i].taken = step.From
		}
	}
	return bindings
}
