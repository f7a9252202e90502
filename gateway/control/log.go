package control

import (
	"context"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/policy/changes"
)

// Log returns a page of the ledger's records.
func (c *Control) Log(ctx context.Context, before uint64, limit int) (api.Log, error) {
	page := api.Log{Records: []api.Record{}}
	next, err := c.source.Records(ctx, before, func(r source.Record) bool {
		if len(page.Records) == limit {
			return false
		}
		page.Records = append(page.Records, logRecord(r))
		return true
	})
	page.Next = next
	return page, err
}

func logRecord(r source.Record) api.Record {
	record := api.Record{
		Number: r.Number, Time: r.Time, Kind: r.Kind, Author: r.Author, Because: r.Reason,
		Credential: r.Credential(), Hash: r.Hash, Refused: r.Invalid,
	}
	d, err := changes.Describe(r.Record)
	if err != nil {
		record.Refused = err.Error()
	}
	record.Summary, record.Emergency, record.Change, record.Database = d.Summary, d.Emergency, d.Number, d.Database
	record.Took, record.Gateway = d.Took, d.Gateway
	if d.Revision != nil {
		record.Authors, record.Approvals = d.Revision.Authors, d.Revision.Approvals
		record.Approvers = changes.Approvers(d.Revision.Approvals)
	}
	return record
}

// Verify reads the whole ledger from its first record.
func (c *Control) Verify(ctx context.Context) (api.Verification, error) {
	found, err := c.source.Verify(ctx)
	if err != nil {
		return api.Verification{}, err
	}
	v := api.Verification{
		OK: len(found.Invalid) == 0 && !found.Damaged, Records: found.Records, Newer: found.Newer + found.Skipped,
		Last: found.Last.Number, Hash: found.Last.Hash.String(), Wrong: []api.InvalidRecord{},
	}
	if found.Unread != nil {
		v.Unread = found.Unread.Error()
	}
	for _, r := range found.Invalid {
		v.Wrong = append(v.Wrong, api.InvalidRecord{Number: r.Number, Reason: r.Err.Error()})
	}
	return v, nil
}
