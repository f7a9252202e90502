package changes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// Approve returns the entry by which a change is approved, which may bring it
// into force; or by which an emergency revision is signed. agreed is the hash of
// the plan that is agreed to, of a revision its SHA256. A reason isn't needed.
func (s State) Approve(by Actor, number uint64, agreed, because string, request Request, flags policy.Flags, now time.Time) (Draft, error) {
	if err := s.checkRole(by, request, Approver); err != nil {
		return Draft{}, err
	}
	because = strings.TrimSpace(because)
	if because != "" {
		if err := checkReason(because); err != nil {
			return Draft{}, err
		}
	}
	for _, u := range s.saved.Unsigned {
		if u.Number == number {
			return s.sign(by, u, agreed, because, request)
		}
	}
	c, err := s.unfinishedChange(number)
	if err != nil {
		return Draft{}, err
	}
	switch s.status(c, now) {
	case Expired:
		return Draft{}, refuse(Ended, "edit it to propose it anew", "change %d has expired at %s", number, c.Expires.Format(time.RFC3339))
	case Stale:
		return Draft{}, refuse(Ended, "edit it to propose it anew", "change %d is stale: %s", number, s.overtaken())
	}
	person := Actor{Name: s.person(by.Name), Roles: by.Roles}
	if err := CheckApprover(person, "approve", fmt.Sprintf("change %d", number), s.people(c.Authors), s.people(Approvers(c.Approvals))); err != nil {
		return Draft{}, err
	}
	does, err := s.planApproved(person, c, agreed, flags, now)
	if err != nil {
		return Draft{}, err
	}
	if len(c.Approvals)+1 < c.Needs {
		return newDraft(ChangeApproved, by, because, approvalBody{Change: number, Plan: agreed, Request: request.recorded()}, nil)
	}
	text := c.text(s.saved.Revision.Number)
	return newDraft(RevisionMade, by, c.Because, revisionBody{
		terms:     terms{s.saved.Revision.Number, c.Authors, does.Hash, c.Effects, c.Needs, c.Summary, request.recorded(), policyFormat(text)},
		Change:    number,
		Approvals: append(withoutCredentials(c.Approvals), Approval{By: by.Name, At: now.UTC(), Because: because}),
	}, text)
}

// withoutCredentials returns approvals as a revision's record has them: what they were
// given by is in the records by which they were.
func withoutCredentials(approvals []Approval) []Approval {
	approvals = slices.Clone(approvals)
	for i := range approvals {
		approvals[i].Credential = ""
	}
	return approvals
}

// planApproved returns what a change does, if that is what was agreed to by who proposed
// it and by who approves it, who may know of it.
func (s State) planApproved(by Actor, c change, hash string, flags policy.Flags, now time.Time) (plan.Plan, error) {
	if hash == "" {
		return plan.Plan{}, refuse(Invalid, "look at the change, and send the hash of its plan", "it isn't said what plan is agreed to")
	}
	does, after, err := s.planStill(c, flags, now)
	if err != nil {
		return plan.Plan{}, err
	}
	if hash != c.Plan && hash != does.Hash { // which is shown of one that was put on top of another revision
		return plan.Plan{}, refuse(PlanChanged, "look at the change again", "this isn't the plan of change %d, which is %s", c.Number, c.Summary)
	}
	return does, s.CheckMayKnow(by, does, after)
}

// planStill returns what a change does, and the policy that would come into force; and an
// error if that isn't what its author has planned any more: a date may have passed, or a flag
// changed, or another revision come between.
func (s State) planStill(c change, flags policy.Flags, now time.Time) (does plan.Plan, after *policy.Policy, err error) {
	if after, err = s.parsers.Recorded(c.text(s.saved.Revision.Number)); err != nil {
		return does, nil, wrongPolicy(err)
	}
	does = s.planFor(after, flags, now)
	agreed := does
	if c.Base != s.saved.Revision.Number {
		if agreed, err = s.planOf(c, flags, now); err != nil {
			return does, after, wrongPolicy(err)
		}
	}
	if agreed.Hash != c.Plan || does.Content() != agreed.Content() {
		return does, after, refuse(PlanChanged, "edit it to propose it anew", "change %d would do something else by now: %s", c.Number, summarise(does))
	}
	return does, after, nil
}

// planOf returns what a change does to what it was planned against.
func (s State) planOf(c change, flags policy.Flags, now time.Time) (plan.Plan, error) {
	wants, err := s.parsers.Recorded(c.Policy)
	base := s.inUse
	if err == nil && c.base != nil {
		base, err = s.parsers.Recorded(c.base)
	}
	if err != nil {
		return plan.Plan{}, err
	}
	return s.planBetween(base, wants, flags, now), nil
}

func (s State) sign(by Actor, u Revision, sha256, because string, request Request) (Draft, error) {
	person := Actor{Name: s.person(by.Name), Roles: by.Roles}
	if err := CheckApprover(person, "sign", fmt.Sprintf("revision %d", u.Number), s.people(u.Authors), nil); err != nil {
		return Draft{}, err
	}
	switch {
	case sha256 == "":
		return Draft{}, refuse(Invalid, "look at the revision, and send its SHA-256", "it isn't said what is signed")
	case sha256 != u.SHA256:
		return Draft{}, refuse(PlanChanged, "look at the revision again", "this isn't the SHA-256 of revision %d", u.Number)
	}
	return newDraft(ChangeApproved, by, because, approvalBody{Revision: u.Number, SHA256: sha256, Request: request.recorded()}, nil)
}

// CheckApprover returns why somebody can't approve a change or sign a revision,
// as far as that depends on who they are and who wrote and has approved it; nil
// if they can. verb and what are for the message: "approve", "change 42".
func CheckApprover(by Actor, verb, what string, authors, approvers []string) error {
	switch {
	case !slices.Contains(by.Roles, Approver):
		return missingRole(by, Approver)
	case slices.Contains(authors, by.Name):
		return refuse(FourEyes, fmt.Sprintf("somebody else has to %s it", verb), "%s is an author of %s", by.Name, what)
	case slices.Contains(approvers, by.Name):
		return refuse(NoChange, "", "%s has approved %s already: it waits for somebody else", by.Name, what)
	}
	return nil
}

// people returns who did something by some names.
func (s State) people(names []string) []string {
	people := make([]string, len(names))
	for i, name := range names {
		people[i] = s.person(name)
	}
	return people
}

// person returns who did something by a name. A local user may have become a
// principal since.
func (s State) person(name string) string {
	if user, local := strings.CutPrefix(name, localPrefix); local {
		return s.ByUser(user).Name
	}
	return name
}

// Approvers returns who has given some approvals.
func Approvers(approvals []Approval) []string {
	names := make([]string, len(approvals))
	for i, a := range approvals {
		names[i] = a.By
	}
	return names
}
