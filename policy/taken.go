package policy

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// TakenSteps are the last steps of schedules that were taken, by the place that got
// them: countries, Unlocated, Private, Anonymous, and those subdivisions that have taken
// another one than what they lie in. Places that aren't among them have taken none.
//
// A step that was taken holds whatever a clock says later, and whichever entry governs
// the place by then: its schedule has come at least as far as that date. Only a policy
// that gives the place less by then takes it back.
type TakenSteps map[Code]Step

// of returns the last step that a place has taken, the zero Step for none.
func (t TakenSteps) of(place Code) Step {
	for ; len(t) > 0 && place != ""; place = partOf(place) {
		if step, ok := t[place]; ok {
			return step
		}
	}
	return Step{}
}

// Merge returns the later steps of two, place by place.
func (t TakenSteps) Merge(other TakenSteps) TakenSteps {
	all := make(TakenSteps, len(t)+len(other))
	for _, steps := range []TakenSteps{t, other} {
		for place := range steps {
			all[place] = t.of(place).orLater(other.of(place))
		}
	}
	return all.withoutParts()
}

// withoutParts returns the steps without those that what the place lies in has taken, too.
func (t TakenSteps) withoutParts() TakenSteps {
	kept := make(TakenSteps, len(t))
	for place, step := range t {
		if step != t.of(partOf(place)) {
			kept[place] = step
		}
	}
	return kept
}

// orLater returns the later of two steps, of two on one date the stricter.
func (s Step) orLater(other Step) Step {
	if other.From.After(s.From) || other.From.Equal(s.From) && other.Phase > s.Phase {
		return other
	}
	return s
}

// WithTaken returns the policy as it holds after some steps were taken, be it by an
// earlier text, and after no others: for whatever moment it is compiled, each place has
// come at least as far as the date of its step.
func (p *Policy) WithTaken(taken TakenSteps) *Policy {
	if maps.EqualFunc(p.taken, taken, Step.Equal) {
		return p
	}
	next := *p
	next.taken = taken
	next.distinguish()
	next.setTakenByAll()
	return &next
}

// setTakenByAll has each entry stand as far as all places have come that it governs:
// that is what can be said of the entry. For each of them appendMatches has it stand as
// far as the place has come.
func (p *Policy) setTakenByAll() {
	dates := make(map[*Rule]time.Time, len(p.rules))
	add := func(r *Rule, date time.Time) {
		if known, ok := dates[r]; !ok || date.Before(known) {
			dates[r] = date
		}
	}
	var matches []match
	for _, place := range p.placesWith() {
		date := p.taken.of(place.Jurisdiction()).From
		for _, reading := range readingsOf(place) {
			matches = p.appendEntries(matches[:0], reading)
			governing, _ := mostSpecific(matches)
			for _, m := range governing {
				add(m.entry, date)
			}
		}
	}
	if hidden := p.rules[Anonymous]; hidden != nil {
		add(hidden, p.taken.of(Anonymous).From)
	}
	copies := make(map[*Rule]*Rule)
	for _, r := range p.rules {
		if c := r.takenTo(dates[r]); c != r {
			copies[r] = c
		}
	}
	p.replaceRules(copies)
}

// replaceRules puts other rules in the place of some.
func (p *Policy) replaceRules(others map[*Rule]*Rule) {
	if len(others) == 0 {
		return
	}
	replace := func(r *Rule) *Rule {
		if other := others[r]; other != nil {
			return other
		}
		return r
	}
	p.rules, p.territoryOf, p.rulesOf = maps.Clone(p.rules), maps.Clone(p.territoryOf), maps.Clone(p.rulesOf)
	for code, r := range p.rules {
		p.rules[code] = replace(r)
	}
	for code, r := range p.territoryOf {
		p.territoryOf[code] = replace(r)
	}
	for code, rules := range p.rulesOf {
		if slices.ContainsFunc(rules, func(r *Rule) bool { return others[r] != nil }) {
			p.rulesOf[code] = slices.Clone(rules)
			for i, r := range rules {
				p.rulesOf[code][i] = replace(r)
			}
		}
	}
}

// readingsOf returns a place, and a second-level subdivision without what ISO 3166-2 has
// it in, too: a database may not know that.
func readingsOf(place Place) []Place {
	if place.Subdivisions[1] == "" {
		return []Place{place}
	}
	return []Place{place, {Country: place.Country, Subdivisions: [2]Code{place.Subdivisions[1]}}}
}

// takenTo returns the rule with those steps taken, whatever the moment, that begin by a
// date: the rule itself if these are.
func (r *Rule) takenTo(date time.Time) *Rule {
	if !r.hasStepBetween(r.taken, date) {
		return r
	}
	other := *r
	other.taken = date
	return &other
}

// furtherThanEntries yields the places that get more at a moment than what governs there
// gives in all of its places, as they have come further, and that entry as it stands
// there: of several the strictest.
func (p *Policy) furtherThanEntries(at time.Time) iter.Seq2[Code, *Rule] {
	return func(yield func(Code, *Rule) bool) {
		if len(p.taken) == 0 {
			return
		}
		for _, place := range p.placesWith() {
			var furthest *Rule
			for _, r := range p.Governing(place) {
				if r.gets(at) != p.rules[r.code].gets(at) && (furthest == nil || r.gets(at).phase > furthest.gets(at).phase) {
					furthest = r
				}
			}
			if furthest != nil && !yield(place.Jurisdiction(), furthest) {
				return
			}
		}
	}
}

// gets returns what places get by the rule at a moment.
func (r *Rule) gets(at time.Time) (g got) {
	g.add(r, at)
	return g
}

// hasStepBetween reports whether one of two dates is before a step that the other one
// isn't before.
func (r *Rule) hasStepBetween(a, b time.Time) bool {
	if a.Equal(b) {
		return false
	}
	between := func(s Step) bool { return s.From.After(a) != s.From.After(b) }
	return slices.ContainsFunc(r.steps, between) ||
		slices.ContainsFunc(r.features, func(steps []Step) bool { return slices.ContainsFunc(steps, between) })
}

// asTaken has entries stand as far as a place has come that they match.
func (p *Policy) asTaken(matches []match, place Code) []match {
	if len(p.taken) == 0 {
		return matches
	}
	date := p.taken.of(place).From
	for i := range matches {
		matches[i].entry = matches[i].entry.takenTo(date)
	}
	return matches
}

// partsApart returns the subdivisions for which isApart says so.
func (p *Policy) partsApart() (codes []Code) {
	for code := range p.taken {
		if p.isApart(code) {
			codes = append(codes, code)
		}
	}
	return codes
}

// isApart reports whether a subdivision has taken steps of what governs there that what
// it lies in has not, or the other way round.
func (p *Policy) isApart(subdivision Code) bool {
	place := PlaceOf(subdivision)
	if place.Subdivisions[0] == "" {
		return false
	}
	own, around := p.taken[subdivision].From, p.taken.of(partOf(subdivision)).From
	matches := p.appendEntries(nil, place)
	governing, _ := mostSpecific(matches)
	return slices.ContainsFunc(governing, func(m match) bool { return m.entry.hasStepBetween(own, around) })
}

// isInForceAt reports whether a demand binds a place of its own at a moment: by its date,
// or as the place has come to that before.
func (p *Policy) isInForceAt(b binding, place Code, at time.Time) bool {
	return !b.InForce.After(at) || !b.InForce.After(p.taken.of(place).From)
}

// TakenAt returns the steps that places have taken at a moment, by the schedules that
// they have now: also the last one that they took before, where they get no less than by
// it. The date of a demand that binds a place is one, too.
func (p *Policy) TakenAt(at time.Time) TakenSteps {
	all := make(TakenSteps)
	if len(p.taken) == 0 && !p.hasDates() {
		return all
	}
	t := takenAt{policy: p, at: at, bound: make(map[Code]time.Time), withheld: p.WithheldParts()}
	more := slices.Collect(maps.Keys(p.taken))
	for _, b := range p.bindings {
		for _, code := range b.codes {
			if p.isInForceAt(b, code, at) && !t.bound[code].After(b.InForce) {
				t.bound[code] = b.InForce
				more = append(more, code)
			}
		}
	}
	for _, place := range p.placesWith(onlySubdivisions(more)...) {
		all[place.Jurisdiction()] = t.lastOf(place)
	}
	if hidden := p.rules[Anonymous]; hidden != nil {
		g := hidden.gets(at)
		all[Anonymous] = g.lastSince(p.taken.of(Anonymous))
	}
	return all.withoutParts()
}

// onlySubdivisions drops all other codes.
func onlySubdivisions(codes []Code) []Code {
	return slices.DeleteFunc(codes, func(code Code) bool { return PlaceOf(code).Subdivisions[0] == "" })
}

// hasDates reports whether anything in the policy changes with time.
func (p *Policy) hasDates() bool {
	for _, r := range p.rules {
		if r.hasStepBetween(time.Time{}, maxTime) {
			return true
		}
	}
	return len(p.bindings) > 0
}

// maxTime is after every date that can be written (RFC 3339).
var maxTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

// takenAt is what TakenAt goes by.
type takenAt struct {
	policy   *Policy
	at       time.Time
	bound    map[Code]time.Time // since when demands bind
	withheld map[Code][]Code    // see WithheldParts
	matches  []match
}

// lastOf returns the last step that a place has taken. What it gets may be what another
// place does: what it lies in and a demand binds, or a part of it that is withheld from
// all who may be there.
func (t *takenAt) lastOf(place Place) Step {
	var g got
	for _, reading := range readingsOf(place) {
		t.add(&g, reading)
	}
	if len(t.bound) > 0 {
		for _, code := range chain(place) {
			if since, ok := t.bound[code]; ok {
				t.add(&g, PlaceOf(code))
				g.last = g.last.orLater(Step{From: since, Phase: Withdrawn})
			}
		}
	}
	code := place.Jurisdiction()
	for _, part := range t.withheld[code] {
		for _, r := range t.policy.GoverningIfIn(part, code) {
			g.add(r, t.at)
		}
	}
	return g.lastSince(t.policy.taken.of(code))
}

// add adds what governs a place.
func (t *takenAt) add(g *got, place Place) {
	t.matches = t.policy.appendMatches(t.matches[:0], place)
	governing, _ := mostSpecific(t.matches)
	for _, m := range governing {
		g.add(m.entry, t.at)
	}
}

// got is what a place gets by some entries.
type got struct {
	last  Step  // of those with a date
	phase Phase // the strictest
}

func (g *got) add(r *Rule, at time.Time) {
	g.addStep(r.stepAt(r.steps, at))
	for _, steps := range r.features {
		g.addStep(r.stepAt(steps, at))
	}
}

func (g *got) addStep(s Step) {
	g.phase = max(g.phase, s.Phase)
	if !s.From.IsZero() {
		g.last = g.last.orLater(s)
	}
}

// lastSince returns the last step taken, which is still one that was taken before where
// no less is got than by that.
func (g *got) lastSince(before Step) Step {
	if before.Phase <= g.phase {
		g.last = g.last.orLater(before)
	}
	g.last.From = g.last.From.UTC()
	return g.last
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

// key names the demand among other reasons for a refusal. No jurisdiction has such a
// name.
func (b binding) key() Code {
	key := "demands/" + b.demand
	if b.duty > 0 {
		key += fmt.Sprint("#", b.duty+1)
	}
	return Code(key)
}

// TakenByEntries returns steps by place that were kept by the entries of this policy, and
// by its demands, as earlier versions did: of entries that are gone by their members.
func (p *Policy) TakenByEntries(steps TakenSteps) TakenSteps {
	bound := make(map[Code]Step)
	for _, b := range p.bindings {
		for _, code := range b.codes {
			bound[code] = bound[code].orLater(steps[b.key()])
		}
	}
	all := make(TakenSteps)
	more := slices.Concat(slices.Collect(maps.Keys(bound)), slices.Collect(maps.Keys(steps)))
	for _, place := range p.placesWith(onlySubdivisions(more)...) {
		var last Step
		code := place.Jurisdiction()
		codes := append(p.Groups(place), code) // of entries that are gone
		for _, r := range p.Governing(place) {
			last = last.orLater(steps[r.code])
		}
		for _, code := range codes {
			if p.rules[code] == nil {
				last = last.orLater(steps[code])
			}
		}
		for _, code := range chain(place) {
			last = last.orLater(bound[code])
		}
		all[code] = last
	}
	all[Anonymous] = steps[Anonymous]
	return all.withoutParts()
}
