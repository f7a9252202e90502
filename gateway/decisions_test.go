package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
)

// decisionService is a setup that 127.0.0.1 may ask for decisions.
func decisionService() setup {
	return setup{policy: spoofed, configure: func(c *config.Config) {
		c.Listen.Decisions = "127.0.0.1:0"
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	}}
}

// decide asks what becomes of a request, from an address, as a proxy with these fields.
func (g *gate) decide(from, path string, fields ...string) answer {
	g.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", g.at.Decisions)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, lines(append([]string{"GET " + path + " HTTP/1.1", "Host: exitgate"}, fields...)...))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// Issue 12: who keeps their ingress asks what becomes of a request, in the ways of nginx,
// Caddy and Traefik. Nobody else is told anything.
func TestAProxyIsToldWhatBecomesOfARequest(t *testing.T) {
	g := start(t, decisionService())
	asks := func(method, uri, from string, more ...string) []string {
		return append([]string{"X-Forwarded-Method: " + method, "X-Forwarded-Host: " + host, "X-Forwarded-Uri: " + uri, "X-Forwarded-Proto: https", "X-Forwarded-For: " + from}, more...)
	}
	for _, test := range []struct {
		name, from, path string
		fields           []string
		want             int
	}{
		{"what is served", "127.0.0.1", "/forward-auth", asks("GET", "/", america), 204},
		{"what is refused", "127.0.0.1", "/forward-auth", asks("GET", "/", france), 451},
		{"a class that is refused", "127.0.0.1", "/forward-auth", asks("POST", "/signup?a=b", germany), 451},
		{"and one that isn't, beside it", "127.0.0.1", "/forward-auth", asks("POST", "/login", germany), 204},
		{"nginx, which is served", "127.0.0.1", "/auth-request", asks("GET", "/", america), 204},
		{"nginx, which knows no 451", "127.0.0.1", "/auth-request", asks("GET", "/", france), 403},
		{"what can be read in two ways", "127.0.0.1", "/forward-auth", asks("POST", "/x/../signup", germany), 400},
		{"the answer that nginx passes on", "127.0.0.1", "/answer", asks("GET", "/", france), 451},
		{"which is served by now", "127.0.0.1", "/answer", asks("GET", "/", america), 503},
		{"that, of nginx", "127.0.0.1", "/auth-request", asks("POST", "/x/../signup", germany), 403},
		{"a host that isn't served", "127.0.0.1", "/forward-auth", append(asks("GET", "/", america)[2:], "X-Forwarded-Method: GET", "X-Forwarded-Host: elsewhere.example"), 421},
		{"the proxy doesn't say for whom", "127.0.0.1", "/forward-auth", asks("GET", "/", america)[:4], 400},
		{"the client names another path to the app", "127.0.0.1", "/forward-auth", asks("POST", "/x", germany, "X-Original-URL: /signup"), 400},
		{"and another method, in a spelling that frameworks read", "127.0.0.1", "/forward-auth", asks("GET", "/signup", germany, "X_HTTP_Method_Override: POST"), 400},
		{"the proxy says the path twice", "127.0.0.1", "/forward-auth", asks("GET", "/", america, "X-Original-URI: /"), 204},
		{"nor which method", "127.0.0.1", "/forward-auth", asks("GET", "/", america)[1:], 400},
		{"two methods", "127.0.0.1", "/forward-auth", append(asks("GET", "/", america), "X-Forwarded-Method: POST"), 400},
		{"the client says another address", "127.0.0.1", "/forward-auth", asks("GET", "/", france, "Forwarded: for="+america), 400},
		{"another path of the service", "127.0.0.1", "/", asks("GET", "/", america), 404},
		{"a stranger", "127.0.0.3", "/forward-auth", asks("GET", "/", america), 403},
	} {
		got := g.decide(test.from, test.path, test.fields...)
		if got.status != test.want {
			t.Errorf("%s: %d %s, want %d", test.name, got.status, got.body, test.want)
		}
		if jurisdiction := got.header.Get("Market-Jurisdiction"); (jurisdiction != "") != (test.want == 204) {
			t.Errorf("%s: the app is told of %q", test.name, jurisdiction)
		}
		if test.want == 451 && !strings.Contains(got.header.Get("Link"), "blocked-by") && got.body == "" {
			t.Errorf("%s: there is no notice", test.name)
		}
	}
	g.untouched(t)
}

// The decisions are those that are made of requests which the gateway forwards: what is
// answered, what the app is told, what is counted.
func TestAProxyIsToldWhatTheGatewayWouldDo(t *testing.T) {
	g := start(t, decisionService())
	random := rand.New(rand.NewPCG(451, 12))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	counted := func() map[string]float64 {
		all := g.samples()
		for name := range all {
			if !strings.HasPrefix(name, "exitgate_decisions_total") && !strings.HasPrefix(name, "exitgate_requests_rejected_total") {
				delete(all, name)
			}
		}
		return all
	}
	counts := []map[string]float64{counted()}
	var questions [][]string
	n := 1000
	if testing.Short() {
		n = 200 // each is a connection, twice
	}
	for range n {
		questions = append(questions, []string{
			pick("GET", "POST", "PUT", "DELETE", "post"),
			pick("/", "/signup", "/signup/", "//signup", "/x/../signup", "/a/b/signup", "/a%2fb/signup", "/signup;a=b", "/signup?_method=POST", "/.well-known/market-status/x", "/%73ignup", "/a\\b", "/login", "//x/signup", "/signup%09"),
			pick(host, host, host, "elsewhere.example", host+":443"),
			pick(america, france, germany, "90.0.0.1", "10.0.0.1", "nonsense"),
			pick("X-Nothing: 1", "X-Nothing: 1", "X-HTTP-Method-Override: POST", "X-Method-Override: get, post", "Forwarded: for=5.1.0.1"),
		})
	}
	var forwarded []answer
	for _, q := range questions {
		forwarded = append(forwarded, g.raw(lines(q[0]+" "+q[1]+" HTTP/1.1", "Host: "+q[2], "Content-Length: 0", "X-Forwarded-For: "+q[3], q[4])))
	}
	counts = append(counts, counted())
	told := make(map[int]int)
	for i, q := range questions {
		want := forwarded[i]
		got := g.decide("127.0.0.1", "/forward-auth", "X-Forwarded-Method: "+q[0], "X-Forwarded-Uri: "+q[1], "X-Forwarded-Host: "+q[2], "X-Forwarded-For: "+q[3], q[4])
		told[got.status]++
		if want.status == http.StatusOK {
			want.status, want.body = http.StatusNoContent, ""
		}
		if got.status != want.status || got.body != want.body || got.header.Get("Content-Type") != want.header.Get("Content-Type") && got.status != http.StatusNoContent {
			t.Errorf("%q: %d, and the gateway answers %d", q, got.status, want.status)
		}
	}
	if len(told) < 4 {
		t.Errorf("it was told %v", told)
	}
	counts = append(counts, counted())
	for name, after := range counts[2] {
		if forwarded, asked := counts[1][name]-counts[0][name], after-counts[1][name]; forwarded != asked {
			t.Errorf("%s: %v of requests that were forwarded, %v of those that were asked about", name, forwarded, asked)
		}
	}
	if fmt.Sprint(counts[0]) == fmt.Sprint(counts[1]) {
		t.Error("nothing was counted")
	}
}
