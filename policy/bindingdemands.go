package policy

import (
	"cmp"
	"slices"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// A binding is a demand that binds and that would break a guarantee, with the
// places that it speaks of: nothing that lies in one of these is served, whatever
// a more specific entry says.
type binding struct {
	demand string
	duty   int    // which of the demand's
	Demand        // as this has it
	codes  []Code // countries and subdivisions
}

// setBindings notes which demands have to be kept by withholding.
func (p *Policy) setBindings() {
	for name, d := range p.demands {
		for i, duty := range d.Duties() {
			if duty.Binds() && p.BrokenGuarantees(duty.Demand) != nil {
				p.bindings = append(p.bindings, binding{demand: name, duty: i, Demand: duty.Demand, codes: p.boundCodes(d)})
			}
		}
	}
	slices.SortFunc(p.bindings, func(a, b binding) int {
		return cmp.Or(cmp.Compare(a.demand, b.demand), cmp.Compare(a.duty, b.duty))
	})
}

// chain returns all codes that a place has by any reading: those that the
// database gives, and what ISO 3166-2 has these in.
func chain(place Place) []Code {
	if place.Private || place.Country == "" {
		return nil
	}
	codes := []Code{place.Country}
	for _, code := range place.Subdivisions {
		if code == "" {
			continue
		}
		codes = append(codes, code)
		if sub, ok := iso3166.LookupSubdivision(string(code)); ok && sub.Parent != "" {
			codes = append(codes, Code(sub.Parent))
		}
	}
	return codes
}

// binds returns the codes by which the demand binds a place, none if it doesn't.
func (b binding) binds(place Place) []Code {
	return slices.DeleteFunc(chain(place), func(code Code) bool { return !slices.Contains(b.codes, code) })
}

// A floor is what a place gets at least by the demands that bind it, by class:
// the decisions of the place that they speak of. Nil where none concerns a class.
type floor []*Decision

// setFloors finds what each place gets at least that a demand binds.
func (s *Snapshot) setFloors() {
	for _, b := range s.policy.bindings {
		for _, code := range b.codes {
			if s.policy.isInForceAt(b, code, s.at) {
				s.addFloor(code, b)
			}
		}
	}
}

// addFloor adds what a demand makes of a place, and of all that lies in it. What
// lies in a subdivision by the database alone finds the floor by the database's
// chain.
func (s *Snapshot) addFloor(code Code, b binding) {
	place := PlaceOf(code)
	i, ok := slot(place.Country)
	if !ok || s.countries[i].market == nil {
		return
	}
	country := &s.countries[i]
	add := func(f floor) floor {
		if f == nil {
			f = make(floor, len(s.policy.classes))
		}
		for class, name := range s.policy.classes {
			if !b.Concerns(name) {
				continue
			}
			least := s.market(place, Class(class)).plain[class]
			if f[class] == nil || Stricter(f[class], least) == least {
				f[class] = least
			}
		}
		return f
	}
	if place.Subdivisions[0] == "" {
		country.floor = add(country.floor)
		return
	}
	if country.floors == nil {
		country.floors = make(map[Code]floor)
	}
	for _, inner := range within(code) {
		country.floors[inner] = add(country.floors[inner])
	}
}

// within returns a subdivision and those that ISO 3166-2 has in it.
func within(code Code) []Code {
	codes := []Code{code}
	for sub := range iso3166.Subdivisions(string(PlaceOf(code).Country)) {
		if Code(sub.Parent) == code {
			codes = append(codes, Code(sub.Code))
		}
	}
	return codes
}

// hasFloor reports whether a demand binds the country or a part of it, or a part is
// withheld from all who may be there.
func (c *country) hasFloor() bool { return c.floor != nil || c.floors != nil || c.untold != nil }

// raise returns the strictest of a decision, of what the demands along the chain
// of a place make of it, and of what is withheld as more isn't known.
func (c *country) raise(d *Decision, place Place, class Class) *Decision {
	d = c.floor.raise(d, class)
	for _, code := range place.Subdivisions {
		if code != "" {
			d = c.floors[code].raise(d, class)
		}
	}
	if c.untold != nil {
		d = c.untold[c.untoldCode(place)].raise(d, class)
	}
	return d
}

func (f floor) raise(d *Decision, class Class) *Decision {
	if f == nil || f[class] == nil {
		return d
	}
	return Stricter(d, f[class])
}
