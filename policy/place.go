package policy

import (
	"cmp"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// A Code names a jurisdiction: a country (FR, ISO 3166-1 alpha-2), a
// subdivision (US-MS, ISO 3166-2), a group (EU) or one of the
// pseudo-jurisdictions.
type Code string

// The pseudo-jurisdictions: places that law doesn't speak for, but that a
// policy has to.
const (
	Unlocated Code = "unlocated" // no country in the database
	Private   Code = "private"   // RFC 1918, loopback, ULA, link-local, CGNAT
	Anonymous Code = "anonymous" // VPN, Tor, proxy, relay
)

// StatusPath is where the gateway itself tells the public what each market gets.
// Every policy has it in the essential class.
const StatusPath = "/.well-known/market-status"

// Default is what governs a place that no other entry of the policy matches: the
// entry of that name, without which all is open. It is not a jurisdiction.
const Default Code = "default"

// A Place is where a client is, as far as its address and the databases tell.
// The zero Place is one that no database knows: unlocated.
type Place struct {
	// Country is the ISO 3166-1 alpha-2 code, empty if no database has one.
	Country Code `json:"country,omitempty"`
	// Subdivisions are the ISO 3166-2 codes, first level (US-MS) before
	// second level (FR-IDF, then FR-75); empty where unknown.
	Subdivisions [2]Code `json:"subdivisions,omitzero"`
	// Private says that the address belongs to no country because it is not
	// a public one; Country is empty then.
	Private bool `json:"private,omitempty"`
	// Anonymous says that the address hides its user's place: VPN, Tor,
	// proxy, relay. Only an anonymous-IP database sets it.
	Anonymous bool `json:"anonymous,omitempty"`
}

// Jurisdiction returns the most specific code that the Place itself has,
// Private or Unlocated where it has no country.
func (p Place) Jurisdiction() Code {
	switch {
	case p.Private:
		return Private
	case p.Country == "":
		return Unlocated
	case p.Subdivisions[1] != "":
		return p.Subdivisions[1]
	case p.Subdivisions[0] != "":
		return p.Subdivisions[0]
	}
	return p.Country
}

// IsPlace reports whether a client can be in a jurisdiction: a country, a
// subdivision, Private or Unlocated.
func IsPlace(jurisdiction Code) bool {
	return jurisdiction == Unlocated || PlaceOf(jurisdiction) != Place{}
}

// PlaceOf returns a place with a jurisdiction: a country, a subdivision within
// what ISO 3166-2 has it in, or Private. Of others, as of Unlocated, it is the
// zero Place. Of a subdivision that has a code of its own in ISO 3166-1 it is that:
// clients in US-PR are in PR.
func PlaceOf(jurisdiction Code) Place {
	jurisdiction = located(jurisdiction)
	if jurisdiction == Private {
		return Place{Private: true}
	}
	if _, ok := iso3166.LookupCountry(string(jurisdiction)); ok {
		return Place{Country: jurisdiction}
	}
	sub, ok := iso3166.LookupSubdivision(string(jurisdiction))
	switch {
	case !ok:
		return Place{}
	case sub.Parent == "":
		return Place{Country: Code(sub.Country), Subdivisions: [2]Code{jurisdiction}}
	}
	return Place{Country: Code(sub.Country), Subdivisions: [2]Code{Code(sub.Parent), jurisdiction}}
}

// located returns the code by which clients in a jurisdiction are located, where ISO
// 3166 has two for it: PR for US-PR. Policies may be written with either.
func located(jurisdiction Code) Code {
	if code, ok := iso3166.Alias(string(jurisdiction)); ok {
		return Code(code)
	}
	return jurisdiction
}

// alsoCalled returns the codes that ISO 3166-2 has besides for where a place is: US-PR
// for PR. What a policy says of these it says of the place.
func alsoCalled(place Place) (codes []Code) {
	for _, code := range [...]Code{place.Country, place.Subdivisions[0]} {
		for _, alias := range iso3166.Aliases(string(code)) {
			codes = append(codes, Code(alias))
		}
	}
	return codes
}

// partOf returns what ISO 3166-2 has a subdivision in, another one or the country;
// "" for what isn't a subdivision.
func partOf(code Code) Code {
	sub, _ := iso3166.LookupSubdivision(string(code))
	return Code(cmp.Or(sub.Parent, sub.Country))
}
