package iso3166

import (
	"strings"
	"sync"
)

// Alias returns the code by which databases and laws know a place that ISO
// 3166-2 lists as a subdivision although ISO 3166-1 gives it a country code of
// its own: FR-974 is RE, US-PR is PR, CN-HK is HK. Databases locate by the
// latter, so a policy that names the former never matches anybody.
//
// The code is a country's, but for the three islands of BQ, which are its
// subdivisions: NL-BQ1 is BQ-BO. NO-21 and NO-22 are halves of SJ, for which
// there is no finer code.
func Alias(subdivision string) (code string, ok bool) {
	line, ok := aliases.find(subdivision)
	if !ok {
		return "", false
	}
	return second(line), true
}

// Aliases returns the subdivisions whose Alias is a code.
func Aliases(code string) []string { return aliasesOf()[code] }

var aliasesOf = sync.OnceValue(func() map[string][]string {
	all := make(map[string][]string)
	for line := range aliases.lines() {
		subdivision, _, _ := strings.Cut(line, " ")
		all[second(line)] = append(all[second(line)], subdivision)
	}
	return all
})

// Current returns the code that ISO 3166-2 has today for the same place as one
// that it has withdrawn: for FR-75, FR-75C. Databases take up a new code years
// after ISO does, or never; whoever reads codes from one passes them through
// Current, so that policies need to know today's only. Of a place that was merged
// with others it is the code of the whole: NO-34 for NO-04. A code that wasn't
// withdrawn, or whose place was divided, is returned as it is.
func Current(subdivision string) string {
	line, ok := renamed.find(subdivision)
	if !ok {
		return subdivision
	}
	return second(line)
}

func second(line string) string { return line[len(codeOf(line))+1:] }
