package gateway_test

import (
	"net/http"
	"strings"
	"testing"
)

const elsewhere = "https://page.example"

// crossOrigin makes a request as a browser does for a page from elsewhere.
func (g *gate) crossOrigin(t *testing.T, c *http.Client, line, from string, header http.Header) answer {
	t.Helper()
	method, path, _ := strings.Cut(line, " ")
	r, err := http.NewRequest(method, "https://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	r.Header.Set("Origin", elsewhere)
	r.Header.Set("X-Forwarded-For", from)
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// C12: a preflight is decided by the request that it is about.
func TestAPreflightIsDecidedByTheRequestThatItIsAbout(t *testing.T) {
	g := start(t, setup{
		policy: "version: 1\nroutes: {export: [GET /export, DELETE /account], sign-up: [POST /signup]}\njurisdictions: {FR: wind-down, DE: closed-to-new}\n",
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://app.example")
			w.WriteHeader(http.StatusAccepted)
		}),
	})
	over(t, func(t *testing.T, major int) {
		for _, c := range []struct {
			path, method, from string
			forwarded          bool
		}{
			{"/export", "GET", france, true}, // which was refused, as OPTIONS is of no class
			{"/account", "DELETE", france, true},
			{"/account", "delete", france, false}, // in doubt
			{"/account", "PUT", france, false},
			{"/other", "GET", france, false},
			{"/signup", "POST", germany, false},
			{"/signup", "PUT", germany, true},
			{"/signup", "POST", america, true},
		} {
			a := g.crossOrigin(t, g.client(major), "OPTIONS "+c.path, c.from, http.Header{
				"Access-Control-Request-Method": {c.method}, "Access-Control-Request-Headers": {"content-type,x-csrf"},
			})
			seen := g.app.asked()
			if forwarded := len(seen) == 1; forwarded != c.forwarded {
				t.Errorf("%+v: the app saw %v", c, seen)
			}
			switch {
			case c.forwarded:
				if a.status != http.StatusAccepted || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" || seen[0].method != "OPTIONS" {
					t.Errorf("%+v gets %d, %v", c, a.status, a.header)
				}
			case c.method == "delete":
				if a.status != 400 {
					t.Errorf("%+v gets %d", c, a.status)
				}
			default:
				h := a.header
				if a.status != 204 || h.Get("Access-Control-Allow-Origin") != elsewhere || h.Get("Access-Control-Allow-Credentials") != "true" ||
					h.Get("Access-Control-Allow-Methods") != c.method || h.Get("Access-Control-Allow-Headers") != "content-type,x-csrf" ||
					h.Get("Access-Control-Max-Age") != "0" || !strings.Contains(h.Get("Vary"), "Origin") || h.Get("Cache-Control") != "no-store" {
					t.Errorf("%+v gets %d, %v", c, a.status, h)
				}
			}
		}
		// What isn't a preflight is decided as what it is.
		for _, header := range []http.Header{nil, {"Access-Control-Request-Method": {"GET", "GET"}}, {"Access-Control-Request-Method": {"GE T"}}} {
			if a := g.crossOrigin(t, g.client(major), "OPTIONS /export", france, header); a.status != 451 {
				t.Errorf("OPTIONS with %v gets %d", header, a.status)
			}
		}
		if a := g.crossOrigin(t, g.client(major), "POST /other", france, http.Header{"Access-Control-Request-Method": {"GET"}}); a.status != 451 {
			t.Errorf("POST gets %d", a.status)
		}
		g.untouched(t)
	})
}

// C12: a page from elsewhere can read a refusal.
func TestAPageFromElsewhereCanReadARefusal(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}\nnotices: {default: {blocked-by: 'https://example.org/'}}\n"})
	over(t, func(t *testing.T, major int) {
		h := g.crossOrigin(t, g.client(major), "POST /", france, nil).header
		if h.Get("Access-Control-Allow-Origin") != elsewhere || h.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(h.Get("Access-Control-Expose-Headers"), "Link") || !strings.Contains(h.Get("Vary"), "Origin") || h.Get("Link") == "" {
			t.Errorf("it gets %v", h)
		}
		if h := g.request(g.client(major), "/", france).header; h.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(h.Get("Vary"), "Origin") {
			t.Errorf("without Origin it gets %v", h)
		}
		if h := g.crossOrigin(t, g.client(major), "POST /", america, nil).header; h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("what is served has %v", h)
		}
	})
}

// C12: a page from elsewhere can read why its request was rejected, but nothing of
// a host that isn't served here, and no rejection is a permission.
func TestAPageFromElsewhereCanReadARejection(t *testing.T) {
	g := start(t, setup{policy: "version: 1\nroutes: {sign-up: [POST /signup]}\njurisdictions: {DE: closed-to-new}\n"})
	over(t, func(t *testing.T, major int) {
		a := g.crossOrigin(t, g.client(major), "POST /x/../signup", germany, nil)
		if h := a.header; a.status != 400 || h.Get("Access-Control-Allow-Origin") != elsewhere || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
			t.Errorf("it gets %d, %v", a.status, h)
		}
		a = g.crossOrigin(t, g.client(major), "OPTIONS /x/../signup", germany, http.Header{"Access-Control-Request-Method": {"POST"}})
		if a.status != 400 || a.header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("its preflight gets %d, %v", a.status, a.header)
		}
	})
	a := g.raw(lines("GET / HTTP/1.1", "Host: other.example", "Origin: "+elsewhere, "X-Forwarded-For: "+germany))
	if a.status != 421 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a host that isn't served here gets %d, %v", a.status, a.header)
	}
	if a := g.raw(lines("GET /x/../signup HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+germany)); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without Origin it gets %v", a.header)
	}
}
