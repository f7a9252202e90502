// Package iso3166 knows the codes of ISO 3166: of countries (part 1, alpha-2)
// and of their subdivisions (part 2), with their names, and which country is a
// territory of which.
//
// A look-up is exact: codes are upper case, as the standard writes them.
// [Closest] finds what a mistyped one may have meant.
//
// All functions may be called concurrently, and none of them depends on
// anything but its argument. The tables are embedded text that binary search
// runs over: they cost nothing at start, and no memory beside the program's.
//
// # What counts as a territory
//
// ISO 3166-1 gives codes to places, not to states only, and says which of them
// aren't independent, but not whose they are. Here a territory belongs to the
// state that answers for it in international law:
//
//   - FR, US, NL, NO, FI and CN name most of theirs among their own
//     subdivisions in ISO 3166-2 (see [Alias]).
//   - GB: its overseas territories, and GG, JE and IM. These three Crown
//     dependencies are no part of the United Kingdom, and its statutes reach
//     them only by an order that extends them; but it answers for them, as
//     Denmark does for FO and the Netherlands for AW, which govern themselves
//     too.
//   - NZ: TK only. CK and NU govern themselves in free association and
//     conclude treaties in their own name.
//   - TW, PS, EH, XK and AQ belong to nobody here: whether and to whom they
//     do is disputed, or suspended by treaty. A policy names them by
//     themselves.
//
// The table with the source of each entry is internal/generate/territories.go.
package iso3166

//go:generate go run ./internal/generate

import (
	"iter"
	"strings"
)

// A Country is an entry of ISO 3166-1.
type Country struct {
	Code string // alpha-2: FR
	Name string // English short name, as ISO writes it: Korea, Republic of
	// Sovereign is the code of the country that this one is a territory of
	// (RE: FR), empty if it is none.
	Sovereign string
}

// A Subdivision is an entry of ISO 3166-2.
type Subdivision struct {
	Code    string // US-MS
	Name    string // local name in Latin letters: Bayern
	Country string // alpha-2: US
	// Parent is the code of the first-level subdivision that this one lies
	// in (FR-38: FR-ARA), empty for a first-level one.
	Parent string
}

// LookupCountry returns the country with this alpha-2 code. XK, Kosovo, counts
// as known: it isn't ISO's, but one that ISO 3166-1 leaves to users to assign,
// and the European Union and all geo databases use it so.
func LookupCountry(code string) (Country, bool) {
	line, ok := countries.find(code)
	if !ok {
		return Country{}, false
	}
	return parseCountry(line), true
}

// LookupSubdivision returns the subdivision with this ISO 3166-2 code.
func LookupSubdivision(code string) (Subdivision, bool) {
	line, ok := subdivisions.find(code)
	if !ok {
		return Subdivision{}, false
	}
	return parseSubdivision(line), true
}

// Countries yields all countries, sorted by code.
func Countries() iter.Seq[Country] {
	return func(yield func(Country) bool) {
		for line := range countries.lines() {
			if !yield(parseCountry(line)) {
				return
			}
		}
	}
}

// Subdivisions yields the subdivisions of a country, of every level, sorted by
// code. It yields nothing for a country that has none (GG) or isn't known.
func Subdivisions(country string) iter.Seq[Subdivision] {
	prefix := country + "-"
	return func(yield func(Subdivision) bool) {
		for line := range subdivisions.from(prefix).lines() {
			if !strings.HasPrefix(line, prefix) || !yield(parseSubdivision(line)) {
				return
			}
		}
	}
}

// Territories returns the codes of the countries that are territories of this
// one, sorted: for FR, BL GF GP MF MQ NC PF PM RE TF WF YT.
func Territories(country string) []string {
	if country == "" {
		return nil // the Sovereign of the independent ones
	}
	var codes []string
	for c := range Countries() {
		if c.Sovereign == country {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

// parseCountry reads "RE REU FR Réunion".
func parseCountry(line string) Country {
	code, rest, _ := strings.Cut(line, " ")
	_, rest, _ = strings.Cut(rest, " ")
	sovereign, name, _ := strings.Cut(rest, " ")
	return Country{Code: code, Name: name, Sovereign: unlessDash(sovereign)}
}

// parseSubdivision reads "FR-38 FR-ARA Isère".
func parseSubdivision(line string) Subdivision {
	code, rest, _ := strings.Cut(line, " ")
	parent, name, _ := strings.Cut(rest, " ")
	return Subdivision{Code: code, Name: name, Country: code[:2], Parent: unlessDash(parent)}
}

func unlessDash(field string) string {
	if field == "-" {
		return ""
	}
	return field
}
