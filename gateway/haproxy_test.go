//go:build integration

package gateway_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// Issue 12: HAProxy ends TLS in front of the plain listener, and says who comes by a header,
// in HTTP/2 without TLS, or by the PROXY protocol.
func TestHAProxyEndsTLS(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}\n", configure: func(c *config.Config) {
		c.Listen.HTTP.Serve = true
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	}})
	folder := t.TempDir()
	var pem []byte
	for _, name := range []string{"self-signed.crt", "self-signed.key"} {
		part, err := os.ReadFile(filepath.Join(g.data, name))
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, part...)
	}
	testkit.WriteFile(t, filepath.Join(folder, "both.pem"), string(pem))
	said := "http-request set-header X-Forwarded-For %[hdr(X-Test-Client)]\n http-request set-header X-Forwarded-Proto https if { ssl_fc }\n http-request set-header X-Forwarded-Proto http if !{ ssl_fc }"
	ways := []struct{ name, rules, server string }{
		{"a header", said, ""},
		{"a header, over HTTP/2", said, "proto h2"},
		{"the PROXY protocol", "http-request set-src hdr(X-Test-Client)", "send-proxy-v2 source 127.0.0.2"},
	}
	file := "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n http-reuse never\n"
	var ports, plain []int
	for i, way := range ways {
		ports, plain = append(ports, testkit.FreePort(t)), append(plain, testkit.FreePort(t))
		file += fmt.Sprintf("listen way%d\n bind 127.0.0.1:%d ssl crt both.pem alpn h2,http/1.1\n bind 127.0.0.1:%d\n %s\n server gateway %s %s\n", i, ports[i], plain[i], way.rules, g.at.HTTP, way.server)
	}
	testkit.WriteFile(t, filepath.Join(folder, "haproxy.cfg"), file)
	runApp(t, folder, fmt.Sprint("127.0.0.1:", ports[0]), []string{"haproxy", "-db", "-f", "haproxy.cfg"})

	transport := &http.Transport{TLSClientConfig: g.tls.Clone(), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(url, from string) (answer, *tls.ConnectionState) {
		t.Helper()
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("X-Test-Client", from)
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(res)
		if err != nil {
			t.Fatal(err)
		}
		return a, res.TLS
	}
	for i, way := range ways {
		for from, status := range map[string]int{germany: 200, france: 451} {
			if got, overTLS := ask(fmt.Sprintf("https://127.0.0.1:%d/", ports[i]), from); got.status != status || overTLS == nil {
				t.Errorf("by %s, from %s: %d %s", way.name, from, got.status, got.body)
			}
		}
		if seen := g.app.asked(); len(seen) != 1 || seen[0].header.Get("X-Forwarded-For") != germany || seen[0].header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("by %s, the app saw %v", way.name, seen)
		}
		if way.rules != said {
			continue // the PROXY protocol doesn't say over what
		}
		if got, _ := ask(fmt.Sprintf("http://127.0.0.1:%d/", plain[i]), germany); got.status != 308 || got.header.Get("Location") != "https://"+host+"/" {
			t.Errorf("by %s, without TLS: %d to %s", way.name, got.status, got.header.Get("Location"))
		}
	}
}
