package policy

import (
	"slices"
	"time"
)

// A match is an entry that matches a place.
type match struct {
	entry  *Rule
	reason Reason
	rank   rank
}

// A rank says how specific a match is; the lowest governs. Only groups share
// one.
type rank uint8

const (
	secondLevel rank = iota
	firstLevel
	wholeCountry // also unlocated and private
	territory
	ownGroup
	builtInGroup
	anywhere // the entry default
)

// appendMatches appends every entry that matches a place, the most specific
// first, except anonymous, which applies besides. They stand as far as the place has
// come.
func (p *Policy) appendMatches(matches []match, place Place) []match {
	matches = p.appendEntries(matches, place)
	return p.asTaken(matches, place.Jurisdiction())
}

// appendEntries appends them as they stand everywhere.
func (p *Policy) appendEntries(matches []match, place Place) []match {
	if place.Private || place.Country == "" {
		return p.appendDefault(p.appendEntry(matches, place.Jurisdiction(), wholeCountry))
	}
	matches = p.appendEntry(matches, place.Subdivisions[1], secondLevel)
	matches = p.appendEntry(matches, place.Subdivisions[0], firstLevel)
	matches = p.appendEntry(matches, place.Country, wholeCountry)
	if e := p.territoryOf[place.Country]; e != nil {
		matches = append(matches, match{e, ByTerritory, territory})
	}
	for _, rank := range [...]rank{ownGroup, builtInGroup} {
		matches = p.appendGroups(matches, place, rank)
	}
	return p.appendAliases(p.appendDefault(matches), place)
}

// appendDefault appends the entry default, which matches every place.
func (p *Policy) appendDefault(matches []match) []match {
	if e := p.rules[Default]; e != nil {
		matches = append(matches, match{e, ByDefault, anywhere})
	}
	return matches
}

func (p *Policy) appendEntry(matches []match, code Code, rank rank) []match {
	if e := p.rules[code]; e != nil {
		matches = append(matches, match{e, ByEntry, rank})
	}
	return matches
}

// appendAliases puts before matches the entries of the codes that ISO 3166-2 has besides
// for the same place: who is in Puerto Rico is located to PR, and US-PR is that. They are as
// specific as what governs there, so that they restrict, and open nothing.
func (p *Policy) appendAliases(matches []match, place Place) []match {
	governing := anywhere
	if len(matches) > 0 {
		governing = matches[0].rank
	}
	for _, code := range alsoCalled(place) {
		if e := p.rules[code]; e != nil {
			matches = slices.Insert(matches, 0, match{e, ByEntry, governing})
		}
	}
	return matches
}

// appendGroups appends the groups of one rank that a place belongs to by any
// of its codes.
func (p *Policy) appendGroups(matches []match, place Place, rank rank) []match {
	start := len(matches)
	for _, code := range append(alsoCalled(place), place.Country, place.Subdivisions[0], place.Subdivisions[1]) {
		for _, e := range p.rulesOf[code] {
			known := slices.ContainsFunc(matches[start:], func(m match) bool { return m.entry == e })
			if !known && p.groups[e.code].builtIn == (rank == builtInGroup) {
				matches = append(matches, match{e, ByGroup, rank})
			}
		}
	}
	return matches
}

// mostSpecific splits matches into the most specific ones and the others.
func mostSpecific(matches []match) (governing, others []match) {
	for i, m := range matches {
		if m.rank != matches[0].rank {
			return matches[:i], matches[i:]
		}
	}
	return matches, nil
}

// decide decides a class at a place: by the most specific match, of several
// alike by the most restrictive, by default if there is none.
func (p *Policy) decide(jurisdiction Code, matches []match, class Class, at time.Time) Decision {
	if len(matches) == 0 {
		return Decision{Jurisdiction: jurisdiction, Reason: ByDefault, Entry: Default, Class: p.classes[class]}
	}
	governing, _ := mostSpecific(matches)
	best := p.decideBy(jurisdiction, governing[0], class, at)
	for _, m := range governing[1:] {
		other := p.decideBy(jurisdiction, m, class, at)
		best = *Stricter(&best, &other)
	}
	return best
}

// decideBy decides a class by one entry.
func (p *Policy) decideBy(jurisdiction Code, m match, class Class, at time.Time) Decision {
	d := Decision{Jurisdiction: jurisdiction, Reason: m.reason, Entry: m.entry.code, Class: p.classes[class]}
	steps := m.entry.publicStepsOf(class, at)
	step := m.entry.stepAt(steps, at)
	if step.Phase == Open {
		return d
	}
	d.Phase = step.Phase
	b := p.beginning(jurisdiction, m.entry, m.entry.timelineOf(d.Class), steps, at)
	d.Since, d.Announced = b.Since, b.Announced
	d.Sunset = p.sunset(m.entry, steps, at, b)
	d.Feature = m.entry.features != nil && step.Phase > m.entry.stepAt(m.entry.steps, at).Phase
	d.Action = p.action(d.Phase, d.Class)
	return d
}

// action returns what a phase does with the requests of a class.
func (p *Policy) action(phase Phase, class string) Action {
	switch {
	case !phase.Refuses(class):
		return Forward
	case p.mode == Observe:
		return WouldRefuse
	}
	return Refuse
}
