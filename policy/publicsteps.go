package policy

import "time"

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
