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
	// entry that governs it: it was reached by another one before. "US unknown-part" are those
	// in the United States of whom no part is known.
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
		for code, parts := range p.WithheldParts() {
			p.addUnknownPart(b, before, code, parts, at)
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
	if before.began.ofPlace(code) == nil && sameEntry(matches, earlier) {
		return // it has had what the entry has given
	}
	found, differs := p.beginnings(b, before,
		func(class Class) Decision { return p.decide(code, matches, class, at) },
		func(class Class) Decision { return before.decide(code, earlier, class, at) })
	if differs {
		b.addPlace(code, found)
	}
}

// addUnknownPart adds it for those in a place of whom no part is known, while parts are
// withheld from them, too.
func (p *Policy) addUnknownPart(b *Began, before *Policy, code Code, parts []Code, at time.Time) {
	earlier := before.WithheldParts()[code]
	found, _ := p.beginnings(b, before,
		func(class Class) Decision { return p.decideUnknownPart(code, parts, class, at) },
		func(class Class) Decision { return before.decideUnknownPart(code, earlier, class, at) })
	b.addPlace(code.unknownPart(), found)
}

func (b *Began) addPlace(code Code, found map[string]Beginning) {
	if len(found) == 0 {
		return
	}
	if b.Places == nil {
		b.Places = make(map[Code]map[string]Beginning)
	}
	b.Places[code] = found
}

// decideUnknownPart decides for those in a place who may be in some parts of it: as the
// strictest of these, and of the place. What was reached by steps that only the place has
// taken is left out.
func (p *Policy) decideUnknownPart(code Code, parts []Code, class Class, at time.Time) Decision {
	strictest := p.decide(code, p.appendMatches(nil, PlaceOf(code)), class, at)
	for _, part := range parts {
		d := p.decide(part, p.appendMatches(nil, PlaceOf(part)), class, at)
		p.asUnknownPart(&d, code)
		strictest = *Stricter(&strictest, &d)
	}
	return strictest
}

// asUnknownPart makes of a decision on a part of a place one for those who may be there:
// since when they get it may be later.
func (p *Policy) asUnknownPart(d *Decision, of Code) {
	known, ok := p.began.ofPlace(of.unknownPart())[p.timelineBy(*d)]
	if !ok {
		return
	}
	if !d.Since.After(p.began.At) {
		d.Since = known.Since
	}
	if !d.Announced.After(p.began.At) {
		d.Announced = known.Announced
	}
}

// beginnings returns since when what is decided now is so, by what was decided before, by
// timeline; and whether it differs from since when the entries have given it.
func (p *Policy) beginnings(b *Began, before *Policy, now, was func(Class) Decision) (found map[string]Beginning, differs bool) {
	found = make(map[string]Beginning)
	for i, class := range p.classes {
		d := now(Class(i))
		if d.Phase == Open || p.rules[d.Entry] == nil {
			continue
		}
		earlier := was(Class(max(0, slices.Index(before.classes, class))))
		is := Beginning{earlier.Since, earlier.Announced}
		if earlier.Phase != d.Phase {
			is.Since = b.At
		}
		if earlier.Phase == Open {
			is.Announced = b.At
		}
		timeline := p.timelineBy(d)
		if last, ok := found[timeline]; ok { // of the whole service it is so since it is of all of it
			is = Beginning{later(is.Since, last.Since), later(is.Announced, last.Announced)}
		}
		found[timeline] = is
		differs = differs || is != b.Entries[d.Entry][timeline]
	}
	return found, differs
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// unknownPart returns what stands in Began.Places for those in a place of whom no part is
// known.
func (code Code) unknownPart() Code { return code + " unknown-part" }

// sameEntry reports whether one entry alone governs by two lists of matches, the same.
func sameEntry(a, b []match) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	a, _ = mostSpecific(a)
	b, _ = mostSpecific(b)
	return len(a) == 1 && len(b) == 1 && a[0].entry.code == b[0].entry.code
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

// timelineBy returns the name of the timeline that a decision goes by, "" for that of the
// whole service.
func (p *Policy) timelineBy(d Decision) string {
	if r := p.rules[d.Entry]; r != nil {
		return r.timelineOf(d.Class)
	}
	return ""
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
