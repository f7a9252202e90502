package wire

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// output is what a connection has to send. It is guarded by the connection's mutex.
//
// Frames are appended to pending, by whoever has them. One goroutine at a time
// writes: takes all that is pending, and comes again until there is nothing left.
type output struct {
	pending []byte
	writing bool // a goroutine writes, or is about to
	// emptyTable is that noDynamicTable is due.
	emptyTable bool
}

// maxPending is how much may be pending when more data is appended. Frames of the
// connection itself are appended above it: budgets bound those.
const maxPending = 64 << 10

// writeAtOnce is how much is written under one deadline: so that it is for some
// progress, and not for all that is pending.
const writeAtOnce = 16 << 10

var outputBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// appendOutput appends what f does. c.mu is held; the caller sees to it that it is written.
func (c *conn) appendOutput(f func(b []byte) []byte) {
	if c.out.pending == nil {
		c.out.pending = *outputBuffers.Get().(*[]byte)
	}
	c.out.pending = f(c.out.pending)
}

func giveBackOutput(b []byte) {
	if cap(b) <= 2*maxPending {
		b = b[:0]
		outputBuffers.Put(&b)
	}
}

// kick has what is pending written by another goroutine: for those who go on with
// something else. c.mu is held.
func (c *conn) kick() {
	if c.beginWriting() {
		go c.write()
	}
}

// beginWriting reports whether the caller has to call write. c.mu is held.
func (c *conn) beginWriting() bool {
	if c.out.writing || len(c.out.pending) == 0 || c.err != nil {
		return false
	}
	c.out.writing = true
	return true
}

// write writes until nothing is pending. Others run first, once: what they have to
// send by then goes out at the same time, in one record of TLS and one system call.
func (c *conn) write() {
	runtime.Gosched()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out.pending) > 0 && c.err == nil {
		b := c.out.pending
		c.out.pending = nil
		c.mu.Unlock()
		err := c.writeAll(b)
		giveBackOutput(b)
		c.mu.Lock()
		c.changed.Broadcast() // there is room
		if err != nil {
			c.fail(err)
		}
	}
	c.out.writing = false
	c.changed.Broadcast() // linger waits for it
	c.closeIfDone()
}

func (c *conn) writeAll(b []byte) error {
	for len(b) > 0 {
		part := b[:min(len(b), writeAtOnce)]
		if limit := c.engine.writeTimeout(); limit > 0 {
			if err := c.net.SetWriteDeadline(time.Now().Add(limit)); err != nil {
				return err
			}
		}
		if _, err := c.net.Write(part); err != nil {
			return err
		}
		b = b[len(part):]
	}
	return nil
}

// wait waits until somebody says that something has changed, or a deadline: then it
// reports true. The zero deadline is none. c.mu is held, but for the time in between.
func (c *conn) wait(changed *sync.Cond, deadline time.Time) (late bool) {
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return true
		}
		defer time.AfterFunc(left, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			changed.Broadcast()
		}).Stop()
	}
	changed.Wait()
	return false
}

// sendHeaders sends a block of fields on a stream. c.mu is held.
func (c *conn) sendHeaders(st *stream, block []byte, end bool) error {
	for st.err == nil && len(c.out.pending) >= maxPending {
		if c.waitToSend(st) {
			break
		}
	}
	if st.err != nil {
		return st.err
	}
	if c.out.emptyTable {
		c.out.emptyTable = false
		block = append([]byte{noDynamicTable}, block...)
	}
	c.appendOutput(func(b []byte) []byte { return appendHeaders(b, st.id, block, end) })
	if end {
		c.endLocal(st)
	}
	return nil
}

// sendData sends data on a stream, as the peer's windows allow. c.mu is held, but for the
// time of waiting for them.
func (c *conn) sendData(st *stream, data []byte, end bool) error {
	for st.err == nil {
		n := int(max(0, min(sendWindow(len(data)), sendWindow(maxFrame), st.send, c.send)))
		if n == 0 && len(data) > 0 || len(c.out.pending) >= maxPending {
			c.waitToSend(st)
			continue
		}
		last := n == len(data)
		c.appendOutput(func(b []byte) []byte { return appendData(b, st.id, data[:n], end && last) })
		c.send -= sendWindow(n)
		st.send -= sendWindow(n)
		c.budgets.idle.earn(2)
		if data = data[n:]; last {
			if end {
				c.endLocal(st)
			}
			return nil
		}
	}
	return st.err
}

// waitToSend waits until a stream may send more, maybe. The stream is reset if that takes
// until its deadline: then it reports true. c.mu is held, but for the time in between.
func (c *conn) waitToSend(st *stream) (late bool) {
	c.kick()
	if late = c.wait(&c.changed, st.writeDeadline); late {
		c.reset(st, http2.ErrCodeInternal, errLate)
	}
	return late
}
