package gateway_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
)

// cacheable answers with the fields that the query names, as /?Cache-Control=….
var cacheable = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	for name, values := range r.URL.Query() {
		w.Header()[name] = values
	}
	io.WriteString(w, "served to "+r.Header.Get("Market-Jurisdiction"))
})

// Issue 10, C13: a shared cache keeps nothing that somebody would be refused, and
// none keeps anything beyond a step that will refuse it.
func TestAnswersThatAreRefusedSomewhereAreNotShared(t *testing.T) {
	const app = "?Cache-Control=public,+max-age=86400&Cdn-Cache-Control=max-age=86400"
	const untouched, private = "public, max-age=86400", "max-age=86400, private"
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	secret := "{schedule: [{from: " + soon + ", phase: withdrawn}]}"
	schedule := "{schedule: [{from: 2026-01-01T00:00:00Z, phase: announced}, {from: " + soon + ", phase: withdrawn}]}"
	const long = "?Cache-Control=public,+max-age=31536000&Cdn-Cache-Control=max-age=31536000"
	const forADay = "public, s-maxage=86400, max-age=86400, must-revalidate"
	for _, test := range []struct{ name, policy, line, from, want string }{
		{"nothing is restricted", "", "/" + app, germany, untouched},
		{"a market is withdrawn", "jurisdictions: {FR: withdrawn}", "/" + app, germany, private},
		{"a HEAD", "jurisdictions: {FR: withdrawn}", "HEAD /" + app, germany, private},
		{"the policy only observes", "mode: observe\njurisdictions: {FR: withdrawn}", "/" + app, germany, untouched},
		{"a market is announced", "jurisdictions: {FR: announced}", "/" + app, germany, untouched},
		{"all are withdrawn by default", "jurisdictions: {default: withdrawn, DE: open}", "/" + app, germany, private},
		{"those who hide are refused", "jurisdictions: {anonymous: withdrawn}", "/" + app, germany, private},
		{"the class is essential", "routes: {essential: [/legal/]}\njurisdictions: {FR: withdrawn}", "/legal/" + app, germany, untouched},
		{"another class is refused", "routes: {news: [/news/]}\njurisdictions: {FR: {features: {news: withdrawn}}}", "/" + app, germany, untouched},
		{"the class is refused", "routes: {news: [/news/]}\njurisdictions: {FR: {features: {news: withdrawn}}}", "/news/" + app, germany, private},
		{"another reading is of the class", "routes: {news: [/news/]}\njurisdictions: {FR: {features: {news: withdrawn}}}", "/x/..%2fnews/" + app, germany, private},
		{"another method reads the same", "routes: {news: [GET /news/]}\njurisdictions: {FR: {features: {news: withdrawn}}}", "POST /news/" + app, germany, private},
		{"another class is refused, and it is fresh for a year", "routes: {news: [/news/]}\njurisdictions: {FR: {features: {news: withdrawn}}}", "/" + long, germany, forADay},
		{"the class is essential, and it is fresh for a year", "routes: {essential: [/legal/]}\njurisdictions: {FR: withdrawn}", "/legal/" + long, germany, "public, max-age=31536000"},
		{"a market is announced, and it is fresh for a year", "jurisdictions: {FR: announced}", "/" + long, germany, "public, max-age=31536000"},
		{"it will be refused elsewhere, which isn't public", "jurisdictions: {FR: " + secret + "}", "/" + long, germany, "public, max-age=31536000"},
		{"it will be refused here, which isn't public", "jurisdictions: {FR: " + secret + "}", "/" + long, france, "public, max-age=31536000"},
		{"it will be refused elsewhere", "jurisdictions: {FR: " + schedule + "}", "/" + app, germany, "public, max-age=86400, s-maxage=N"},
		{"it will be refused here", "jurisdictions: {FR: " + schedule + "}", "/" + app, france, "public, s-maxage=N, max-age=N, must-revalidate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := start(t, setup{policy: "version: 1\n" + test.policy, handler: cacheable})
			got := g.request(g.client(1), test.line, test.from)
			is := replaceSeconds(got.header.Get("Cache-Control"))
			if got.status != 200 || is != test.want {
				t.Errorf("%s from %s: %d, Cache-Control %q, want %q", test.line, test.from, got.status, is, test.want)
			}
			want := "no-store"
			switch {
			case test.want == untouched, test.want == forADay:
				want = "max-age=86400"
			case test.want == "public, max-age=31536000":
				want = "max-age=31536000"
			case strings.Contains(test.want, "N"):
				want = "max-age=N"
			}
			if cdn := got.header.Get("CDN-Cache-Control"); replaceSeconds(cdn) != want {
				t.Errorf("CDN-Cache-Control is %q, want %q", cdn, want)
			}
		})
	}
}

// replaceSeconds writes N for what is left until the step: how much depends on the
// machine.
func replaceSeconds(control string) string {
	directives := strings.Split(control, ", ")
	for i, d := range directives {
		if name, n, ok := strings.Cut(d, "="); ok && n > "30" && len(n) == 4 {
			directives[i] = name + "=N"
		}
	}
	return strings.Join(directives, ", ")
}

// What a request calls itself is no way past it.
func TestAnswersToRequestsOfAnyKindAreNotShared(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}", handler: cacheable})
	for name, fields := range map[string]http.Header{
		"gRPC":            {"Content-Type": {"application/grpc"}},
		"a WebSocket":     {"Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
		"a part":          {"Range": {"bytes=0-1"}},
		"another method":  {"X-Http-Method-Override": {"PUT"}},
		"an event stream": {"Accept": {"text/event-stream"}},
	} {
		r, _ := http.NewRequest("GET", "https://"+host+"/?Cache-Control=public,+max-age=60", nil)
		r.Header = fields
		r.Header.Set("X-Forwarded-For", germany)
		res, err := g.client(1).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := read(res); err != nil || a.status != 200 || a.header.Get("Cache-Control") != "max-age=60, private" {
			t.Errorf("%s: %d, %q, %v", name, a.status, a.header["Cache-Control"], err)
		}
	}
}

func TestAServiceWithoutRestrictionsKeepsItsCacheFields(t *testing.T) {
	over(t, func(t *testing.T, major int) {
		g := start(t, setup{handler: cacheable})
		sent := map[string]string{
			"Cache-Control": `Public ,max-age = 5,s-maxage=99999999999999999999, private="x`, "Expires": "tomorrow", "Vary": "accept", "Surrogate-Control": "a", "X-Accel-Expires": "@9",
			"Age": "7", "Pragma": "x", "Etag": `"1"`,
		}
		query := make([]string, 0, len(sent))
		for name, value := range sent {
			query = append(query, name+"="+strings.NewReplacer(" ", "+", ",", "%2c", `"`, "%22").Replace(value))
		}
		got := g.request(g.client(major), "/?"+strings.Join(query, "&"), germany)
		for name, value := range sent {
			if is := got.header[name]; !slices.Equal(is, []string{value}) {
				t.Errorf("%s is %q, want %q", name, is, value)
			}
		}
		if _, there := got.header["Cdn-Cache-Control"]; there {
			t.Errorf("it has %v", got.header)
		}
	})
}

// A cache that keeps places apart may keep an answer, as far as its key goes.
func TestCachesThatKeyOnThePlace(t *testing.T) {
	g := start(t, setup{
		policy:    "version: 1\njurisdictions: {FR: withdrawn, US-MS: withdrawn}",
		handler:   cacheable,
		configure: func(c *config.Config) { c.Caches.KeyHeader = "x-country" },
	})
	ask := func(from string, keys ...string) http.Header {
		t.Helper()
		r, _ := http.NewRequest("GET", "https://"+host+"/?Cache-Control=public,+max-age=60", nil)
		r.Header["X-Country"] = keys
		r.Header.Set("X-Forwarded-For", from)
		res, err := g.client(1).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(res)
		if err != nil || a.status != 200 {
			t.Fatalf("%d, %v", a.status, err)
		}
		return a.header
	}
	for _, test := range []struct {
		name, from string
		keys       []string
		shared     bool
	}{
		{"the client's country", germany, []string{"DE"}, true},
		{"no key", germany, nil, false},
		{"an empty key", germany, []string{""}, false},
		{"another country", germany, []string{"IE"}, false},
		{"two keys", germany, []string{"DE", "DE"}, false},
		{"a key that is no code", germany, []string{"Germany"}, false},
		{"a country of which a part is withdrawn", california, []string{"US"}, false},
		{"a part of it that is served", california, []string{"US-CA"}, true},
		{"a part that the client isn't known to be in", america, []string{"US-CA"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := ask(test.from, test.keys...)
			if is := h.Get("Cache-Control") == "public, max-age=60" && h.Get("Vary") == "X-Country"; is != test.shared {
				t.Errorf("it gets %v", h)
			}
		})
	}
	if got := g.metric("exitgate_cache_keys_other_total"); got != 5 {
		t.Errorf("%v keys were of another place", got)
	}
}
