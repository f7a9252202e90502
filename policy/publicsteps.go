package policy

import (
	"slices"
	"time"
)

// publicStepsOf returns those steps of a class that the public may know of at a
// moment: while the whole service, or a feature, gets nothing but open, what will
// become of it isn't public; from its first step on that gives it something else,
// all of its steps are. Whatever tells clients what is to come goes by this.
func (r *Rule) publicStepsOf(class Class, at time.Time) []Step {
	whole := r.publicSteps(r.steps, at)
	if r.features == nil {
		return whole
	}
	feature := r.publicSteps(r.features[class], at)
	if len(whole) == len(r.steps) && len(feature) == len(r.features[class]) {
		return r.byClass[class]
	}
	return mergeSteps(whole, feature)
}

// publicSteps returns those of some of the rule's steps that are public.
func (r *Rule) publicSteps(steps []Step, at time.Time) []Step {
	if r.stepAt(steps, at).Phase > Open {
		return steps
	}
	return r.TakenOf(steps, at)
}

// LongestFreshness is for how long a response may be given out by caches without
// asking again, while anything is refused anywhere, or is going to be by a step that
// is public: as long as one may be withdrawn from a market of which nobody could
// know.
//
// It is the same for all responses and doesn't depend on what isn't public: an
// order that must be kept secret shows neither by it being there nor by its length.
const LongestFreshness = 24 * time.Hour

// LongestFreshness returns for how long any response may be given out by caches
// without asking again; zero if that is left to the app, as nothing is refused and
// it isn't public that anything will be.
func (s *Snapshot) LongestFreshness() time.Duration {
	for _, at := range s.anywhere {
		if at != 0 {
			return LongestFreshness
		}
	}
	return 0
}

// PublicMarkets returns what the public may know of Markets: of what is open, nothing
// of what will become of it; and an entry by which all is open only where what
// surrounds it isn't, as that there is one tells that something may be planned.
func (s *Snapshot) PublicMarkets() []Market {
	var public []Market
	for _, m := range s.Markets() {
		rule := s.policy.rules[m.Jurisdiction]
		isPublic := rule != nil && rule.stepAt(rule.steps, s.at).Phase > Open
		switch {
		case m.Reason == ByGuarantee || m.Reason == ByFlag:
			if !isPublic { // the entry has no part in it
				m.Next, m.Because = nil, nil
			}
		case m.Phase == Open:
			m.Since, m.Sunset, m.Next = time.Time{}, time.Time{}, nil
		}
		m.Features = slices.DeleteFunc(m.Features, func(f MarketFeature) bool { return f.Phase == Open })
		if m.Phase == Open && len(m.Features) == 0 {
			m.Because = nil
			if rule == nil || !s.opens(rule) {
				continue
			}
		}
		public = append(public, m)
	}
	return public
}

// opens reports whether a rule by which all is open governs anywhere where something
// would be restricted without it.
func (s *Snapshot) opens(rule *Rule) bool {
	if rule.code == Anonymous || rule.code == Default {
		return false
	}
	for _, code := range append(s.policy.Reaches(rule.code), rule.code) {
		governing, others := mostSpecific(s.policy.appendMatches(nil, PlaceOf(code)))
		if len(governing) != 1 || governing[0].entry != rule {
			continue
		}
		around, _ := mostSpecific(others)
		if slices.ContainsFunc(around, func(m match) bool { return m.entry.restrictsAt(s.at) }) {
			return true
		}
	}
	return false
}
