package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/listen"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/request"
	"github.com/exitgate/exitgate/gateway/wire"
)

// Addresses are where a Gateway listens; "" where it doesn't.
type Addresses struct{ HTTPS, HTTP3, HTTP, Decisions, Admin, Probes, Socket string }

// Listen binds the addresses. Port 0 is any free one: Addresses tells which.
// After an error the Gateway is closed.
func (g *Gateway) Listen() (at Addresses, err error) {
	defer func() {
		if err != nil {
			for _, e := range g.endpoints {
				_ = e.Close() // nothing was accepted
			}
			g.close()
		}
	}()
	for _, reason := range client.Rejections() {
		g.metrics.InitRejection(proxyProtocol + string(reason))
	}
	g.metrics.InitRejection(tooManyBodies)
	if g.config.Listen.Engine == config.Fast {
		for _, abuse := range wire.Abuses() {
			g.metrics.InitRejection(string(abuse))
		}
	}
	requests, cutOff := context.WithCancelCause(context.Background())
	g.cutOff = func() { cutOff(proxy.ErrStopped) }
	public := g.config.Listen
	operators := g.adminHandler(g.control)

	var https, http net.Addr
	if public.HTTPS != "" {
		if https, err = g.listenTCP("https", "listen.https", public.HTTPS, true, g.httpsServer(requests)); err != nil {
			return Addresses{}, err
		}
		at.HTTPS = https.String()
		if public.HTTP3 > 0 {
			http3, err := g.listenHTTP3(requests, https)
			if err != nil {
				return Addresses{}, err
			}
			at.HTTP3 = http3.String()
		}
	}
	if public.HTTP.Address != "" {
		plain := g.redirectServer(https)
		if public.HTTP.Serve {
			plain = g.plainServer(requests)
		}
		if http, err = g.listenTCP("http", "listen.http", public.HTTP.Address, true, plain); err != nil {
			return Addresses{}, err
		}
		at.HTTP = http.String()
	}
	if public.Decisions != "" {
		decisions, err := g.listenTCP("decisions", "listen.decisions", public.Decisions, true, g.decisionServer(requests))
		if err != nil {
			return Addresses{}, err
		}
		at.Decisions = decisions.String()
	}
	if g.public = https; https == nil {
		g.public = http
	}
	certificates := g.service.Load().certs
	certificates.Open(https, http)
	g.onClose(certificates.Close)
	if g.config.Admin.Listen != "" {
		remote := g.adminServer(operators)
		remote.TLSConfig = g.adminTLS
		admin, err := g.listenTCP("admin", "admin.listen", g.config.Admin.Listen, false, remote)
		if err != nil {
			return Addresses{}, err
		}
		at.Admin = admin.String()
	}
	if g.config.Admin.Probes != "" {
		var metrics prometheus.Gatherer
		if g.config.Admin.Metrics {
			metrics = g.registry
		}
		probes, err := g.listenTCP("probes", "admin.probes", g.config.Admin.Probes, false, g.adminServer(admin.NewProbes(g.control, metrics)))
		if err != nil {
			return Addresses{}, err
		}
		at.Probes = probes.String()
	}
	if err := g.sockets.Unused(); err != nil {
		return Addresses{}, err
	}
	socket, err := admin.ListenSocket(g.data.Socket())
	switch {
	case err == nil:
		at.Socket = g.data.Socket()
		g.endpoints = append(g.endpoints, listen.Endpoint{Name: "socket", Server: listen.HTTP(socket, g.adminServer(operators))})
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOSPC), errors.Is(err, admin.ErrLongPath):
		g.log.Error("operators can't use the socket; the gateway serves without it", "error", err, "advice", "make room in the data folder, and let the gateway write to it; if its path is long, choose another; then start it again")
	default:
		return Addresses{}, err
	}
	return at, nil
}

// listenTCP adds an endpoint at a TCP address. A public one may be behind
// something that speaks the PROXY protocol, and is drained.
func (g *Gateway) listenTCP(name, setting, address string, public bool, s *http.Server) (net.Addr, error) {
	sockets := g.sockets
	if name == "admin" {
		sockets = nil // it is where the settings say, which are checked for that
	}
	l, err := sockets.TCP(name, address, setting)
	if err != nil {
		return nil, err
	}
	if public {
		if limit := g.config.Limits.Connections; limit > 0 {
			l = netutil.LimitListener(l, limit)
		}
		l = client.ProxyProtocol(l, g.config.ProxyProtocol, g.config.Limits.HeaderTimeout, func(reason string) {
			g.metrics.Rejected(proxyProtocol + reason)
		})
	}
	g.endpoints = append(g.endpoints, listen.Endpoint{Name: name, Drain: public, Server: listen.HTTP(l, s)})
	return l.Addr(), nil
}

// listenHTTP3 adds an endpoint for HTTP/3 at the UDP port of the HTTPS listener's number.
func (g *Gateway) listenHTTP3(requests context.Context, https net.Addr) (net.Addr, error) {
	host, _, err := net.SplitHostPort(g.config.Listen.HTTPS)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(https.String())
	if err != nil {
		return nil, err
	}
	socket, err := g.sockets.UDP("http3", net.JoinHostPort(host, port), "listen.https, or remove listen.http3")
	if err != nil {
		return nil, err
	}
	s, err := listen.HTTP3(socket, g.httpsServer(requests), listen.HTTP3Options{
		Connections: g.config.Limits.Connections, Active: g.metrics.Connections("h3"),
	})
	if err != nil {
		return nil, err
	}
	g.endpoints = append(g.endpoints, listen.Endpoint{Name: "http3", Drain: true, Server: s})
	return s.Addr(), nil
}

// httpsServer returns the server of the service. Its requests end with the
// context.
func (g *Gateway) httpsServer(requests context.Context) *http.Server {
	s := g.serviceServer(requests, g.serve((*request.Handler).ServeHTTP))
	s.TLSConfig = &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return g.service.Load().certs.GetCertificate(hello)
		},
		MinVersion: tls.VersionTLS12, NextProtos: g.service.Load().certs.Protocols(),
	}
	return s
}

// redirectServer returns the server that sends clients to the HTTPS listener, nil if there
// is none.
func (g *Gateway) redirectServer(https net.Addr) *http.Server {
	return g.publicServer(g.serve(func(h *request.Handler, w http.ResponseWriter, r *http.Request) { h.Redirect(w, r, https) }))
}

// plainServer returns the server of the service behind what ends TLS; such a proxy may
// speak HTTP/2 without it, as gRPC needs.
func (g *Gateway) plainServer(requests context.Context) *http.Server {
	s := g.serviceServer(requests, g.serve((*request.Handler).ServeBehindTLS))
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.ConnContext = request.NoteProxied
	return s
}

// decisionServer returns the server at which proxies ask what becomes of requests.
func (g *Gateway) decisionServer(requests context.Context) *http.Server {
	s := g.publicServer(g.serve((*request.Handler).AnswerDecision))
	s.BaseContext = func(net.Listener) context.Context { return requests }
	return s
}

// serviceServer returns a server of requests that end with the context.
func (g *Gateway) serviceServer(requests context.Context, h http.Handler) *http.Server {
	s := g.publicServer(h)
	s.BaseContext = func(net.Listener) context.Context { return requests }
	s.ConnState = listen.CountConnections(g.metrics.Connections)
	s.HTTP2 = &http.HTTP2Config{WriteByteTimeout: g.config.Limits.StallTimeout}
	if g.config.Listen.Engine == config.Fast {
		wire.ServeHTTP2(s, wire.Options{OnAbuse: func(a wire.Abuse) { g.metrics.Rejected(string(a)) }})
	}
	return s
}

// publicServer returns a server for clients.
func (g *Gateway) publicServer(h http.Handler) *http.Server {
	limits := g.config.Limits
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: limits.HeaderTimeout,
		IdleTimeout:       limits.IdleTimeout,
		WriteTimeout:      2 * limits.StallTimeout, // put off while a forwarded answer moves
		MaxHeaderBytes:    headerRoom * int(limits.Header),
		ErrorLog:          g.errorLog(),

		DisableGeneralOptionsHandler: true, // one path for all requests
	}
}

// errorLog returns where net/http's servers log.
func (g *Gateway) errorLog() *log.Logger {
	return listen.ErrorLog(listen.ErrorLogOptions{
		Log: g.log, OnHandshakeError: g.metrics.HandshakeErrors.Inc, OnConnectionError: g.metrics.ConnectionErrors.Inc, Now: g.elapsed,
	})
}

// adminServer returns a server for operators.
func (g *Gateway) adminServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:        h,
		ConnContext:    admin.ConnContext,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   time.Minute,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       g.errorLog(),
	}
}

// adminHandler answers operators, on the socket and on the admin listener.
func (g *Gateway) adminHandler(service *control.Control) http.Handler {
	return admin.New(admin.Options{
		Metrics:   g.registry,
		Flags:     g.ofrepHandler(),
		Service:   service,
		Log:       g.log,
		Now:       g.elapsed,
		Hosts:     g.config.Admin.Hosts,
		OnFailure: g.metrics.AuthenticationFailures.Inc,
	})
}
