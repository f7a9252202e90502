package proxy

import (
	"slices"
	"sync/atomic"
	"time"
)

// balancer chooses upstreams for requests.
//
// The choice falls on the upstream with the fewest requests in flight: a slow
// instance, or one with many long streams, then gets less of the rest, with
// nothing to configure. Among equals they take turns.
type balancer struct {
	all  []*upstream
	next atomic.Uint32
}

// choose returns the upstream for the next attempt at a request, or nil if all
// have been tried. The caller must release it.
func (b *balancer) choose(tried []*upstream) *upstream {
	if len(b.all) == 1 {
		if len(tried) > 0 {
			return nil
		}
		return b.all[0].acquire()
	}
	now := time.Now()
	first := int(b.next.Add(1))
	var leastBusy, soonest *upstream
	for i := range b.all {
		u := b.all[(first+i)%len(b.all)]
		if slices.Contains(tried, u) {
			continue
		}
		switch u.health.state(now) {
		case up:
			if leastBusy == nil || u.inFlight.Load() < leastBusy.inFlight.Load() {
				leastBusy = u
			}
		case mayProbe:
			// This request finds out whether it is back. If not,
			// no harm is done: it goes on to another.
			if u.health.claimProbe(now) {
				return u.acquire()
			}
		}
		if soonest == nil || u.health.until() < soonest.health.until() {
			soonest = u
		}
	}
	switch {
	case leastBusy != nil:
		return leastBusy.acquire()
	case soonest != nil:
		// All are down. To try is better than to refuse.
		return soonest.acquire()
	}
	return nil
}

const (
	firstBackOff = 500 * time.Millisecond
	lastBackOff  = 30 * time.Second
)

// health is what requests find out about an upstream. Only a
// failure to connect counts against it: any client might provoke an upstream to
// drop a connection, and it must not be able to take the upstream away from the
// others with that.
type health struct {
	// downUntil is when the next request may probe, in Unix nanoseconds; 0
	// if it is up.
	downUntil atomic.Int64
	failures  atomic.Int32
}

type state int

const (
	up state = iota
	down
	mayProbe
)

func (h *health) state(now time.Time) state {
	switch until := h.downUntil.Load(); {
	case until == 0:
		return up
	case now.UnixNano() < until:
		return down
	default:
		return mayProbe
	}
}

func (h *health) until() int64 { return h.downUntil.Load() }

// claimProbe reports whether the caller is the one request that probes. To the
// others it stays down until the probe has an answer, or another back-off has
// gone by without.
func (h *health) claimProbe(now time.Time) bool {
	until := h.downUntil.Load()
	return until != 0 && until <= now.UnixNano() &&
		h.downUntil.CompareAndSwap(until, now.Add(h.backOff()).UnixNano())
}

// failed notes a failure to connect and reports whether it was up until now.
func (h *health) failed(now time.Time) (wasUp bool) {
	h.failures.Add(1)
	return h.downUntil.Swap(now.Add(h.backOff()).UnixNano()) == 0
}

// succeeded notes a sign of life and reports whether it was down until now.
func (h *health) succeeded() (wasDown bool) {
	if h.downUntil.Load() == 0 {
		return false
	}
	h.failures.Store(0)
	return h.downUntil.Swap(0) != 0
}

func (h *health) backOff() time.Duration {
	d := firstBackOff
	for range h.failures.Load() - 1 {
		if d *= 2; d >= lastBackOff {
			return lastBackOff
		}
	}
	return d
}
