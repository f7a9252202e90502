package control

import (
	"os"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// Status returns what the gateway does now, and by which policy.
func (c *Control) Status(by changes.Actor) api.Status {
	now := c.now()
	ready, state := c.Readiness(), c.source.State()
	snapshot, blocked := c.engine.Snapshot(now)
	host, _ := os.Hostname() // "" is shown as it is
	status := api.Status{
		Version: c.o.Version, Host: host, Time: now,
		You:   api.You{Name: by.Name, Roles: orEmpty(by.Roles), Local: by.Local},
		Ready: ready.Ready, Checks: ready.Checks,
		Source:   string(c.source.Kind()),
		File:     c.source.File(),
		SHA256:   snapshot.Policy().Digest(),
		Mode:     snapshot.Policy().Mode(),
		Applied:  c.engine.AppliedAt(),
		Until:    snapshot.NextStep(),
		Waiting:  string(blocked),
		Pending:  []changes.Change{},
		Unsigned: orEmpty(state.Unsigned()),
		Markets:  c.markets(snapshot), Unenforced: orEmpty(snapshot.Unenforced(c.o.Capability())),
		Demands: orEmpty(snapshot.Policy().DemandStatuses(now, c.o.Capability())),
	}
	if l := c.source.Connection(); l != nil {
		status.Ledger = &api.Ledger{Connected: l.Connected, Since: l.Since, Why: l.Why, Last: l.Last, Format: changes.Format,
			LowestFormat: l.Format, Unknown: state.Unknown(), Unrecorded: l.Unrecorded}
	}
	if revision := state.Revision(); revision.Number != 0 {
		status.Revision, status.InForce = revision.Number, &revision
	}
	if blocked == enforce.PolicyUnknown { // what stands in its place is nobody's policy
		status.SHA256, status.Markets, status.Demands = "", []api.Market{}, []policy.DemandStatus{}
	}
	for _, change := range c.changes(state) {
		if change.Status == changes.Pending || change.Status == changes.Stale {
			status.Pending = append(status.Pending, withLists(change))
		}
	}
	return status
}
