package admin_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin"
)

func TestKnownHosts(t *testing.T) {
	for host, known := range map[string]bool{
		"127.0.0.1:8600":                true,
		"127.0.0.1":                     true,
		"127.8.9.1:80":                  true,
		"localhost:8600":                true,
		"LOCALHOST":                     true,
		"[::1]:8600":                    true,
		"[::1]":                         true,
		"::1":                           true,
		"gate.example.org":              true,
		"Gate.Example.ORG:8600":         true,
		"":                              false,
		":8600":                         false,
		"evil.example":                  false,
		"evil.example:8600":             false,
		"localhost.evil.example":        false,
		"127.0.0.1.evil.example":        false,
		"gate.example.org.evil.example": false,
		"not-gate.example.org":          false,
		"192.0.2.1:8600":                false,
		"0.0.0.0:8600":                  false,
		"[::]:8600":                     false,
		"[2001:db8::1]":                 false,
		"127.0.0.1:8600:8600":           false,
		"user@localhost":                false,
		"localhost\x00":                 false,
	} {
		g := newFixture(t)
		for _, target := range []string{"/v1/status", "/metrics", "/ofrep/v1/evaluate/flags"} {
			r := request(t, g, viewer, "GET", target, nil)
			r.Host = host
			if refused := statusOf(g, r) == http.StatusMisdirectedRequest; refused == known {
				t.Errorf("%s of %q: refused: %t", target, host, refused)
			}
		}
		if known {
			continue
		}
		r := request(t, g, viewer, "GET", "/v1/status", nil)
		r.Host = host
		if got := serve(t, g, r); got.code != "unknown-host" {
			t.Errorf("%q: got %d %s", host, got.status, got.code)
		}
		r = request(t, g, socket, "GET", "/v1/status", nil)
		r.Host = host
		if got := serve(t, g, r); got.status != 200 {
			t.Errorf("%q over the socket: got %d", host, got.status)
		}
	}
}

func TestOtherOriginsAreRefused(t *testing.T) {
	own := headers{"Origin": "http://127.0.0.1:8600", "Sec-Fetch-Site": "same-origin"}
	for name, test := range map[string]struct {
		header headers
		fine   bool
	}{
		"a program":                     {headers{}, true},
		"the gateway's own page":        {own, true},
		"an address typed in":           {headers{"Sec-Fetch-Site": "none"}, true},
		"another site":                  {headers{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, false},
		"another site, an old browser":  {headers{"Origin": "https://evil.example"}, false},
		"another site, no Origin":       {headers{"Sec-Fetch-Site": "cross-site"}, false},
		"another port":                  {headers{"Origin": "http://127.0.0.1:8601", "Sec-Fetch-Site": "same-site"}, false},
		"another port, an old browser":  {headers{"Origin": "http://127.0.0.1:8601"}, false},
		"another scheme":                {headers{"Origin": "https://127.0.0.1:8600"}, false},
		"another name of the machine":   {headers{"Origin": "http://localhost:8600"}, false},
		"a file, a frame in a sandbox":  {headers{"Origin": "null"}, false},
		"a lying Origin":                {headers{"Origin": "http://127.0.0.1:8600", "Sec-Fetch-Site": "cross-site"}, false},
		"a lying Sec-Fetch-Site":        {headers{"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, false},
		"an Origin that can't be read":  {headers{"Origin": "http://[::1"}, false},
		"an extension of a browser":     {headers{"Origin": "chrome-extension://abcdef"}, false},
		"a Sec-Fetch-Site nobody knows": {headers{"Sec-Fetch-Site": "elsewhere"}, false},
		"an Origin with a user":         {headers{"Origin": "http://127.0.0.1:8600@evil.example"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, who := range []actor{operator, socket} {
				g := newFixture(t)
				p, before := g.withdraw(t, "FR"), g.count()
				if got := ask(t, g, who, "GET", "/v1/status", nil, test.header); (got.code == "cross-site") == test.fine {
					t.Errorf("GET: got %d %s", got.status, got.code)
				}
				got := ask(t, g, who, "POST", "/v1/changes", p, g.ifMatch(), test.header)
				if (got.code == "cross-site") == test.fine || (g.count() == before) == test.fine {
					t.Errorf("POST: got %d %s", got.status, got.code)
				}
				if got := ask(t, g, who, "GET", "/v1/nothing", nil, test.header); (got.code == "cross-site") == test.fine {
					t.Errorf("a path that isn't there: got %d %s", got.status, got.code)
				}
			}
		})
	}
}

// C15: not only below /v1/.
func TestPagesFromElsewhereReadNothing(t *testing.T) {
	g := newFixture(t)
	for _, target := range []string{"/metrics", "/healthz", "/readyz", "/ofrep/v1/evaluate/flags", "/v1/status", "/nothing"} {
		for _, header := range []headers{{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}} {
			if got := ask(t, g, viewer, "GET", target, nil, header); got.status != http.StatusForbidden || got.code != "cross-site" {
				t.Errorf("%s with %v: got %d %s", target, header, got.status, got.code)
			}
		}
	}
}

func TestTwoOriginFieldsAreRefused(t *testing.T) {
	g := newFixture(t)
	r := request(t, g, viewer, "GET", "/v1/status", nil)
	r.Header["Origin"] = []string{"http://127.0.0.1:8600", "https://evil.example"}
	if got := serve(t, g, r); got.code != "cross-site" {
		t.Errorf("got %d %s", got.status, got.code)
	}
}

func TestCertificateNames(t *testing.T) {
	uri := &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/viewer"}
	for name, test := range map[string]struct {
		certificate x509.Certificate
		names       []string
	}{
		"nothing":                {x509.Certificate{}, nil},
		"a common name":          {x509.Certificate{Subject: pkix.Name{CommonName: "ada"}}, []string{"ada"}},
		"a common name and more": {x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, DNSNames: []string{"a.example.org"}}, []string{"a.example.org"}},
		"all": {
			x509.Certificate{URIs: []*url.URL{uri}, EmailAddresses: []string{"a@example.org"}, DNSNames: []string{"a.example.org", "b.example.org"}},
			[]string{"spiffe://example.org/viewer", "a@example.org", "a.example.org", "b.example.org"},
		},
	} {
		if got := admin.CertificateNames(&test.certificate); !slices.Equal(got, test.names) {
			t.Errorf("%s: got %q, not %q", name, got, test.names)
		}
	}
}

func TestCertificatesAuthenticate(t *testing.T) {
	of := func(name string) *x509.Certificate {
		return &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/" + name}}}
	}
	for name, test := range map[string]struct {
		state  tls.ConnectionState
		who    actor
		status int
	}{
		"of a viewer":                      {tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{of("viewer")}}}, nobody, 403},
		"of an operator":                   {tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{of("operator")}}}, nobody, 201},
		"of an operator, a viewer's token": {tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{of("operator")}}}, viewer, 201},
		"of nobody":                        {tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{of("eve")}}}, nobody, 401},
		"of nobody, an operator's token":   {tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{of("eve")}}}, operator, 201},
		"that wasn't verified":             {tls.ConnectionState{PeerCertificates: []*x509.Certificate{of("operator")}}, nobody, 401},
	} {
		g := newFixture(t)
		r := request(t, g, test.who, "POST", "/v1/changes", g.withdraw(t, "FR"), g.ifMatch())
		r.TLS = &test.state
		if got := serve(t, g, r); got.status != test.status {
			t.Errorf("%s: got %d, not %d\n%s", name, got.status, test.status, got.body)
		}
	}
}

// sendRaw sends bytes to a real server and returns the statuses of the answers
// until it hangs up.
func sendRaw(t *testing.T, server *httptest.Server, text string) (statuses []int) {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for answers := bufio.NewReader(c); ; {
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			return statuses
		}
		var body strings.Builder
		if _, err := bufio.NewReader(r.Body).WriteTo(&body); err != nil {
			return append(statuses, r.StatusCode)
		}
		statuses = append(statuses, r.StatusCode)
	}
}

func TestAmbiguousRequests(t *testing.T) {
	g := newFixture(t)
	server := httptest.NewServer(g)
	defer server.Close()
	const auth = "Authorization: Bearer TOKEN\r\n"
	const post = "POST /v1/changes HTTP/1.1\r\nHost: localhost\r\n" + auth + "Content-Type: application/json\r\n"
	for name, test := range map[string]struct {
		text string
		want []int
	}{
		"one that is fine":                 {"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", []int{200}},
		"two hosts":                        {"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n" + auth + "\r\n", []int{400}},
		"no host":                          {"GET /v1/status HTTP/1.1\r\n" + auth + "\r\n", []int{400}},
		"no host, as of old":               {"GET /v1/status HTTP/1.0\r\n" + auth + "\r\n", []int{421}},
		"another host in the target":       {"GET http://evil.example/v1/status HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", []int{421}},
		"two tokens":                       {"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" + auth + auth + "\r\n", []int{401}},
		"two revisions":                    {post + "If-Match: \"1\"\r\nIf-Match: \"1\"\r\nContent-Length: 2\r\n\r\n{}", []int{400}},
		"two keys":                         {post + "If-Match: \"1\"\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n\r\n{}", []int{400}},
		"two lengths":                      {post + "If-Match: \"1\"\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", []int{400}},
		"garbage behind one":               {"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n\x00\x01\x02 garbage\r\n\r\n", []int{200, 400}},
		"a request behind one that fails":  {post + "Content-Length: 2\r\n\r\n{}GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", []int{428}},
		"a request in a body":              {post + "If-Match: \"1\"\r\nContent-Length: 40\r\n\r\nGET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{400}},
		"a chunk that is none":             {post + "If-Match: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", []int{400}},
		"a body that ends too early":       {post + "If-Match: \"1\"\r\nContent-Length: 200\r\n\r\n{}", []int{400}},
		"a long body, of which none comes": {post + "If-Match: \"1\"\r\nContent-Length: 17000000\r\n\r\n", []int{400}},
		"a tunnel":                         {"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{421}},
		"dots in the path":                 {"GET /v1/../metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{307}},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.count()
			got := sendRaw(t, server, strings.ReplaceAll(test.text, "TOKEN", g.tokens[operator]))
			if !slices.Equal(got, test.want) {
				t.Errorf("got %d, not %d", got, test.want)
			}
			if g.count() != before {
				t.Error("a record was written")
			}
		})
	}
	if log := g.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}
