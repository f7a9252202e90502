package control

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/plan"
)

// Plan returns what a policy would change, and whom it would have hit, to somebody who
// may know that.
func (c *Control) Plan(ctx context.Context, by changes.Actor, p api.Proposal) (api.Plan, error) {
	proposal, err := c.proposal(ctx, 0, p, changes.Request{})
	if err != nil {
		return api.Plan{}, err
	}
	return c.plan(ctx, by, proposal)
}

// proposal turns what the API says into what is proposed.
func (c *Control) proposal(ctx context.Context, expected uint64, p api.Proposal, r changes.Request) (changes.Proposal, error) {
	proposal := changes.Proposal{Expected: expected, Because: p.Because, Plan: p.Plan, Emergency: p.Emergency, Backdated: p.Backdated, Of: p.Change, Request: r}
	if p.Change != 0 && p.Set == nil && p.Stage == nil {
		return proposal, invalid("change is given without set and stage", "leave it out: a whole policy takes the place of what the change was")
	}
	if p.Policy != "" {
		proposal.Policy = []byte(p.Policy)
	}
	if p.Set != nil {
		proposal.Set = &edit.PhaseChange{Jurisdiction: p.Set.Jurisdiction, Phase: p.Set.Phase, From: p.Set.From, Remove: p.Set.Remove, Territories: p.Set.Territories, UnknownPart: p.Set.UnknownPart}
	}
	if p.Stage != nil {
		proposal.Stage = &edit.StageChange{Demand: p.Stage.Demand, DatedStage: p.Stage.DatedStage}
	}
	if p.Set != nil && p.Set.UnknownPart != "" && !p.Set.UnknownPart.IsKnown() {
		return proposal, invalid("unknown-part is neither serve nor withhold", "give one of the two")
	}
	if p.Rollback == 0 {
		return proposal, nil
	}
	if p.Policy != "" || p.Set != nil || p.Stage != nil {
		return proposal, invalid("a rollback and something else at the same time", "give one of policy, set, stage and rollback")
	}
	before, err := c.Revision(ctx, p.Rollback)
	proposal.Policy, proposal.Rollback = []byte(before.Policy), p.Rollback
	return proposal, err
}

// plan returns what would come of a proposal of somebody, and whom it would have hit.
// One that waits may be looked at by whoever could not make it.
func (c *Control) plan(ctx context.Context, by changes.Actor, p changes.Proposal) (api.Plan, error) {
	// Read first: a revision that comes between makes a proposal by this plan a
	// conflict, not one whose plan has changed for no reason that can be seen.
	revision := c.source.State().Revision().Number
	state, err := c.source.PlanState()
	if err != nil {
		return api.Plan{}, err
	}
	if err := state.CheckDemandKnown(by, p); err != nil {
		return api.Plan{}, err
	}
	planned, err := state.Plan(p, c.o.Flags.Known(), c.now())
	if err != nil {
		return api.Plan{}, c.withChoices(ctx, p, err)
	}
	proposed, err := document.Read("policy", planned.Policy)
	if err != nil {
		return api.Plan{}, err
	}
	if err := state.CheckMayKnow(by, planned.Plan, proposed); err != nil && !p.Waits {
		return api.Plan{}, err
	}
	counted := c.trafficOnce(ctx)
	unsaid := c.unsaid(counted, state.Policy(), proposed, p, planned.Plan)
	if p.Set != nil && !p.Emergency && unsaid != nil {
		return api.Plan{}, unsaid[0]
	}
	objection := ""
	if err := c.checkFindable(state.Policy(), proposed, p, planned.Plan); err != nil {
		objection = err.Error()
	}
	_, refused := c.underWay(policy.Compile(proposed, c.o.Flags.Known(), c.now()))
	cut := 0
	for _, n := range refused {
		cut += n
	}
	return api.Plan{
		Cut: cut, Objection: objection, Unsaid: messages(unsaid), Backdated: planned.Backdated,
		Unfindable: orEmpty(policy.Unfindable(proposed, c.o.Flags.Known(), c.now(), c.o.Capability())),
		Revision:   revision, Policy: string(planned.Policy), Plan: planned.Plan,
		Needs: planned.Needs, Emergency: planned.Emergency, Hit: impact(counted, planned.Plan), Caches: c.caches(planned.Plan),
	}, nil
}

// caches returns until when caches may serve what a plan would have refused, nil if
// that is no later than the plan would have it so.
func (c *Control) caches(p plan.Plan) *api.Caches {
	if c.o.Copies == nil {
		return nil
	}
	var first time.Time
	for _, m := range p.Moves {
		at := m.From
		if at.IsZero() {
			at = p.At
		}
		if m.Effect == plan.WithdrawsMarket && m.After.Phase > policy.Announced && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if slices.ContainsFunc(p.Amendments, func(a plan.Amendment) bool { return a.Effect == plan.WithdrawsMarket }) {
		first = p.At // requests of another class than before, say
	}
	if first.IsZero() {
		return nil
	}
	known := c.o.Copies()
	for _, end := range []*time.Time{&known.Shared, &known.Private} {
		if !end.After(first) {
			*end = time.Time{}
		}
	}
	if known.Shared.IsZero() && known.Private.IsZero() && !known.Unstated {
		return nil
	}
	return &known
}

// impact returns how many requests a plan would have decided otherwise: those of
// all gateways that answer, else those of this one.
func impact(counted countedOnce, p plan.Plan) *api.Impact {
	sums, gateways := counted()
	hour, day := sums.Traffic()
	return &api.Impact{Gateways: gateways, Since: sums.Since, Hour: p.Impact(hour), Day: p.Impact(day)}
}

// countedOnce returns what gateways have counted, and how many gateways; they are
// asked at the first call.
type countedOnce func() (sums traffic.Sums, gateways int)

// trafficOnce returns what all gateways have counted that answer, else this one.
func (c *Control) trafficOnce(ctx context.Context) countedOnce {
	return sync.OnceValues(func() (traffic.Sums, int) {
		all := c.clusterTraffic(ctx)
		if all == nil {
			all = []traffic.Sums{c.o.Traffic()}
		}
		return traffic.Add(all...), len(all)
	})
}

// clusterTraffic returns what each gateway has counted, this one among them.
func (c *Control) clusterTraffic(ctx context.Context) (all []traffic.Sums) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answers, err := c.source.QueryTraffic(ctx)
	if err != nil {
		c.o.Log.Warn("the traffic of the other gateways is unknown", "error", err)
	}
	for _, text := range answers {
		var one traffic.Sums
		if err := json.Unmarshal(text, &one); err != nil {
			c.o.Log.Warn("invalid traffic of a gateway, skipped", "error", err)
			continue
		}
		all = append(all, one)
	}
	return all
}
