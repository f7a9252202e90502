// Package request is the path of a request: it is decided, by the strictest of
// its readings, counted, and refused or forwarded; or rejected, where it would be
// refused by one reading and forwarded by another.
//
// The path stands in ServeHTTP. What it decides on are Facts, so that a server
// other than net/http's can decide alike.
package request

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/accesslog"
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
	// SaysClient reports whether a header has the field by which trusted proxies say that.
	SaysClient func(http.Header) bool
	Locate     func(netip.Addr) policy.Place
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
	// WebSockets ends when they are to be closed, as the gateway is being stopped: by
	// themselves they would go on.
	WebSockets context.Context
	// AnswerChallenge answers an authority that validates a name for a certificate, and
	// reports whether it has. Nil: there are none.
	AnswerChallenge func(w http.ResponseWriter, r *http.Request) bool
	MaxHeader       int64  // bytes of a request's header
	HSTS            string // Strict-Transport-Security of all answers over TLS; "": none of the gateway's own
	// AltSvc is the field of that name (RFC 7838) for clients that reach the gateway itself;
	// "": it has no other protocol to offer.
	AltSvc string
	// LogExchange is told of each exchange when it ends. It must not block, nor keep what
	// it is given. Nil: nobody wants to know.
	LogExchange func(*accesslog.Exchange)
	Log         *slog.Logger
	Now         func() time.Time
}

// An App is where requests are forwarded to, and how long they take.
type App struct {
	*proxy.App
	Name      string // as configured
	Durations *metrics.Durations
}

// A Handler answers the requests of the public listener. It is safe for
// concurrent use.
type Handler struct {
	o        Options
	hsts     []string // nil: none
	altSvc   []string // nil: none
	counters counters
	*shared
}

// shared is what all the Handlers that took each other's place know.
type shared struct {
	copies copies
	probes Probes
	ids    requestIDs
	latest atomic.Pointer[Handler]
}

// Serves reports whether there is an app for a host, in the form of Hostname.
func (h *Handler) Serves(host string) bool {
	_, known := h.o.Apps.Find(host)
	return known
}

// Probes returns the connections of the gateway to itself.
func (h *Handler) Probes() *Probes { return &h.probes }

// NewHandler returns a Handler.
func NewHandler(o Options) *Handler { return makeHandler(o, new(shared)) }

// With returns a Handler with other options to take the place of h. It knows what h does:
// which copies caches may have, and which connections are the gateway's own. What is under
// way by h goes on, and is decided anew by whom the new one trusts.
func (h *Handler) With(o Options) *Handler { return makeHandler(o, h.shared) }

func makeHandler(o Options, known *shared) *Handler {
	if o.BeginStorable == nil {
		o.BeginStorable = func() (end func()) { return func() {} }
	}
	if o.AnswerChallenge == nil {
		o.AnswerChallenge = func(http.ResponseWriter, *http.Request) bool { return false }
	}
	h := &Handler{o: o, counters: newCounters(o.Metrics), shared: known}
	if o.HSTS != "" {
		h.hsts = []string{o.HSTS}
	}
	if o.AltSvc != "" {
		h.altSvc = []string{o.AltSvc}
	}
	h.latest.Store(h)
	return h
}

// ServeHTTP is the whole path of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w}
	defer h.recoverPanic(a, r)
	defer h.logExchange(a, r)
	h.begin(a, r)
	if a.hsts = h.hsts; a.hsts != nil {
		a.Header()["Strict-Transport-Security"] = a.hsts // in place of the app's
	}
	if h.altSvc != nil && r.ProtoMajor < 3 && h.isDirect(r) {
		a.altSvc = h.altSvc
	}
	framing := checkFraming(a, r)
	if framing == nil && h.answerOwn(a, r) {
		return
	}
	reviews := h.o.Sessions.Reviews()
	now := h.o.Now()
	compiled := h.o.Policy(now)
	if reason := compiled.Blocked(); reason != "" {
		h.reject(a, r, reason)
		return
	}
	if framing != nil {
		h.reject(a, r, framing)
		return
	}
	facts, err := h.readFacts(r)
	if err != nil {
		h.reject(a, r, err)
		return
	}
	if client, is := h.probes.of(r); is {
		h.answerProbe(a, r, compiled, facts, client)
		return
	}
	verdict, err := h.Decide(compiled, facts)
	if err != nil {
		h.reject(a, r, err)
		return
	}
	decision := verdict.Decision
	a.record.decided(verdict.App, decision)
	defer func() {
		verdict.App.Durations.Observe(decision.Action, a.status, h.o.Now().Sub(now).Seconds())
	}()

	switch {
	case decision.Action == policy.Refuse && requestedMethod(r) != "":
		httpbody.CloseUnread(a, r)
		allowRefusedRequest(a, r)
	case decision.Action == policy.Refuse:
		h.refuse(a, r, compiled, decision, verdict.Place, facts.Host)
	case facts.Path == policy.StatusPath:
		a.record.undecided(verdict.App.Name, own, ownMarketStatus)
		httpbody.CloseUnread(a, r)
		compiled.MarketStatus().For(now, r.Header["Accept"], r.Header["Accept-Language"], r.Header["If-None-Match"]).Write(a, r)
	default:
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		if decision.Action == policy.Forward && decision.Phase == policy.Withdrawn && decision.Class != policy.Essential {
			h.o.Metrics.ForwardedWithdrawn.Inc()
		}
		x := &exchange{h, facts, verdict.App, verdict.Client, cancel, now}
		defer h.o.Sessions.Begin(x)()
		if h.o.Sessions.Reviews() != reviews || h.latest.Load() != h { // since it was decided
			if _, refused := x.Refused(); refused {
				h.reject(a, r, DecidedAnew)
				return
			}
		}
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			defer h.o.Sessions.BeginWebSocket()()
			defer context.AfterFunc(h.o.WebSockets, func() { stopSoon(ctx, cancel) })()
		}
		caching, end := h.followCopies(compiled, verdict, facts, r.Method)
		defer end()
		verdict.App.Forward(a, r.WithContext(ctx), proxy.Forwarding{
			Client:    verdict.Client,
			Proto:     "https",
			RequestID: a.id[0],
			Headers:   verdict.Outcome.ToApp(),
			Response:  verdict.Outcome.ToClient(),
			Caching:   caching,
			Refuse:    func() { h.refuseCut(a, r, x) },
			Measured:  a.record.forwards(ctx),
		})
	}
}

// stopSpread is the time over which WebSockets are closed, so that not all clients come back
// at once.
const stopSpread = time.Second

// stopSoon ends a request as the gateway is being stopped.
func stopSoon(ctx context.Context, cancel context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
	case <-time.After(rand.N(stopSpread)):
		cancel(proxy.ErrStopped)
	}
}

// isDirect reports whether a request came by no trusted proxy. Whoever comes by one would
// pass it by with what the gateway offers.
func (h *Handler) isDirect(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && !h.o.Trusts(peer.Addr())
}

// refuse answers with the notice of a decision on a request from a place.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, compiled *enforce.Compiled, d *policy.Decision, place policy.Place, host string) {
	httpbody.CloseUnread(w, r)
	allowOrigin(w, r)
	s := compiled.Snapshot()
	hidden := compiled.Notices().Hide(d, s.RestOf(place, d), h.refusesPage(s, place, host))
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
