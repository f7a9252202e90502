package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Most requests have no body, and most upstreams speak plain HTTP/1.1. Such a
// request needs nothing of what http.Transport and ReverseProxy keep two
// goroutines a connection and several copies of the header for. It is written
// and its answer read by the goroutine that serves it, which costs about half.
// Whatever isn't as simple takes the other way.

// isPlain reports whether the request is that simple.
func (x *exchange) isPlain() bool {
	r := x.in
	if x.kind != ordinary || r.ContentLength != 0 || len(r.Header["Expect"]) > 0 || len(r.TransferEncoding) > 0 {
		return false
	}
	switch r.Method {
	case "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH":
	default:
		return false // net/http's HTTP/2 server lets anything pass
	}
	return strings.HasPrefix(r.RequestURI, "/") && httpguts.ValidHostHeader(r.Host) && isASCII(r.Host)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// mayRepeat reports whether to send a request twice has the same effect as to
// send it once (RFC 9110, section 9.2.2).
func mayRepeat(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}

func (x *exchange) forwardPlain() {
	var c *plainConn
	var res *http.Response
	err := x.attempt(func(u *upstream) (err error) {
		c, res, err = x.roundTripPlain(u)
		return err
	})
	if err != nil {
		x.failed(err)
		return
	}
	defer func() {
		x.watch.stop() // it may be about to close the connection
		if x.watch.stalled.Load() {
			c.keep = false
		}
		c.release(x.upstream.plain)
	}()
	removeHopByHop(res.Header)
	if err := x.acceptHead(res); err != nil {
		x.failed(err)
		return
	}
	stream := isEventStream(res.Header)
	x.watch.follow(c, stream)

	h := x.out.Header()
	for name, values := range res.Header {
		h[name] = append(h[name], values...)
	}
	announced := slices.Collect(maps.Keys(res.Trailer))
	if len(announced) > 0 {
		h["Trailer"] = []string{strings.Join(announced, ", ")}
	}
	w := (*clientWriter)(x)
	w.WriteHeader(res.StatusCode)
	if !x.copyPlain(w, c, res, stream || res.ContentLength < 0) {
		panic(http.ErrAbortHandler)
	}
	c.complete, c.keep = true, !res.Close

	if len(res.Trailer) > 0 {
		w.FlushError() // a short body would get a length, and no trailers
	}
	for name, values := range res.Trailer {
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// copyPlain copies an answer's body to the client and reports whether that
// succeeded. What is flushed goes out before the upstream is waited for.
func (x *exchange) copyPlain(w *clientWriter, c *plainConn, res *http.Response, flush bool) bool {
	if res.Body == http.NoBody {
		return true
	}
	buffer := x.app.buffers.Get()
	defer x.app.buffers.Put(buffer)
	for {
		if flush && c.r.Buffered() == 0 && w.FlushError() != nil {
			return false
		}
		x.watch.begin(&x.watch.answering)
		n, err := res.Body.Read(buffer)
		x.watch.finish(&x.watch.answering)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return false
			}
		}
		switch {
		case err == io.EOF:
			return true
		case err != nil:
			x.cutShort()
			return false
		}
	}
}

// roundTripPlain sends the request to an upstream and returns the connection on
// which the answer came and the answer's head. The caller must release the
// connection.
func (x *exchange) roundTripPlain(u *upstream) (*plainConn, *http.Response, error) {
	for {
		c, err := u.plain.get(x.in.Context())
		if err != nil {
			return nil, nil, err
		}
		c.unwatch = context.AfterFunc(x.in.Context(), c.abort)
		x.watch.follow(c, false)
		x.watch.begin(&x.watch.thinking)
		res, err := x.sendPlain(c)
		x.watch.finish(&x.watch.thinking)
		if err == nil {
			return c, res, nil
		}
		died := c.reused && !c.answered && isLost(err) && x.in.Context().Err() == nil && !x.watch.stalled.Load()
		c.release(u.plain)
		switch {
		case x.watch.stalled.Load():
			return nil, nil, errNoAnswer
		case !died || !mayRepeat(x.in.Method):
			return nil, nil, err
		}
		// The upstream has closed an idle connection just when it
		// wasn't idle any more. With every turn there is one less.
	}
}

// errNoAnswer is what closing the connection of an upstream that takes too long
// comes to.
var errNoAnswer = fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)

func (x *exchange) sendPlain(c *plainConn) (*http.Response, error) {
	x.writePlain(c.w)
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	c.left = maxResponseHeader
	for {
		res, err := http.ReadResponse(c.r, x.in)
		if err != nil {
			return nil, err
		}
		if res.StatusCode < 100 || res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			c.left = math.MaxInt64
			return res, nil
		}
		if res.StatusCode != http.StatusContinue { // which nobody waits for
			x.passInterim(res)
		}
	}
}

// passInterim passes a 1xx answer on.
func (x *exchange) passInterim(res *http.Response) {
	removeHopByHop(res.Header)
	h := x.out.Header()
	kept := maps.Clone(h)
	clear(h)
	maps.Copy(h, res.Header)
	(*clientWriter)(x).WriteHeader(res.StatusCode)
	clear(h)
	maps.Copy(h, kept)
}

// writePlain writes the request as rewrite would make it.
func (x *exchange) writePlain(w *bufio.Writer) {
	r := x.in
	w.WriteString(r.Method)
	w.WriteByte(' ')
	w.WriteString(r.RequestURI)
	w.WriteString(" HTTP/1.1\r\nHost: ")
	w.WriteString(r.Host)
	w.WriteString("\r\n")
	named := r.Header["Connection"]
	if len(named) == 1 && strings.EqualFold(named[0], "keep-alive") {
		named = nil
	}
	for name, values := range r.Header {
		if isHopByHop(name) || name == "Content-Length" || name == "Host" || isClaim(name) ||
			named != nil && httpguts.HeaderValuesContainsToken(named, name) || x.tells(name) {
			continue
		}
		for _, value := range values {
			writeField(w, name, value)
		}
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		w.WriteString("Te: trailers\r\n")
	}
	switch r.Method {
	case "POST", "PUT", "PATCH":
		w.WriteString("Content-Length: 0\r\n")
	}
	x.tell(func(name, value string) { writeField(w, name, value) })
	w.WriteString("\r\n")
}

// writeField writes a field, unless its value would not be one.
func writeField(w *bufio.Writer, name, value string) {
	if strings.ContainsAny(value, "\r\n\x00") {
		return
	}
	w.WriteString(name)
	w.WriteString(": ")
	w.WriteString(value)
	w.WriteString("\r\n")
}

// isHopByHop reports whether a field is for a connection and not for a message
// (RFC 9110, section 7.6.1, and what the wild adds).
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func removeHopByHop(h http.Header) {
	for _, named := range h["Connection"] {
		for name := range strings.SplitSeq(named, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for name := range h {
		if isHopByHop(name) {
			delete(h, name)
		}
	}
}

// plainConns are the connections to an upstream that speaks plain HTTP/1.1.
type plainConns struct {
	dial dialFunc

	mu    sync.Mutex
	idle  []*plainConn // the one used last is at the end
	sweep *time.Timer  // not nil while it is going to run
}

// plainConn is a connection to an upstream, used by one exchange at a time.
type plainConn struct {
	net.Conn
	r     *bufio.Reader
	w     *bufio.Writer
	quiet func() bool // see quietness

	reused    bool
	idleSince time.Time

	// Of the exchange that uses it:
	left     int64       // how much may be read before it is too much
	answered bool        // some of the answer has come
	complete bool        // all of it has
	keep     bool        // the upstream will take another request
	unwatch  func() bool // stops waiting for the client to leave
}

var errHeadTooLarge = errors.New("the head of the answer is too large")

// Read counts what is read against the limit.
func (c *plainConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeadTooLarge
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	c.answered = c.answered || n > 0
	return n, err
}

// abort is what happens when the client leaves.
func (c *plainConn) abort() { c.Close() }

// get returns a connection that is idle, or else a new one.
func (p *plainConns) get(ctx context.Context) (*plainConn, error) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			break
		}
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.quiet() {
			c.reused, c.answered, c.complete, c.keep = true, false, false, false
			return c, nil
		}
		c.Close()
	}
	raw, err := p.dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	c := &plainConn{Conn: raw, quiet: quietness(raw), left: maxResponseHeader}
	c.r, c.w = bufio.NewReader(c), bufio.NewWriter(raw)
	return c, nil
}

// release ends the use of a connection. It is kept for another request only if
// there is no doubt where the next answer begins.
func (c *plainConn) release(p *plainConns) {
	clientLeft := !c.unwatch()
	if clientLeft || !c.keep || !c.complete || c.r.Buffered() > 0 {
		c.Close()
		return
	}
	c.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= maxIdle {
		c.Close()
		return
	}
	p.idle = append(p.idle, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleTimeout, p.closeStale)
	}
}

// closeStale closes what has been idle for long, and comes again while there is
// anything left.
func (p *plainConns) closeStale() {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := 0
	for fresh < len(p.idle) && time.Since(p.idle[fresh].idleSince) >= idleTimeout {
		p.idle[fresh].Close()
		fresh++
	}
	p.idle = append(p.idle[:0], p.idle[fresh:]...)
	if len(p.idle) > 0 {
		p.sweep.Reset(idleTimeout)
	} else {
		p.sweep = nil
	}
}

func (p *plainConns) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
}
