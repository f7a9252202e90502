// Package gateway is the daemon: it stands in front of an app, finds out where
// its clients are, decides by the policy what they get, and forwards or
// refuses.
package gateway

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/flags"
	ofrepclient "github.com/exitgate/exitgate/flags/ofrep/client"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/policy"
)

// A Gateway serves apps behind it where the policy allows. New makes one;
// Listen and Serve run it. It is an http.Handler, safe for concurrent use.
type Gateway struct {
	config   config.Config
	data     statedir.Dir
	adminTLS *tls.Config // nil: the admin listener speaks plain HTTP, on loopback
	log      *slog.Logger
	now      func() time.Time
	registry *prometheus.Registry
	metrics  *metrics.Metrics
	counters counters

	apps    hosts[*proxy.App]
	clients *client.Resolver
	geo     *geo.Locator
	certs   *certs.Files
	engine  *enforce.Engine
	source  source.Source
	traffic *traffic.Counts
	events  *control.Events

	flags       *flags.Table
	flagSources []string              // the names of the providers, but for the policy's own
	ofrep       *ofrepclient.Provider // nil: there is none

	servers servers
	closers []func()
}

// ServeHTTP is the whole path of a request: whatever can be read two ways is
// rejected; then it is decided, counted, and refused or forwarded.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer g.survive(w, r)
	closeBehindChunks(w, r)
	now := g.now()
	compiled := g.engine.Current(now)
	if reason := compiled.Blocked(); reason != "" {
		g.reject(w, r, reason)
		return
	}

	host, path, err := wellFormed(r)
	if err != nil {
		g.reject(w, r, err)
		return
	}
	app, known := g.apps.find(host)
	if !known {
		g.reject(w, r, errUnknownHost)
		return
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero one is refused
	address, err := g.clients.Address(peer.Addr(), r.Header)
	if err != nil {
		g.reject(w, r, err)
		return
	}
	class, err := classify(compiled.Snapshot(), r, host, path)
	if err != nil {
		g.reject(w, r, err)
		return
	}

	place := g.locate(address)
	decision := compiled.Snapshot().Decide(place, class)
	outcome := compiled.Outcome(decision)
	outcome.Count(place)
	defer func() { g.counters.duration[decision.Action].Observe(g.now().Sub(now).Seconds()) }()

	switch {
	case decision.Action == policy.Refuse:
		httpbody.CloseUnread(w, r)
		compiled.Notices().For(decision, r.Header["Accept"], r.Header["Accept-Language"], r.Header.Get("Content-Type")).Write(w, r)
	case path == policy.StatusPath:
		httpbody.CloseUnread(w, r)
		compiled.MarketStatus().For(r.Header["Accept"], r.Header["Accept-Language"], r.Header["If-None-Match"]).Write(w, r)
	default:
		defer g.track(r)()
		app.Forward(w, r, proxy.Forwarding{
			Client:    address,
			Proto:     "https",
			RequestID: rand.Text(),
			Headers:   outcome.ToApp(),
			Response:  outcome.ToClient(),
		})
	}
}

// locate finds out where an address is, and counts how well that went.
func (g *Gateway) locate(address netip.Addr) policy.Place {
	place := g.geo.Locate(address)
	switch {
	case place.Private:
		g.counters.private.Inc()
	case place.Country == "":
		g.counters.unlocated.Inc()
	default:
		g.counters.located.Inc()
	}
	return place
}

// survive ends a request whose handling panicked, without what net/http would
// do: log the client's address.
func (g *Gateway) survive(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // the way to cut off an answer; not logged
	}
	httpbody.CloseUnread(w, r)
	g.metrics.Panicked()
	g.log.Error("a request made the gateway panic; please report this", "panic", describePanic(p), "stack", stack())
	panic(http.ErrAbortHandler)
}

// counters are the metrics of the request path, resolved once.
type counters struct {
	located, unlocated, private prometheus.Counter
	duration                    [3]prometheus.Observer // by policy.Action
	websockets                  prometheus.Gauge
}

func newCounters(m *metrics.Metrics) counters {
	c := counters{
		located:    m.Lookup("located"),
		unlocated:  m.Lookup("unlocated"),
		private:    m.Lookup("private"),
		websockets: m.Connections("websocket"),
	}
	for _, reason := range []rejection{errAmbiguousPath, errAmbiguousMethod, errUnknownHost, errHost, errTwoHosts, errMethod, errTarget, rejection(enforce.FlagsUnknown), rejection(enforce.PolicyUnknown)} {
		m.InitRejection(string(reason))
	}
	for _, rejection := range client.Rejections() {
		m.InitRejection(string(rejection))
		m.InitRejection(proxyProtocol + string(rejection))
	}
	for _, action := range []policy.Action{policy.Forward, policy.Refuse, policy.WouldRefuse} {
		c.duration[action] = m.Duration(action)
	}
	return c
}
