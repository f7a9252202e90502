package listen

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// readingTimeout is how long a connection that has sent nothing keeps a server from
// shutting down, as with net/http.
const readingTimeout = 5 * time.Second

// A readingTracker knows of which connections a request may be on its way to the handler.
// When a http.Server shuts down, it ends those without an answer: it looks whether it
// shuts down between the reading of a request and its handling, also on connections that
// it has just accepted.
type readingTracker struct {
	conns sync.Map // net.Conn → *atomic.Bool, whether a request may be read from it
}

type readingKey struct{}

// track has the tracker follow a server's connections. It must be called before the server
// serves.
func (t *readingTracker) track(s *http.Server) {
	connContext, connState, handler := s.ConnContext, s.ConnState, s.Handler
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		reading := new(atomic.Bool)
		reading.Store(true)
		t.conns.Store(c, reading)
		return context.WithValue(ctx, readingKey{}, reading)
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if reading, known := t.conns.Load(c); known {
			reading.(*atomic.Bool).Store(state == http.StateNew || state == http.StateActive)
			if state == http.StateClosed || state == http.StateHijacked {
				t.conns.Delete(c)
			}
		}
		if connState != nil {
			connState(c, state)
		}
	}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reading, ok := r.Context().Value(readingKey{}).(*atomic.Bool); ok {
			reading.Store(false)
		}
		handler.ServeHTTP(w, r)
	})
}

// isReading reports whether a request may be read from any connection.
func (t *readingTracker) isReading() (is bool) {
	t.conns.Range(func(_, reading any) bool {
		is = reading.(*atomic.Bool).Load()
		return !is
	})
	return is
}

// wait waits until every request that is being read is handled, or for readingTimeout, or
// until the context ends.
func (t *readingTracker) wait(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readingTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for t.isReading() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
