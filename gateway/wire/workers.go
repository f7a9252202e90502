package wire

import (
	"net/http"
	"sync"
)

// workers are goroutines that run handlers, one after the other: the stack of one that
// did so before has grown already, which saves a twentieth of what a request costs. Its
// zero value is ready; there are none while it is closed.
type workers struct {
	mu   sync.Mutex
	open bool
	idle []chan job // of those that wait; the one that ran last is at the end
}

// maxIdleWorkers bounds how many wait for all connections together.
const maxIdleWorkers = 256

// A job is a stream whose handler is to run.
type job struct {
	c  *conn
	st *stream
	h  http.Handler
	r  *http.Request
}

// run has a job done, at once.
func (w *workers) run(j job) {
	w.mu.Lock()
	last := len(w.idle) - 1
	if last < 0 {
		w.mu.Unlock()
		go w.work(j)
		return
	}
	worker := w.idle[last]
	w.idle = w.idle[:last]
	w.mu.Unlock()
	worker <- j // its buffer is empty
}

func (w *workers) work(j job) {
	next := make(chan job, 1)
	for more := true; more; {
		j.c.run(j.st, j.h, j.r)
		j = job{} // nothing of it is kept while waiting
		w.mu.Lock()
		waits := w.open && len(w.idle) < maxIdleWorkers
		if waits {
			w.idle = append(w.idle, next)
		}
		w.mu.Unlock()
		if !waits {
			return
		}
		j, more = <-next
	}
}

// setOpen says whether there may be jobs. If not, all that wait end.
func (w *workers) setOpen(open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = open
	if open {
		return
	}
	for _, worker := range w.idle {
		close(worker)
	}
	w.idle = nil
}
