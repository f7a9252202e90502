package proxy

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// watchdog cuts an exchange off when one side keeps it waiting for too long. It
// checks what is being waited for only now and then, so that an exchange that
// makes progress pays for little more than reading the clock.
type watchdog struct {
	clientRead   wait // for the client to send some of its body
	clientWrite  wait // for the client to accept some of the response
	upstreamRead wait // for the upstream to send some of the response's body
	// For the upstream to begin its response. Only an exchange without a
	// transport needs it: a transport has a timeout of its own.
	responseHead wait

	stalled atomic.Bool // the upstream did

	mu         sync.Mutex // guards what follows
	stopped    bool
	x          *exchange
	control    *http.ResponseController
	timer      *time.Timer
	clientDone bool          // the client needn't send any more now
	mayPause   bool          // the upstream may, for as long as it likes
	pause      time.Duration // for how long it may otherwise, 0 for as long as it likes
	upstream   io.Closer     // what to close if the upstream stalls
}

// A wait is when a wait that is under way began, as the time since epoch; 0 if
// there is none.
type wait struct{ since atomic.Int64 }

// epoch is what waits count from: the monotonic clock alone is cheaper to read,
// and can't be set.
var epoch = time.Now()

func (w *wait) begin() { w.since.Store(int64(time.Since(epoch))) }
func (w *wait) end()   { w.since.Store(0) }

func (w *watchdog) start(x *exchange) {
	w.x = x
	w.control = http.NewResponseController(x.out)
	w.clientDone = x.kind == grpc
	w.mayPause = x.kind != ordinary
	w.pause = x.app.options.ResponseIdle
	if interval := w.interval(); interval > 0 {
		w.mu.Lock()
		w.timer = time.AfterFunc(interval, w.check)
		w.mu.Unlock()
	}
}

// interval is the longest time between two checks, 0 if nothing is limited.
func (w *watchdog) interval() (shortest time.Duration) {
	o := &w.x.app.options
	for _, limit := range [...]time.Duration{o.BodyIdle, o.ResponseIdle, o.ResponseHeaderTimeout} {
		if limit > 0 && (shortest == 0 || limit < shortest) {
			shortest = limit
		}
	}
	return shortest
}

// responded notes that the upstream has begun its response.
func (w *watchdog) responded() {
	w.mu.Lock()
	w.clientDone = true
	w.mu.Unlock()
}

// owesBody reports whether the client must go on to send its body.
func (w *watchdog) owesBody() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.clientDone
}

// promised notes that the upstream has said how long its response is: it has it,
// or nearly so, and may pause for less long than one who waits for what to send.
func (w *watchdog) promised() {
	o := &w.x.app.options
	w.mu.Lock()
	if o.ResponseHeaderTimeout > 0 && (w.pause == 0 || o.ResponseHeaderTimeout < w.pause) {
		w.pause = o.ResponseHeaderTimeout
	}
	w.mu.Unlock()
}

// follow sets what to close if the upstream stalls. In a stream it never does.
func (w *watchdog) follow(upstream io.Closer, stream bool) {
	w.mu.Lock()
	w.upstream = upstream
	w.mayPause = w.mayPause || stream
	w.mu.Unlock()
}

// stop ends the watchdog. The client's side of the exchange isn't touched later.
func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// check cuts off what has waited for too long, or sets the next check.
func (w *watchdog) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	next := w.interval()
	overdue := func(wait *wait, limit time.Duration) bool {
		since := wait.since.Load()
		if since == 0 || limit == 0 {
			return false
		}
		left := limit - (time.Since(epoch) - time.Duration(since))
		next = min(next, max(left, time.Millisecond))
		return left <= 0
	}
	now := time.Now()
	past := now.Add(-time.Second)
	o := &w.x.app.options
	switch {
	case overdue(&w.clientWrite, o.BodyIdle):
		w.control.SetWriteDeadline(past)
		w.control.SetReadDeadline(past)
		return
	case !w.clientDone && overdue(&w.clientRead, o.BodyIdle):
		w.control.SetReadDeadline(past)
		w.control.SetWriteDeadline(now.Add(o.BodyIdle))
		return
	case overdue(&w.responseHead, o.ResponseHeaderTimeout),
		!w.mayPause && overdue(&w.upstreamRead, w.pause):
		w.stalled.Store(true)
		go w.upstream.Close() // not under the lock: closing waits for the transport
		return
	}
	if o.BodyIdle > 0 {
		// The server's WriteTimeout is for clients that are slow.
		w.control.SetWriteDeadline(now.Add(2 * o.BodyIdle))
	}
	w.timer.Reset(next)
}
