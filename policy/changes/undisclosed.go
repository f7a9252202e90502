package changes

import (
	"slices"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/plan"
)

// Undisclosed returns the names of demands that may not be disclosed, sorted: those of
// the policy in force, of changes that wait, and of all that were before, unless they
// may be disclosed by now. Who isn't [Counsel] is to learn of none.
func (s State) Undisclosed() []string { return slices.Clone(s.undisclosed) }

// noteUndisclosed adds the demands of a policy that may not be disclosed. Of one that
// comes into force, those that may be are taken out.
func (s *State) noteUndisclosed(p *policy.Policy, inForce bool) {
	for name, d := range p.Demands() {
		switch i, known := slices.BinarySearch(s.undisclosed, name); {
		case known && d.Disclosed() && inForce:
			s.undisclosed = slices.Delete(slices.Clone(s.undisclosed), i, i+1)
		case !known && !d.Disclosed():
			s.undisclosed = slices.Insert(slices.Clone(s.undisclosed), i, name)
		}
	}
}

// reviewUndisclosed notes the demands of the policy in force, and of changes that wait:
// what one of these would no longer disclose isn't, meanwhile.
func (s *State) reviewUndisclosed() {
	for _, p := range slices.Backward(s.policies()) { // the one in force first
		s.noteUndisclosed(p, p == s.inUse)
	}
}

// forgottenUndisclosed returns those that no policy in the State names.
func (s State) forgottenUndisclosed() (forgotten []string) {
	if s.undisclosed == nil {
		return nil
	}
	policies := s.policies()
	for _, name := range s.undisclosed {
		named := func(p *policy.Policy) bool { d, ok := p.Demands()[name]; return ok && !d.Disclosed() }
		if !slices.ContainsFunc(policies, named) {
			forgotten = append(forgotten, name)
		}
	}
	return forgotten
}

// policies returns those of changes that wait, and the one in force last.
func (s State) policies() (all []*policy.Policy) {
	for _, c := range s.saved.Changes {
		if c.Ended == 0 {
			if p, err := s.parsers.Recorded(c.Policy); err == nil { // it was valid
				all = append(all, p)
			}
		}
	}
	if s.inUse != nil {
		all = append(all, s.inUse)
	}
	return all
}

// CheckKnown returns what somebody is told who proposes a stage of a demand that they may
// not know of: the same as of one that there isn't.
func (s State) CheckKnown(by Actor, p Proposal) error {
	if p.Stage == nil || slices.Contains(by.Roles, Counsel) || !slices.Contains(s.undisclosed, p.Stage.Demand) {
		return nil
	}
	_, err := edited(nil, edit.ErrUnknownDemand)
	return err
}

// CheckMayKnow returns why somebody can't plan or do what a plan says, by which the
// policy after comes into force: they would change demands, or approve changes of some,
// that they may not know of.
func (s State) CheckMayKnow(by Actor, planned plan.Plan, after *policy.Policy) error {
	if slices.Contains(by.Roles, Counsel) {
		return nil
	}
	for _, a := range planned.Amendments {
		if a.Section != "demands" {
			continue
		}
		if d, there := after.Demands()[a.Name]; slices.Contains(s.undisclosed, a.Name) || there && !d.Disclosed() {
			return refuse(Forbidden, "ask somebody who has the role counsel", "this changes more than %s may know of", by.Name)
		}
	}
	return nil
}
