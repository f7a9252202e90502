package listen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/time/rate"
)

// HTTP3Options are what a http.Server doesn't say. The gauge is required.
type HTTP3Options struct {
	// Connections is how many there may be at a time; others are refused. 0: no limit.
	Connections int
	// Active is the gauge of connections whose handshake is done.
	Active prometheus.Gauge
}

const (
	// newConnections is how many connections a second are begun, and at once, before
	// a client has to show that it receives what is sent to its address (RFC 9000,
	// section 8.1.2).
	newConnections = 500
	// What a client may send that nobody has read yet, in bytes: at first, and where it is
	// read fast. All connections together may take as much memory.
	firstWindow, mostWindow = 64 << 10, 1 << 20
	// uniStreams is how many streams a client may open besides those of requests: it needs
	// three (RFC 9114, section 6.2).
	uniStreams = 8
	// closeIdleAfter is for how long a connection has had no request when it is
	// closed, as the server stops.
	closeIdleAfter = 250 * time.Millisecond
)

// HTTP3 returns a Server that speaks HTTP/3 (RFC 9114) on a UDP socket, and does
// with requests what s does. Of its fields, Handler, TLSConfig, BaseContext,
// ReadHeaderTimeout, WriteTimeout, IdleTimeout and MaxHeaderBytes mean the same as
// over TCP, but that ReadHeaderTimeout is for the handshake. It owns the socket.
//
// A request's RemoteAddr is where the client is when it begins, as connections
// migrate (RFC 9000, section 9). Nothing is served before the handshake is done: there
// is no 0-RTT, which could be replayed.
func HTTP3(socket net.PacketConn, s *http.Server, o HTTP3Options) (Server, error) {
	h := &http3Server{socket: socket, server: s, options: o, requests: context.Background(), conns: make(map[*http3Conn]struct{})}
	if s.BaseContext != nil {
		h.requests = s.BaseContext(nil)
	}
	begun := rate.NewLimiter(newConnections, newConnections)
	h.transport = &quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return !begun.Allow() },
		ConnContext:         h.countConnection,
	}
	h.http3 = &http3.Server{
		Handler: h, MaxHeaderBytes: s.MaxHeaderBytes, IdleTimeout: s.IdleTimeout, ConnContext: h.begin,
		Logger: slog.New(slog.DiscardHandler), // it would log addresses and paths
	}
	var err error
	h.listener, err = h.transport.Listen(http3.ConfigureTLSConfig(s.TLSConfig), &quic.Config{
		HandshakeIdleTimeout: s.ReadHeaderTimeout, MaxIdleTimeout: s.IdleTimeout, MaxIncomingUniStreams: uniStreams,
		InitialStreamReceiveWindow: firstWindow, InitialConnectionReceiveWindow: 2 * firstWindow,
		MaxStreamReceiveWindow: mostWindow, MaxConnectionReceiveWindow: 2 * mostWindow,
	})
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return h, nil
}

type http3Server struct {
	socket    net.PacketConn
	server    *http.Server
	options   HTTP3Options
	requests  context.Context // that all requests end with
	transport *quic.Transport
	listener  *quic.Listener
	http3     *http3.Server
	open      atomic.Int64 // connections, with those whose handshake is under way

	mu    sync.Mutex
	conns map[*http3Conn]struct{}
}

// An http3Conn is a connection whose handshake is done.
type http3Conn struct {
	*quic.Conn
	active atomic.Int64 // requests
	last   atomic.Int64 // Unix time in nanoseconds at which one began or ended
}

type http3ConnKey struct{}

func (s *http3Server) Addr() net.Addr { return s.socket.LocalAddr() }

func (s *http3Server) Serve() error { return s.http3.ServeListener(s.listener) }

func (s *http3Server) Shutdown(ctx context.Context) error {
	_ = s.listener.Close() // connections that there are go on
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go s.closeIdle(ctx)
	return s.http3.Shutdown(ctx)
}

func (s *http3Server) Close() error {
	return errors.Join(s.http3.Close(), s.listener.Close(), s.transport.Close(), s.socket.Close())
}

// countConnection refuses a connection beyond the limit.
func (s *http3Server) countConnection(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	n := s.open.Add(1)
	if limit := int64(s.options.Connections); limit > 0 && n > limit {
		s.open.Add(-1)
		return nil, errors.New("there are too many connections")
	}
	context.AfterFunc(ctx, func() { s.open.Add(-1) })
	return ctx, nil
}

// begin returns the context of a connection's requests. It ends as those of the server do,
// for the same cause.
func (s *http3Server) begin(ctx context.Context, c *quic.Conn) context.Context {
	conn := &http3Conn{Conn: c}
	conn.last.Store(time.Now().UnixNano())
	s.mu.Lock()
	s.conns[conn] = struct{}{}
	s.mu.Unlock()
	s.options.Active.Inc()
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.requests, func() { end(context.Cause(s.requests)) })
	context.AfterFunc(c.Context(), func() {
		stop()
		end(nil)
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		s.options.Active.Dec()
	})
	return context.WithValue(ctx, http3ConnKey{}, conn)
}

// closeIdle closes the connections that have no request, and are told already to begin
// none, until the context ends. Else a client could keep the server from stopping.
func (s *http3Server) closeIdle(ctx context.Context) {
	tick := time.NewTicker(closeIdleAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.mu.Lock()
			for c := range s.conns {
				if c.active.Load() == 0 && now.UnixNano()-c.last.Load() >= int64(closeIdleAfter) {
					_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // it may be closed
				}
			}
			s.mu.Unlock()
		}
	}
}

// ServeHTTP has the server's handler find what net/http would give it.
func (s *http3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(http3ConnKey{}).(*http3Conn); ok {
		c.active.Add(1)
		defer func() {
			c.last.Store(time.Now().UnixNano())
			c.active.Add(-1)
		}()
	}
	r.Proto = "HTTP/3.0" // not that of an extended CONNECT
	control := http.NewResponseController(w)
	if limit := s.server.WriteTimeout; limit > 0 {
		_ = control.SetWriteDeadline(time.Now().Add(limit)) // of a stream that is alive
	}
	if r.Header.Get("Expect") != "" {
		e := &expectation{ResponseWriter: w}
		w, r.Body = e, &expectedBody{r.Body, e}
	} else if r.ContentLength < 0 && isUsuallyWithoutContent(r.Method) {
		s.readContent(control, r)
	}
	s.server.Handler.ServeHTTP(w, r)
}

// isUsuallyWithoutContent reports whether content has no defined meaning in a request
// with a method (RFC 9110, section 9.3).
func isUsuallyWithoutContent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

// readContent finds out whether a request that doesn't say so has content: HTTP/3
// has no flag for that beside the header, as HTTP/2 has. It aborts a request that doesn't
// go on in time.
func (s *http3Server) readContent(control *http.ResponseController, r *http.Request) {
	if limit := s.server.ReadHeaderTimeout; limit > 0 {
		_ = control.SetReadDeadline(time.Now().Add(limit))
	}
	var first [1]byte
	switch n, err := io.ReadFull(r.Body, first[:]); {
	case n > 0:
		r.Body = &prefixedBody{first[:], r.Body}
	case err == io.EOF:
		r.Body, r.ContentLength = http.NoBody, 0
	default:
		panic(http.ErrAbortHandler)
	}
	_ = control.SetReadDeadline(time.Time{})
}

// prefixedBody is a body of which some has been read.
type prefixedBody struct {
	read []byte
	io.ReadCloser
}

func (b *prefixedBody) Read(p []byte) (int, error) {
	if len(b.read) > 0 {
		n := copy(p, b.read)
		b.read = b.read[n:]
		return n, nil
	}
	return b.ReadCloser.Read(p)
}

// expectation is the answer to a request that expects to be told to go on with its body
// (RFC 9110, section 10.1.1). It is, as soon as somebody reads that, unless the answer
// has begun.
type expectation struct {
	http.ResponseWriter
	mu   sync.Mutex
	done bool
}

// Unwrap is for [http.ResponseController].
func (e *expectation) Unwrap() http.ResponseWriter { return e.ResponseWriter }

func (e *expectation) WriteHeader(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done = e.done || status >= http.StatusOK || status == http.StatusContinue
	e.ResponseWriter.WriteHeader(status)
}

func (e *expectation) Write(p []byte) (int, error) {
	e.mu.Lock()
	e.done = true
	e.mu.Unlock()
	return e.ResponseWriter.Write(p)
}

// goOn tells the client to send its body.
func (e *expectation) goOn() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.done {
		e.done = true
		e.ResponseWriter.WriteHeader(http.StatusContinue)
	}
}

type expectedBody struct {
	io.ReadCloser
	expectation *expectation
}

func (b *expectedBody) Read(p []byte) (int, error) {
	b.expectation.goOn()
	return b.ReadCloser.Read(p)
}
