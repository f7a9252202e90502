package request

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/gateway/accesslog"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/policy"
)

// A record is what is logged of an exchange, as it comes to be known. Nothing that a
// client chose freely goes into it, and no address. Nil is an exchange that isn't logged.
type record struct {
	accesslog.Exchange
	begun          time.Time
	forwarding     context.Context // whose cause says whether it was cut; nil: it isn't forwarded
	measured       proxy.Measured
	sent, received atomic.Int64 // bytes: of the body, and both of a WebSocket
}

// What is done with a request, beside a policy.Action.
const (
	rejected = "reject"
	own      = "own" // answered by the gateway, and not decided
)

// The gateway's own answers.
const (
	ownHealth       = "health-check"
	ownChallenge    = "acme-challenge"
	ownRedirect     = "redirect"
	ownMarketStatus = "market-status"
)

// How an exchange ended, if not by itself.
const (
	severed = "severed" // it would have been refused by then
	aborted = "aborted" // by the client, the app, a limit or the end of the gateway
)

func newRecord(r *http.Request, now time.Time) *record {
	rec := &record{begun: now}
	rec.Protocol, rec.Method = protocolOf(r), methodOf(r)
	if r.TLS != nil {
		rec.TLS = r.TLS.Version
	}
	return rec
}

// protocolOf returns a request's protocol as ALPN names it.
func protocolOf(r *http.Request) string {
	switch {
	case r.ProtoMajor == 3:
		return "h3"
	case r.ProtoMajor == 2:
		return "h2"
	case r.ProtoMajor == 1 && r.ProtoMinor == 0:
		return "http/1.0"
	case r.ProtoMajor == 1 && r.ProtoMinor == 1:
		return "http/1.1"
	}
	return "other"
}

// methodOf returns a request's method, "other" if it is none of RFC 9110's or PATCH.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return r.Method
	}
	return "other"
}

// decided notes what was decided for an app. What is decided last counts.
func (rec *record) decided(app App, d *policy.Decision) {
	if rec == nil {
		return
	}
	rec.App, rec.Class, rec.Jurisdiction = app.Name, d.Class, string(whereDecided(d))
	rec.Phase, rec.Decision, rec.Reason = d.Phase.String(), d.Action.String(), d.Reason.String()
}

// whereDecided returns what the rule of a decision is about: an entry of the policy, or a
// jurisdiction whose flags restrict it. It isn't the client's where none is about that: of
// markets that are merely served, nothing is held.
func whereDecided(d *policy.Decision) policy.Code {
	if d.Reason == policy.ByGuarantee || d.Reason == policy.ByFlag {
		return d.Jurisdiction
	}
	return d.Entry
}

// undecided notes that nothing was decided, or not on what was answered: what was done,
// and why. The app is "" if it isn't known.
func (rec *record) undecided(app, decision, reason string) {
	if rec == nil {
		return
	}
	rec.App, rec.Class, rec.Jurisdiction, rec.Phase = app, "", "", ""
	rec.Decision, rec.Reason = decision, reason
}

// forwards notes that a request is forwarded until a context ends, and returns what is to
// be measured of it.
func (rec *record) forwards(ctx context.Context) *proxy.Measured {
	if rec == nil {
		return nil
	}
	rec.forwarding = ctx
	return &rec.measured
}

// logExchange logs the exchange that an answer ends. It is deferred, and goes on with a
// panic that is under way.
func (h *Handler) logExchange(a *answer, r *http.Request) {
	if a.record == nil {
		return
	}
	p := recover()
	e := a.record.ended(r, a, h.o.Now(), p != nil)
	h.o.LogExchange(e)
	if p != nil {
		panic(p)
	}
}

// ended returns the exchange, whole.
func (rec *record) ended(r *http.Request, a *answer, now time.Time, panicked bool) *accesslog.Exchange {
	e := &rec.Exchange
	e.End, e.Duration = now, now.Sub(rec.begun)
	e.RequestID, e.Status = a.id[0], a.status
	e.Upstream = rec.measured.Upstream
	e.Received = rec.measured.Received + rec.received.Load()
	if e.Sent = rec.sent.Load(); r.Method == http.MethodHead {
		e.Sent = 0 // what net/http takes of a body isn't sent
	}
	if a.status == http.StatusSwitchingProtocols {
		e.Protocol = "websocket"
	}
	switch isForwarded := e.Decision == policy.Forward.String() || e.Decision == policy.WouldRefuse.String(); {
	case isForwarded && rec.forwarding != nil && context.Cause(rec.forwarding) == proxy.ErrSevered:
		e.HowEnded = severed
	case panicked, rec.forwarding != nil && context.Cause(rec.forwarding) == proxy.ErrStopped:
		e.HowEnded = aborted
	}
	return e
}

// A measuredConn is a client's connection that has become a WebSocket's.
type measuredConn struct {
	net.Conn
	record *record
}

func (c *measuredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.record.received.Add(int64(n))
	return n, err
}

func (c *measuredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.record.sent.Add(int64(n))
	return n, err
}

// CloseWrite is what a connection without TLS has, too.
func (c *measuredConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
