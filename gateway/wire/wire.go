// Package wire is the gateway's own HTTP/2 server (RFC 9113), for the engine
// "fast". It plugs into a http.Server, which accepts connections, does their TLS
// handshakes, keeps HTTP/1.1 and knows all connections when it shuts down; and it
// runs the same http.Handler, with the same limits, so that a request is decided,
// counted, forwarded and cut by the same code, whichever engine reads it.
//
// What makes it cheap is who does what. The goroutine of a connection reads
// frames, and nothing else. A goroutine of each stream runs the handler, and
// encodes its answer by itself: fields are encoded by HPACK's static table alone
// (RFC 7541, appendix A), so that encoders share no state. What is to be sent is
// gathered: who finds that nobody is writing does so, after it has let others run
// once, and so writes the answers of several streams at once (output). A slow
// upstream of one stream delays no other.
//
// Framing and the decompression of fields are golang.org/x/net/http2's. Windows,
// budgets, frames and fields to send are state machines without I/O, which take
// the time as an argument.
//
// In this package one mutex a connection guards all that its goroutines share;
// nothing that may block is done while it is held.
package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Abuse is why a connection was ended, as its client asked for more work that
// comes to nothing than honest ones do. It is a label of a metric.
type Abuse string

// The kinds of Abuse.
const (
	Resets   Abuse = "too-many-resets"      // streams that were reset, by the client or by its errors
	Pings    Abuse = "too-many-pings"       // PING
	Settings Abuse = "too-many-settings"    // SETTINGS
	Idle     Abuse = "too-many-idle-frames" // PRIORITY, unknown frames, DATA without data, WINDOW_UPDATE without need
)

// Abuses returns all kinds of Abuse.
func Abuses() []Abuse { return []Abuse{Resets, Pings, Settings, Idle} }

// Options are what a http.Server doesn't say.
type Options struct {
	// OnAbuse is told why a connection was ended. It must not block. Required.
	OnAbuse func(Abuse)
}

// ServeHTTP2 has a server speak HTTP/2 by this package. It must be called before
// the server serves. Of the server's fields, Handler, IdleTimeout, WriteTimeout,
// HTTP2.WriteByteTimeout, MaxHeaderBytes, ConnState and ErrorLog mean the same as
// with net/http's own HTTP/2.
func ServeHTTP2(s *http.Server, o Options) {
	e := &engine{server: s, onAbuse: o.OnAbuse, conns: make(map[*conn]struct{})}
	s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, h http.Handler) {
			state := c.ConnectionState()
			e.serve(c, &state, h)
		},
		// This is how net/http hands over a connection that has begun as HTTP/2 without TLS.
		"unencrypted_http2": func(_ *http.Server, c *tls.Conn, h http.Handler) {
			plain, ok := c.NetConn().(interface{ UnencryptedNetConn() net.Conn })
			if !ok {
				_ = c.Close() // nothing is known of it
				return
			}
			e.serve(plain.UnencryptedNetConn(), nil, h)
		},
	}
	s.RegisterOnShutdown(e.shutDown)
}

// engine is what the connections of a server share.
type engine struct {
	server  *http.Server
	onAbuse func(Abuse)
	dates   dateCache
	workers workers

	mu       sync.Mutex
	conns    map[*conn]struct{}
	shutting bool
}

// serve serves a connection until it is to be closed.
func (e *engine) serve(nc net.Conn, state *tls.ConnectionState, h http.Handler) {
	ctx := context.Background()
	if b, ok := h.(interface{ BaseContext() context.Context }); ok {
		ctx = b.BaseContext()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := newConn(ctx, e, nc, state, h)
	e.mu.Lock()
	e.conns[c] = struct{}{}
	e.workers.setOpen(true)
	shutting := e.shutting
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.conns, c)
		e.workers.setOpen(len(e.conns) > 0)
		e.mu.Unlock()
	}()
	if hook := e.server.ConnState; hook != nil {
		hook(nc, http.StateActive)
	}
	if shutting {
		c.shutDown()
	}
	c.serve()
}

// shutDown has all connections end once their streams have.
func (e *engine) shutDown() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shutting = true
	for c := range e.conns {
		c.shutDown()
	}
}

// maxHeaderListSize is the limit of a request's fields, by HPACK's reckoning, as
// net/http has it: there, 32 bytes a field come on top of their names and values.
func (e *engine) maxHeaderListSize() uint32 {
	n := e.server.MaxHeaderBytes
	if n <= 0 {
		n = http.DefaultMaxHeaderBytes
	}
	const typicalFields, perField = 10, 32
	return uint32(n + typicalFields*perField)
}

func (e *engine) writeTimeout() time.Duration {
	if e.server.HTTP2 == nil {
		return 0
	}
	return e.server.HTTP2.WriteByteTimeout
}

func (e *engine) logf(format string, args ...any) {
	if l := e.server.ErrorLog; l != nil {
		l.Printf(format, args...)
	}
}

// dateCache makes the value of the Date field once a second.
type dateCache struct{ latest atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

func (d *dateCache) at(now time.Time) string {
	if latest := d.latest.Load(); latest != nil && latest.second == now.Unix() {
		return latest.text
	}
	made := &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
	d.latest.Store(made)
	return made.text
}
