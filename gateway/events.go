package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

// events tells whoever listens what happens. Nobody is waited for.
type events struct {
	now func() time.Time

	mu        sync.Mutex
	listeners map[chan api.Event]struct{}
}

func newEvents(now func() time.Time) *events {
	return &events{now: now, listeners: make(map[chan api.Event]struct{})}
}

// tell tells all listeners. One that is too far behind is let go: it would miss
// something otherwise, and not know.
func (e *events) tell(event api.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	event.Time = e.now()
	for l := range e.listeners {
		select {
		case l <- event:
		default:
			e.leave(l)
		}
	}
}

// leave ends a listener. e.mu is held.
func (e *events) leave(l chan api.Event) {
	if _, listening := e.listeners[l]; listening {
		delete(e.listeners, l)
		close(l)
	}
}

// listen returns what happens from now on. The channel is closed when the
// context ends, when the listener has been too slow, and by close.
func (e *events) listen(ctx context.Context) <-chan api.Event {
	const behind = 64 // events
	l := make(chan api.Event, behind)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listeners == nil {
		close(l)
		return l
	}
	e.listeners[l] = struct{}{}
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.leave(l)
	})
	return l
}

// close lets all listeners go, and takes no others.
func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.listeners {
		e.leave(l)
	}
	e.listeners = nil
}
