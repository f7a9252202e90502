// Package request is the path of a request: it is decided, by the strictest of
// its readings, counted, and refused or forwarded; or rejected, where it would be
// refused by one reading and forwarded by another.
//
// The path stands in ServeHTTP. What it decides on are Facts, so that a server
// other than net/http's can decide alike.
package request

import (
	"context"
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

// Options are what a Handler is made of. All are required but where it is said.
type Options struct {
	Policy func(now time.Time) *enforce.Compiled                         // the one that holds
	Client func(peer netip.Addr, header http.Header) (netip.Addr, error) // on whose behalf a request comes
	Locate func(netip.Addr) policy.Place
	// LocateHeld returns where an address is by databases that are not trusted
	// yet, if there are any: the stricter decision counts.
	LocateHeld func(netip.Addr) (place policy.Place, held bool)
	Apps       *Hosts[App]
	Sessions   *session.Registry
	Metrics    *metrics.Metrics
	Sources    *client.Sources // hears of each request that is decided
	// CacheKey is the field by which shared caches among the trusted proxies tell
	// places apart, canonical; "": they don't.
	CacheKey string
	Trusts   func(peer netip.Addr) bool
	// BeginStorable notes that an answer is begun that a cache may store, and
	// returns what is called when it has ended. Nil: nobody wants to know.
	BeginStorable func() (end func())
	Draining      func() bool // the gateway is being stopped
	MaxHeader     int64       // bytes of a request's header
	HSTS          string      // Strict-Transport-Security of all answers over TLS; "": none of the gateway's own
	Log           *slog.Logger
	Now           func() time.Time
}

// An App is where requests are forwarded to, and how long they take.
type App struct {
	*proxy.App
	Durations *metrics.Durations
}

// A Handler answers the requests of the public listener. It is safe for
// concurrent use.
type Handler struct {
	o        Options
	hsts     []string // nil: none
	counters counters
	copies   copies
	probes   Probes
}

// Serves reports whether there is an app for a host, in the form of Hostname.
func (h *Handler) Serves(host string) bool {
	_, known := h.o.Apps.Find(host)
	return known
}

// Probes returns the connections of the gateway to itself.
func (h *Handler) Probes() *Probes { return &h.probes }

// NewHandler returns a Handler.
func NewHandler(o Options) *Handler {
	if o.BeginStorable == nil {
		o.BeginStorable = func() (end func()) { return func() {} }
	}
	h := &Handler{o: o, counters: newCounters(o.Metrics)}
	if o.HSTS != "" {
		h.hsts = []string{o.HSTS}
	}
	return h
}

// ServeHTTP is the whole path of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recoverPanic(w, r)
	if h.hsts != nil {
		w.Header()["Strict-Transport-Security"] = h.hsts
	}
	if isHealthCheck(r) {
		h.answerHealthCheck(w, r)
		return
	}
	framing := checkFraming(w, r)
	reviews := h.o.Sessions.Reviews()
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
	if client, is := h.probes.of(r); is {
		h.answerProbe(w, r, compiled, facts, client)
		return
	}
	verdict, err := h.Decide(compiled, facts)
	if err != nil {
		h.reject(w, r, err)
		return
	}
	decision := verdict.Decision
	answer := &statusWriter{ResponseWriter: w}
	w = answer
	defer func() {
		verdict.App.Durations.Observe(decision.Action, answer.status, h.o.Now().Sub(now).Seconds())
	}()

	switch {
	case decision.Action == policy.Refuse && requestedMethod(r) != "":
		httpbody.CloseUnread(w, r)
		allowRefusedRequest(w, r)
	case decision.Action == policy.Refuse:
		h.refuse(w, r, compiled, decision, verdict.Place, facts.Host)
	case facts.Path == policy.StatusPath:
		httpbody.CloseUnread(w, r)
		compiled.MarketStatus().For(now, r.Header["Accept"], r.Header["Accept-Language"], r.Header["If-None-Match"]).Write(w, r)
	default:
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		if decision.Action == policy.Forward && decision.Phase == policy.Withdrawn && decision.Class != policy.Essential {
			h.o.Metrics.ForwardedWithdrawn.Inc()
		}
		x := &exchange{h, facts, verdict.Client, cancel, now}
		defer h.o.Sessions.Begin(x)()
		if h.o.Sessions.Reviews() != reviews { // since it was decided
			if _, refused := x.Refused(); refused {
				h.reject(w, r, DecidedAnew)
				return
			}
		}
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			defer h.o.Sessions.BeginWebSocket()()
		}
		caching, end := h.followCopies(compiled, verdict, facts, r.Method)
		defer end()
		verdict.App.Forward(w, r.WithContext(ctx), proxy.Forwarding{
			Client:    verdict.Client,
			Proto:     "https",
			RequestID: h.requestID(facts),
			Headers:   verdict.Outcome.ToApp(),
			Response:  verdict.Outcome.ToClient(),
			Caching:   caching,
			Refuse:    func() { h.refuseCut(w, r, x) },
		})
	}
}

// requestID returns the id by which the app knows a request: a trusted proxy's, if it
// sends one that can be written anywhere, else a new one.
func (h *Handler) requestID(f Facts) string {
	const most = 128
	ids := f.Header["X-Request-Id"]
	isOther := func(c rune) bool {
		return (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) && !strings.ContainsRune("-_.:/+=@", c)
	}
	if len(ids) != 1 || ids[0] == "" || len(ids[0]) > most || !h.o.Trusts(f.Peer) || strings.ContainsFunc(ids[0], isOther) {
		return rand.Text()
	}
	return ids[0]
}

// refuse answers with the notice of a decision on a request from a place.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, compiled *enforce.Compiled, d *policy.Decision, place policy.Place, host string) {
	httpbody.CloseUnread(w, r)
	allowOrigin(w, r)
	hidden := compiled.Notices().Hide(d, h.refusesPage(compiled.Snapshot(), place, host))
	header := r.Header
	compiled.Notices().For(d, hidden, header["Accept"], header["Accept-Language"], header.Get("Content-Type"), header.Get("Sec-Fetch-Dest")).Write(w, r)
}

// counters are the metrics of the request path, resolved once.
type counters struct {
	located, unlocated, private prometheus.Counter
	headersIgnored, otherKeys   prometheus.Counter
}

func newCounters(m *metrics.Metrics) counters {
	c := counters{located: m.Lookup("located"), unlocated: m.Lookup("unlocated"), private: m.Lookup("private"), headersIgnored: m.HeadersIgnored, otherKeys: m.CacheKeysOther}
	for _, reason := range rejections {
		m.InitRejection(reason.Error())
	}
	for _, reason := range client.Rejections() {
		m.InitRejection(string(reason))
	}
	return c
}
