package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// A Capability is what the databases that locate clients can tell apart. Of the
// nil one nothing is known: it is taken to find every place.
type Capability struct {
	// Places are the countries and subdivisions that occur, and how much of
	// the address space each has.
	Places map[Code]Coverage
	// Anonymous reports whether clients can be found to hide where they are.
	Anonymous bool
}

// A Coverage is how much of the address space is located to a place, and how
// much of it to one of its subdivisions.
type Coverage struct {
	All, Subdivided Addresses
}

// Addresses is an amount of address space: IPv4 addresses, and IPv6 networks of
// 48 bits, which is what one site has.
type Addresses struct {
	IPv4 float64 `json:"ipv4"`
	IPv6 float64 `json:"ipv6"`
}

// Add returns the sum of two amounts.
func (a Addresses) Add(b Addresses) Addresses { return Addresses{a.IPv4 + b.IPv4, a.IPv6 + b.IPv6} }

// Finds reports whether a client can be found to be in a jurisdiction. In a
// group is whoever is in one of its members: ask for these.
func (c *Capability) Finds(code Code) bool {
	switch {
	case c == nil, code == Private, code == Unlocated:
		return true
	case code == Anonymous:
		return c.Anonymous
	}
	_, found := c.Places[located(code)]
	return found
}

// Untold returns the share of a country's addresses that is located to no
// subdivision, from 0 to 1, by family; 1 for a family in which it has none.
func (c *Capability) Untold(country Code) Addresses {
	if c == nil {
		return Addresses{}
	}
	share := func(all, subdivided float64) float64 {
		if all == 0 {
			return 1
		}
		return 1 - subdivided/all
	}
	of := c.Places[country]
	return Addresses{share(of.All.IPv4, of.Subdivided.IPv4), share(of.All.IPv6, of.Subdivided.IPv6)}
}

// Around returns the narrowest place around a jurisdiction that can be found: for
// a subdivision the one that it lies in or the country, for a country none, which
// is Unlocated. Its clients are located there where it can't be found itself.
func (c *Capability) Around(code Code) Place {
	place := PlaceOf(code)
	if place.Subdivisions[1] != "" && c.Finds(place.Subdivisions[0]) {
		return Place{Country: place.Country, Subdivisions: [2]Code{place.Subdivisions[0]}}
	}
	if place.Subdivisions[0] != "" && c.Finds(place.Country) {
		return Place{Country: place.Country}
	}
	return Place{}
}

// Unenforced returns the jurisdictions that the policy restricts now more than
// what is around them, and in which no client can be found: they are served as
// what is around them. They are sorted.
func (s *Snapshot) Unenforced(c *Capability) []Code {
	if c == nil {
		return nil
	}
	missed := make(map[Code]bool)
	for i := range s.decisions {
		d := &s.decisions[i]
		if d.restriction() == 0 || missed[d.Jurisdiction] || c.Finds(d.Jurisdiction) {
			continue
		}
		class := s.policy.Class(d.Class)
		if s.Decide(c.Around(d.Jurisdiction), class).restriction() < s.Decide(PlaceOf(d.Jurisdiction), class).restriction() {
			missed[d.Jurisdiction] = true
		}
	}
	if rule := s.policy.rules[Anonymous]; rule != nil && !c.Anonymous && rule.restrictsAt(s.at) {
		missed[Anonymous] = true
	}
	return slices.Sorted(maps.Keys(missed))
}

// A PoorlyFound is a jurisdiction that a policy restricts, now or later, and in
// which clients can't be found, or not all of them.
type PoorlyFound struct {
	Jurisdiction Code `json:"jurisdiction"`
	// Found reports whether any client can be found there. Where none can, all
	// are served as what is around it.
	Found bool `json:"found"`
	// Untold is the share of the country's addresses, from 0 to 1, of which no
	// subdivision is known: of a subdivision only.
	Untold Addresses `json:"untold,omitzero"`
}

// Unfindable returns the jurisdictions that a policy restricts more than what is
// around them, at a moment or later, and in which no client can be found. With
// them are the subdivisions that can be found in part only: in their countries
// are addresses of which no subdivision is known. They are sorted.
func Unfindable(p *Policy, flags Flags, at time.Time, c *Capability) []PoorlyFound {
	if c == nil {
		return nil
	}
	found := make(map[Code]PoorlyFound)
	for steps := 0; steps < maxSteps; steps++ {
		s := Compile(p, flags, at)
		for _, code := range s.Unenforced(c) {
			found[code] = PoorlyFound{Jurisdiction: code, Untold: c.untoldAround(code)}
		}
		for _, code := range s.restrictedSubdivisions() {
			if untold := c.untoldAround(code); c.Finds(code) && untold != (Addresses{}) {
				found[code] = PoorlyFound{Jurisdiction: code, Found: true, Untold: untold}
			}
		}
		if at = s.Until(); at.IsZero() {
			break
		}
	}
	var all []PoorlyFound
	for _, code := range slices.Sorted(maps.Keys(found)) {
		all = append(all, found[code])
	}
	return all
}

// Unkept returns the jurisdictions that demands bind, and in which the service would
// be served as no client can be found there: the databases have no such place, and
// what is around it is served. They are sorted.
func (p *Policy) Unkept(c *Capability) []Code {
	if c == nil || p.mode == Observe {
		return nil
	}
	missed := make(map[Code]bool)
	for _, b := range p.bindings {
		var s *Snapshot
		for _, code := range b.codes {
			if c.Finds(code) {
				continue
			}
			if s == nil { // costs
				s = Compile(p, nil, b.InForce)
			}
			for class, name := range p.classes {
				if b.Concerns(name) && !p.isEmpty[class] && s.Decide(c.Around(code), Class(class)).Action == Forward {
					missed[code] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(missed))
}

// maxSteps is how many scheduled changes ahead are looked at.
const maxSteps = 100

// untoldAround returns what share of a subdivision's country has no subdivision.
func (c *Capability) untoldAround(code Code) Addresses {
	sub, ok := iso3166.LookupSubdivision(string(code))
	if !ok {
		return Addresses{}
	}
	return c.Untold(Code(sub.Country))
}

// restrictedSubdivisions returns the subdivisions that get less than the rest of
// their countries.
func (s *Snapshot) restrictedSubdivisions() []Code {
	var codes []Code
	for i := range s.decisions {
		d := &s.decisions[i]
		sub, ok := iso3166.LookupSubdivision(string(d.Jurisdiction))
		if !ok || d.restriction() == 0 || slices.Contains(codes, d.Jurisdiction) {
			continue
		}
		class := s.policy.Class(d.Class)
		if s.Decide(Place{Country: Code(sub.Country)}, class).restriction() < s.Decide(PlaceOf(d.Jurisdiction), class).restriction() {
			codes = append(codes, d.Jurisdiction)
		}
	}
	return codes
}

// DescribeUnenforced says why a jurisdiction of [Snapshot.Unenforced] isn't
// enforced, and what can be done.
func DescribeUnenforced(code Code, c *Capability) string {
	if code == Anonymous {
		return "no database in use tells who hides where they are, and they are served as where they seem to be: add an anonymous-IP database to geo.databases"
	}
	around := c.Around(code).Jurisdiction()
	return fmt.Sprintf("no database in use finds %s (%s), and who is there is served as %s: add a database to geo.databases that has it, or withdraw %s", code, Name(code), around, around)
}

// String says what is wrong, and what can be done.
func (f PoorlyFound) String() string {
	switch {
	case f.Jurisdiction == Anonymous:
		return "anonymous can't be told by the databases, and won't be enforced: add an anonymous-IP database to geo.databases"
	case !f.Found:
		return fmt.Sprintf("%s can't be found by the databases, and won't be enforced: who is there is served as what is around it. Add a database to geo.databases that has it, or withdraw the place around it", f.Jurisdiction)
	}
	return fmt.Sprintf("%s is found in part: of %.0f%% of the IPv4 and %.0f%% of the IPv6 addresses of its country no subdivision is known, and who has one of them is served as the country", f.Jurisdiction, 100*f.Untold.IPv4, 100*f.Untold.IPv6)
}
