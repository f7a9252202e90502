package notice

import (
	"strings"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/policy"
)

// marketLanguages returns the languages of a market, the most usual one first:
// from the table below where a market has more than one or one that isn't the
// country's, else the likely language of the country (CLDR's likely subtags,
// from golang.org/x/text). None for a place that isn't a country's.
func marketLanguages(market policy.Code) []string {
	if own, ok := languagesOf[market]; ok {
		return own
	}
	country, _, _ := strings.Cut(string(market), "-")
	if own, ok := languagesOf[policy.Code(country)]; ok {
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

// languagesOf lists markets with several languages, after CLDR's supplemental
// territory information (official and de facto official languages, by number
// of readers). The first that a notice has is used, so a language that isn't
// built in stands here for operators who bring a text in it.
var languagesOf = map[policy.Code][]string{
	"AD": {"ca", "es", "fr"},
	"AF": {"fa", "ps"},
	"AO": {"pt"},
	"AX": {"sv"},
	"BA": {"bs", "hr", "sr"},
	"BE": {"nl", "fr", "de"},
	"BF": {"fr"},
	"BI": {"rn", "fr", "en"},
	"BJ": {"fr"},
	"BO": {"es", "qu"},
	"BY": {"be", "ru"},
	"CA": {"en", "fr"},
	"CD": {"fr", "sw"},
	"CF": {"fr", "sg"},
	"CG": {"fr"},
	"CH": {"de", "fr", "it"},
	"CI": {"fr"},
	"CM": {"fr", "en"},
	"CV": {"pt"},
	"CY": {"el", "tr"},
	"DJ": {"ar", "fr"},
	"DZ": {"ar", "fr"},
	"EH": {"ar", "es"},
	"ER": {"ti", "ar", "en"},
	"FI": {"fi", "sv"},
	"GA": {"fr"},
	"GN": {"fr"},
	"GQ": {"es", "fr", "pt"},
	"GW": {"pt"},
	"HK": {"zh-hant", "en"},
	"HT": {"ht", "fr"},
	"IE": {"en", "ga"},
	"IL": {"he", "en", "ar"},
	"IN": {"hi", "en"},
	"KG": {"ky", "ru"},
	"KM": {"ar", "fr"},
	"KZ": {"kk", "ru"},
	"LB": {"ar", "fr"},
	"LK": {"si", "ta", "en"},
	"LU": {"fr", "de"},
	"MA": {"ar", "fr"},
	"MC": {"fr"},
	"MG": {"mg", "fr"},
	"ML": {"fr"},
	"MO": {"zh-hant", "pt"},
	"MR": {"ar", "fr"},
	"MU": {"en", "fr"},
	"MZ": {"pt"},
	"NE": {"fr"},
	"PF": {"fr"},
	"PH": {"fil", "en"},
	"PK": {"ur", "en"},
	"PY": {"es", "gn"},
	"RW": {"rw", "fr", "en"},
	"SC": {"fr", "en"},
	"SG": {"en", "zh-hans", "ms", "ta"},
	"SN": {"fr", "wo"},
	"SO": {"so", "ar"},
	"ST": {"pt"},
	"TD": {"fr", "ar"},
	"TG": {"fr"},
	"TL": {"pt"},
	"TN": {"ar", "fr"},
	"TW": {"zh-hant"},
	"VU": {"bi", "en", "fr"},
	"WF": {"fr"},
	"ZA": {"en", "af", "zu"},

	// Parts of countries whose language is another than the country's first.
	"BE-BRU": {"fr", "nl"},
	"BE-WAL": {"fr", "de"},
	"CA-QC":  {"fr", "en"},
	"CH-FR":  {"fr", "de"},
	"CH-GE":  {"fr"},
	"CH-JU":  {"fr"},
	"CH-NE":  {"fr"},
	"CH-TI":  {"it"},
	"CH-VD":  {"fr"},
	"CH-VS":  {"fr", "de"},
	"IT-BZ":  {"de", "it"},
	"US-PR":  {"es", "en"},
}
