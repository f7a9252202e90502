package request

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/policy"
)

func TestDecideOnFacts(t *testing.T) {
	h := newHandler(t, "version: 1\njurisdictions: {FR: closed-to-new}\nroutes: {sign-up: [POST /signup]}\n")
	const proxy, france = "127.0.0.1", "90.0.0.1"
	for name, test := range map[string]struct {
		facts    Facts
		rejected error
		action   policy.Action
	}{
		"served":          {facts: Facts{Method: "GET", Path: "/", Peer: netip.MustParseAddr(france)}, action: policy.Forward},
		"refused":         {facts: Facts{Method: "POST", Path: "/signup", Peer: netip.MustParseAddr(france)}, action: policy.Refuse},
		"for another":     {facts: Facts{Method: "POST", Path: "/signup", Peer: netip.MustParseAddr(proxy), Header: http.Header{"X-Forwarded-For": {france}}}, action: policy.Refuse},
		"another host":    {facts: Facts{Method: "GET", Host: "other.example", Path: "/"}, rejected: UnknownHost},
		"another method":  {facts: Facts{Method: "GET", Path: "/signup", Peer: netip.MustParseAddr(france), Header: http.Header{"X-Http-Method": {"post"}}}, rejected: AmbiguousMethod},
		"two paths":       {facts: Facts{Method: "POST", Path: "/x/../signup", Peer: netip.MustParseAddr(france)}, rejected: AmbiguousPath},
		"nobody's client": {facts: Facts{Method: "GET", Path: "/", Peer: netip.MustParseAddr(proxy), Header: http.Header{"X-Forwarded-For": {"garbage"}}}, rejected: client.Rejection("")},
	} {
		if test.facts.Host == "" {
			test.facts.Host = "app.example"
		}
		verdict, err := h.Decide(h.o.Policy(time.Now()), test.facts)
		var unknownClient client.Rejection
		switch {
		case test.rejected == client.Rejection("") && errors.As(err, &unknownClient):
		case err != test.rejected:
			t.Errorf("%s: rejected by %v, want %v", name, err, test.rejected)
		case err == nil && (verdict.Decision.Action != test.action || verdict.Client != netip.MustParseAddr(france)):
			t.Errorf("%s: %v of %s, want %v", name, verdict.Decision.Action, verdict.Client, test.action)
		}
	}
}

// Nothing but a bug forwards what a decision refuses: here it is the test that does.
func TestWhatIsForwardedOfAWithdrawnMarketIsCounted(t *testing.T) {
	h := newHandler(t, "version: 1\njurisdictions: {FR: {phase: withdrawn, territories: none}, IT: announced}\nroutes: {essential: [/legal/]}\n")
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	app, err := proxy.New(proxy.Options{Upstreams: []string{upstream.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	h.o.Apps = NewHosts(map[string]App{"app.example": {app, "app.example", h.o.Metrics.Durations("app.example")}})
	registry := prometheus.NewRegistry()
	registry.MustRegister(h.o.Metrics.ForwardedWithdrawn)
	total := func() float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		return families[0].GetMetric()[0].GetCounter().GetValue()
	}
	counted := func(from, path string) float64 {
		r := httptest.NewRequest("GET", "https://app.example"+path, nil)
		r.RemoteAddr = from + ":4711"
		before := total()
		h.ServeHTTP(httptest.NewRecorder(), r)
		return total() - before
	}
	const france, italy = "90.0.0.1", "151.30.0.1"
	if n := counted(france, "/") + counted(france, "/legal/") + counted(italy, "/"); n != 0 {
		t.Errorf("%v are counted, and none was forwarded wrongly", n)
	}
	decisions := h.o.Policy(time.Now()).Snapshot().Decisions()
	for i := range decisions {
		decisions[i].Action = policy.Forward
	}
	if n := counted(france, "/"); n != 1 {
		t.Errorf("a request that was forwarded of a withdrawn market is counted %v times", n)
	}
	if n := counted(france, "/legal/") + counted(italy, "/"); n != 0 {
		t.Errorf("%v are counted of essential pages and of a market that isn't withdrawn", n)
	}
}
