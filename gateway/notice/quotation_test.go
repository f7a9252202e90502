package notice_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/policy"
)

func TestTitlesAndStatementsFollowTheLanguageOfTheNotice(t *testing.T) {
	for _, c := range []struct {
		reader string
		market policy.Code
		accept string
		tags   string // of what the policy says
		texts  string // the language of a text of the operator's for the notice
		want   string // which, and its lang attribute
	}{
		{"a reader gets the language asked for", "FR", "de", "de en fr", "", "de"},
		{"a region's reader gets the language", "FR", "de-AT", "de en fr", "", "de"},
		{"the words for a region are for all who read the language", "FR", "en-US", "en-GB fr", "", "en-GB lang=en-GB"},
		{"traditional Chinese is what Taiwan reads", "FR", "zh-Hant", "zh zh-TW", "", "zh-TW lang=zh-TW"},
		{"simplified Chinese isn't for who reads the traditional", "FR", "zh-HK", "en zh", "", "en lang=en"},
		{"who has none in their language gets the market's", "FR", "de", "en fr", "", "fr lang=fr"},
		{"the first of the market's that there is", "CH", "es", "en it", "", "it lang=it"},
		{"else English", "FR", "de", "en ja", "", "en lang=en"},
		{"else the first", "FR", "de", "ja zh", "", "ja lang=ja"},
		{"who says nothing gets the market's", "FR", "", "en fr", "", "fr"},
		{"the case of a tag means nothing", "FR", "zh-Hans", "en zh-hans", "", "zh-hans"},
		{"a language of the operator's", "AD", "ca", "ca en es", "ca", "ca lang=ca"},
		{"a language that nobody knows", "FR", "qzz", "en qzz", "qzz", "qzz lang=qzz"},
		{"a language that nobody knows isn't English", "FR", "de", "ja qzz", "", "ja lang=ja"},
		{"a text whose language isn't said is for all, and isn't marked", "FR", "de", "-", "", "-"},
	} {
		t.Run(c.reader, func(t *testing.T) {
			all := make(policy.Words)
			for tag := range strings.FieldsSeq(c.tags) {
				all[strings.Trim(tag, "-")] = "Words in " + tag + "."
			}
			n := linked
			if c.texts != "" {
				n.Texts = map[string]policy.Text{c.texts: {Title: "Title"}}
			}
			d := *withdrawn
			d.Jurisdiction, d.Entry = c.market, c.market
			s := notice.NewSet([]*policy.Decision{&d},
				func(policy.Decision) policy.Notice { return n },
				func(policy.Decision) policy.Cause {
					return policy.Cause{Demands: []policy.Demand{{Title: all, Authority: all}}, Statements: []policy.Words{all}}
				}, names)
			tag, lang, _ := strings.Cut(c.want, " lang=")
			words := "Words in " + tag + "."

			marked := "<bdi>" + words
			if lang != "" {
				marked = fmt.Sprintf("<bdi lang=%q>%s", lang, words)
			}
			if page := string(s.For(&d, 0, []string{"text/html"}, []string{c.accept}, "", "").Body); strings.Count(page, marked) != 3 {
				t.Errorf("the page hasn't %s three times:\n%s", marked, page)
			}
			var problem struct {
				Because    []struct{ Title, Authority string }
				Guarantees []string
			}
			if err := json.Unmarshal(s.For(&d, 0, []string{"application/json"}, []string{c.accept}, "", "").Body, &problem); err != nil {
				t.Fatal(err)
			}
			if problem.Because[0].Title != words || problem.Because[0].Authority != words || problem.Guarantees[0] != words {
				t.Errorf("the problem has %+v", problem)
			}
			for _, contentType := range []string{"", "application/grpc"} {
				if said := wire(s.For(&d, 0, nil, []string{c.accept}, contentType, "")); strings.Count(said, words) != 3 {
					t.Errorf("want %q three times in\n%s", words, said)
				}
			}
		})
	}
}

func TestTheStatusHasTitlesInAllLanguages(t *testing.T) {
	s := marketStatus([]policy.PublicMarket{{Jurisdiction: "FR", Places: []policy.Code{"FR"}, Because: []policy.Demand{
		{Title: policy.Words{"de": "Gesetz", "en": "Law", "fr": "Loi"}, Authority: plain("Sénat")},
	}}, elsewhere})
	for language, want := range map[string]string{
		"fr": "<bdi>Loi</bdi>", "de": "<bdi>Gesetz</bdi>", "en-US": "<bdi>Law</bdi>", "ja": `<bdi lang="en">Law</bdi>`, "": "<bdi>Law</bdi>",
	} {
		if page := string(s.For(asOf, []string{"text/html"}, []string{language}, nil).Body); !strings.Contains(page, want) || !strings.Contains(page, "<bdi>Sénat</bdi>") {
			t.Errorf("%s: no %s in\n%s", language, want, page)
		}
	}
	var status struct {
		Markets []struct {
			Because []struct {
				Title     map[string]string
				Authority string
			}
		}
	}
	if err := json.Unmarshal(s.For(asOf, nil, nil, nil).Body, &status); err != nil || status.Markets[0].Because[0].Title["fr"] != "Loi" || status.Markets[0].Because[0].Authority != "Sénat" {
		t.Errorf("the JSON says %+v, %v", status.Markets, err)
	}
}
