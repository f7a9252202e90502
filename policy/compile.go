package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// Compile makes the snapshot of a policy and of its flags' values that holds at
// a moment, and from then on until its Until. Flags only ever restrict: where
// one is below its guarantee the service is withdrawn, whatever the policy
// says.
func Compile(p *Policy, flags Flags, at time.Time) *Snapshot {
	apart := p.DistinctSubdivisions(flags)
	markets := 2 // unlocated and private
	for range iso3166.Countries() {
		markets++
	}
	for _, subdivisions := range apart {
		markets += len(subdivisions)
	}
	markets += len(p.parents)
	untold := p.WithheldParts()
	markets += len(untold)
	decisions := markets * len(p.classes)
	if p.HasEntry(Anonymous) {
		decisions *= 2
	}

	c := compiler{
		policy:    p,
		flags:     flags,
		at:        at,
		decisions: make([]Decision, 0, decisions),
		pointers:  make([]*Decision, 0, 2*decisions),
		markets:   make([]market, 0, markets),
	}
	s := &Snapshot{
		policy:    p,
		flags:     flags,
		at:        at,
		until:     earliest(p.NextStep(at), p.nextStage(at)),
		unlocated: c.addMarket(Unlocated, Place{}),
		private:   c.addMarket(Private, Place{Private: true}),
	}
	for info := range iso3166.Countries() {
		code := Code(info.Code)
		if i, ok := slot(code); ok {
			s.countries[i] = c.addCountry(code, apart[code])
		}
	}
	c.setUntold(s, untold)
	s.decisions = c.decisions
	s.setFloors()
	c.setRefusals(s, untold)
	return s
}

// NextStep returns when any entry's phase changes after a moment, or a demand
// comes into force, zero if never.
func (p *Policy) NextStep(at time.Time) time.Time {
	return p.nextStepOf(at, func(binding) bool { return true })
}

// NextStep returns when something is next to change, zero if never: as Until, but for the
// dates of demands that may not be disclosed. These change nothing for anybody, as what
// they require is withdrawn by then.
func (s *Snapshot) NextStep() time.Time {
	return s.policy.nextStepOf(s.at, func(b binding) bool { return b.Disclosed() })
}

func (p *Policy) nextStepOf(at time.Time, counts func(binding) bool) time.Time {
	var first time.Time
	for _, b := range p.bindings {
		isToCome := func(code Code) bool { return !p.isInForceAt(b, code, at) }
		if counts(b) && (first.IsZero() || b.InForce.Before(first)) && slices.ContainsFunc(b.codes, isToCome) {
			first = b.InForce
		}
	}
	for _, e := range p.rules {
		for _, steps := range e.Timelines() {
			first = earliest(first, e.nextStep(steps, at))
		}
	}
	return first
}

// nextStage returns when next a demand that is suspended comes to another stage by itself,
// as that ends or as it comes into force afterwards, which is said of it also where nothing
// else comes of it; zero if never.
func (p *Policy) nextStage(at time.Time) (first time.Time) {
	for _, d := range p.demands {
		until := d.SuspendedUntil()
		if until.IsZero() {
			continue
		}
		for _, date := range [...]time.Time{until, d.ownDate()} {
			if date.After(at) && !date.Before(until) {
				first = earliest(first, date)
			}
		}
	}
	return first
}

// findDistinct returns, by country, the subdivisions that the policy
// distinguishes, sorted: the named ones, the members of groups with an entry, those
// with flags of their own, and those that get what they get since another moment, or
// have come further or less far than what they lie in.
func (p *Policy) findDistinct() map[Code][]Code {
	apart := make(map[Code][]Code)
	tell := func(code Code) {
		code = located(code)
		if country, ok := countryOf(code); ok && !slices.Contains(apart[country], code) {
			apart[country] = append(apart[country], code)
		}
	}
	for code := range p.rules {
		tell(code)
	}
	for code := range p.rulesOf {
		if country, _ := countryOf(code); p.HasEntry(country) || p.territoryOf[country] != nil {
			continue // more specific than any group
		}
		tell(code)
	}
	for _, code := range slices.Concat(p.withFlags, p.began.subdivisions(), p.partsApart()) {
		tell(code)
	}
	for _, codes := range apart {
		slices.Sort(codes)
	}
	return apart
}

// DistinctSubdivisions returns the subdivisions that the policy distinguishes,
// and those that a breach withholds: it outlives a policy that tells them apart
// no longer.
func (p *Policy) DistinctSubdivisions(flags Flags) map[Code][]Code {
	apart := p.distinct
	for code, settings := range flags {
		country, ok := countryOf(code)
		if !ok || len(settings.Breached) == 0 || slices.Contains(apart[country], code) {
			continue
		}
		apart = maps.Clone(apart) // the policy's own is shared
		apart[country] = append(slices.Clip(apart[country]), code)
	}
	return apart
}

// countryOf returns the country of an ISO 3166-2 code, which is two letters, a
// hyphen and up to three letters or digits. No group has such a name.
func countryOf(code Code) (Code, bool) {
	code = located(code)
	if len(code) < len("GB-E") || len(code) > len("GB-ENG") || code[2] != '-' {
		return "", false
	}
	return code[:2], true
}

// A compiler makes the decisions of one snapshot. It carves them, and the
// tables that point at them, out of a few large allocations: a snapshot is
// made and dropped as a whole.
type compiler struct {
	policy    *Policy
	flags     Flags
	at        time.Time
	decisions []Decision
	pointers  []*Decision
	markets   []market
	matches   []match
}

// addCountry makes the markets of a country and of its subdivisions.
func (c *compiler) addCountry(code Code, subdivisions []Code) country {
	found := country{market: c.addMarket(code, Place{Country: code})}
	if subdivisions == nil {
		return found
	}
	found.subdivisions = make(map[Code]*market, len(subdivisions))
	for _, sub := range subdivisions {
		m := c.addMarket(sub, Place{Country: code, Subdivisions: [2]Code{sub}})
		if parent, ok := c.policy.parents[sub]; ok {
			m.parent, m.nested = parent, c.addMarket(sub, Place{Country: code, Subdivisions: [2]Code{parent, sub}})
		}
		found.subdivisions[sub] = m
	}
	return found
}

// addMarket makes all decisions for a place.
func (c *compiler) addMarket(jurisdiction Code, place Place) *market {
	c.matches = c.policy.appendMatches(c.matches[:0], place)
	c.markets = append(c.markets, market{jurisdiction: jurisdiction, plain: c.newTable()})
	m := &c.markets[len(c.markets)-1]
	if len(c.matches) > 0 {
		m.rank = c.matches[0].rank
	}
	settings := c.flags.In(jurisdiction)
	breach := c.policy.breachIn(settings)
	m.withheld = breach.flag != ""
	restrict := func(d Decision) Decision {
		if settings.Phase == Open && !m.withheld {
			return d
		}
		return c.policy.withhold(breach, c.policy.restrict(settings.Phase, d))
	}
	for class := range m.plain {
		m.plain[class] = c.addDecision(restrict(c.policy.decide(jurisdiction, c.matches, Class(class), c.at)))
	}
	c.setRefused(m)
	m.anonymous = m.plain
	if hidden := c.policy.rules[Anonymous]; hidden != nil {
		m.anonymous = c.newTable()
		for class, plain := range m.plain {
			besides := restrict(c.policy.decideBy(jurisdiction, match{hidden, ByAnonymity, 0}, Class(class), c.at))
			if Stricter(plain, &besides) == plain {
				m.anonymous[class] = plain
			} else {
				m.anonymous[class] = c.addDecision(besides)
			}
		}
	}
	return m
}

// newTable returns an empty table of decisions by class.
func (c *compiler) newTable() []*Decision {
	start, end := len(c.pointers), len(c.pointers)+len(c.policy.classes)
	c.pointers = c.pointers[:end]
	return c.pointers[start:end:end]
}

func (c *compiler) addDecision(d Decision) *Decision {
	d.ID = len(c.decisions)
	c.decisions = append(c.decisions, d)
	return &c.decisions[d.ID]
}
