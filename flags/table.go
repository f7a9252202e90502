package flags

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/policy"
)

// A Table knows what flags are set to in each jurisdiction. It evaluates all
// of them when something changes, never for a request, and accepts only what a
// source has said for sure: whatever else it says, or if it says nothing, the
// last good value stays, also over restarts. A value below its guarantee is a
// breach: it stays until the policy acknowledges it.
//
// A Table is safe for concurrent use.
type Table struct {
	source   *source
	save     func([]byte) error
	log      *slog.Logger
	now      func() time.Time
	onBreach func(Unacknowledged)
	onAck    func(Unacknowledged)

	running  chan struct{} // held by a round
	contexts contextCache
	started  sync.Once
	known    atomic.Pointer[snapshot]

	alerted sync.Map // what was logged of users, by alarmKey
}

// snapshot is what the last round came to. It is immutable.
type snapshot struct {
	flags  policy.Flags
	status Status
}

// Options say what a Table is made of.
type Options struct {
	// Providers are asked in this order; the first that has a flag answers.
	// The policy's own table comes last. Each needs a name of its own.
	Providers []openfeature.FeatureProvider
	// Saved is what Keep was given last before this start, nil for nothing.
	Saved []byte
	// Save keeps the table for the next start. Nil: it isn't kept.
	Save   func([]byte) error
	Logger *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now
	// OnBreach is called for each value below a guarantee that was withheld
	// and hadn't been known, in a round or, without Since, for a user, by whom
	// nothing is withdrawn; OnAcknowledged for each breach that is lifted. They
	// must not block.
	OnBreach, OnAcknowledged func(Unacknowledged)
}

// A Status says how a Table knows what it knows.
type Status struct {
	// Answered says that every guaranteed flag has been answered for once,
	// now or before the last start. Until then nothing should be served.
	Answered bool
	// LastSuccess is when all flags were last evaluated without a Refusal,
	// zero for never.
	LastSuccess time.Time
	// Since is when the first of the rounds with Refused ones in a row was.
	Since time.Time
	// Rejected are the answers of the last round that were not accepted, those
	// with the same reason together.
	Rejected []RejectedAnswers
	// Breaches are those that nobody has acknowledged yet, by jurisdiction.
	Breaches []Unacknowledged
	// SaveError is why what is known could not be kept for the next start, which
	// is tried again in each round; nil if it is kept.
	SaveError error
}

// A RejectedAnswers is an answer that was not accepted, so that the last good value
// stays.
type RejectedAnswers struct {
	Flags         []string
	Jurisdictions []policy.Code
	Answers       int // by flag and jurisdiction
	Err           error
}

// An Unacknowledged breach withdraws a jurisdiction.
type Unacknowledged struct {
	Jurisdiction policy.Code
	Flag         string
	Since        time.Time
}

// Open makes a Table of what was kept. The first Evaluate starts the providers,
// and waits for them, but not for long. Close it in the end.
func Open(o Options) (*Table, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ignore := func(Unacknowledged) {}
	if o.OnBreach == nil {
		o.OnBreach = ignore
	}
	if o.OnAcknowledged == nil {
		o.OnAcknowledged = ignore
	}
	source, err := newSource(o.Providers)
	if err != nil {
		return nil, err
	}
	t := &Table{source: source, running: make(chan struct{}, 1), save: o.Save, log: o.Logger, now: o.Now, onBreach: o.OnBreach, onAck: o.OnAcknowledged}
	first := &snapshot{status: Status{Answered: len(o.Providers) == 0}}
	if o.Saved != nil {
		// Not to be passed over: breaches that nobody has acknowledged may
		// be in it, and nothing but a policy lifts those.
		if err := json.Unmarshal(o.Saved, &first.flags); err != nil || first.flags == nil {
			return nil, fmt.Errorf("flags: what was known of them can't be read: %w", cmp.Or(err, errors.New("there is nothing in it")))
		}
	}
	for _, kept := range first.flags {
		// What is kept before all is answered has no values.
		first.status.Answered = first.status.Answered || len(kept.Values) > 0
	}
	t.known.Store(first)
	return t, nil
}

// Known returns what the last round came to.
func (t *Table) Known() policy.Flags { return t.known.Load().flags }

// Close shuts the providers down.
func (t *Table) Close() { t.source.shutdown() }

// Hints says when flags may have changed, and should be evaluated again. As
// providers' events can get lost, that should be done from time to time, too.
func (t *Table) Hints() <-chan struct{} { return t.source.hints }

// Status returns how the table knows what it knows.
func (t *Table) Status() Status { return t.known.Load().status }

// Evaluate evaluates all flags that a policy names, for all places that it
// tells apart, and returns what they are to be taken for. If that takes longer
// than the context allows, it goes on in the background, Hints says so when it
// is done, and what was known before is returned. What it returns is never
// changed.
//
// The policy is the newest when it comes to it: a round before it may take a
// while, and one by a policy that is out of date would forget what that doesn't
// speak of.
func (t *Table) Evaluate(ctx context.Context, newest func() *policy.Policy) policy.Flags {
	select {
	case t.running <- struct{}{}:
	case <-ctx.Done():
		return t.lastKnown()
	}
	done := make(chan policy.Flags, 1)
	go func() {
		defer func() { <-t.running }()
		round, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxRound)
		defer cancel()
		done <- t.evaluate(round, newest())
		if ctx.Err() != nil {
			t.source.hint()
		}
	}()
	select {
	case flags := <-done:
		return flags
	case <-ctx.Done():
		return t.lastKnown()
	}
}

// maxRound is how long a round may take before its evaluations are cut off.
const maxRound = time.Minute

// lastKnown returns what was known before a round that takes too long.
func (t *Table) lastKnown() policy.Flags {
	t.log.Error("a flag provider takes too long to answer; what was known stays until it does")
	return t.known.Load().flags
}

// evaluate is a round.
func (t *Table) evaluate(ctx context.Context, p *policy.Policy) policy.Flags {
	t.updateContexts(p)
	t.started.Do(t.source.start)
	r := &round{
		Table: t, ctx: withPolicy(ctx, p), policy: p, guard: GuardOf(p, nil), now: t.now(), before: t.known.Load(),
		flags: make(policy.Flags), rejected: make(map[string]*RejectedAnswers),
	}
	for _, place := range t.contexts.all {
		r.evaluate(place)
	}
	return r.publish()
}

// A cacher is a provider that fetches answers ahead, for contexts and flags
// that it is told.
type cacher interface {
	Cache(contexts []openfeature.FlattenedContext, flags []string) error
}

// contextCache are the places of a policy with their evaluation contexts.
type contextCache struct {
	policy *policy.Policy
	all    []placeContexts
}

type placeContexts struct {
	place    policy.Place
	contexts []openfeature.EvaluationContext // the one that counts, and the probes
}

// updateContexts makes the contexts of a policy, and lets the providers know them.
func (t *Table) updateContexts(p *policy.Policy) {
	if t.contexts.policy == p {
		return
	}
	t.contexts = contextCache{policy: p}
	asks := len(p.Flags()) > 0 || len(t.source.remote) > 0 // else no provider sees them
	var contexts []openfeature.FlattenedContext
	for _, place := range t.placesFor(p) {
		l := placeContexts{place: place}
		if asks {
			for _, c := range Contexts(p, place) {
				contexts = append(contexts, c)
				l.contexts = append(l.contexts, contextOf(c))
			}
		}
		t.contexts.all = append(t.contexts.all, l)
	}
	for _, provider := range t.source.remote {
		if k, ok := provider.(cacher); ok {
			if err := k.Cache(contexts, Names(p)); err != nil {
				t.log.Error("a flag provider can't fetch ahead", "provider", provider.Metadata().Name, "error", err)
			}
		}
	}
}

// placesFor returns the places that a policy tells apart, and those that a
// breach withholds which it tells apart no longer.
func (t *Table) placesFor(p *policy.Policy) []policy.Place {
	places := slices.Clone(p.Places())
	apart := make(map[policy.Code]bool, len(places))
	for _, place := range places {
		apart[place.Jurisdiction()] = true
	}
	for code, s := range t.Known() {
		if len(s.Breached) > 0 && !apart[code] {
			places = append(places, policy.PlaceOf(code))
		}
	}
	return places
}

// A round is one evaluation of everything.
type round struct {
	*Table
	ctx        context.Context
	policy     *policy.Policy
	guard      *Guard
	now        time.Time
	before     *snapshot
	flags      policy.Flags
	rejected   map[string]*RejectedAnswers // by reason
	unanswered bool                        // some guaranteed flag has no value, and never had one
}

// evaluate evaluates all flags for a place, starting from what was known of
// it.
func (r *round) evaluate(l placeContexts) {
	jurisdiction := l.place.Jurisdiction()
	before := r.before.flags.In(jurisdiction)
	s := policy.Settings{Values: make(map[string]policy.Value)}
	for _, f := range r.policy.Flags() {
		if known, ok := before.Values[f.Name]; ok {
			s.Values[f.Name], ok = known.As(f.Kind)
			if !ok && !known.IsZero() {
				delete(s.Values, f.Name) // of another type than the flag has now
			}
		}
		since, breached := before.Breached[f.Name]
		value, err := r.evaluateFlag(f, l)
		switch {
		case err == nil:
			s.Values[f.Name] = value
		case err == errNotFound && len(r.source.remote) == 0:
			delete(s.Values, f.Name) // the policy itself has dropped it
			err = nil
		case err == errNotFound && f.Guarantee == nil:
		default:
			r.reject(f.Name, jurisdiction, err)
			_, known := s.Values[f.Name]
			r.unanswered = r.unanswered || f.Guarantee != nil && !known && !breached
		}
		if f.Guarantee == nil {
			continue
		}
		known, below := s.Values[f.Name]
		if below = below && !r.guard.Allows(f.Name, known); below {
			s.Values[f.Name] = policy.Value{} // nobody is to have it
		}
		if since, breached = r.breachedSince(f, l.place, below, err == nil, since, breached); breached {
			if s.Breached == nil {
				s.Breached = make(map[string]time.Time)
			}
			s.Breached[f.Name] = since
		}
	}
	if len(r.source.remote) > 0 {
		s.Phase = r.phase(jurisdiction, before.Phase, l)
	}
	r.flags[jurisdiction] = s
}

// breachedSince reports whether a guarantee is broken at a place, and since when: by
// whether its flag is known to be below, the answer of this round being sure,
// and by a breach that was seen before.
func (r *round) breachedSince(f policy.Flag, place policy.Place, below, sure bool, since time.Time, breached bool) (time.Time, bool) {
	jurisdiction := place.Jurisdiction()
	until := r.policy.AcknowledgedUntil(f.Name, jurisdiction)
	acknowledged := breached && sure && !until.Before(since)
	switch {
	case below && (acknowledged || !breached && r.policy.Serves(place, r.now)):
		// What was acknowledged before it was seen doesn't cover it, whatever
		// the clock says.
		since = latest(r.now.Truncate(time.Second), until.Truncate(time.Second).Add(time.Second))
		r.reportBreach(jurisdiction, f, since)
		return since, true
	case !below && acknowledged:
		r.onAck(Unacknowledged{jurisdiction, f.Name, since})
		r.log.Info("the breach of a guarantee is acknowledged, and its flag is as guaranteed: the jurisdiction is no longer withheld for it", "jurisdiction", jurisdiction, "flag", f.Name, "since", since)
		return time.Time{}, false
	}
	return since, breached
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// errNotFound says that no source has a flag. Of a guaranteed one, that is no
// answer: what it is, the app would decide by a default of its own.
var errNotFound = errors.New("no flag source has it: add it there, or set it under flags: in the policy")

// evaluateFlag evaluates a flag for a place. A guaranteed one must not differ between
// users, whom the probes stand for.
func (r *round) evaluateFlag(f policy.Flag, l placeContexts) (policy.Value, error) {
	if len(r.source.remote) == 0 {
		// Only the policy's own table would be asked: by OpenFeature that
		// takes ten times as long.
		if value, ok := r.policy.Value(f.Name, l.place); ok {
			return value, nil
		}
		return policy.Value{}, errNotFound
	}
	value, static, err := r.evaluateIn(f, l.contexts[0])
	if err != nil || f.Guarantee == nil || static {
		return value, err
	}
	for _, probe := range l.contexts[1:] {
		switch other, _, err := r.evaluateIn(f, probe); {
		case err != nil:
			return value, fmt.Errorf("for another user: %w", err)
		case other != value:
			return value, errors.New("it differs between users: a guaranteed flag can't be given by percentage or by user")
		}
	}
	return value, nil
}

// evaluateIn evaluates a flag in one context. A value that can't be sent to apps is
// an error, unless it breaches a guarantee anyhow.
func (r *round) evaluateIn(f policy.Flag, c openfeature.EvaluationContext) (value policy.Value, static bool, err error) {
	a := r.source.evaluate(r.ctx, f.Name, f.Kind, c)
	switch {
	case a.notFound():
		return value, false, errNotFound
	case a.err != nil:
		return value, false, a.err
	}
	value, _ = policy.ValueOf(a.value)
	if err := value.CheckSendable(); err != nil && r.guard.Allows(f.Name, value) {
		return value, false, fmt.Errorf("flags are sent to apps in a structured field (RFC 9651), and %w", err)
	}
	return value, a.isStatic(), nil
}

// phase returns what the flag exitgate.phase restricts a place to. Only a good
// answer changes it.
func (r *round) phase(jurisdiction policy.Code, before policy.Phase, l placeContexts) policy.Phase {
	value, _, err := r.evaluateIn(policy.Flag{Name: policy.PhaseFlag, Kind: policy.String}, l.contexts[0])
	if err == errNotFound {
		return before
	}
	var phase policy.Phase
	if err == nil {
		name, _ := value.Any().(string)
		err = phase.UnmarshalText([]byte(name))
	}
	if err != nil {
		r.reject(policy.PhaseFlag, jurisdiction, err)
		return before
	}
	return phase
}

// maxReasons is how many reasons are distinguished: a source may have words of
// its own for each answer.
const maxReasons = 10

var errOthers = errors.New("other reasons, after the first ones are gone")

func (r *round) reject(flag string, jurisdiction policy.Code, err error) {
	refusal := r.rejected[err.Error()]
	if refusal == nil && len(r.rejected) >= maxReasons {
		err = errOthers
		refusal = r.rejected[err.Error()]
	}
	if refusal == nil {
		refusal = &RejectedAnswers{Err: err}
		r.rejected[err.Error()] = refusal
	}
	refusal.Answers++
	if !slices.Contains(refusal.Flags, flag) {
		refusal.Flags = append(refusal.Flags, flag)
	}
	if !slices.Contains(refusal.Jurisdictions, jurisdiction) {
		refusal.Jurisdictions = append(refusal.Jurisdictions, jurisdiction)
	}
}

// reportBreach tells of a breach. It doesn't say the value, which nobody is to have.
func (r *round) reportBreach(jurisdiction policy.Code, f policy.Flag, since time.Time) {
	r.onBreach(Unacknowledged{jurisdiction, f.Name, since})
	r.log.Error("a flag is below its guarantee: the service is withdrawn there until a policy revision acknowledges it",
		"jurisdiction", jurisdiction, "flag", f.Name, "guarantee", f.Guarantee.String())
}

// publish takes a round into use, and keeps it.
func (r *round) publish() policy.Flags {
	before := r.before.status
	status := Status{Answered: before.Answered || !r.unanswered, LastSuccess: before.LastSuccess, Rejected: r.rejections()}
	switch {
	case len(status.Rejected) == 0:
		status.LastSuccess = r.now
	case len(before.Rejected) == 0:
		status.Since = r.now
	default:
		status.Since = before.Since
	}
	for _, code := range slices.Sorted(maps.Keys(r.flags)) {
		for _, flag := range slices.Sorted(maps.Keys(r.flags[code].Breached)) {
			status.Breaches = append(status.Breaches, Unacknowledged{code, flag, r.flags[code].Breached[flag]})
		}
	}
	changed := !maps.EqualFunc(r.before.flags, r.flags, equalSettings)
	if !changed {
		r.flags = r.before.flags
	}
	if changed || status.Answered != before.Answered || before.SaveError != nil {
		status.SaveError = r.save(status.Answered)
	}
	r.logChanges(before, status)
	r.known.Store(&snapshot{r.flags, status})
	return r.flags
}

// equalSettings reports whether a jurisdiction's flags are set alike.
func equalSettings(a, b policy.Settings) bool {
	return a.Phase == b.Phase && maps.Equal(a.Values, b.Values) && maps.EqualFunc(a.Breached, b.Breached, time.Time.Equal)
}

// save keeps what is known; before all is answered, that is what
// restricts, which no restart may forget.
func (r *round) save(answered bool) error {
	kept := r.flags
	if !answered {
		kept = restrictions(r.flags)
	}
	if r.Table.save == nil || !answered && len(kept) == 0 {
		return nil
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return r.Table.save(append(text, '\n'))
}

// restrictions returns what flags restrict, without the values.
func restrictions(all policy.Flags) policy.Flags {
	only := make(policy.Flags)
	for code, s := range all {
		if s.Values = nil; s.Phase != policy.Open || len(s.Breached) > 0 {
			only[code] = s
		}
	}
	return only
}

// logChanges logs what has changed about the answers that were not accepted.
func (r *round) logChanges(before, now Status) {
	for _, refusal := range now.Rejected {
		if !slices.ContainsFunc(before.Rejected, refusal.sameAs) {
			r.log.Warn("answers for flags are not accepted; what was known of them stays", "flags", formatList(refusal.Flags), "jurisdictions", formatList(refusal.Jurisdictions), "error", refusal.Err)
		}
	}
	if len(before.Rejected) > 0 && len(now.Rejected) == 0 {
		r.log.Info("all flags are answered again")
	}
	if before.SaveError == nil && now.SaveError != nil {
		r.log.Error("the flags could not be kept for the next start, which would forget the guarantees that were broken: make room in the data folder, and let the gateway write to it", "error", now.SaveError)
	}
}

func (r RejectedAnswers) sameAs(other RejectedAnswers) bool {
	return r.Err.Error() == other.Err.Error()
}

// String says what was not accepted, and why: "group-size in FR, DE and 247
// more: …".
func (r RejectedAnswers) String() string {
	return fmt.Sprintf("%s in %s: %v", formatList(r.Flags), formatList(r.Jurisdictions), r.Err)
}

// formatList names a few of many: "FR, DE and 247 more".
func formatList[T ~string](all []T) string {
	const most = 5
	var names []string
	for _, name := range all[:min(most, len(all))] {
		names = append(names, string(name))
	}
	text := strings.Join(names, ", ")
	if more := len(all) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (r *round) rejections() []RejectedAnswers {
	var all []RejectedAnswers
	for _, reason := range slices.Sorted(maps.Keys(r.rejected)) {
		all = append(all, *r.rejected[reason])
	}
	return all
}
