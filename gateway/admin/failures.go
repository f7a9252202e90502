package admin

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures limits, by client, how often somebody may show a token that is
// unknown. Addresses are in memory only, and of the last 4,096 clients at most.
// It is safe for concurrent use.
type failures struct {
	mu      sync.Mutex
	clients map[netip.Prefix]*rate.Limiter
}

const (
	maxFailures     = 10 // of a client, at once
	failureInterval = time.Minute / maxFailures
	maxClients      = 4096
)

func newFailures() *failures {
	return &failures{clients: make(map[netip.Prefix]*rate.Limiter)}
}

// add counts a failure. If the client has had too many, wait is until one more
// is allowed; that one is not counted then.
func (f *failures) add(client netip.Prefix, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limiter := f.clients[client]
	if limiter == nil {
		f.evict(now)
		limiter = rate.NewLimiter(rate.Every(failureInterval), maxFailures)
		f.clients[client] = limiter
	}
	reservation := limiter.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// evict forgets whoever has no recent failure, and any others until half of the
// room is free, so that it is seldom called for: what this limits is noise, no
// guess finds a token.
func (f *failures) evict(now time.Time) {
	if len(f.clients) < maxClients {
		return
	}
	for client, limiter := range f.clients {
		if limiter.TokensAt(now) >= maxFailures {
			delete(f.clients, client)
		}
	}
	for client := range f.clients {
		if len(f.clients) <= maxClients/2 {
			return
		}
		delete(f.clients, client)
	}
}

// clientPrefix returns what one client has: an IPv4 address, or a network of
// IPv6 (RFC 6177, section 2). What is no address is one client, too.
func clientPrefix(remote string) netip.Prefix {
	const network = 64 // bits
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = network
	}
	prefix, _ := ip.Prefix(bits) // as many as it has
	return prefix
}
