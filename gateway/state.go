package gateway

import (
	"slices"

	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

// state is what the metrics show of what the gateway works with.
func (g *Gateway) state() metrics.State {
	s := metrics.State{
		Snapshot:     g.snapshot(),
		StepsKept:    g.engine.StepsError() == nil,
		PolicyFailed: g.engine.Failure() != nil,
		Certificates: g.certificateEnds(),
		Flags:        g.flagState(),
		Doubts:       make(map[string]bool),
	}
	doubt := g.doubt()
	for _, reason := range client.DoubtReasons() {
		s.Doubts[string(reason)] = doubt.Reason == reason
	}
	s.Unenforced = s.Snapshot.Unenforced(g.geo.Capability())
	for _, d := range s.Snapshot.Policy().DemandStatuses(g.now(), g.geo.Capability()) {
		if d.Disclosed() { // who reads the metrics isn't known
			s.Demands = append(s.Demands, d)
		}
	}
	s.Purge = g.purgeState()
	underWay, ending, _ := g.sessions.Count(s.Snapshot)
	for code, n := range ending {
		if code != "" { // what would be rejected is of no market, and is cut
			underWay[code] += n
		}
	}
	s.UnderWay = underWay
	if g.notifier != nil {
		s.Untold = g.notifier.Pending()
	}
	if c := g.source.Connection(); c != nil {
		s.Ledger = g.ledgerState(c)
	}
	holds := g.geo.Holds()
	for _, d := range g.geo.Databases() {
		if d.Build.IsZero() {
			continue // corrections don't get old
		}
		isHeld := slices.ContainsFunc(holds, func(h geo.Hold) bool { return h.Path == d.Path })
		s.Databases = append(s.Databases, metrics.Database{Name: d.Path, Build: d.Build, Embedded: d.Path == geo.Embedded, Held: isHeld, Overdue: g.databaseOverdue(d)})
	}
	return s
}

// ledgerState is what the metrics show of the ledger.
func (g *Gateway) ledgerState(c *source.Connection) *metrics.Ledger {
	state := g.source.State()
	l := &metrics.Ledger{Connected: c.Connected, Differing: c.Differing, Reserved: c.Reserve == nil, ClockOffset: c.ClockOffset,
		Format: c.Format, Unknown: state.Unknown(), Unrecorded: c.Unrecorded}
	for _, c := range g.control.Changes().Changes {
		if c.Status == changes.Pending {
			l.Pending++
			if l.Expires.IsZero() || c.Expires.Before(l.Expires) {
				l.Expires = c.Expires
			}
		}
	}
	for _, revision := range state.Unsigned() {
		l.SignatureDue = append(l.SignatureDue, revision.SignBy)
		if slices.Contains(revision.Effects, plan.OpensMarket) {
			l.TakenBack++
		}
	}
	return l
}

// databaseOverdue reports whether a database is too old to locate the clients of
// a market that is restricted.
func (g *Gateway) databaseOverdue(d geo.Database) bool {
	limit := g.config.Geo.MaxAge
	return limit > 0 && !d.Build.IsZero() && g.now().Sub(d.Build) > limit && g.snapshot().Restricts()
}
