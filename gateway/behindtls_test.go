package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
)

// behindTLS is a setup that serves without TLS what 127.0.0.1 and, by the PROXY protocol,
// 127.0.0.2 have received over it.
func behindTLS(https string) setup {
	return setup{policy: spoofed, configure: func(c *config.Config) {
		c.Listen = config.Listen{HTTPS: https, HTTP: config.Plain{Address: "127.0.0.1:0", Serve: true}}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
		c.TLS.HSTS.MaxAge = time.Hour
	}}
}

// Issue 12: who ends TLS in front is served without it, and nobody else is.
func TestAPlainListenerServesWhatAProxyHasReceivedOverTLS(t *testing.T) {
	for name, https := range map[string]string{"beside HTTPS": "127.0.0.1:0", "without HTTPS": ""} {
		t.Run(name, func(t *testing.T) {
			g := start(t, behindTLS(https))
			if (g.at.HTTPS == "") != (https == "") {
				t.Fatalf("it listens at %+v", g.at)
			}
			for _, test := range []struct {
				what, from, before string
				fields             []string
				status             int
			}{
				{"a client from America, of a trusted proxy", "127.0.0.1", "", []string{"X-Forwarded-For: " + america, "X-Forwarded-Proto: https"}, 200},
				{"one from France", "127.0.0.1", "", []string{"X-Forwarded-For: " + france, "X-Forwarded-Proto: https"}, 451},
				{"a proxy that doesn't say over what", "127.0.0.1", "", []string{"X-Forwarded-For: " + america}, 200},
				{"what it has received without TLS", "127.0.0.1", "", []string{"X-Forwarded-For: " + america, "X-Forwarded-Proto: http"}, 308},
				{"the last of several proxies counts", "127.0.0.1", "", []string{"X-Forwarded-For: " + america, "X-Forwarded-Proto: https, http"}, 308},
				{"also over several lines", "127.0.0.1", "", []string{"X-Forwarded-For: " + america, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, 308},
				{"a stranger", "127.0.0.3", "", []string{"X-Forwarded-For: " + america, "X-Forwarded-Proto: https"}, 308},
				{"a client by the PROXY protocol", "127.0.0.2", "PROXY TCP4 " + america + " 127.0.0.1 4711 443\r\n", nil, 200},
				{"one from France by the PROXY protocol", "127.0.0.2", "PROXY TCP4 " + france + " 127.0.0.1 4711 443\r\n", nil, 451},
				{"who says what the PROXY protocol would", "127.0.0.3", "PROXY TCP4 " + america + " 127.0.0.1 4711 443\r\n", nil, 400},
			} {
				conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(test.from)}}).Dial("tcp", g.at.HTTP)
				if err != nil {
					t.Fatal(err)
				}
				conn.SetDeadline(time.Now().Add(patience))
				io.WriteString(conn, test.before+lines(append([]string{"GET /a?b HTTP/1.1", "Host: " + host}, test.fields...)...))
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%s: %v", test.what, err)
				}
				if got, err := read(res); err != nil || got.status != test.status {
					t.Errorf("%s gets %d, %v, want %d", test.what, got.status, err, test.status)
				}
				if hsts := res.Header.Get("Strict-Transport-Security"); (hsts != "") != (test.status == 200 || test.status == 451) {
					t.Errorf("%s: Strict-Transport-Security is %q", test.what, hsts)
				}
				if at := res.Header.Get("Location"); test.status == 308 && at != "https://"+host+"/a?b" {
					t.Errorf("%s is sent to %s", test.what, at)
				}
				seen := g.app.asked()
				if (len(seen) == 1) != (test.status == 200) || len(seen) == 1 && seen[0].header.Get("X-Forwarded-Proto") != "https" {
					t.Errorf("%s: the app saw %v", test.what, seen)
				}
				conn.Close()
			}
			plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := plain.Get("http://" + g.at.HTTP + "/.well-known/exitgate/health")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := read(res); err != nil || got.status != 200 {
				t.Errorf("its health: %d, %v", got.status, err)
			}
		})
	}
}

// A proxy may speak HTTP/2 without TLS, as gRPC needs.
func TestAPlainListenerServesHTTP2(t *testing.T) {
	g := start(t, behindTLS(""))
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, g.at.HTTP)
	}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	for from, status := range map[string]int{america: 200, france: 451} {
		r, _ := http.NewRequest("POST", "http://"+host+"/", strings.NewReader("a body"))
		r.Header.Set("X-Forwarded-For", from)
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(res); err != nil || got.status != status || res.ProtoMajor != 2 {
			t.Errorf("from %s: %d over %s, %v", from, got.status, res.Proto, err)
		}
	}
}

// A trusted proxy's id of a request is everybody's, if it may be written anywhere: HAProxy's
// documentation makes one of the client's address.
func TestTheIDThatATrustedProxyGivesARequestIsKept(t *testing.T) {
	g := start(t, setup{policy: "version: 1\n"})
	for id, kept := range map[string]bool{
		"4bf92f35-77b3/a+b_c=": true, "a b": false, "<b>": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "": false,
		france: false, "7F000001:8296_7F00001E:1F90_4F7B0A69_0003:790E": false,
	} {
		r, _ := http.NewRequest("GET", "https://"+host+"/", nil)
		r.Header.Set("X-Request-Id", id)
		res, err := g.client(1).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = read(res)
		seen, got := g.app.asked(), res.Header.Get("X-Request-Id")
		if (got == id) != kept || got == "" || len(seen) != 1 || seen[0].header.Get("X-Request-Id") != got {
			t.Errorf("of %q the client gets %q, and the app saw %v", id, got, seen)
		}
	}
}
