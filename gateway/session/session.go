// Package session is the registry of what is under way: exchanges that may outlive
// the decision that they came from. Those that would be refused now are cut; and a
// drain waits for WebSockets, which net/http forgets about.
package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// A Gauge shows how many sessions there are.
type Gauge interface {
	Inc()
	Dec()
}

// An Exchange is a request that is under way.
type Exchange interface {
	// Refused reports whether it would be refused if it came now, and what it is then.
	// It may be called after the exchange has ended.
	Refused() (is Refused, refused bool)
	// RefusedBy reports whether a snapshot would refuse it.
	RefusedBy(*policy.Snapshot) (is Refused, refused bool)
	// DecidedBy returns how a snapshot would decide on it if it came now, nil if it would
	// be rejected.
	DecidedBy(*policy.Snapshot) *policy.Decision
	// Cut ends it at once, if it hasn't ended.
	Cut()
}

// Refused is an exchange that would be refused.
type Refused struct {
	Market string
	Begun  time.Time
	Drain  time.Duration // for which it may go on, by the policy
	// Step is the date of the step of a schedule by which it is refused, zero if it has
	// none.
	Step time.Time
}

// Cut is how many exchanges of a market were cut.
type Cut struct {
	Market   string
	Revision uint64 // that was in use when they were found to be refused
	All      int
	Lasting  int // that were under way for longer than most requests are
}

// A Registry is safe for concurrent use.
type Registry struct {
	websockets Gauge
	open       atomic.Int64 // WebSockets
	reviews    atomic.Uint64
	turn       atomic.Uint32
	shards     [16]shard

	ending map[Exchange]due // of who calls Follow
}

// A shard holds some of the exchanges, so that requests don't wait for each other.
type shard struct {
	mu  sync.Mutex
	all map[Exchange]struct{}
}

// New returns a Registry without sessions.
func New(websockets Gauge) *Registry {
	r := &Registry{websockets: websockets}
	for i := range r.shards {
		r.shards[i].all = make(map[Exchange]struct{})
	}
	return r
}

// Begin registers an exchange until end is called.
func (r *Registry) Begin(e Exchange) (end func()) {
	s := &r.shards[r.turn.Add(1)%uint32(len(r.shards))]
	s.mu.Lock()
	s.all[e] = struct{}{}
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.all, e)
		s.mu.Unlock()
	}
}

// Reviews returns how many reviews have begun. An exchange that was decided before one
// and began after it wasn't seen by it.
func (r *Registry) Reviews() uint64 { return r.reviews.Load() }

// Count returns how many exchanges a snapshot would forward, and how many it wouldn't,
// by the entry that governs them, or by place where that is the default; and the longest
// that one of these may go on.
func (r *Registry) Count(by *policy.Snapshot) (forwarded, refused map[policy.Code]int, drain time.Duration) {
	forwarded, refused = make(map[policy.Code]int), make(map[policy.Code]int)
	for e := range r.all() {
		d := e.DecidedBy(by)
		switch {
		case d == nil:
			refused[""]++
			continue
		case d.Action == policy.Refuse:
			refused[d.Market()]++
			is, _ := e.RefusedBy(by)
			drain = max(drain, is.Drain)
		default:
			forwarded[d.Market()]++
		}
	}
	return forwarded, refused, drain
}

// BeginWebSocket counts a WebSocket until end is called.
func (r *Registry) BeginWebSocket() (end func()) {
	r.open.Add(1)
	r.websockets.Inc()
	return func() {
		r.websockets.Dec()
		r.open.Add(-1)
	}
}

// Wait waits until no WebSocket is left or the context ends, as
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
