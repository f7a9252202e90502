package control

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// Changes returns the changes that wait for approvals, and the last that ended.
func (c *Control) Changes() api.Changes {
	all := api.Changes{Changes: []changes.Change{}}
	for _, change := range c.changes(c.source.State()) {
		all.Changes = append(all.Changes, withLists(change))
	}
	return all
}

// A changesCache has the changes as they stood when they were last looked at: to see
// whether one can still be approved, it is planned anew.
type changesCache struct {
	mu          sync.Mutex
	record      uint64 // the last one then
	flags       policy.Flags
	from, until time.Time
	all         []changes.Change
}

// changesAge is for how long changes are taken to stand as they did, if no record, no flag
// and no date says otherwise: the clock may be set.
const changesAge = time.Minute

// changes returns the changes as they stand, which are only for showing: whoever approves one
// has it planned again. They are not to be changed.
func (c *Control) changes(state changes.State) []changes.Change {
	known, now := c.o.Flags.Known(), c.now()
	s := &c.stood
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record == state.Last() && !now.Before(s.from) && now.Before(s.until) && reflect.DeepEqual(s.flags, known) {
		return s.all
	}
	s.record, s.flags, s.from = state.Last(), known, now
	s.all, s.until = state.ChangesUntil(known, now)
	if latest := now.Add(changesAge); s.until.IsZero() || s.until.After(latest) {
		s.until = latest
	}
	return s.all
}

// withLists returns a change none of whose lists is nil.
func withLists(c changes.Change) changes.Change {
	c.Authors, c.Effects, c.Approvals = orEmpty(c.Authors), orEmpty(c.Effects), orEmpty(c.Approvals)
	return c
}

// Change returns a change, and what it would do now while it waits.
func (c *Control) Change(ctx context.Context, number uint64) (api.Change, error) {
	change, document, found := c.source.State().Change(number, c.o.Flags.Known(), c.now())
	if !found {
		return api.Change{}, notFound("see exitgate changes", "there is no change %d", number)
	}
	answer := api.Change{Change: withLists(change)}
	if document != nil {
		planned, err := c.plan(ctx, changes.Actor{}, changes.Proposal{Policy: document, Waits: true})
		if err != nil && change.Status == changes.Pending {
			return api.Change{}, err
		}
		if err == nil {
			answer.Planned = &planned
		}
	}
	return answer, nil
}

// Propose changes the policy, at once if that needs no approvals. expected is
// the revision in force that the author has seen.
func (c *Control) Propose(ctx context.Context, by changes.Actor, expected uint64, p api.Proposal, r changes.Request) (api.Change, error) {
	if p.Change != 0 {
		return api.Change{}, invalid("change is the number of one that is edited", "send it with PUT of that change, or leave it out")
	}
	return c.writeProposal(ctx, expected, p, r, func(state changes.State, proposal changes.Proposal) (changes.Draft, error) {
		return state.Propose(by, proposal, c.o.Flags.Known(), c.now())
	})
}

// Edit changes a change that waits.
func (c *Control) Edit(ctx context.Context, by changes.Actor, number, expected uint64, p api.Proposal, r changes.Request) (api.Change, error) {
	if p.Change != 0 && p.Change != number {
		return api.Change{}, invalid("change is another one than in the path", "give the same, or leave it out")
	}
	return c.writeProposal(ctx, expected, p, r, func(state changes.State, proposal changes.Proposal) (changes.Draft, error) {
		return state.Edit(by, number, proposal, c.o.Flags.Known(), c.now())
	})
}

// writeProposal writes what a proposal comes to.
func (c *Control) writeProposal(ctx context.Context, expected uint64, p api.Proposal, r changes.Request, decide func(changes.State, changes.Proposal) (changes.Draft, error)) (api.Change, error) {
	proposal, err := c.proposal(ctx, expected, p, r)
	if err != nil {
		return api.Change{}, err
	}
	return c.writeChange(ctx, func(state changes.State) (changes.Draft, error) {
		if err := c.checkProposal(ctx, state, proposal); err != nil {
			return changes.Draft{}, err
		}
		return decide(state, proposal)
	})
}

// Approve approves a change, or signs an emergency revision.
func (c *Control) Approve(ctx context.Context, by changes.Actor, number uint64, a api.Approval, r changes.Request) (api.Change, error) {
	return c.writeChange(ctx, func(state changes.State) (changes.Draft, error) {
		return state.Approve(by, number, a.Plan, a.Because, r, c.o.Flags.Known(), c.now())
	})
}

// Reject gives a change up.
func (c *Control) Reject(ctx context.Context, by changes.Actor, number uint64, because string, r changes.Request) (api.Change, error) {
	return c.writeChange(ctx, func(state changes.State) (changes.Draft, error) {
		return state.Reject(by, number, because, r, c.now())
	})
}

// writeChange writes what concerns a change, and returns what has become of it.
func (c *Control) writeChange(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (api.Change, error) {
	record, err := c.source.Write(ctx, decide)
	if repeated, ok := errors.AsType[*changes.RepeatedError](err); ok {
		var written source.Record
		written, err = c.source.Record(ctx, repeated.Number)
		record = written.Record
	}
	if err != nil {
		return api.Change{}, err
	}
	d, err := changes.Describe(record)
	if err != nil {
		return api.Change{}, err
	}
	answer := api.Change{InForce: d.Revision}
	if change, _, found := c.source.State().Change(d.Number, c.o.Flags.Known(), c.now()); found {
		answer.Change = change
	} else if d.Revision != nil {
		answer.Change = appliedAtOnce(*d.Revision)
	} else { // the signature under an emergency
		signed, err := c.Revision(ctx, d.Number)
		if err != nil {
			return api.Change{}, err
		}
		answer.Change = appliedAtOnce(*signed.Revision)
	}
	answer.Change = withLists(answer.Change)
	return answer, nil
}

// appliedAtOnce returns the change that came into force without having waited.
func appliedAtOnce(r changes.Revision) changes.Change {
	return changes.Change{
		Number: r.Number, Time: r.Time, Authors: r.Authors, Because: r.Because, Summary: r.Summary,
		SHA256: r.SHA256, Base: r.Base, Plan: r.Plan, Effects: r.Effects, Status: changes.Applied, Revision: r.Number,
	}
}
