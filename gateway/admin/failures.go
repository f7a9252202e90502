package admin

import (
	"net/netip"
	"sync"
	"time"
)

// failures counts by client how often somebody showed a token that is nobody's.
// Addresses are in memory only, and of the last 4,096 clients at most. It is safe
// for concurrent use.
type failures struct {
	mu      sync.Mutex
	clients map[netip.Prefix]allowance
}

// An allowance is how many failures a client has left. It grows back.
type allowance struct {
	left float64
	at   time.Time
}

const (
	mostFailures = 10 // of a client, at once
	oneMore      = time.Minute / mostFailures
	mostClients  = 4096
)

func newFailures() *failures {
	return &failures{clients: make(map[netip.Prefix]allowance)}
}

// add counts a failure. If the client has had too many, wait is until one more
// is allowed; that one is not counted then.
func (f *failures) add(client netip.Prefix, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.clients[client].grown(now)
	if left < 1 {
		return time.Duration((1 - left) * float64(oneMore))
	}
	f.makeRoom(now)
	f.clients[client] = allowance{left - 1, now}
	return 0
}

// makeRoom forgets whoever has the whole allowance again, and any others until
// half of the room is free, so that it is seldom called for: what this limits is
// noise, no guess finds a token.
func (f *failures) makeRoom(now time.Time) {
	if len(f.clients) < mostClients {
		return
	}
	for client, a := range f.clients {
		if a.grown(now) == mostFailures {
			delete(f.clients, client)
		}
	}
	for client := range f.clients {
		if len(f.clients) <= mostClients/2 {
			return
		}
		delete(f.clients, client)
	}
}

func (a allowance) grown(now time.Time) float64 {
	if a.at.IsZero() {
		return mostFailures
	}
	grown := a.left + max(0, float64(now.Sub(a.at))/float64(oneMore))
	return min(grown, mostFailures)
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
