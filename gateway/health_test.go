package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/request"
)

// Issue 12: load balancers ask without a name, from anywhere, in HTTP/1.0, too.
func TestALoadBalancerIsToldWhetherToSendRequests(t *testing.T) {
	g := start(t, setup{
		policy:    "version: 1\njurisdictions: {default: withdrawn, private: withdrawn}\n",
		configure: func(c *config.Config) { c.Admin.Probes = "127.0.0.1:0" },
	})
	for _, ask := range []string{
		"GET /.well-known/exitgate/health HTTP/1.0\r\n\r\n",
		"GET /.well-known/exitgate/health HTTP/1.1\r\nHost: 192.0.2.1:8443\r\nConnection: close\r\n\r\n",
		"GET /.well-known/exitgate/health?probe=1 HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: 2.0.0.7\r\nConnection: close\r\n\r\n",
	} {
		if a := g.raw(ask); a.status != http.StatusOK || a.body != "ok\n" {
			t.Errorf("%q gets %d %q", ask, a.status, a.body)
		}
	}
	for ask, want := range map[string]int{
		"GET /.well-known/exitgate/healthz HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n":   451,
		"GET /.well-known/exitgate%2fhealth HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n":  451,
		"POST /.well-known/exitgate/health HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n":   451,
		"GET /.well-known/exitgate/health/ HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n": 421,
	} {
		if a := g.raw(ask); a.status != want {
			t.Errorf("%q gets %d, want %d", ask, a.status, want)
		}
	}
	if seen := g.app.asked(); len(seen) != 0 {
		t.Errorf("the app got %v", seen)
	}
	plain, err := g.client(1).Get("http://" + host + request.HealthPath)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	if plain.StatusCode != http.StatusOK {
		t.Errorf("over the plain listener it is %d", plain.StatusCode)
	}

	probe := func(path string) int {
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + g.at.Probes + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 404, "/v1/status": 404, "/": 404} {
		if got := probe(path); got != want {
			t.Errorf("on the listener for probes, %s is %d, want %d", path, got, want)
		}
	}
}

// A kubelet and a Prometheus ask by the pod's address, and from any.
func TestTheListenerForProbesHasMetricsIfThatIsSaid(t *testing.T) {
	g := start(t, setup{configure: func(c *config.Config) { c.Admin.Probes, c.Admin.Metrics = "127.0.0.1:0", true }})
	for path, want := range map[string]string{"/metrics": "exitgate_policy_info", "/healthz": "alive", "/readyz": "ready"} {
		r, err := http.NewRequest(http.MethodGet, "http://"+g.at.Probes+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "10.1.2.3:8601"
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(res); err != nil || got.status != http.StatusOK || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d, %v, %.200s", path, got.status, err, got.body)
		}
	}
}

func TestAGatewayWithoutGuaranteedFlagsIsUnhealthy(t *testing.T) {
	g := start(t, setup{
		policy:    "version: 1\nguarantees: {e2ee: {require: true}}\n",
		configure: func(c *config.Config) { c.Flags.OFREP.URL = "http://127.0.0.1:1" }, // nobody is there
	})
	a := g.raw("GET /.well-known/exitgate/health HTTP/1.0\r\n\r\n")
	if a.status != http.StatusServiceUnavailable || strings.Contains(a.body, "flag") {
		t.Errorf("it says %d %q", a.status, a.body)
	}
}
