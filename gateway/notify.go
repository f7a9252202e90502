package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/notify"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/policy/changes"
)

const (
	// How often it is looked whether something holds that is told of.
	notifyInterval = 10 * time.Second
	// How long before a change expires that is told.
	expiresSoon = 12 * time.Hour
	// How many records are told of at once, after a while without the ledger.
	maxTold = 1000
)

// openNotifier returns who tells the operator's receivers, nil if there are none.
func (g *Gateway) openNotifier() (*notify.Notifier, error) {
	if len(g.config.Notify) == 0 {
		return nil, nil
	}
	o := notify.Options{
		Read: g.data.ReadNotifications, Write: g.data.WriteNotifications, Log: g.log, Now: g.now,
		OnResult: g.metrics.Notified, OnDropped: g.metrics.NotificationDropped,
	}
	for i, set := range g.config.Notify {
		r, err := openReceiver(set)
		if err != nil {
			return nil, fmt.Errorf("notify %d: %w", i+1, err)
		}
		g.metrics.InitNotifications(r.Name())
		o.Receivers = append(o.Receivers, r)
	}
	n, err := notify.New(o)
	if err != nil {
		g.log.Error("what was to be told can't be read", "error", err)
	}
	return n, nil
}

// openReceiver reads what a receiver is asked with.
func openReceiver(set config.Notify) (notify.Receiver, error) {
	authorities, err := certs.LoadPool(set.CA)
	if err == nil && set.SecretFile != "" {
		_, err = notify.ReadSecret(set.SecretFile)
	}
	return notify.Receiver{URL: set.URL, Events: set.Events, SecretFile: set.SecretFile, RootCAs: authorities, Timeout: cmp.Or(set.Timeout, 15*time.Second)}, err
}

// A notification is what the data of an event says.
type notification struct {
	Summary  string    `json:"summary"`
	Because  string    `json:"because,omitempty"`
	Author   string    `json:"author,omitempty"`
	Record   uint64    `json:"record,omitempty"`
	Change   uint64    `json:"change,omitempty"`   // that it is about; of a signature the emergency revision
	Revision uint64    `json:"revision,omitempty"` // that came into force
	Until    time.Time `json:"until,omitzero"`     // when it expires, or the signature is due
	Gateway  string    `json:"gateway,omitempty"`  // that has seen it
}

// tellReceivers tells of records, and of what holds here, until the context ends.
func (g *Gateway) tellReceivers(ctx context.Context) {
	ticker := time.NewTicker(notifyInterval)
	defer ticker.Stop()
	for {
		g.tellRecords(ctx, g.control)
		g.notifier.Conditions(g.conditions(g.control))
		select {
		case <-ctx.Done():
			return
		case <-g.untold:
		case <-ticker.C:
		}
	}
}

// tellRecords tells of the records since the last one that was told of.
func (g *Gateway) tellRecords(ctx context.Context, c *control.Control) {
	last := g.source.State().Last()
	after := g.notifier.Begin(last)
	if g.source.File() != "" || last <= after {
		return
	}
	var records []source.Record
	for before, all := uint64(0), false; !all; {
		next, err := g.source.Records(ctx, before, func(r source.Record) bool {
			if all = r.Number <= after || len(records) == maxTold; !all && r.Number <= last {
				records = append(records, r)
			}
			return !all
		})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.log.Warn("the ledger can't be read for those who are to be told: it is tried again", "error", err)
			return
		}
		before, all = next, all || next == 0
	}
	slices.Reverse(records)
	var events []notify.Event
	for _, r := range records {
		if kind, n := describeRecord(r); kind != "" {
			events = g.appendEvent(events, c, kind, fmt.Sprintf("record-%d-%.12s", r.Number, r.Hash), r.Time, n)
		}
	}
	g.notifier.Add(last, events...)
}

// describeRecord returns what is told of a record; no kind: nothing.
func describeRecord(r source.Record) (kind string, n notification) {
	d, err := changes.Describe(r.Record)
	if err != nil || r.Invalid != "" {
		return "", n
	}
	n = notification{Summary: d.Summary, Because: r.Reason, Author: r.Author, Record: r.Number, Change: d.Number, Gateway: d.Gateway}
	switch r.Kind {
	case changes.RevisionMade:
		n.Revision = r.Number
		if d.Emergency {
			return notify.Emergency, n
		}
		return notify.Applied, n
	case changes.ChangeProposed, changes.ChangeEdited:
		return notify.Proposed, n
	case changes.ChangeApproved:
		return notify.Approved, n
	case changes.ChangeRejected:
		return notify.Rejected, n
	case changes.StepTaken:
		return notify.Transition, n
	}
	return "", n
}

// conditions returns what holds now that somebody has to know.
func (g *Gateway) conditions(c *control.Control) (events []notify.Event) {
	now, state, host := g.now(), g.source.State(), hostname()
	for _, change := range c.Changes().Changes {
		if change.Status == changes.Pending && change.Expires.Sub(now) < expiresSoon {
			events = g.appendEvent(events, c, notify.Expiring, fmt.Sprintf("expiring-%d-%.12s", change.Number, change.Plan), now,
				notification{Summary: change.Summary, Because: change.Because, Change: change.Number, Until: change.Expires})
		}
	}
	for _, r := range state.Unsigned() {
		if now.After(r.SignBy) {
			events = g.appendEvent(events, c, notify.Overdue, fmt.Sprintf("overdue-%d-%.12s", r.Number, r.SHA256), now,
				notification{Summary: r.Summary, Because: r.Because, Change: r.Number, Until: r.SignBy})
		}
	}
	for _, code := range g.snapshot().Unenforced(g.geo.Capability()) {
		events = g.appendEvent(events, c, notify.Unenforced, fmt.Sprintf("unenforced-%s-%s", code, host), now,
			notification{Summary: fmt.Sprintf("%s is restricted, and this gateway's databases can't find who is there: they are served", code), Gateway: host})
	}
	for _, b := range g.flags.Status().Breaches {
		events = g.appendEvent(events, c, notify.Breach, fmt.Sprintf("breach-%s-%s-%d", b.Flag, b.Jurisdiction, b.Since.Unix()), b.Since,
			notification{Summary: fmt.Sprintf("%s is withheld: %s was below its guarantee", b.Jurisdiction, b.Flag), Gateway: host})
	}
	return events
}

// tellTransition tells of a step where there is no ledger that would have a record of it.
func (g *Gateway) tellTransition(summary string, due time.Time) {
	if g.notifier == nil || g.source.File() == "" {
		return
	}
	g.notifier.Add(0, g.appendEvent(nil, g.control, notify.Transition, fmt.Sprintf("step-%d-%.12s", due.Unix(), g.policyInUse().Digest()), due,
		notification{Summary: summary, Gateway: hostname()})...)
}

// appendEvent adds an event, as whoever may not know of undisclosed demands may know it.
func (g *Gateway) appendEvent(events []notify.Event, c *control.Control, kind, id string, at time.Time, n notification) []notify.Event {
	name := g.config.Policy.Ledger.Name
	if g.source.File() != "" {
		name = hostname()
	}
	e, err := notify.NewEvent(kind, "/exitgate/"+name, id, "", at, n)
	if err != nil {
		g.log.Error("an event can't be told", "event", kind, "error", err)
		return events
	}
	text := c.Redact(changes.Actor{}, e.Data)
	if text == nil {
		text = []byte("{}")
	}
	if e.Data, err = compactJSON(text); err != nil {
		return events
	}
	return append(events, e)
}

func compactJSON(text []byte) (json.RawMessage, error) {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}
