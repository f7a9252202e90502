package changes

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/strictjson"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/plan"
)

// A State is what the records of a ledger come to. It is immutable and safe for
// concurrent use; what is within the things that its methods return is not to
// be changed. As JSON it can be kept, and restored by Restore.
type State struct {
	parsers     Parsers
	inUse       *policy.Policy // the policy in force, nil if there is none
	clockOffset time.Duration
	taken       policy.TakenSteps // isn't kept here
	undisclosed []string          // demands, sorted
	cuts        []recordedCut     // the last ones
	saved       savedState
}

// savedState is all that there is to keep. Its lists may be shared by States: who
// changes one changes a copy.
type savedState struct {
	Version    int         `json:"version,omitempty"` // of this format; 1 isn't written
	Last       uint64      `json:"last"`              // the number of the last record
	Unknown    uint64      `json:"unknown,omitempty"` // records that this package doesn't know, and has skipped
	Format     int         `json:"format,omitempty"`  // the Format that skipped them
	Revision   Revision    `json:"revision"`
	Policy     []byte      `json:"policy,omitempty"` // of the revision
	Changes    []change    `json:"changes,omitempty"`
	Unsigned   []Revision  `json:"unsigned,omitempty"`
	Principals []Principal `json:"principals,omitempty"` // by name
	Keys       []key       `json:"keys,omitempty"`
	// What took place and is recorded, and what was decided on geo databases; by version 2.
	Steps     []recordedStep     `json:"steps,omitempty"`     // the last ones
	Breaches  []recordedBreach   `json:"breaches,omitempty"`  // one by jurisdiction and flag
	Databases []DatabaseDecision `json:"databases,omitempty"` // the oldest first
}

// savedVersion is the newest version of savedState.
const savedVersion = 2

// A change is one that waits, or one that has ended. Its Status is Pending as
// long as it waits: whether it is Expired or Stale shows when somebody looks.
type change struct {
	Change
	Policy []byte `json:"policy,omitempty"` // while it waits
	Ended  uint64 `json:"ended,omitempty"`  // the record by which it did
	// base is what it was planned against, once another revision has come between; and
	// rebased what its policy is on top of that one, nil if it can't be.
	base, rebased []byte
}

// text returns the policy that would come into force, nil if the change is stale.
func (c change) text(inForce uint64) []byte {
	if c.Base == inForce {
		return c.Policy
	}
	return c.rebased
}

// rebase puts the changes that wait on top of the revision in force, which has taken the
// place of another one.
func (s *State) rebase(before uint64, base []byte) {
	if len(s.saved.Changes) == 0 {
		return
	}
	s.saved.Changes = slices.Clone(s.saved.Changes)
	for i := range s.saved.Changes {
		c := &s.saved.Changes[i]
		if c.Ended != 0 {
			continue
		}
		if c.Base == before {
			c.base = base
		}
		c.rebased = nil
		if c.base != nil {
			c.rebased, _ = edit.Rebase(c.base, c.Policy, s.saved.Policy) // else it is stale
		}
	}
}

// A key is of a request that was done.
type key struct {
	Author string `json:"author"`
	Request
	Number uint64 `json:"number"` // of the record that was written
}

// New returns the State of an empty ledger: there is no revision yet.
func New(parsers Parsers) State { return State{parsers: parsers} }

// Restore returns a State that was kept, with its Supplement. Its policy is read again.
func Restore(text []byte, more Supplement, parsers Parsers) (State, error) {
	s := State{parsers: parsers}
	err := strictjson.Unmarshal(text, &s.saved)
	if err == nil {
		err = s.saved.check()
	}
	if err == nil && s.saved.Revision.Number != 0 {
		s.inUse, err = parsers.Recorded(s.saved.Policy)
	}
	if err != nil {
		return State{}, fmt.Errorf("the state that was kept can't be used: %w", err)
	}
	s.supplement(more)
	return s, nil
}

// check returns why what was kept can't be used.
func (k savedState) check() error {
	if k.Version > savedVersion {
		return fmt.Errorf("a newer exitgate has written it, in format %d", k.Version)
	}
	if k.Revision.Number > k.Last {
		return fmt.Errorf("revision %d is beyond the last record, %d", k.Revision.Number, k.Last)
	}
	if k.Revision.Number != 0 && policy.Digest(k.Policy) != k.Revision.SHA256 {
		return fmt.Errorf("its policy isn't the one of revision %d", k.Revision.Number)
	}
	for _, c := range k.Changes {
		if c.Ended == 0 && policy.Digest(c.Policy) != c.SHA256 {
			return fmt.Errorf("its policy of change %d isn't the one that was proposed", c.Number)
		}
	}
	return nil
}

// MarshalJSON writes all of the State, to be kept, but for its Supplement.
func (s State) MarshalJSON() ([]byte, error) {
	if len(s.saved.Steps)+len(s.saved.Breaches)+len(s.saved.Databases) > 0 {
		s.saved.Version = savedVersion
	}
	return json.Marshal(s.saved)
}

// With returns the State after one more record. An error says why the record is
// invalid; the State that is returned is then as before but for Last. A record
// that only a newer exitgate knows is counted and skipped, which is no error. A
// record that isn't after the last is one: that changes nothing at all.
func (s State) With(r Record) (State, error) {
	if r.Number <= s.saved.Last {
		return s, fmt.Errorf("record %d isn't new: record %d is known", r.Number, s.saved.Last)
	}
	next, err := s.take(r)
	if err != nil {
		next = s
		if r.isUnknown() {
			if next.saved.Unknown++; next.saved.Format == 0 {
				next.saved.Format = Format
			}
			err = nil
		}
	}
	next.saved.Last = r.Number
	if err != nil {
		return next, fmt.Errorf("record %d (%s): %w", r.Number, r.Kind, err)
	}
	next.forgetOld(r.Time)
	return next, nil
}

func (s State) take(r Record) (State, error) {
	switch r.Kind {
	case RevisionMade:
		return s.revise(r)
	case ChangeProposed, ChangeEdited:
		return s.propose(r)
	case ChangeApproved:
		return s.approve(r)
	case ChangeRejected:
		return s.reject(r)
	case PrincipalSet:
		return s.setPrincipal(r)
	case PrincipalRemoved:
		return s.removePrincipal(r)
	case StepTaken, GuaranteeBreached, BreachAcknowledged, MarketSevered:
		return s.occur(r)
	case DatabaseDecided:
		return s.decideDatabase(r)
	}
	return s, errUnknown
}

func (s State) revise(r Record) (State, error) {
	var b revisionBody
	text, err := decodeBodyWithPolicy(r.Body, &b)
	if err == nil {
		err = s.checkBase(b.terms)
	}
	if err != nil {
		return s, err
	}
	p, err := s.parsers.Recorded(text)
	if err != nil {
		return s, fmt.Errorf("its policy is wrong: %w", err)
	}
	revision := b.revision(r, p.Digest())
	if b.Change != 0 {
		c, waits := s.waiting(b.Change)
		if !waits {
			return s, fmt.Errorf("no change %d waits", b.Change)
		}
		revision.AddCredentials(c.Approvals)
		as := changeBody{b.terms, b.Change, c.Expires}.change(r, revision.SHA256)
		as.Approvals = revision.Approvals
		as.Time, as.Status, as.Revision = c.Time, Applied, r.Number
		s.putChange(change{Change: as, Ended: r.Number})
	}
	p = p.WithBegan(p.BeganAt(s.inUse, r.Time))
	if b.Emergency {
		s.saved.Unsigned = append(slices.Clip(s.saved.Unsigned), revision)
	}
	before, base, was := s.saved.Revision.Number, s.saved.Policy, s.inUse
	s.saved.Revision, s.saved.Policy, s.inUse = revision, text, p
	s.rebase(before, base)
	s.noteAcknowledged()
	s.reviseUndisclosed(was, p)
	s.remember(r, b.Request)
	return s, nil
}

func (s State) propose(r Record) (State, error) {
	var b changeBody
	text, err := decodeBodyWithPolicy(r.Body, &b)
	if err == nil {
		err = s.checkBase(b.terms)
	}
	if err != nil {
		return s, err
	}
	_, waits := s.waiting(b.Change)
	switch edits := r.Kind == ChangeEdited; {
	case edits && !waits:
		return s, fmt.Errorf("no change %d waits", b.Change)
	case !edits && b.Change != 0:
		return s, fmt.Errorf("it edits change %d", b.Change)
	}
	p, err := s.parsers.Recorded(text)
	if err != nil {
		return s, fmt.Errorf("its policy is wrong: %w", err)
	}
	s.putChange(change{Change: b.change(r, p.Digest()), Policy: text})
	s.addUndisclosed(p)
	s.remember(r, b.Request)
	return s, nil
}

func (s State) approve(r Record) (State, error) {
	var b approvalBody
	if err := decodeBody(r.Body, &b); err != nil {
		return s, err
	}
	approval := r.Approval()
	if b.Revision != 0 {
		i := slices.IndexFunc(s.saved.Unsigned, func(u Revision) bool { return u.Number == b.Revision })
		if i < 0 {
			return s, fmt.Errorf("no revision %d waits for a signature", b.Revision)
		}
		s.saved.Unsigned = slices.Delete(slices.Clone(s.saved.Unsigned), i, i+1)
		if s.saved.Revision.Number == b.Revision {
			s.saved.Revision.Signature = &approval
		}
	} else {
		c, waits := s.waiting(b.Change)
		if !waits {
			return s, fmt.Errorf("no change %d waits", b.Change)
		}
		c.Approvals = append(slices.Clip(c.Approvals), approval)
		s.putChange(c)
	}
	s.remember(r, b.Request)
	return s, nil
}

func (s State) reject(r Record) (State, error) {
	var b rejectionBody
	if err := decodeBody(r.Body, &b); err != nil {
		return s, err
	}
	c, waits := s.waiting(b.Change)
	if !waits {
		return s, fmt.Errorf("no change %d waits", b.Change)
	}
	by := r.Approval()
	c.Status, c.Rejected = Rejected, &by
	c.Policy, c.Ended = nil, r.Number
	s.putChange(c)
	s.remember(r, b.Request)
	return s, nil
}

func (s State) setPrincipal(r Record) (State, error) {
	var b principalBody
	if err := decodeBody(r.Body, &b); err != nil {
		return s, err
	}
	i, known := s.principal(b.Principal.Name)
	s.saved.Principals = slices.Clone(s.saved.Principals)
	if known {
		s.saved.Principals[i] = b.Principal
	} else {
		s.saved.Principals = slices.Insert(s.saved.Principals, i, b.Principal)
	}
	s.remember(r, b.Request)
	return s, nil
}

func (s State) removePrincipal(r Record) (State, error) {
	var b removalBody
	if err := decodeBody(r.Body, &b); err != nil {
		return s, err
	}
	i, known := s.principal(b.Name)
	if !known {
		return s, fmt.Errorf("there is no principal %.100q", b.Name)
	}
	s.saved.Principals = slices.Delete(slices.Clone(s.saved.Principals), i, i+1)
	s.remember(r, b.Request)
	return s, nil
}

// checkBase returns why a policy isn't to take the place of the one in force.
func (s State) checkBase(t terms) error {
	if t.Base != s.saved.Revision.Number {
		return fmt.Errorf("it follows from revision %d, but revision %d is in force", t.Base, s.saved.Revision.Number)
	}
	return nil
}

// waiting finds a change that hasn't ended.
func (s State) waiting(number uint64) (change, bool) {
	c, known := s.find(number)
	return c, known && c.Ended == 0
}

func (s State) find(number uint64) (change, bool) {
	for _, c := range s.saved.Changes {
		if c.Number == number {
			return c, true
		}
	}
	return change{}, false
}

// putChange adds a change, or takes it for the one of the same number.
func (s *State) putChange(c change) {
	s.saved.Changes = slices.Clone(s.saved.Changes)
	i := slices.IndexFunc(s.saved.Changes, func(known change) bool { return known.Number == c.Number })
	if i < 0 {
		s.saved.Changes = append(s.saved.Changes, c)
	} else {
		s.saved.Changes[i] = c
	}
}

// remember notes the request that a record came of.
func (s *State) remember(r Record, request Request) {
	if request.Key == "" {
		return
	}
	last := s.saved.Keys[max(0, len(s.saved.Keys)-MaxKeys+1):]
	s.saved.Keys = append(slices.Clone(last), key{r.Author, request, r.Number})
}

// forgetOld forgets the changes that have ended but for the last ones, and those
// that wait in vain for long.
func (s *State) forgetOld(now time.Time) {
	var ended []uint64
	for _, c := range s.saved.Changes {
		if c.Ended != 0 {
			ended = append(ended, c.Ended)
		}
	}
	slices.Sort(ended)
	forgotten := uint64(0) // and all before
	if excess := len(ended) - MaxEnded; excess > 0 {
		forgotten = ended[excess-1]
	}
	forget := func(c change) bool { return s.isObsolete(c, now) || c.Ended != 0 && c.Ended <= forgotten }
	if slices.ContainsFunc(s.saved.Changes, forget) {
		s.saved.Changes = slices.DeleteFunc(slices.Clone(s.saved.Changes), forget)
	}
}

// isObsolete reports whether a change is expired or stale, and for long.
func (s State) isObsolete(c change, now time.Time) bool {
	switch s.status(c, now) {
	case Expired, Stale:
		return now.Sub(c.Time) > ForgetAfter
	}
	return false
}

// status returns how a change stands at a moment.
func (s State) status(c change, now time.Time) Status {
	switch {
	case c.Ended != 0:
		return c.Status
	case !now.Before(c.Expires):
		return Expired
	case c.text(s.saved.Revision.Number) == nil:
		return Stale
	}
	return Pending
}

// Unknown returns how many records were skipped as only a newer exitgate knows
// them.
func (s State) Unknown() uint64 { return s.saved.Unknown }

// IsOutdated reports whether an earlier version of this package, which read fewer
// formats, has skipped records: the State says less than its records do today.
func (s State) IsOutdated() bool { return s.saved.Unknown > 0 && s.saved.Format < Format }

// Last returns the number of the last record that the State has taken.
func (s State) Last() uint64 { return s.saved.Last }

// Revision returns the one in force; its Number is 0 if there is none.
func (s State) Revision() Revision { return s.saved.Revision }

// Source returns the policy document in force, as it was written. Don't change
// it.
func (s State) Source() []byte { return s.saved.Policy }

// Policy returns the policy in force, nil if there is none.
func (s State) Policy() *policy.Policy { return s.inUse }

// WithTaken returns the State with the steps of schedules that were taken: plans
// go by them, too.
func (s State) WithTaken(taken policy.TakenSteps) State {
	s.taken = taken
	return s
}

// WithClockOffset returns the State for a gateway whose clock is ahead of that of
// the ledger: plans, and the time to sign an emergency, go by the ledger's.
func (s State) WithClockOffset(ahead time.Duration) State {
	s.clockOffset = ahead
	return s
}

// planFor returns what would come of another policy.
func (s State) planFor(after *policy.Policy, flags policy.Flags, now time.Time) plan.Plan {
	return s.planBetween(s.inUse, after, flags, now)
}

func (s State) planBetween(before, after *policy.Policy, flags policy.Flags, now time.Time) plan.Plan {
	return plan.New(before.WithTaken(s.taken), after.WithTaken(s.taken), flags, now.Add(-s.clockOffset))
}

// Changes returns the changes that wait, and the last ones that have ended, by
// number, as they stand at a moment. Those that have been expired or stale for
// ForgetAfter are forgotten.
func (s State) Changes(flags policy.Flags, now time.Time) []Change {
	all, _ := s.ChangesUntil(flags, now)
	return all
}

// ChangesUntil returns Changes, and until when they stand so if there is no other record and
// no flag changes: then a date comes that one of them is about, or one expires. Zero: for
// good.
func (s State) ChangesUntil(flags policy.Flags, now time.Time) (all []Change, until time.Time) {
	sooner := func(t time.Time) {
		if t.After(now) && (until.IsZero() || t.Before(until)) {
			until = t
		}
	}
	all = make([]Change, len(s.saved.Changes))
	for i, c := range s.saved.Changes {
		var next time.Time
		all[i], next = s.shown(c, flags, now)
		sooner(next)
		if c.Ended == 0 {
			sooner(c.Expires)
		}
	}
	return all, until
}

// Change returns one change, and its policy unless it is Applied or Rejected: on top of
// the revision in force, if it can be put there.
func (s State) Change(number uint64, flags policy.Flags, now time.Time) (Change, []byte, bool) {
	c, known := s.find(number)
	shown, _ := s.shown(c, flags, now)
	if text := c.text(s.saved.Revision.Number); text != nil {
		return shown, text, known
	}
	return shown, c.Policy, known
}

// shown returns a change as it stands at a moment: it only waits if it can be approved. And
// it returns when something is next to change of what is planned, zero if never.
func (s State) shown(c change, flags policy.Flags, now time.Time) (shown Change, until time.Time) {
	switch c.Status = s.status(c, now); c.Status {
	case Stale:
		c.StaleBecause = s.overtaken()
		if was, err := s.planOf(c, flags, now); err == nil {
			c.Jurisdictions = was.Jurisdictions()
		}
	case Pending:
		does, after, err := s.planStill(c, flags, now)
		if after != nil {
			c.Jurisdictions = does.Jurisdictions()
			until = s.nextStep(after, now)
		}
		if err != nil {
			c.Status, c.StaleBecause = Stale, err.Error()
			if refused, ok := errors.AsType[*Error](err); ok && refused.Err == nil {
				c.StaleBecause = refused.Message // the advice isn't a reason
			}
		} else if c.Base != s.saved.Revision.Number {
			c.Rebased = s.saved.Revision.Number
		}
	}
	return c.Change, until
}

// nextStep returns when a step comes by which a policy, or the one in force, is another for
// plans, zero if none does.
func (s State) nextStep(after *policy.Policy, now time.Time) (next time.Time) {
	for _, p := range []*policy.Policy{s.inUse, after} {
		step := p.WithTaken(s.taken).NextStep(now.Add(-s.clockOffset))
		if !step.IsZero() && (next.IsZero() || step.Before(next)) {
			next = step
		}
	}
	if next.IsZero() {
		return next
	}
	return next.Add(s.clockOffset)
}

// overtaken says why a change is stale that can't be put on top of the revision in force.
func (s State) overtaken() string {
	return s.saved.Revision.describe() + " came between, and it can't be put on top of that"
}

// Unsigned returns the emergency revisions that somebody else has still to
// sign.
func (s State) Unsigned() []Revision { return slices.Clone(s.saved.Unsigned) }

// Principals returns all, by name.
func (s State) Principals() []Principal { return slices.Clone(s.saved.Principals) }

// principal finds a principal, or where it would be.
func (s State) principal(name string) (int, bool) {
	return slices.BinarySearchFunc(s.saved.Principals, name, func(p Principal, name string) int { return strings.Compare(p.Name, name) })
}
