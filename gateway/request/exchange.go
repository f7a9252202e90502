package request

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/session"
	"github.com/exitgate/exitgate/policy"
)

// An exchange is a request that is forwarded, for as long as it is under way: what it
// was decided on, to be decided anew when that changes. It is kept in memory alone.
type exchange struct {
	handler *Handler
	facts   Facts
	app     App
	client  netip.Addr
	cancel  context.CancelCauseFunc
	begun   time.Time
}

// Refused reports whether it would be refused or rejected now, by the policy, the flags
// and the databases that are in use.
func (x *exchange) Refused() (is session.Refused, refused bool) {
	return x.RefusedBy(x.handler.o.Policy(x.handler.o.Now()).Snapshot())
}

// RefusedBy reports whether a snapshot would refuse or reject it.
func (x *exchange) RefusedBy(s *policy.Snapshot) (is session.Refused, refused bool) {
	d, place, err := x.decideBy(s)
	is.Begun = x.begun
	if err != nil {
		is.Market = string(place.Jurisdiction())
		return is, true
	}
	is.Market = string(d.Jurisdiction)
	if d.Action != policy.Refuse {
		return is, false
	}
	is.Drain, is.Step = s.Drain(place, d), s.StepOf(place, d)
	return is, true
}

// DecidedBy returns how a snapshot would decide on it now, nil if it would be rejected.
func (x *exchange) DecidedBy(s *policy.Snapshot) *policy.Decision {
	d, _, err := x.decideBy(s)
	if err != nil {
		return nil
	}
	return d
}

// decide decides anew, and returns by which place.
func (x *exchange) decide(compiled *enforce.Compiled) (*policy.Decision, policy.Place, error) {
	return x.decideBy(compiled.Snapshot())
}

func (x *exchange) decideBy(s *policy.Snapshot) (*policy.Decision, policy.Place, error) {
	h, client := x.handler, x.client
	if latest := h.latest.Load(); latest != h { // which may trust others
		h = latest
		var err error
		if client, err = h.o.Client(x.facts.Peer, x.facts.Header); err != nil {
			return nil, h.o.Locate(x.client), err
		}
	}
	place := h.o.Locate(client)
	d, _, err := decideByReadings(s, place, x.facts)
	if err != nil {
		return nil, place, err
	}
	if other, held := h.o.LocateHeld(client); held && other != place {
		byHeld, _, err := decideByReadings(s, other, x.facts)
		if err != nil {
			return nil, other, err
		}
		if policy.Stricter(d, byHeld) == byHeld {
			d, place = byHeld, other
		}
	}
	return d, place, nil
}

// refuseCut answers a request that was cut before the app had answered.
func (h *Handler) refuseCut(a *answer, r *http.Request, x *exchange) {
	compiled := h.o.Policy(h.o.Now())
	d, place, err := x.decide(compiled)
	if err != nil || d.Action != policy.Refuse {
		h.reject(a, r, DecidedAnew)
		return
	}
	a.record.decided(x.app, d)
	h.refuse(a, r, compiled, d, place, x.facts.Host)
}

// Cut ends the exchange: a WebSocket with Close frames, a call of gRPC with a status, and a
// body that isn't complete by an abort, so that nobody takes it for whole.
func (x *exchange) Cut() { x.cancel(proxy.ErrSevered) }
