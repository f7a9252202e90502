package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// exchange is one request under way and its answer.
type exchange struct {
	app *App
	in  *http.Request
	out http.ResponseWriter
	f   Forwarding

	kind     kind
	body     *requestBody // nil if the request has none
	upstream *upstream    // that the last attempt went to
	hijacked bool         // the client's connection was, for an upgrade
	complete bool         // there is an answer, and it is at its end
	watch    watch
}

// kind is what a request needs of an upstream's connection.
type kind int

const (
	ordinary kind = iota
	grpc
	upgrade
)

func kindOf(r *http.Request) kind {
	switch {
	case isGRPC(r.Header):
		return grpc
	case isWebSocket(r.Header):
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

// field returns the first value of the field with a canonical name.
func field(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (x *exchange) forward() {
	x.kind = kindOf(x.in)
	x.watch.start(x)
	defer x.end()
	if x.app.plain && x.isPlain() {
		x.forwardPlain()
		x.complete = true
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.accept,
		ErrorHandler:   x.fail,
		BufferPool:     &x.app.buffers,
		ErrorLog:       x.app.errors,
	}
	in := x.in
	if in.ContentLength != 0 {
		// ReverseProxy closes the body that it was given before the server
		// has sent all of the answer. The server's own body, when closed,
		// waits for a client that still owes it (since Go 1.27).
		in = in.WithContext(in.Context())
		in.Body = io.NopCloser(in.Body)
	}
	proxy.ServeHTTP((*clientWriter)(x), in)
	x.complete = true
}

func (x *exchange) end() {
	x.watch.stop()
	if x.body != nil && !x.hijacked {
		x.body.abandon()
	}
	if x.upstream != nil {
		x.upstream.done()
	}
}

// rewrite makes the request to the app. ReverseProxy has removed the hop-by-hop
// fields, and what the client named in Connection, before: nothing that is set
// here can be removed by a client.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL = target(pr.In)
	x.stripClaims(pr.Out.Header)
	if x.kind != upgrade {
		// Nothing but a WebSocket is let through. An upgrade to h2c, say,
		// would be a tunnel past every decision.
		delete(pr.Out.Header, "Upgrade")
		delete(pr.Out.Header, "Connection")
	}
	x.tell(pr.Out.Header.Add)

	if pr.Out.Body == nil {
		return
	}
	x.body = &requestBody{x: x, src: pr.In.Body, chunked: pr.In.ContentLength < 0}
	if max := x.app.options.MaxBody; max > 0 && x.body.chunked {
		x.body.src = http.MaxBytesReader(x.out, pr.In.Body, max)
	}
	pr.Out.Body = x.body
	if x.body.chunked {
		// The client's trailers are known when its body ends. By then the
		// transport has this map, and looks into it again.
		x.body.trailer = make(http.Header, len(pr.In.Trailer))
		for name := range pr.In.Trailer {
			if !isClaim(name) {
				x.body.trailer[name] = nil
			}
		}
		pr.Out.Trailer = x.body.trailer
	}
	if pr.In.ProtoMajor == 1 {
		// Otherwise the server would swallow what is left of the body as
		// soon as the upstream begins to answer.
		x.watch.control.EnableFullDuplex()
	}
}

// RoundTrip implements [http.RoundTripper] for [httputil.ReverseProxy].
func (x *exchange) RoundTrip(out *http.Request) (res *http.Response, err error) {
	err = x.attempt(func(u *upstream) error {
		res, err = u.roundTrip(out, x.kind)
		return err
	})
	return res, err
}

// attempt sends a request to one upstream after the other until it has reached
// one. A request that has reached an upstream is never sent to another.
func (x *exchange) attempt(send func(*upstream) error) error {
	var tried []*upstream
	begun := time.Now()
	for {
		u := x.app.pool.choose(tried)
		if x.upstream != nil {
			x.upstream.done()
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
		if now := time.Now(); u.health.failed(now) && len(x.app.pool.upstreams) > 1 {
			x.app.log.Warn("upstream is down: its requests go to the others", "upstream", u.name)
		}
		x.report(classify(err), err)
		tried = append(tried, u)
		limit := x.app.options.DialTimeout
		if x.body.begun() || limit > 0 && time.Since(begun) >= limit || len(tried) == len(x.app.pool.upstreams) {
			return err
		}
	}
}

func (u *upstream) roundTrip(out *http.Request, k kind) (*http.Response, error) {
	out.URL.Scheme, out.URL.Host = u.scheme, u.host
	switch k {
	case grpc:
		return u.grpc.RoundTrip(out)
	case upgrade:
		return u.upgrade.RoundTrip(out)
	}
	return u.ordinary.RoundTrip(out)
}

// accept looks at an answer of a transport before ReverseProxy copies it.
func (x *exchange) accept(res *http.Response) error {
	if err := x.acceptHead(res); err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body := &responseBody{x: x, src: res.Body}
		res.Body = body
		x.watch.follow(body, x.kind == grpc || isEventStream(res.Header))
	}
	return nil
}

// acceptHead makes the head of an answer the client's.
func (x *exchange) acceptHead(res *http.Response) error {
	if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	if res.StatusCode == http.StatusSwitchingProtocols && (x.kind != upgrade || !isWebSocket(res.Header)) {
		return errors.New("an upgrade that nobody asked for")
	}
	x.app.options.OnResponse(x.upstream.name, res.StatusCode)
	// It would lead clients past the gateway.
	delete(res.Header, "Alt-Svc")
	if len(res.Trailer) > 0 && x.in.ProtoMajor == 1 {
		// HTTP/2 has trailers after a body of known length; HTTP/1.1 has
		// them only after one in chunks.
		delete(res.Header, "Content-Length")
	}
	if _, ok := res.Header["Content-Type"]; !ok {
		// The app says nothing; without this the server would guess.
		x.out.Header()["Content-Type"] = nil
	}
	x.addFields(res.Header)
	x.watch.answered()
	return nil
}

func isEventStream(h http.Header) bool {
	return strings.HasPrefix(field(h, "Content-Type"), "text/event-stream")
}

// fail answers a request that no upstream answered.
func (x *exchange) fail(_ http.ResponseWriter, _ *http.Request, err error) {
	if x.hijacked {
		return // a client that left during the handshake
	}
	if x.upstream == nil {
		// ReverseProxy didn't get to trying one.
		x.answer(bodyMalformed.status, bodyMalformed.said)
		return
	}
	x.failed(err)
}

func (x *exchange) failed(err error) {
	what := x.blame(err)
	x.app.options.OnResponse(x.upstream.name, what.status)
	var dial *dialError
	if what.advice != "" && !errors.As(err, &dial) { // those are reported one by one
		x.report(what, nil)
	}
	if what == clientLeft {
		panic(http.ErrAbortHandler)
	}
	x.answer(what.status, what.said)
}

// blame says whose failure an error is. Only when it is neither the client nor
// its body it is the upstream.
func (x *exchange) blame(err error) failure {
	if read := x.body.failure(); read != nil {
		var large *http.MaxBytesError
		switch {
		case errors.As(read, &large):
			return bodyTooLarge
		case errors.Is(read, os.ErrDeadlineExceeded):
			return bodyTooSlow
		case x.in.Context().Err() != nil:
			return clientLeft
		}
		return bodyMalformed
	}
	if gone := x.in.Context().Err(); errors.Is(gone, context.Canceled) {
		return clientLeft
	}
	return classify(err)
}

// report logs what went wrong with an upstream and what to do about it. cause
// may be nil, and must not name a client.
func (x *exchange) report(what failure, cause error) {
	suppressed, ok := x.upstream.quiet.speak(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("upstream", x.upstream.name),
		slog.String("class", what.class),
		slog.String("advice", what.advice),
	}
	if cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	if x.f.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", x.f.RequestID))
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int64("not_logged", suppressed))
	}
	x.app.log.LogAttrs(context.Background(), slog.LevelWarn, "upstream failed", attrs...)
}

// refuse answers a request whose body nobody will read.
func (x *exchange) refuse(status int, said string) {
	httpbody.CloseUnread(x.out, x.in)
	x.answer(status, said)
}

// answer writes the gateway's own answer in place of the app's.
func (x *exchange) answer(status int, said string) {
	h := x.out.Header()
	title := http.StatusText(status)
	var body string
	if accept := x.in.Header.Get("Accept"); strings.Contains(accept, "json") && !strings.Contains(accept, "html") {
		h["Content-Type"] = []string{"application/problem+json"}
		body = fmt.Sprintf("{\"status\": %d, \"title\": %q, \"detail\": %q}\n", status, title, said)
	} else {
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
		body = fmt.Sprintf("%d %s\n%s\n", status, title, said)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	x.addFields(h)
	w := (*clientWriter)(x)
	w.WriteHeader(status)
	if x.in.Method != http.MethodHead {
		io.WriteString(w, body)
	}
}

func (x *exchange) addFields(h http.Header) {
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
