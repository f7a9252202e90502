package policy

import (
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// A setting is a Setting with everything looked up.
type setting struct {
	value Value // none if the policy has no value for everywhere
	in    map[Code]Value
	// The groups among these, the operator's and the built-in ones, by their
	// members.
	own, builtIn map[Code][]Code
	groups       int // how many
}

// An acknowledgement is an Acknowledgement with everything looked up.
type acknowledgement struct {
	flags        []string
	jurisdiction Code // "": everywhere
	at           time.Time
}

// settingFor returns which code in a setting covers a place most specifically, ""
// if none does; and a second one where two groups do, with different values.
func (p *Policy) settingFor(s *setting, place Place) (first, second Code) {
	if len(s.in) == 0 {
		return "", ""
	}
	codes := [...]Code{place.Jurisdiction(), place.Subdivisions[0], place.Country, ""}
	if e := p.territoryOf[place.Country]; e != nil {
		codes[3] = e.code
	}
	also := alsoCalled(place)
	for _, code := range slices.Concat(codes[:2], also, codes[2:]) {
		if _, ok := s.in[code]; ok {
			return code, ""
		}
	}
	for _, groups := range [...]map[Code][]Code{s.own, s.builtIn} {
		for _, code := range append(also, place.Country, place.Subdivisions[0], place.Subdivisions[1]) {
			for _, group := range groups[code] {
				switch {
				case first == "":
					first = group
				case s.in[first] != s.in[group]:
					return first, group
				}
			}
		}
		if first != "" {
			break
		}
	}
	return first, ""
}

// Value returns what the policy's own table sets a flag to at a place, if it
// does: of the codes that the place has and the groups that it is in, the most
// specific counts.
func (p *Policy) Value(flag string, place Place) (Value, bool) {
	s := p.settings[flag]
	if s == nil {
		return Value{}, false
	}
	value := s.value
	if by, _ := p.settingFor(s, place); by != "" {
		value = s.in[by]
	}
	return value, !value.IsZero()
}

// OwnFlags returns the flags' values by the policy's own table.
func (p *Policy) OwnFlags() Flags {
	if len(p.settings) == 0 {
		return nil
	}
	flags := make(Flags)
	for _, place := range p.Places() {
		values := make(map[string]Value, len(p.settings))
		for _, f := range p.flags {
			if v, ok := p.Value(f.Name, place); ok {
				values[f.Name] = v
			}
		}
		flags[place.Jurisdiction()] = Settings{Values: values}
	}
	return flags
}

// Places returns one place for each jurisdiction that flags are evaluated for:
// unlocated, private, all countries, and the subdivisions that the policy tells
// apart. They are shared: don't change them.
func (p *Policy) Places() []Place { return p.places }

// setPlaces notes which places the policy distinguishes.
func (p *Policy) setPlaces() {
	p.distinguish()
	p.places = []Place{{}, {Private: true}}
	for info := range iso3166.Countries() {
		p.places = append(p.places, Place{Country: Code(info.Code)})
		for _, sub := range p.distinct[Code(info.Code)] {
			p.places = append(p.places, PlaceOf(sub))
		}
	}
}

// distinguish notes which subdivisions the policy distinguishes.
func (p *Policy) distinguish() {
	p.distinct = p.findDistinct()
	p.parents = make(map[Code]Code)
	for _, codes := range p.distinct {
		for _, code := range codes {
			if place := PlaceOf(code); place.Subdivisions[1] != "" {
				p.parents[code] = place.Subdivisions[0]
			}
		}
	}
}

// Groups returns the groups that a place is in, built-in ones and the
// operator's, sorted.
func (p *Policy) Groups(place Place) []Code {
	var found []Code
	for _, code := range append(alsoCalled(place), place.Country, place.Subdivisions[0], place.Subdivisions[1]) {
		found = append(found, p.groupsOf[code]...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// contains reports whether a place is in a jurisdiction: in the country, the
// subdivision or the group.
func (p *Policy) contains(code Code, place Place) bool {
	for _, c := range append(alsoCalled(place), place.Jurisdiction(), place.Country, place.Subdivisions[0], place.Subdivisions[1]) {
		if c != "" && (c == code || slices.Contains(p.groupsOf[c], code)) {
			return true
		}
	}
	return false
}

// AcknowledgedUntil returns until when breaches of a flag's guarantee in a
// jurisdiction are acknowledged, zero if none is.
func (p *Policy) AcknowledgedUntil(flag string, jurisdiction Code) time.Time {
	place := PlaceOf(jurisdiction)
	var latest time.Time
	for _, a := range p.acknowledged {
		if slices.Contains(a.flags, flag) && (a.jurisdiction == "" || p.contains(a.jurisdiction, place)) && a.at.After(latest) {
			latest = a.at
		}
	}
	return latest
}
