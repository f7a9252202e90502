package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Most requests have no body, and most upstreams speak plain HTTP/1.1. Such a
// request needs nothing of what http.Transport and ReverseProxy keep two
// goroutines a connection and several copies of the header for. It is written
// and its response read by the goroutine that serves it, which saves 30 % of the
// CPU time for a client of HTTP/1.1 and 18 % for one of HTTP/2 (17 and 12 % of
// what a ReverseProxy takes that has a pool of buffers and does less; see
// BenchmarkForward). Whatever isn't as simple goes by a transport. Neither the
// app nor the client can tell which it was.

// isSimple reports whether the request is that simple.
func (x *exchange) isSimple() bool {
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

// isIdempotent reports whether to send a request twice has the same effect as to
// send it once (RFC 9110, section 9.2.2).
func isIdempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}

func (x *exchange) forwardHTTP1() {
	var c *http1Conn
	var res *http.Response
	err := x.tryUpstreams(func(u *upstream) (err error) {
		c, res, err = x.roundTripHTTP1(u)
		return err
	})
	if err != nil {
		x.fail(err)
		return
	}
	defer func() {
		x.watchdog.stop() // it may be about to close the connection
		if x.watchdog.stalled.Load() {
			c.reusable = false
		}
		x.upstream.http1.put(c)
	}()
	removeHopByHop(res.Header)
	if err := x.prepareResponse(res); err != nil {
		x.fail(err)
		return
	}
	stream := isEventStream(res.Header)
	x.watchdog.follow(c, stream)

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
	if !x.copyBody(w, c, res, stream || res.ContentLength < 0) {
		panic(http.ErrAbortHandler)
	}
	c.reusable = !res.Close

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

// copyBody copies a response's body to the client and reports whether that
// succeeded. What is flushed goes out before the upstream is waited for.
func (x *exchange) copyBody(w *clientWriter, c *http1Conn, res *http.Response, flush bool) bool {
	if res.Body == http.NoBody {
		return true
	}
	body := responseBody{x: x, src: res.Body}
	buffer := x.app.buffers.Get()
	defer x.app.buffers.Put(buffer)
	for first := true; ; first = false {
		if (flush || first) && c.r.Buffered() == 0 && w.FlushError() != nil {
			return false
		}
		n, err := body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

// roundTripHTTP1 sends the request to an upstream and returns the connection on
// which the response came and the response's head. The caller must give the
// connection back.
func (x *exchange) roundTripHTTP1(u *upstream) (*http1Conn, *http.Response, error) {
	for {
		c, err := u.http1.get(x.in.Context())
		if err != nil {
			return nil, nil, err
		}
		c.stopAbort = context.AfterFunc(x.in.Context(), func() { c.Close() })
		x.watchdog.follow(c, false)
		x.watchdog.responseHead.begin()
		res, err := x.send(c)
		x.watchdog.responseHead.end()
		if err == nil {
			return c, res, nil
		}
		died := c.reused && !c.responded && isConnectionLost(err) && x.in.Context().Err() == nil && !x.watchdog.stalled.Load()
		u.http1.put(c)
		switch {
		case x.watchdog.stalled.Load():
			return nil, nil, errNoResponse
		case !died || !isIdempotent(x.in.Method):
			return nil, nil, err
		}
		// The upstream has closed an idle connection just when it
		// wasn't idle any more. With every turn there is one less.
	}
}

// errNoResponse is what closing the connection of an upstream that takes too
// long comes to.
var errNoResponse = fmt.Errorf("no response in time: %w", os.ErrDeadlineExceeded)

func (x *exchange) send(c *http1Conn) (*http.Response, error) {
	x.writeRequest(c.w)
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
			x.forwardInformational(res)
		}
	}
}

// forwardInformational forwards a 1xx response.
func (x *exchange) forwardInformational(res *http.Response) {
	removeHopByHop(res.Header)
	h := x.out.Header()
	final := maps.Clone(h)
	clear(h)
	maps.Copy(h, res.Header)
	(*clientWriter)(x).WriteHeader(res.StatusCode)
	clear(h)
	maps.Copy(h, final)
}

// writeRequest writes the request to the app, as rewrite makes it.
func (x *exchange) writeRequest(w *bufio.Writer) {
	r := x.in
	w.WriteString(r.Method)
	w.WriteByte(' ')
	w.WriteString(r.RequestURI)
	w.WriteString(" HTTP/1.1\r\n")
	writeField(w, "Host", r.Host)
	for name, values := range r.Header {
		if x.forwards(name) {
			for _, value := range values {
				writeField(w, name, value)
			}
		}
	}
	switch r.Method {
	case "POST", "PUT", "PATCH":
		writeField(w, "Content-Length", "0")
	}
	x.addFields(func(name, value string) { writeField(w, name, value) })
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
