// Package session is the registry of what is under way: exchanges that outlive
// the decision that they came from. For now it counts WebSockets, which
// net/http forgets about, so that a drain can wait for them.
package session

import (
	"context"
	"sync/atomic"
	"time"
)

// A Gauge shows how many sessions there are.
type Gauge interface {
	Inc()
	Dec()
}

// A Registry is safe for concurrent use.
type Registry struct {
	websockets Gauge
	open       atomic.Int64
}

// New returns a Registry without sessions.
func New(websockets Gauge) *Registry { return &Registry{websockets: websockets} }

// Begin registers a WebSocket until end is called.
func (r *Registry) Begin() (end func()) {
	r.open.Add(1)
	r.websockets.Inc()
	return func() {
		r.websockets.Dec()
		r.open.Add(-1)
	}
}

// Wait waits until no session is left or the context ends, as
// http.Server.Shutdown does for other requests.
func (r *Registry) Wait(ctx context.Context) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for r.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
