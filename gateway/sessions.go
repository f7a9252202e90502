package gateway

import (
	"context"
	"time"

	"github.com/exitgate/exitgate/gateway/session"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// reviewSessions has what is under way decided anew, soon.
func (g *Gateway) reviewSessions() {
	select {
	case g.changed <- struct{}{}:
	default: // it is done soon
	}
}

// cutRefused cuts what is under way and would be refused now, whenever something has
// changed by which that is decided, and what a step to come would refuse by its moment,
// until the context ends.
func (g *Gateway) cutRefused(ctx context.Context) {
	g.sessions.Follow(ctx, g.changed, session.Drains{
		End: g.drainEnd, AtOnce: func() bool { return g.cutAtOnce.Swap(false) }, Next: g.nextSnapshot, OnCut: g.metrics.Severed.Inc, OnEnd: g.reportSevered, Revision: g.engine.Number, Now: g.now,
	})
}

// drainEnd returns by when an exchange is to be ended that is refused now. The drain of a
// step that was taken is over.
func (g *Gateway) drainEnd(is session.Refused, now time.Time) time.Time {
	if is.Step.After(g.engine.AppliedAt()) && is.Step.After(is.Begun) {
		return now
	}
	return now.Add(is.Drain)
}

// nextSnapshot returns what holds from the next step on, when that is, and the longest
// drain of the policy; nil if it has none.
func (g *Gateway) nextSnapshot() (next *policy.Snapshot, at time.Time, drain time.Duration) {
	drain = g.policyInUse().MostDrain()
	if drain == 0 {
		return nil, time.Time{}, 0
	}
	next = g.engine.Next(g.now())
	if next == nil {
		return nil, time.Time{}, 0
	}
	return next, next.At(), drain
}

// reportSevered says how many exchanges of a market were cut.
func (g *Gateway) reportSevered(cut session.Cut) {
	g.log.Info("exchanges were cut, as they would be refused now", "jurisdiction", cut.Market, "count", cut.All)
	if cut.Lasting == 0 {
		return // requests that come in any moment
	}
	g.occurred(changes.Occurrence{
		Kind: changes.MarketSevered, Revision: cut.Revision, At: g.now(),
		Severed: changes.Severed{Jurisdiction: policy.Code(cut.Market), Exchanges: cut.Lasting},
	})
}
