package gateway_test

import (
	"testing"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// Who comes without a proxy is told of HTTP/3, by each answer, and gets there what it
// gets elsewhere; who comes by one would pass it by.
func TestClientsAreToldOfHTTP3(t *testing.T) {
	direct := start(t, setup{policy: "version: 1\njurisdictions: {private: withdrawn}\n", configure: func(c *config.Config) { c.TrustedProxies = nil }})
	behind := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}\n"})
	const offer = `h3=":443"; ma=86400`
	over(t, func(t *testing.T, major int) {
		want := offer
		if major == 3 {
			want = "" // it is there already
		}
		for path, status := range map[string]int{"/": 451, "/.well-known/market-status": 200} {
			if a := direct.request(direct.client(major), path, ""); a.status != status || a.header.Get("Alt-Svc") != want {
				t.Errorf("%s gets %d and is told %q", path, a.status, a.header.Get("Alt-Svc"))
			}
		}
		for from, status := range map[string]int{france: 451, germany: 200} {
			a := behind.request(behind.client(major), "/", from)
			if a.status != status || a.header.Get("Alt-Svc") != "" {
				t.Errorf("from %s it gets %d and is told %q by a proxy", from, a.status, a.header.Get("Alt-Svc"))
			}
		}
	})
	testkit.Eventually(t, "connections are counted by protocol", func() bool { return direct.metric(`exitgate_connections_active{protocol="h3"}`) > 0 })
}

func TestHTTP3ThatCantBeServedIsSaid(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"behind the PROXY protocol": func(c *config.Config) { c.ProxyProtocol = c.TrustedProxies },
		"without HTTPS":             func(c *config.Config) { c.Listen.HTTPS, c.Listen.HTTP.Serve = "", true },
		"at no port":                func(c *config.Config) { c.Listen.HTTP3 = 70000 },
	} {
		_, err := tryStart(t, setup{configure: func(c *config.Config) {
			c.Listen.HTTP3 = 443
			change(c)
		}})
		if err == nil {
			t.Errorf("%s: it starts", name)
		}
	}
}
