package gateway

import "context"

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
		if cut := g.sessions.Review(ctx); cut > 0 {
			g.metrics.Severed.Add(float64(cut))
			g.log.Info("exchanges were cut, as they would be refused now", "count", cut)
		}
	}
}
