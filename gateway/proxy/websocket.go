package proxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrSevered is the cause of the end of a request's context, if it is cut as it would
// be refused now.
var ErrSevered = errors.New("severed")

// ErrStopped is the cause, if it is cut as the gateway is being stopped.
var ErrStopped = errors.New("stopped")

// isCut reports whether the context of a request has ended by one of these.
func isCut(request context.Context) bool {
	cause := context.Cause(request)
	return errors.Is(cause, ErrSevered) || errors.Is(cause, ErrStopped)
}

// Why a WebSocket is closed (RFC 6455, section 7.4.1).
const (
	goingAway       = 1001
	policyViolation = 1008
)

// closeWait is how long a frame that is under way may take to end, and both sides to
// answer a Close frame.
const closeWait = time.Second

// What those are told whose connection or stream is cut.
const (
	severedReason = "This service is no longer available here."
	stoppedReason = "The service is being restarted."
)

// A webSocket is one that is under way. When it is closed as it is cut, the client and the
// app are told why: each by a Close frame behind the frame that
// is under way to it. What comes for it later isn't passed on.
type webSocket struct {
	ctx       context.Context // of the request
	app       direction
	client    direction
	connected atomic.Bool // the handshake is over, and both can be told
	ending    sync.Once
}

// newWebSocket returns the WebSocket of a request, and the connection to the app by which
// it is closed.
func newWebSocket(ctx context.Context, app io.ReadWriteCloser) (*webSocket, io.ReadWriteCloser) {
	s := &webSocket{ctx: ctx, app: direction{w: app, masked: true, closed: make(chan struct{})}}
	return s, &webSocketApp{app, s}
}

// connect returns the connection to the client, by which it is closed, too.
func (s *webSocket) connect(client net.Conn) net.Conn {
	s.client = direction{w: client, closed: make(chan struct{})}
	return &webSocketClient{client, s}
}

// tell tells both sides why, if the WebSocket is cut, and waits until they know, but not
// for long.
func (s *webSocket) tell() {
	if !isCut(s.ctx) || !s.connected.Load() {
		return
	}
	s.ending.Do(func() {
		code, reason := uint16(goingAway), stoppedReason
		if errors.Is(context.Cause(s.ctx), ErrSevered) {
			code, reason = policyViolation, severedReason
		}
		limit := time.NewTimer(closeWait)
		defer limit.Stop()
		both := [...]*direction{&s.client, &s.app}
		for _, d := range both {
			go d.end(code, reason) // it may have to wait for a frame that isn't accepted
		}
		for _, d := range both {
			select {
			case <-d.closed:
			case <-limit.C:
				return
			}
		}
	})
}

// A webSocketClient is the client's side of a WebSocket, for [httputil.ReverseProxy].
type webSocketClient struct {
	net.Conn
	s *webSocket
}

func (c *webSocketClient) Read(p []byte) (int, error) {
	c.s.connected.Store(true) // ReverseProxy reads when it has written the handshake's response
	return c.Conn.Read(p)
}

func (c *webSocketClient) Write(p []byte) (int, error) { return c.s.client.Write(p) }

func (c *webSocketClient) Close() error {
	c.s.tell()
	return c.Conn.Close()
}

// A webSocketApp is the app's side.
type webSocketApp struct {
	io.ReadWriteCloser
	s *webSocket
}

func (c *webSocketApp) Write(p []byte) (int, error) { return c.s.app.Write(p) }

func (c *webSocketApp) Close() error {
	c.s.tell()
	return c.ReadWriteCloser.Close()
}

// A direction is what goes to one side of a WebSocket.
type direction struct {
	w         io.Writer
	masked    bool          // as all frames to a server are
	closed    chan struct{} // is closed when the sender has sent a Close frame
	hasClosed sync.Once

	mu      sync.Mutex // guards what follows, and that nothing comes between the bytes of a frame
	frames  frames     // that the sender has sent
	closing []byte     // the Close frame that is to come, nil if none is
	over    bool       // nothing is passed on any more
}

// Write passes on what the sender has sent, as long as it is to be.
func (d *direction) Write(p []byte) (written int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for written < len(p) && err == nil {
		n, rest := 0, p[written:]
		if d.closing == nil {
			n = len(rest)
			d.frames.follow(rest)
		} else {
			n = d.frames.next(rest)
		}
		if !d.over {
			n, err = d.w.Write(rest[:n])
		}
		written += n
		d.endBetweenFrames()
	}
	d.over = d.over || err != nil
	if d.frames.closed && d.frames.rest == 0 {
		d.hasClosed.Do(func() { close(d.closed) })
	}
	return written, err
}

// end has a Close frame follow the frame that is under way, in place of all others.
func (d *direction) end(code uint16, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closing = closeFrame(code, reason, d.masked)
	d.endBetweenFrames()
}

func (d *direction) endBetweenFrames() {
	if d.closing == nil || d.over || !d.frames.betweenTwo() {
		return
	}
	_, _ = d.w.Write(d.closing) // else it hears of the end by that of the connection
	d.over = true
}

const closeOpcode = 8

// closeFrame writes a Close frame (RFC 6455, section 5.5.1).
func closeFrame(code uint16, reason string, masked bool) []byte {
	payload := append(binary.BigEndian.AppendUint16(nil, code), reason...)
	frame := []byte{0x80 | closeOpcode, byte(len(payload))}
	if !masked {
		return append(frame, payload...)
	}
	var key [4]byte
	rand.Read(key[:])
	for i := range payload {
		payload[i] ^= key[i%len(key)]
	}
	frame[1] |= 0x80
	return append(append(frame, key[:]...), payload...)
}

// frames follows the frames in a stream (RFC 6455, section 5.2).
type frames struct {
	header [14]byte
	have   int    // bytes of the header
	rest   uint64 // bytes of the payload that are still to come
	closed bool   // there was a Close frame
}

// betweenTwo reports whether another frame may follow.
func (f *frames) betweenTwo() bool { return f.have == 0 && f.rest == 0 && !f.closed }

// follow takes the next bytes of the stream.
func (f *frames) follow(p []byte) {
	for len(p) > 0 {
		p = p[f.next(p):]
	}
}

// next takes the next bytes of the stream, up to the end of a frame, and returns how many.
func (f *frames) next(p []byte) (n int) {
	for n < len(p) {
		if f.rest > 0 {
			part := min(uint64(len(p)-n), f.rest)
			n, f.rest = n+int(part), f.rest-part
			if f.rest == 0 {
				return n
			}
			continue
		}
		f.header[f.have] = p[n]
		n, f.have = n+1, f.have+1
		if f.have < 2 || f.have < f.headerLength() {
			continue
		}
		f.closed = f.closed || f.header[0]&0x0f == closeOpcode
		f.rest, f.have = f.payloadLength(), 0
		if f.rest == 0 {
			return n
		}
	}
	return n
}

// headerLength returns the bytes of a header of which two are there.
func (f *frames) headerLength() int {
	n := 2
	switch f.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.header[1]&0x80 != 0 { // masked
		n += 4
	}
	return n
}

func (f *frames) payloadLength() uint64 {
	switch n := f.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.header[2:])
	default:
		return uint64(n)
	}
}
