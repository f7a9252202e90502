package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// An UnknownPart is what clients get of whom only the country is known, or the
// region, while an entry is about a part of it: they may be there or not.
type UnknownPart string

const (
	ServePart    UnknownPart = "serve"    // as the country
	WithholdPart UnknownPart = "withhold" // as the part, if that is stricter
)

// SchemaEnum lists what can be said.
func (UnknownPart) SchemaEnum() []string { return []string{string(ServePart), string(WithholdPart)} }

// IsKnown reports whether it is one of those that can be said.
func (u UnknownPart) IsKnown() bool { return slices.Contains(u.SchemaEnum(), string(u)) }

// checkUnknownPart checks that what an entry says of unknown parts is about some.
func (p *builder) checkUnknownPart(e *Rule, path []any) {
	if e.unknownPart != "" && len(p.policy.parts(e)) == 0 {
		p.errorf("remove it, or write it at the entry of a subdivision", path, "%s is no part of a country", e.code)
	}
}

// parts returns the subdivisions that an entry is about.
func (p *Policy) parts(e *Rule) []Code {
	codes := append(slices.Clip(p.groups[e.code].members), e.code)
	return slices.DeleteFunc(codes, func(code Code) bool {
		_, is := iso3166.LookupSubdivision(string(code))
		return !is
	})
}

// WithheldParts returns the places of which a part is withheld also from those who
// may be elsewhere in it, with these parts: countries, and first-level subdivisions.
func (p *Policy) WithheldParts() map[Code][]Code {
	var all map[Code][]Code
	var withholding []Code
	for code, e := range p.rules {
		if e.unknownPart == WithholdPart {
			withholding = append(withholding, code)
		}
	}
	slices.Sort(withholding)
	for _, code := range withholding {
		e := p.rules[code]
		if all == nil {
			all = make(map[Code][]Code)
		}
		for _, part := range p.parts(e) {
			place := PlaceOf(part)
			if place.Subdivisions[0] == "" {
				continue // nobody is located to what is around US-PR and may be there
			}
			if !slices.ContainsFunc(p.Governing(place), func(r *Rule) bool { return r.code == code }) {
				continue // what governs there says it
			}
			all[place.Country] = append(all[place.Country], part)
			if place.Subdivisions[1] != "" {
				all[place.Subdivisions[0]] = append(all[place.Subdivisions[0]], part)
			}
		}
	}
	return all
}

// GoverningIfIn returns what governs a part of a place for those who may be in it, or
// elsewhere in that place. It stands as far as both have come.
func (p *Policy) GoverningIfIn(part, around Code) []*Rule {
	rules := p.Governing(PlaceOf(part))
	for i, r := range rules {
		if date := p.taken.of(around).From; date.After(r.taken) {
			rules[i] = r.takenTo(date)
		}
	}
	return rules
}

// setUntold makes what those get of whom it isn't known in which part of a place
// they are.
func (c *compiler) setUntold(s *Snapshot, untold map[Code][]Code) {
	for _, code := range slices.Sorted(maps.Keys(untold)) {
		place := PlaceOf(code)
		i, ok := slot(place.Country)
		if !ok || s.countries[i].market == nil {
			continue
		}
		country := &s.countries[i]
		least := make(floor, len(c.policy.classes))
		var further []*Rule // as the place has come further than a part of it
		for _, part := range untold[code] {
			if len(c.policy.taken) > 0 {
				further = append(further, c.policy.GoverningIfIn(part, code)...)
			}
		}
		for class := range least {
			around := s.market(place, Class(class)).plain[class]
			strictest := around
			for _, part := range untold[code] {
				strictest = Stricter(strictest, s.market(PlaceOf(part), Class(class)).plain[class])
			}
			for _, rule := range further {
				d := c.policy.decideBy(code, match{entry: rule}, Class(class), c.at)
				strictest = Stricter(strictest, &d)
			}
			if strictest == around {
				continue
			}
			d := *strictest
			c.policy.asUnknownPart(&d, code)
			d.Jurisdiction, d.Reason = around.Jurisdiction, ByUnknownPart
			least[class] = c.addDecision(d)
		}
		if country.untold == nil {
			country.untold = make(map[Code]floor)
			country.known = make(map[Code]bool)
			for sub := range iso3166.Subdivisions(string(place.Country)) {
				country.known[Code(sub.Code)] = true
			}
		}
		country.untold[code] = least
	}
}

// untoldCode returns the narrowest code of a place beyond which nothing is known
// of where in it a client is; "" if all is known that can be. A code that ISO
// 3166-2 doesn't have says nothing.
func (c *country) untoldCode(place Place) Code {
	first, second := place.Subdivisions[0], place.Subdivisions[1]
	switch {
	case c.known[second]:
		return ""
	case c.known[first]:
		return first
	}
	return place.Country
}

// An UnsaidPart is an entry that answers a binding demand for a part of a country,
// and doesn't say what those get who may be there or not.
type UnsaidPart struct {
	Entry, Part, Country Code
	Demand               string
	InForce              time.Time
}

// UnsaidParts returns the entries that don't say what those get who may be in the
// part that they are about, although a demand binds it.
func (p *Policy) UnsaidParts() []UnsaidPart {
	var all []UnsaidPart
	for _, b := range p.bindings {
		for _, code := range b.codes {
			place := PlaceOf(code)
			if place.Subdivisions[0] == "" || !p.serves(Place{Country: place.Country}, b.Demand, b.InForce) {
				continue
			}
			for _, e := range p.Governing(place) {
				if e.unknownPart == "" {
					all = append(all, UnsaidPart{e.code, code, place.Country, b.demand, b.InForce})
				}
			}
		}
	}
	return all
}

// WithUnknownPart returns the policy with something else said in an entry of those
// who may be in its part or not.
func (p *Policy) WithUnknownPart(entry Code, says UnknownPart) *Policy {
	if p.rules[entry] == nil {
		return p
	}
	q, was, is := *p, p.rules[entry], *p.rules[entry]
	is.unknownPart = says
	q.rules, q.rulesOf, q.territoryOf = maps.Clone(p.rules), maps.Clone(p.rulesOf), maps.Clone(p.territoryOf)
	q.rules[entry] = &is
	for code, rules := range q.rulesOf {
		if i := slices.Index(rules, was); i >= 0 {
			rules = slices.Clone(rules)
			rules[i] = &is
			q.rulesOf[code] = rules
		}
	}
	for code, rule := range q.territoryOf {
		if rule == was {
			q.territoryOf[code] = &is
		}
	}
	return &q
}

// checkUnknownPartsSaid reports entries of UnsaidParts.
func (p *builder) checkUnknownPartsSaid() {
	for _, u := range p.policy.UnsaidParts() {
		advice := fmt.Sprintf("write unknown-part: withhold, or unknown-part: serve; or withdraw %s", u.Country)
		p.errorf(advice, key("jurisdictions", string(u.Entry)),
			"%s withdraws %s because of %s, and it isn't said what those get who are located to %s alone, and may be there", u.Entry, u.Part, u.Demand, u.Country)
	}
}
