package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// Began is since when what a policy gives has been so, by the records that it came
// by: a date that a document gives may be long past when it is written down. It is
// immutable. As JSON it can be kept.
type Began struct {
	At time.Time `json:"at"` // when the policy came into force; of steps from then on their dates are right
	// Entries are by entry, and in it by class; "" is the whole service.
	Entries map[Code]map[string]Beginning `json:"entries"`
	// Places are, in the same way, those of a place for which it is otherwise than for the
	// entry that governs it: it was reached by another one before.
	Places map[Code]map[string]Beginning `json:"places,omitempty"`
}

// A Beginning is since when something is so, zero if that isn't known.
type Beginning struct {
	Since     time.Time `json:"since,omitzero"`     // the phase that it is
	Announced time.Time `json:"announced,omitzero"` // any but open
}

// WithBegan returns the policy with since when what it gives is so, nil for no more
// than its dates say.
func (p *Policy) WithBegan(b *Began) *Policy {
	next := *p
	next.began = b
	next.distinguish()
	return &next
}

// Began returns what WithBegan was given.
func (p *Policy) Began() *Began { return p.began }

// BeganAt returns since when what the policy gives is so, as it takes the place of
// another one at a moment. What was so before goes on. Of the first policy, before
// which there is none, nothing is known but its dates.
func (p *Policy) BeganAt(before *Policy, at time.Time) *Began {
	b := &Began{At: at.UTC(), Entries: make(map[Code]map[string]Beginning, len(p.rules))}
	for code, r := range p.rules {
		entry := make(map[string]Beginning)
		b.Entries[code] = entry
		p.eachTimeline(r, func(class string, steps []Step) {
			now := r.stepAt(steps, at)
			if now.Phase == Open {
				return
			}
			if before == nil {
				entry[class] = Beginning{now.From, reachedAt(steps, Announced)}
				return
			}
			was, beginning := before.gave(code, class, at)
			if was != now.Phase {
				beginning.Since = b.At
			}
			if was == Open {
				beginning.Announced = b.At
			}
			entry[class] = beginning
		})
	}
	if before != nil {
		for _, place := range p.placesWith(slices.Concat(slices.Collect(maps.Values(before.distinct))...)...) {
			p.addPlace(b, before, place, at)
		}
	}
	return b
}

// placesWith returns the places that the policy distinguishes, and some subdivisions more.
func (p *Policy) placesWith(more ...Code) []Place {
	places := []Place{{}, {Private: true}}
	for info := range iso3166.Countries() {
		places = append(places, PlaceOf(Code(info.Code)))
	}
	seen := make(map[Code]bool)
	add := func(codes []Code) {
		for _, code := range codes {
			if !seen[code] {
				seen[code] = true
				places = append(places, PlaceOf(code))
			}
		}
	}
	for _, codes := range p.distinct {
		add(codes)
	}
	add(more)
	return places
}

// addPlace adds since when a place gets what it gets, where that isn't since when the
// entry that governs there has given it.
func (p *Policy) addPlace(b *Began, before *Policy, place Place, at time.Time) {
	code := place.Jurisdiction()
	matches, earlier := p.appendMatches(nil, place), before.appendMatches(nil, place)
	if before.began.ofPlace(code) == nil && sameEntries(matches, earlier) {
		return // it has had what the entry has given
	}
	for i, class := range p.classes {
		now := p.decide(code, matches, Class(i), at)
		rule := p.rules[now.Entry]
		if now.Phase == Open || rule == nil {
			continue
		}
		was := before.decide(code, earlier, Class(max(0, slices.Index(before.classes, class))), at)
		is := Beginning{was.Since, was.Announced}
		if was.Phase != now.Phase {
			is.Since = b.At
		}
		if was.Phase == Open {
			is.Announced = b.At
		}
		timeline := rule.timelineOf(class)
		if is == b.Entries[now.Entry][timeline] {
			continue
		}
		if b.Places == nil {
			b.Places = make(map[Code]map[string]Beginning)
		}
		if b.Places[code] == nil {
			b.Places[code] = make(map[string]Beginning)
		}
		b.Places[code][timeline] = is
	}
}

// sameEntries reports whether the same entries govern by two lists of matches.
func sameEntries(a, b []match) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	a, _ = mostSpecific(a)
	b, _ = mostSpecific(b)
	return slices.EqualFunc(a, b, func(a, b match) bool { return a.entry.code == b.entry.code })
}

// subdivisions returns those of which something is known by themselves.
func (b *Began) subdivisions() (codes []Code) {
	if b == nil {
		return nil
	}
	for code := range b.Places {
		if _, is := countryOf(code); is {
			codes = append(codes, code)
		}
	}
	return codes
}

// ofPlace returns what is known of a place by itself, nil for nothing.
func (b *Began) ofPlace(code Code) map[string]Beginning {
	if b == nil {
		return nil
	}
	return b.Places[code]
}

// eachTimeline calls a function for what the rule gives the whole service, and where
// it speaks of features for each class.
func (p *Policy) eachTimeline(r *Rule, do func(class string, steps []Step)) {
	do("", r.steps)
	if r.features == nil {
		return
	}
	for class, name := range p.classes {
		do(name, r.StepsOf(Class(class)))
	}
}

// timelineOf returns the name of the timeline that a class has: "" for that of the
// whole service.
func (r *Rule) timelineOf(class string) string {
	if r.features == nil {
		return ""
	}
	return class
}

// gave returns what the policy gave by an entry at a moment, and since when. Where it
// has no such entry it is what the place got.
func (p *Policy) gave(code Code, class string, at time.Time) (Phase, Beginning) {
	i := Class(max(0, slices.Index(p.classes, class)))
	if r := p.rules[code]; r != nil {
		steps := r.steps
		if class != "" {
			steps = r.StepsOf(i)
		}
		return r.stepAt(steps, at).Phase, p.beginning("", r, class, steps, at)
	}
	if isPseudo(code) || !isPlace(string(code)) {
		return Open, Beginning{}
	}
	d := p.decide(code, p.appendMatches(nil, PlaceOf(code)), i, at)
	return d.Phase, Beginning{d.Since, d.Announced}
}

// beginning returns since when what the rule gives a class at a moment is so, for a place,
// or with "" by the rule itself.
func (p *Policy) beginning(place Code, r *Rule, class string, steps []Step, at time.Time) Beginning {
	now := r.stepAt(steps, at)
	b := Beginning{now.From, reachedAt(steps, Announced)}
	if p.began == nil || now.Phase == Open {
		return b
	}
	entry := p.began.Entries[r.code]
	known, ok := p.began.Places[place][class]
	if !ok {
		known, ok = entry[class]
	}
	if !ok {
		known = entry[""]
	}
	if !now.From.After(p.began.At) {
		b.Since = known.Since
	}
	if !b.Announced.After(p.began.At) {
		b.Announced = known.Announced
	}
	return b
}

// sunset returns when the service is, or was, withdrawn, by steps whose last began as
// is said; zero if no date is known.
func (p *Policy) sunset(r *Rule, steps []Step, at time.Time, b Beginning) time.Time {
	if r.stepAt(steps, at).Phase == Withdrawn && !reachedAt(steps, Withdrawn).IsZero() {
		return b.Since
	}
	return reachedAt(steps, Withdrawn)
}
