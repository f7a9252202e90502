package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// Why a stream is over before its time.
var (
	errLate        = fmt.Errorf("the peer is too slow: %w", os.ErrDeadlineExceeded)
	errReset       = errors.New("the client has reset the stream")
	errMalformed   = errors.New("the client has sent what is no request")
	errAborted     = errors.New("the handler has given the stream up")
	errEnded       = errors.New("the connection has ended")
	errHandlerDone = errors.New("the handler has returned")
)

// A stream is a request and its answer. Its fields are guarded by the connection's
// mutex but where it is said.
type stream struct {
	id     uint32
	cancel context.CancelFunc // of its request's context; immutable

	send          sendWindow
	writeDeadline time.Time
	body          *requestBody // nil if the request has none; immutable

	answered   bool  // the head of the answer is among what is pending, or was
	localDone  bool  // all that is to be sent was
	remoteDone bool  // and all that was to come has
	err        error // why it was reset; nil: it wasn't
}

// endLocal notes that the end of a stream is among what is pending. c.mu is held.
func (c *conn) endLocal(st *stream) {
	st.localDone = true
	c.budgets.resets.earn(1)
	if st.remoteDone {
		c.remove(st)
	}
}

// endRemote notes that the client has sent all of a request. c.mu is held.
func (c *conn) endRemote(st *stream) {
	st.remoteDone = true
	if st.localDone {
		c.remove(st)
	}
}

// reset ends a stream from here. c.mu is held.
func (c *conn) reset(st *stream, code http2.ErrCode, why error) {
	if st.err != nil || c.streams[st.id] != st {
		return
	}
	c.appendOutput(func(b []byte) []byte { return appendReset(b, st.id, code) })
	c.kick()
	c.resets.add(st.id)
	c.drop(st, why)
}

// drop ends a stream without telling the client. c.mu is held.
func (c *conn) drop(st *stream, why error) {
	st.err = why
	st.localDone, st.remoteDone = true, true
	if st.body != nil {
		st.body.end(why)
		st.body.discard()
	}
	c.remove(st)
	st.cancel()
	c.changed.Broadcast()
}

// remove forgets a stream: what comes of it later is of one that is closed. c.mu is held.
func (c *conn) remove(st *stream) {
	if c.streams[st.id] == st {
		delete(c.streams, st.id)
		c.idleSince = time.Now()
	}
}

// run runs the handler of a stream, and ends the stream.
func (c *conn) run(st *stream, h http.Handler, r *http.Request) {
	w := newResponse(c, st, r)
	completed := false
	defer func() {
		if !completed {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				// What it was may quote the client; whoever handles requests logs it.
				c.engine.logf("http2: panic serving a request")
			}
		}
		write := c.finish(st, w, completed)
		st.cancel()
		if write {
			c.write()
		}
	}()
	h.ServeHTTP(w, r)
	completed = true
}

// finish sends what is left of an answer, and reports whether the caller has to call
// write. The rest of a body that the handler hasn't read is dropped for a while: a client
// that is still sending may otherwise miss the answer.
func (c *conn) finish(st *stream, w *response, completed bool) (write bool) {
	var last lastPart
	if completed {
		last = w.last()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if completed {
		_ = c.sendLast(st, last) // the stream was reset if it fails
	}
	w.release()
	if !st.localDone {
		c.reset(st, http2.ErrCodeInternal, errAborted)
	}
	if st.body != nil {
		st.body.end(errHandlerDone)
		st.body.discard()
		if st.localDone && !st.remoteDone {
			time.AfterFunc(httpbody.Linger, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.reset(st, http2.ErrCodeNo, errHandlerDone)
				c.closeIfDone()
			})
		}
	}
	c.running--
	c.idleSince = time.Now()
	c.closeIfDone()
	return c.beginWriting()
}

// sendLast sends the last part of an answer. c.mu is held.
func (c *conn) sendLast(st *stream, last lastPart) error {
	switch {
	case st.localDone: // it was reset, or is the answer to a HEAD that was flushed
		return st.err
	case last.short:
		c.reset(st, http2.ErrCodeInternal, errAborted)
		return errAborted
	}
	if last.head != nil {
		st.answered = true
		if err := c.sendHeaders(st, last.head, last.endsWithHead); err != nil || last.endsWithHead {
			return err
		}
	}
	if len(last.data) > 0 || last.trailers == nil {
		if err := c.sendData(st, last.data, last.trailers == nil); err != nil {
			return err
		}
	}
	if last.trailers != nil {
		return c.sendHeaders(st, last.trailers, true)
	}
	return nil
}

// requestBody is the body of a request. Its fields are guarded by the connection's
// mutex.
type requestBody struct {
	c       *conn
	st      *stream
	request *http.Request // whose trailers are set at the end
	ready   sync.Cond     // there is something to read, or an error

	data         bytes.Buffer
	discarding   bool  // nobody reads it any more
	err          error // behind the data; nil: more is to come
	window       receiveWindow
	declared     int64 // by Content-Length, -1: it isn't
	received     int64
	trailer      http.Header
	continueDue  bool // the client waits for a 100
	readDeadline time.Time
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if b.continueDue {
		b.continueDue = false
		if !b.st.answered && b.c.sendHeaders(b.st, appendStatus(nil, http.StatusContinue), false) == nil {
			b.c.kick()
		}
	}
	for b.data.Len() == 0 && b.err == nil {
		if b.c.wait(&b.ready, b.readDeadline) {
			b.end(errLate)
		}
	}
	if b.discarding || b.data.Len() == 0 {
		if b.err == io.EOF {
			b.setTrailers()
		}
		return 0, b.err
	}
	n, _ := b.data.Read(p) // there is some
	b.giveBack(n)
	return n, nil
}

// Close implements io.Closer: nothing more is read.
func (b *requestBody) Close() error {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.end(http.ErrBodyReadAfterClose)
	b.discard()
	return nil
}

// end says what is read behind the data that is there. c.mu is held.
func (b *requestBody) end(err error) {
	if b.err == nil {
		b.err = err
	}
	b.ready.Broadcast()
}

// discard drops what was not read, and will be received. c.mu is held.
func (b *requestBody) discard() {
	if b.discarding {
		return
	}
	b.discarding = true
	n := b.data.Len()
	b.data = bytes.Buffer{}
	b.giveBack(n)
}

// receive takes data that has come; the padding is of the same frame. c.mu is held.
func (b *requestBody) receive(data []byte, padding int) {
	b.received += int64(len(data))
	if b.discarding || b.err != nil {
		b.giveBack(len(data) + padding)
		return
	}
	b.data.Write(data)
	b.ready.Broadcast()
	b.giveBack(padding)
}

// giveBack widens the windows by what was read. c.mu is held.
func (b *requestBody) giveBack(n int) {
	if n == 0 {
		return
	}
	b.c.giveBack(n)
	if b.st.remoteDone || b.discarding {
		return
	}
	if update := b.window.give(int64(n)); update > 0 {
		b.c.appendOutput(func(out []byte) []byte { return appendWindowUpdate(out, b.st.id, update) })
		b.c.kick()
	}
}

// setTrailers sets those of the request's trailers that it has announced.
func (b *requestBody) setTrailers() {
	for name, values := range b.trailer {
		if _, announced := b.request.Trailer[name]; announced {
			b.request.Trailer[name] = values
		}
	}
}
