package policy

import (
	"fmt"
	"slices"
	"time"
)

// An Explanation is a decision with everything that led to it.
type Explanation struct {
	Place     Place     `json:"place"`
	At        time.Time `json:"at"`
	Class     string    `json:"class"`
	Ambiguous bool      `json:"ambiguous,omitempty"` // rejected: it can be read two ways, of which one is refused
	Matches   []Match   `json:"matches"`             // the one that governs first
	Decision  Decision  `json:"decision"`
	// Override says why flags restrict more than the entry that governs; "" if
	// they don't.
	Override string `json:"override,omitempty"`
	// Flags are the flags that the app gets, by name.
	Flags map[string]Value `json:"flags,omitempty"`
	// Next is when the decision may change by the schedules, zero if never.
	Next time.Time `json:"next,omitzero"`
}

// A Match is an entry that matches the place, and what became of it.
type Match struct {
	Entry  Code      `json:"entry"`
	Name   string    `json:"name"`
	How    string    `json:"how"`
	Phase  Phase     `json:"phase"`
	Since  time.Time `json:"since,omitzero"`
	Routes []string  `json:"routes,omitempty"`
	// Because are the demands that the entry is the answer to, also those
	// that may not be disclosed: an explanation is for operators.
	Because []string `json:"because,omitempty"`
	Wins    bool     `json:"wins"`
	Why     string   `json:"why"`
}

// Explain decides as Decide does, but says which entries matched and why one
// of them won.
func (s *Snapshot) Explain(place Place, method, host, path string) Explanation {
	decision, inDoubt := s.DecideReadings(place, s.Classify(method, host, path))
	class := Class(slices.Index(s.policy.classes, decision.Class))
	x := Explanation{
		Place:     place,
		At:        s.at,
		Class:     s.policy.classes[class],
		Ambiguous: inDoubt,
		Decision:  *decision,
	}
	place = s.normalize(place)
	matches := s.policy.appendMatches(nil, place)
	for _, m := range matches {
		x.Matches = append(x.Matches, s.explainMatch(m, matches[0], place, class, x.Decision))
		if m.rank == matches[0].rank {
			x.addNextStep(m.entry, class, s.at)
		}
	}
	if hidden := s.policy.rules[Anonymous]; hidden != nil && place.Anonymous {
		m := match{hidden, ByAnonymity, 0}
		x.Matches = append(x.Matches, s.explainMatch(m, m, place, class, x.Decision))
		x.addNextStep(hidden, class, s.at)
	}
	s.explainBindings(&x, place, class)
	s.explainUntold(&x, place, class)
	x.Override = s.policy.formatOverride(x.Decision)
	for _, flag := range s.FlagsToApp(x.Decision.Jurisdiction) {
		if x.Flags == nil {
			x.Flags = make(map[string]Value)
		}
		x.Flags[flag.Name] = flag.Value
	}
	for i, m := range x.Matches {
		if m.Wins {
			copy(x.Matches[1:i+1], x.Matches[:i])
			x.Matches[0] = m
		}
	}
	return x
}

// explainBindings adds what demands make of the place that bind it by any of its
// codes: what governs there counts here, too.
func (s *Snapshot) explainBindings(x *Explanation, place Place, class Class) {
	governed := *s.market(place, class).plain[class] == x.Decision
	for _, b := range s.policy.bindings {
		if !b.Concerns(x.Class) {
			continue
		}
		for _, code := range b.binds(place) {
			if !s.policy.isInForceAt(b, code, s.at) && b.Disclosed() {
				x.addNext(b.InForce)
			}
			governing, _ := mostSpecific(s.policy.appendMatches(nil, PlaceOf(code)))
			for _, m := range governing {
				x.addNextStep(m.entry, class, s.at)
				if s.policy.isInForceAt(b, code, s.at) {
					s.explainBinding(x, b, code, m, place, class, governed)
				}
			}
		}
	}
}

// explainUntold adds the entry of a part, where it isn't known whether a client is
// there and it withholds.
func (s *Snapshot) explainUntold(x *Explanation, place Place, class Class) {
	d := x.Decision
	if d.Reason != ByUnknownPart {
		return
	}
	m := match{entry: s.policy.rules[d.Entry], reason: ByUnknownPart}
	match := s.explainMatch(m, m, place, class, d)
	match.How = fmt.Sprintf("the part of %s isn't known", place.Jurisdiction())
	match.Why = "withholds where the part isn't known"
	x.Matches = append(slices.DeleteFunc(x.Matches, func(known Match) bool { return known.Entry == d.Entry }), match)
}

func (s *Snapshot) explainBinding(x *Explanation, b binding, code Code, m match, place Place, class Class, governed bool) {
	i := slices.IndexFunc(x.Matches, func(known Match) bool { return known.Entry == m.entry.code })
	if i < 0 {
		i = len(x.Matches)
		x.Matches = append(x.Matches, s.explainMatch(m, m, place, class, x.Decision))
		x.Matches[i].How = fmt.Sprintf("%s is in %s, which %s binds", place.Jurisdiction(), code, b.demand)
	}
	if x.Matches[i].Wins && !governed {
		x.Matches[i].Why = fmt.Sprintf("%s binds all that is in %s", b.demand, code)
	}
}

// formatOverride says why flags restrict more than an entry.
func (p *Policy) formatOverride(d Decision) string {
	switch f, _ := p.Flag(d.Flag); {
	case d.Reason == ByGuarantee && d.Since.IsZero():
		return fmt.Sprintf("%s is below its guarantee (%s)", d.Flag, f.Guarantee)
	case d.Reason == ByGuarantee:
		return fmt.Sprintf("%s was below its guarantee (%s) at %s, and nobody has acknowledged it", d.Flag, f.Guarantee, d.Since.Format(time.RFC3339))
	case d.Reason == ByFlag:
		return fmt.Sprintf("the flag %s restricts further", d.Flag)
	}
	return ""
}

// addNextStep takes the next step of an entry that the decision depends on into
// account.
func (x *Explanation) addNextStep(e *Rule, class Class, at time.Time) {
	x.addNext(e.nextStep(e.StepsOf(class), at))
}

func (x *Explanation) addNext(next time.Time) {
	if !next.IsZero() && (x.Next.IsZero() || next.Before(x.Next)) {
		x.Next = next
	}
}

// normalize returns a place as Decide sees it: without a country that is none,
// and without subdivisions of another one.
func (s *Snapshot) normalize(place Place) Place {
	switch {
	case place.Private:
		return Place{Private: true, Anonymous: place.Anonymous}
	case s.country(place.Country).market == nil:
		return Place{Anonymous: place.Anonymous}
	case place.Subdivisions[0] == place.Subdivisions[1]:
		place.Subdivisions[1] = ""
	}
	for i, code := range place.Subdivisions {
		if country, ok := countryOf(code); !ok || country != place.Country {
			place.Subdivisions[i] = ""
		}
	}
	return place
}

// explainMatch says what became of a match, first being the most specific one.
func (s *Snapshot) explainMatch(m, first match, place Place, class Class, d Decision) Match {
	step, began, routes := s.stepOf(d.Jurisdiction, m.entry, class)
	x := Match{
		Entry:   m.entry.code,
		Name:    Name(m.entry.code),
		How:     s.policy.describeMatch(m, place),
		Phase:   step.Phase,
		Since:   began.Since,
		Routes:  routes,
		Because: m.entry.because,
		Wins:    m.entry.code == d.Entry,
	}
	own := s.policy.decideBy(d.Jurisdiction, m, class, s.at)
	switch {
	case x.Wins && m.reason == ByAnonymity:
		x.Why = "applies besides, and is more restrictive"
	case x.Wins && m.reason == ByGroup:
		x.Why = "the most restrictive of the most specific"
	case x.Wins:
		x.Why = "the most specific"
	case m.reason == ByAnonymity:
		x.Why = "applies besides, but is not more restrictive"
	case m.rank != first.rank:
		x.Why = fmt.Sprintf("%s is more specific", first.entry.code)
	case own.restriction() < d.restriction():
		x.Why = fmt.Sprintf("%s is more restrictive", d.Entry)
	default:
		x.Why = fmt.Sprintf("%s restricts as much", d.Entry)
	}
	if !m.entry.AppliesTo(class) {
		x.Why += fmt.Sprintf("; isn't about the class %s", d.Class)
	}
	return x
}

// stepOf returns what an entry gives a class at a place now, with the features that it is
// about if it isn't about the whole service; and of a class that it isn't about,
// what it gives them.
func (s *Snapshot) stepOf(place Code, e *Rule, class Class) (step Step, began Beginning, routes []string) {
	step = e.stepAt(e.StepsOf(class), s.at)
	began = s.policy.beginning(place, e, e.timelineOf(s.policy.classes[class]), e.StepsOf(class), s.at)
	only, ok := s.policy.onlyFeature(e)
	switch {
	case ok:
		return e.stepAt(only.Steps, s.at), s.policy.beginning(place, e, only.Routes[0], only.Steps, s.at), only.Routes
	case step.Phase > e.stepAt(e.steps, s.at).Phase:
		routes = []string{s.policy.classes[class]}
	}
	return step, began, routes
}

// describeMatch says in which way an entry matches a place.
func (p *Policy) describeMatch(m match, place Place) string {
	switch m.reason {
	case ByTerritory:
		return fmt.Sprintf("%s is a territory of %s", place.Country, m.entry.code)
	case ByGroup:
		kind := "the operator's"
		if p.groups[m.entry.code].builtIn {
			kind = "the built-in"
		}
		return fmt.Sprintf("a member of %s group %s", kind, m.entry.code)
	case ByAnonymity:
		return "hides where it is"
	}
	switch m.rank {
	case secondLevel:
		return "second-level subdivision"
	case firstLevel:
		return "first-level subdivision"
	case anywhere:
		return "what no other entry names"
	}
	if isPseudo(m.entry.code) {
		return "not in any country"
	}
	return "country"
}
