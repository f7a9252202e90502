package notice

import (
	_ "embed"
	"strings"
	"sync"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/policy"
)

// marketLanguages returns the languages of a market, the most usual one first:
// from the table below where a market has more than one or one that isn't the
// country's, else the likely language of the country (CLDR's likely subtags,
// from golang.org/x/text). None for a place that isn't a country's.
func marketLanguages(market policy.Code) []string {
	if own, ok := languagesOf()[market]; ok {
		return own
	}
	country, _, _ := strings.Cut(string(market), "-")
	if own, ok := languagesOf()[policy.Code(country)]; ok {
		return own
	}
	region, err := language.ParseRegion(country)
	if err != nil || !region.IsCountry() {
		return nil
	}
	likely, err := language.Compose(language.Und, region)
	if err != nil {
		return nil
	}
	base, confidence := likely.Base()
	if confidence == language.No {
		return nil
	}
	script, _ := likely.Script()
	return []string{base.String() + "-" + script.String()}
}

//go:embed marketlanguages.txt
var languageTable string

// languagesOf has the lines of the table by market.
var languagesOf = sync.OnceValue(func() map[policy.Code][]string {
	table := make(map[policy.Code][]string)
	for line := range strings.Lines(languageTable) {
		if fields := strings.Fields(line); fields[0] != "#" {
			table[policy.Code(fields[0])] = fields[1:]
		}
	}
	return table
})
