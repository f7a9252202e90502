package policy

import (
	"slices"
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
	at, until time.Time
	decisions []Decision

	countries          map[Code]country
	unlocated, private *market
}

// A country is the market of a country, and those of its subdivisions that the
// policy tells apart from it.
type country struct {
	market       *market
	subdivisions map[Code]*market
}

// A market is one place that the policy tells apart, with its decisions by
// class: the plain ones, and those for clients that hide where they are.
type market struct {
	jurisdiction Code
	// named: the policy has an entry for this very place, so that nothing
	// less specific matters. A subdivision that isn't named is told apart
	// only as a member of groups.
	named            bool
	plain, anonymous []*Decision
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

// Classify finds the class of a request: its method, its host in lower case
// and without port, and its path exactly as it is forwarded, percent-encoding
// included. A path that an app could also read as one of another class is
// ambiguous; no decision should be made on it.
func (s *Snapshot) Classify(method, host, path string) (class Class, ambiguous bool) {
	return s.policy.routes.Classify(method, host, path)
}

// Decide returns what a request of a class from a place gets. It is a look-up
// that allocates nothing.
func (s *Snapshot) Decide(place Place, class Class) *Decision {
	if place.Private {
		return s.private.decide(place, class)
	}
	country, known := s.countries[place.Country]
	if !known {
		return s.unlocated.decide(place, class)
	}
	if country.subdivisions == nil {
		return country.market.decide(place, class)
	}
	fine, coarse := country.subdivisions[place.Subdivisions[1]], country.subdivisions[place.Subdivisions[0]]
	switch {
	case fine == nil && coarse == nil:
		return country.market.decide(place, class)
	case coarse == nil || fine != nil && fine.named:
		return fine.decide(place, class)
	case fine == nil || coarse.named:
		return coarse.decide(place, class)
	}
	return stricter(fine.decide(place, class), coarse.decide(place, class))
}

func (m *market) decide(place Place, class Class) *Decision {
	if place.Anonymous {
		return m.anonymous[class]
	}
	return m.plain[class]
}

// stricter returns the more restrictive of two decisions on one class, the
// first if they restrict alike.
func stricter(a, b *Decision) *Decision {
	if b.restriction() > a.restriction() {
		return b
	}
	return a
}

// restriction orders decisions on one class: what is refused is more
// restricted than what is not, and then the phases say.
func (d *Decision) restriction() int {
	if d.Action == Forward {
		return int(d.Phase)
	}
	return int(Withdrawn) + 1 + int(d.Phase)
}

// A Market is what a snapshot says of one entry of the policy, for people and
// dashboards.
type Market struct {
	Jurisdiction Code      `json:"jurisdiction"`
	Name         string    `json:"name"`
	Phase        Phase     `json:"phase"`
	Routes       []string  `json:"routes,omitempty"`  // only these classes
	Reaches      []Code    `json:"reaches,omitempty"` // members of a group, territories of a country
	Since        time.Time `json:"since,omitzero"`
	Sunset       time.Time `json:"sunset,omitzero"`
	Next         []Step    `json:"next,omitempty"` // the steps still to come
}

// Markets returns what the snapshot says of each entry of the policy, sorted
// by jurisdiction.
func (s *Snapshot) Markets() []Market {
	markets := make([]Market, 0, len(s.policy.entries))
	for _, code := range s.policy.Jurisdictions() {
		e := s.policy.entries[code]
		now := e.at(s.at)
		m := Market{
			Jurisdiction: code,
			Name:         Name(code),
			Phase:        now.Phase,
			Routes:       s.policy.featureNames(e),
			Reaches:      s.policy.Reaches(code),
			Since:        now.From,
			Sunset:       e.sunset(),
		}
		for _, step := range e.steps {
			if step.From.After(s.at) {
				m.Next = append(m.Next, step)
			}
		}
		markets = append(markets, m)
	}
	return markets
}

// A Change is a place that gets something else by one snapshot than by another.
type Change struct {
	Jurisdiction  Code
	Before, After string // "withdrawn", or "open (news withdrawn)"
}

// Changes returns what one snapshot, which may be nil, and the next one do
// differently, by place, sorted.
func Changes(before, after *Snapshot) []Change {
	old, new := before.summary(), after.summary()
	var changes []Change
	for code, now := range new {
		was, told := old[code]
		if !told { // then as its country was
			was = old[code[:2]]
		}
		if was == "" {
			was = Open.String()
		}
		if was != now {
			changes = append(changes, Change{code, was, now})
		}
	}
	for code, was := range old {
		if _, told := new[code]; !told && was != new[code[:2]] {
			changes = append(changes, Change{code, was, new[code[:2]]})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		if a.Jurisdiction < b.Jurisdiction {
			return -1
		}
		return 1
	})
	return changes
}

// summary says in words what each place that the snapshot tells apart gets.
func (s *Snapshot) summary() map[Code]string {
	if s == nil {
		return nil
	}
	words := map[Code]string{
		Unlocated: s.summarize(s.unlocated.plain),
		Private:   s.summarize(s.private.plain),
		Anonymous: s.summarize(s.unlocated.anonymous),
	}
	for code, country := range s.countries {
		words[code] = s.summarize(country.market.plain)
		for code, m := range country.subdivisions {
			words[code] = s.summarize(m.plain)
		}
	}
	return words
}

func (s *Snapshot) summarize(decisions []*Decision) string {
	whole := decisions[routes.None].Phase
	words, open := whole.String(), true
	for _, d := range decisions {
		if d.Phase == whole {
			continue
		}
		if open {
			words += " ("
			open = false
		} else {
			words += ", "
		}
		words += d.Class + " " + d.Phase.String()
	}
	if !open {
		words += ")"
	}
	return words
}
