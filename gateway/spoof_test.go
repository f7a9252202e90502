package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/exitgate/exitgate/gateway/config"
)

// spoofed is the policy of this file: France gets nothing, Germany no new
// users, and who comes from a private network nothing either, so that a client
// who is taken for its proxy is refused.
const spoofed = `
version: 1
routes: {sign-up: [/signup, /a/b/signup]}
jurisdictions: {FR: withdrawn, DE: closed-to-new, private: withdrawn}
`

// withoutTrustedProxies is a setup in which nobody's word is taken.
func withoutTrustedProxies() setup {
	return setup{policy: spoofed, configure: func(c *config.Config) { c.TrustedProxies = nil }}
}

// untouched fails the test if the app saw anything.
func (g *gate) untouched(t *testing.T) {
	t.Helper()
	for _, s := range g.app.asked() {
		t.Errorf("the app saw %s %s for host %s, with body %q", s.method, s.target, s.host, s.body)
	}
}

// lines makes a request of header lines.
func lines(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func TestXForwardedForFromAPeerThatIsNoTrustedProxyIsNotRead(t *testing.T) {
	g := start(t, withoutTrustedProxies())
	over(t, func(t *testing.T, major int) {
		for _, claim := range []string{germany, america, "garbage", germany + ", " + america} {
			if a := g.request(g.client(major), "/", claim); a.status != 451 {
				t.Errorf("X-Forwarded-For: %s gets %d", claim, a.status)
			}
		}
	})
	g.untouched(t)
}

func TestAnUntrustedPeersClaimsDontReachTheApp(t *testing.T) {
	g := start(t, setup{policy: "version: 1\n", configure: func(c *config.Config) { c.TrustedProxies = nil }})
	over(t, func(t *testing.T, major int) {
		r, _ := http.NewRequest("GET", "https://"+host+"/", nil)
		r.Header = http.Header{
			"X-Forwarded-For": {germany}, "Forwarded": {"for=" + germany}, "X-Real-Ip": {germany}, "Cf-Connecting-Ip": {germany},
			"Market-Jurisdiction": {"DE"}, "Market_Jurisdiction": {"DE"}, "Market.Phase": {"open"}, "MARKET_PHASE": {"open"},
			"X-Forwarded-Host": {"evil.example"}, "X_Forwarded_For": {germany}, "X-Request-Id": {"mine"},
		}
		res, err := g.client(major).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read(res); err != nil {
			t.Fatal(err)
		}
		for _, s := range g.app.asked() {
			for name, values := range s.header {
				for _, v := range values {
					if strings.Contains(v, germany) || strings.Contains(v, "evil") || v == "mine" || v == "DE" {
						t.Errorf("the app saw %s: %s", name, v)
					}
				}
			}
			if got := s.header["Market-Jurisdiction"]; len(got) != 1 || got[0] != "private" {
				t.Errorf("the app saw Market-Jurisdiction: %q", got)
			}
		}
	})
}

func TestOfSeveralForwardingLinesOnlyWhatTheTrustedProxyAddedCounts(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	for name, test := range map[string]struct {
		header []string
		status int
	}{
		"what the client wrote stands to the left":     {[]string{"X-Forwarded-For: " + germany + ", " + france}, 451},
		"on a line before":                             {[]string{"X-Forwarded-For: " + germany, "X-Forwarded-For: " + france}, 451},
		"whichever case":                               {[]string{"x-forwarded-for: " + germany, "X-FORWARDED-FOR: " + france}, 451},
		"trusted proxies on the way are passed over":   {[]string{"X-Forwarded-For: " + germany + ", " + france + ", 127.0.0.9"}, 451},
		"an honest one is served":                      {[]string{"X-Forwarded-For: " + france + ", " + germany}, 200},
		"Forwarded with a quoted IPv6 address":         {[]string{"X-Forwarded-For: 2a01:cb00::7", `Forwarded: for="[2a01:cb00::7]"`}, 451},
		"Forwarded that names another client":          {[]string{"X-Forwarded-For: " + germany, "Forwarded: for=" + france}, 400},
		"Forwarded alone, where X-Forwarded-For is it": {[]string{"Forwarded: for=" + germany}, 400},
		"IPv4 in IPv6":                                 {[]string{"X-Forwarded-For: ::ffff:" + france}, 451},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.raw(lines(append([]string{"GET / HTTP/1.1", "Host: " + host}, test.header...)...))
			if a.status != test.status {
				t.Errorf("it gets %d, want %d", a.status, test.status)
			}
			if a.status == 200 {
				if seen := g.app.asked(); len(seen) != 1 || seen[0].header.Get("X-Forwarded-For") != germany {
					t.Errorf("the app saw %v", seen)
				}
			}
			g.untouched(t)
		})
	}
}

func TestGarbageFromATrustedProxyIsRefusedAndNotTakenForTheProxy(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}\n"}) // private is open
	for _, value := range []string{
		"", ",", germany + ",", "," + " ", "unknown", "garbage", "5.1.0", "5.1.0.7.1", "05.1.0.7", "<script>",
		germany + " " + france, "for=" + germany, `"` + germany, "2a02:8100::7%0;", "5.1.0.7:port", "[2a02:8100::7", strings.Repeat("9", 9000),
	} {
		a := g.raw(lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+value))
		if a.status != 400 {
			t.Errorf("X-Forwarded-For: %.40q gets %d", value, a.status)
		}
	}
	g.untouched(t)
	if n := g.sum("exitgate_decisions_total"); n != 0 {
		t.Errorf("%v of them were decided", n)
	}
}

func TestPortsAndZonesInXForwardedForDontChangeWhoItIs(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	for _, value := range []string{france + ":443", "[2a01:cb00::7]:443", "[2a01:cb00::7]", "2a01:cb00::7", " " + france + "\t"} {
		if a := g.raw(lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+value)); a.status != 451 {
			t.Errorf("X-Forwarded-For: %q gets %d: %s", value, a.status, a.body)
		}
	}
	// A zone names an interface of one machine: no client far away has one.
	if a := g.raw(lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: 2a01:cb00::7%eth0")); a.status != 400 && a.status != 451 {
		t.Errorf("an address with a zone gets %d", a.status)
	}
	g.untouched(t)
}

func TestAPROXYHeaderThatNobodyAskedForEndsTheConnection(t *testing.T) {
	g := start(t, withoutTrustedProxies())
	for name, header := range map[string]string{
		"version 1":            "PROXY TCP4 " + germany + " 127.0.0.1 443 443\r\n",
		"version 2":            "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x05\x01\x00\x07\x7f\x00\x00\x01\x01\xbb\x01\xbb",
		"version 2, and local": "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := net.Dial("tcp", g.at.HTTPS)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			raw.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(raw, header); err != nil {
				t.Fatal(err)
			}
			c := tls.Client(raw, g.tls)
			if err := c.Handshake(); err == nil {
				t.Error("the handshake went on")
			}
		})
	}
	g.untouched(t)
}

func TestAPROXYHeaderWithinTLSIsNoRequest(t *testing.T) {
	g := start(t, withoutTrustedProxies())
	if a := g.raw("PROXY TCP4 " + germany + " 127.0.0.1 443 443\r\n" + lines("GET / HTTP/1.1", "Host: "+host)); a.status != 400 {
		t.Errorf("it gets %d", a.status)
	}
	g.untouched(t)
}

func TestAClientsConnectionFieldDoesntRemoveWhatTheGatewaySays(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}\n"})
	for _, token := range []string{"Market-Jurisdiction", "market-phase", "X-Forwarded-For", "X-Forwarded-Host", "X-Request-Id", "close, Market-Jurisdiction, X-Forwarded-For"} {
		// For a client of a trusted proxy that passes Connection on.
		a := g.raw(lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+germany, "Market-Jurisdiction: FR", "Connection: "+token))
		if a.status != 200 {
			t.Fatalf("Connection: %s gets %d", token, a.status)
		}
		for _, s := range g.app.asked() {
			h := s.header
			if h.Get("Market-Jurisdiction") != "DE" || h.Get("Market-Phase") != "open" || h.Get("X-Forwarded-For") != germany ||
				h.Get("X-Forwarded-Host") != host || h.Get("X-Request-Id") == "" {
				t.Errorf("Connection: %s: the app saw %v", token, h)
			}
		}
		if a := g.raw(lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+france, "Connection: "+token)); a.status != 451 {
			t.Errorf("Connection: %s gets a client from France %d", token, a.status)
		}
		g.untouched(t)
	}
}

func TestAPathThatCanBeReadAsARefusedOneIsRefused(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	for _, target := range []string{
		"/signup", "/signup?x=1", "//signup", "/./signup", "/x/../signup", "/%2e%2e/signup", "/x/%2e%2e/signup", "/x/..%2fsignup",
		"/a/..;/signup", "/%73ignup", "/a%2fb%2fsignup", "/a//b/signup", "/a/b/signup/", "/signup;x=1", "/signup%00",
		"/signup#x", "/#/../signup", `/x\..\signup`, "/%5c..%5csignup", "http://" + host + "/signup", "https://" + host + "//signup",
	} {
		t.Run(target, func(t *testing.T) {
			a := g.raw(lines("POST "+target+" HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+germany, "Content-Length: 0"))
			switch a.status {
			case 400, 451:
				g.untouched(t)
			case 200:
				// Not ambiguous by the policy's rules: then the app must see it
				// as it was decided on.
				for _, s := range g.app.asked() {
					if s.target != target || s.header.Get("Market-Phase") != "closed-to-new" {
						t.Errorf("the app saw %s", s.target)
					}
				}
				if target != "/a/b/signup/" {
					t.Errorf("it is served")
				}
			default:
				t.Errorf("it gets %d", a.status)
			}
		})
	}
}

func TestAFieldThatOverridesTheMethodIsRefusedWhereThatChangesTheClass(t *testing.T) {
	g := start(t, setup{policy: "version: 1\nroutes: {sign-up: [POST /signup]}\njurisdictions: {DE: closed-to-new}\n"})
	for _, c := range []struct {
		line, override string
		status         int
	}{
		{"PUT /signup", "X-HTTP-Method-Override: POST", 400},
		{"PUT /signup", "X-Method-Override: post", 400},
		{"PUT /signup", "X-HTTP-Method: POST", 400},
		{"PUT /signup", "X-HTTP-Method-Override: PATCH", 200}, // of no class either
		{"POST /other", "X-HTTP-Method-Override: DELETE", 200},
		{"POST /signup", "X-HTTP-Method-Override: POST", 451},
		{"POST /signup", "X-HTTP-Method-Override: PUT", 400},
		// C9.
		{"post /signup", "X: y", 400},
		{"Post /other", "X: y", 200},
		{"PUT /signup", "X-HTTP-Method-Override: GET, post", 400},
		{"PUT /signup", "X-HTTP-Method-Override: post,GET", 400},
		{"PUT /signup", "X-HTTP-Method-Override:" + strings.Repeat("GET,", 100) + "POST", 400},
		{"PUT /signup", strings.Repeat("X-HTTP-Method-Override: PUT\r\n", 16) + "X-HTTP-Method-Override: POST", 400},
		{"PUT /signup", "X_HTTP_Method_Override: POST", 200}, // not forwarded
		{"PUT /signup", "X-HTTP_Method.Override: POST", 200},
		{"PUT /signup?_method=POST", "X: y", 400},
		{"PUT /signup?a=b;%5fmethod=p%6Fst", "X: y", 400},
		{"PUT /signup?_method=PATCH&_methods=POST&x_method=POST", "X: y", 200},
		{"POST //x/signup", "X: y", 400},
	} {
		t.Run(c.line+", "+c.override, func(t *testing.T) {
			a := g.raw(lines(c.line+" HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+germany, c.override, "Content-Length: 0"))
			if a.status != c.status {
				t.Errorf("it gets %d, not %d", a.status, c.status)
			}
			for _, s := range g.app.asked() {
				for name := range s.header {
					if strings.Contains(name, "_") {
						t.Errorf("the app saw %s", name)
					}
				}
			}
		})
	}
}

// C10: what can be read two ways is forwarded, byte for byte, where both are
// served.
func TestARequestThatIsServedByAllReadingsIsForwarded(t *testing.T) {
	const routes = "version: 1\nroutes: {sign-up: [POST /signup, /invite/], export: [/account/export, GET /api/export/, /login, /account/delete]}\n"
	for name, test := range map[string]struct {
		policy string
		want   map[string]int // by where the client is
	}{
		"no policy":           {"", map[string]int{germany: 200}},
		"no jurisdictions":    {routes, map[string]int{germany: 200}},
		"observe mode":        {routes + "mode: observe\njurisdictions: {FR: withdrawn, DE: wind-down}\n", map[string]int{germany: 200, france: 200}},
		"in an open market":   {routes + "jurisdictions: {FR: withdrawn}\n", map[string]int{germany: 200, france: 451}},
		"where one is served": {routes + "jurisdictions: {DE: wind-down, FR: closed-to-new}\n", map[string]int{germany: 400, france: 200, america: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, setup{policy: test.policy})
			for from, want := range test.want {
				for _, line := range []string{"GET /login;jsessionid=0A", "GET /x/../login", "GET //login", "GET /login%20", "get /api/export/"} {
					a := g.raw(lines(line+" HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+from))
					seen := g.app.asked()
					if a.status != want || (want == 200) != (len(seen) == 1) {
						t.Errorf("%s from %s gets %d, want %d; the app saw %v", line, from, a.status, want, seen)
					}
					if len(seen) == 1 && seen[0].method+" "+seen[0].target != line {
						t.Errorf("%s reaches the app as %s %s", line, seen[0].method, seen[0].target)
					}
				}
			}
		})
	}
}

func TestATargetThatIsNotAPathIsRefused(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	for line, want := range map[string]int{
		"GET /x y HTTP/1.1":                                400,
		"GET /x#fragment HTTP/1.1":                         400,
		"GET  / HTTP/1.1":                                  400,
		"GET * HTTP/1.1":                                   400,
		"OPTIONS * HTTP/1.1":                               400,
		"GET x HTTP/1.1":                                   400,
		"GET foo:bar HTTP/1.1":                             400,
		"GET ftp://app.example/ HTTP/1.1":                  400,
		"GET http://user:password@app.example/ HTTP/1.1":   400,
		"GET http:///x HTTP/1.1":                           400,
		"GET http://app.example%2e/ HTTP/1.1":              400,
		"GET http://app.example#/ HTTP/1.1":                400,
		"GET http://app.example\\@other.example/ HTTP/1.1": 400,
		"GET http://app.example/x#fragment HTTP/1.1":       400,
		"GET http:/app.example/ HTTP/1.1":                  400,
		"OPTIONS http://app.example HTTP/1.1":              400, // it stands for OPTIONS *
		"GET https://other.example/ HTTP/1.1":              421,
		"TRACE / HTTP/1.1":                                 405, // F: it would show the secret of the app
		"trace http://app.example/ HTTP/1.1":               405,
		"GET /\x01 HTTP/1.1":                               400,
		"GET /\x7f HTTP/1.1":                               400,
		"GET ? HTTP/1.1":                                   400,
		"CONNECT app.example:443 HTTP/1.1":                 405,
		"CONNECT / HTTP/1.1":                               405,
		"GE T / HTTP/1.1":                                  400,
		"G\x00ET / HTTP/1.1":                               400,
		"GET / HTTP/2.0":                                   505,
		"GET / HTTP/3":                                     400,
		"GET / FTP/1.1":                                    400,
	} {
		t.Run(line, func(t *testing.T) {
			a := g.raw(lines(line, "Host: "+host, "X-Forwarded-For: "+america))
			if a.status != want {
				t.Errorf("it gets %d, want %d: %s", a.status, want, a.body)
			}
			g.untouched(t)
		})
	}
}

// C9: RFC 9112 section 3.2.2: a server accepts the absolute form, and the host in it
// is the request's.
func TestOfATargetInAbsoluteFormTheHostCounts(t *testing.T) {
	g := start(t, setup{
		policy:    "version: 1\nroutes: {news: [news.example/], sign-up: [POST /signup]}\njurisdictions: {US: {phase: announced, features: {news: withdrawn, sign-up: withdrawn}}}\n",
		configure: func(c *config.Config) { c.Apps[0].Hosts = []string{host, "news.example"} },
	})
	for _, c := range []struct {
		line, field  string
		status       int
		host, target string // as the app gets them
	}{
		{"GET http://app.example/a%20b?x=%2F HTTP/1.1", host, 200, host, "/a%20b?x=%2F"},
		{"GET HTTPS://app.example//x HTTP/1.1", host, 200, host, "//x"},
		{"GET http://app.example HTTP/1.1", host, 200, host, "/"},
		{"GET http://app.example?x HTTP/1.1", host, 200, host, "/?x"},
		{"GET http://APP.example:8443/x HTTP/1.1", host, 200, "APP.example:8443", "/x"},
		{"GET http://app.example/x HTTP/1.1", "news.example", 200, host, "/x"},
		{"GET http://app.example/x HTTP/1.1", "elsewhere.example", 200, host, "/x"},
		{"GET http://app.example/x HTTP/1.0", "news.example", 200, host, "/x"},
		{"GET http://news.example/x HTTP/1.1", host, 451, "", ""},
		{"POST http://app.example/signup HTTP/1.1", "elsewhere.example", 451, "", ""},
		{"GET http://elsewhere.example/x HTTP/1.1", host, 421, "", ""},
		{"GET http://app.example/x HTTP/1.1", host + "\r\nHost: news.example", 400, "", ""},
	} {
		a := g.raw(lines(c.line, "Host: "+c.field, "X-Forwarded-For: "+america))
		seen := g.app.asked()
		if a.status != c.status || (c.status == 200) != (len(seen) == 1) {
			t.Errorf("%s with Host: %s gets %d, want %d; the app saw %v", c.line, c.field, a.status, c.status, seen)
		}
		if len(seen) == 1 && (seen[0].host != c.host || seen[0].target != c.target || seen[0].header.Get("X-Forwarded-Host") != c.host) {
			t.Errorf("%s with Host: %s reaches the app as %s at %s", c.line, c.field, seen[0].target, seen[0].host)
		}
	}
}

func TestTheAppSeesThePathByteForByteAsItWasDecidedOn(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	for _, target := range []string{"/", "/a%20b", "/a%2Db?x=%2F&y", "/ü", "/%C3%BC", "/a+b", "/a;b=c", "/?", "/a?b?c", "/~x/!$&'()*,=:@"} {
		a := g.raw(lines("GET "+target+" HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+america))
		seen := g.app.asked()
		if a.status != 200 || len(seen) != 1 || seen[0].target != target {
			t.Errorf("%s gets %d, and the app saw %v", target, a.status, seen)
		}
	}
}

func TestAHostThatIsNotServedIsMisdirected(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	for field, want := range map[string]int{
		"Host: " + host:                           200,
		"Host: APP.Example:8443":                  200,
		"Host: app.example.":                      200,
		"Host: other.example":                     421,
		"Host: x.app.example":                     421,
		"Host: 127.0.0.1":                         421,
		"Host: [::1]:443":                         421,
		"Host: ":                                  400,
		"Host: app.example:x":                     400,
		"Host: app.example/":                      400,
		"Host: app.example@evil.example":          400,
		"Host: app.example, evil.example":         400,
		"Host: app.example\r\nHost: x":            400,
		"Host: app.example\r\nHost: " + host:      400,
		"Host : app.example":                      400,
		"X: no host at all":                       400,
		"Host: app..example":                      400,
		"Host: app.example..":                     400,
		"Host: http://app.example":                400,
		"Host: app.example%00.evil.example":       400,
		"Host: " + strings.Repeat("a.", 200):      400,
		"Host:\tapp.example\t":                    200,
		"Host: app.example\r\nX-Host: evil":       200,
		"Host: evil\r\nX-Forwarded-Host: " + host: 421,
	} {
		t.Run(field, func(t *testing.T) {
			a := g.raw(lines("GET / HTTP/1.1", field, "X-Forwarded-For: "+america))
			if a.status != want {
				t.Errorf("it gets %d, want %d: %s", a.status, want, a.body)
			}
			if want != 200 {
				g.untouched(t)
			}
			for _, s := range g.app.asked() {
				if name, ok := strings.CutPrefix(field, "Host: "); ok && !strings.Contains(name, "\r") && s.host != name {
					t.Errorf("the app saw host %q", s.host)
				}
			}
		})
	}
}

func TestANameInTheHandshakeThatDiffersFromTheHostChangesNothing(t *testing.T) {
	g := start(t, setup{policy: spoofed, configure: func(c *config.Config) {
		c.Apps = append(c.Apps, config.App{Hosts: []string{"other.example"}, Upstreams: c.Apps[0].Upstreams})
	}})
	ask := func(sni, host, from string) int {
		raw, err := net.Dial("tcp", g.at.HTTPS)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		c := tls.Client(raw, &tls.Config{RootCAs: g.roots, ServerName: sni})
		io.WriteString(c, lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+from))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if status := ask("other.example", host, france); status != 451 {
		t.Errorf("a client from France gets %d", status)
	}
	g.untouched(t)
	if status := ask("other.example", "evil.example", america); status != 421 {
		t.Errorf("an unknown host gets %d", status)
	}
	g.untouched(t)
	if status := ask("other.example", host, america); status != 200 {
		t.Errorf("a client from America gets %d", status)
	}
	if seen := g.app.asked(); len(seen) != 1 || seen[0].host != host {
		t.Errorf("the app saw %v", seen)
	}
}

func TestHTTP10WithoutAHostIsRefused(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	if a := g.raw(lines("GET / HTTP/1.0", "X-Forwarded-For: "+america)); a.status != 400 {
		t.Errorf("it gets %d", a.status)
	}
	g.untouched(t)
}

// C9: net/http drops Transfer-Encoding in HTTP/1.0.
func TestHTTP10WithABodyOfUnknownLengthIsRefused(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	smuggled := lines("GET /smuggled HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+america)
	const chunked = "Transfer-Encoding: chunked"
	for _, c := range []struct {
		method, field string
		status        int
		body          string // that the app gets
	}{
		{"GET /.well-known/exitgate/health", chunked, 200, ""}, // what the gateway answers itself is the last, too
		{"POST", chunked, 400, ""},
		{"post", chunked, 400, ""},
		{"PATCH", chunked, 400, ""},
		{"PUT", "transfer-ENCODING: gzip\r\nTransfer-Encoding: chunked", 400, ""},
		{"PROPFIND", chunked, 400, ""},
		{"QUERY", chunked, 400, ""},
		{"POST", "X: neither", 400, ""},
		// Its bytes as they are, and nothing behind them.
		{"POST", "Content-Length: 5", 200, "0\r\n\r\n"},
		{"POST", "Content-Length: 5\r\n" + chunked, 200, "0\r\n\r\n"},
		{"POST", chunked + "\r\nContent-Length: 3", 200, "0\r\n"},
		{"PUT", "Content-Length: 0\r\n" + chunked, 200, ""},
		// Content of these has no meaning: without it.
		{"GET", chunked, 200, ""},
		{"DELETE", chunked, 200, ""},
	} {
		conn, r := g.dial()
		method, target, said := strings.Cut(c.method, " ")
		if !said {
			target = "/one"
		}
		io.WriteString(conn, lines(method+" "+target+" HTTP/1.0", "Host: "+host, "X-Forwarded-For: "+america, "Connection: keep-alive", c.field)+"0\r\n\r\n"+smuggled)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read(res); err != nil || res.StatusCode != c.status {
			t.Errorf("%+v gets %d, %v", c, res.StatusCode, err)
		}
		if more, _ := io.ReadAll(r); len(more) > 0 {
			t.Errorf("%+v: the connection goes on with %q", c, more)
		}
		for _, s := range g.app.asked() {
			if s.target != "/one" || s.body != c.body || s.header.Get("Transfer-Encoding") != "" {
				t.Errorf("%+v: the app saw %v", c, s)
			}
		}
	}
}

// nginx speaks HTTP/1.0 by default, and sends no length where its client sent none.
func TestHTTP10WithoutABodyIsServed(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	for _, method := range []string{"GET", "DELETE", "OPTIONS"} {
		if a := g.raw(lines(method+" / HTTP/1.0", "Host: "+host, "X-Forwarded-For: "+america)); a.status != 200 {
			t.Errorf("%s gets %d", method, a.status)
		}
	}
}

func TestHeadersThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	head := "POST / HTTP/1.1\r\nHost: " + host + "\r\nX-Forwarded-For: " + america + "\r\n"
	for name, request := range map[string]string{
		"a folded first line":               "GET / HTTP/1.1\r\n Host: " + host + "\r\n\r\n",
		"NUL in a value":                    head + "X: a\x00b\r\n\r\n",
		"NUL in a name":                     head + "X\x00: a\r\n\r\n",
		"a CR within a value":               head + "X: a\rb\r\n\r\n",
		"a space before the colon":          head + "Content-Length : 5\r\n\r\nhello",
		"a line without a colon":            head + "garbage\r\n\r\n",
		"no name":                           head + ": x\r\n\r\n",
		"two lengths":                       head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"a length with a sign":              head + "Content-Length: +5\r\n\r\nhello",
		"a negative length":                 head + "Content-Length: -5\r\n\r\nhello",
		"a list of lengths":                 head + "Content-Length: 5, 6\r\n\r\nhello!",
		"a length in hexadecimal":           head + "Content-Length: 0x5\r\n\r\nhello",
		"an encoding that nobody knows":     head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two encodings":                     head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"two lines of encoding":             head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"an encoding with a control within": head + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if a := g.raw(request); a.status != 400 && a.status != 501 {
				t.Errorf("it gets %d: %s", a.status, a.body)
			}
			g.untouched(t)
		})
	}
}

func TestAFoldedLineIsOneFieldForTheGatewayAndTheAppAlike(t *testing.T) {
	// RFC 9112, section 5.2: refuse it or put spaces in its place.
	g := start(t, setup{policy: spoofed})
	a := g.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nX: a\r\n X-Forwarded-For: " + france + "\r\nX-Forwarded-For: " + germany + "\r\n\r\n")
	seen := g.app.asked()
	if a.status != 200 || len(seen) != 1 || seen[0].header.Get("X") != "a X-Forwarded-For: "+france || seen[0].header.Get("X-Forwarded-For") != germany {
		t.Errorf("it gets %d, and the app saw %v", a.status, seen)
	}
}

func TestALoneLineFeedEndsALineForTheGatewayAndTheAppAlike(t *testing.T) {
	// RFC 9112, section 2.2 lets a recipient take a lone LF for the end of a
	// line. What the app gets is written anew, so there is nothing left to be
	// read in another way.
	g := start(t, setup{policy: spoofed})
	a := g.raw("GET / HTTP/1.1\nHost: " + host + "\nX-Forwarded-For: " + germany + "\nX: a\nX-Forwarded-For: " + france + "\n\n")
	if a.status != 451 {
		t.Errorf("it gets %d", a.status)
	}
	g.untouched(t)
}

func TestARequestWithLengthAndChunksReachesTheAppAsOneAndNoOtherWithIt(t *testing.T) {
	// net/http takes the chunks (RFC 9112, section 6.3) and drops the length
	// before any handler sees it.
	g := start(t, setup{policy: spoofed})
	smuggled := lines("GET /smuggled HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+germany)
	for name, length := range map[string]int{"a length that ends before": 4, "a length that goes beyond": 5 + len(smuggled), "none": 0} {
		t.Run(name, func(t *testing.T) {
			c, r := g.dial()
			io.WriteString(c, lines("POST /one HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+america,
				fmt.Sprintf("Content-Length: %d", length), "Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\n\r\n"+smuggled)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := read(res); err != nil || res.StatusCode != 200 {
				t.Fatalf("it gets %d, %v", res.StatusCode, err)
			}
			if more, _ := io.ReadAll(r); !res.Close || len(more) > 0 {
				t.Errorf("the connection goes on with %q", more)
			}
			seen := g.app.asked()
			if len(seen) != 1 || seen[0].target != "/one" || seen[0].body != "hello" || seen[0].header.Get("Content-Length") != "" {
				t.Errorf("the app saw %v", seen)
			}
		})
	}
}

func TestWhatFollowsAnUnreadBodyIsNeverTakenForARequest(t *testing.T) {
	for name, test := range map[string]struct {
		from   string
		status int
	}{
		"of a refused request":                      {france, 451},
		"of a rejected one":                         {"garbage", 400},
		"of one that the gateway answers by itself": {"status", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, setup{policy: spoofed})
			target, from := "/early", test.from
			if from == "status" {
				target, from = "/.well-known/market-status", america
			}
			c, r := g.dial()
			smuggled := lines("GET /smuggled HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+america)
			io.WriteString(c, lines("POST "+target+" HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+from,
				fmt.Sprintf("Content-Length: %d", len(smuggled)+1000)))
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := read(res); err != nil || res.StatusCode != test.status {
				t.Fatalf("it gets %d, %v; want %d", res.StatusCode, err, test.status)
			}
			// The gateway waits for the rest for a while, then gives up.
			time.Sleep(1500 * time.Millisecond)
			io.WriteString(c, smuggled)
			if res, err := http.ReadResponse(r, nil); err == nil {
				t.Errorf("the body is answered with %d", res.StatusCode)
			}
			for _, s := range g.app.asked() {
				t.Errorf("the app saw %s", s.target)
			}
		})
	}
}

func TestAMegabyteOfHeadersIsTooLarge(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	t.Run("over HTTP/1", func(t *testing.T) {
		c, r := g.dial()
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\nX-Forwarded-For: "+america+"\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("it gets %d", res.StatusCode)
		}
	})
	t.Run("over HTTP/2", func(t *testing.T) {
		r, _ := http.NewRequest("GET", "https://"+host+"/", nil)
		for i := range 64 {
			r.Header.Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 16<<10))
		}
		res, err := g.client(2).Do(r)
		if err == nil { // else net/http ended the connection or the client kept to the limit
			res.Body.Close()
			if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("it gets %d", res.StatusCode)
			}
		}
	})
	g.untouched(t)
	if a := g.request(g.client(1), "/", america); a.status != 200 {
		t.Errorf("then others get %d", a.status)
	}
}

// C14: over HTTP/2 a header that is too large ends its own stream alone.
func TestAHeaderThatIsTooLargeLeavesOtherStreamsAlone(t *testing.T) {
	arrived, goOn := make(chan bool), make(chan bool)
	g := start(t, setup{policy: spoofed, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- true
			<-goOn
		}
	})})
	c := g.client(2)
	slow := make(chan answer, 1)
	go func() {
		a, err := g.try(c, "/slow", america)
		if err != nil {
			t.Error(err)
		}
		slow <- a
	}()
	<-arrived
	reused := false
	for _, size := range []int{100 << 10, 200 << 10} {
		r, _ := http.NewRequest("GET", "https://"+host+"/large", nil)
		r.Header.Set("X-Forwarded-For", america)
		for i := range size / (20 << 10) {
			r.Header.Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 20<<10))
		}
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}
		res, err := c.Do(r.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := read(res); err != nil || a.status != http.StatusRequestHeaderFieldsTooLarge || !reused {
			t.Errorf("%d bytes get %d, %v; on the connection of the others: %v", size, a.status, err, reused)
		}
	}
	// What is beyond what net/http takes, a client doesn't send that heeds
	// SETTINGS_MAX_HEADER_LIST_SIZE; one that does loses its connection.
	r, _ := http.NewRequest("GET", "https://"+host+"/large", nil)
	for i := range 20 {
		r.Header.Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 20<<10))
	}
	if _, err := c.Do(r); err == nil || !strings.Contains(err.Error(), "larger than peer's") {
		t.Errorf("400 KiB are sent: %v", err)
	}
	goOn <- true
	if a := <-slow; a.status != 200 {
		t.Errorf("a request beside it gets %d", a.status)
	}
	if n := g.metric(`exitgate_requests_rejected_total{reason="header-too-large"}`); n != 2 {
		t.Errorf("counted %v times", n)
	}
}

// An h2 is a connection for HTTP/2, frame by frame.
type h2 struct {
	t      *testing.T
	framer *http2.Framer
	next   uint32
	conn   net.Conn
}

func (g *gate) h2(t *testing.T) *h2 {
	t.Helper()
	raw, err := tls.Dial("tcp", g.at.HTTPS, &tls.Config{RootCAs: g.roots, ServerName: host, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	io.WriteString(raw, http2.ClientPreface)
	c := &h2{t: t, framer: http2.NewFramer(raw, raw), next: 1, conn: raw}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends one request with these fields, "name: value", and returns the
// status, 0 if the stream or the connection was reset.
func (c *h2) ask(fields ...string) (status int) {
	c.t.Helper()
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range fields {
		name, value, _ := strings.Cut(f[1:], ": ")
		e.WriteField(hpack.HeaderField{Name: f[:1] + name, Value: value})
	}
	id := c.next
	c.next += 2
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		c.t.Fatal(err)
	}
	for {
		frame, err := c.framer.ReadFrame()
		var wrong http2.StreamError
		switch {
		case errors.As(err, &wrong):
			return 0
		case err == io.EOF || errors.Is(err, net.ErrClosed):
			return 0
		case err != nil:
			c.t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				fmt.Sscan(f.PseudoValue("status"), &status)
				return status
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return 0
			}
		case *http2.GoAwayFrame:
			return 0
		}
	}
}

func TestHTTP2RequestsThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	g := start(t, setup{policy: spoofed, configure: func(c *config.Config) {
		c.Apps[0].Hosts = append(c.Apps[0].Hosts, "other.example")
	}})
	base := []string{":method: GET", ":scheme: https", ":authority: " + host, ":path: /", "x-forwarded-for: " + america}
	with := func(change ...string) []string {
		fields := append([]string(nil), base...)
		for _, c := range change {
			name, _, _ := strings.Cut(c[1:], ": ")
			replaced := false
			for i, f := range fields {
				if strings.HasPrefix(f[1:], name+": ") && c[0] == ':' {
					fields[i], replaced = c, true
				}
			}
			if !replaced {
				fields = append(fields, c)
			}
		}
		return fields
	}
	if status := g.h2(t).ask(base...); status != 200 {
		t.Fatalf("a plain request gets %d", status)
	}
	g.app.asked()
	if status := g.h2(t).ask(with("host: " + host)...); status != 200 {
		t.Errorf("a host that is the authority gets %d", status)
	}
	g.app.asked()
	for name, test := range map[string]struct {
		fields []string
		status int // 0: reset, or 400
	}{
		"a host that is not the authority":   {with("host: other.example"), 400},
		"two hosts":                          {with("host: "+host, "host: other.example"), 400},
		"a path with a host":                 {with(":path: http://other.example/signup"), 0},
		"a path with a scheme and this host": {with(":path: https://" + host + "/"), 0},
		"a path that is an asterisk":         {with(":path: *"), 400},
		"the options of everything":          {with(":method: OPTIONS", ":path: *"), 400},
		"a path with a fragment":             {with(":path: /#/signup"), 400},
		"a path with a space":                {with(":path: /x /signup"), 400},
		"dots in the path":                   {with(":path: /x/%2e%2e/signup", "x-forwarded-for: "+germany), 400},
		"an unknown authority":               {with(":authority: evil.example"), 421},
		"an authority with a user":           {with(":authority: app.example@evil.example"), 0},
		"a connection field":                 {with("connection: market-jurisdiction"), 0},
		"a tunnel":                           {[]string{":method: CONNECT", ":authority: " + host, "x-forwarded-for: " + america}, 405},
		"a line break in a value":            {with("x: a\r\nx-forwarded-for: " + germany), 0},
		"an upper-case name":                 {with("X-Forwarded-For: " + germany), 0},
		"C15: a method that is a request":    {with(":method: POST /x"), 400},
		"C15: a method with a line break":    {with(":method: GET\r\nX"), 0},
		"an unknown pseudo field":            {with(":market: x"), 0},
		"a transfer encoding":                {with("transfer-encoding: chunked"), 0},
		"a client from France":               {with("x-forwarded-for: " + france), 451},
		"a claim of the market":              {with("market-jurisdiction: DE", "x-forwarded-for: "+france), 451},
	} {
		t.Run(name, func(t *testing.T) {
			got := g.h2(t).ask(test.fields...)
			if got != test.status && !(test.status == 0 && got == 400) {
				t.Errorf("it gets %d, want %d", got, test.status)
			}
			g.untouched(t)
		})
	}
}

func TestOnlyTheSourcesOfTheSettingsSpeakThePROXYProtocolAndTheyMust(t *testing.T) {
	g := start(t, setup{policy: spoofed, configure: func(c *config.Config) {
		c.TrustedProxies = nil
		c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	}})
	ask := func(local, header string) (int, error) {
		raw, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}).Dial("tcp", g.at.HTTPS)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		io.WriteString(raw, header)
		c := tls.Client(raw, g.tls)
		if err := c.Handshake(); err != nil {
			return 0, err
		}
		io.WriteString(c, lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: "+germany))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		res.Body.Close()
		return res.StatusCode, nil
	}
	v1 := func(from string) string { return "PROXY TCP4 " + from + " 127.0.0.1 4711 443\r\n" }
	if status, err := ask("127.0.0.2", v1(america)); status != 200 {
		t.Errorf("a client from America gets %d, %v", status, err)
	}
	if seen := g.app.asked(); len(seen) != 1 || seen[0].header.Get("X-Forwarded-For") != america {
		t.Errorf("the app saw %v", seen)
	}
	if status, err := ask("127.0.0.2", v1(france)); status != 451 {
		t.Errorf("a client from France gets %d, %v", status, err)
	}
	for local, header := range map[string]string{"127.0.0.2": "", "127.0.0.3": v1(america)} {
		if status, err := ask(local, header); err == nil {
			t.Errorf("from %s with header %q: %d", local, header, status)
		}
	}
	if status, err := ask("127.0.0.3", ""); status != 451 {
		t.Errorf("a client without a proxy gets %d, %v", status, err)
	}
	g.untouched(t)
	if n := g.metric(`exitgate_requests_rejected_total{reason="proxy-protocol-missing"}`); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

// A5: without trusted-proxies all clients are where the load balancer is.
func TestAForgottenTrustedProxyIsNoticed(t *testing.T) {
	s := withoutTrustedProxies()
	s.policy = "version: 1\njurisdictions: {FR: withdrawn}\n"
	g := start(t, s)
	const metric = `exitgate_clients_doubtful{reason="forwarding-headers-ignored"}`
	if _, checks := g.ready(); checks["clients"].Detail != "" || g.metric(metric) != 0 {
		t.Errorf("at the start there is %+v", checks["clients"])
	}
	for range 25 {
		if a := g.request(g.client(1), "/", france); a.status != 200 {
			t.Fatalf("it gets %d", a.status) // that is the fault
		}
	}
	status, checks := g.ready()
	if c := checks["clients"]; status != 200 || c.OK || c.Since == nil || !strings.Contains(c.Detail, "trusted-proxies") {
		t.Errorf("%d, %+v", status, c)
	}
	if g.metric(metric) != 1 || g.metric("exitgate_forwarding_headers_ignored_total") != 25 {
		t.Error("the metrics don't show it")
	}
	if n := len(g.log.Lines("forwarding-headers-ignored", "trusted-proxies")); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// C15: connections beyond the limit wait for others to end.
func TestConnectionsAreBounded(t *testing.T) {
	s := withoutTrustedProxies()
	s.configure = func(c *config.Config) { c.Limits.Connections = 2 }
	g := start(t, s)
	first, _ := g.dial()
	g.dial()
	raw, err := net.Dial("tcp", g.at.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if tls.Client(raw, g.tls).Handshake() == nil {
		t.Error("a third connection is served")
	}
	raw.Close()
	first.Close()
	g.dial() // or the test fails
}
