package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// requestBody is a client's body on its way to an upstream. A transport may
// still read from it when the exchange is over; it finds it closed.
type requestBody struct {
	x       *exchange
	src     io.ReadCloser
	trailer http.Header // of the request to the app; nil if there can be none

	read     atomic.Bool // somebody has begun to
	eof      atomic.Bool // read to its end
	unwanted atomic.Bool // the transport has no more use for it
	stopped  atomic.Bool // nobody may read it any more

	reading  sync.Mutex    // held while the client's side is read
	received int64         // bytes, guarded by reading, as is
	waited   time.Duration // for them
	stopping sync.Mutex    // held while that is being ended

	mu  sync.Mutex
	err error // that the client's side had
}

var errBodyClosed = errors.New("the exchange that this body belongs to is over")

func (b *requestBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.unwanted.Load() || b.stopped.Load() {
		return 0, errBodyClosed
	}
	start := time.Now()
	b.x.watchdog.clientRead.begin()
	n, err := b.src.Read(p)
	b.x.watchdog.clientRead.end()
	b.received += int64(n)
	b.waited += time.Since(start)
	if err == nil && b.isTooSlow() {
		err = errTooSlow
	}
	switch {
	case err == io.EOF:
		b.copyTrailer()
		b.eof.Store(true)
	case err != nil && !b.stopped.Load():
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// errTooSlow is that a client sends, but too little.
var errTooSlow = fmt.Errorf("the body comes too slowly: %w", os.ErrDeadlineExceeded)

// isTooSlow reports whether the client has sent less than it must, by more than
// what may have come and not been read yet.
func (b *requestBody) isTooSlow() bool {
	must := float64(b.x.app.options.BodyRate) * b.waited.Seconds()
	return float64(b.received)+bufferSize < must && b.x.watchdog.owesBody()
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
		if !isReserved(name) {
			b.trailer[name] = values
		}
	}
}

// Close is for the transport, which has no more use for the body. When an app
// responds before it has all of the request, the transport waits for the read
// under way to end; that may be when the client goes away.
func (b *requestBody) Close() error {
	b.unwanted.Store(true) // first: a read that begins now sees it
	if b.started() {       // else another upstream may still get it
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

// stop ends all reading, also one that is under way. What the transport does
// after the exchange is over doesn't touch the client's side.
func (b *requestBody) stop() {
	if b == nil {
		return
	}
	b.stopping.Lock()
	defer b.stopping.Unlock()
	if !b.stopped.Swap(true) && !b.eof.Load() {
		b.x.watchdog.control.SetReadDeadline(time.Now().Add(-time.Second))
	}
}

// abandon ends all reading. If there is more to come, the response came before
// the end of the request. The server then tries to read what is left, to keep
// the connection; it must not wait for long, or for ever.
func (b *requestBody) abandon() {
	b.stop()
	if b.eof.Load() {
		return
	}
	// The server would lift the deadline if it found a read under way.
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.x.complete && b.x.in.ProtoMajor == 1 {
		b.x.watchdog.control.SetReadDeadline(time.Now().Add(httpbody.Linger))
	}
}

// size returns how many bytes were read.
func (b *requestBody) size() int64 {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.received
}

// started reports whether an upstream may have got any of the body.
func (b *requestBody) started() bool { return b != nil && b.read.Load() }

// failure returns the error that the client's side had, if any.
func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// responseBody is the body of an upstream's response on its way to the client.
type responseBody struct {
	x   *exchange
	src io.ReadCloser

	// headDue is after which time of waiting the head of the response is sent
	// without any of its body; 0: not before there is some.
	headDue time.Duration
}

// headFlushAfter is for how long a head may wait to be sent along with the first
// bytes behind it, as they nearly always come together.
const headFlushAfter = 50 * time.Millisecond

func (b *responseBody) Read(p []byte) (int, error) {
	if b.headDue > 0 {
		defer b.flushHeadAfter(b.headDue)()
		b.headDue = 0
	}
	b.x.watchdog.upstreamRead.begin()
	n, err := b.src.Read(p)
	b.x.watchdog.upstreamRead.end()
	if err != nil && err != io.EOF {
		b.x.reportCutShort() // ReverseProxy aborts the client's side
	}
	return n, err
}

func (b *responseBody) Close() error { return b.src.Close() }

// flushHeadAfter sends the head of the response after some time, unless the
// function that it returns is called before. Nothing is sent once that returns.
func (b *responseBody) flushHeadAfter(wait time.Duration) (stop func()) {
	var mu sync.Mutex
	over := false
	timer := time.AfterFunc(wait, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			_ = (*clientWriter)(b.x).FlushError() // the next write fails, too
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		over = true
		mu.Unlock()
	}
}

// clientWriter is the client's side of an exchange, under its watchdog.
type clientWriter exchange

func (w *clientWriter) Unwrap() http.ResponseWriter { return w.out }

func (w *clientWriter) Header() http.Header { return w.out.Header() }

func (w *clientWriter) WriteHeader(status int) {
	delete(w.out.Header(), SecretField) // an app that sends back what it got
	if status >= 200 && w.in.ProtoMajor == 1 && w.body != nil && !w.body.eof.Load() {
		// A response that comes before the end of the request. net/http,
		// told that this may happen, would go on to read what is left
		// of the body as the next request.
		w.out.Header()["Connection"] = []string{"close"}
	}
	w.watchdog.clientWrite.begin()
	w.out.WriteHeader(status)
	w.watchdog.clientWrite.end()
}

func (w *clientWriter) Write(p []byte) (int, error) {
	w.watchdog.clientWrite.begin()
	n, err := w.out.Write(p)
	w.watchdog.clientWrite.end()
	return n, err
}

func (w *clientWriter) FlushError() error {
	w.watchdog.clientWrite.begin()
	err := w.watchdog.control.Flush()
	w.watchdog.clientWrite.end()
	return err
}

// Hijack stops the watchdog: from here on silence is normal. To be slow in
// accepting what comes is not.
func (w *clientWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.watchdog.stop()
	w.hijacked = true
	c, rw, err := w.watchdog.control.Hijack()
	if err != nil {
		return c, rw, err
	}
	if limit := w.app.options.BodyIdle; limit > 0 {
		c = &writeLimitConn{c, limit}
	}
	return w.webSocket.connect(c), rw, nil // nothing else is upgraded to
}

// writeLimitConn is a connection to a client that is cut off if it doesn't accept
// what it is sent in time.
type writeLimitConn struct {
	net.Conn
	limit time.Duration
}

func (c *writeLimitConn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.limit))
	return c.Conn.Write(p)
}

func (c *writeLimitConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported // ReverseProxy then closes it all
}
