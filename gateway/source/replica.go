package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

const (
	catchUpLimit  = 5 * time.Second  // how long a start that can do without waits for a ledger that may be out of reach
	stallLimit    = 10 * time.Second // how long one more record is waited for, or half as long over a network
	retryInterval = 5 * time.Second  // the pause before another attempt to open the ledger
)

// What gateways ask each other for.
var (
	lastTopic    = ledger.Topic{Name: "last"}              // the last record that they know
	trafficTopic = ledger.Topic{Name: "traffic"}           // how many requests there were
	probeTopic   = ledger.Topic{Name: "probe", Slow: true} // what clients get in a jurisdiction, as they see
	formatTopic  = ledger.Topic{Name: "format"}            // the newest format of records that they read
)

// A Ledger is what a Replica follows: a *ledger.Ledger.
type Ledger interface {
	Append(ctx context.Context, after ledger.Point, c ledger.Content) (ledger.Record, error)
	History(ctx context.Context, after ledger.Point) iter.Seq2[ledger.Record, error]
	Follow(ctx context.Context, after ledger.Point, deliver func(ledger.Record), settled func()) error
	Record(ctx context.Context, number uint64) (ledger.Record, error)
	Verify(ctx context.Context, check func(ledger.Record) error) (ledger.Report, error)
	Query(ctx context.Context, topic ledger.Topic, question []byte) (answers [][]byte, err error)
	Respond(topic ledger.Topic, answer func(ctx context.Context, question []byte) []byte) error
	Fill(context.Context, *ledger.Archive) error
	Compare(context.Context, *ledger.Archive) (differing []uint64, err error)
	ExpectAtLeast(number uint64)
	Status() ledger.Status
	ClockOffset(context.Context) (time.Duration, error)
	Close() error
}

// ReplicaOptions are what a Replica is made of.
type ReplicaOptions struct {
	// Open opens the ledger, which must hold the record at known, and is to
	// tell onInvalid of each record that it skips.
	Open   func(ctx context.Context, known ledger.Point, onInvalid func(ledger.InvalidRecord)) (Ledger, error)
	Remote bool // the ledger is the operator's, and may be out of reach

	Dir    statedir.Dir
	Engine Engine
	Flags  func() policy.Flags
	Outbox *Outbox // what took place, to be recorded
	// Breaches returns those that nobody has acknowledged.
	Breaches func() []changes.Breach
	Name     string // of this gateway, in what it records
	// Traffic returns how many requests this gateway has had, for others that
	// ask.
	Traffic func() []byte
	// Probe returns what this gateway's clients get in a jurisdiction, for others.
	Probe func(ctx context.Context, code []byte) []byte
	// OnRecord is called after each valid record is in use, with the revision
	// in force then; OnInvalid for each record that the ledger skips. They must
	// not block.
	OnRecord  func(r changes.Record, revision uint64)
	OnInvalid func(ledger.InvalidRecord)
	Log       *slog.Logger
	Now       func() time.Time
}

// A Replica is this gateway's copy of what the ledger leads to. It follows the
// ledger, applies each revision, and is kept on disk: a gateway that can't reach
// the ledger decides by its replica.
type Replica struct {
	o ReplicaOptions

	writing    chan struct{} // held by who writes: two on one gateway needn't race
	state      atomic.Pointer[state]
	settled    atomic.Uint64                 // number of the last record that is applied, and saved if it can be
	lastParsed atomic.Pointer[policy.Policy] // as it was proposed
	lastRead   atomic.Pointer[policy.Policy] // as it stands
	invalid    invalidRecords

	clockOffset  atomic.Int64 // of this machine to the NATS servers, nanoseconds
	lowestFormat atomic.Int64 // of records that all gateways read that were present; 0: not known
	copy         *recordsCopy

	mu            sync.Mutex
	advanced      chan struct{} // closed when there is another state
	ledger        Ledger        // nil: it can't be opened
	openErr       error         // why it can't
	openErrAt     time.Time     // since when
	clockOffSince time.Time
	saveErr       error // why the last state isn't on disk
}

// A state is what the ledger leads to at one point. It is immutable.
type state struct {
	changes changes.State
	point   ledger.Point
	last    *changes.Record // nil if it is invalid
	skipped int             // invalid records since the state was read from disk, or began
}

// OpenReplica applies the newest revision that can be found out: that of the
// ledger, else the last one that was saved. It never begins anew in the place of
// something that was lost.
func OpenReplica(ctx context.Context, o ReplicaOptions) (*Replica, error) {
	r := &Replica{o: o, writing: make(chan struct{}, 1), advanced: make(chan struct{}), copy: newRecordsCopy()}
	r.makeReserve()
	if err := r.start(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Replica) start(ctx context.Context) error {
	saved, damage := r.restore()
	r.state.Store(saved)
	r.settled.Store(saved.point.Number)
	revision := saved.changes.Revision().Number
	known := damage == nil && revision > 0
	if known {
		if err := r.checkOpensNothing(saved); err != nil {
			return err
		}
		if err := r.o.Engine.Apply(saved.changes.Policy(), saved.changes.Source(), revision, time.Time{}); err != nil {
			return err
		}
	}
	if damage != nil {
		r.o.Log.Error("the saved state of the ledger can't be used; reading all of the ledger instead", "error", damage)
	}
	err := r.connect(ctx)
	if err == nil {
		if r.o.Remote && known {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, catchUpLimit)
			defer cancel()
		}
		err = r.catchUp(ctx, damage == nil)
	}
	switch now := r.state.Load(); {
	case damage != nil && err == nil && (now.changes.Revision().Number == 0 || now.skipped > 0):
		return fmt.Errorf("%w; and the ledger doesn't make up for it: restore %s from a backup, or remove it to use what the ledger has", damage, r.o.Dir.Replica())
	case err == nil:
	case known:
		r.o.Log.Error("the ledger can't be read; serving by the last revision that was saved", "error", err, "revision", revision)
	case damage != nil:
		return errors.Join(damage, err)
	case r.o.Remote && !errors.Is(err, ledger.ErrStream):
		r.o.Log.Error("no revision is known, and the ledger can't be reached: nothing is served until it can", "error", err)
		r.o.Engine.StartClosed()
	default:
		return err
	}
	return nil
}

// parsers returns how policies are read. What is planned, proposed and read back
// is most often the same, and parsed once.
func (r *Replica) parsers() changes.Parsers {
	once := func(parse changes.Parser, last ...*atomic.Pointer[policy.Policy]) changes.Parser {
		return func(source []byte) (*policy.Policy, error) {
			for _, last := range last {
				if p := last.Load(); p != nil && bytes.Equal(p.Source(), source) {
					return p, nil
				}
			}
			p, err := parse(source)
			if err == nil {
				last[0].Store(p)
			}
			return p, err
		}
	}
	p := parsers()
	return changes.Parsers{Proposed: once(p.Proposed, &r.lastParsed), Recorded: once(p.Recorded, &r.lastRead, &r.lastParsed)}
}

// connect opens the ledger, if that isn't done.
func (r *Replica) connect(ctx context.Context) error {
	if l, _ := r.opened(); l != nil {
		return nil
	}
	known := r.state.Load().point
	if a := r.openCopy(); a != nil && known == (ledger.Point{}) {
		known = a.Last()
	}
	l, err := r.o.Open(ctx, known, func(i ledger.InvalidRecord) {
		r.invalid.note(i.Number, i.Err)
		r.o.OnInvalid(i)
	})
	if err == nil {
		if err = r.serveQueries(l); err != nil {
			err = errors.Join(err, l.Close())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if r.openErr == nil {
			r.openErrAt = r.o.Now()
		}
		r.openErr = err
		return err
	}
	r.ledger, r.openErr = l, nil
	return nil
}

// serveQueries answers what other gateways ask this one for.
func (r *Replica) serveQueries(l Ledger) error {
	return errors.Join(
		l.Respond(lastTopic, func(context.Context, []byte) []byte {
			return strconv.AppendUint(nil, r.state.Load().point.Number, 10)
		}),
		l.Respond(formatTopic, func(context.Context, []byte) []byte { return strconv.AppendInt(nil, changes.Format, 10) }),
		l.Respond(trafficTopic, func(context.Context, []byte) []byte { return r.o.Traffic() }),
		l.Respond(probeTopic, func(ctx context.Context, code []byte) []byte { return r.o.Probe(ctx, code) }),
	)
}

// queryLast finds out how far the ledger has come, for a gateway that has never
// seen it: one that was lost is not to begin anew.
func (r *Replica) queryLast(ctx context.Context, l Ledger) error {
	if !r.o.Remote {
		return nil
	}
	answers, err := l.Query(ctx, lastTopic, nil)
	for _, text := range answers {
		if last, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			l.ExpectAtLeast(last)
		}
	}
	return err
}

// QueryTraffic implements Source.
func (r *Replica) QueryTraffic(ctx context.Context) ([][]byte, error) {
	if !r.o.Remote {
		return nil, nil
	}
	l, err := r.opened()
	if err != nil {
		return nil, err
	}
	return l.Query(ctx, trafficTopic, nil)
}

// QueryProbes implements Source.
func (r *Replica) QueryProbes(ctx context.Context, code policy.Code) ([][]byte, error) {
	if !r.o.Remote {
		return nil, nil
	}
	l, err := r.opened()
	if err != nil {
		return nil, err
	}
	return l.Query(ctx, probeTopic, []byte(code))
}

// opened returns the ledger, or why there is none.
func (r *Replica) opened() (Ledger, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger, r.openErr
}

// catchUp reads what the ledger has more than the replica. An empty ledger is
// begun, if it may be.
func (r *Replica) catchUp(ctx context.Context, mayBegin bool) error {
	l, err := r.opened()
	if err != nil {
		return err
	}
	now := r.state.Load()
	if now.point == (ledger.Point{}) {
		if err := r.queryLast(ctx, l); err != nil {
			return err
		}
	}
	ctx, progress, stop := r.limitStall(ctx)
	defer stop()
	for record, err := range l.History(ctx, now.point) {
		if err != nil {
			return err
		}
		now = r.next(now, record)
		progress()
	}
	r.measureClock(ctx, l)
	if now.point != r.state.Load().point {
		if err := r.checkMatchesLastPolicy(now); err != nil {
			return err
		}
		if err := r.checkOpensNothing(now); err != nil {
			return err
		}
		r.advance(now, now.news())
	}
	if now.point != (ledger.Point{}) || !mayBegin {
		return nil
	}
	if err := r.checkNothingCopied(); err != nil {
		return err
	}
	first, err := r.firstRevision()
	if err != nil {
		return err
	}
	record, err := l.Append(ctx, ledger.Point{}, contentOf(first))
	if _, conflict := errors.AsType[*ledger.Conflict](err); conflict {
		return r.catchUp(ctx, false) // another gateway was first
	}
	if err != nil {
		return err
	}
	r.o.Log.Warn("the ledger is empty: it begins with a policy", "why", first.Reason)
	now = r.next(now, record)
	r.advance(now, now.news())
	return nil
}

// limitStall returns a context that ends when there was no progress for a while.
func (r *Replica) limitStall(ctx context.Context) (_ context.Context, progress, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	limit, advice := stallLimit, "put the ledger's folder back from a backup"
	if r.o.Remote {
		limit, advice = stallLimit/2, "see whether NATS is well"
	}
	stall := time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("nothing could be read from the ledger for %v: %s", limit, advice))
	})
	return ctx, func() { stall.Reset(limit) }, func() {
		stall.Stop()
		cancel(nil)
	}
}

// Run follows the ledger.
func (r *Replica) Run(ctx context.Context) {
	var copying sync.WaitGroup
	copying.Go(func() { r.keepCopy(ctx) })
	copying.Go(func() { r.keepReserve(ctx) })
	copying.Go(func() { r.watchClock(ctx) })
	copying.Go(func() { r.keepRecording(ctx) })
	copying.Go(func() { r.watchFormats(ctx) })
	defer copying.Wait()
	logged := ""
	for ctx.Err() == nil {
		err := r.connect(ctx)
		if err == nil && r.state.Load().point == (ledger.Point{}) {
			err = r.catchUp(ctx, true)
		}
		if err == nil {
			err = r.follow(ctx)
		}
		if ctx.Err() == nil && err.Error() != logged {
			logged = err.Error()
			r.o.Log.Error("the ledger can't be followed; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryInterval):
		}
	}
}

// follow applies each record as it comes; but of those that were missed, only
// the last: what was opened and withdrawn again in between is not opened here.
func (r *Replica) follow(ctx context.Context) error {
	l, _ := r.opened()
	next := r.state.Load()
	var missed []news
	return l.Follow(ctx, next.point, func(record ledger.Record) {
		next = r.next(next, record)
		missed = append(missed, next.news()...)
	}, func() {
		if next.point != r.state.Load().point {
			r.advance(next, missed)
			missed = nil
		}
	})
}

// next returns the state behind a record. An invalid one changes nothing.
func (r *Replica) next(now *state, record ledger.Record) *state {
	r.copyRecord(record)
	last := recordOf(record)
	folded, err := now.changes.With(last)
	next := &state{changes: folded, point: record.Point(), last: &last, skipped: now.skipped}
	r.invalid.note(record.Number, err)
	if p := folded.Policy(); p != nil && folded.Revision().Number != now.changes.Revision().Number {
		r.o.Engine.Pass(p)
	}
	if err != nil {
		next.last = nil
		next.skipped++
		_ = r.o.Engine.RecordFailure(record.Hash.String(), fmt.Errorf("invalid record %d of the ledger, by %s, skipped: %w", record.Number, record.Author, err)) // logged there
	}
	return next
}

// advance puts another state in the place of the current one, saves it, and then
// reports the records that led to it.
func (r *Replica) advance(next *state, all []news) {
	revision := next.changes.Revision()
	if before := r.state.Load().changes; revision.Number != before.Revision().Number {
		r.makeRoom(before.Policy(), next.changes.Policy())
		if err := r.o.Engine.Apply(next.changes.Policy(), next.changes.Source(), revision.Number, r.decidedFor(revision)); err != nil {
			_ = r.o.Engine.RecordFailure(revision.SHA256, err) // it was checked when it was read
		}
	}
	r.state.Store(next)
	r.syncCopy()
	r.save(next)
	r.settled.Store(next.point.Number)
	for _, n := range all {
		r.o.OnRecord(n.record, n.revision)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.advanced)
	r.advanced = make(chan struct{})
}

// news is a record that came, and the revision in force then.
type news struct {
	record   changes.Record
	revision uint64
}

// news returns the last record, if it is valid.
func (s *state) news() []news {
	if s.last == nil {
		return nil
	}
	return []news{{*s.last, s.changes.Revision().Number}}
}

// waitFor waits until the replica has come to a record.
func (r *Replica) waitFor(ctx context.Context, number uint64) error {
	for {
		r.mu.Lock()
		advanced := r.advanced
		r.mu.Unlock()
		if r.settled.Load() >= number {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Kind returns KindLedger or KindNATS.
func (r *Replica) Kind() Kind {
	if r.o.Remote {
		return KindNATS
	}
	return KindLedger
}

// File returns "".
func (r *Replica) File() string { return "" }

// State implements Source.
func (r *Replica) State() changes.State {
	return r.withFacts(r.state.Load().changes)
}

// PlanState returns State.
func (r *Replica) PlanState() (changes.State, error) { return r.State(), nil }

// Connection implements Source.
func (r *Replica) Connection() *Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Connection{Last: r.state.Load().point.Number, Differing: len(r.differing()), Reserve: r.reserveError(),
		Format: int(r.lowestFormat.Load()), Unrecorded: r.o.Outbox.Waiting()}
	if !r.o.Remote {
		c.Format = changes.Format
	}
	if r.ledger == nil {
		c.Since, c.Why = r.openErrAt, r.openErr.Error()
		return c
	}
	s := r.ledger.Status()
	c.Connected, c.Since, c.Why = s.Connected, s.Since, s.Why
	if c.ClockOffset = time.Duration(r.clockOffset.Load()); isOff(c.ClockOffset) {
		c.Clock, c.ClockOffSince = formatOffset(c.ClockOffset), r.clockOffSince
	}
	return c
}

// Close closes the ledger, with everything on disk.
func (r *Replica) Close() {
	if l, _ := r.opened(); l != nil {
		if err := l.Close(); err != nil {
			r.o.Log.Error("the ledger was not closed well", "error", err)
		}
	}
	r.copy.mu.Lock()
	defer r.copy.mu.Unlock()
	r.copy.closed = true
	if r.copy.archive != nil {
		if err := r.copy.archive.Close(); err != nil {
			r.o.Log.Error("the copy of the ledger's records was not closed well", "error", err)
		}
	}
}
