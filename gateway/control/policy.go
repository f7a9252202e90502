package control

import (
	"context"
	"slices"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/policy/changes"
)

// Policy returns the policy in force.
func (c *Control) Policy() api.Policy {
	state := c.source.State()
	if revision := state.Revision(); c.source.File() == "" {
		return api.Policy{Revision: &revision, SHA256: revision.SHA256, Policy: string(state.Source())}
	}
	p := c.snapshot().Policy()
	return api.Policy{SHA256: p.Digest(), Policy: string(p.Source())}
}

// Revisions returns a page of the policies that came into force.
func (c *Control) Revisions(ctx context.Context, before uint64, limit int) (api.Revisions, error) {
	page := api.Revisions{Revisions: []changes.Revision{}}
	signatures := make(map[uint64]*changes.Approval) // of emergencies, which are records of their own, behind them
	next, err := c.source.Records(ctx, before, func(r source.Record) bool {
		if len(page.Revisions) == limit {
			return false
		}
		switch d, valid := describe(r); {
		case !valid:
		case d.Revision != nil:
			d.Revision.Signature = signatures[r.Number]
			page.Revisions = append(page.Revisions, *d.Revision)
		case r.Kind == changes.ChangeApproved: // or a change that waits, whose number is no revision's
			signatures[d.Number] = approvalOf(r)
		}
		return true
	})
	page.Next = next
	return page, err
}

// Revision returns a policy that came into force.
func (c *Control) Revision(ctx context.Context, number uint64) (api.Policy, error) {
	r, err := c.source.Record(ctx, number)
	if err != nil {
		return api.Policy{}, err
	}
	d, valid := describe(r)
	if !valid || d.Revision == nil {
		return api.Policy{}, notFound("see exitgate log", "there is no revision %d", number)
	}
	if d.Revision.Emergency {
		if d.Revision.Signature, err = c.signature(ctx, number); err != nil {
			return api.Policy{}, err
		}
	}
	if err := c.addCredentials(ctx, d.Revision); err != nil {
		return api.Policy{}, err
	}
	return api.Policy{Revision: d.Revision, SHA256: d.Revision.SHA256, Policy: string(d.Policy)}, nil
}

// addCredentials adds to the approvals of a revision what they were given by: they are
// records of their own, between the change and the revision.
func (c *Control) addCredentials(ctx context.Context, made *changes.Revision) error {
	if len(made.Approvals) < 2 {
		return nil // the revision's record has it
	}
	var given []changes.Approval
	_, err := c.source.Records(ctx, made.Number, func(r source.Record) bool {
		d, valid := describe(r)
		about := valid && d.Number == made.Change
		if about && r.Kind == changes.ChangeApproved {
			given = slices.Insert(given, 0, r.Approval())
		}
		edited := about && r.Kind == changes.ChangeEdited // what was approved before is void
		return r.Number > made.Change && !edited && len(given) < len(made.Approvals)-1
	})
	made.AddCredentials(given)
	return err
}

// signature returns who has signed an emergency: that is a record of its own,
// behind it.
func (c *Control) signature(ctx context.Context, number uint64) (*changes.Approval, error) {
	for _, unsigned := range c.source.State().Unsigned() {
		if unsigned.Number == number {
			return nil, nil
		}
	}
	var found *changes.Approval
	_, err := c.source.Records(ctx, 0, func(r source.Record) bool {
		if d, valid := describe(r); valid && r.Kind == changes.ChangeApproved && d.Number == number {
			found = approvalOf(r)
		}
		return r.Number > number && found == nil
	})
	return found, err
}

// describe returns what is in a record, and whether it is valid.
func describe(r source.Record) (d changes.Description, valid bool) {
	d, err := changes.Describe(r.Record)
	return d, err == nil && r.Invalid == ""
}

// approvalOf returns the approval, or the signature, that a record is.
func approvalOf(r source.Record) *changes.Approval {
	approval := r.Approval()
	return &approval
}
