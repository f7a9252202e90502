package policy

import (
	"fmt"
	"maps"
	"slices"

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
		_, is := countryOf(code)
		return !is || !isPlace(string(code))
	})
}

// untold returns the places of which a part is withheld also from those who may be
// elsewhere in it, with these parts: countries, and first-level subdivisions.
func (p *Policy) untold() map[Code][]Code {
	var all map[Code][]Code
	for _, code := range p.Jurisdictions() {
		e := p.rules[code]
		if e.unknownPart != WithholdPart {
			continue
		}
		if all == nil {
			all = make(map[Code][]Code)
		}
		for _, part := range p.parts(e) {
			place := PlaceOf(part)
			if !slices.Contains(p.Governing(place), e) {
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
		for class := range least {
			around := s.market(place, Class(class)).plain[class]
			strictest := around
			for _, part := range untold[code] {
				strictest = Stricter(strictest, s.market(PlaceOf(part), Class(class)).plain[class])
			}
			if strictest == around {
				continue
			}
			d := *strictest
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

// checkUnknownPartsSaid reports entries that answer a binding demand for a part of
// a country, and don't say what those get who may be there or not.
func (p *builder) checkUnknownPartsSaid(b binding) {
	for _, code := range b.codes {
		place := PlaceOf(code)
		if place.Subdivisions[0] == "" || !p.policy.serves(Place{Country: place.Country}, b.Demand, b.InForce) {
			continue
		}
		governing, _ := mostSpecific(p.policy.appendMatches(nil, place))
		for _, m := range governing {
			if m.entry.unknownPart != "" {
				continue
			}
			p.errorf(fmt.Sprintf("write unknown-part: withhold, or unknown-part: serve; or withdraw %s", place.Country), key("jurisdictions", string(m.entry.code)),
				"%s withdraws %s because of %s, and it isn't said what those get who are located to %s alone, and may be there", m.entry.code, code, b.demand, place.Country)
		}
	}
}
