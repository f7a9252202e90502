package request

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/policy"
)

// Probes are connections of the gateway to itself, to see what clients get: known by
// their two ends, so that nothing that anybody could send makes a request one. They are
// safe for concurrent use.
type Probes struct {
	count atomic.Int32
	mu    sync.Mutex
	from  map[ends]netip.Addr
}

// What a probe's answer says by a field that no other has.
const (
	ProbeField   = "Exitgate-Probe"
	ProbeRefused = "refused"
	ProbeServed  = "served"
)

// ends are the addresses of a connection, as the server of it sees them.
type ends struct{ remote, local string }

// Begin has the requests of a connection decided as those of a client at an address, until
// it is closed. Nothing may have been sent on it yet.
func (p *Probes) Begin(conn net.Conn, client netip.Addr) net.Conn {
	key := ends{conn.LocalAddr().String(), conn.RemoteAddr().String()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from == nil {
		p.from = make(map[ends]netip.Addr)
	}
	p.from[key] = client
	p.count.Add(1)
	return &probe{Conn: conn, end: sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.from, key)
		p.count.Add(-1)
	})}
}

// A probe is one's own end of a connection.
type probe struct {
	net.Conn
	end func()
}

// Close ends the probe before another connection can have the same ends.
func (p *probe) Close() error {
	p.end()
	return p.Conn.Close()
}

// of returns the address that a request is to be decided by, if it is a probe.
func (p *Probes) of(r *http.Request) (client netip.Addr, is bool) {
	if p.count.Load() == 0 {
		return client, false
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return client, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	client, is = p.from[ends{r.RemoteAddr, local.String()}]
	return client, is
}

// answerProbe answers a probe as the client would be answered, where that is a refusal;
// what would be forwarded is answered with 204, and never reaches the app. Nothing of it
// is counted or logged.
func (h *Handler) answerProbe(a *answer, r *http.Request, compiled *enforce.Compiled, f Facts, client netip.Addr) {
	a.record = nil
	app, known := h.o.Apps.Find(f.Host)
	if !known {
		http.Error(a, UnknownHost.Error(), http.StatusMisdirectedRequest)
		return
	}
	verdict, err := h.decideFrom(compiled, app, client, h.o.Locate(client), f)
	if err != nil {
		http.Error(a, err.Error(), http.StatusBadRequest)
		return
	}
	if verdict.Decision.Action == policy.Refuse {
		a.Header().Set(ProbeField, ProbeRefused)
		h.refuse(a, r, compiled, verdict.Decision, verdict.Place, f.Host)
		return
	}
	httpbody.CloseUnread(a, r)
	a.Header().Set(ProbeField, ProbeServed)
	a.WriteHeader(http.StatusNoContent)
}
