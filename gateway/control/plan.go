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
		if p.Set.Drain != "" {
			drain, err := time.ParseDuration(p.Set.Drain)
			if err == nil {
				err = policy.CheckDrain(drain)
			}
			if err != nil {
				return proposal, invalid("drain: "+err.Error(), "give a time from 0s to 1h, as 30s")
			}
			proposal.Set.Drain = &drain
		}
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
	cut, within, later := c.cuts(proposed, planned.Plan)
	if p.Emergency {
		within = 0
	}
	return api.Plan{
		Cut: cut, CutWithin: formatWithin(within), CutLater: later, Objection: objection, Unsaid: messages(unsaid), Backdated: planned.Backdated,
		Unfindable: orEmpty(policy.Unfindable(proposed, c.o.Flags.Known(), c.now(), c.o.Capability())),
		Revision:   revision, Policy: string(planned.Policy), Plan: planned.Plan,
		Needs: planned.Needs, Emergency: planned.Emergency, Hit: impact(counted, planned.Plan), Caches: c.caches(planned.Plan),
	}, nil
}

// mostCuts is how many of the steps to come a plan says of what they would cut.
const mostCuts = 20

// cuts returns how much of what is under way here a proposed policy would cut: now, within
// a drain, and how much more by the steps to come that refuse something by the plan.
func (c *Control) cuts(proposed *policy.Policy, planned plan.Plan) (now int, within time.Duration, later []api.CutLater) {
	if c.o.UnderWay == nil {
		return 0, 0, nil
	}
	count := func(at time.Time) (n int, drain time.Duration) {
		_, refused, drain := c.o.UnderWay(policy.Compile(proposed, c.o.Flags.Known(), at))
		for _, some := range refused {
			n += some
		}
		return n, drain
	}
	now, within = count(c.now())
	var steps []time.Time
	for _, m := range planned.Moves {
		if m.Effect == plan.WithdrawsMarket && m.From.After(planned.At) && !slices.ContainsFunc(steps, m.From.Equal) {
			steps = append(steps, m.From)
		}
	}
	slices.SortFunc(steps, time.Time.Compare)
	cut := now
	for _, at := range steps[:min(len(steps), mostCuts)] {
		if n, _ := count(at); n > cut {
			later = append(later, api.CutLater{By: at, Exchanges: n - cut})
			cut = n
		}
	}
	return now, within, later
}

// formatWithin writes how long a drain is, "" for none.
func formatWithin(drain time.Duration) string {
	if drain == 0 {
		return ""
	}
	return policy.FormatDrain(drain)
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
