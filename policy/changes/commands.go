package changes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/plan"
)

// FirstRevision is what the first gateway writes into an empty ledger: a policy
// that serves everywhere.
func FirstRevision(source []byte) Draft {
	const gateway = "exitgate"
	e, err := newDraft(RevisionMade, Actor{Name: gateway}, "There was no policy yet.", revisionBody{terms: terms{
		Authors: []string{gateway},
		Summary: "the first policy",
		Format:  policyFormat(source),
	}}, source)
	if err != nil {
		panic(err) // it has nothing that JSON hasn't
	}
	return e
}

// Plan returns what would come of a Proposal; its Expected, Because, Plan, and
// Emergency may be missing.
func (s State) Plan(p Proposal, flags policy.Flags, now time.Time) (Planned, error) {
	planned, after, err := s.plan(p, flags, now)
	if err == nil {
		err = planned.checkBackdated(p)
	}
	if err == nil {
		planned.Plan.Warnings = document.Warnings("policy", after, now)
	}
	return planned, err
}

// plan returns what would come of a Proposal, without warnings, and its policy.
func (s State) plan(p Proposal, flags policy.Flags, now time.Time) (Planned, *policy.Policy, error) {
	if s.inUse == nil {
		return Planned{}, nil, refuse(Conflict, "see exitgate status for what the gateway waits for", "no policy is known yet")
	}
	source, err := s.proposedText(p, now)
	if err != nil {
		return Planned{}, nil, err
	}
	after, planned, err := s.parseProposed(p, source, flags, now)
	if err != nil {
		return Planned{}, nil, err
	}
	return Planned{
		Backdated: s.backdated(p, after, now),
		Policy:    source,
		Plan:      planned,
		Needs:     plan.NeededApprovals(s.inUse.Approvals(), planned.Effects),
		Emergency: planned.OnlyRestricts() || s.takesBack(p, now),
		takesBack: !planned.OnlyRestricts() && s.takesBack(p, now),
	}, after, nil
}

// takesBack reports whether a Proposal is to take back an emergency that is in force,
// as its author may alone for some minutes: all of it, and nothing else. It is planned
// as any other, so that what a demand, a step or a breach withdraws by then stays
// withdrawn. The emergency is still to be signed, and so is this.
func (s State) takesBack(p Proposal, now time.Time) bool {
	r := s.saved.Revision
	return r.Emergency && p.Rollback != 0 && p.Rollback == r.Base && slices.Equal(r.Effects, []plan.Effect{plan.WithdrawsMarket}) &&
		now.Add(-s.clockOffset).Sub(r.Time) <= TakeBackWithin
}

// checkTakesBack returns why somebody can't take an emergency back alone.
func (s State) checkTakesBack(by Actor, p Proposal, planned Planned) error {
	if authors := s.people(s.saved.Revision.Authors); !p.Emergency || !planned.takesBack || len(authors) == 1 && authors[0] == s.person(by.Name) {
		return nil
	}
	return refuse(FourEyes, "propose it without emergency, or let its author do it", "only who has done it takes back emergency %d alone", s.saved.Revision.Number)
}

// parseProposed reads what is proposed, and plans it. By what a newer rule refuses,
// nobody is kept from going back to a revision that stood, nor in an emergency, as long
// as nobody gets more by it.
func (s State) parseProposed(p Proposal, source []byte, flags policy.Flags, now time.Time) (*policy.Policy, plan.Plan, error) {
	parse := s.parsers.Proposed
	if p.Set != nil || p.Waits {
		parse = s.parsers.Recorded // what stands beside the change needn't be as new ones have to be
	}
	after, err := parse(source)
	if err == nil && !p.Waits && p.Rollback == 0 && p.Set == nil { // which is about no stage
		err = document.CheckDates("policy", after, now)
	}
	if err == nil {
		return after, s.planFor(after, flags, now), nil
	}
	if p.Rollback == 0 && !p.Emergency {
		return nil, plan.Plan{}, wrongPolicy(err)
	}
	if stood, unreadable := s.parsers.Recorded(source); unreadable == nil {
		if planned := s.planFor(stood, flags, now); !planned.GivesMore() {
			return stood, planned, nil
		}
	}
	wrong := wrongPolicy(err)
	if p.Rollback != 0 {
		wrong.Message = fmt.Sprintf("revision %d is from before rules that hold for what is proposed now, and somebody would get more by it: write it to a file, as with exitgate log %d --policy, put it right and apply that", p.Rollback, p.Rollback)
	}
	return nil, plan.Plan{}, wrong
}

// checkBackdated returns an error if something is newly said of the past, and it isn't
// said that this is meant.
func (p Planned) checkBackdated(by Proposal) error {
	if len(p.Backdated) == 0 || by.Backdated || by.Emergency {
		return nil
	}
	return refuse(WrongPolicy, "give a date that is to come, or say that it is meant: --backdated", "it would be said of the past what wasn't so: %s", strings.Join(p.Backdated, ", "))
}

// BackdatedBy is how long ago a step may begin when it is proposed without being
// backdated: as long as it takes to plan it and to agree to that.
const BackdatedBy = time.Hour

// backdated returns what a proposal newly says of the past. What stood in a revision,
// or has waited for approvals, isn't new.
func (s State) backdated(p Proposal, after *policy.Policy, now time.Time) []string {
	switch limit := now.Add(-BackdatedBy); {
	case p.Rollback != 0 || p.Waits:
		return nil
	case p.Set != nil && (p.Set.From.IsZero() || !p.Set.From.Before(limit)):
		return nil // what stands beside it may get a date by which it is
	default:
		return after.Backdated(s.inUse, limit)
	}
}

// proposedText returns the document that is proposed.
func (s State) proposedText(p Proposal, now time.Time) ([]byte, error) {
	switch {
	case !p.isOne():
		return nil, refuse(Invalid, "give one of them", "a proposal is either a policy, or a change of one jurisdiction or one demand in the policy in force")
	case p.Stage != nil:
		if err := p.Stage.Check(); err != nil {
			return nil, refuse(Invalid, "", "%v", err)
		}
		source, err := s.editedText(p.Of)
		if err != nil {
			return nil, err
		}
		return edited(edit.AddStage(source, *p.Stage))
	case p.Set == nil:
		return p.Policy, nil
	}
	set := *p.Set
	if set.At.IsZero() {
		// The day's begin will do: what is proposed is the same document as
		// the one that was planned.
		set.At = now.UTC().Truncate(24 * time.Hour)
	}
	source, err := s.editedText(p.Of)
	if err != nil {
		return nil, err
	}
	return edited(edit.Apply(source, set))
}

// editedText returns the policy that something is changed in: that of a change that
// waits, or with 0 the one in force.
func (s State) editedText(of uint64) ([]byte, error) {
	if of == 0 {
		return s.saved.Policy, nil
	}
	c, err := s.unfinishedChange(of)
	if err != nil {
		return nil, err
	}
	text := c.text(s.saved.Revision.Number)
	if text == nil {
		return nil, refuse(Ended, "propose it anew, or edit it with a whole policy: exitgate apply", "change %d is stale: %s came between, and it can't be put on top of that", of, s.saved.Revision.describe())
	}
	return text, nil
}

// edited returns what an edit of the policy in force has come to.
func edited(source []byte, err error) ([]byte, error) {
	switch {
	case err == nil:
		return source, nil
	case errors.As(err, new(strictyaml.Errors)):
		return nil, wrongPolicy(err)
	case errors.As(err, new(*edit.UnknownError)):
		return nil, refuse(NotFound, "", "%v", err)
	}
	return nil, refuse(Invalid, "", "%v", err)
}

// isOne reports whether a proposal is of one kind.
func (p Proposal) isOne() bool {
	kinds := 0
	for _, is := range []bool{len(p.Policy) > 0, p.Set != nil, p.Stage != nil} {
		if is {
			kinds++
		}
	}
	return kinds == 1
}

// Propose returns the entry by which a Proposal comes into force, or, if it
// needs approvals, waits for them.
func (s State) Propose(by Actor, p Proposal, flags policy.Flags, now time.Time) (Draft, error) {
	if err := s.checkRole(by, p.Request, Operator); err != nil {
		return Draft{}, err
	}
	planned, err := s.planAgreed(by, p, flags, now)
	if err != nil {
		return Draft{}, err
	}
	if planned.Needs > 0 && !p.Emergency && s.tooMany(now) {
		return Draft{}, refuse(Invalid, "reject some of them", "%d changes wait already", MaxPending)
	}
	return s.draft(by, 0, []string{by.Name}, p, planned, now)
}

// Edit returns the entry by which another Proposal takes the place of a change
// that waits, be it Pending, Stale or Expired. Approvals are void; no author of
// either may approve it.
func (s State) Edit(by Actor, number uint64, p Proposal, flags policy.Flags, now time.Time) (Draft, error) {
	if err := s.checkRole(by, p.Request, Operator); err != nil {
		return Draft{}, err
	}
	c, err := s.unfinishedChange(number)
	if err != nil {
		return Draft{}, err
	}
	planned, err := s.planAgreed(by, p, flags, now)
	if err != nil {
		return Draft{}, err
	}
	if p.Emergency && planned.takesBack {
		return Draft{}, refuse(Invalid, "leave the change alone: exitgate rollback", "an emergency is taken back by itself")
	}
	authors := slices.Clip(c.Authors)
	if !slices.Contains(authors, by.Name) {
		authors = append(authors, by.Name)
	}
	return s.draft(by, number, authors, p, planned, now)
}

// planAgreed returns what comes of a Proposal, if that is what its author has
// seen and agreed to, and may know of.
func (s State) planAgreed(by Actor, p Proposal, flags policy.Flags, now time.Time) (Planned, error) {
	if err := checkReason(p.Because); err != nil {
		return Planned{}, err
	}
	if p.Expected != s.saved.Revision.Number {
		return Planned{}, s.conflictError(p.Expected)
	}
	if err := s.CheckDemandKnown(by, p); err != nil {
		return Planned{}, err
	}
	planned, after, err := s.plan(p, flags, now)
	if err == nil {
		err = s.CheckMayKnow(by, planned.Plan, after)
	}
	switch {
	case err != nil:
		return Planned{}, err
	case bytes.Equal(planned.Policy, s.saved.Policy):
		return Planned{}, refuse(NoChange, "", "this is the policy in force already")
	case p.Plan == "":
		return Planned{}, refuse(Invalid, "plan first, and send the hash of the plan", "it isn't said what plan is agreed to")
	case p.Plan != planned.Plan.Hash:
		return Planned{}, refuse(PlanChanged, "look at the plan again", "this isn't the plan that was agreed to: now it is %s", summarise(planned.Plan))
	case p.Emergency && !planned.Emergency:
		return Planned{}, refuse(Invalid, "leave out all else, or propose it without emergency", "in an emergency one can only withdraw, but this does more: %s", summarise(planned.Plan))
	}
	return planned, cmp.Or(planned.checkBackdated(p), s.checkTakesBack(by, p, planned))
}

// draft writes what was agreed to.
func (s State) draft(by Actor, number uint64, authors []string, p Proposal, planned Planned, now time.Time) (Draft, error) {
	because := strings.TrimSpace(p.Because)
	t := terms{
		Base:    s.saved.Revision.Number,
		Authors: authors,
		Plan:    planned.Plan.Hash,
		Effects: planned.Plan.Effects,
		Needs:   planned.Needs,
		Summary: planned.summary(),
		Request: p.Request.recorded(),
		Format:  policyFormat(planned.Policy),
	}
	revision := revisionBody{terms: t, Change: number, AtOnce: p.Emergency && t.Format >= drainFormat}
	switch {
	case planned.Needs == 0:
		return newDraft(RevisionMade, by, because, revision, planned.Policy)
	case p.Emergency:
		revision.Emergency, revision.SignBy = true, now.Add(SignWithin-s.clockOffset).UTC()
		return newDraft(RevisionMade, by, because, revision, planned.Policy)
	}
	kind := ChangeProposed
	if number != 0 {
		kind = ChangeEdited
	}
	expire := cmp.Or(s.inUse.Approvals().Expire, ExpireAfter)
	return newDraft(kind, by, because, changeBody{t, number, now.Add(expire).UTC()}, planned.Policy)
}

// Reject returns the entry by which a change is given up.
func (s State) Reject(by Actor, number uint64, because string, request Request, now time.Time) (Draft, error) {
	if err := s.checkRole(by, request, Operator, Approver); err != nil {
		return Draft{}, err
	}
	if err := checkReason(because); err != nil {
		return Draft{}, err
	}
	if _, err := s.unfinishedChange(number); err != nil {
		return Draft{}, err
	}
	return newDraft(ChangeRejected, by, strings.TrimSpace(because), rejectionBody{number, request.recorded()}, nil)
}

// checkRole returns why a command isn't accepted: it was given before, or the
// actor has none of the roles.
func (s State) checkRole(by Actor, r Request, roles ...Role) error {
	if err := s.checkNotRepeated(by, r); err != nil {
		return err
	}
	if slices.ContainsFunc(roles, func(role Role) bool { return slices.Contains(by.Roles, role) }) {
		return nil
	}
	return missingRole(by, roles...)
}

// missingRole is the error of an actor that has none of some roles.
func missingRole(by Actor, roles ...Role) error {
	has := "none"
	if len(by.Roles) > 0 {
		has = joinAnd(by.Roles)
	}
	return refuse(Forbidden, "ask somebody who has it, or who may give it to you", "this takes the role %s, and %s has %s", joinOr(roles), by.Name, has)
}

// checkNotRepeated returns an error if a request was done before.
func (s State) checkNotRepeated(by Actor, r Request) error {
	if r.Key == "" {
		return nil
	}
	if err := checkText("the idempotency key", r.Key, MaxKey); err != nil {
		return err
	}
	if err := checkText("the fingerprint of the request", r.Fingerprint, MaxKey); err != nil {
		return err
	}
	for _, known := range s.saved.Keys {
		switch {
		case known.Author != by.Name || known.Key != r.Key:
		case known.hash() != r.hash():
			return refuse(KeyReused, "use a new one for each request", "this idempotency key was used for another request, which is record %d", known.Number)
		default:
			return &RepeatedError{known.Number}
		}
	}
	return nil
}

// recorded returns the request as a record has it: nothing if it says nothing.
func (r Request) recorded() Request {
	if r.Key == "" && r.credential() == "" {
		return Request{}
	}
	return r
}

// unfinishedChange finds a change that is neither applied nor rejected.
func (s State) unfinishedChange(number uint64) (change, error) {
	c, known := s.find(number)
	switch {
	case !known:
		return change{}, refuse(NotFound, "see which changes there are", "there is no change %d that waits", number)
	case c.Status == Applied:
		return change{}, refuse(Ended, "propose another", "change %d is applied already, as revision %d", number, c.Revision)
	case c.Status == Rejected:
		return change{}, refuse(Ended, "propose it anew", "change %d was rejected by %s at %s", number, c.Rejected.By, c.Rejected.At.Format(time.RFC3339))
	}
	return c, nil
}

// tooMany reports whether no more changes can wait.
func (s State) tooMany(now time.Time) bool {
	waiting := 0
	for _, c := range s.saved.Changes {
		if c.Ended == 0 && !s.isObsolete(c, now) {
			waiting++
		}
	}
	return waiting >= MaxPending
}

// conflictError returns the error that names what is in force in place of what
// was expected.
func (s State) conflictError(expected uint64) error {
	winner := s.saved.Revision
	if winner.Number == 0 {
		return refuse(Conflict, "see exitgate status for what the gateway waits for", "no policy is known yet")
	}
	return &Error{
		Code:    Conflict,
		Message: fmt.Sprintf("%s is in force, not revision %d", winner.describe(), expected),
		Advice:  "look at it, and plan again",
		Current: &winner,
	}
}

// describe names a revision: number, who, when.
func (r Revision) describe() string {
	return fmt.Sprintf("revision %d by %s of %s", r.Number, joinAnd(r.Authors), r.Time.UTC().Format(time.RFC3339))
}

// checkReason returns why a reason isn't one.
func checkReason(because string) error {
	if strings.TrimSpace(because) == "" {
		return refuse(Invalid, "say because of what", "nothing is changed without a reason")
	}
	return checkText("the reason", strings.ReplaceAll(because, "\n", " "), MaxBecause)
}

// checkText returns why a line of text can't be shown to people.
func checkText(what, text string, most int) error {
	switch {
	case len(text) > most:
		return refuse(Invalid, "be brief", "%s has %d bytes: the limit is %d", what, len(text), most)
	case !utf8.ValidString(text):
		return refuse(Invalid, "", "%s isn't UTF-8", what)
	case strings.ContainsFunc(text, unicode.IsControl):
		return refuse(Invalid, "leave them out", "%s has control characters", what)
	}
	return nil
}

func refuse(code ErrorCode, advice, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Advice: advice}
}

// wrongPolicy refuses a policy for what its parser has to say of it.
func wrongPolicy(err error) *Error {
	return &Error{Code: WrongPolicy, Message: "the policy would be wrong", Err: err}
}

// joinAnd lists words.
func joinAnd[S ~string](words []S) string { return joinWith(words, " and ") }

// joinOr lists what may be chosen from.
func joinOr[S ~string](words []S) string { return joinWith(words, " or ") }

func joinWith[S ~string](words []S, last string) string {
	var b strings.Builder
	for i, word := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(last)
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(word))
	}
	return b.String()
}
