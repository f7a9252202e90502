package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
)

// TestBrowsersAreToldToComeBackByHTTPS holds the setting against all kinds of
// answers. Over plain HTTP it must not be said (RFC 6797, section 7.2).
func TestBrowsersAreToldToComeBackByHTTPS(t *testing.T) {
	g := start(t, setup{
		policy: "version: 1\njurisdictions: {FR: withdrawn}\n",
		handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Strict-Transport-Security", "max-age=1")
		}),
		configure: func(c *config.Config) {
			c.TLS.HSTS = config.HSTS{MaxAge: 365 * 24 * time.Hour, IncludeSubdomains: true}
		},
	})
	for major := 1; major <= 2; major++ {
		c := g.client(major)
		for what, a := range map[string]answer{
			"what is forwarded":     g.request(c, "/", germany),
			"a refusal":             g.request(c, "/", france),
			"the market status":     g.request(c, "/.well-known/market-status", france),
			"a request that is bad": g.request(c, "/a/..%2fb", germany),
		} {
			if got := a.header["Strict-Transport-Security"]; len(got) != 1 || got[0] != "max-age=31536000; includeSubDomains" {
				t.Errorf("HTTP/%d: %s (%d) has %q", major, what, a.status, got)
			}
		}
	}
	res, err := g.client(1).Get("http://" + host + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header["Strict-Transport-Security"]; got != nil {
		t.Errorf("the redirect has %q", got)
	}
}

func TestWithoutTheSettingHTTPSIsTheAppsBusiness(t *testing.T) {
	g := start(t, setup{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=1")
	})})
	if got := g.request(g.client(1), "/", germany).header["Strict-Transport-Security"]; len(got) != 1 || got[0] != "max-age=1" {
		t.Errorf("it is %q", got)
	}
}
