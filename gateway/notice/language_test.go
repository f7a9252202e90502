package notice_test

import (
	"strings"
	"testing"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

func TestTheLanguageFollowsAcceptLanguage(t *testing.T) {
	for _, c := range []struct {
		reader string
		market policy.Code
		accept []string
		texts  []string // the operator's
		want   string
	}{
		{"a reader gets the language asked for", "FR", []string{"de"}, nil, "de"},
		{"a region's reader gets the language", "FR", []string{"de-AT"}, nil, "de"},
		{"the best quality wins", "FR", []string{"en;q=0.4, es;q=0.9, it;q=0.5"}, nil, "es"},
		{"of equal quality the first wins", "FR", []string{"tr, ja"}, nil, "tr"},
		{"a browser's list", "FR", []string{"fi-FI,fi;q=0.9,en-US;q=0.8,en;q=0.7"}, nil, "en"},

		{"who says nothing gets the market's language", "FR", nil, nil, "fr"},
		{"who asks for what there isn't gets the market's language", "BR", []string{"fi, da;q=0.5"}, nil, "pt"},
		{"who takes any language gets the market's", "JP", []string{"*"}, nil, "ja"},
		{"any language is worth what it says", "JP", []string{"fi, *;q=0.5, en;q=0.1"}, nil, "ja"},
		{"a named language goes before any other", "JP", []string{"*;q=0.5, en;q=0.7"}, nil, "en"},
		{"who refuses the market's language gets English", "FR", []string{"fi, fr;q=0"}, nil, "en"},
		{"who takes any but the market's language gets English", "FR", []string{"fr;q=0, *"}, nil, "en"},
		{"in either order", "FR", []string{"*, fr;q=0"}, nil, "en"},
		{"who refuses a language may have another", "FR", []string{"en;q=0, de;q=0.1"}, nil, "de"},

		{"simplified Chinese is the default", "FR", []string{"zh"}, nil, "zh-Hans"},
		{"China reads simplified Chinese", "CN", nil, nil, "zh-Hans"},
		{"Singapore's Chinese is simplified", "FR", []string{"zh-SG"}, nil, "zh-Hans"},
		{"Taiwan reads traditional Chinese", "TW", nil, nil, "zh-Hant"},
		{"a reader in Taiwan", "FR", []string{"zh-TW"}, nil, "zh-Hant"},
		{"Hong Kong reads traditional Chinese", "HK", []string{"fi"}, nil, "zh-Hant"},
		{"a script goes before a region", "FR", []string{"zh-Hans-HK"}, nil, "zh-Hans"},
		{"Cantonese readers read traditional Chinese", "FR", []string{"yue-HK"}, nil, "zh-Hant"},
		{"Indonesian by its old code", "FR", []string{"in-ID"}, nil, "id"},

		{"Ukrainian is not Russian", "UA", []string{"uk"}, nil, "uk"},
		{"Malay is not Indonesian", "MY", []string{"ms"}, nil, "en"},
		{"Dutch is not German", "NL", []string{"nl"}, nil, "nl"},
		{"Norwegian is not Swedish", "NO", []string{"nb"}, nil, "en"},
		{"Poland", "PL", nil, nil, "pl"},
		{"Cyprus", "CY", nil, nil, "el"},

		{"a country of several languages reads the first that there is", "BE", nil, nil, "nl"},
		{"Switzerland", "CH", nil, nil, "de"},
		{"Geneva", "CH-GE", nil, nil, "fr"},
		{"Zurich", "CH-ZH", nil, nil, "de"},
		{"Quebec", "CA-QC", nil, nil, "fr"},
		{"Ontario", "CA-ON", nil, nil, "en"},
		{"Mississippi", "US-MS", nil, nil, "en"},
		{"Kazakhstan", "KZ", nil, nil, "ru"},
		{"Morocco", "MA", nil, nil, "ar"},
		{"Angola", "AO", nil, nil, "pt-PT"},
		{"Portugal", "PT", nil, nil, "pt-PT"},
		{"a reader from Portugal", "FR", []string{"pt-PT"}, nil, "pt-PT"},
		{"a reader from Mozambique", "FR", []string{"pt-MZ"}, nil, "pt-PT"},
		{"a reader from Brazil", "FR", []string{"pt-BR"}, nil, "pt"},
		{"the operator's words for Portugal", "FR", []string{"pt-PT"}, []string{"pt-PT", "pt"}, "pt-PT"},
		{"a group has no language", "EU", nil, nil, "en"},
		{"an unknown place has no language", policy.Unlocated, nil, nil, "en"},
		{"a private network has no language", policy.Private, nil, nil, "en"},
		{"a code that is none has no language", "?", nil, nil, "en"},

		{"the operator's language is one more", "FR", []string{"fi-FI"}, []string{"fi"}, "fi"},
		{"the operator's language may be the market's", "FI", nil, []string{"fi"}, "fi"},
		{"the operator's words for a region go to all its readers", "FR", []string{"en-US"}, []string{"en-GB"}, "en-GB"},
		{"unless there are words for them too", "FR", []string{"en-US"}, []string{"en", "en-GB"}, "en"},
		{"and the region has its own", "FR", []string{"en-GB"}, []string{"en", "en-GB"}, "en-GB"},
		{"the operator's words for Taiwan are not for China", "CN", nil, []string{"zh-TW"}, "zh-Hans"},
		{"the operator's words for Taiwan are for Hong Kong", "HK", nil, []string{"zh-Hant-TW"}, "zh-Hant-TW"},
		{"another script of the operator's language", "RS", []string{"sr-Latn"}, []string{"sr"}, "sr"},
		{"a language that CLDR doesn't know", "FR", []string{"qzz"}, []string{"qzz"}, "qzz"},

		{"a tag of subtags that nobody knows", "FR", []string{"fr-12"}, []string{"fr-12"}, "fr-12"},

		{"garbage says nothing", "FR", []string{";;q=,,-,_,\xff"}, nil, "fr"},
		{"a range longer than any says nothing", "FR", []string{strings.Repeat("d", 65)}, nil, "fr"},
	} {
		t.Run(c.reader, func(t *testing.T) {
			n := policy.Notice{Texts: map[string]policy.Text{}}
			for _, tag := range c.texts {
				n.Texts[tag] = policy.Text{Title: "The operator's words in " + tag + "."}
			}
			d := *withdrawn
			d.Jurisdiction = c.market
			a := newSet(t, n, &d).For(&d, 0, nil, c.accept, "", "")
			if got := get(a, "Content-Language"); got != c.want {
				t.Errorf("Accept-Language %q in %s gets %s, want %s", c.accept, c.market, got, c.want)
			}
			for _, tag := range c.texts {
				words := "The operator's words in " + tag + "."
				if strings.Contains(string(a.Body), words) != (tag == c.want) {
					t.Errorf("the words in %s:\n%s", c.want, a.Body)
				}
			}
		})
	}
}

// What an operator writes for all who read Portuguese, readers from Portugal get, too,
// with the rest in their own variety.
func TestWordsForALanguageAreForItsVarieties(t *testing.T) {
	n := policy.Notice{Texts: map[string]policy.Text{"pt": {Title: "As nossas palavras"}}}
	a := newSet(t, n, withdrawn).For(withdrawn, 0, nil, []string{"pt-PT"}, "", "")
	if body := string(a.Body); !strings.HasPrefix(body, "As nossas palavras\n\nRetirámos") || get(a, "Content-Language") != "pt-PT" {
		t.Errorf("in %s: %s", get(a, "Content-Language"), body)
	}
}

func TestATextWithoutABodyKeepsTheBuiltInOne(t *testing.T) {
	n := policy.Notice{Texts: map[string]policy.Text{"en": {Title: "We are gone"}}}
	body := string(newSet(t, n, withdrawn).For(withdrawn, 0, nil, []string{"en"}, "", "").Body)
	if !strings.HasPrefix(body, "We are gone\n\n"+phrases.All()[0].Withdrawn.Body) {
		t.Error(body)
	}
}

func TestScriptsThatRunFromTheRight(t *testing.T) {
	for tag, want := range map[string]string{"ar": "rtl", "he": "rtl", "fa-AF": "rtl", "ur": "rtl", "ckb": "rtl", "dv": "rtl", "nl": "ltr", "az-Arab": "rtl", "az": "ltr"} {
		n := policy.Notice{Texts: map[string]policy.Text{tag: {Title: "…"}}}
		body := string(newSet(t, n, withdrawn).For(withdrawn, 0, []string{"text/html"}, []string{tag}, "", "").Body)
		if !strings.Contains(body, `<html lang="`+tag+`" dir="`+want+`">`) {
			t.Errorf("%s isn't %s", tag, want)
		}
	}
}

func TestTheLanguagesOfMarketsAreLanguages(t *testing.T) {
	for market, languages := range notice.LanguagesOf {
		country, _, _ := strings.Cut(string(market), "-")
		if region, err := language.ParseRegion(country); err != nil || !region.IsCountry() {
			t.Errorf("%s is not a country", country)
		}
		for _, l := range languages {
			if _, err := language.Parse(l); err != nil {
				t.Errorf("%s: %q: %v", market, l, err)
			}
		}
	}
}
