package gateway

import (
	"context"
	"maps"
	"slices"

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
// changed by which that is decided, until the context ends.
func (g *Gateway) cutRefused(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.changed:
		}
		at, revision := g.now(), g.engine.Number()
		byMarket := g.sessions.Review(ctx)
		for _, market := range slices.Sorted(maps.Keys(byMarket)) {
			cut := byMarket[market]
			g.metrics.Severed.Add(float64(cut.All))
			g.log.Info("exchanges were cut, as they would be refused now", "jurisdiction", market, "count", cut.All)
			if cut.Lasting == 0 {
				continue // requests that come in any moment
			}
			g.occurred(changes.Occurrence{Kind: changes.MarketSevered, Revision: revision, At: at, Severed: changes.Severed{Jurisdiction: policy.Code(market), Exchanges: cut.Lasting}})
		}
	}
}
