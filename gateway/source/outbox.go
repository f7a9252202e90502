package source

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/strictjson"
	"github.com/exitgate/exitgate/policy/changes"
)

const (
	maxWaiting    = 5000            // occurrences that wait for the ledger
	recordTimeout = 5 * time.Second // how long recording one may keep a change waiting
	recordRetry   = 10 * time.Second
	// recordDelay is how long a gateway waits at most before it records what took
	// place at others, too: one of them is first.
	recordDelay = 2 * time.Second
)

// An Outbox has what took place at this gateway and isn't in the ledger yet. It is
// kept on disk, so that it is recorded when the ledger can be reached again, whenever
// that is. Whoever adds to it waits for nothing. It is safe for concurrent use.
type Outbox struct {
	dir     statedir.Dir
	log     *slog.Logger
	changed chan struct{} // has room for one

	mu      sync.Mutex
	waiting []changes.Occurrence
	unsaved bool
	failed  bool // the last attempt to save
	full    bool
}

// OpenOutbox reads what waits from an earlier start.
func OpenOutbox(dir statedir.Dir, log *slog.Logger) *Outbox {
	o := &Outbox{dir: dir, log: log, changed: make(chan struct{}, 1)}
	text, err := dir.ReadOccurrences()
	if err == nil && text != nil {
		err = strictjson.Unmarshal(text, &o.waiting)
	}
	if err != nil {
		o.waiting = nil
		log.Error("what took place and isn't in the ledger yet can't be read: it is in the log alone", "error", err)
	}
	return o
}

// Add has an occurrence recorded. Its Revision may be 0: then it is the one in force.
func (o *Outbox) Add(added changes.Occurrence) {
	added.At, added.Due, added.Breach.Since = added.At.UTC().Round(0), added.Due.UTC().Round(0), added.Breach.Since.UTC().Round(0)
	o.mu.Lock()
	defer o.mu.Unlock()
	if slices.ContainsFunc(o.waiting, func(w changes.Occurrence) bool { return isSame(w, added) }) {
		return
	}
	if len(o.waiting) >= maxWaiting {
		if !o.full {
			o.log.Error("too much took place that isn't in the ledger yet: what comes now is in the log alone", "limit", maxWaiting)
		}
		o.full = true
		return
	}
	o.waiting, o.unsaved = append(o.waiting, added), true
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// isSame reports whether two occurrences are one: a step, or a breach that comes and
// goes before anybody has acknowledged it.
func isSame(a, b changes.Occurrence) bool {
	if a.Kind != b.Kind || a.Revision != b.Revision && a.Revision != 0 && b.Revision != 0 {
		return false
	}
	switch a.Kind {
	case changes.StepTaken:
		return a.Due.Equal(b.Due)
	case changes.MarketSevered:
		return a.Severed.Jurisdiction == b.Severed.Jurisdiction
	}
	return a.Breach.HasSameFlag(b.Breach)
}

// review completes what waits, and returns what isn't recorded by a State.
func (o *Outbox) review(s changes.State, clockAhead time.Duration) []changes.Occurrence {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := len(o.waiting)
	for i := range o.waiting {
		if w := &o.waiting[i]; w.Revision == 0 {
			w.Revision, w.At, o.unsaved = s.Revision().Number, w.At.Add(-clockAhead), true
		}
	}
	o.waiting = slices.DeleteFunc(o.waiting, s.IsRecorded)
	o.unsaved = o.unsaved || len(o.waiting) != before
	o.full = o.full && len(o.waiting) >= maxWaiting
	return slices.Clone(o.waiting)
}

// save keeps what waits for the next start.
func (o *Outbox) save() {
	o.mu.Lock()
	unsaved := o.unsaved
	text, err := json.Marshal(o.waiting)
	o.unsaved = false
	o.mu.Unlock()
	if !unsaved {
		return
	}
	if err == nil {
		err = o.dir.WriteOccurrences(text)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil && !o.failed {
		o.log.Error("what took place and isn't in the ledger yet could not be kept for the next start", "error", err)
	}
	o.failed, o.unsaved = err != nil, o.unsaved || err != nil
}

// Waiting returns how many occurrences aren't in the ledger yet.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}

// keepRecording records what took place until the context ends.
func (r *Replica) keepRecording(ctx context.Context) {
	defer r.o.Outbox.save()
	reviewed, logged := uint64(0), ""
	for {
		r.mu.Lock()
		advanced := r.advanced
		r.mu.Unlock()
		if state := r.state.Load().changes; state.Revision().Number != reviewed {
			r.findUnrecorded(state, reviewed == 0)
			reviewed = state.Revision().Number
		}
		waiting, err := r.recordOccurrences(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != logged {
			logged = err.Error()
			r.o.Log.Warn("what took place isn't in the ledger yet; retrying", "waiting", waiting, "error", err)
		}
		var retry <-chan time.Time
		if waiting > 0 {
			retry = time.After(recordRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.o.Outbox.changed:
		case <-advanced:
		case <-retry:
		}
	}
}

// findUnrecorded adds what took place without this gateway, as it wasn't running or
// didn't know the revision, or was killed before it was recorded.
func (r *Replica) findUnrecorded(s changes.State, first bool) {
	revision, now := s.Revision(), r.o.Now()
	for _, step := range changes.StepsTaken(s.Policy(), r.o.Flags(), revision.Number, revision.Time, now) {
		if s.HasStep(step.Due) {
			continue // of an earlier revision: no later one takes it again
		}
		if step.Due.After(r.o.Engine.TakenBefore()) {
			step.At = now
		}
		r.o.Outbox.Add(step)
	}
	if !first {
		return
	}
	breaches := r.o.Breaches()
	for _, b := range breaches {
		r.o.Outbox.Add(changes.Occurrence{Kind: changes.GuaranteeBreached, At: b.Since, Breach: b})
	}
	for _, b := range s.AcknowledgedWithoutEffect() {
		if !slices.ContainsFunc(breaches, b.HasSameFlag) {
			r.o.Outbox.Add(changes.Occurrence{Kind: changes.BreachAcknowledged, At: now, Breach: b})
		}
	}
}

// recordOccurrences records what took place, one record after the other, and returns
// how much is left. Where others may do the same, it lets them be first.
func (r *Replica) recordOccurrences(ctx context.Context) (waiting int, err error) {
	o := r.o.Outbox
	for delayed := !r.o.Remote; ; delayed = true {
		state := r.state.Load().changes
		if state.Revision().Number == 0 {
			return 0, nil // nothing is known yet
		}
		all := o.review(state, r.aheadBy())
		o.save()
		if len(all) == 0 {
			return 0, nil
		}
		if !delayed {
			select {
			case <-time.After(rand.N(recordDelay)):
				continue
			case <-ctx.Done():
				return len(all), nil
			}
		}
		within, cancel := context.WithTimeout(ctx, recordTimeout)
		_, err := r.write(within, func(s changes.State) (changes.Draft, error) { return s.RecordOccurrences(r.o.Name, all) })
		cancel()
		var refusal *changes.Error
		switch {
		case errors.As(err, &refusal) && refusal.Code == changes.NoChange:
		case err != nil:
			return len(all), err
		}
	}
}
