package proxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// http1Pool holds the idle connections to an upstream that speaks plain HTTP/1.1.
type http1Pool struct {
	dial dialFunc

	mu    sync.Mutex
	idle  []*http1Conn // the one used last is at the end
	sweep *time.Timer  // not nil while it is going to run
}

// http1Conn is a connection to an upstream, used by one exchange at a time.
type http1Conn struct {
	net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	isIdle func() bool // see newIdleCheck

	reused    bool
	idleSince time.Time

	// Of the exchange that uses it:
	left      int64       // how much may be read before it is too much
	responded bool        // some of the response has come
	reusable  bool        // all of it has, and the upstream takes another request
	stopAbort func() bool // of closing it when the client leaves
}

var errHeadTooLarge = errors.New("the head of the response is too large")

// Read counts what is read against the limit.
func (c *http1Conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeadTooLarge
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	c.responded = c.responded || n > 0
	return n, err
}

// get returns a connection that is idle, or else a new one.
func (p *http1Pool) get(ctx context.Context) (*http1Conn, error) {
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
		if c.isIdle() {
			c.reused, c.responded, c.reusable = true, false, false
			return c, nil
		}
		c.Close()
	}
	raw, err := p.dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	c := &http1Conn{Conn: raw, isIdle: newIdleCheck(raw), left: maxResponseHeader}
	c.r, c.w = bufio.NewReader(c), bufio.NewWriter(raw)
	return c, nil
}

// put gives a connection back. It is kept for another request only if there is
// no doubt where the next response begins.
func (p *http1Pool) put(c *http1Conn) {
	clientLeft := !c.stopAbort()
	if clientLeft || !c.reusable || c.r.Buffered() > 0 {
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
func (p *http1Pool) closeStale() {
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

func (p *http1Pool) closeIdle() {
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
