package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
)

// rules holds the ruling in use. It takes changed policies into use, and
// scheduled changes at their moment, by its own clock. A policy that is wrong
// changes nothing.
type rules struct {
	file    string // that policies come from, "" for the ledger
	kept    keptPolicy
	flags   *flags.Table
	traffic *traffic.Counts
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics.Metrics
	events  *events

	current atomic.Pointer[ruling]

	changing sync.Mutex                    // held while another policy is taken into use
	newest   atomic.Pointer[policy.Policy] // in use, or about to be

	// waiting says that no policy is known yet, and that nothing is served.
	waiting atomic.Bool

	mu      sync.Mutex // guards what follows, and every change of current
	applied time.Time  // when the current policy was
	number  uint64     // of the current policy
	refused *refusedPolicy
	wake    chan struct{} // the current ruling has changed
}

// A refusedPolicy is a policy that could not be taken into use.
type refusedPolicy struct {
	digest string
	failure
}

// maxWait is how long the clock is trusted not to jump.
const maxWait = 30 * time.Second

// at returns the ruling that holds at a moment. Requests don't wait for a
// timer: the first one past a boundary crosses it for all.
func (r *rules) at(now time.Time) *ruling {
	current := r.current.Load()
	if !current.over(now) {
		return current
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	current = r.current.Load()
	if !current.over(now) {
		return current
	}
	next := current.next.Load()
	if next == nil || next.over(now) {
		next = r.follow(current, now)
	}
	r.current.Store(next)
	r.metrics.Transition()
	changes := describe(policy.Differences(current.snapshot, next.snapshot))
	r.log.Info("scheduled change", "due", current.snapshot.Until(), "changes", changes, "until", until(next))
	r.events.tell(api.Event{Type: "transition", Message: strings.Join(changes, "; ")})
	r.awake()
	return next
}

// refuse notes that a policy is wrong, once.
func (r *rules) refuse(digest string, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused != nil && r.refused.digest == digest && r.refused.err.Error() == err.Error() {
		return err
	}
	r.refused = &refusedPolicy{digest, failure{err, r.now()}}
	r.metrics.PolicyFailed()
	if current := r.current.Load(); current != nil {
		r.log.Error("the policy is wrong; the one before stays in use", "from", r.from(), "error", err, "in-use", current.snapshot.Policy().Digest())
	} else {
		r.log.Error("the policy is wrong", "from", r.from(), "error", err)
	}
	return err
}

// from says where policies come from.
func (r *rules) from() string { return cmp.Or(r.file, "the ledger") }

// wait refuses everything until there is a policy.
func (r *rules) wait() {
	r.waiting.Store(true)
	p := policy.OpenEverywhere()
	r.newest.Store(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Store(r.rule(p, r.now()))
}

// apply takes a policy into use, by its number: that of the ledger's revision,
// 0 for one more than before. source is kept for a start with a wrong one.
func (r *rules) apply(p *policy.Policy, source []byte, number uint64) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if current := r.current.Load(); current != nil && !r.waiting.Load() && current.snapshot.Policy().Digest() == p.Digest() {
		r.agree(p, number)
		return nil
	}
	if err := notice.Check(p.Notices()); err != nil {
		return err
	}
	// From here on the policy holds: it may acknowledge breaches.
	within := flagsAtChange
	if r.newest.Swap(p) == nil {
		within = flagsAtStart
	}
	r.evaluate(within)
	r.mu.Lock()
	defer r.mu.Unlock()
	var before *policy.Snapshot
	if current := r.current.Load(); current != nil {
		before = current.snapshot
	}
	at, latest := r.now(), r.kept.latest(p.Digest())
	if before != nil && before.At().After(latest) {
		latest = before.At() // a policy about something else takes no schedule back either
	}
	if latest.After(at) {
		r.log.Warn("the clock is behind the last scheduled change; scheduled changes are not taken back", "clock", at, "deciding-for", latest)
		at = latest
	}
	r.waiting.Store(false)
	next := r.rule(p, at)
	r.current.Store(next)
	r.applied, r.number = r.now(), cmp.Or(number, r.number+1)
	r.metrics.PolicyApplied(r.applied, r.number)
	if source != nil {
		r.refused = nil
	}
	for _, w := range p.Warnings() {
		r.log.Warn("policy: "+w.Message, "line", w.Line, "advice", w.Advice)
	}
	r.log.Info("policy applied", "from", r.from(), "sha256", p.Digest(), "mode", p.Mode(),
		"changes", describe(policy.Differences(before, next.snapshot)), "until", until(next))
	if err := r.kept.write(source); err != nil {
		r.log.Warn("the policy could not be kept for the next start", "error", err)
	}
	r.awake()
	return nil
}

// agree notes that the policy in use is the newest again.
func (r *rules) agree(p *policy.Policy, number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number = cmp.Or(number, r.number)
	r.metrics.PolicyApplied(r.applied, r.number)
	if r.refused != nil {
		r.refused = nil
		r.log.Info("the policy is the one in use again", "sha256", p.Digest())
	}
}

// reflag takes the flags into use as they are now, if they have changed.
func (r *rules) reflag() {
	r.evaluate(flagsAtStart)

	r.mu.Lock()
	defer r.mu.Unlock()
	current := r.current.Load()
	if current.waiting == r.missing() && reflect.DeepEqual(current.flags, r.flags.Known()) {
		return
	}
	at := r.now()
	if latest := current.snapshot.At(); latest.After(at) {
		at = latest // the clock takes no schedule back
	}
	next := r.rule(current.snapshot.Policy(), at)
	r.current.Store(next)
	r.log.Info("flags changed", "changes", describe(policy.Differences(current.snapshot, next.snapshot)))
	r.awake()
}

// awake tells run that the ruling has changed.
func (r *rules) awake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run makes the next ruling ahead of its time, and crosses boundaries that no
// request crosses, until the context ends.
func (r *rules) run(ctx context.Context) {
	for {
		current := r.at(r.now())
		r.prepare(current)
		wait := maxWait
		if current.until != 0 {
			wait = min(wait, max(0, time.Unix(0, current.until).Sub(r.now())))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// prepare makes the ruling that follows, so that no request waits for it, and
// keeps how far the schedule has come.
func (r *rules) prepare(current *ruling) {
	p := current.snapshot.Policy()
	if err := r.kept.advance(p.Digest(), current.snapshot.At(), r.file); err != nil {
		r.log.Warn("how far the schedule has come could not be kept for the next start", "error", err)
	}
	if current.until != 0 && current.next.Load() == nil {
		current.next.Store(r.follow(current, current.snapshot.Until()))
	}
}

// follow makes the ruling of the same policy that holds at a later moment.
func (r *rules) follow(current *ruling, at time.Time) *ruling {
	return r.rule(current.snapshot.Policy(), at)
}

// evaluate finds out what the flags of the newest policy are. What takes longer
// than that is taken into use when it is known.
func (r *rules) evaluate(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	r.flags.EvaluateNewest(ctx, r.newest.Load)
}

// rule makes a ruling by what is known of the flags. Nothing is served by it
// before every guaranteed one has been answered for once.
func (r *rules) rule(p *policy.Policy, at time.Time) *ruling {
	made, err := rule(p, r.flags.Known(), at, r.metrics, r.traffic)
	if err != nil {
		r.log.Error("refused clients get the built-in notice", "error", err)
	}
	made.waiting = r.missing()
	return made
}

// missing says what must be known before anything is served, "" for nothing.
func (r *rules) missing() rejection {
	switch {
	case r.waiting.Load():
		return errPolicyUnknown
	case !r.flags.Status().Answered:
		return errFlagsUnknown
	}
	return ""
}

// since returns when the current policy was taken into use.
func (r *rules) since() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

// failure returns what is wrong with the newest policy, and since when; nil if
// it is the one in use.
func (r *rules) failure() *refusedPolicy {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// describe says who goes from which phase to which: "open → withdrawn: DE, FR".
func describe(changes []policy.Difference) []string {
	places := make(map[string][]string)
	for _, c := range changes {
		move := c.Before + " → " + c.After
		places[move] = append(places[move], string(c.Jurisdiction))
	}
	lines := make([]string, 0, len(places))
	for move, codes := range places {
		lines = append(lines, move+": "+strings.Join(codes, ", "))
	}
	slices.Sort(lines)
	return lines
}

func until(r *ruling) string {
	if r.until == 0 {
		return "changed"
	}
	return r.snapshot.Until().Format(time.RFC3339)
}
