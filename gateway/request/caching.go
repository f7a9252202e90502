package request

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/policy"
)

// followCopies returns what tells, once the head of the answer is there, until when
// caches may give it out, and what is to be called when it has ended.
func (h *Handler) followCopies(decidedBy *enforce.Compiled, v Verdict, f Facts, method string) (caching func() proxy.Caching, end func()) {
	ended := func() {}
	caching = func() proxy.Caching {
		ended = h.o.BeginStorable() // before it is known whether it is
		c := h.caching(decidedBy, v, f, method)
		if !c.Shared.IsZero() && !c.Shared.After(c.At) { // it isn't
			ended()
			ended = func() {}
		}
		if v.Decision.Class != policy.Essential {
			c.OnCopies = h.copies.note
		}
		return c
	}
	return caching, func() { ended() }
}

// caching returns until when caches may give out the answer to a request that was
// forwarded. It goes by the policy in use now, which may be another one than the
// request was decided by: what is kept from now on is given out from now on.
//
// All answers are treated so, whoever asks: a shared cache may be where nobody has
// named a trusted proxy, behind a load balancer with the PROXY protocol or at a
// client's company. To a browser it makes no difference.
func (h *Handler) caching(decidedBy *enforce.Compiled, v Verdict, f Facts, method string) (c proxy.Caching) {
	c.At = h.o.Now()
	compiled := h.o.Policy(c.At)
	s, readings := compiled.Snapshot(), v.Readings
	if compiled != decidedBy {
		_, readings, _ = decideByReadings(s, v.Place, f)
	}
	key := h.cacheKey(v, f)
	// A cache may give what one method was answered to another one.
	isRead := method == http.MethodGet || method == http.MethodHead
	essential := s.Policy().Class(policy.Essential)
	for class := range policy.Class(s.Classes()) {
		if class != essential && readings.Include(class) {
			c.Longest = s.LongestFreshness()
		}
		anywhere := s.RefusedFromAnywhere(class)
		if anywhere.IsZero() || isRead && !readings.Include(class) {
			continue
		}
		if key != "" {
			c.Key = h.o.CacheKey
			anywhere = s.RefusedFromWithin(key, class)
		}
		c.Shared = earlier(c.Shared, anywhere)
		if readings.Include(class) {
			c.Private = earlier(c.Private, s.RefusedFrom(v.Place, class))
		}
	}
	return c
}

// earlier returns the earlier of two times, of which the zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// cacheKey returns the place by which a shared cache keeps the answer apart from
// those to clients elsewhere, "" if it doesn't, or by another place than where the
// client is.
func (h *Handler) cacheKey(v Verdict, f Facts) policy.Code {
	if h.o.CacheKey == "" || len(f.Header[h.o.CacheKey]) == 0 || !h.o.Trusts(f.Peer) {
		return ""
	}
	code := policy.Code(f.Header[h.o.CacheKey][0])
	_, held := h.o.LocateHeld(v.Client)
	switch {
	case held: // the cache doesn't go by both databases
		return ""
	case len(f.Header[h.o.CacheKey]) > 1, code == "", code != v.Place.Country && code != v.Place.Subdivisions[0]:
		h.counters.otherKeys.Inc()
		return ""
	}
	return code
}

// Copies returns until when caches may give out what was forwarded so far, but for
// what is essential.
func (h *Handler) Copies() proxy.Copies {
	return proxy.Copies{Shared: asTime(h.copies.shared.Load()), Private: asTime(h.copies.private.Load()), Unstated: h.copies.unstated.Load()}
}

// copies are those of all answers: the latest moments, in Unix seconds, 0 for none.
type copies struct {
	shared, private atomic.Int64
	unstated        atomic.Bool
}

func (c *copies) note(of proxy.Copies) {
	setLatest(&c.shared, of.Shared)
	setLatest(&c.private, of.Private)
	if of.Unstated && !c.unstated.Load() {
		c.unstated.Store(true)
	}
}

func setLatest(latest *atomic.Int64, at time.Time) {
	if at.IsZero() {
		return
	}
	for seconds := at.Unix() + 1; ; {
		before := latest.Load()
		if before >= seconds || latest.CompareAndSwap(before, seconds) {
			return
		}
	}
}

func asTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
