// Package proxy forwards requests to an app's upstreams.
//
// It decides nothing: the caller of [App.Forward] has made sure that the request
// may be forwarded. It sees to it that what the app reads about who and where
// the client is comes from the gateway, and not from the client; that the path
// that was decided on is the path that is sent; and that neither a slow or
// broken client nor a slow or broken upstream is a burden to others.
//
// Nothing in here logs, counts or returns an address of a client.
package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Options are where an app is, and the limits for it and its clients. Of the
// durations and limits, zero means the default that is given here, and
// a negative duration means no limit.
type Options struct {
	// Upstreams are the app's addresses, which are taken for equal:
	//
	//	http://HOST[:PORT]   HTTP/1.1; gRPC over HTTP/2 with prior knowledge
	//	https://HOST[:PORT]  HTTP/2 where offered, else HTTP/1.1
	//	h2c://HOST:PORT      HTTP/2 with prior knowledge; WebSockets over HTTP/1.1
	//	unix:/PATH           as http, over a Unix socket
	//	unix+h2c:/PATH       as h2c, over a Unix socket
	Upstreams []string

	// Credentials are what the upstreams and the gateway know each other by.
	Credentials CredentialSource
	// ServerName, if not empty, is the name expected in the certificates of
	// https upstreams, instead of the host of the upstream's URL.
	ServerName string

	// DialTimeout is for connecting, TLS handshake included: 5 s. No
	// attempt at another upstream starts later than this either.
	DialTimeout time.Duration
	// ResponseHeaderTimeout is how long an upstream may take between the
	// end of the request and the start of its response: 60 s. It is not
	// applied to gRPC, whose requests carry their own deadline.
	ResponseHeaderTimeout time.Duration
	// ResponseIdle is how long an upstream may pause within a response:
	// 5 min; within one of known length no longer than
	// ResponseHeaderTimeout. It is not applied to event streams, gRPC and
	// upgraded connections, for which silence is normal.
	ResponseIdle time.Duration

	// BodyIdle is how long a client may pause while it owes a request's
	// body, or take to accept the next part (up to 32 KiB) of a response:
	// 30 s. A pause within a request's body is nobody's fault once the
	// upstream has begun its response, or in gRPC: both sides may be waiting
	// for each other.
	//
	// What little net/http writes after Forward has returned isn't seen
	// here. Give the server a WriteTimeout of at least twice BodyIdle for
	// that; Forward puts it off for as long as the client isn't slow.
	BodyIdle time.Duration
	// BodyRate is the least of bytes a second at which a client must send a
	// request's body, on average over the time that it is waited for: 256.
	// It may be 32 KiB behind that. Like BodyIdle, it says nothing once the
	// upstream has begun its response, or in gRPC. Negative: no limit.
	BodyRate int
	// MaxBodies is how many requests with a body may be under way, but for
	// gRPC; zero or less: no limit. Others are answered with 503.
	MaxBodies int
	// MaxBody is the largest request body in bytes; zero or less: no
	// limit. A larger one is answered with 413.
	MaxBody int64

	// Forwarded asks for a Forwarded header (RFC 7239) besides the
	// X-Forwarded ones.
	Forwarded bool

	// OnBusy, if not nil, is called for every request that MaxBodies refuses.
	OnBusy func()
	// Logger is for upstreams that fail. Default: discards.
	Logger *slog.Logger
	// OnResponse, if not nil, is called for every request for which an
	// upstream was tried: with the upstream as it is written in Upstreams,
	// and the status of its response, or else the status that the client
	// got in its place; 499 stands for a client that left before there was
	// a response.
	OnResponse func(upstream string, code int)
}

// Field is a header field.
type Field = struct{ Name, Value string }

// Forwarding is what the gateway knows about a request that it forwards.
type Forwarding struct {
	// Client is the address that the gateway found the request to come
	// from, for X-Forwarded-For and Forwarded.
	Client netip.Addr
	// Proto is the scheme that the client used, "http" or "https". Empty:
	// what the connection says.
	Proto string
	// RequestID is sent as X-Request-Id unless it is empty. Of the app's answer
	// a field of this name isn't forwarded: the caller has its own in there.
	RequestID string
	// Headers are sent to the app. A client can neither set nor remove
	// fields of these names.
	Headers []Field
	// Response are added to the final response, whoever gives it. They
	// replace the app's fields of the same name, except Link, which is a
	// list to add to.
	Response []Field
	// Caching, if not nil, is asked when the head of the app's response is
	// there: until when caches may give that out.
	Caching func() Caching
	// Refuse answers instead of an upstream if the request is cut, by ErrSevered,
	// before one has. Nil: the client's connection or stream is aborted.
	Refuse func()
	// Measured, if not nil, is set when Forward ends, also by a panic.
	Measured *Measured
}

// Measured is what can be seen of a request that was forwarded by nobody but the proxy.
type Measured struct {
	// Upstream is how long it took to get the head of a response, or none, from
	// the upstreams that were tried: with the connecting, and with what the
	// client took to send a body. 0: none was tried.
	Upstream time.Duration
	Received int64 // bytes of the request's body that were read
}

// App is an app behind the gateway: its upstreams, their health and the
// connections to them. It is safe for concurrent use.
type App struct {
	options   Options
	upstreams balancer
	bodies    atomic.Int64 // under way
	http1     bool         // all upstreams speak plain HTTP/1.1
	buffers   bufferPool
	errors    *log.Logger // of ReverseProxy
	log       *slog.Logger

	credentials atomic.Pointer[Credentials]
	failure     atomic.Pointer[CredentialFailure]
}

// New returns the app at the upstreams of the options. It doesn't connect to
// them yet: an app may start after its gateway.
func New(o Options) (*App, error) {
	if len(o.Upstreams) == 0 {
		return nil, errors.New("an app needs at least one upstream, such as http://127.0.0.1:3000")
	}
	orElse := func(d *time.Duration, otherwise time.Duration) {
		switch {
		case *d == 0:
			*d = otherwise
		case *d < 0:
			*d = 0
		}
	}
	orElse(&o.DialTimeout, 5*time.Second)
	orElse(&o.ResponseHeaderTimeout, time.Minute)
	orElse(&o.ResponseIdle, 5*time.Minute)
	orElse(&o.BodyIdle, 30*time.Second)
	if o.BodyRate == 0 {
		o.BodyRate = 256
	}
	if o.OnBusy == nil {
		o.OnBusy = func() {}
	}
	if o.Credentials.OnFailure == nil {
		o.Credentials.OnFailure = func() {}
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.OnResponse == nil {
		o.OnResponse = func(string, int) {}
	}

	a := &App{
		options: o,
		// What ReverseProxy logs by itself may name a client. All that it
		// could say reaches us as an error, too.
		errors: log.New(io.Discard, "", 0),
		log:    o.Logger,
	}
	seen := make(map[string]bool)
	for _, address := range o.Upstreams {
		if seen[address] {
			return nil, fmt.Errorf("upstream %q is listed twice: remove one", address)
		}
		seen[address] = true
		u, err := newUpstream(address, &a.options)
		if err != nil {
			return nil, err
		}
		a.upstreams.all = append(a.upstreams.all, u)
	}
	var credentials Credentials
	if o.Credentials.Load != nil {
		var err error
		if credentials, err = o.Credentials.Load(); err != nil {
			return nil, err
		}
	}
	a.use(credentials)
	a.http1 = !slices.ContainsFunc(a.upstreams.all, func(u *upstream) bool { return u.http1 == nil })
	return a, nil
}

// Close closes the connections to the upstreams that no request uses. Requests
// under way keep theirs; new ones may still be forwarded.
func (a *App) Close() {
	for _, u := range a.upstreams.all {
		u.closeIdle()
	}
}

// Forward sends r to one of the upstreams and the response to w. It sends
// r.RequestURI and r.Host as they were received; a change to r.URL isn't looked
// at. It returns when the response is complete, and panics with
// [http.ErrAbortHandler] when it can't be completed.
//
// w must give way, through an Unwrap method if need be, to what
// [http.ResponseController] needs.
func (a *App) Forward(w http.ResponseWriter, r *http.Request, f Forwarding) {
	x := &exchange{app: a, in: r, out: w, f: f}
	switch {
	case strings.ContainsFunc(r.RequestURI, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		// HTTP/2 could carry it. In HTTP/1.1 it would be another target.
		x.respond(http.StatusBadRequest, detailMalformed)
	case r.Method == http.MethodConnect:
		x.reject(http.StatusNotImplemented, "This service is not a tunnel.")
	case a.options.MaxBody > 0 && r.ContentLength > a.options.MaxBody:
		x.reject(http.StatusRequestEntityTooLarge, detailTooLarge)
	case r.ContentLength == 0 || isGRPC(r.Header):
		x.forward()
	case a.bodies.Add(1) > int64(a.options.MaxBodies) && a.options.MaxBodies > 0:
		a.bodies.Add(-1)
		a.options.OnBusy()
		w.Header().Set("Retry-After", "5")
		x.reject(http.StatusServiceUnavailable, "Too many uploads are under way. Try again later.")
	default:
		defer a.bodies.Add(-1)
		x.forward()
	}
}
