package policy

import (
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
		if last := r.steps[len(r.steps)-1].From; last.Before(date) {
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
	if len(dates) == 0 {
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
		if step := r.stepAt(at); !step.From.IsZero() {
			taken[code] = Step{From: step.From.UTC(), Phase: step.Phase}
		}
	}
	return taken
}

// isTaken reports whether a step of the rule holds at a moment, by its date or
// as it was taken before.
func (r *Rule) isTaken(s Step, at time.Time) bool {
	return !s.From.After(at) || !s.From.After(r.taken)
}

// Taken returns the steps that hold at a moment, by their dates or as they were
// taken before.
func (r *Rule) Taken(at time.Time) []Step {
	i := slices.IndexFunc(r.steps, func(s Step) bool { return !r.isTaken(s, at) })
	if i < 0 {
		i = len(r.steps)
	}
	return r.steps[:i]
}
