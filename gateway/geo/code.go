package geo

import (
	"strings"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// country returns the code that a database has for a country, in upper case,
// or nothing if it doesn't name one.
func country(code string) policy.Code {
	code = strings.ToUpper(code)
	if len(code) != 2 || !isLetter(code[0]) || !isLetter(code[1]) || namesNoCountry(code) {
		return ""
	}
	return policy.Code(code)
}

func namesNoCountry(code string) bool {
	switch code {
	case "EU", "AP": // somewhere in Europe, in Asia and the Pacific: MaxMind, RIRs
		return true
	case "AN", "BU", "CS", "DD", "FX", "NT", "SU", "TP", "YU", "ZR": // ISO 3166-3: countries that are no more
		return true
	case "XK": // Kosovo, by the European Commission's and the databases' use
		return false
	}
	// ISO 3166-1, 8.1.3: codes for whatever their users want.
	return code == "AA" || code == "ZZ" || code[0] == 'X' || code[0] == 'Q' && code[1] >= 'M' && code[1] <= 'Z'
}

// subdivision returns the ISO 3166-2 code of a country's subdivision, which
// databases give without the country's part as a rule (MS for US-MS), or
// nothing if ISO 3166-2 hasn't got it. A code that ISO has replaced becomes
// today's, which is what policies are written in; of one that it has withdrawn
// without saying what for, no policy can speak.
func subdivision(of policy.Code, code string) policy.Code {
	code = strings.TrimPrefix(strings.ToUpper(code), string(of)+"-")
	if of == "" || len(code) < 1 || len(code) > 3 {
		return ""
	}
	current := iso3166.Current(string(of) + "-" + code)
	if _, known := iso3166.LookupSubdivision(current); !known {
		return ""
	}
	return policy.Code(current)
}

// canonical returns a place as policies speak of it. Where ISO 3166 has two codes for it,
// it has the one that policies go by: Puerto Rico is PR, and not US-PR. A second-level
// subdivision that is given alone lies in what ISO 3166-2 has it in: there is one column
// of regions in RFC 8805, and a client in ES-GC (Las Palmas) is in ES-CN, too.
func canonical(place policy.Place) policy.Place {
	for _, code := range place.Subdivisions {
		if other, ok := iso3166.Alias(string(code)); ok {
			is := policy.PlaceOf(policy.Code(other))
			is.Anonymous = place.Anonymous
			return is
		}
	}
	for i, code := range place.Subdivisions {
		around := place.Subdivisions[1-i]
		sub, _ := iso3166.LookupSubdivision(string(code))
		if parent := policy.Code(sub.Parent); parent != "" && (around == "" || around == parent) {
			place.Subdivisions = [2]policy.Code{parent, code}
			break
		}
	}
	return place
}

func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' }
