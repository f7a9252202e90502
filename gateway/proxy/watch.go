package proxy

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// watch cuts an exchange off when one side keeps it waiting for too long. It
// looks at what is being waited for only now and then, so that an exchange
// that makes progress pays for little more than reading the clock.
type watch struct {
	// When the wait that is going on began, in nanoseconds since origin; 0
	// if there is none: for the client to send some of its body, for the
	// client to accept some of the answer, for the upstream to send some of
	// it.
	reading, writing, answering atomic.Int64
	// The same for the upstream to begin its answer. Only what doesn't go
	// through a transport needs it, which has a timeout of its own.
	thinking atomic.Int64

	stalled atomic.Bool // the upstream did

	mu       sync.Mutex
	stopped  bool
	x        *exchange
	control  *http.ResponseController
	timer    *time.Timer
	patient  bool      // the client owes nothing now
	streamed bool      // nor does the upstream
	source   io.Closer // what to close if the upstream stalls
}

// origin is what the waits count from: the monotonic clock alone is cheaper to
// read, and can't be set.
var origin = time.Now()

func (w *watch) begin(wait *atomic.Int64)  { wait.Store(int64(time.Since(origin))) }
func (w *watch) finish(wait *atomic.Int64) { wait.Store(0) }

func (w *watch) start(x *exchange) {
	w.x = x
	w.control = http.NewResponseController(x.out)
	w.patient = x.kind == grpc
	w.streamed = x.kind != ordinary
	if period := w.period(); period > 0 {
		w.mu.Lock()
		w.timer = time.AfterFunc(period, w.look)
		w.mu.Unlock()
	}
}

// period is the longest time between two looks, 0 if nothing is limited.
func (w *watch) period() (shortest time.Duration) {
	o := &w.x.app.options
	for _, limit := range [...]time.Duration{o.BodyIdle, o.ResponseIdle, o.ResponseHeaderTimeout} {
		if limit > 0 && (shortest == 0 || limit < shortest) {
			shortest = limit
		}
	}
	return shortest
}

// answered notes that the upstream has begun to answer.
func (w *watch) answered() {
	w.mu.Lock()
	w.patient = true
	w.mu.Unlock()
}

// follow names what to close if the upstream stalls. In a stream it never does.
func (w *watch) follow(source io.Closer, stream bool) {
	w.mu.Lock()
	w.source = source
	w.streamed = w.streamed || stream
	w.mu.Unlock()
}

// stop ends the watch. The server's side of the exchange isn't touched later.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// look cuts off what has waited for too long, or says when to look again.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	next := w.period()
	overdue := func(wait *atomic.Int64, limit time.Duration) bool {
		since := wait.Load()
		if since == 0 || limit == 0 {
			return false
		}
		left := limit - (time.Since(origin) - time.Duration(since))
		next = min(next, max(left, time.Millisecond))
		return left <= 0
	}
	now := time.Now()
	past := now.Add(-time.Second)
	client := w.x.app.options.BodyIdle
	switch {
	case overdue(&w.writing, client):
		w.control.SetWriteDeadline(past)
		w.control.SetReadDeadline(past)
		return
	case !w.patient && overdue(&w.reading, client):
		w.control.SetReadDeadline(past)
		w.control.SetWriteDeadline(now.Add(client))
		return
	case overdue(&w.thinking, w.x.app.options.ResponseHeaderTimeout),
		!w.streamed && overdue(&w.answering, w.x.app.options.ResponseIdle):
		w.stalled.Store(true)
		// Not under the lock: closing waits for the transport.
		go w.source.Close()
		return
	}
	if client > 0 {
		// The server's WriteTimeout is for clients that are slow.
		w.control.SetWriteDeadline(now.Add(2 * client))
	}
	w.timer.Reset(next)
}
