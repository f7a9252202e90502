package policytest

import (
	"fmt"
	"strings"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// WithRules writes a policy of so many rules: half of them entries, as far as
// there are subdivisions to name, the others patterns.
func WithRules(rules int) string {
	var b strings.Builder
	b.WriteString("version: 1\njurisdictions:\n  EU: announced\n  anonymous: closed-to-new\n")
	named := WriteSubdivisions(&b, rules/2-2)
	b.WriteString("routes:\n  sign-up:\n    - POST /signup\n")
	for i := range rules - named - 3 {
		fmt.Fprintf(&b, "    - POST /section-%d/{id}/page-%d/signup\n", i%97, i)
	}
	return b.String()
}

// Everywhere writes a policy that names every country, and so many
// subdivisions.
func Everywhere(subdivisions int) string {
	var b strings.Builder
	b.WriteString("version: 1\nroutes: {sign-up: [/signup], export: [/export/], news: [/news/]}\njurisdictions:\n")
	for country := range iso3166.Countries() {
		fmt.Fprintf(&b, "  %s:\n    schedule:\n      - {from: 2026-11-01T00:00:00Z, phase: announced}\n      - {from: 2026-12-01T00:00:00Z, phase: withdrawn}\n", country.Code)
	}
	WriteSubdivisions(&b, subdivisions)
	b.WriteString("  EU: announced\n  NATO: closed-to-new\n  anonymous: closed-to-new\n  unlocated: announced\n")
	return b.String()
}

// WithFlags writes a policy as Everywhere does, with 20 flags, half of them
// guaranteed, that some countries and subdivisions have of their own, and ten
// demands.
func WithFlags(subdivisions int) string {
	var b strings.Builder
	b.WriteString(Everywhere(subdivisions))
	b.WriteString("guarantees:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  guaranteed-%d: {at-most: 100}\n", i)
	}
	b.WriteString("flags:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  guaranteed-%d: {value: %d, in: {FR: 1, DE: 2, EU: 3, US-MS: 4}}\n", i, i)
		fmt.Fprintf(&b, "  flag-%d: {value: true, in: {GB: false, GB-ENG: true, NATO: false}}\n", i)
	}
	b.WriteString("demands:\n")
	for i, code := range []string{"FR", "DE", "EU", "US", "GB", "IN", "BR", "ZA", "AU", "NATO"} {
		fmt.Fprintf(&b, "  law-%d: {jurisdiction: %s, territories: none, stage: adopted, in-force: 2027-01-01T00:00:00Z, requires: {guaranteed-%d: %d}}\n", i, code, i, i)
	}
	return b.String()
}

// WriteSubdivisions names some subdivisions of each country in turn, as far as
// there are any, and says how many.
func WriteSubdivisions(b *strings.Builder, most int) (named int) {
	for nth := 0; ; nth++ {
		before := named
		for country := range iso3166.Countries() {
			i := 0
			for sub := range iso3166.Subdivisions(country.Code) {
				if i == nth && named < most {
					fmt.Fprintf(b, "  %s: withdrawn\n", sub.Code)
					named++
				}
				i++
			}
		}
		if named == before {
			return named
		}
	}
}
