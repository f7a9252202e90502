package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy/routes"
)

// A Class is a route class, as Classify finds it and Decide takes it.
type Class = routes.Class

// A Snapshot is a policy compiled for an interval of time: every decision it
// can come to is made, only the look-up remains. It is immutable and safe for
// concurrent use.
type Snapshot struct {
	policy    *Policy
	flags     Flags
	at, until time.Time
	decisions []Decision

	countries          [26 * 26]country // by slot
	unlocated, private *market
	nowhere            country

	// When those are refused who hide where they are, and anybody at all.
	hiding, anywhere moments
}

// A country is the market of a country, and those of its subdivisions that the
// policy distinguishes from it. The market is nil where ISO 3166-1 has no
// country.
type country struct {
	market       *market
	subdivisions map[Code]*market
	// What the whole gets at least by the demands that bind it, and what
	// subdivisions get that are bound by a demand of theirs or of what they lie
	// in. Those needn't be distinguished.
	floor  floor
	floors map[Code]floor
	// What those get at least of whom it isn't known where in a place they are,
	// and which subdivisions there are to be known.
	untold map[Code]floor
	known  map[Code]bool

	refusals refusals
}

// A market is one place that the policy distinguishes, with its decisions by
// class: the plain ones, and those for clients that hide where they are.
type market struct {
	jurisdiction Code
	// rank of the entry that governs: firstLevel for a subdivision that the
	// policy names, whichever its level. The others are distinguished only as
	// members of groups.
	rank rank
	// withheld says that a flag is below its guarantee.
	withheld bool
	// nested is the market of a second-level subdivision within the one that
	// ISO 3166-2 has it in. The rest is for one that stands by itself.
	parent           Code
	nested           *market
	plain, anonymous []*Decision
	// When it is refused what; and when anybody is in it, by whatever reading.
	refused, anybody moments
}

// slot is a country's index, by its letters.
func slot(code Code) (i int, ok bool) {
	if len(code) != 2 {
		return 0, false
	}
	first, second := code[0]-'A', code[1]-'A'
	return int(first)*26 + int(second), first < 26 && second < 26
}

// country returns the zero country for a code that isn't one.
func (s *Snapshot) country(code Code) *country {
	if i, ok := slot(code); ok {
		return &s.countries[i]
	}
	return &s.nowhere
}

// Policy returns what the snapshot was compiled from.
func (s *Snapshot) Policy() *Policy { return s.policy }

// At returns the moment that the snapshot was compiled for.
func (s *Snapshot) At() time.Time { return s.at }

// Until returns the moment from which the snapshot no longer holds, as some
// schedule has its next step then; zero if it holds for good.
func (s *Snapshot) Until() time.Time { return s.until }

// Decisions returns every decision that the snapshot can come to, by ID. It is
// shared: don't change it.
func (s *Snapshot) Decisions() []Decision { return s.decisions }

// Classes returns how many route classes there are: each Class below is one.
func (s *Snapshot) Classes() int { return len(s.policy.classes) }

// Readings are the classes that a request may be read as, as Classify finds
// them and DecideReadings takes them.
type Readings = routes.Readings

// Classify finds the classes that a request may be read as: by its method, its
// host in lower case and without port, and its path exactly as it is forwarded,
// percent-encoding included.
func (s *Snapshot) Classify(method, host, path string) Readings {
	if method != "GET" && method != "HEAD" && isEssentialFile(path) {
		return s.ClassifyOther(method, host, path)
	}
	return s.policy.routes.Classify(method, host, path)
}

// ClassifyOther is Classify for a request that asks for more than a file: it is essential
// only where the policy says so. What is always essential are files; an app that goes by
// more than the path could run something else for one, as for /robots.txt?route=signup.
func (s *Snapshot) ClassifyOther(method, host, path string) Readings {
	return s.policy.saidRoutes.Classify(method, host, path)
}

// Decide returns what a request of a class from a place gets. It is a look-up
// that allocates nothing.
func (s *Snapshot) Decide(place Place, class Class) *Decision {
	m := s.market(place, class)
	d := m.plain[class]
	if place.Anonymous {
		d = m.anonymous[class]
	}
	if c := s.country(place.Country); c.hasFloor() && !place.Private {
		return c.raise(d, place, class)
	}
	return d
}

// DecideReadings returns what a request from a place gets that may be read as
// any of some classes: the strictest of what they get. It is in doubt where some
// of them would be refused and others not: then it should be rejected.
func (s *Snapshot) DecideReadings(place Place, r Readings) (d *Decision, inDoubt bool) {
	d = s.Decide(place, r.Class)
	if r.AreOne() {
		return d, false
	}
	for class := range Class(len(s.policy.classes)) {
		if r.Include(class) {
			other := s.Decide(place, class)
			inDoubt = inDoubt || (other.Action == Refuse) != (d.Action == Refuse)
			d = Stricter(d, other)
		}
	}
	return d, inDoubt
}

// market returns the market that governs a class of requests from a place.
func (s *Snapshot) market(place Place, class Class) *market {
	country := s.country(place.Country)
	switch {
	case place.Private:
		return s.private
	case country.market == nil:
		return s.unlocated
	case country.subdivisions == nil:
		return country.market
	}
	fine := country.subdivisions[place.Subdivisions[1]]
	if fine != nil && fine.nested != nil && fine.parent == place.Subdivisions[0] {
		return fine.nested
	}
	coarse := country.subdivisions[place.Subdivisions[0]]
	switch {
	case fine == nil && coarse == nil:
		return country.market
	case fine != nil && fine.withheld:
		return fine
	case coarse != nil && coarse.withheld:
		return coarse
	case coarse == nil || fine != nil && (fine.rank == firstLevel || fine.rank < coarse.rank):
		return fine
	case fine == nil || coarse.rank < fine.rank:
		return coarse
	case Stricter(fine.plain[class], coarse.plain[class]) == coarse.plain[class]: // groups of the same kind
		return coarse
	}
	return fine
}

// Stricter returns the more restrictive of two decisions of one snapshot on one
// class, the first if they restrict alike.
func Stricter(a, b *Decision) *Decision {
	if b.restriction() > a.restriction() {
		return b
	}
	return a
}

// restriction orders decisions on one class: what is refused is more
// restricted than what only would be, that more than what is not, and then the
// phases say.
func (d *Decision) restriction() int {
	const phases = int(Withdrawn) + 1
	switch d.Action {
	case Refuse:
		return 2*phases + int(d.Phase)
	case WouldRefuse:
		return phases + int(d.Phase)
	}
	return int(d.Phase)
}

// A Market is what a snapshot says of one entry of the policy, or of a place that
// gets more than that, for people and dashboards.
type Market struct {
	Jurisdiction Code      `json:"jurisdiction"`
	Name         string    `json:"name"`
	Phase        Phase     `json:"phase"`
	Reason       Reason    `json:"reason"`
	Routes       []string  `json:"routes,omitempty"`  // only these classes; all else is open
	Reaches      []Code    `json:"reaches,omitempty"` // members of a group, territories of a country
	Since        time.Time `json:"since,omitzero"`
	Sunset       time.Time `json:"sunset,omitzero"`
	Next         []Step    `json:"next,omitempty"`    // the steps still to come
	Because      []Demand  `json:"because,omitempty"` // those that may be disclosed
	Zone         string    `json:"zone,omitempty"`    // the time zone there, as public texts give dates
	// Features are those that get more than Phase, beside the whole service, or will.
	Features []MarketFeature `json:"features,omitempty"`
}

// A MarketFeature is what some features of a Market get alike.
type MarketFeature struct {
	Routes []string  `json:"routes"`
	Phase  Phase     `json:"phase"`
	Since  time.Time `json:"since,omitzero"`
	Sunset time.Time `json:"sunset,omitzero"`
	Next   []Step    `json:"next,omitempty"`
}

// Markets returns what the snapshot says of each entry of the policy, and of
// each place that flags restrict further, or that has come further than all others that
// its entry governs, sorted by jurisdiction.
func (s *Snapshot) Markets() []Market {
	markets := make([]Market, 0, len(s.policy.rules))
	for _, code := range s.policy.Jurisdictions() {
		m := s.marketBy(code, s.policy.rules[code])
		m.Reaches = s.policy.Reaches(code)
		markets = append(markets, m)
	}
	for place, rule := range s.policy.furtherThanEntries(s.at) {
		i, named := slices.BinarySearchFunc(markets, place, func(m Market, code Code) int { return cmp.Compare(m.Jurisdiction, code) })
		if !named {
			markets = slices.Insert(markets, i, s.marketBy(place, rule))
		}
	}
	for _, d := range s.decisions {
		if d.Class != Other || d.Reason != ByGuarantee && d.Reason != ByFlag {
			continue
		}
		restricted := Market{Jurisdiction: d.Jurisdiction, Name: Name(d.Jurisdiction), Phase: d.Phase, Reason: d.Reason, Since: d.Since}
		i, named := slices.BinarySearchFunc(markets, d.Jurisdiction, func(m Market, code Code) int { return cmp.Compare(m.Jurisdiction, code) })
		if named {
			restricted.Next, restricted.Because = markets[i].Next, markets[i].Because
			markets[i] = restricted
		} else {
			markets = slices.Insert(markets, i, restricted)
		}
	}
	return markets
}

// marketBy returns what is said of an entry, or of a place by the entry that governs there.
func (s *Snapshot) marketBy(code Code, e *Rule) Market {
	place := code
	if e.code == code {
		place = ""
	}
	steps, routes, features := e.steps, []string(nil), s.policy.Features(e)
	if only, ok := s.policy.onlyFeature(e); ok {
		steps, routes, features = only.Steps, only.Routes, nil
	}
	now, timeline := e.stepAt(steps, s.at), ""
	if routes != nil {
		timeline = routes[0]
	}
	began := s.policy.beginning(place, e, timeline, steps, s.at)
	m := Market{
		Jurisdiction: code,
		Name:         Name(code),
		Phase:        now.Phase,
		Reason:       reasonOf(e.code, s.policy),
		Routes:       routes,
		Since:        began.Since,
		Sunset:       s.policy.sunset(e, steps, s.at, began),
		Next:         e.stepsAfter(steps, s.at),
		Because:      s.policy.disclosed(e.code, s.at),
		Zone:         cmp.Or(s.policy.Notice(Decision{Jurisdiction: code, Entry: e.code}).Zone, ZoneOf(code)),
	}
	for _, f := range features {
		began, phase := s.policy.beginning(place, e, f.Routes[0], f.Steps, s.at), e.stepAt(f.Steps, s.at).Phase
		next := stepsBeyond(e.stepsAfter(f.Steps, s.at), max(phase, m.Phase), m.Next)
		if phase <= m.Phase && len(next) == 0 {
			continue // the stricter counts, which is what the whole service gets
		}
		feature := MarketFeature{f.Routes, phase, began.Since, s.policy.sunset(e, f.Steps, s.at, began), next}
		if phase <= m.Phase {
			feature.Phase, feature.Since = m.Phase, m.Since
		}
		m.Features = append(m.Features, feature)
	}
	return m
}

// stepsAfter returns which of the rule's steps are still to come.
func (r *Rule) stepsAfter(steps []Step, at time.Time) []Step {
	if next := steps[len(r.TakenOf(steps, at)):]; len(next) > 0 {
		return next
	}
	return nil
}

// reasonOf is the reason of the decisions by an entry.
func reasonOf(code Code, p *Policy) Reason {
	switch {
	case p.isGroup(code):
		return ByGroup
	case code == Anonymous:
		return ByAnonymity
	case code == Default:
		return ByDefault
	}
	return ByEntry
}

// A Difference is a place that gets something else by one snapshot than by
// another.
type Difference struct {
	Jurisdiction  Code
	Before, After string // "withdrawn", or "open (news withdrawn)"
}

// Differences returns what one snapshot, which may be nil, and the next one do
// differently, by place, sorted. Before the first one, everything was open.
func Differences(before, after *Snapshot) []Difference {
	was, is := before.describeAll(), after.describeAll()
	var changes []Difference
	compare := func(code Code) {
		if c := (Difference{code, descriptionFor(code, was), descriptionFor(code, is)}); c.Before != c.After {
			changes = append(changes, c)
		}
	}
	for code := range is {
		compare(code)
	}
	for code := range was {
		if _, both := is[code]; !both {
			compare(code)
		}
	}
	slices.SortFunc(changes, func(a, b Difference) int { return cmp.Compare(a.Jurisdiction, b.Jurisdiction) })
	return changes
}

// FormatDifferences returns which jurisdictions go from which phase to which, as
// "open → withdrawn: DE, FR".
func FormatDifferences(changes []Difference) []string {
	places := make(map[string][]string)
	for _, c := range changes {
		step := c.Before + " → " + c.After
		places[step] = append(places[step], string(c.Jurisdiction))
	}
	lines := make([]string, 0, len(places))
	for step, codes := range places {
		lines = append(lines, step+": "+strings.Join(codes, ", "))
	}
	slices.Sort(lines)
	return lines
}

// descriptionFor returns what is said of a place, or of the one that it lies in.
func descriptionFor(code Code, words map[Code]string) string {
	for ; code != ""; code = partOf(code) {
		if said, ok := words[code]; ok {
			return said
		}
	}
	return Open.String()
}

// describeAll says what each place that the snapshot distinguishes gets, and what
// anonymous adds to that.
func (s *Snapshot) describeAll() map[Code]string {
	if s == nil {
		return nil
	}
	words := make(map[Code]string)
	say := func(m *market) {
		if m != nil {
			words[m.jurisdiction] = s.describe(func(class Class) Phase { return m.plain[class].Phase })
		}
	}
	say(s.unlocated)
	say(s.private)
	for _, country := range s.countries {
		say(country.market)
		for _, m := range country.subdivisions {
			say(cmp.Or(m.nested, m)) // where there are both, it is nearly always the first
		}
	}
	if e := s.policy.rules[Anonymous]; e != nil {
		words[Anonymous] = s.describe(func(class Class) Phase {
			return s.policy.decideBy(Anonymous, match{entry: e}, class, s.at).Phase
		})
	}
	return words
}

// describe puts phases into words: "open (news withdrawn)".
func (s *Snapshot) describe(phase func(Class) Phase) string {
	whole := phase(routes.None)
	var exceptions []string
	for class, name := range s.policy.classes {
		if p := phase(Class(class)); p != whole {
			exceptions = append(exceptions, name+" "+p.String())
		}
	}
	if exceptions == nil {
		return whole.String()
	}
	return whole.String() + " (" + strings.Join(exceptions, ", ") + ")"
}
