package notice_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// because returns a set of the notice of withdrawn alone, with a cause.
func because(t testing.TB, cause policy.Cause) *notice.Set {
	t.Helper()
	b := notice.NewSet([]*policy.Decision{withdrawn},
		func(policy.Decision) policy.Notice { return linked },
		func(policy.Decision) policy.Cause { return cause }, names)
	return b
}

func TestEveryFormSaysWhy(t *testing.T) {
	everyResponse(t, linked, func(name string, d *policy.Decision, a *notice.Response) {
		said := wire(a)
		for words, wants := range map[string]bool{
			narcotrafic.Title.String(): d == demanded,
			encrypted:                  d == demanded || d == withheld,
		} {
			if strings.Contains(said, words) != wants {
				t.Errorf("%s: says %q: %v, want %v\n%s", name, words, !wants, wants, said)
			}
		}
	})
}

func TestWhatIsNotDisclosedIsNowhere(t *testing.T) {
	leaks := func(name string, a *notice.Response) {
		t.Helper()
		for _, word := range []string{"secret", "nameless"} {
			if strings.Contains(strings.ToLower(wire(a)), word) {
				t.Errorf("%s says %s:\n%s", name, word, wire(a))
			}
		}
	}
	everyResponse(t, linked, func(name string, _ *policy.Decision, a *notice.Response) { leaks(name, a) })
	s := marketStatus(markets)
	for _, accept := range []string{"text/html", "application/json"} {
		leaks("status "+accept, s.For(asOf, []string{accept}, nil, nil))
	}
}

// Issue 11, 8: what never binds isn't shown as law.
func TestAnInformalLetterIsNoLaw(t *testing.T) {
	letter := narcotrafic
	letter.Kind, letter.Stage = policy.Informal, policy.InForce
	b := because(t, policy.Cause{Demands: []policy.Demand{letter}})
	for _, accept := range []string{"text/html", "text/plain", "application/json"} {
		said := string(b.For(withdrawn, 0, []string{accept}, []string{"en"}, "", "").Body)
		if !strings.Contains(said, letter.Title.String()) || strings.Contains(said, "in-force") || strings.Contains(strings.ToLower(said), "in force") {
			t.Errorf("%s:\n%s", accept, said)
		}
		if accept == "application/json" && !strings.Contains(said, `"kind": "informal"`) && !strings.Contains(said, `"kind":"informal"`) {
			t.Errorf("it isn't said what it is:\n%s", said)
		}
	}
}

func TestAWithheldServiceBlamesNoLaw(t *testing.T) {
	own := linked
	own.Texts = map[string]policy.Text{
		"en": {Title: "Blame the law", Body: "Blame the law since {date}."},
		"fi": {Title: "Blame the law", Body: "Blame the law since {date}."},
	}
	b := newSet(t, own, everyKind...)
	for language, want := range map[string]string{"en": "en", "fi": "fr", "de": "de"} {
		for _, accept := range []string{"text/html", "text/plain", "application/json"} {
			a := b.For(withheld, 0, []string{accept}, []string{language}, "", "")
			if strings.Contains(string(a.Body), "Blame") || get(a, "Content-Language") != want {
				t.Errorf("who asks for %s gets\n%s", language, wire(a))
			}
		}
	}
	for _, lang := range phrases.All() {
		a := b.For(withheld, 0, nil, []string{lang.Tag}, "", "")
		if !strings.Contains(string(a.Body), lang.Withheld) || strings.Contains(string(a.Body), lang.Withdrawn.Body) {
			t.Errorf("%s:\n%s", lang.Tag, a.Body)
		}
	}
}

// links returns the targets of a page's links by their words.
func links(t testing.TB, page []byte) map[string]string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	targets := make(map[string]string)
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.Data != "a" {
			continue
		}
		var words strings.Builder
		for d := range n.Descendants() {
			if d.Type == html.TextNode {
				words.WriteString(d.Data)
			}
		}
		for _, a := range n.Attr {
			if a.Key == "href" {
				targets[words.String()] = a.Val
			}
		}
	}
	return targets
}

func TestOnlyAnAddressOfTheWebIsLinkedTo(t *testing.T) {
	for source, want := range map[string]string{
		"https://example.org/law":        "https://example.org/law",
		"http://example.org/law#8":       "http://example.org/law#8",
		"HTTPS://example.org/law":        "https://example.org/law",
		"https://example.org/loi n° 8":   "https://example.org/loi%20n%C2%B0%208",
		`https://example.org/"><script>`: "https://example.org/%22%3E%3Cscript%3E",

		"":                                "",
		"/law":                            "",
		"example.org/law":                 "",
		"//example.org/law":               "",
		"https:/law":                      "",
		"https:example.org":               "",
		"mailto:law@example.org":          "",
		"ftp://example.org/law":           "",
		"javascript:alert(1)":             "",
		" javascript:alert(1)":            "",
		"JavaScript://example.org/%0aa()": "",
		"java\nscript:alert(1)":           "",
		"data:text/html,<script>":         "",
		"vbscript:a":                      "",
		"https://example.org/\r\nX: y":    "",
		"http://[::1":                     "",
	} {
		t.Run(source, func(t *testing.T) {
			demand := policy.Demand{Title: plain("The law"), Source: source}
			b := because(t, policy.Cause{Demands: []policy.Demand{demand}})
			s := marketStatus([]policy.PublicMarket{{Jurisdiction: "FR", Places: []policy.Code{"FR"}, Because: []policy.Demand{demand}}, elsewhere})

			for name, a := range map[string]*notice.Response{
				"notice": b.For(withdrawn, 0, []string{"text/html"}, nil, "", ""),
				"status": s.For(asOf, []string{"text/html"}, nil, nil),
			} {
				if got := links(t, a.Body)["The law"]; got != want {
					t.Errorf("the %s links to %q, want %q", name, got, want)
				}
			}
			var problem struct{ Because []struct{ Source string } }
			var status struct {
				Markets []struct{ Because []struct{ Source string } }
			}
			if err := json.Unmarshal(b.For(withdrawn, 0, []string{"application/json"}, nil, "", "").Body, &problem); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(s.For(asOf, nil, nil, nil).Body, &status); err != nil {
				t.Fatal(err)
			}
			if got := problem.Because[0].Source; got != want {
				t.Errorf("the problem says %q, want %q", got, want)
			}
			if got := status.Markets[0].Because[0].Source; got != want {
				t.Errorf("the status says %q, want %q", got, want)
			}
		})
	}
}

func TestACauseStaysInItsLine(t *testing.T) {
	for words, want := range map[string]string{
		"A law\nAppeal: https://example.net/":  "A law Appeal: https://example.net/",
		"A law\r\nB":                           "A law  B",
		"A law\u2028B\u2029C\u0085D\x00E\x1bF": "A law B C D E F",
		"A \u202elaw\u202c \u2066B\u2069":      "A law B",
		"  A law\t":                            "A law",
		"קו\u200f A":                           "קו\u200f A",
		"A\xfflaw":                             "A\ufffdlaw",
	} {
		b := because(t, policy.Cause{Demands: []policy.Demand{{Title: plain(words), Authority: plain(words)}}, Statements: []policy.Words{plain(words)}})
		text := string(b.For(withdrawn, 0, nil, []string{"en"}, "", "").Body)
		if lines := "\nBecause of: " + want + " — " + want + "\nWhat we promise: " + want + "\n"; !strings.Contains(text, lines) {
			t.Errorf("want %q in\n%q", lines, text)
		}
	}
}

func TestWhatHasNoWordsIsLeftOut(t *testing.T) {
	nothing := policy.Cause{
		Demands:    []policy.Demand{nameless, {Title: plain(" \n"), Authority: plain("\u202e")}},
		Statements: []policy.Words{plain(""), plain(" \t")},
	}
	for _, accept := range []string{"text/html", "text/plain", "application/json"} {
		got := wire(because(t, nothing).For(withdrawn, 0, []string{accept}, nil, "", ""))
		if want := wire(because(t, policy.Cause{}).For(withdrawn, 0, []string{accept}, nil, "", "")); got != want {
			t.Errorf("(-without +with)\n%s", cmp.Diff(want, got))
		}
	}
}

func TestLongCausesLeaveTheAppealInAGRPCMessage(t *testing.T) {
	long := strings.Repeat("Ω", 1000)
	b := because(t, policy.Cause{Demands: []policy.Demand{{Title: plain(long), Authority: plain(long)}}, Statements: []policy.Words{plain(long)}})
	for _, lang := range phrases.All() {
		message := get(b.For(withdrawn, 0, nil, []string{lang.Tag}, "application/grpc", ""), "Grpc-Message")
		if !strings.Contains(message, linked.Appeal) || len(message) > 3<<10 {
			t.Errorf("%s: %d bytes: %s", lang.Tag, len(message), message)
		}
	}
}

func TestACauseIsLookedUpOnce(t *testing.T) {
	asked := 0
	b := notice.NewSet(everyKind,
		func(policy.Decision) policy.Notice { return linked },
		func(d policy.Decision) policy.Cause {
			if d != *demanded {
				t.Errorf("asked for %+v", d)
			}
			asked++
			return causes(d)
		}, names)
	for i := range 3 {
		if asked != min(i, 1) {
			t.Errorf("asked %d times after %d requests", asked, i)
		}
		b.For(demanded, 0, []string{"text/html"}, nil, "", "")
	}
}

func TestTheStatusNamesTheStageInEveryLanguage(t *testing.T) {
	name := func(s phrases.Stages) map[policy.Stage]string {
		return map[policy.Stage]string{
			policy.Proposed: s.Proposed, policy.Passed: s.Passed, policy.Revived: s.Revived, policy.Adopted: s.Adopted, policy.InForce: s.InForce,
			policy.Suspended: s.Suspended, policy.Rejected: s.Rejected, policy.Repealed: s.Repealed,
		}
	}
	for _, stage := range policy.Stage("").SchemaEnum() {
		if stage == string(policy.Appealed) {
			continue // it changes nothing: what was before is named
		}
		demand := policy.Demand{Title: plain("The law"), Stage: policy.Stage(stage)}
		s := marketStatus([]policy.PublicMarket{{Jurisdiction: "FR", Places: []policy.Code{"FR"}, Because: []policy.Demand{demand}}, elsewhere})
		for _, lang := range phrases.All() {
			page := string(s.For(asOf, []string{"text/html"}, []string{lang.Tag}, nil).Body)
			want := fmt.Sprintf("<small>%s</small>", name(lang.Stages)[policy.Stage(stage)])
			if !strings.Contains(page, want) || want == "<small></small>" {
				t.Errorf("%s: no %s in\n%s", lang.Tag, want, page)
			}
		}
	}
}
