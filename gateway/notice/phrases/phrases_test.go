package phrases_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
)

// each calls visit with every text of a language and its name.
func each(v reflect.Value, name string, visit func(name, text string)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			each(v.Field(i), name+"."+v.Type().Field(i).Name, visit)
		}
	case reflect.Array:
		for i := range v.Len() {
			each(v.Index(i), fmt.Sprint(name, "[", i, "]"), visit)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			each(v.MapIndex(k), fmt.Sprint(name, "[", k, "]"), visit)
		}
	default:
		visit(name, v.String())
	}
}

func texts(b *phrases.Language) map[string]string {
	all := make(map[string]string)
	each(reflect.ValueOf(*b), "", func(name, text string) { all[name] = text })
	return all
}

// Words that are the same in English.
var sameAsInEnglish = map[string][]string{
	"de": {".Status.Phase", ".Month[3]", ".Month[7]", ".Month[8]", ".Month[10]"},
	"fr": {".Status.Version"},
	"nl": {".Status.Phase"},
	"id": {".Status.Phase", ".Month[3]", ".Month[8]", ".Month[10]"},
}

// Texts that aren't words.
var notWords = []string{".Tag", ".Dir", ".Name", ".Colon", ".Date", ".First"}

func TestEveryLanguageHasEveryText(t *testing.T) {
	english := texts(phrases.All()[0])
	for _, b := range phrases.All() {
		for name, text := range texts(b) {
			switch {
			case text == "" && name != ".First":
				t.Errorf("%s: %s is empty", b.Tag, name)
			case text != strings.TrimSpace(text) && name != ".Colon" || strings.Contains(text, "  "):
				t.Errorf("%s: %s has spaces too many: %q", b.Tag, name, text)
			case strings.ContainsAny(text, `"'<>&`):
				t.Errorf("%s: %s isn't typeset: %q", b.Tag, name, text)
			case b.Tag != "en" && text == english[name] && !slices.Contains(notWords, name) && !slices.Contains(sameAsInEnglish[b.Tag], name) && !strings.HasPrefix(name, ".Names"):
				t.Errorf("%s: %s isn't translated: %q", b.Tag, name, text)
			}
			if wants, has := name == ".Feature.What" || name == ".Status.Only", strings.Contains(text, "{feature}"); wants != has {
				t.Errorf("%s: %s: %q: {feature} belongs into .Feature.What and .Status.Only", b.Tag, name, text)
			}
		}
		if _, ok := b.Names["MK"]; !ok {
			t.Errorf("%s: MK has the name that it gave up in 2019", b.Tag)
		}
	}
}

func TestEveryTextIsWrittenInItsLanguagesScript(t *testing.T) {
	scripts := map[string][]*unicode.RangeTable{
		"Latn": {unicode.Latin}, "Grek": {unicode.Greek}, "Kore": {unicode.Hangul}, "Cyrl": {unicode.Cyrillic}, "Arab": {unicode.Arabic}, "Deva": {unicode.Devanagari},
		"Hans": {unicode.Han}, "Hant": {unicode.Han}, "Jpan": {unicode.Han, unicode.Hiragana, unicode.Katakana},
	}
	for _, b := range phrases.All() {
		script, _ := language.Make(b.Tag).Script()
		tables := scripts[script.String()]
		if tables == nil {
			t.Fatalf("%s: script %s", b.Tag, script)
		}
		for name, text := range texts(b) {
			if slices.Contains(notWords, name) {
				continue
			}
			if !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsOneOf(tables, r) }) {
				t.Errorf("%s: %s: %q", b.Tag, name, text)
			}
		}
	}
}

func TestDirections(t *testing.T) {
	for _, b := range phrases.All() {
		want := "ltr"
		if b.Tag == "ar" {
			want = "rtl"
		}
		if b.Dir != want {
			t.Errorf("%s is written %s", b.Tag, b.Dir)
		}
	}
}

func TestTagsAreCanonicalAndDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for _, b := range phrases.All() {
		if tag, err := language.Parse(b.Tag); err != nil || tag.String() != b.Tag || seen[b.Tag] {
			t.Errorf("%q: %v", b.Tag, err)
		}
		seen[b.Tag] = true
	}
}

func TestDates(t *testing.T) {
	want := map[string][2]string{
		"en":      {"1 December 2026", "30 August 2027"},
		"fr":      {"1er décembre 2026", "30 août 2027"},
		"de":      {"1. Dezember 2026", "30. August 2027"},
		"es":      {"1 de diciembre de 2026", "30 de agosto de 2027"},
		"pt":      {"1º de dezembro de 2026", "30 de agosto de 2027"},
		"it":      {"1º dicembre 2026", "30 agosto 2027"},
		"ru":      {"1 декабря 2026 г.", "30 августа 2027 г."},
		"ar":      {"1 ديسمبر 2026", "30 أغسطس 2027"},
		"tr":      {"1 Aralık 2026", "30 Ağustos 2027"},
		"zh-Hans": {"2026年12月1日", "2027年8月30日"},
		"zh-Hant": {"2026年12月1日", "2027年8月30日"},
		"ja":      {"2026年12月1日", "2027年8月30日"},
		"hi":      {"1 दिसंबर 2026", "30 अगस्त 2027"},
		"id":      {"1 Desember 2026", "30 Agustus 2027"},
		"pt-PT":   {"1 de dezembro de 2026", "30 de agosto de 2027"},
		"nl":      {"1 december 2026", "30 augustus 2027"},
		"pl":      {"1 grudnia 2026", "30 sierpnia 2027"},
		"sv":      {"1 december 2026", "30 augusti 2027"},
		"el":      {"1 Δεκεμβρίου 2026", "30 Αυγούστου 2027"},
		"cs":      {"1. prosince 2026", "30. srpna 2027"},
		"ro":      {"1 decembrie 2026", "30 august 2027"},
		"hu":      {"2026. december 1.", "2027. augusztus 30."},
		"uk":      {"1 грудня 2026 р.", "30 серпня 2027 р."},
		"ko":      {"2026년 12월 1일", "2027년 8월 30일"},
	}
	for _, b := range phrases.All() {
		// Midnight in Paris, which is still November in UTC.
		paris := time.FixedZone("", 60*60)
		got := [2]string{
			b.Day(time.Date(2026, time.December, 1, 0, 0, 0, 0, paris)),
			b.Day(time.Date(2027, time.August, 30, 0, 0, 0, 0, time.UTC)),
		}
		if got != want[b.Tag] {
			t.Errorf("%s: %q, want %q", b.Tag, got, want[b.Tag])
		}
	}
}
