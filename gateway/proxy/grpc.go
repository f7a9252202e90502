package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// How a call of gRPC ends that is cut (https://grpc.io/docs/guides/status-codes/).
const (
	permissionDenied = 7
	unavailable      = 14
)

// A grpcCall is a call of gRPC under way. If it is cut when its answer has begun, that
// ends behind the message that is under way, with a status in its trailers. Before, the
// call is refused as other requests are.
type grpcCall struct {
	x       *exchange
	release func() bool // follows the client's side no longer
	cancel  func()      // ends the request to the app

	mu       sync.Mutex // guards what follows
	messages messages   // of the answer
	cut      bool       // it is to end when it can
	over     bool       // it has
}

// beginGRPC returns the request to the app. It doesn't end with the client's at once.
func (x *exchange) beginGRPC(out *http.Request) *http.Request {
	ctx, cancel := context.WithCancel(context.WithoutCancel(out.Context()))
	x.call = &grpcCall{x: x, cancel: func() {
		cancel()
		if isCut(x.in.Context()) {
			x.body.stop() // a transport that waits for more of it hears of nothing else
		}
	}}
	x.call.release = context.AfterFunc(out.Context(), x.call.end)
	return out.WithContext(ctx)
}

// end ends the call as soon as no message is under way, and after closeWait in any case.
func (c *grpcCall) end() {
	if !isCut(c.x.in.Context()) {
		c.cancel() // the client has left
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut = true; c.messages.betweenTwo() {
		c.cancel()
		return
	}
	time.AfterFunc(closeWait, c.cancel)
}

// close releases what the call holds.
func (c *grpcCall) close() {
	c.release()
	c.cancel()
}

// A grpcBody is the body of an answer of gRPC on its way to the client.
type grpcBody struct {
	responseBody
	call    *grpcCall
	trailer http.Header // of the app's answer
}

func (b *grpcBody) Read(p []byte) (int, error) {
	if b.call.isOver() {
		return 0, io.EOF
	}
	n, err := b.responseBody.Read(p)
	if n == 0 && err == io.EOF {
		return n, err // the app has ended it, with its own trailers
	}
	return b.call.pass(p[:n], err, b.trailer)
}

func (c *grpcCall) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// pass returns how much of the answer is passed on, of what was read, and how that ended.
func (c *grpcCall) pass(p []byte, err error, trailer http.Header) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(p) && !(c.cut && c.messages.betweenTwo()) {
		n += c.messages.next(p[n:])
	}
	if !c.cut || !c.messages.betweenTwo() {
		return n, err
	}
	c.over = true
	c.cancel()
	status, message := permissionDenied, severedReason
	if errors.Is(context.Cause(c.x.in.Context()), ErrStopped) {
		status, message = unavailable, stoppedReason
	}
	clear(trailer)
	h := c.x.out.Header()
	h[http.TrailerPrefix+"Grpc-Status"] = []string{strconv.Itoa(status)}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{message}
	return n, io.EOF
}

// messages follows the messages in a stream of gRPC: a byte, their length in four, and as
// many bytes (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
type messages struct {
	header [5]byte
	have   int    // bytes of the header
	rest   uint32 // bytes of the message that are still to come
}

// betweenTwo reports whether the stream may end.
func (m *messages) betweenTwo() bool { return m.have == 0 && m.rest == 0 }

// next takes the next bytes of the stream, up to the end of a message, and returns how many.
func (m *messages) next(p []byte) (n int) {
	for n < len(p) {
		if m.rest > 0 {
			part := min(len(p)-n, int(m.rest))
			n, m.rest = n+part, m.rest-uint32(part)
		} else {
			m.header[m.have] = p[n]
			n, m.have = n+1, m.have+1
			if m.have < len(m.header) {
				continue
			}
			m.rest, m.have = binary.BigEndian.Uint32(m.header[1:]), 0
		}
		if m.rest == 0 {
			return n
		}
	}
	return n
}
