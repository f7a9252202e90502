package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"
)

// ErrSevered is the cause of the end of a request's context, if it is cut as it would
// be refused now.
var ErrSevered = errors.New("severed")

// Why a WebSocket is closed (RFC 6455, section 7.4.1).
const (
	goingAway       = 1001 // the gateway is being stopped
	policyViolation = 1008
)

// closeWait is how long a client may take to accept a Close frame.
const closeWait = time.Second

// A webSocketConn is the client's side of a WebSocket. When it is closed as the
// request's context has ended, the client is told why by a Close frame, unless a frame
// is under way.
type webSocketConn struct {
	net.Conn
	ctx    context.Context // of the request
	mu     sync.Mutex      // guards frames, and that nothing comes between their bytes
	frames frames
}

func (c *webSocketConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.Conn.Write(p)
	c.frames.follow(p[:n])
	return n, err
}

func (c *webSocketConn) Close() error {
	if c.ctx.Err() != nil {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(closeWait)) // of a Write that is under way, too
		c.sendClose()
	}
	return c.Conn.Close()
}

func (c *webSocketConn) sendClose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.frames.betweenTwo() {
		return
	}
	code, reason := uint16(goingAway), "The service is being restarted."
	if errors.Is(context.Cause(c.ctx), ErrSevered) {
		code, reason = policyViolation, "This service is no longer available here."
	}
	payload := append(binary.BigEndian.AppendUint16(nil, code), reason...)
	_, _ = c.Conn.Write(append([]byte{0x80 | closeOpcode, byte(len(payload))}, payload...)) // else there is none
}

const closeOpcode = 8

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
		if f.rest > 0 {
			n := min(uint64(len(p)), f.rest)
			p, f.rest = p[n:], f.rest-n
			continue
		}
		f.header[f.have] = p[0]
		p, f.have = p[1:], f.have+1
		if f.have < 2 || f.have < f.headerLength() {
			continue
		}
		f.closed = f.closed || f.header[0]&0x0f == closeOpcode
		f.rest, f.have = f.payloadLength(), 0
	}
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
