package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A copy of an answer outlives the decision on it: who keeps one must know from
// when on it may not be given to whom. These are when requests begin to be
// refused, as far as that is public: whoever gets an answer can read from it how
// long it may be kept.

// moments are when requests begin to be refused, by class: Unix nanoseconds, 0 for
// never. What is refused now has the moment of the snapshot.
type moments []int64

// add takes what is refused earlier by others into account.
func (m moments) add(others ...moments) {
	for _, other := range others {
		for class, at := range other {
			m[class] = earlier(m[class], at)
		}
	}
}

// of returns when a class is refused. Nil moments are never.
func (m moments) of(class Class) int64 {
	if m == nil {
		return 0
	}
	return m[class]
}

// earlier returns the earlier of two moments, of which 0 is never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// asTime returns a moment as time, zero for never.
func asTime(moment int64) time.Time {
	if moment == 0 {
		return time.Time{}
	}
	return time.Unix(0, moment).UTC()
}

// refusals are the moments of a country.
type refusals struct {
	// By the demands that bind it, or a part of it.
	bound  moments
	bounds map[Code]moments
	// Of those of whom it isn't known where in a place they are.
	untold map[Code]moments
	// Of anybody in the country, and in a subdivision of it that the policy
	// doesn't distinguish.
	anybody, elsewhere moments
}

// RefusedFrom returns from when on requests of a class from a place are refused,
// as far as the public may know: zero for never, a moment that isn't after At if
// they are now. Of what is public it may be too early, never too late. It allocates
// nothing.
func (s *Snapshot) RefusedFrom(place Place, class Class) time.Time {
	return asTime(s.refusedFrom(place, class))
}

func (s *Snapshot) refusedFrom(place Place, class Class) int64 {
	country := s.country(place.Country)
	first := int64(0)
	if place.Anonymous {
		first = s.hiding.of(class)
	}
	switch {
	case place.Private:
		return earlier(first, s.private.refused.of(class))
	case country.market == nil:
		return earlier(first, s.unlocated.refused.of(class))
	}
	r := &country.refusals
	first = earlier(first, r.bound.of(class))
	fine, coarse := country.subdivisions[place.Subdivisions[1]], country.subdivisions[place.Subdivisions[0]]
	switch {
	case fine == nil && coarse == nil:
		first = earlier(first, country.market.refused.of(class))
	case fine != nil && fine.nested != nil && fine.parent == place.Subdivisions[0]:
		first = earlier(first, fine.nested.refused.of(class))
	default: // which of the two governs may change with time
		for _, m := range [...]*market{fine, coarse} {
			if m != nil {
				first = earlier(first, m.refused.of(class))
			}
		}
	}
	for _, code := range place.Subdivisions {
		if code != "" {
			first = earlier(first, r.bounds[code].of(class))
		}
	}
	if r.untold != nil {
		first = earlier(first, r.untold[country.untoldCode(place)].of(class))
	}
	return first
}

// RefusedFromAnywhere returns from when on requests of a class are refused that
// come from anywhere, as RefusedFrom does.
func (s *Snapshot) RefusedFromAnywhere(class Class) time.Time { return asTime(s.anywhere.of(class)) }

// RefusedFromWithin returns from when on requests of a class are refused from
// anywhere in a country or a first-level subdivision, also of those who hide where
// they are. Of another code it is what RefusedFromAnywhere returns.
func (s *Snapshot) RefusedFromWithin(code Code, class Class) time.Time {
	country := s.country(code[:min(len(code), 2)])
	r := &country.refusals
	switch {
	case country.market == nil:
		return s.RefusedFromAnywhere(class)
	case len(code) == 2:
		return asTime(earlier(s.hiding.of(class), r.anybody.of(class)))
	}
	place := PlaceOf(code)
	if place.Subdivisions[0] != code {
		return s.RefusedFromAnywhere(class)
	}
	inner := r.elsewhere
	if m := country.subdivisions[code]; m != nil {
		inner = m.anybody
	}
	return asTime(earlier(s.hiding.of(class), earlier(inner.of(class), s.refusedFrom(place, class))))
}

// refusedFrom returns from when on a class is refused by the entries that govern, as
// far as that is public.
func (p *Policy) refusedFrom(governing []*Rule, class Class, at time.Time) int64 {
	if p.mode == Observe {
		return 0
	}
	first := int64(0)
	for _, rule := range governing {
		for _, step := range rule.publicStepsOf(class, at) {
			if !step.Phase.Refuses(p.classes[class]) {
				continue
			}
			from := at
			if !rule.isTaken(step, at) {
				from = step.From
			}
			first = earlier(first, from.UnixNano())
			break
		}
	}
	return first
}

// newMoments returns moments at which nothing is refused.
func (c *compiler) newMoments() moments { return make(moments, len(c.policy.classes)) }

// setRefused notes when a market is refused what.
func (c *compiler) setRefused(m *market) {
	governing, _ := mostSpecific(c.matches)
	rules := make([]*Rule, len(governing))
	for i, match := range governing {
		rules[i] = match.entry
	}
	m.refused = c.newMoments()
	for class, d := range m.plain {
		if d.Action == Refuse {
			m.refused[class] = c.at.UnixNano()
		} else {
			m.refused[class] = c.policy.refusedFrom(rules, Class(class), c.at)
		}
	}
}

// setRefusals notes when what is refused where, once all markets are made.
func (c *compiler) setRefusals(s *Snapshot, untold map[Code][]Code) {
	s.hiding, s.anywhere = c.newMoments(), c.newMoments()
	if hidden := c.policy.rules[Anonymous]; hidden != nil {
		for class := range s.hiding {
			s.hiding[class] = c.policy.refusedFrom([]*Rule{hidden}, Class(class), c.at)
		}
	}
	for _, b := range c.policy.bindings {
		c.addBound(s, b)
	}
	for code, parts := range untold {
		c.addUntold(s, code, parts)
	}
	s.anywhere.add(s.hiding, s.unlocated.refused, s.private.refused)
	for i := range s.countries {
		if country := &s.countries[i]; country.market != nil {
			c.setWithin(country)
			s.anywhere.add(country.refusals.anybody)
		}
	}
}

// addBound notes which places a demand binds now. They are refused: the policy was
// checked. When one will bind isn't public, as it may have to be kept secret; the
// steps of the entries are that answer it.
func (c *compiler) addBound(s *Snapshot, b binding) {
	if c.policy.mode == Observe {
		return
	}
	from := c.newMoments()
	for class, name := range c.policy.classes {
		if b.Concerns(name) && name != Essential {
			from[class] = c.at.UnixNano()
		}
	}
	for _, code := range b.codes {
		place := PlaceOf(code)
		country := s.country(place.Country)
		if country.market == nil || !c.policy.isInForceAt(b, code, c.at) {
			continue
		}
		r := &country.refusals
		if place.Subdivisions[0] == "" {
			r.bound = c.earliest(r.bound, from)
			continue
		}
		if r.bounds == nil {
			r.bounds = make(map[Code]moments)
		}
		for _, inner := range within(code) {
			r.bounds[inner] = c.earliest(r.bounds[inner], from)
		}
	}
}

// addUntold notes when those are refused of whom it isn't known in which part of a
// place they are.
func (c *compiler) addUntold(s *Snapshot, code Code, parts []Code) {
	country := s.country(PlaceOf(code).Country)
	if country.market == nil {
		return
	}
	all := c.newMoments()
	for _, part := range parts {
		governing := c.policy.GoverningIfIn(part, code)
		for class := range all {
			all[class] = earlier(all[class], s.refusedFrom(PlaceOf(part), Class(class)))
			all[class] = earlier(all[class], c.policy.refusedFrom(governing, Class(class), c.at))
		}
	}
	if country.refusals.untold == nil {
		country.refusals.untold = make(map[Code]moments)
	}
	country.refusals.untold[code] = all
}

// setWithin adds up the moments of a country and of the subdivisions that the
// policy distinguishes in it.
func (c *compiler) setWithin(country *country) {
	r := &country.refusals
	second := c.newMoments() // of those within other subdivisions, whichever these are
	r.anybody = c.earliest(country.market.refused, r.bound)
	for code, m := range country.subdivisions {
		all := []moments{m.refused}
		if m.nested != nil {
			all = append(all, m.nested.refused)
		}
		r.anybody.add(all...)
		if PlaceOf(code).Subdivisions[1] != "" {
			second.add(all...)
		}
	}
	for code, bound := range r.bounds {
		r.anybody.add(bound)
		if PlaceOf(code).Subdivisions[1] != "" {
			second.add(bound)
		}
	}
	for _, untold := range r.untold {
		r.anybody.add(untold)
	}
	r.elsewhere = second
	for _, m := range country.subdivisions {
		m.anybody = c.earliest(m.refused, second)
	}
}

// earliest returns the earliest of some moments, as new ones.
func (c *compiler) earliest(all ...moments) moments {
	first := c.newMoments()
	first.add(all...)
	return first
}

// A Refusal is a part of what a snapshot refuses: a route class, in a
// jurisdiction.
type Refusal struct {
	Jurisdiction Code   `json:"jurisdiction"`
	Class        string `json:"class"`
	// Of says whom it concerns there, if not everybody: anonymous, unknown-part,
	// or demands/NAME, which is whoever is there by any reading.
	Of string `json:"of,omitempty"`
	// Routes names the patterns by which requests have classes: by others, other
	// requests may be refused.
	Routes string `json:"routes"`
}

// Refusals returns all that is refused now, sorted. Something that is in it
// and wasn't before is what somebody got before.
func (s *Snapshot) Refusals() []Refusal {
	all, routes := make(map[Refusal]bool), s.policy.routesDigest()
	for i := range s.decisions {
		d := &s.decisions[i]
		if d.Action != Refuse {
			continue
		}
		switch r := (Refusal{Jurisdiction: d.Jurisdiction, Class: d.Class, Routes: routes}); d.Reason {
		case ByAnonymity:
			r.Jurisdiction = Anonymous
			all[r] = true
		case ByUnknownPart:
			r.Of = ByUnknownPart.String()
			all[r] = true
		default:
			all[r] = true
		}
	}
	for _, b := range s.policy.bindings {
		for _, code := range b.codes {
			if s.policy.mode == Observe || !s.policy.isInForceAt(b, code, s.at) {
				continue
			}
			for _, class := range s.policy.classes {
				if class != Essential && b.Concerns(class) {
					all[Refusal{code, class, string(b.key()), routes}] = true
				}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(all), Refusal.Compare)
}

// routesDigest tells the patterns of policies apart.
func (p *Policy) routesDigest() string {
	h := sha256.New()
	for _, rule := range p.routes.Rules() {
		fmt.Fprintf(h, "%s %s\n", p.classes[rule.Class], rule.Pattern)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Compare orders refusals by jurisdiction.
func (r Refusal) Compare(other Refusal) int {
	return cmp.Or(cmp.Compare(r.Jurisdiction, other.Jurisdiction), strings.Compare(r.Class, other.Class), strings.Compare(r.Of, other.Of), strings.Compare(r.Routes, other.Routes))
}
