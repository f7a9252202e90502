package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// A Move is a change of what jurisdictions get, from a moment on. Essential
// requests are served everywhere, and left out.
type Move struct {
	Effect Effect    `json:"effect"`
	From   time.Time `json:"from,omitzero"`  // with the offset that the policy writes it with, if it does; zero: at once
	Until  time.Time `json:"until,omitzero"` // zero: for good
	Before Treatment `json:"before"`         // by the policy in use, in that time
	After  Treatment `json:"after"`
	Routes []string  `json:"routes,omitempty"` // only these classes
	// UnknownPart: only clients of whom no subdivision of the jurisdictions is known
	// that the policies speak of.
	UnknownPart   bool          `json:"unknown-part,omitempty"`
	Jurisdictions []policy.Code `json:"jurisdictions"`
	// Zone is that in which dates are given in the first of these, if a notice says it.
	Zone string `json:"zone,omitempty"`
}

// A Treatment is what a place gets of a route class: a phase, or one that only
// is observed, so that nobody is refused because of it.
type Treatment struct {
	Phase    policy.Phase
	Observed bool
}

const observed = " (observed)"

func (s Treatment) String() string {
	if s.Observed {
		return s.Phase.String() + observed
	}
	return s.Phase.String()
}

// MarshalText writes "withdrawn", or "withdrawn (observed)".
func (s Treatment) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Treatment) UnmarshalText(text []byte) error {
	phase, found := strings.CutSuffix(string(text), observed)
	s.Observed = found
	return s.Phase.UnmarshalText([]byte(phase))
}

// Refuses reports whether requests of a route class are refused.
func (s Treatment) Refuses(class string) bool { return !s.Observed && s.Phase.Refuses(class) }

// effect is what it does to put another treatment in the place of this one.
func (s Treatment) effect(after Treatment) Effect {
	refusing := !s.Observed && s.Phase >= policy.ClosedToNew
	switch {
	case s == after:
		return ""
	case after.Phase < s.Phase, refusing && after.Observed:
		return OpensMarket
	}
	return WithdrawsMarket
}

// A projection is what a policy makes of places, with the flags as they are.
type projection struct {
	policy   *policy.Policy
	classes  []string // of the policy
	flags    policy.Flags
	distinct map[policy.Code][]policy.Code
	withheld map[policy.Code][]policy.Code // see policy.WithheldParts
}

func newProjection(p *policy.Policy, flags policy.Flags) *projection {
	return &projection{p, p.Classes(), flags, p.DistinctSubdivisions(flags), p.WithheldParts()}
}

// An outcome is what a policy makes of one place.
type outcome struct {
	policy       *policy.Policy
	jurisdiction policy.Code    // as the policy tells it apart
	governing    []*policy.Rule // none for what is open
	phase        policy.Phase   // by the flag
	breached     bool
}

// outcome returns what the policy makes of a jurisdiction, or of the entry
// anonymous.
func (f *projection) outcome(code policy.Code) outcome {
	c := outcome{policy: f.policy, jurisdiction: code}
	if code == policy.Anonymous {
		if rule := f.policy.Rule(code); rule != nil {
			c.governing = []*policy.Rule{rule}
		}
		return c
	}
	place := f.distinctPlace(policy.PlaceOf(code))
	c.jurisdiction = place.Jurisdiction()
	c.governing = f.policy.Governing(place)
	settings := f.flags.In(c.jurisdiction)
	c.phase, c.breached = settings.Phase, f.policy.Breaches(settings)
	return c
}

// unknownPart returns what the policy makes of clients in a place of whom no more
// is known, and who may be in some part of it: the strictest of what it makes of the
// place and of the parts that it withholds from them.
func (f *projection) unknownPart(code policy.Code) outcome {
	o := f.outcome(code)
	o.governing = slices.Clone(o.governing)
	for _, part := range f.withheld[code] {
		other := f.outcome(part)
		o.governing = append(o.governing, f.policy.GoverningIfIn(part, code)...)
		o.phase, o.breached = max(o.phase, other.phase), o.breached || other.breached
	}
	return o
}

// partlyKnown returns the places of which either policy withholds a part from those
// who may be elsewhere in it, sorted.
func (p *Plan) partlyKnown() []policy.Code { return allKeys(p.before.withheld, p.after.withheld) }

// distinctPlace returns a place as far as the policy tells it apart.
func (f *projection) distinctPlace(place policy.Place) policy.Place {
	for _, code := range [...]policy.Code{place.Subdivisions[1], place.Subdivisions[0]} {
		if code != "" && slices.Contains(f.distinct[place.Country], code) {
			return policy.PlaceOf(code)
		}
	}
	place.Subdivisions = [2]policy.Code{}
	return place
}

// isFlagged reports whether a flag restricts the place now.
func (c outcome) isFlagged() bool { return c.phase != policy.Open || c.breached }

// unflagged returns what becomes of the place once no flag restricts it.
func (c outcome) unflagged() outcome {
	c.phase, c.breached = policy.Open, false
	return c
}

// A timeline is what a place gets of one route class over time.
type timeline struct {
	outcome
	steps []policy.Step // ascending in time and restriction
}

// timeline returns what becomes of a route class. As time only restricts, of
// several entries that is whichever has come furthest.
func (c outcome) timeline(class string) timeline {
	p := timeline{outcome: c}
	if class == policy.Essential {
		return timeline{outcome: outcome{policy: c.policy}} // always open
	}
	var steps []policy.Step
	for _, rule := range c.governing {
		all := rule.StepsOf(c.policy.Class(class))
		taken := rule.TakenOf(all, time.Time{}) // whatever the moment
		for _, step := range taken {
			steps = append(steps, policy.Step{Phase: step.Phase})
		}
		steps = append(steps, all[len(taken):]...)
	}
	slices.SortStableFunc(steps, func(a, b policy.Step) int { return a.From.Compare(b.From) })
	furthest := policy.Open
	for _, step := range steps {
		if step.Phase > furthest {
			furthest = step.Phase
			p.steps = append(p.steps, step)
		}
	}
	return p
}

// at returns what the place gets at a moment.
func (p timeline) at(t time.Time) Treatment {
	if p.breached {
		return Treatment{Phase: policy.Withdrawn}
	}
	phase := p.phase
	for _, step := range p.steps {
		if !step.From.After(t) {
			phase = max(phase, step.Phase)
		}
	}
	return Treatment{phase, p.policy.Mode() == policy.Observe && phase >= policy.ClosedToNew}
}

// times are the moment and all later ones at which a timeline takes a step.
func times(at time.Time, timelines ...timeline) []time.Time {
	all := []time.Time{at}
	for _, p := range timelines {
		for _, step := range p.steps {
			if step.From.After(at) {
				all = append(all, step.From.UTC())
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// jurisdictions are all that either policy distinguishes, sorted.
func (p *Plan) jurisdictions() []policy.Code {
	all := []policy.Code{policy.Unlocated, policy.Private, policy.Anonymous}
	for info := range iso3166.Countries() {
		code := policy.Code(info.Code)
		all = append(all, code)
		all = append(all, p.before.distinct[code]...)
		all = append(all, p.after.distinct[code]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// classes are the route classes of either policy that have requests, but for
// the essential one, Other first.
func (p *Plan) classes() []string {
	var names []string
	for _, of := range []*projection{p.before, p.after} {
		for _, name := range of.classes {
			hasRequests := of.classes[of.policy.Class(name)] == name
			if hasRequests && name != policy.Essential && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names[1:])
	return names
}

// An interval is a time in which two treatments differ.
type interval struct {
	from, until   time.Time
	before, after Treatment
}

// A moveKey is a move of one jurisdiction: moves with the same key are one.
type moveKey struct {
	interval
	routes      string // joined; "": all
	unknownPart bool
}

// compare finds all moves, and puts alike ones together.
func (p *Plan) compare() {
	keys := make(map[policy.Code]map[moveKey]bool)
	p.hidden = make(map[Effect][]policy.Code)
	classes := p.classes()
	all := p.jurisdictions()
	for _, code := range all {
		keys[code] = p.movesOf(code, p.before.outcome(code), p.after.outcome(code), classes)
	}
	index := make(map[moveKey]int)
	add := func(s moveKey, code policy.Code) {
		i, known := index[s]
		if !known {
			i = len(p.Moves)
			index[s] = i
			p.Moves = append(p.Moves, s.move())
		}
		p.Moves[i].Jurisdictions = append(p.Moves[i].Jurisdictions, code)
	}
	for _, code := range all {
		if parent := p.parentOf(code); parent != "" {
			if maps.Equal(keys[code], keys[parent]) {
				continue // moves along
			}
			p.Exceptions = append(p.Exceptions, code)
		}
		for s := range keys[code] {
			add(s, code)
		}
	}
	for _, code := range p.partlyKnown() {
		own := p.movesOf(code, p.before.unknownPart(code), p.after.unknownPart(code), classes)
		around := code
		if keys[code] == nil {
			around = p.parentOf(code)
		}
		if maps.Equal(own, keys[around]) {
			continue // moves along
		}
		p.UnknownParts = append(p.UnknownParts, code)
		for s := range own {
			s.unknownPart = true
			add(s, code)
		}
	}
	for i, m := range p.Moves {
		if !m.From.IsZero() {
			p.setDate(&p.Moves[i], m.Jurisdictions[0])
		}
	}
	slices.SortFunc(p.Moves, func(a, b Move) int {
		return cmp.Or(a.From.Compare(b.From), byGravity(a.Effect, b.Effect),
			cmp.Compare(a.After.String(), b.After.String()), cmp.Compare(a.Before.String(), b.Before.String()),
			slices.Compare(a.Routes, b.Routes), a.Until.Compare(b.Until), compareBool(a.UnknownPart, b.UnknownPart))
	})
}

// setDate writes a move's date as the policy does that has it.
func (p *Plan) setDate(m *Move, code policy.Code) {
	for _, by := range []*policy.Policy{p.before.policy, p.after.policy} {
		if written := by.Written(code, m.From); written.Location() != time.UTC {
			m.From = written
		}
	}
	m.Zone = p.after.policy.NoticeZone(code)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// movesOf returns the moves of one jurisdiction, or of those in it of whom no more
// is known.
func (p *Plan) movesOf(code policy.Code, before, after outcome, classes []string) map[moveKey]bool {
	classesOf := make(map[interval][]string)
	for _, class := range classes {
		for _, s := range differingIntervals(p.At, before.timeline(class), after.timeline(class)) {
			classesOf[s] = append(classesOf[s], class)
		}
	}
	keys := make(map[moveKey]bool, len(classesOf))
	for s, some := range classesOf {
		if len(some) == len(classes) {
			some = nil
		}
		keys[moveKey{interval: s, routes: strings.Join(some, " ")}] = true
	}
	if before.isFlagged() || after.isFlagged() {
		p.addHidden(code, before.unflagged(), after.unflagged(), classes, classesOf)
	}
	return keys
}

// addHidden adds what moves as soon as the flags let it: one that restricts is
// taken back by its source, and no policy is asked then.
func (p *Plan) addHidden(code policy.Code, before, after outcome, classes []string, shown map[interval][]string) {
	effects := make(map[Effect]bool)
	for _, class := range classes {
		for _, s := range differingIntervals(p.At, before.timeline(class), after.timeline(class)) {
			effects[s.effect()] = true
		}
	}
	for s := range shown {
		delete(effects, s.effect())
	}
	for effect := range effects {
		p.hidden[effect] = append(p.hidden[effect], code)
	}
}

func (s interval) effect() Effect { return s.before.effect(s.after) }

func (s moveKey) move() Move {
	m := Move{Effect: s.effect(), From: s.from, Until: s.until, Before: s.before, After: s.after, UnknownPart: s.unknownPart}
	if s.routes != "" {
		m.Routes = strings.Split(s.routes, " ")
	}
	return m
}

// parentOf returns what a subdivision lies in: the smallest that either policy
// distinguishes. It is "" for all that isn't a subdivision.
func (p *Plan) parentOf(code policy.Code) policy.Code {
	place := policy.PlaceOf(code)
	parent := place.Subdivisions[0]
	switch {
	case parent == "":
		return ""
	case parent != code && (slices.Contains(p.before.distinct[place.Country], parent) || slices.Contains(p.after.distinct[place.Country], parent)):
		return parent
	}
	return place.Country
}

// Jurisdictions returns those that the plan is about, sorted: of its moves, with the
// subdivisions that move along, and of the entries that it amends.
func (p Plan) Jurisdictions() []policy.Code {
	about := make(map[policy.Code]bool)
	for _, m := range p.Moves {
		for _, code := range m.Jurisdictions {
			about[code] = true
		}
	}
	exceptions := make(map[policy.Code]bool, len(p.Exceptions))
	for _, code := range p.Exceptions {
		exceptions[code] = true
	}
	for _, code := range p.jurisdictions() {
		in := code
		for !exceptions[in] && p.parentOf(in) != "" {
			in = p.parentOf(in)
		}
		if about[in] {
			about[code] = true
		}
	}
	for _, a := range p.Amendments {
		if a.Section == "jurisdictions" {
			about[policy.Code(a.Name)] = true
		}
	}
	return slices.Sorted(maps.Keys(about))
}

// differingIntervals returns when two timelines differ, from a moment on.
func differingIntervals(now time.Time, before, after timeline) []interval {
	var found []interval
	open := false // whether the last one goes on
	for _, at := range times(now, before, after) {
		from := at
		if at.Equal(now) {
			from = time.Time{}
		}
		was, is := before.at(at), after.at(at)
		if open {
			last := &found[len(found)-1]
			if last.before == was && last.after == is {
				continue
			}
			last.until = from
		}
		if open = was != is; open {
			found = append(found, interval{from: from, before: was, after: is})
		}
	}
	return found
}
