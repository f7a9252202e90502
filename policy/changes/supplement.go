package changes

import "github.com/exitgate/exitgate/policy"

// A Supplement is what of a State isn't in its JSON, as earlier versions refuse what they
// don't know there. Without it a State is right, and says less.
type Supplement struct {
	// Began is since when what the policy in force gives is so; nil if that isn't known.
	Began *policy.Began `json:"began,omitempty"`
	// Bases are what changes were planned against that wait on top of another revision.
	Bases map[uint64][]byte `json:"bases,omitempty"`
	// Undisclosed are names of demands that may not be disclosed, and that no policy in
	// the State has any more.
	Undisclosed []string `json:"undisclosed,omitempty"`
	// Cuts are those that are recorded.
	Cuts []recordedCut `json:"cuts,omitempty"`
}

// Supplement returns the State's.
func (s State) Supplement() Supplement {
	more := Supplement{Undisclosed: s.forgottenUndisclosed(), Cuts: s.cuts}
	if s.inUse != nil {
		more.Began = s.inUse.Began()
	}
	for _, c := range s.saved.Changes {
		if c.base == nil || c.Ended != 0 {
			continue
		}
		if more.Bases == nil {
			more.Bases = make(map[uint64][]byte)
		}
		more.Bases[c.Number] = c.base
	}
	return more
}

// supplement adds what the JSON doesn't have.
func (s *State) supplement(more Supplement) {
	if s.inUse != nil {
		s.inUse = s.inUse.WithBegan(more.Began)
	}
	for i, c := range s.saved.Changes {
		s.saved.Changes[i].base = more.Bases[c.Number]
	}
	s.rebase(0, nil)
	s.cuts = more.Cuts
	s.undisclosed = more.Undisclosed
	for _, p := range s.policies() {
		s.addUndisclosed(p)
	}
}
