package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// exchange is one request under way and its response. There are two ways for it
// to an upstream: by ReverseProxy and a transport, and, where both sides make it
// simple, the shorter one of http1.go.
type exchange struct {
	app *App
	in  *http.Request
	out http.ResponseWriter
	f   Forwarding

	kind       kind
	connection []string     // the Connection fields that name others
	body       *requestBody // nil if the request has none
	upstream   *upstream    // that the last attempt went to
	uncut      func() bool  // has the body go on if the request's context ends; nil: it does
	call       *grpcCall    // that it is, else nil
	webSocket  *webSocket   // that it was upgraded to, else nil
	hijacked   bool         // the client's connection was, for an upgrade
	complete   bool         // the response has been written, to its end
	watchdog   watchdog
}

// kind is what a request needs of an upstream's connection.
type kind int

const (
	ordinary kind = iota
	grpc
	upgrade
)

func kindOf(h http.Header) kind {
	switch {
	case isGRPC(h):
		return grpc
	case isWebSocket(h) && httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade"):
		return upgrade
	}
	return ordinary
}

func isGRPC(h http.Header) bool {
	// Also application/grpc+proto, application/grpc;…, but not grpc-web,
	// which is made for HTTP/1.1.
	rest, ok := strings.CutPrefix(field(h, "Content-Type"), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

func isWebSocket(h http.Header) bool {
	return len(h["Upgrade"]) == 1 && strings.EqualFold(h["Upgrade"][0], "websocket")
}

func isEventStream(h http.Header) bool {
	return strings.HasPrefix(field(h, "Content-Type"), "text/event-stream")
}

// field returns the first value of the field with a canonical name.
func field(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (x *exchange) forward() {
	x.kind = kindOf(x.in.Header)
	x.connection = connectionOptions(x.in.Header)
	x.watchdog.start(x)
	defer x.end()
	if x.app.http1 && x.isSimple() {
		x.forwardHTTP1()
	} else {
		x.forwardByTransport()
	}
	for _, trailer := range []string{SecretField, http.TrailerPrefix + SecretField} {
		delete(x.out.Header(), trailer)
	}
	x.complete = true
}

func (x *exchange) end() {
	x.watchdog.stop()
	if x.uncut != nil {
		x.uncut()
	}
	if x.call != nil {
		x.call.close()
	}
	if x.body != nil && !x.hijacked {
		x.body.abandon()
		if x.f.Measured != nil {
			x.f.Measured.Received = x.body.size()
		}
	}
	if x.upstream != nil {
		x.upstream.release()
	}
}

func (x *exchange) forwardByTransport() {
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.modifyResponse,
		ErrorHandler:   x.handleError,
		BufferPool:     &x.app.buffers,
		ErrorLog:       x.app.errors,
	}
	in := x.in
	if in.ContentLength != 0 {
		// ReverseProxy closes the body that it was given before the server
		// has sent all of the response. The server's own body, when closed,
		// waits for a client that still owes it (since Go 1.27).
		in = in.WithContext(in.Context())
		in.Body = io.NopCloser(in.Body)
	}
	proxy.ServeHTTP((*clientWriter)(x), in)
}

// rewrite makes the request to the app.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL = target(pr.In)
	for name := range pr.Out.Header {
		if !x.forwards(name) {
			delete(pr.Out.Header, name)
		}
	}
	x.addFields(pr.Out.Header.Add)

	if pr.Out.Body == nil {
		return
	}
	x.body = &requestBody{x: x, src: pr.In.Body}
	if max := x.app.options.MaxBody; max > 0 && pr.In.ContentLength < 0 {
		x.body.src = http.MaxBytesReader(x.out, pr.In.Body, max)
	}
	pr.Out.Body = x.body
	if x.kind != grpc {
		x.uncut = context.AfterFunc(pr.In.Context(), func() {
			if isCut(x.in.Context()) {
				x.body.stop() // a transport of HTTP/2 that waits for more of it hears of nothing else
			}
		})
	}
	if pr.In.ContentLength < 0 {
		// The client's trailers are known when its body ends. By then the
		// transport has this map, and looks into it again.
		x.body.trailer = make(http.Header, len(pr.In.Trailer))
		for name := range pr.In.Trailer {
			if !isReserved(name) {
				x.body.trailer[name] = nil
			}
		}
		pr.Out.Trailer = x.body.trailer
	}
	if pr.In.ProtoMajor == 1 {
		// Otherwise the server would read and drop what is left of the body
		// as soon as the response begins.
		x.watchdog.control.EnableFullDuplex()
	}
}

// RoundTrip implements [http.RoundTripper] for [httputil.ReverseProxy].
func (x *exchange) RoundTrip(out *http.Request) (res *http.Response, err error) {
	if x.kind == grpc {
		out = x.beginGRPC(out)
	}
	err = x.tryUpstreams(func(u *upstream) error {
		res, err = u.roundTrip(out, x.kind)
		return err
	})
	return res, err
}

// tryUpstreams sends a request to one upstream after the other until one can be
// connected to. A request that was sent to an upstream is never sent to another.
func (x *exchange) tryUpstreams(send func(*upstream) error) error {
	var tried []*upstream
	start := time.Now()
	if x.f.Measured != nil {
		defer func() { x.f.Measured.Upstream = time.Since(start) }()
	}
	for {
		u := x.app.upstreams.choose(tried)
		if x.upstream != nil {
			x.upstream.release()
		}
		x.upstream = u
		x.body.reopen()
		err := send(u)
		var dial *dialError
		switch {
		case err == nil:
			if u.health.succeeded() {
				x.app.log.Info("upstream is back", "upstream", u.name)
			}
			return nil
		case !errors.As(err, &dial):
			return err
		}
		if u.health.failed(time.Now()) && len(x.app.upstreams.all) > 1 {
			x.app.log.Warn("upstream is down: its requests go to the others", "upstream", u.name)
		}
		x.report(classify(err), err)
		tried = append(tried, u)
		limit := x.app.options.DialTimeout
		if x.body.started() || limit > 0 && time.Since(start) >= limit || len(tried) == len(x.app.upstreams.all) {
			return err
		}
	}
}

// modifyResponse prepares the response of a transport for ReverseProxy.
func (x *exchange) modifyResponse(res *http.Response) error {
	if err := x.prepareResponse(res); err != nil {
		return err
	}
	switch conn, ok := res.Body.(io.ReadWriteCloser); {
	case ok && res.StatusCode == http.StatusSwitchingProtocols:
		x.webSocket, res.Body = newWebSocket(x.in.Context(), conn)
	case x.kind == grpc:
		res.Body = &grpcBody{responseBody{x: x, src: res.Body}, x.call, res.Trailer}
		x.watchdog.follow(res.Body, true)
	default:
		body := &responseBody{x: x, src: res.Body}
		if res.ContentLength > 0 { // ReverseProxy flushes others by itself
			body.headDue = headFlushAfter
		}
		res.Body = body
		x.watchdog.follow(body, isEventStream(res.Header))
	}
	return nil
}

// prepareResponse checks the head of a response and changes its fields to those
// that the client gets. Hop-by-hop fields are gone by then.
func (x *exchange) prepareResponse(res *http.Response) error {
	if err := x.in.Context().Err(); err != nil {
		return err // it was cut before it was answered, if only just: it can be refused instead
	}
	if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	if res.StatusCode == http.StatusSwitchingProtocols && (x.kind != upgrade || !isWebSocket(res.Header)) {
		return errors.New("an upgrade that nobody asked for")
	}
	x.app.options.OnResponse(x.upstream.name, res.StatusCode)
	// It would lead clients past the gateway.
	delete(res.Header, "Alt-Svc")
	delete(res.Header, SecretField) // of an upgrade, which no WriteHeader sees
	if x.f.RequestID != "" {
		delete(res.Header, "X-Request-Id")
	}
	if _, set := x.out.Header()["Strict-Transport-Security"]; set {
		delete(res.Header, "Strict-Transport-Security") // of two, browsers go by the first (RFC 6797, section 8.1)
	}
	if res.StatusCode == http.StatusNoContent {
		// RFC 9110, section 8.6: it has none. Clients of HTTP/2 would wait for
		// as many bytes, or give the stream up.
		delete(res.Header, "Content-Length")
	}
	if res.ContentLength > 0 {
		x.watchdog.promised()
	}
	if len(res.Trailer) > 0 && x.in.ProtoMajor == 1 {
		// HTTP/2 has trailers after a body of known length; HTTP/1.1 has
		// them only after one in chunks.
		delete(res.Header, "Content-Length")
	}
	if _, ok := res.Header["Content-Type"]; !ok {
		// The app says nothing; without this the server would guess.
		x.out.Header()["Content-Type"] = nil
	}
	x.addResponseFields(res.Header)
	if x.f.Caching != nil && res.StatusCode != http.StatusSwitchingProtocols {
		x.f.Caching().limit(res.Header, x.in, res.StatusCode)
	}
	x.watchdog.responded()
	return nil
}

// addResponseFields adds the fields of [Forwarding.Response].
func (x *exchange) addResponseFields(h http.Header) {
	for _, f := range x.f.Response {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if name != "Link" {
			delete(h, name)
		}
	}
	for _, f := range x.f.Response {
		h.Add(f.Name, f.Value)
	}
}

// bufferPool lends the buffers through which bodies are copied.
type bufferPool struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[bufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, bufferSize)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[bufferSize]byte)(b)) }
