package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/policy/changes"
)

const (
	// writeTimeout is how long a change may take: a cluster without a leader
	// needs up to nine seconds.
	writeTimeout = 25 * time.Second
	// electionTimeout is longer than a cluster needs for another leader: then
	// nobody is kept waiting for the ledger.
	electionTimeout = 10 * time.Second
	// formatInterval is how often the other gateways are asked what they read.
	formatInterval = time.Minute
	// maxScanned is how many records Records looks through at most.
	maxScanned = 2000
)

// Write implements Source. If another gateway was faster, what is to be written
// is decided anew.
func (r *Replica) Write(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	// Whoever asked may go away: what was sent is not called back by that.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return r.write(ctx, decide)
}

func (r *Replica) write(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	select {
	case r.writing <- struct{}{}:
		defer func() { <-r.writing }()
	case <-ctx.Done():
		return changes.Record{}, notWritten(errors.New("other changes are under way"))
	}
	l, err := r.opened()
	if err == nil {
		err = r.unreachable()
	}
	if err != nil {
		return changes.Record{}, notWritten(err)
	}
	r.measureClock(ctx, l)
	for {
		now := r.state.Load()
		draft, err := decide(r.withFacts(now.changes))
		if err == nil {
			err = r.checkFormat(ctx, l, draft)
		}
		if err == nil {
			err = r.checkClock(draft)
		}
		if err != nil {
			return changes.Record{}, err
		}
		r.makeRoomFor(now.changes, draft)
		record, err := l.Append(ctx, now.point, contentOf(draft))
		if conflict, ok := errors.AsType[*ledger.Conflict](err); ok {
			if err := r.waitFor(ctx, conflict.Winner.Number); err != nil {
				return changes.Record{}, notWritten(conflict)
			}
			continue
		}
		if unknown, ok := errors.AsType[*ledger.Unacknowledged](err); ok {
			return changes.Record{}, notAcknowledged(unknown)
		}
		if err != nil {
			return changes.Record{}, notWritten(r.connectionError(err))
		}
		if err := r.waitFor(ctx, record.Number); err != nil {
			return changes.Record{}, notAcknowledged(fmt.Errorf("record %d is in the ledger, but this gateway hasn't read it yet", record.Number))
		}
		r.waitCopied(ctx, record.Number)
		return changes.Record{Number: record.Number, Time: record.Time, Draft: draft}, nil
	}
}

// WriteDecision implements Source.
func (r *Replica) WriteDecision(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	return r.Write(ctx, decide)
}

// checkFormat returns why a record can't be written, if some gateway that is
// present couldn't read it. All gateways read the first format.
func (r *Replica) checkFormat(ctx context.Context, l Ledger, draft changes.Draft) error {
	if draft.Format() == 1 || !r.o.Remote {
		return nil
	}
	formats, err := r.queryFormats(ctx, l)
	if err != nil {
		return notWritten(r.connectionError(err))
	}
	return changes.CheckFormat(draft, formats)
}

// queryFormats asks all gateways which formats of records they read; 0 is of one that
// doesn't say.
func (r *Replica) queryFormats(ctx context.Context, l Ledger) ([]int, error) {
	present, err := l.Query(ctx, lastTopic, nil)
	if err != nil {
		return nil, err
	}
	answers, err := l.Query(ctx, formatTopic, nil)
	if err != nil {
		return nil, err
	}
	formats := make([]int, max(len(present), len(answers)))
	lowest := changes.Format
	for i := range formats {
		if i < len(answers) {
			formats[i], _ = strconv.Atoi(string(answers[i]))
		}
		lowest = min(lowest, max(formats[i], 1))
	}
	r.lowestFormat.Store(int64(lowest))
	return formats, nil
}

// watchFormats asks which formats the gateways that are present read, until the context
// ends.
func (r *Replica) watchFormats(ctx context.Context) {
	if !r.o.Remote {
		return
	}
	ask := func() {
		if l, _ := r.opened(); l != nil {
			_, _ = r.queryFormats(ctx, l) // else what was known stays
		}
	}
	ask()
	watch.Every(ctx, formatInterval, ask)
}

// unreachable returns why the ledger can't be reached, if it couldn't for longer
// than an election takes.
func (r *Replica) unreachable() error {
	if c := r.Connection(); !c.Connected && r.o.Now().Sub(c.Since) > electionTimeout {
		return errors.New(c.Why)
	}
	return nil
}

// connectionError returns why the connection is lost, if it is: that says more
// than the error of what failed by it.
func (r *Replica) connectionError(err error) error {
	if c := r.Connection(); !c.Connected {
		return errors.New(c.Why)
	}
	return err
}

// notWritten is the error of a change that was not made.
func notWritten(err error) error {
	return &changes.Error{
		Code:    changes.Unavailable,
		Message: fmt.Sprintf("nothing was changed, as the ledger can't be written: %v", err),
		Advice:  "see exitgate status; clients get what they got before",
	}
}

// notAcknowledged is the error of a change of which it isn't known whether it
// was made.
func notAcknowledged(err error) error {
	return &changes.Error{
		Code:    changes.NotAcknowledged,
		Message: fmt.Sprintf("it isn't known whether the change was made: %v", err),
		Advice:  "look at exitgate log, or send it again with the same Idempotency-Key",
	}
}

// unreadable is the error of something that can't be read from the ledger now.
func (r *Replica) unreadable(err error) error {
	return &changes.Error{
		Code:    changes.Unavailable,
		Message: fmt.Sprintf("the ledger can't be read: %v", r.connectionError(err)),
		Advice:  "try again when it can be reached: see exitgate status",
	}
}

// Record implements Source.
func (r *Replica) Record(ctx context.Context, number uint64) (Record, error) {
	record, err := r.read(ctx, number)
	switch {
	case isNoRecord(err):
		return Record{}, &changes.Error{Code: changes.NotFound, Message: fmt.Sprintf("there is no revision %d", number), Advice: "see exitgate log"}
	case err != nil:
		return Record{}, r.unreadable(err)
	}
	return r.describe(record), nil
}

// read reads a record from the ledger, or while that can't be reached from this
// gateway's copy.
func (r *Replica) read(ctx context.Context, number uint64) (ledger.Record, error) {
	l, err := r.opened()
	var record ledger.Record
	if err == nil && r.unreachable() == nil {
		record, err = l.Record(ctx, number)
	} else if err == nil {
		err = r.unreachable()
	}
	if err == nil || isNoRecord(err) {
		return record, err
	}
	copied, failed := r.copied(number)
	if failed == nil || errors.Is(failed, ledger.ErrNoRecord) && number <= r.state.Load().point.Number && r.copiedLast() >= number {
		return copied, failed
	}
	return ledger.Record{}, err
}

// isNoRecord reports whether an error is of a number without a valid record.
func isNoRecord(err error) bool {
	_, invalid := errors.AsType[ledger.InvalidRecord](err)
	return invalid || errors.Is(err, ledger.ErrNoRecord)
}

// Records implements Source.
func (r *Replica) Records(ctx context.Context, before uint64, take func(Record) bool) (next uint64, err error) {
	if last := r.state.Load().point.Number; before == 0 || before > last {
		before = last + 1
	}
	for scanned := 0; before > 1; scanned++ {
		if scanned == maxScanned {
			return before, nil
		}
		record, err := r.read(ctx, before-1)
		switch {
		case err == nil && !take(r.describe(record)):
			return before, nil
		case err == nil, isNoRecord(err):
			before--
		default:
			return 0, r.unreadable(err)
		}
	}
	return 0, nil
}

// Verify implements Source.
func (r *Replica) Verify(ctx context.Context) (Verification, error) {
	l, err := r.opened()
	var v Verification
	if err == nil {
		v, err = verify(func(check func(ledger.Record) error) (ledger.Report, error) { return l.Verify(ctx, check) })
	}
	if a := r.openCopy(); err != nil && ctx.Err() == nil && a != nil && a.Last().Number > 0 {
		unread, damaged := r.connectionError(err), !r.o.Remote || errors.Is(err, ledger.ErrHistory) || errors.Is(err, ledger.ErrStream)
		v, err = VerifyRecords(a)
		v.Unread, v.Damaged = unread, damaged
	}
	if err != nil {
		return Verification{}, r.unreadable(err)
	}
	return v, nil
}

// VerifyRecords verifies a copy of a ledger's records: that each is as it was written and
// in its place, and can be what it says after those before it.
func VerifyRecords(a *ledger.Archive) (Verification, error) { return verify(a.Verify) }

// verify reads records from the first on, by what calls check with each.
func verify(read func(check func(ledger.Record) error) (ledger.Report, error)) (v Verification, err error) {
	folded := changes.New(parsers())
	v.Report, err = read(func(record ledger.Record) (err error) {
		folded, err = folded.With(recordOf(record))
		return err
	})
	v.Skipped = int(folded.Unknown())
	return v, err
}

func (r *Replica) describe(record ledger.Record) Record {
	return Record{recordOf(record), record.Hash.String(), r.invalid.reason(record.Number), record}
}

func recordOf(r ledger.Record) changes.Record {
	return changes.Record{Number: r.Number, Time: r.Time, Draft: changes.Draft{Kind: changes.Kind(r.Kind), Author: r.Author, Reason: r.Reason, Body: r.Body}}
}

func contentOf(d changes.Draft) ledger.Content {
	return ledger.Content{Kind: string(d.Kind), Author: d.Author, Reason: d.Reason, Body: d.Body}
}
