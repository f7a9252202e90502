package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// requestBody is a client's body on its way to an upstream. A transport may
// still read from it when the request has ended already; it finds it closed.
type requestBody struct {
	x       *exchange
	src     io.ReadCloser
	chunked bool
	trailer http.Header

	read     atomic.Bool // somebody has begun to
	ended    atomic.Bool // read to its end
	unwanted atomic.Bool // the transport has no more use for it
	closed   atomic.Bool // the exchange is over
	inRead   sync.Mutex  // held while the client's side is read

	stopping sync.Mutex // held while that is being ended

	mu  sync.Mutex
	err error
}

var errClosed = errors.New("the exchange that this body belongs to is over")

func (b *requestBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	b.inRead.Lock()
	defer b.inRead.Unlock()
	if b.unwanted.Load() || b.closed.Load() {
		return 0, errClosed
	}
	b.x.watch.begin(&b.x.watch.reading)
	n, err := b.src.Read(p)
	b.x.watch.finish(&b.x.watch.reading)
	switch {
	case err == io.EOF:
		b.copyTrailer()
		b.ended.Store(true)
	case err != nil && !b.closed.Load():
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// copyTrailer gives the transport the trailers that are known now.
func (b *requestBody) copyTrailer() {
	if b.trailer == nil {
		return
	}
	for name, values := range b.x.in.Trailer {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Trailer", "Host":
			// Where a message ends and whom it is for is known by
			// now (RFC 9110, section 6.5.1).
			continue
		}
		if !isClaim(name) {
			b.trailer[name] = values
		}
	}
}

// Close is for the transport, which has no more use for the body. When an app
// answers before it has all of the request, the transport waits for the reading
// that is going on to end; that may be when the client goes away.
func (b *requestBody) Close() error {
	b.unwanted.Store(true) // first: a reading that begins now sees it
	if b.begun() {         // else another upstream may still get it
		b.stop()
	}
	return nil
}

// reopen lets another transport have a body that none has begun to read.
func (b *requestBody) reopen() {
	if b != nil {
		b.unwanted.Store(false)
	}
}

// stop ends all reading, also one that is going on. What the transport does
// after the exchange is over doesn't touch the client's side.
func (b *requestBody) stop() {
	b.stopping.Lock()
	defer b.stopping.Unlock()
	if !b.closed.Swap(true) && !b.ended.Load() {
		b.x.watch.control.SetReadDeadline(time.Now().Add(-time.Second))
	}
}

// abandon ends all reading. If there is more to come, the answer came before the
// end of the request. The server then tries to read what is left, to keep the
// connection; it must not wait for long, or for ever.
func (b *requestBody) abandon() {
	b.stop()
	if b.ended.Load() {
		return
	}
	// The server would lift the deadline if it found a read going on.
	b.inRead.Lock()
	defer b.inRead.Unlock()
	if b.x.complete && b.x.in.ProtoMajor == 1 {
		b.x.watch.control.SetReadDeadline(time.Now().Add(httpbody.Linger))
	}
}

// begun reports whether an upstream may have got any of the body.
func (b *requestBody) begun() bool { return b != nil && b.read.Load() }

// failure returns the error that the client's side had, if any.
func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// responseBody is an upstream's answer on its way to the client.
type responseBody struct {
	x   *exchange
	src io.ReadCloser
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.x.watch.begin(&b.x.watch.answering)
	n, err := b.src.Read(p)
	b.x.watch.finish(&b.x.watch.answering)
	if err != nil && err != io.EOF {
		b.x.cutShort()
	}
	return n, err
}

func (b *responseBody) Close() error { return b.src.Close() }

// cutShort reports an answer that an upstream began and didn't complete.
// ReverseProxy then aborts the client's side.
func (x *exchange) cutShort() {
	switch {
	case x.watch.stalled.Load():
		x.report(answerStalled, nil)
	case x.in.Context().Err() == nil && x.body.failure() == nil:
		x.report(answerBroken, nil)
	}
}

// clientWriter is the client's side of an exchange, watched.
type clientWriter exchange

func (w *clientWriter) Unwrap() http.ResponseWriter { return w.out }

func (w *clientWriter) Header() http.Header { return w.out.Header() }

func (w *clientWriter) WriteHeader(status int) {
	if status >= 200 && w.in.ProtoMajor == 1 && w.body != nil && !w.body.ended.Load() {
		// An answer that comes before the end of the request. net/http,
		// told that this may happen, would go on to read what is left
		// of the body as the next request.
		w.out.Header()["Connection"] = []string{"close"}
	}
	w.watch.begin(&w.watch.writing)
	w.out.WriteHeader(status)
	w.watch.finish(&w.watch.writing)
}

func (w *clientWriter) Write(p []byte) (int, error) {
	w.watch.begin(&w.watch.writing)
	n, err := w.out.Write(p)
	w.watch.finish(&w.watch.writing)
	return n, err
}

func (w *clientWriter) FlushError() error {
	w.watch.begin(&w.watch.writing)
	err := w.watch.control.Flush()
	w.watch.finish(&w.watch.writing)
	return err
}

// Hijack ends the watch: from here on silence is normal. To be slow in taking
// what comes is not.
func (w *clientWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.watch.stop()
	w.hijacked = true
	c, rw, err := w.watch.control.Hijack()
	if limit := w.app.options.BodyIdle; err == nil && limit > 0 {
		c = &impatientConn{c, limit}
	}
	return c, rw, err
}

// impatientConn is a connection to a client that is cut off if it doesn't take
// what it is sent in time.
type impatientConn struct {
	net.Conn
	limit time.Duration
}

func (c *impatientConn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.limit))
	return c.Conn.Write(p)
}

func (c *impatientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported // ReverseProxy then closes it all
}
