package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// outcomes asks for the front page from each of the places, and returns what
// came of it: "served" or "451".
func outcomes(g *gate, c *http.Client, places map[string]string) map[string]string {
	g.t.Helper()
	got := make(map[string]string)
	for name, address := range places {
		a := g.request(c, "/", address)
		switch a.status {
		case http.StatusOK:
			got[name] = strings.TrimSpace(a.body)
		default:
			got[name] = http.StatusText(a.status)
		}
	}
	return got
}

const refusal = "Unavailable For Legal Reasons"

func TestAWithdrawnStateOfACountryIsRefusedAndTheRestIsServed(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {US-MS: withdrawn}\n"})
	over(t, func(t *testing.T, major int) {
		got := outcomes(g, g.client(major), map[string]string{
			"Mississippi": mississippi, "California": california, "somewhere in the US": america, "France": france,
		})
		want := map[string]string{
			"Mississippi": refusal, "California": "served", "somewhere in the US": "served", "France": "served",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestTerritoriesGoWithTheirCountryIfThePolicySaysSo(t *testing.T) {
	places := map[string]string{"France": france, "Paris": paris, "Réunion": reunion, "Guadeloupe": guadeloupe, "Germany": germany}
	for name, test := range map[string]struct {
		entry string
		want  map[string]string
	}{
		"with territories": {"{phase: withdrawn, territories: true}", map[string]string{
			"France": refusal, "Paris": refusal, "Réunion": refusal, "Guadeloupe": refusal, "Germany": "served",
		}},
		"without": {"withdrawn", map[string]string{
			"France": refusal, "Paris": refusal, "Réunion": "served", "Guadeloupe": "served", "Germany": "served",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: "version: 1\njurisdictions:\n  FR: " + test.entry + "\n"})
			if d := cmp.Diff(test.want, outcomes(g, g.client(1), places)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAMemberWithAnEntryOfItsOwnIsServedWhileItsGroupIsWithdrawn(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {EU: withdrawn, IE: open}\n"})
	got := outcomes(g, g.client(2), map[string]string{"Ireland": ireland, "France": france, "Germany": germany, "America": america})
	want := map[string]string{"Ireland": "served", "France": refusal, "Germany": refusal, "America": "served"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAPlaceThatTwoCountriesClaimGetsWhatExplainSays(t *testing.T) {
	const text = "version: 1\njurisdictions: {RU: withdrawn, UA-43: closed-to-new}\nroutes: {sign-up: [/signup]}\n"
	g := start(t, setup{policy: text})
	p, err := document.Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Compile(p, nil, time.Now())
	for name, test := range map[string]struct {
		address string
		place   policy.Place
		entry   policy.Code
	}{
		"Russia":  {russia, policy.Place{Country: "RU"}, "RU"},
		"Crimea":  {crimea, policy.Place{Country: "UA", Subdivisions: [2]policy.Code{"UA-43"}}, "UA-43"},
		"Ukraine": {ukraine, policy.Place{Country: "UA"}, policy.Default},
	} {
		for _, path := range []string{"/", "/signup"} {
			x := s.Explain(test.place, "GET", host, path)
			if x.Decision.Entry != test.entry {
				t.Errorf("%s: explain says that %s governs, want %s", name, x.Decision.Entry, test.entry)
			}
			want := http.StatusOK
			if x.Decision.Action == policy.Refuse {
				want = http.StatusUnavailableForLegalReasons
			}
			if got := g.request(g.client(1), path, test.address); got.status != want {
				t.Errorf("%s gets %d for %s; explain says %s", name, got.status, path, x.Decision.Action)
			}
		}
	}
}

const announced = `
version: 1
jurisdictions:
  FR:
    schedule:
      - {from: 2026-10-01T00:00:00Z, phase: announced}
      - {from: 2099-12-01T00:00:00Z, phase: withdrawn}
`

func TestTheAppIsToldWhereTheClientIsAndWhatItsMarketGets(t *testing.T) {
	g := start(t, setup{policy: announced})
	over(t, func(t *testing.T, major int) {
		for from, want := range map[string][]string{
			france:  {"FR", "announced", france},
			paris:   {"FR", "announced", paris},
			germany: {"DE", "open", germany},
			nowhere: {"unlocated", "open", nowhere},
			"":      {"private", "open", "127.0.0.1"},
		} {
			g.app.asked()
			g.request(g.client(major), "/", from)
			seen := g.app.asked()
			if len(seen) != 1 {
				t.Fatalf("the app saw %d requests", len(seen))
			}
			h := seen[0].header
			got := []string{h.Get("Market-Jurisdiction"), h.Get("Market-Phase"), h.Get("X-Forwarded-For")}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("from %q:\n%s", from, d)
			}
			if h.Get("X-Forwarded-Proto") != "https" || h.Get("X-Forwarded-Host") != host || h.Get("X-Request-Id") == "" {
				t.Errorf("from %q: the app saw %v", from, h)
			}
		}
	})
}

func TestClientsOfAnAnnouncedMarketAreToldOfItsEnd(t *testing.T) {
	g := start(t, setup{policy: announced})
	over(t, func(t *testing.T, major int) {
		h := g.request(g.client(major), "/", france).header
		got := map[string]string{"Sunset": h.Get("Sunset"), "Deprecation": h.Get("Deprecation"), "Link": h.Get("Link")}
		want := map[string]string{
			"Sunset":      "Tue, 01 Dec 2099 00:00:00 GMT",
			"Deprecation": "@1790812800",
			"Link":        `</.well-known/market-status>; rel="sunset"`,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		h = g.request(g.client(major), "/", germany).header
		for name := range want {
			if h.Get(name) != "" {
				t.Errorf("a client of an open market gets %s: %s", name, h.Get(name))
			}
		}
	})
}

func TestAPolicyThatObservesRefusesNobodyButCountsWhomItWould(t *testing.T) {
	g := start(t, setup{policy: "version: 1\nmode: observe\njurisdictions: {FR: withdrawn}\n"})
	if a := g.request(g.client(1), "/", france); a.status != http.StatusOK {
		t.Errorf("it answers %d", a.status)
	}
	if n := g.metric(`exitgate_decisions_total{action="would-refuse",jurisdiction="FR",phase="withdrawn",reason="entry"}`); n != 1 {
		t.Errorf("counted %v times", n)
	}
	if n := g.sum("exitgate_decisions_total", `action="refuse"`); n != 0 {
		t.Errorf("counted %v refusals", n)
	}
}

func TestAPolicyThatObservesTellsNeitherTheAppNorClients(t *testing.T) {
	g := start(t, setup{policy: strings.Replace(announced, "version: 1", "version: 1\nmode: observe", 1)})
	a := g.request(g.client(1), "/", france)
	if h := a.header.Get("Sunset") + a.header.Get("Deprecation") + a.header.Get("Link"); h != "" {
		t.Errorf("the client is told %q", h)
	}
	if h := g.app.asked()[0].header; h.Get("Market-Jurisdiction") != "FR" || h.Get("Market-Phase") != "open" {
		t.Errorf("the app is told %s, %s", h.Get("Market-Jurisdiction"), h.Get("Market-Phase"))
	}
	if status := g.request(g.client(1), "/.well-known/market-status", france); strings.Contains(status.body, "FR") {
		t.Errorf("the public is told %s", status.body)
	}
}

func TestEachDecisionIsCountedOnceByWhatCameOfIt(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {US-MS: withdrawn, EU: closed-to-new}\nroutes: {sign-up: [POST /signup]}\n"})
	c := g.client(2)
	for range 3 {
		g.request(c, "/", mississippi)
	}
	for range 2 {
		g.request(c, "POST /signup", germany)
	}
	g.request(c, "/", germany)
	g.request(c, "/", nowhere)
	g.request(c, "/", "")
	samples := g.samples()
	for name, want := range map[string]float64{
		`exitgate_decisions_total{action="refuse",jurisdiction="US-MS",phase="withdrawn",reason="entry"}`:   3,
		`exitgate_decisions_total{action="refuse",jurisdiction="DE",phase="closed-to-new",reason="group"}`:  2,
		`exitgate_decisions_total{action="forward",jurisdiction="DE",phase="closed-to-new",reason="group"}`: 1,
		`exitgate_decisions_total{action="forward",jurisdiction="unlocated",phase="open",reason="default"}`: 1,
		`exitgate_decisions_total{action="forward",jurisdiction="private",phase="open",reason="default"}`:   1,
		`exitgate_geo_lookups_total{result="located"}`:                                                      6,
		`exitgate_geo_lookups_total{result="unlocated"}`:                                                    1,
		`exitgate_geo_lookups_total{result="private"}`:                                                      1,
		`exitgate_upstream_requests_total{code="200",upstream="` + g.app.URL + `"}`:                         3,
		`exitgate_request_duration_seconds_count{action="refuse",app="app.example",code="4xx"}`:             5,
		`exitgate_request_duration_seconds_count{action="forward",app="app.example",code="2xx"}`:            3,
		`exitgate_request_duration_seconds_count{action="forward",app="app.example",code="5xx"}`:            0,
		`exitgate_forwarded_withdrawn_total`:                                                                0,
		`exitgate_jurisdiction_phase{jurisdiction="EU",phase="closed-to-new"}`:                              1,
		`exitgate_jurisdiction_phase{jurisdiction="EU",phase="open"}`:                                       0,
	} {
		if samples[name] != want {
			t.Errorf("%s is %v, want %v", name, samples[name], want)
		}
	}
	if n := g.sum("exitgate_decisions_total"); n != 8 {
		t.Errorf("8 requests were counted %v times", n)
	}
}

func TestARefusalSaysWhatTheClientReads(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}\nnotices: {default: {blocked-by: https://example.org/why}}\n"})
	over(t, func(t *testing.T, major int) {
		for accept, want := range map[string]string{
			"text/html":        "text/html; charset=utf-8",
			"application/json": "application/problem+json",
			"text/plain":       "text/plain; charset=utf-8",
		} {
			r, _ := http.NewRequest("GET", "https://"+host+"/", nil)
			r.Header = http.Header{"Accept": {accept}, "X-Forwarded-For": {france}}
			res, err := g.client(major).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			a, err := read(res)
			if err != nil {
				t.Fatal(err)
			}
			if a.status != 451 || a.header.Get("Content-Type") != want || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s gets %d with %v", accept, a.status, a.header)
			}
			if a.header.Get("Link") != `<https://example.org/why>; rel="blocked-by"` || a.header.Get("Retry-After") != "" {
				t.Errorf("%s gets %v", accept, a.header)
			}
			if !strings.Contains(a.header.Get("Content-Language"), "fr") || a.body == "" {
				t.Errorf("a client from France who names no language gets %q: %s", a.header.Get("Content-Language"), a.body)
			}
		}
		if a := g.request(g.client(major), "HEAD /", france); a.status != 451 || a.body != "" || a.header.Get("Content-Length") == "" {
			t.Errorf("HEAD gets %d with %q and %v", a.status, a.body, a.header)
		}
	})
	if seen := g.app.asked(); len(seen) > 0 {
		t.Errorf("the app saw %v", seen)
	}
}

func TestTheMarketStatusIsServedEverywhereByTheGatewayItself(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn, unlocated: withdrawn}\n"})
	over(t, func(t *testing.T, major int) {
		for _, from := range []string{france, germany, nowhere, ""} {
			a := g.request(g.client(major), policy.StatusPath, from)
			var status struct {
				Default string
				Markets []struct{ Jurisdiction, Phase string }
			}
			if err := json.Unmarshal([]byte(a.body), &status); err != nil || a.status != http.StatusOK {
				t.Fatalf("from %q: %d %v\n%s", from, a.status, err, a.body)
			}
			if len(status.Markets) != 2 || status.Markets[0].Jurisdiction != "FR" || status.Markets[0].Phase != "withdrawn" {
				t.Errorf("from %q: %+v", from, status)
			}
		}
	})
	if seen := g.app.asked(); len(seen) > 0 {
		t.Errorf("the app saw %v", seen)
	}
}
