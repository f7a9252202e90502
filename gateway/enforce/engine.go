// Package enforce holds the policy that requests are decided by: compiled
// together with all that follows from its decisions, and swapped as a whole.
//
// An Engine takes changed policies and flags into use, and scheduled changes at
// their moment, by its own clock. A policy that is wrong changes nothing.
package enforce

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

const (
	// maxWait is how long the clock is trusted not to jump.
	maxWait = 30 * time.Second
	// flagsAtStart is how long the start waits for the values of flags, and
	// flagsAtChange how long another policy does: it must not be held up by a
	// provider that hangs, as it may be a withdrawal.
	flagsAtStart  = 5 * time.Second
	flagsAtChange = 500 * time.Millisecond
	// flagsInterval is how often flags are evaluated without a hint that
	// they may have changed: hints can get lost.
	flagsInterval = 15 * time.Second
)

// A Store keeps what must outlive the process.
type Store interface {
	// WriteLastGood keeps the policy in use, for a start with a wrong one.
	WriteLastGood(source []byte) error
	ReadLastGood() ([]byte, error)
	// ReadSteps returns which steps of schedules were taken; WriteSteps keeps
	// them.
	ReadSteps() ([]byte, error)
	WriteSteps([]byte) error
	// LastMoment returns the latest moment that a policy was decided for, its
	// digest, and that of the steps that WriteSteps had kept by then; WriteMoment
	// keeps these, and the policy file that the policy came from, "" for the ledger.
	LastMoment() (digest string, at time.Time, steps string)
	WriteMoment(digest string, at time.Time, steps, file string) error
}

// Options are what an Engine is made of. All are required.
type Options struct {
	File    string // the policy file that policies come from, "" for the ledger
	Store   Store
	Flags   *flags.Table
	Metrics *metrics.Metrics
	Traffic *traffic.Counts
	// Capability returns what the databases that locate clients can tell apart.
	Capability   func() *policy.Capability
	OnTransition func(Transition)       // is called after each scheduled change; it must not block
	OnSnapshot   func(*policy.Snapshot) // is called once one is in use; it must not block
	Log          *slog.Logger
	Now          func() time.Time
}

// A Transition is a scheduled change that took place.
type Transition struct {
	Number  uint64    // of the policy
	Due, At time.Time // when it was to take place, and when it did
	Changes []string  // "wind-down → withdrawn: FR"
}

// An Engine holds the compiled policy in use. There is one from the first
// Apply or StartClosed on. It is safe for concurrent use.
type Engine struct {
	o     Options
	steps *stepKeeper

	current     atomic.Pointer[Compiled]
	newest      atomic.Pointer[policy.Policy] // in use, or about to be
	closed      atomic.Bool                   // no policy is known yet: nothing is served
	takenBefore atomic.Pointer[time.Time]     // the date of the latest step that was taken before this start
	stepsDamage atomic.Pointer[error]         // of those that were kept before this start
	applying    sync.Mutex                    // held while another policy is taken into use

	mu      sync.Mutex        // guards what follows, and every change of current
	applied time.Time         // when the current policy was
	number  uint64            // of the current policy
	failure *Failure          // nil: the newest policy is in use
	passed  policy.TakenSteps // nil: see Pass
	changed chan struct{}
}

// A Failure is why the newest policy is not in use, and since when.
type Failure struct {
	Err    error
	Since  time.Time
	digest string // of the policy
}

// New returns an Engine without a policy.
func New(o Options) *Engine {
	return &Engine{o: o, steps: &stepKeeper{write: o.Store.WriteSteps}, changed: make(chan struct{}, 1)}
}

// now returns the time by the wall clock: that is what schedules are about. With
// a monotonic reading, times would compare as if no clock were ever set.
func (e *Engine) now() time.Time { return e.o.Now().Round(0) }

// Current returns the compiled policy that holds at a moment. Requests don't
// wait for a timer: the first one past a scheduled change makes it for all.
func (e *Engine) Current(now time.Time) *Compiled {
	current := e.current.Load()
	if !current.isOver(now) {
		return current
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	current = e.current.Load()
	if !current.isOver(now) {
		return current
	}
	next := current.next.Load()
	if next == nil || next.isOver(now) {
		next = e.compile(current.snapshot.Policy(), current.taken, now.Round(0))
	}
	e.use(next)
	e.newest.CompareAndSwap(current.snapshot.Policy(), next.snapshot.Policy())
	e.reportTransitions(current, next, now)
	e.signal()
	return next
}

// reportTransitions tells of each scheduled change between two compiled policies: more
// than one, if the clock has jumped over some.
func (e *Engine) reportTransitions(current, next *Compiled, now time.Time) {
	const most = 100
	before := current.snapshot
	for n := 1; before != next.snapshot; n++ {
		due, after := before.Until(), next.snapshot
		if !after.At().Equal(due) && n < most {
			first := policy.Compile(before.Policy(), current.flags, due)
			if end := first.Until(); !end.IsZero() && !end.After(now) {
				after = first
			}
		}
		t := Transition{e.number, due, now.Round(0), policy.FormatDifferences(policy.Differences(before, after))}
		if len(t.Changes) > 0 { // else a demand came into force that is kept already
			e.o.Log.Info("scheduled change", "due", due, "changes", t.Changes, "until", next.NextStep())
			e.o.Metrics.Transitions.Inc()
			e.o.OnTransition(t)
		}
		before = after
	}
}

// Snapshot returns the snapshot of the compiled policy that holds at a moment, and
// why nothing is served, "" if something is.
func (e *Engine) Snapshot(now time.Time) (*policy.Snapshot, BlockedReason) {
	current := e.Current(now)
	return current.snapshot, current.blocked
}

// Next returns the snapshot that takes the place of the one that holds at a moment, by
// the date of a step; nil if none does.
func (e *Engine) Next(now time.Time) *policy.Snapshot {
	current := e.Current(now)
	if current.until == 0 {
		return nil
	}
	if next := current.next.Load(); next != nil {
		return next.snapshot
	}
	return policy.Compile(current.snapshot.Policy().WithTaken(current.taken), current.flags, current.snapshot.Until())
}

// RecordFailure notes that a policy can't be used, once, and returns the error.
func (e *Engine) RecordFailure(digest string, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure != nil && e.failure.digest == digest && e.failure.Err.Error() == err.Error() {
		return err
	}
	e.failure = &Failure{err, e.now(), digest}
	e.o.Metrics.PolicyFailures.Inc()
	if current := e.current.Load(); current != nil {
		e.o.Log.Error("the policy is wrong; the previous one stays in use", "from", e.from(), "error", err, "in-use", current.snapshot.Policy().Digest())
	} else {
		e.o.Log.Error("the policy is wrong", "from", e.from(), "error", err)
	}
	return err
}

// Failure returns why the newest policy is not in use, nil if it is.
func (e *Engine) Failure() *Failure {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failure
}

// from returns where policies come from.
func (e *Engine) from() string { return cmp.Or(e.o.File, "the ledger") }

// StartClosed has everything refused until there is a policy.
func (e *Engine) StartClosed() {
	e.closed.Store(true)
	p := policy.OpenEverywhere()
	e.newest.Store(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current.Store(e.compile(p, nil, e.now()))
}

// Decides reports whether requests are decided by a policy: whether one has
// ever been applied.
func (e *Engine) Decides() bool { return e.current.Load() != nil && !e.Closed() }

// Closed reports whether everything is refused as no policy is known yet.
func (e *Engine) Closed() bool { return e.closed.Load() }

// AppliedAt returns when the current policy was taken into use.
func (e *Engine) AppliedAt() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.applied
}

// Number returns the number of the policy that is in use, as Apply was given it.
func (e *Engine) Number() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.number
}

// Apply takes a policy into use, by its number: that of the ledger's revision,
// 0 for one more than before. made is when the revision was, zero if that isn't
// known: the policy is decided for that moment at least. source is kept for a
// start with a wrong policy; nil is one that came from there.
//
// What only restricts doesn't wait for flags: by those that are known it holds at
// once.
func (e *Engine) Apply(p *policy.Policy, source []byte, number uint64, made time.Time) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	before := e.current.Load()
	passed, taken := e.takenByNow()
	if e.Decides() && before.snapshot.Policy().Digest() == p.Digest() && !passed {
		e.markCurrent(p, number)
		return nil
	}
	if !e.Decides() {
		taken = e.readTaken(p)
		latest := latestStep(taken)
		e.takenBefore.Store(&latest)
	}
	p = p.WithTaken(taken)
	atOnce := e.Decides() && onlyRestricts(before.snapshot.Policy(), p, e.o.Flags.Known(), e.now())
	// From here on the policy holds: it may acknowledge breaches.
	within := flagsAtChange
	if e.newest.Swap(p) == nil {
		within = flagsAtStart
	}
	if !atOnce {
		e.evaluateFlags(within)
	}
	e.replace(p, taken, source, number, made)
	if atOnce {
		e.evaluateFlags(within)
		e.useFlags()
	}
	return nil
}

// Pass notes that a policy was in force between the one in use and one that Apply is given
// next, and that nothing was decided by it here: what a gateway that was there has taken
// back by it is taken back here, too.
func (e *Engine) Pass(p *policy.Policy) {
	_, taken := e.takenByNow()
	if !e.Decides() || !latestStep(taken).After(e.now()) {
		return // the clock isn't behind: it says itself what was taken
	}
	taken = p.WithTaken(taken).TakenAt(time.Time{})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.passed = taken
}

// takenByNow returns the steps that were taken, and whether some may have been taken
// back as of Pass.
func (e *Engine) takenByNow() (passed bool, taken policy.TakenSteps) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.passed != nil {
		return true, e.passed
	}
	return false, e.Taken()
}

// onlyRestricts reports whether nobody gets more by another policy, and somebody
// less.
func onlyRestricts(before, after *policy.Policy, known policy.Flags, at time.Time) bool {
	change := plan.New(before, after, known, at)
	return change.HasEffect(plan.WithdrawsMarket) && !change.HasEffect(plan.OpensMarket) &&
		!change.HasEffect(plan.WeakensGuarantee) && !change.HasEffect(plan.AcknowledgesBreach)
}

// replace puts a policy in the place of the current one.
func (e *Engine) replace(p *policy.Policy, taken policy.TakenSteps, source []byte, number uint64, made time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var before *policy.Snapshot
	if current := e.current.Load(); current != nil {
		before = current.snapshot
		if e.Decides() && e.passed == nil {
			taken = current.taken // a step may have been taken meanwhile
		}
	}
	e.passed = nil
	now := e.now()
	at := now
	if made.After(at) {
		at = made
	}
	e.closed.Store(false)
	next := e.compile(p, taken, at)
	if latest := next.latestStep(); latest.After(now) {
		e.o.Log.Warn("the clock is behind the last scheduled change; scheduled changes are not taken back", "clock", now, "deciding-for", latest)
	}
	e.use(next)
	e.newest.Store(next.snapshot.Policy())
	e.applied, e.number = now, cmp.Or(number, e.number+1)
	e.o.Metrics.PolicyApplied(e.applied, e.number)
	for _, w := range document.Warnings("policy", p, now) {
		e.o.Log.Warn("policy: "+w.Message, "line", w.Line, "advice", w.Advice)
	}
	e.o.Log.Info("policy applied", "from", e.from(), "sha256", p.Digest(), "mode", p.Mode(),
		"changes", policy.FormatDifferences(policy.Differences(before, next.snapshot)), "until", next.NextStep())
	if source != nil {
		e.failure = nil
		if err := e.o.Store.WriteLastGood(source); err != nil {
			e.o.Log.Warn("the policy could not be kept for the next start", "error", err)
		}
	}
	e.signal()
}

// use has requests decided by a compiled policy. Which steps it takes is on disk
// before, also if the clock has jumped, or nobody was there to prepare it. e.mu is
// held.
func (e *Engine) use(next *Compiled) {
	if !e.steps.has(next.taken) {
		e.steps.want(savedSteps{Taken: next.taken})
		e.flushSteps()
	}
	e.current.Store(next)
	e.o.OnSnapshot(next.snapshot)
}

// markCurrent notes that the policy in use is the newest again.
func (e *Engine) markCurrent(p *policy.Policy, number uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.number = cmp.Or(number, e.number)
	e.o.Metrics.PolicyApplied(e.applied, e.number)
	if e.failure != nil {
		e.failure = nil
		e.o.Log.Info("the policy is the one in use again", "sha256", p.Digest())
	}
}

// FollowFlags takes changed flags into use until the context ends.
func (e *Engine) FollowFlags(ctx context.Context) {
	ticker := time.NewTicker(flagsInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.o.Flags.Hints():
		case <-ticker.C:
		}
		e.evaluateFlags(flagsAtStart)
		e.useFlags()
	}
}

// useFlags compiles the current policy anew, if the known flags have changed.
func (e *Engine) useFlags() {
	e.Current(e.now()) // a step that is due is one, whatever the flags
	e.mu.Lock()
	defer e.mu.Unlock()
	current := e.current.Load()
	if current.blocked == e.blockedReason() && reflect.DeepEqual(current.flags, e.o.Flags.Known()) {
		return
	}
	next := e.compile(current.snapshot.Policy(), current.taken, e.now())
	e.use(next)
	e.newest.CompareAndSwap(current.snapshot.Policy(), next.snapshot.Policy())
	e.o.Log.Info("flags changed", "changes", policy.FormatDifferences(policy.Differences(current.snapshot, next.snapshot)))
	e.signal()
}

// evaluateFlags evaluates the flags of the newest policy. What takes longer is
// taken into use when it is known.
func (e *Engine) evaluateFlags(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	e.o.Flags.Evaluate(ctx, e.newest.Load)
}

// signal tells FollowSchedule that the current compiled policy has changed.
func (e *Engine) signal() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// FollowSchedule compiles ahead of time what a scheduled change leads to, and
// makes those that no request makes, until the context ends.
func (e *Engine) FollowSchedule(ctx context.Context) {
	for {
		current := e.Current(e.now())
		e.prepareNext(current)
		wait := maxWait
		if current.until != 0 {
			left := time.Unix(0, current.until).Sub(e.now())
			if left > writeAhead {
				left -= writeAhead
			}
			wait = min(wait, max(0, left))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-e.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// prepareNext compiles what follows, so that no request waits for it, and keeps
// which steps were taken, and shortly before they are, which will be.
func (e *Engine) prepareNext(current *Compiled) {
	p := current.snapshot.Policy()
	next := current.next.Load()
	if current.until != 0 && next == nil {
		next = e.compile(p, current.taken, current.snapshot.Until())
		current.next.Store(next)
	}
	steps, now := savedSteps{Taken: current.taken}, e.now()
	if next != nil && time.Unix(0, current.until).Sub(now) <= writeAhead {
		steps.Next, steps.Written = next.taken, now
	}
	e.mu.Lock()
	inUse := e.current.Load() == current
	if inUse {
		e.steps.want(steps)
	}
	e.mu.Unlock()
	if !inUse {
		return // what is has signalled
	}
	e.flushSteps()
	latest := current.snapshot.At()
	if step := current.latestStep(); step.After(latest) {
		latest = step
	}
	if err := e.o.Store.WriteMoment(p.Digest(), latest, e.steps.digest(), e.o.File); err != nil {
		e.o.Log.Warn("which policy was used last could not be kept for the next start", "error", err)
	}
}

// compile compiles a policy with the flags that are known, at least as far as the
// steps that were taken. Nothing is served by
// it before every guaranteed one has been answered once.
func (e *Engine) compile(p *policy.Policy, taken policy.TakenSteps, at time.Time) *Compiled {
	c := compile(p.WithTaken(taken), e.o.Flags.Known(), at, e.o.Metrics, e.o.Traffic, e.o.Capability)
	c.blocked = e.blockedReason()
	return c
}

// blockedReason returns what must be known before anything is served, "" for
// nothing.
func (e *Engine) blockedReason() BlockedReason {
	switch {
	case e.Closed():
		return PolicyUnknown
	case !e.o.Flags.Status().Answered:
		return FlagsUnknown
	}
	return ""
}
