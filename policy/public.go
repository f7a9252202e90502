package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// A PublicMarket is what the public may know of what some places get alike.
type PublicMarket struct {
	// Jurisdiction is the entry that governs there, or the place itself where flags
	// restrict it further; Default for everything that no other market holds for.
	Jurisdiction Code
	// Places are those that it holds for, sorted; none for Default. What is in a
	// country or a subdivision belongs to it, but for what another market holds for.
	Places []Code
	// UnknownParts are the countries and subdivisions of which it holds for those of
	// whom no part is known that they are in, sorted.
	UnknownParts []Code

	Phase  Phase
	Since  time.Time
	Sunset time.Time
	Next   []Step // those of its steps to come that are public
	// Features are those that get more than Phase, or will by a step that is public.
	Features []MarketFeature
	Because  []Demand // those that may be disclosed
	Zone     string   // in which dates are given, "" for that of the jurisdiction
}

// Public returns what the public may know of the markets, sorted by jurisdiction;
// the last is that of Default, which is always there. It follows from what each
// place gets, not from what the policy writes: nothing of it tells whether an entry
// is there by which nothing has changed yet. What only would be refused is open. A
// place that no client can be found in isn't listed, as its clients get what is
// around it; by is what the databases can tell apart.
func (s *Snapshot) Public(by *Capability) []PublicMarket {
	l := publicList{
		snapshot: s, by: by, unenforced: s.Unenforced(by), markets: make(map[string]*PublicMarket),
		rest: s.publicDefault(),
	}
	for info := range iso3166.Countries() {
		l.addCountry(Code(info.Code))
	}
	for _, code := range []Code{Unlocated, Private} {
		l.add(code, s.publicIn(PlaceOf(code)), l.rest)
	}
	if hidden := s.policy.rules[Anonymous]; hidden != nil {
		l.add(Anonymous, s.publicBy(match{hidden, ByAnonymity, 0}), PublicMarket{})
	}
	all := slices.SortedFunc(maps.Values(l.markets), func(a, b *PublicMarket) int {
		return cmp.Or(cmp.Compare(a.Jurisdiction, b.Jurisdiction), slices.Compare(a.Places, b.Places), slices.Compare(a.UnknownParts, b.UnknownParts))
	})
	var public []PublicMarket
	for _, m := range all {
		slices.Sort(m.Places)
		slices.Sort(m.UnknownParts)
		public = append(public, *m)
	}
	return append(public, l.rest)
}

// A publicList gathers places into markets.
type publicList struct {
	snapshot   *Snapshot
	by         *Capability
	unenforced []Code
	markets    map[string]*PublicMarket // by jurisdiction and content
	rest       PublicMarket
}

// add lists a place, if it gets something else than what is around it.
func (l *publicList) add(code Code, gets, around PublicMarket) {
	if gets.content() != around.content() && !slices.Contains(l.unenforced, code) {
		m := l.market(gets)
		m.Places = append(m.Places, code)
	}
}

// addUnknownPart lists those of whom no part is known of the place that they are in.
func (l *publicList) addUnknownPart(code Code, gets, whole PublicMarket) {
	if gets.content() != whole.content() {
		m := l.market(gets)
		m.UnknownParts = append(m.UnknownParts, code)
	}
}

func (l *publicList) market(like PublicMarket) *PublicMarket {
	key := string(like.Jurisdiction) + " " + like.content()
	if l.markets[key] == nil {
		l.markets[key] = &like
	}
	return l.markets[key]
}

// addCountry lists a country, and those of its subdivisions that get something else.
func (l *publicList) addCountry(code Code) {
	country := l.snapshot.country(code)
	apart := l.snapshot.apartIn(country)
	whole := l.addPlace(code, Place{Country: code}, apart, l.rest)
	for _, first := range apart[code] {
		inside := l.addPlace(first, Place{Country: code, Subdivisions: [2]Code{first}}, apart, whole)
		for _, second := range apart[first] {
			l.add(second, l.snapshot.publicIn(PlaceOf(second)), inside)
		}
	}
}

// addPlace lists a country or a first-level subdivision, and returns what those get
// who are known to be in a part of it that nothing is said of.
func (l *publicList) addPlace(code Code, place Place, apart map[Code][]Code, around PublicMarket) PublicMarket {
	unknown := l.snapshot.publicIn(place)
	whole := unknown
	if inside := apart[code]; len(inside) > 0 && l.by.findsPartOf(code) {
		if part := otherPart(code, inside); part != "" {
			whole = l.snapshot.publicIn(PlaceOf(part))
		}
	}
	if _, isPart := countryOf(whole.Jurisdiction); isPart && whole.Jurisdiction != code {
		whole.Jurisdiction = code // all of it gets what a part of it does, as nobody can be told to be elsewhere
	}
	l.add(code, whole, around)
	l.addUnknownPart(code, unknown, whole)
	return whole
}

// findsPartOf reports whether any client can be found to be in a subdivision of a
// country or of a first-level subdivision.
func (c *Capability) findsPartOf(code Code) bool {
	if c == nil {
		return true
	}
	for part := range partsOf(code) {
		if c.Finds(part) {
			return true
		}
	}
	return false
}

// partsOf yields the subdivisions right below a country or a first-level subdivision.
func partsOf(code Code) func(yield func(Code) bool) {
	return func(yield func(Code) bool) {
		for sub := range iso3166.Subdivisions(string(code[:2])) {
			place := PlaceOf(Code(sub.Code))
			if narrowerBy(place) == code && !yield(Code(sub.Code)) {
				return
			}
		}
	}
}

// narrowerBy returns what a subdivision lies in: the first-level subdivision, else
// the country.
func narrowerBy(place Place) Code {
	if place.Subdivisions[1] != "" {
		return place.Subdivisions[0]
	}
	return place.Country
}

// otherPart returns a part of a place that isn't among some of them, "" if there is
// none.
func otherPart(code Code, apart []Code) Code {
	for part := range partsOf(code) {
		if !slices.Contains(apart, part) {
			return part
		}
	}
	return ""
}

// apartIn returns the subdivisions of a country that may get something else, by what
// they lie in, sorted.
func (s *Snapshot) apartIn(c *country) map[Code][]Code {
	apart := make(map[Code][]Code)
	add := func(code Code) {
		for place := PlaceOf(code); place.Subdivisions[0] != ""; place = PlaceOf(code) {
			around := narrowerBy(place)
			if !slices.Contains(apart[around], code) {
				apart[around] = append(apart[around], code)
			}
			code = around
		}
	}
	for code := range c.subdivisions {
		add(code)
	}
	for code := range c.floors {
		add(code)
	}
	for code := range c.untold {
		add(code)
	}
	for _, codes := range apart {
		slices.Sort(codes)
	}
	return apart
}

// publicIn returns what is public of what a place gets.
func (s *Snapshot) publicIn(place Place) PublicMarket {
	return s.public(s.policy.Governing(place), func(class Class) *Decision { return s.Decide(place, class) })
}

// publicBy returns what is public of what an entry gives.
func (s *Snapshot) publicBy(m match) PublicMarket {
	return s.public([]*Rule{m.entry}, func(class Class) *Decision {
		d := s.policy.decideBy(m.entry.code, m, class, s.at)
		return &d
	})
}

// publicDefault returns what is public of what a place gets that no entry is about.
func (s *Snapshot) publicDefault() PublicMarket {
	if rule := s.policy.rules[Default]; rule != nil {
		return s.publicBy(match{rule, ByDefault, anywhere})
	}
	return PublicMarket{Jurisdiction: Default}
}

// public returns what is public of decisions by class. Governing are the entries that
// govern where they hold.
func (s *Snapshot) public(governing []*Rule, decide func(Class) *Decision) PublicMarket {
	whole := decide(0) // of all classes the one that is restricted least
	for class := range s.policy.classes {
		if d := decide(Class(class)); d.Phase < whole.Phase {
			whole = d
		}
	}
	m := PublicMarket{Jurisdiction: whole.about()}
	if s.isPublic(whole) {
		rules := s.publicRules(whole, governing)
		m.Phase, m.Since, m.Sunset, m.Because = whole.Phase, whole.Since, whole.Sunset, s.publicCauses(rules)
		m.Next = s.publicNext(rules, func(r *Rule) []Step { return r.steps })
	}
	for class, name := range s.policy.classes {
		d := decide(Class(class))
		if !s.isPublic(d) || name == Essential {
			continue
		}
		rules := s.publicRules(d, governing)
		next := s.publicNext(rules, func(r *Rule) []Step {
			if r.features == nil {
				return nil
			}
			return r.features[class]
		})
		next = stepsBeyond(next, d.Phase, m.Next)
		if d.Phase <= m.Phase && next == nil {
			continue // it gets what the whole service does, now and later
		}
		if m.Phase == Open && m.Features == nil {
			m.Jurisdiction, m.Because = d.about(), s.publicCauses(rules)
		}
		f := MarketFeature{Routes: []string{name}, Phase: d.Phase, Since: d.Since, Sunset: d.Sunset, Next: next}
		if i := slices.IndexFunc(m.Features, func(other MarketFeature) bool { return other.gets() == f.gets() }); i >= 0 {
			m.Features[i].Routes = append(m.Features[i].Routes, name)
		} else {
			m.Features = append(m.Features, f)
		}
	}
	m.Zone = s.policy.Notice(Decision{Jurisdiction: m.Jurisdiction, Entry: whole.Entry}).Zone
	return m
}

// about returns whose market a decision is of: the entry's that governs, or that of
// the place itself where flags restrict it further.
func (d *Decision) about() Code {
	if d.Reason == ByGuarantee || d.Reason == ByFlag {
		return d.Jurisdiction
	}
	return d.Entry
}

// publicRules returns the entries by which it is public what becomes of what a
// decision is about.
func (s *Snapshot) publicRules(d *Decision, governing []*Rule) []*Rule {
	rule := s.policy.rules[d.Entry]
	switch d.Reason {
	case ByGuarantee, ByFlag:
		if rule == nil || rule.stepAt(rule.steps, s.at).Phase == Open {
			return nil // it has no part in it
		}
		return []*Rule{rule}
	case ByUnknownPart, ByAnonymity:
		return []*Rule{rule}
	}
	return governing
}

// publicCauses returns the demands that entries are because of and that may be
// disclosed.
func (s *Snapshot) publicCauses(rules []*Rule) []Demand {
	var causes []Demand
	for _, rule := range rules {
		causes = append(causes, s.policy.disclosed(rule.code, s.at)...)
	}
	return causes
}

// isPublic reports whether a decision restricts, and not only would if the policy
// did more than observe.
func (s *Snapshot) isPublic(d *Decision) bool {
	return d.Phase > Open && (s.policy.mode != Observe || d.Reason == ByGuarantee)
}

// publicNext returns the steps to come of some rules that are public.
func (s *Snapshot) publicNext(rules []*Rule, of func(*Rule) []Step) []Step {
	var all []Step
	for _, rule := range rules {
		steps := rule.publicSteps(of(rule), s.at)
		all = mergeSteps(all, slices.Clip(rule.stepsAfter(steps, s.at)))
	}
	return all
}

// stepsBeyond returns those of a feature's steps to come that give it more than it gets
// now, or than the whole service does by then; nil if none does.
func stepsBeyond(steps []Step, now Phase, whole []Step) (beyond []Step) {
	for _, step := range steps {
		isWhole := func(other Step) bool { return other.Phase >= step.Phase && !other.From.After(step.From) }
		if step.Phase > now && !slices.ContainsFunc(whole, isWhole) {
			beyond = append(beyond, step)
		}
	}
	return beyond
}

// gets returns what a feature gets, in words for comparing.
func (f MarketFeature) gets() string { return fmt.Sprint(f.Phase, f.Since, f.Sunset, f.Next) }

// content returns what a market says beside where, in words for comparing.
func (m PublicMarket) content() string {
	var b strings.Builder
	fmt.Fprint(&b, m.Phase, m.Since, m.Sunset, m.Next)
	for _, f := range m.Features {
		fmt.Fprint(&b, f.Routes, f.gets())
	}
	fmt.Fprintf(&b, "%+v", m.Because)
	return b.String()
}
