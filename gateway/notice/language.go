package notice

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/internal/accept"
	"github.com/exitgate/exitgate/policy"
)

// A locale is a language that a notice can be given in.
type locale struct {
	tag     language.Tag
	name    string            // BCP 47, as sent in Content-Language
	dir     string            // ltr or rtl
	phrases *phrases.Language // nil where there are only the operator's texts
	text    policy.Text
}

func builtInLocale(p *phrases.Language) locale {
	return locale{tag: language.Make(p.Tag), name: p.Tag, dir: p.Dir, phrases: p}
}

// locales are the languages of a notice: the built-in ones and those of the
// operator's texts.
type locales struct {
	all []locale
	// byRange finds a locale by a language range, in lower case. It is made
	// complete beforehand, so that a choice is a few look-ups: golang.org/x/text's
	// Matcher takes microseconds and allocates, and a hostile client chooses
	// how many.
	byRange map[string]int
}

// Ranges that mean a built-in language without being a prefix of its tag:
// regions that write Chinese in the traditional script, and what CLDR calls
// legacy or macro-language codes.
var otherRanges = map[string]string{
	"zh": "zh-hans", "zh-tw": "zh-hant", "zh-hk": "zh-hant", "zh-mo": "zh-hant",
	"cmn": "zh-hans", "cmn-hant": "zh-hant", "yue": "zh-hant", "gsw": "de", "in": "id",
	// CLDR has the Portuguese of Portugal for these.
	"pt-ao": "pt-pt", "pt-cv": "pt-pt", "pt-gw": "pt-pt", "pt-mo": "pt-pt", "pt-mz": "pt-pt", "pt-st": "pt-pt", "pt-tl": "pt-pt",
}

func newLocales(texts map[string]policy.Text) *locales {
	t := &locales{byRange: make(map[string]int)}
	for i, b := range phrases.All() {
		t.all = append(t.all, builtInLocale(b))
		t.byRange[strings.ToLower(b.Tag)] = i
	}
	builtIn := len(t.all)
	for other, tag := range otherRanges {
		t.byRange[other] = t.byRange[tag]
	}

	for _, written := range slices.Sorted(maps.Keys(texts)) {
		tag, err := language.Parse(written)
		name := tag.String()
		if err != nil || tag.IsRoot() {
			// CLDR needn't know a language for an operator to write in it.
			name = written
		}
		key := strings.ToLower(name)
		if i, known := t.byRange[key]; known && sameLanguage(t.all[i].tag, tag) && !hasRegion(tag) {
			t.all[i].text = texts[written]
			continue
		}
		own := locale{tag: tag, name: name, dir: direction(tag), text: texts[written], phrases: phrasesOf(t.all[:builtIn], tag)}
		t.byRange[key] = len(t.all)
		t.all = append(t.all, own)
	}

	// An operator who writes en-GB means all who read English, unless there is
	// a text for them too.
	for i := builtIn; i < len(t.all); i++ {
		for p := t.all[i].tag.Parent(); !p.IsRoot(); p = p.Parent() {
			key := strings.ToLower(p.String())
			if j, taken := t.byRange[key]; !taken || t.all[j].text == (policy.Text{}) {
				t.byRange[key] = i
			}
		}
	}
	// What an operator writes for all readers of a language is for those of a built-in
	// variety, too.
	for i := range t.all[:builtIn] {
		if variety := &t.all[i]; variety.text == (policy.Text{}) && hasRegion(variety.tag) {
			variety.text = t.all[t.byRange[strings.ToLower(variety.tag.Parent().String())]].text
		}
	}
	return t
}

// phrasesOf returns the built-in phrases for an operator's text: those of its variety of
// the language, else those of the language. What CLDR doesn't know, it takes for
// English.
func phrasesOf(builtIn []locale, tag language.Tag) *phrases.Language {
	for of := tag; !of.IsRoot(); of = of.Parent() {
		for _, b := range builtIn {
			if b.tag == of {
				return b.phrases
			}
		}
	}
	for _, b := range builtIn {
		if !tag.IsRoot() && sameLanguage(b.tag, tag) {
			return b.phrases
		}
	}
	return nil
}

func hasRegion(tag language.Tag) bool {
	_, _, region := tag.Raw()
	return region != language.Region{}
}

// sameLanguage reports whether a reader of one tag reads the other, script
// included.
func sameLanguage(a, b language.Tag) bool {
	aBase, _ := a.Base()
	bBase, _ := b.Base()
	aScript, _ := a.Script()
	bScript, _ := b.Script()
	return aBase == bBase && aScript == bScript
}

// direction returns that of the tag's script, after Unicode's bidirectional classes.
func direction(tag language.Tag) string {
	script, _ := tag.Script()
	switch script.String() {
	case "Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Rohg", "Mand", "Samr":
		return "rtl"
	}
	return "ltr"
}

// choose returns the locale for a request's Accept-Language, byDefault if the
// client accepts none that there is. A * stands for byDefault (RFC 9110, section
// 12.5.4).
func (l *locales) choose(acceptLanguage []string, byDefault int) int {
	best, bestQuality := byDefault, 0
	defaultRefused := false
	accept.Each(acceptLanguage, func(item string, quality int) bool {
		i, ok := byDefault, item == "*"
		if !ok {
			i, ok = l.lookup(item)
		}
		switch {
		case !ok:
		case quality == 0:
			defaultRefused = defaultRefused || i == byDefault && item != "*"
		case quality > bestQuality:
			best, bestQuality = i, quality
		}
		return item == "*" || !ok || quality < 1000 // no other can be better
	})
	if defaultRefused && best == byDefault {
		best, _ = l.lookup("en")
	}
	return best
}

// lookup finds the locale for one language range by RFC 4647, section 3.4: the
// range itself, then ever shorter prefixes of it.
func (l *locales) lookup(languageRange string) (int, bool) {
	var lower [64]byte
	for rest := inLowerCase(&lower, languageRange); len(rest) > 0; {
		if i, ok := l.byRange[string(rest)]; ok {
			return i, true
		}
		rest = rest[:max(bytes.LastIndexByte(rest, '-'), 0)]
	}
	return 0, false
}

// ofMarket returns the locale of a market: the first of its languages that there
// is, else English.
func (l *locales) ofMarket(market policy.Code) int {
	for _, name := range marketLanguages(market) {
		if i, ok := l.lookup(name); ok {
			return i
		}
	}
	i, _ := l.lookup("en")
	return i
}

// builtIn returns the built-in phrases around the operator's texts: those of the same
// language, else of the market's, else English.
func (l *locales) builtIn(i int, market policy.Code) *phrases.Language {
	if b := l.all[i].phrases; b != nil {
		return b
	}
	for _, name := range marketLanguages(market) {
		if j, ok := l.lookup(name); ok && l.all[j].phrases != nil {
			return l.all[j].phrases
		}
	}
	return l.all[0].phrases
}
