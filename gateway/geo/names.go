package geo

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// subdivisionNamed returns the code of a country's first-level subdivision by
// its name, as databases have it that give no codes, or nothing if the name
// isn't known, or means more than one. Who is located to the country alone is
// less of a harm than who is located to the wrong part of it.
func subdivisionNamed(of policy.Code, name string) policy.Code {
	if of == "" || name == "" {
		return ""
	}
	names := subdivisionNames()[of]
	folded := foldName(name)
	if code, known := names[folded]; known {
		return code
	}
	return names[withoutKind(folded)]
}

// subdivisionNames are the codes of first-level subdivisions by their countries
// and names; "" where several have one name. They are made when they are first
// asked for: most databases have codes.
var subdivisionNames = sync.OnceValue(func() map[policy.Code]map[string]policy.Code {
	all := make(map[policy.Code]map[string]policy.Code)
	for country := range iso3166.Countries() {
		names := make(map[string]policy.Code)
		add := func(name string, code policy.Code) {
			if before, known := names[name]; known && before != code {
				code = ""
			}
			names[name] = code
		}
		for s := range iso3166.Subdivisions(country.Code) {
			if s.Parent != "" {
				continue
			}
			folded := foldName(s.Name)
			add(folded, policy.Code(s.Code))
			if without := withoutKind(folded); without != folded {
				add(without, policy.Code(s.Code))
			}
		}
		all[policy.Code(country.Code)] = names
	}
	for line := range strings.Lines(englishNames) {
		country, entries, _ := strings.Cut(strings.TrimSpace(line), " ")
		for entry := range strings.SplitSeq(entries, ";") {
			name, code, _ := strings.Cut(strings.TrimSpace(entry), "=")
			if code == "" {
				all[policy.Code(country)][foldName(name)] = ""
			} else {
				all[policy.Code(country)][foldName(name)] = policy.Code(country + "-" + code)
			}
		}
	}
	return all
})

// foldName returns a name in lower case, without accents and punctuation.
func foldName(name string) string {
	var b strings.Builder
	space := false
	for _, r := range norm.NFKD.String(name) {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '‘', r == 'ʻ', r == '`':
			continue
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteString(foldedLetter(unicode.ToLower(r)))
		default:
			space = true
		}
	}
	return b.String()
}

// foldedLetter returns what stands for a letter that isn't another one with an
// accent.
func foldedLetter(r rune) string {
	switch r {
	case 'ł':
		return "l"
	case 'ø':
		return "o"
	case 'ı':
		return "i"
	case 'đ', 'ð':
		return "d"
	case 'ß':
		return "ss"
	case 'æ':
		return "ae"
	}
	return string(r)
}

// withoutKind returns a folded name without the words for what it names. Those
// that tell a city from the land around it stay: Kyiv is not Kyiv Oblast.
func withoutKind(folded string) string {
	for _, before := range []string{"province of ", "provincia de ", "state of ", "county of ", "governorate of ", "republic of ", "region "} {
		folded = strings.TrimPrefix(folded, before)
	}
	for _, after := range []string{" province", " governorate", " county", " prefecture", " department", " voivodeship", " parish", " sheng", " shi", " lan", " judet"} {
		folded = strings.TrimSuffix(folded, after)
	}
	return folded
}

// englishNames are names in English, and others that databases use, of
// subdivisions that ISO 3166-2 lists by their own names. Nothing behind the sign
// is a name that means more than one.
//
//go:embed names.txt
var englishNames string
