package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/httpbody"
)

// servers are what a Gateway listens with.
type servers struct {
	https, http, admin net.Listener // nil: turned off
	socket             net.Listener
	upgraded           atomic.Int64 // connections that net/http forgot about
	draining           atomic.Bool
}

// Addresses are where a Gateway listens; "" where it doesn't.
type Addresses struct{ HTTPS, HTTP, Admin, Socket string }

// Listen opens the listeners. Port 0 is any free one: Addresses tells which. If
// it fails, the Gateway is closed.
// After an error the Gateway is of no use any more.
func (g *Gateway) Listen() (Addresses, error) {
	var addresses Addresses
	for _, l := range []struct {
		configured, setting string
		listener            *net.Listener
		address             *string
	}{
		{g.config.Listen.HTTPS, "listen.https", &g.servers.https, &addresses.HTTPS},
		{g.config.Listen.HTTP, "listen.http", &g.servers.http, &addresses.HTTP},
		{g.config.Admin.Listen, "admin.listen", &g.servers.admin, &addresses.Admin},
	} {
		if l.configured == "" {
			continue
		}
		listener, err := net.Listen("tcp", l.configured)
		if err != nil {
			g.closeListeners()
			g.close()
			return Addresses{}, fmt.Errorf("%w; choose another address for %s", err, l.setting)
		}
		*l.listener, *l.address = listener, listener.Addr().String()
	}
	var err error
	g.servers.socket, err = admin.ListenSocket(g.data.Socket())
	switch {
	case err == nil:
		addresses.Socket = g.data.Socket()
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOSPC), errors.Is(err, admin.ErrLongPath):
		g.servers.socket = nil // not one with nothing in it
		g.log.Error("operators can't use the socket; the gateway serves without it", "error", err, "advice", "make room in the data folder, and let the gateway write to it; if its path is long, choose another; then start it again")
	default:
		g.closeListeners()
		g.close()
		return Addresses{}, err
	}
	return addresses, nil
}

func (g *Gateway) closeListeners() {
	for _, l := range []net.Listener{g.servers.https, g.servers.http, g.servers.admin, g.servers.socket} {
		if l != nil {
			_ = l.Close() // nothing was accepted
		}
	}
}

// Serve serves until the context ends. Then it accepts nothing more, lets what
// is under way finish within the drain, cuts off the rest and returns nil. Call
// Listen before; call it once.
func (g *Gateway) Serve(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { g.engine.FollowSchedule(background) })
	running.Go(func() { g.engine.FollowFlags(background) })
	running.Go(func() { g.sweepTraffic(background) })
	running.Go(func() { settle(background) })
	g.watch(background, &running)

	// Requests outlive ctx, until the drain is over.
	requests, cutOff := context.WithCancel(background)
	defer cutOff()
	public, redirect := g.publicServer(requests), g.redirectServer()
	operators := g.adminHandler()
	remote, local := g.adminServer(operators), g.adminServer(operators)

	failed := make(chan error, 4)
	serve := func(what string, l net.Listener, run func(net.Listener) error) {
		if l == nil {
			return
		}
		running.Go(func() {
			if err := run(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s listener: %w", what, err)
			}
		})
	}
	serve("https", g.proxied(g.servers.https), func(l net.Listener) error { return public.ServeTLS(l, "", "") })
	serve("http", g.proxied(g.servers.http), redirect.Serve)
	serveRemote := remote.Serve
	if g.adminTLS != nil {
		remote.TLSConfig = g.adminTLS
		serveRemote = func(l net.Listener) error { return remote.ServeTLS(l, "", "") }
	}
	serve("admin", g.servers.admin, serveRemote)
	serve("socket", g.servers.socket, local.Serve)

	var failure error
	select {
	case <-ctx.Done():
		g.log.Info("stopping", "drain", g.config.Drain)
	case failure = <-failed:
	}
	g.events.Close()
	g.drain(public, redirect)
	cutOff()
	g.upgradesEnd(background)
	for _, s := range []*http.Server{public, redirect, remote, local} {
		_ = s.Close() // what is still open now is to be cut off
	}
	stop() // nothing follows what is closed now
	g.close()
	return failure
}

// sweepTraffic dates the counts of requests, until the context ends.
func (g *Gateway) sweepTraffic(ctx context.Context) {
	sweep := time.NewTicker(5 * time.Second)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			g.traffic.Sweep(g.now())
		}
	}
}

// settle gives back what only the start has needed: databases and a ledger are
// read through, and NATS holds what it has read for ten seconds. Else it would
// take Go minutes.
func settle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(15 * time.Second):
		runtime.GC() // what is in pools outlives one
		debug.FreeOSMemory()
	}
}

// drain lets what is under way finish. The operators' listener stays up, to
// say so.
func (g *Gateway) drain(servers ...*http.Server) {
	g.servers.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Drain)
	defer cancel()
	var draining sync.WaitGroup
	for _, s := range servers {
		draining.Go(func() { _ = s.Shutdown(ctx) })
	}
	draining.Wait()
	g.upgradesEnd(ctx)
	if ctx.Err() != nil {
		g.log.Warn("the drain is over; cutting off what is left")
	}
}

// upgradesEnd waits until no upgraded connection is left, as Shutdown does for
// the others, or the context ends.
func (g *Gateway) upgradesEnd(ctx context.Context) {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for g.servers.upgraded.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// watch takes changed files into use.
func (g *Gateway) watch(ctx context.Context, running *sync.WaitGroup) {
	running.Go(func() { g.geo.Watch(ctx) })
	running.Go(func() { g.source.Run(ctx) })
	running.Go(func() { g.certs.Watch(ctx) })
}

// proxyProtocol begins the reasons for which connections are rejected.
const proxyProtocol = "proxy-protocol-"

// proxied reads PROXY protocol headers where they are expected.
func (g *Gateway) proxied(l net.Listener) net.Listener {
	if l == nil {
		return nil
	}
	return client.ProxyProtocol(l, g.config.ProxyProtocol, g.config.Limits.HeaderTimeout, func(reason string) {
		g.metrics.Rejected(proxyProtocol + reason)
	})
}

// publicServer returns the server of the service.
func (g *Gateway) publicServer(requests context.Context) *http.Server {
	limits := g.config.Limits
	s := g.server(g)
	s.TLSConfig = &tls.Config{GetCertificate: g.certs.GetCertificate, MinVersion: tls.VersionTLS12}
	s.BaseContext = func(net.Listener) context.Context { return requests }
	s.ConnState = g.connections()
	s.HTTP2 = &http.HTTP2Config{WriteByteTimeout: limits.StallTimeout}
	return s
}

// redirectServer returns the server of the plain listener.
func (g *Gateway) redirectServer() *http.Server {
	return g.server(g.certs.HTTPHandler(http.HandlerFunc(g.redirect)))
}

func (g *Gateway) server(h http.Handler) *http.Server {
	limits := g.config.Limits
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: limits.HeaderTimeout,
		IdleTimeout:       limits.IdleTimeout,
		WriteTimeout:      2 * limits.StallTimeout, // put off while a forwarded answer moves
		MaxHeaderBytes:    int(limits.Header),
		ErrorLog:          g.serverLog(),

		DisableGeneralOptionsHandler: true, // one path for all requests
	}
}

// adminHandler answers operators, on the socket and on the admin listener.
func (g *Gateway) adminHandler() http.Handler {
	operators := g.newControl()
	return admin.New(admin.Options{
		Metrics:   g.registry,
		Readiness: operators.Readiness,
		Flags:     g.ofrepHandler(),
		Service:   operators,
		Log:       g.log,
		Now:       g.now,
		Hosts:     g.config.Admin.Hosts,
		OnFailure: g.metrics.AuthenticationFailed,
	})
}

// adminServer returns a server for operators. One server can't speak TLS on one
// listener and not on another: net/http sets HTTP/2 up once.
func (g *Gateway) adminServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:        h,
		ConnContext:    admin.ConnContext,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   time.Minute,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       g.serverLog(),
	}
}

// loadAdminTLS reads what the admin listener shows, and whom it lets in.
func loadAdminTLS(c config.AdminTLS) (*tls.Config, error) {
	if c == (config.AdminTLS{}) {
		return nil, nil
	}
	t, err := certs.ServerTLS(certs.Pair{Cert: c.Cert, Key: c.Key}, c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("admin.tls: %w", err)
	}
	return t, nil
}

// redirect sends a client of the plain listener to the HTTPS one: at its own
// port if the client came to this listener's port, at the usual one if
// something in front has mapped the ports.
func (g *Gateway) redirect(w http.ResponseWriter, r *http.Request) {
	defer g.survive(w, r)
	host, _, err := wellFormed(r)
	if err != nil {
		g.reject(w, r, err)
		return
	}
	if _, known := g.apps.find(host); !known {
		g.reject(w, r, errUnknownHost)
		return
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	_, mapped, _ := net.SplitHostPort(r.Host)
	if _, port, err := net.SplitHostPort(g.servers.https.Addr().String()); err == nil && mapped != "" && port != "443" {
		host += ":" + port
	}
	httpbody.CloseUnread(w, r)
	// A body is not sent in the clear twice.
	w.Header().Set("Connection", "close")
	w.Header().Set("Location", "https://"+host+r.URL.RequestURI())
	w.WriteHeader(http.StatusPermanentRedirect)
}

// track counts a WebSocket while it lasts, and makes the drain wait for it:
// net/http forgets about these.
func (g *Gateway) track(r *http.Request) (done func()) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return func() {}
	}
	g.servers.upgraded.Add(1)
	g.counters.websockets.Inc()
	return func() {
		g.counters.websockets.Dec()
		g.servers.upgraded.Add(-1)
	}
}

// connections counts the connections of the public listener by protocol.
func (g *Gateway) connections() func(net.Conn, http.ConnState) {
	gauges := map[string]interface {
		Inc()
		Dec()
	}{
		"http/1.1": g.metrics.Connections("http/1.1"),
		"h2":       g.metrics.Connections("h2"),
	}
	var counted sync.Map // net.Conn → protocol
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateActive: // after the handshake, then for each request of HTTP/1.1
			if _, known := counted.Load(c); known {
				return
			}
			protocol := "http/1.1"
			if t, ok := c.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
				protocol = "h2"
			}
			counted.Store(c, protocol)
			gauges[protocol].Inc()
		case http.StateHijacked, http.StateClosed:
			if protocol, known := counted.LoadAndDelete(c); known {
				gauges[protocol.(string)].Dec()
			}
		}
	}
}
