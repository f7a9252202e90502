package iso3166_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy/iso3166"
)

func TestLookupCountry(t *testing.T) {
	for _, want := range []iso3166.Country{
		{Code: "AD", Name: "Andorra"}, // the first line
		{Code: "CI", Name: "Côte d'Ivoire"},
		{Code: "FR", Name: "France"},
		{Code: "KR", Name: "Korea, Republic of"},
		{Code: "RE", Name: "Réunion", Sovereign: "FR"},
		{Code: "TW", Name: "Taiwan, Province of China"}, // nobody's, whatever ISO calls it
		{Code: "XK", Name: "Kosovo"},                    // not ISO's
		{Code: "ZW", Name: "Zimbabwe"},                  // the last line
	} {
		if got, ok := iso3166.LookupCountry(want.Code); !ok || got != want {
			t.Errorf("LookupCountry(%q) = %+v, %v, want %+v", want.Code, got, ok, want)
		}
	}
}

func TestLookupSubdivision(t *testing.T) {
	for _, want := range []iso3166.Subdivision{
		{Code: "AD-02", Name: "Canillo", Country: "AD"}, // the first line
		{Code: "BE-VAN", Name: "Antwerpen", Country: "BE", Parent: "BE-VLG"},
		{Code: "BQ-BO", Name: "Bonaire", Country: "BQ"},
		{Code: "EE-784", Name: "Tallinn", Country: "EE", Parent: "EE-37"}, // issue 10, A2
		{Code: "FR-20R", Name: "Corse", Country: "FR"},
		{Code: "FR-2A", Name: "Corse-du-Sud", Country: "FR", Parent: "FR-20R"},
		{Code: "FR-38", Name: "Isère", Country: "FR", Parent: "FR-ARA"},
		{Code: "FR-67", Name: "Bas-Rhin", Country: "FR", Parent: "FR-GES"}, // by way of FR-6AE
		{Code: "GB-ENG", Name: "England", Country: "GB"},
		{Code: "GB-GLG", Name: "Glasgow City", Country: "GB", Parent: "GB-SCT"},
		{Code: "GB-HCK", Name: "Hackney", Country: "GB", Parent: "GB-ENG"},
		{Code: "ID-PS", Name: "Papua Selatan", Country: "ID", Parent: "ID-PP"},
		{Code: "IS-1", Name: "Höfuðborgarsvæði", Country: "IS"},
		{Code: "IS-MUL", Name: "Múlaþing", Country: "IS", Parent: "IS-7"},
		{Code: "IS-RKV", Name: "Reykjavíkurborg", Country: "IS", Parent: "IS-1"}, // issue 10, A2
		{Code: "KZ-79", Name: "Shymkent", Country: "KZ"},
		{Code: "MA-12", Name: "Dakhla-Oued Ed-Dahab", Country: "MA"}, // without the source's "(EH)"
		{Code: "NO-32", Name: "Akershus", Country: "NO"},             // of 2024
		{Code: "NZ-HKB", Name: "Hawke's Bay", Country: "NZ"},
		{Code: "UA-43", Name: "Avtonomna Respublika Krym", Country: "UA"},
		{Code: "US-MS", Name: "Mississippi", Country: "US"},
		{Code: "ZW-MW", Name: "Mashonaland West", Country: "ZW"}, // the last line
	} {
		if got, ok := iso3166.LookupSubdivision(want.Code); !ok || got != want {
			t.Errorf("LookupSubdivision(%q) = %+v, %v, want %+v", want.Code, got, ok, want)
		}
	}
}

func TestLookup_unknownCode(t *testing.T) {
	for _, code := range []string{
		"", "F", "fr", "FRA", "EU", "UK", "XX", "ZZ", "00", "FR-", "-", "FR-XX", "us-ms", "US_MS",
		"FR FRA", "FR FRA - France", "US-MS - Mississippi", "\n", "AD\n", "DK-015", "\xff",
	} {
		if got, ok := iso3166.LookupCountry(code); ok || got != (iso3166.Country{}) {
			t.Errorf("LookupCountry(%q) = %+v, %v, want nothing", code, got, ok)
		}
		if got, ok := iso3166.LookupSubdivision(code); ok || got != (iso3166.Subdivision{}) {
			t.Errorf("LookupSubdivision(%q) = %+v, %v, want nothing", code, got, ok)
		}
	}
}

func TestCountries(t *testing.T) {
	var codes []string
	for c := range iso3166.Countries() {
		codes = append(codes, c.Code)
		if found, ok := iso3166.LookupCountry(c.Code); !ok || found != c {
			t.Errorf("LookupCountry(%q) = %+v, %v, want %+v", c.Code, found, ok, c)
		}
		if len(c.Code) != 2 || c.Name == "" || strings.TrimSpace(c.Name) != c.Name {
			t.Errorf("malformed: %+v", c)
		}
	}
	if len(codes) != 249+1 { // and XK
		t.Errorf("%d countries, want 250", len(codes))
	}
	if !slices.IsSorted(codes) || len(slices.Compact(codes)) != 250 {
		t.Error("countries aren't sorted, or some are there twice")
	}
}

func TestSubdivisions(t *testing.T) {
	total := 0
	for c := range iso3166.Countries() {
		last := ""
		for s := range iso3166.Subdivisions(c.Code) {
			total++
			if found, ok := iso3166.LookupSubdivision(s.Code); !ok || found != s {
				t.Errorf("LookupSubdivision(%q) = %+v, %v, want %+v", s.Code, found, ok, s)
			}
			if s.Code <= last || s.Country != c.Code || s.Name == "" {
				t.Errorf("malformed or unsorted: %+v", s)
			}
			if s.Parent != "" {
				parent, ok := iso3166.LookupSubdivision(s.Parent)
				if !ok || parent.Country != s.Country || parent.Parent != "" {
					t.Errorf("%s lies in %q, which isn't of the first level", s.Code, s.Parent)
				}
			}
			last = s.Code
		}
	}
	if want := 5070 - 21 + 7; total != want { // the source, without those withdrawn, with those missing
		t.Errorf("%d subdivisions, want %d", total, want)
	}
}

func TestSubdivisions_ofOneCountry(t *testing.T) {
	for country, want := range map[string]string{
		"BQ": "BQ-BO BQ-SA BQ-SE",
		"BE": "BE-BRU BE-VAN BE-VBR BE-VLG BE-VLI BE-VOV BE-VWV BE-WAL BE-WBR BE-WHT BE-WLG BE-WLX BE-WNA",
		"GG": "",
		"":   "",
		"B":  "",
		"ZZ": "",
	} {
		var codes []string
		for s := range iso3166.Subdivisions(country) {
			codes = append(codes, s.Code)
		}
		if got := strings.Join(codes, " "); got != want {
			t.Errorf("Subdivisions(%q) = %s, want %s", country, got, want)
		}
	}
}

func TestTerritories(t *testing.T) {
	want := map[string]string{
		"AU": "CC CX HM NF",
		"CN": "HK MO",
		"DK": "FO GL",
		"FI": "AX",
		"FR": "BL GF GP MF MQ NC PF PM RE TF WF YT",
		"GB": "AI BM FK GG GI GS IM IO JE KY MS PN SH TC VG",
		"NL": "AW BQ CW SX",
		"NO": "BV SJ",
		"NZ": "TK",
		"US": "AS GU MP PR UM VI",
	}
	for c := range iso3166.Countries() {
		if got := strings.Join(iso3166.Territories(c.Code), " "); got != want[c.Code] {
			t.Errorf("Territories(%q) = %s, want %s", c.Code, got, want[c.Code])
		}
		if c.Sovereign == "" {
			continue
		}
		if sovereign, ok := iso3166.LookupCountry(c.Sovereign); !ok || sovereign.Sovereign != "" {
			t.Errorf("%s belongs to %q, which isn't a country that belongs to nobody", c.Code, c.Sovereign)
		}
	}
	if got := iso3166.Territories(""); got != nil {
		t.Errorf(`Territories("") = %v, want none`, got)
	}
}

func TestAlias(t *testing.T) {
	for subdivision, want := range map[string]string{
		"FR-974": "RE", "FR-RE": "RE", "FR-NC": "NC", "US-PR": "PR", "NL-AW": "AW", "NL-BQ1": "BQ-BO",
		"CN-TW": "TW", "CN-HK": "HK", "CN-MO": "MO", "NO-21": "SJ", "NO-22": "SJ", "FI-01": "AX",
		"FR-CP": "", "FR-75C": "", "US-MS": "", "GB-ENG": "", "FR": "", "": "",
	} {
		if got, ok := iso3166.Alias(subdivision); got != want || ok != (want != "") {
			t.Errorf("Alias(%q) = %q, %v, want %q", subdivision, got, ok, want)
		}
	}
}

func TestAlias_ofEveryTerritory(t *testing.T) {
	for c := range iso3166.Countries() {
		if c.Sovereign == "" {
			continue
		}
		if s, ok := iso3166.LookupSubdivision(c.Sovereign + "-" + c.Code); ok {
			if alias, _ := iso3166.Alias(s.Code); alias != c.Code {
				t.Errorf("Alias(%q) = %q, want %q", s.Code, alias, c.Code)
			}
		}
	}
}

func TestCurrent(t *testing.T) {
	for code, want := range map[string]string{
		"FR-75": "FR-75C", "IN-OR": "IN-OD", "MX-DIF": "MX-CMX", "KZ-AST": "KZ-71",
		"FR-75C": "FR-75C", "US-MS": "US-MS", "NO-30": "NO-30", "XX-1": "XX-1", "": "",
	} {
		if got := iso3166.Current(code); got != want {
			t.Errorf("Current(%q) = %q, want %q", code, got, want)
		}
	}
}

func TestClosest(t *testing.T) {
	for code, want := range map[string]string{
		"FR": "FR", "US-MS": "US-MS", // right already

		"fr": "FR", " fr ": "FR", "us_ms": "US-MS", "US MS": "US-MS", "us.ms": "US-MS", "USMS": "US-MS", // spelling
		"UK": "GB", "el": "GR", "UK-ENG": "GB-ENG", "SU": "", "IC": "ES-CN", "XKX": "XK", // other systems
		"FRA": "FR", "DEU": "DE", "usa-ms": "US-MS", // alpha-3
		"FR-1": "FR-01", "AL-9": "AL-09", "DZ-1": "DZ-01", // lost zeros
		"FR-75": "FR-75C", "IN-OR": "IN-OD", "FR-RE": "RE", // withdrawn
		"Germany": "DE", "russia": "RU", "United Kingdom": "GB", "england": "GB-ENG", "Mississippi": "US-MS", // names

		"Korea":   "", // two of them
		"Limburg": "", // in BE and NL
		"EU":      "", // a group
		"US-XX":   "", // no such state
		"GG-1":    "", // a country without subdivisions
		"ZZ":      "", // nothing
		"":        "", "-": "", "FR-": "", "---": "", "\xff\xfe": "", strings.Repeat("F", 1000): "",
	} {
		if got := iso3166.Closest(code); got != want {
			t.Errorf("Closest(%.40q) = %q, want %q", code, got, want)
		}
	}
}

func FuzzClosest(f *testing.F) {
	for _, code := range []string{"UK", "FRA", "us_ms", "FR-1", "Germany", "İ", "ﬀ", "K", "-", "A-"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		closest := iso3166.Closest(code)
		if closest == "" {
			return
		}
		_, country := iso3166.LookupCountry(closest)
		_, subdivision := iso3166.LookupSubdivision(closest)
		if !country && !subdivision {
			t.Errorf("Closest(%q) = %q, which isn't a code", code, closest)
		}
		if again := iso3166.Closest(closest); again != closest {
			t.Errorf("Closest(%q) = %q, but Closest of that is %q", code, closest, again)
		}
	})
}

func BenchmarkLookupCountry(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		iso3166.LookupCountry("RE")
	}
}

func BenchmarkLookupSubdivision(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		iso3166.LookupSubdivision("US-MS")
	}
}

func BenchmarkClosest_unknownName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		iso3166.Closest("Atlantis")
	}
}
