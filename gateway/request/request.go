// Package request is the path of a request: it is decided, by the strictest of
// its readings, counted, and refused or forwarded; or rejected, where it would be
// refused by one reading and forwarded by another.
//
// The path stands in ServeHTTP. What it decides on are Facts, so that a server
// other than net/http's can decide alike.
package request

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/session"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/policy"
)

// Options are what a Handler is made of. All are required.
type Options struct {
	Policy func(now time.Time) *enforce.Compiled                         // the one that holds
	Client func(peer netip.Addr, header http.Header) (netip.Addr, error) // on whose behalf a request comes
	Locate func(netip.Addr) policy.Place
	// LocateHeld returns where an address is by databases that are not trusted
	// yet, if there are any: the stricter decision counts.
	LocateHeld func(netip.Addr) (place policy.Place, held bool)
	Apps       *Hosts[*proxy.App]
	Sessions   *session.Registry
	Metrics    *metrics.Metrics
	Sources    *client.Sources // hears of each request that is decided
	MaxHeader  int64           // bytes of a request's header
	Log        *slog.Logger
	Now        func() time.Time
}

// A Handler answers the requests of the public listener. It is safe for
// concurrent use.
type Handler struct {
	o        Options
	counters counters
}

// NewHandler returns a Handler.
func NewHandler(o Options) *Handler { return &Handler{o, newCounters(o.Metrics)} }

// ServeHTTP is the whole path of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recoverPanic(w, r)
	framing := checkFraming(w, r)
	now := h.o.Now()
	compiled := h.o.Policy(now)
	if reason := compiled.Blocked(); reason != "" {
		h.reject(w, r, reason)
		return
	}
	if framing != nil {
		h.reject(w, r, framing)
		return
	}
	facts, err := h.readFacts(r)
	if err != nil {
		h.reject(w, r, err)
		return
	}
	verdict, err := h.Decide(compiled, facts)
	if err != nil {
		h.reject(w, r, err)
		return
	}
	decision := verdict.Decision
	defer func() { h.counters.duration[decision.Action].Observe(h.o.Now().Sub(now).Seconds()) }()

	switch {
	case decision.Action == policy.Refuse && requestedMethod(r) != "":
		httpbody.CloseUnread(w, r)
		allowRefusedRequest(w, r)
	case decision.Action == policy.Refuse:
		httpbody.CloseUnread(w, r)
		allowOrigin(w, r)
		h := r.Header
		compiled.Notices().For(decision, h["Accept"], h["Accept-Language"], h.Get("Content-Type"), h.Get("Sec-Fetch-Dest")).Write(w, r)
	case facts.Path == policy.StatusPath:
		httpbody.CloseUnread(w, r)
		compiled.MarketStatus().For(r.Header["Accept"], r.Header["Accept-Language"], r.Header["If-None-Match"]).Write(w, r)
	default:
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			defer h.o.Sessions.Begin()()
		}
		verdict.App.Forward(w, r, proxy.Forwarding{
			Client:    verdict.Client,
			Proto:     "https",
			RequestID: rand.Text(),
			Headers:   verdict.Outcome.ToApp(),
			Response:  verdict.Outcome.ToClient(),
		})
	}
}

// Facts are what a request is decided on.
type Facts struct {
	Method string     // of a preflight: of the request that it is about
	Host   string     // as Hostname returns it
	Path   string     // as it is forwarded, escaped, without query
	Query  string     // behind the "?", as it is forwarded
	Peer   netip.Addr // who the connection is with; the zero one is rejected
	// Header has at least the fields that say on whose behalf a request
	// comes, and those that override its method.
	Header http.Header
}

// A Verdict is what comes of a request that is not rejected.
type Verdict struct {
	App      *proxy.App
	Client   netip.Addr
	Decision *policy.Decision
	Outcome  *enforce.Outcome
}

// Decide decides on a request and counts it. An error is why it is rejected.
// It doesn't allocate.
func (h *Handler) Decide(compiled *enforce.Compiled, f Facts) (Verdict, error) {
	app, known := h.o.Apps.Find(f.Host)
	if !known {
		return Verdict{}, UnknownHost
	}
	address, err := h.o.Client(f.Peer, f.Header)
	if err != nil {
		return Verdict{}, err
	}
	place := h.locate(address)
	decision, err := decideByReadings(compiled.Snapshot(), place, f)
	if err != nil {
		return Verdict{}, err
	}
	if h.o.Sources.Count(f.Peer, f.Header, place.Private) {
		h.counters.headersIgnored.Inc()
	}
	if other, held := h.o.LocateHeld(address); held && other != place {
		byHeld, err := decideByReadings(compiled.Snapshot(), other, f)
		if err != nil {
			return Verdict{}, err
		}
		if policy.Stricter(decision, byHeld) == byHeld {
			decision, place = byHeld, other
		}
	}
	outcome := compiled.Outcome(decision)
	outcome.Count(place)
	return Verdict{app, address, decision, outcome}, nil
}

// locate finds out where an address is, and counts how well that went.
func (h *Handler) locate(address netip.Addr) policy.Place {
	place := h.o.Locate(address)
	switch {
	case place.Private:
		h.counters.private.Inc()
	case place.Country == "":
		h.counters.unlocated.Inc()
	default:
		h.counters.located.Inc()
	}
	return place
}

// counters are the metrics of the request path, resolved once.
type counters struct {
	located, unlocated, private prometheus.Counter
	headersIgnored              prometheus.Counter
	duration                    [3]prometheus.Observer // by policy.Action
}

func newCounters(m *metrics.Metrics) counters {
	c := counters{located: m.Lookup("located"), unlocated: m.Lookup("unlocated"), private: m.Lookup("private"), headersIgnored: m.HeadersIgnored}
	for _, action := range []policy.Action{policy.Forward, policy.Refuse, policy.WouldRefuse} {
		c.duration[action] = m.Duration(action)
	}
	for _, reason := range rejections {
		m.InitRejection(reason.Error())
	}
	for _, reason := range client.Rejections() {
		m.InitRejection(string(reason))
	}
	return c
}
