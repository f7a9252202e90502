package notice_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

var (
	october1  = time.Date(2026, time.October, 1, 0, 0, 0, 0, time.UTC)
	november1 = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	december1 = time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)
)

// Decisions of each kind.
var (
	withdrawn = &policy.Decision{ID: 0, Action: policy.Refuse, Jurisdiction: "FR", Entry: "FR", Reason: policy.ByEntry,
		Phase: policy.Withdrawn, Class: policy.Other, Since: december1, Announced: october1, Sunset: december1}
	windDown = &policy.Decision{ID: 1, Action: policy.Refuse, Jurisdiction: "FR", Entry: "FR", Reason: policy.ByEntry,
		Phase: policy.WindDown, Class: policy.Other, Since: november1, Announced: october1, Sunset: december1}
	closedToNew = &policy.Decision{ID: 2, Action: policy.Refuse, Jurisdiction: "US-MS", Entry: "US-MS", Reason: policy.ByEntry,
		Phase: policy.ClosedToNew, Class: policy.SignUp, Since: november1, Announced: november1}
	feature = &policy.Decision{ID: 3, Action: policy.Refuse, Jurisdiction: "CA", Entry: "CA", Reason: policy.ByEntry,
		Phase: policy.Withdrawn, Class: "news", Feature: true}
	unlocated = &policy.Decision{ID: 4, Action: policy.Refuse, Jurisdiction: policy.Unlocated, Entry: policy.Unlocated, Reason: policy.ByEntry,
		Phase: policy.Withdrawn, Class: policy.Other}
	anonymous = &policy.Decision{ID: 5, Action: policy.Refuse, Jurisdiction: "DE", Entry: policy.Anonymous, Reason: policy.ByAnonymity,
		Phase: policy.Withdrawn, Class: policy.Other}
	demanded = &policy.Decision{ID: 6, Action: policy.Refuse, Jurisdiction: "FR", Entry: "FR", Reason: policy.ByEntry,
		Phase: policy.Withdrawn, Class: policy.Other, Since: december1, Announced: october1, Sunset: december1}
	withheld = &policy.Decision{ID: 7, Action: policy.Refuse, Jurisdiction: "FR", Entry: "FR", Reason: policy.ByGuarantee,
		Phase: policy.Withdrawn, Class: policy.Other, Flag: "end-to-end-encryption"}

	limited = &policy.Decision{ID: 8, Action: policy.Refuse, Jurisdiction: "FR", Entry: "FR", Reason: policy.ByEntry,
		Phase: policy.WindDown, Class: policy.Other, Since: november1}

	everyKind = []*policy.Decision{withdrawn, windDown, closedToNew, feature, unlocated, anonymous, demanded, withheld, limited}
)

var (
	narcotrafic = policy.Demand{
		Jurisdiction: "FR", Title: plain("Access to encrypted private messages"), Authority: plain("Sénat"), Source: "https://example.org/law",
		Stage: policy.Adopted, InForce: december1,
	}
	retention = policy.Demand{Jurisdiction: "FR", Authority: plain("Conseil d’État"), Stage: policy.InForce}
	nameless  = policy.Demand{Jurisdiction: "FR", Source: "https://example.org/nameless", Stage: policy.Proposed}
	secret    = policy.Demand{
		Jurisdiction: "FR", Title: plain("Secret order"), Authority: plain("Secret court"), Source: "https://example.org/secret",
		Stage: policy.InForce, Disclose: new(false),
	}

	encrypted = "Private messages are end-to-end encrypted."
)

// plain is a text whose language isn't said.
func plain(text string) policy.Words { return policy.Words{"": text} }

// causes discloses demands for demanded, as careless about it as can be.
func causes(d policy.Decision) policy.Cause {
	switch d.ID {
	case demanded.ID:
		return policy.Cause{Demands: []policy.Demand{narcotrafic, secret, nameless, retention}, Statements: []policy.Words{plain(encrypted), plain("")}}
	case withheld.ID:
		return policy.Cause{Statements: []policy.Words{plain(encrypted)}}
	}
	return policy.Cause{}
}

var linked = policy.Notice{
	BlockedBy: "https://example.org/transparency",
	Appeal:    "https://example.org/appeal?from=notice&lang=any",
	Export:    "https://example.org/account/export",
}

// everyLink has all links that a notice can have.
var everyLink = func() policy.Notice {
	n := linked
	n.SignIn, n.DeleteAccount, n.Refunds = "https://app.example.org/sign-in", "https://app.example.org/delete", "https://pay.example.org/refunds?a=b"
	return n
}()

func names(code policy.Code) string {
	return map[policy.Code]string{"US-MS": "Mississippi", "andean": "Andean countries"}[code]
}

func newSet(t testing.TB, n policy.Notice, decisions ...*policy.Decision) *notice.Set {
	t.Helper()
	b := notice.NewSet(decisions, func(policy.Decision) policy.Notice { return n }, causes, names)
	return b
}

func get(a *notice.Response, name string) string {
	var values []string
	for _, f := range a.Header {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return strings.Join(values, ", ")
}

var (
	styleElement = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
	styleHash    = regexp.MustCompile(`sha256-[A-Za-z0-9+/]+=*`)
)

// wire is the answer as it would be sent.
func wire(a *notice.Response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.Status)
	for _, f := range a.Header {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	fmt.Fprintf(&b, "\n%s", a.Body)
	return b.String()
}

// golden compares with a file, without the style, which is the same in every
// page and has a test of its own.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = styleElement.ReplaceAllString(got, "<style>…</style>")
	got = styleHash.ReplaceAllString(got, "sha256-…")
	testkit.Golden(t, filepath.Join("testdata", name+".golden"), got)
}

func TestWhatARefusedClientReceives(t *testing.T) {
	finnish := linked
	finnish.Texts = map[string]policy.Text{
		"fi": {Title: "Olemme lähteneet: {jurisdiction}", Body: "{date} alkaen emme enää tarjoa palveluamme täällä.\n\nNäkemiin."},
		"de": {Body: "Seit dem {date} gibt es uns in {jurisdiction} nicht mehr."},
	}
	for _, c := range []struct {
		name                          string
		decision                      *policy.Decision
		notice                        policy.Notice
		accept, language, contentType string
	}{
		{"withdrawn-page-en", withdrawn, linked, "text/html", "en", ""},
		{"wind-down-page-fr", windDown, linked, "text/html", "fr", ""},
		{"feature-page-ja-without-links", feature, policy.Notice{}, "text/html", "ja", ""},
		{"own-words-page-fi", windDown, finnish, "text/html", "fi", ""},
		{"own-words-text-de", windDown, finnish, "text/plain", "de", ""},
		{"withdrawn-problem-fr", withdrawn, linked, "application/json", "fr", ""},
		{"closed-to-new-problem-en", closedToNew, linked, "application/problem+json", "en", ""},
		{"wind-down-text-en", windDown, linked, "", "en", ""},
		{"wind-down-page-en-with-all-links", windDown, everyLink, "text/html", "en", ""},
		{"wind-down-text-de-with-all-links", windDown, everyLink, "", "de", ""},
		{"withdrawn-problem-en-with-all-links", withdrawn, everyLink, "application/json", "en", ""},
		{"limited-text-en", limited, linked, "", "en", ""},
		{"unlocated-text-es", unlocated, linked, "", "es", ""},
		{"withdrawn-grpc-web-zh", withdrawn, linked, "", "zh-TW", "application/grpc-web-text+proto"},
		{"demanded-page-en", demanded, linked, "text/html", "en", ""},
		{"demanded-page-ar", demanded, linked, "text/html", "ar", ""},
		{"demanded-problem-fr", demanded, linked, "application/json", "fr", ""},
		{"demanded-text-it", demanded, linked, "", "it", ""},
		{"demanded-grpc-en", demanded, linked, "", "en", "application/grpc"},
		{"withheld-problem-en", withheld, linked, "application/json", "en", ""},
		{"withheld-text-ja", withheld, linked, "", "ja", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newSet(t, c.notice, everyKind...)
			golden(t, c.name, wire(b.For(c.decision, 0, []string{c.accept}, []string{c.language}, c.contentType, "")))
		})
	}
}

func everyResponse(t testing.TB, n policy.Notice, visit func(name string, d *policy.Decision, a *notice.Response)) {
	t.Helper()
	b := newSet(t, n, everyKind...)
	for _, d := range everyKind {
		for _, language := range []string{"en", "fr", "de", "es", "pt", "it", "ru", "ar", "tr", "zh", "zh-Hant", "ja", "hi", "id"} {
			for _, accept := range []string{"text/html", "text/plain", "application/problem+json"} {
				name := fmt.Sprint(d.Jurisdiction, " ", d.Phase, " ", language, " ", accept)
				visit(name, d, b.For(d, 0, []string{accept}, []string{language}, "", ""))
			}
			visit(fmt.Sprint(d.Jurisdiction, " grpc ", language), d, b.For(d, 0, nil, []string{language}, "application/grpc", ""))
		}
	}
}

func TestNoticesAreNotCachedAndNameNoRetry(t *testing.T) {
	everyResponse(t, linked, func(name string, d *policy.Decision, a *notice.Response) {
		if get(a, "Cache-Control") != "no-store" || get(a, "Retry-After") != "" {
			t.Errorf("%s: Cache-Control %q, Retry-After %q", name, get(a, "Cache-Control"), get(a, "Retry-After"))
		}
		for _, f := range a.Header {
			for _, c := range []byte(f.Value) {
				if c < ' ' || c > '~' {
					t.Errorf("%s: byte %#x in %s: %s", name, c, f.Name, f.Value)
				}
			}
		}
		if a.Status == 200 {
			return // gRPC
		}
		if a.Status != 451 || get(a, "Vary") != "Accept, Accept-Language, Origin, Sec-Fetch-Dest" || get(a, "X-Content-Type-Options") != "nosniff" || get(a, "Content-Language") == "" {
			t.Errorf("%s: %s", name, wire(a))
		}
		if !strings.Contains(get(a, "Link"), `<https://example.org/transparency>; rel="blocked-by"`) {
			t.Errorf("%s: Link: %s", name, get(a, "Link"))
		}
		if got := get(a, "Content-Length"); got != strconv.Itoa(len(a.Body)) {
			t.Errorf("%s: Content-Length %s of %d bytes", name, got, len(a.Body))
		}
		for _, placeholder := range []string{"{feature}", "{date}", "{jurisdiction}", "{day}", "%!"} {
			if bytes.Contains(a.Body, []byte(placeholder)) {
				t.Errorf("%s: %s left in\n%s", name, placeholder, a.Body)
			}
		}
	})
}

func TestEveryRefusalSaysHowToAppeal(t *testing.T) {
	everyResponse(t, linked, func(name string, _ *policy.Decision, a *notice.Response) {
		if !strings.Contains(wire(a), "https://example.org/appeal?from=notice&") {
			t.Errorf("%s doesn't:\n%s", name, wire(a))
		}
	})
}

func TestClosedToNewOffersNoExport(t *testing.T) {
	a := newSet(t, linked, everyKind...).For(closedToNew, 0, nil, nil, "", "")
	if bytes.Contains(a.Body, []byte(linked.Export)) {
		t.Errorf("offered:\n%s", a.Body)
	}
}

func TestAnAnonymousClientIsNotToldAPlace(t *testing.T) {
	body := string(newSet(t, linked, everyKind...).For(anonymous, 0, nil, []string{"en"}, "", "").Body)
	if strings.Contains(body, "Germany") || !strings.Contains(body, phrases.All()[0].Anonymous) {
		t.Error(body)
	}
}

func TestNamesOfPlaces(t *testing.T) {
	for _, c := range []struct {
		code     policy.Code
		language string
		want     string
	}{
		{"FR", "de", "Frankreich"},
		{"MK", "en", "North Macedonia"},
		{"MK", "en-GB", "North Macedonia"},
		{"SZ", "ru", "Эсватини"},
		{"EU", "ja", "欧州連合"},
		{"HK", "zh-TW", "中國香港特別行政區"},
		{"US-MS", "fr", "Mississippi (États-Unis)"},
		{"US-XX", "fr", "États-Unis (US-XX)"},
		{"andean", "es", "Andean countries"},
		{"CAN", "en", "CAN"}, // an operator's group, not Canada
		{"ours", "en", "ours"},
	} {
		d := *withdrawn
		d.Jurisdiction, d.Entry = c.code, c.code
		a := newSet(t, policy.Notice{}, &d).For(&d, 0, []string{"application/json"}, []string{c.language}, "", "")
		var problem struct{ Jurisdiction, Place string }
		if err := json.Unmarshal(a.Body, &problem); err != nil {
			t.Fatal(err)
		}
		if problem.Place != c.want || problem.Jurisdiction != string(c.code) {
			t.Errorf("%s in %s is %q, want %q", c.code, c.language, problem.Place, c.want)
		}
	}
}

func TestStatusOfTheNotice(t *testing.T) {
	for status, want := range map[int]int{0: 451, 451: 451, 403: 403, 404: 404, 410: 410} {
		if got := newSet(t, policy.Notice{Status: status}, withdrawn).For(withdrawn, 0, nil, nil, "", "").Status; got != want {
			t.Errorf("status %d is sent as %d, want %d", status, got, want)
		}
	}
}

func TestAnAddressCannotLeaveItsLink(t *testing.T) {
	n := policy.Notice{BlockedBy: `https://example.org/a?b=>;"é ` + "`"}
	got := get(newSet(t, n, feature).For(feature, 0, nil, nil, "", ""), "Link")
	want := `<https://example.org/a?b=%3E;%22%C3%A9%20%60>; rel="blocked-by", </.well-known/market-status>; rel="sunset"`
	if got != want {
		t.Errorf("Link: %s\nwant: %s", got, want)
	}
}

var elementsOfAPage = map[string]bool{
	"html": true, "head": true, "meta": true, "style": true, "title": true, "link": true, "body": true, "main": true,
	"header": true, "svg": true, "path": true, "p": true, "h1": true, "h2": true, "div": true, "a": true, "ul": true, "li": true,
	"dl": true, "dt": true, "dd": true, "bdi": true, "time": true, "footer": true, "span": true, "small": true,
	"table": true, "thead": true, "tbody": true, "tr": true, "th": true, "td": true,
}

// harmless fails on anything in a page that its templates don't hold.
func harmless(t *testing.T, page []byte) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("a comment: %s", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		if !elementsOfAPage[n.Data] {
			t.Errorf("an element <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" {
				t.Errorf("an attribute %s=%q", a.Key, a.Val)
			}
			if a.Key == "href" && !strings.HasPrefix(a.Val, "https://example.org/") && a.Val != policy.StatusPath {
				t.Errorf("a link to %q", a.Val)
			}
		}
	}
}

func TestHostileTextsAreEscaped(t *testing.T) {
	hostile := []string{
		`<script>alert(1)</script>`,
		`</style><img src=x onerror=alert(1)>`,
		`</title><svg onload=alert(1)>`,
		`" onmouseover="alert(1)`,
		`<!--`,
		"\u202e<a href=javascript:alert(1)>\x00",
		`{{.}}`,
		`&lt;script&gt;`,
	}
	for _, words := range hostile {
		d := *feature
		d.Class, d.Jurisdiction, d.Entry = words, policy.Code(words), policy.Code(words)
		n := linked
		n.Texts = map[string]policy.Text{"en": {Title: words, Body: words + "\n\n" + words}}
		b := notice.NewSet([]*policy.Decision{&d}, func(policy.Decision) policy.Notice { return n }, func(policy.Decision) policy.Cause {
			return policy.Cause{
				Demands: []policy.Demand{
					{Title: plain(words), Authority: plain(words), Source: "https://example.org/" + words, Stage: policy.Stage(words)},
					{Title: policy.Words{words: words}, Source: words},
					{Authority: plain(words), Source: "javascript:alert(1)"},
				},
				Statements: []policy.Words{plain(words), {words: words}},
			}
		}, func(policy.Code) string { return words })
		harmless(t, b.For(&d, 0, []string{"text/html"}, []string{"en"}, "", "").Body)
		harmless(t, b.For(&d, 0, []string{"text/html"}, []string{"fr"}, "", "").Body)

		problem := b.For(&d, 0, []string{"application/json"}, []string{"en"}, "", "")
		if !json.Valid(problem.Body) {
			t.Errorf("not JSON:\n%s", problem.Body)
		}
		for _, f := range b.For(&d, 0, nil, []string{"en"}, "application/grpc", "").Header {
			if strings.ContainsAny(f.Value, "\r\n\x00") {
				t.Errorf("%s: %q", f.Name, f.Value)
			}
		}

		s := notice.NewStatus([]policy.PublicMarket{{Jurisdiction: policy.Code(words), Places: []policy.Code{policy.Code(words)}, Features: []policy.MarketFeature{{Routes: []string{words}, Phase: policy.Withdrawn}}, Because: []policy.Demand{
			{Title: plain(words), Authority: plain(words), Source: "https://example.org/" + words, Stage: policy.Stage(words)},
			{Title: policy.Words{words: words}, Source: words},
		}}, elsewhere}, func(policy.Code) string { return words })
		harmless(t, s.For(asOf, []string{"text/html"}, []string{"en"}, nil).Body)
	}
}

func TestAPageAllowsItsOwnStyleAndNothingElse(t *testing.T) {
	s := marketStatus([]policy.PublicMarket{elsewhere})
	for name, a := range map[string]*notice.Response{
		"notice": newSet(t, linked, withdrawn).For(withdrawn, 0, []string{"text/html"}, nil, "", ""),
		"status": s.For(asOf, []string{"text/html"}, nil, nil),
	} {
		styles := styleElement.FindAllSubmatch(a.Body, -1)
		if len(styles) != 1 {
			t.Fatalf("%s: %d style elements", name, len(styles))
		}
		hash := sha256.Sum256(styles[0][1])
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		if got := get(a, "Content-Security-Policy"); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
		if regexp.MustCompile(`(?i)<script|\sstyle=|https?:|url\(|@import`).Match(styleElement.ReplaceAll(bytes.ReplaceAll(a.Body, []byte("https://example.org/"), nil), styles[0][1])) {
			t.Errorf("%s reaches out:\n%s", name, a.Body)
		}
	}
}

func TestARenderedNoticeIsCached(t *testing.T) {
	b := newSet(t, linked, everyKind...)
	for _, contentType := range []string{"", "application/grpc"} {
		first := b.For(windDown, 0, []string{"text/html"}, []string{"fr-FR"}, contentType, "")
		if again := b.For(windDown, 0, []string{"text/html;q=0.5"}, []string{"fr"}, contentType, ""); first != again {
			t.Error("the same notice was rendered twice")
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	b := newSet(t, linked, everyKind...)
	const limit = 64 << 10
	b.SetLimit(limit)
	for range 3 {
		for _, d := range everyKind {
			for _, language := range []string{"en", "fr", "de", "es", "ja", "hi"} {
				a := b.For(d, 0, []string{"text/html"}, []string{language}, "", "")
				if b.Cached() > limit || get(a, "Content-Language") != language || len(a.Body) == 0 {
					t.Fatalf("%d bytes cached, limit %d; %s for %s", b.Cached(), limit, get(a, "Content-Language"), language)
				}
			}
		}
	}
}

func TestASetIsSharedByManyRequests(t *testing.T) {
	b := newSet(t, linked, everyKind...)
	b.SetLimit(64 << 10)
	var requests sync.WaitGroup
	for i := range 8 {
		requests.Go(func() {
			for j := range 200 {
				d := everyKind[(i+j)%len(everyKind)]
				language := []string{"en", "fr", "ar", "ja", "xx"}[j%5]
				if a := b.For(d, 0, []string{"text/html"}, []string{language}, "", ""); len(a.Body) == 0 {
					t.Error("an empty notice")
				}
			}
		})
	}
	requests.Wait()
}

func TestAnUnknownDecisionIsRefusedAllTheSame(t *testing.T) {
	b := newSet(t, linked, withdrawn)
	a := b.For(anonymous, 0, []string{"text/html"}, []string{"fr"}, "", "")
	if a.Status != 451 || get(a, "Content-Language") != "fr" || len(a.Body) == 0 {
		t.Error(wire(a))
	}
}

func TestDecisionsToForwardNeedNoNotice(t *testing.T) {
	forward := &policy.Decision{ID: 9, Action: policy.Forward}
	notice.NewSet([]*policy.Decision{forward}, func(policy.Decision) policy.Notice {
		t.Error("asked for the notice of a decision to forward")
		return policy.Notice{}
	}, nil, nil)
}

// Issue 11, 2: a notice names only what isn't refused.
func TestANoticeNamesNoLinkThatIsRefused(t *testing.T) {
	b := newSet(t, everyLink, everyKind...)
	for _, accept := range []string{"text/html", "application/json", "text/plain"} {
		everything := string(b.For(windDown, 0, []string{accept}, []string{"en"}, "", "").Body)
		for _, address := range []string{everyLink.Appeal, everyLink.Export, everyLink.SignIn, everyLink.DeleteAccount, everyLink.Refunds} {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			hidden := b.Hide(windDown, policy.RestPartly, func(host, path string) bool { return host == u.Hostname() && path == u.Path })
			got := string(b.For(windDown, hidden, []string{accept}, []string{"en"}, "", "").Body)
			if !strings.Contains(everything, u.Path) || strings.Contains(got, u.Path) {
				t.Errorf("%s, where %s is refused:\n%s", accept, address, got)
			}
		}
		none := b.Hide(windDown, policy.RestPartly, func(string, string) bool { return true })
		got := string(b.For(windDown, none, []string{accept}, []string{"en"}, "", "").Body)
		if strings.Contains(got, "app.example.org") || strings.Contains(got, "What still works") || strings.Contains(got, "please tell us") {
			t.Errorf("%s, where all is refused:\n%s", accept, got)
		}
	}
}

// Issue 11, 7: dates are those of the place: by the zone of the notice, else of the country.
func TestNoticesGiveDatesOfThePlace(t *testing.T) {
	midnight := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		zone  string
		since time.Time
		want  string
	}{
		{"", midnight, "1 December 2026"},
		{"", midnight.Add(-time.Hour), "1 December 2026"}, // in Paris
		{"America/New_York", midnight, "30 November 2026"},
		{"Nowhere", midnight, "1 December 2026"},
		{"America/New_York", midnight.In(time.FixedZone("", 3600)), "1 December 2026"}, // as it was written
	} {
		d := policy.Decision{Jurisdiction: "FR", Phase: policy.Withdrawn, Action: policy.Refuse, Since: test.since, Class: policy.Other}
		page := string(newSet(t, policy.Notice{Zone: test.zone}, &d).For(&d, 0, []string{"text/plain"}, []string{"en"}, "", "").Body)
		if !strings.Contains(page, test.want) {
			t.Errorf("since %s in the zone %q, it has no %s:\n%s", test.since, test.zone, test.want, page)
		}
	}
}
