package changes

import (
	"reflect"
	"slices"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/plan"
)

// Undisclosed returns the names of demands that may not be disclosed, sorted: those of
// the policy in force, of changes that wait, and of all that were before, unless they
// may be disclosed by now. Who isn't [Counsel] is to learn of none.
func (s State) Undisclosed() []string { return slices.Clone(s.undisclosed) }

// addUndisclosed adds the demands of a policy that may not be disclosed.
func (s *State) addUndisclosed(p *policy.Policy) {
	for name, d := range p.Demands() {
		if i, known := slices.BinarySearch(s.undisclosed, name); !known && !d.Disclosed() {
			s.undisclosed = slices.Insert(slices.Clone(s.undisclosed), i, name)
		}
	}
}

// reviseUndisclosed adds what a revision doesn't disclose, and takes out what it does:
// demands that may be disclosed by it, and that it changes. That they stand in a policy as
// before is no word on what somebody has proposed meanwhile.
func (s *State) reviseUndisclosed(before, after *policy.Policy) {
	var was map[string]policy.Demand
	if before != nil {
		was = before.Demands()
	}
	is, known := after.Demands(), len(s.undisclosed)
	s.undisclosed = slices.DeleteFunc(slices.Clone(s.undisclosed), func(name string) bool {
		d, there := is[name]
		return there && d.Disclosed() && !reflect.DeepEqual(was[name], d)
	})
	if len(s.undisclosed) == known {
		s.addUndisclosed(after)
		return
	}
	for _, p := range s.policies() { // a change that waits may be another one's word
		s.addUndisclosed(p)
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

// CheckDemandKnown returns what somebody is told who proposes a stage of a demand that they may
// not know of: the same as of one that there isn't.
func (s State) CheckDemandKnown(by Actor, p Proposal) error {
	if p.Stage == nil || p.Stage.Check() != nil || slices.Contains(by.Roles, Counsel) || !slices.Contains(s.undisclosed, p.Stage.Demand) {
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
