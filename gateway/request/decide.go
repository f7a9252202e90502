package request

import (
	"net/http"
	"net/netip"

	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/policy"
)

// Facts are what a request is decided on.
type Facts struct {
	Method string     // of a preflight: of the request that it is about
	Host   string     // as Hostname returns it
	Path   string     // as it is forwarded, escaped, without query
	Query  string     // behind the "?", as it is forwarded
	Peer   netip.Addr // who the connection is with; the zero one is rejected
	// Header has at least the fields that say on whose behalf a request
	// comes, and those that override its method.
	Header http.Header
}

// A Verdict is what comes of a request that is not rejected.
type Verdict struct {
	App      App
	Client   netip.Addr
	Decision *policy.Decision
	Outcome  *enforce.Outcome
	Place    policy.Place    // by which it is decided
	Readings policy.Readings // of the request
}

// Decide decides on a request and counts it. An error is why it is rejected.
// It doesn't allocate.
func (h *Handler) Decide(compiled *enforce.Compiled, f Facts) (Verdict, error) {
	app, known := h.o.Apps.Find(f.Host)
	if !known {
		return Verdict{}, UnknownHost
	}
	address, err := h.o.Client(f.Peer, f.Header)
	if err != nil {
		return Verdict{}, err
	}
	place := h.o.Locate(address)
	h.countLookup(place)
	verdict, err := h.decideFrom(compiled, app, address, place, f)
	if err != nil {
		return Verdict{}, err
	}
	if h.o.Sources.Count(f.Peer, f.Header, place.Private) {
		h.counters.headersIgnored.Inc()
	}
	verdict.Outcome.Count(verdict.Place)
	return verdict, nil
}

// decideFrom decides on a request of a client whose address is located at a place.
func (h *Handler) decideFrom(compiled *enforce.Compiled, app App, address netip.Addr, place policy.Place, f Facts) (Verdict, error) {
	decision, readings, err := decideByReadings(compiled.Snapshot(), place, f)
	if err != nil {
		return Verdict{}, err
	}
	if other, held := h.o.LocateHeld(address); held && other != place {
		byHeld, _, err := decideByReadings(compiled.Snapshot(), other, f)
		if err != nil {
			return Verdict{}, err
		}
		if policy.Stricter(decision, byHeld) == byHeld {
			decision, place = byHeld, other
		}
	}
	return Verdict{app, address, decision, compiled.Outcome(decision), place, readings}, nil
}

// countLookup counts how well it went to find out where an address is.
func (h *Handler) countLookup(place policy.Place) {
	switch {
	case place.Private:
		h.counters.private.Inc()
	case place.Country == "":
		h.counters.unlocated.Inc()
	default:
		h.counters.located.Inc()
	}
}

// refusesPage returns what reports whether a page would be refused to a client at a
// place: one of the host that it asked for, or of another that the settings name. Of
// other hosts nothing is known.
func (h *Handler) refusesPage(s *policy.Snapshot, place policy.Place, asked string) func(host, path string) bool {
	return func(host, path string) bool {
		if host != asked && !h.o.Apps.Names(host) {
			return false
		}
		d, _, err := decideByReadings(s, place, Facts{Method: http.MethodGet, Host: host, Path: path})
		return err != nil || d.Action == policy.Refuse
	}
}
