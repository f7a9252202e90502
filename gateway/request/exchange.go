package request

import (
	"context"
	"net/netip"

	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/policy"
)

// An exchange is a request that is forwarded, for as long as it is under way: what it
// was decided on, to be decided anew when that changes. It is kept in memory alone.
type exchange struct {
	handler *Handler
	facts   Facts
	client  netip.Addr
	cancel  context.CancelCauseFunc
}

// Refused reports whether it would be refused or rejected now, by the policy, the flags
// and the databases that are in use.
func (x *exchange) Refused() bool {
	h := x.handler
	s := h.o.Policy(h.o.Now()).Snapshot()
	refused := func(place policy.Place) bool {
		d, _, err := decideByReadings(s, place, x.facts)
		return err != nil || d.Action == policy.Refuse
	}
	if refused(h.o.Locate(x.client)) {
		return true
	}
	other, held := h.o.LocateHeld(x.client)
	return held && refused(other)
}

// Cut ends the exchange: a WebSocket is closed with a Close frame, and a body that isn't
// complete is aborted, so that nobody takes it for whole.
func (x *exchange) Cut() { x.cancel(proxy.ErrSevered) }
