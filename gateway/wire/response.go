package wire

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
)

// bodyBuffer is how much of a body is kept back until more comes or the handler returns:
// an answer as short as that has a Content-Length by itself.
const bodyBuffer = 4 << 10

var (
	errTooMuch = errors.New("more than the declared Content-Length was written")
	errIsOver  = errors.New("the handler of this answer has returned")
)

// response implements [http.ResponseWriter], and what [http.ResponseController] knows but
// hijacking. Its fields are of the handler's goroutine.
type response struct {
	c      *conn
	st     *stream
	isHead bool
	header http.Header

	status   int // 0: there is none yet
	block    []byte
	said     said
	length   int64    // declared, -1: it isn't
	written  int64    // by the handler
	trailers []string // announced
	headSent bool
	over     bool
	buffers  *buffers
}

// said is which fields are in a block, or are not to be.
type said struct{ contentType, encoding, date bool }

// buffers are lent to an answer while its handler runs.
type buffers struct{ block, body []byte }

var bufferPool = sync.Pool{New: func() any {
	return &buffers{block: make([]byte, 0, 1<<10), body: make([]byte, 0, bodyBuffer)}
}}

func newResponse(c *conn, st *stream, r *http.Request) *response {
	return &response{
		c: c, st: st, isHead: r.Method == http.MethodHead, header: make(http.Header, 8), length: -1,
		buffers: bufferPool.Get().(*buffers),
	}
}

// release gives the buffers back.
func (w *response) release() {
	if b := w.buffers; b != nil && cap(b.block) <= maxFrame {
		b.block, b.body = b.block[:0], b.body[:0]
		bufferPool.Put(b)
	}
	w.buffers, w.block, w.over = nil, nil, true
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || w.over {
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid status %d", status))
	}
	if status < 200 {
		w.writeInformational(status)
		return
	}
	w.status = status
	w.buffers.block = appendStatus(w.buffers.block[:0], status)
	for name, values := range w.header {
		w.addField(name, values)
	}
	w.block = w.buffers.block
}

// addField adds a field to the head of the answer.
func (w *response) addField(name string, values []string) {
	switch name {
	case "Content-Length":
		if len(values) == 0 {
			return
		}
		n, err := strconv.ParseUint(values[0], 10, 63)
		if err != nil {
			return
		}
		w.length, values = int64(n), values[:1]
	case "Connection":
		if len(values) > 0 && values[0] == "close" {
			w.c.shutDown()
		}
		return
	case "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade": // RFC 9113, section 8.2.2
		return
	case "Content-Type":
		w.said.contentType = true
	case "Content-Encoding":
		w.said.encoding = len(values) > 0 && values[0] != ""
	case "Date":
		w.said.date = true
	case "Trailer":
		for _, line := range values {
			for trailer := range strings.SplitSeq(line, ",") {
				w.announceTrailer(http.CanonicalHeaderKey(strings.TrimSpace(trailer)))
			}
		}
	}
	for _, value := range values {
		w.buffers.block = appendField(w.buffers.block, name, value)
	}
}

func (w *response) announceTrailer(name string) {
	if httpguts.ValidTrailerHeader(name) && !slices.Contains(w.trailers, name) {
		w.trailers = append(w.trailers, name)
	}
}

// writeInformational sends a 1xx answer (RFC 9110, section 15.2).
func (w *response) writeInformational(status int) {
	block := appendStatus(nil, status)
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade":
			continue
		}
		for _, value := range values {
			block = appendField(block, name, value)
		}
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.c.sendHeaders(w.st, block, false) == nil {
		w.c.kick()
	}
}

// head returns the block of the answer's head, with what the handler hasn't said itself.
// The body, or the first of it, is there.
func (w *response) head(body []byte, isWhole bool) []byte {
	w.headSent = true
	b := w.block
	hasBody := bodyAllowed(w.status)
	if w.length < 0 && isWhole && hasBody && (len(body) > 0 || !w.isHead) {
		b = appendField(b, "Content-Length", strconv.Itoa(len(body)))
	}
	if !w.said.contentType && !w.said.encoding && hasBody && len(body) > 0 {
		b = appendField(b, "Content-Type", http.DetectContentType(body))
	}
	if !w.said.date {
		b = appendField(b, "Date", w.c.engine.dates.at(time.Now()))
	}
	return b
}

// bodyAllowed reports whether an answer of a status has a body (RFC 9110, section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.over {
		return 0, errIsOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.written += int64(len(p)); w.length >= 0 && w.written > w.length {
		return 0, errTooMuch
	}
	rest := p
	for len(w.buffers.body)+len(rest) > bodyBuffer {
		part := rest
		if held := len(w.buffers.body); held > 0 {
			n := bodyBuffer - held
			w.buffers.body = append(w.buffers.body, rest[:n]...)
			part, rest = w.buffers.body, rest[n:]
		} else {
			rest = nil
		}
		err := w.send(part)
		w.buffers.body = w.buffers.body[:0]
		if err != nil {
			return 0, err
		}
	}
	w.buffers.body = append(w.buffers.body, rest...)
	return len(p), nil
}

// send sends some of the body, and before it the head if that wasn't. What is sent goes
// out soon.
func (w *response) send(data []byte) error {
	var head []byte
	if !w.headSent {
		head = w.head(data, false)
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if head != nil {
		w.st.answered = true
		if err := w.c.sendHeaders(w.st, head, w.isHead); err != nil {
			return err
		}
	}
	if len(data) > 0 && !w.isHead {
		if err := w.c.sendData(w.st, data, false); err != nil {
			return err
		}
	}
	w.c.kick()
	return nil
}

// lastPart is what is sent when the handler has returned.
type lastPart struct {
	head         []byte // nil: it was sent
	endsWithHead bool
	data         []byte
	trailers     []byte // nil: there are none
	short        bool   // the handler has written less than it had declared
}

// last returns it.
func (w *response) last() (l lastPart) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	l.data = w.buffers.body
	if bodyAllowed(w.status) && !w.isHead {
		l.short = w.length >= 0 && w.written < w.length
	}
	if !w.isHead {
		l.trailers = w.trailerBlock()
	}
	if !w.headSent {
		l.head = w.head(l.data, true)
		l.endsWithHead = w.isHead || len(l.data) == 0 && l.trailers == nil
	}
	if w.isHead {
		l.data = nil
	}
	return l
}

// trailerBlock returns the fields behind the body, nil if there are none.
func (w *response) trailerBlock() (block []byte) {
	for name := range w.header {
		if undeclared, is := strings.CutPrefix(name, http.TrailerPrefix); is {
			w.announceTrailer(http.CanonicalHeaderKey(undeclared))
		}
	}
	for _, name := range w.trailers {
		values, undeclared := w.header[http.TrailerPrefix+name]
		if !undeclared {
			values = w.header[name]
		}
		for _, value := range values {
			block = appendField(block, name, value)
		}
	}
	return block
}

// FlushError is for [http.ResponseController].
func (w *response) FlushError() error {
	if w.over {
		return errIsOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	err := w.send(w.buffers.body)
	w.buffers.body = w.buffers.body[:0]
	return err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// SetReadDeadline is for [http.ResponseController].
func (w *response) SetReadDeadline(deadline time.Time) error {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	b := w.st.body
	switch {
	case b == nil:
	case !deadline.IsZero() && time.Until(deadline) <= 0:
		b.end(errLate)
	default:
		b.readDeadline = deadline
		b.ready.Broadcast()
	}
	return nil
}

// SetWriteDeadline is for [http.ResponseController].
func (w *response) SetWriteDeadline(deadline time.Time) error {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if !deadline.IsZero() && time.Until(deadline) <= 0 {
		w.c.reset(w.st, http2.ErrCodeInternal, errLate)
		return nil
	}
	w.st.writeDeadline = deadline
	w.c.changed.Broadcast()
	return nil
}

// EnableFullDuplex is for [http.ResponseController]: HTTP/2 always is.
func (w *response) EnableFullDuplex() error { return nil }
