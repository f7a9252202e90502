package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
)

// A world of few places, so that entries often concern them. What the treaties
// and ISO 3166 say of these is written out here again.
var (
	countries    = []string{"FR", "RE", "GP", "DE", "IE", "GB", "GI", "US", "CA", "RU", "UA", "AT", "AL", "BE", "AU"}
	subdivisions = map[string][2][]string{ // first level, second level
		"FR": {{"FR-IDF", "FR-ARA"}, {"FR-75C", "FR-69"}},
		"GB": {{"GB-ENG", "GB-SCT"}, {"GB-LND", "GB-ABE"}},
		"US": {{"US-MS", "US-CA"}, nil},
		"UA": {{"UA-43"}, nil},
	}
	sovereign     = map[string]string{"RE": "FR", "GP": "FR", "NC": "FR", "MQ": "FR", "GI": "GB", "JE": "GB"}
	builtInGroups = map[string][]string{
		"EU":         {"FR", "RE", "GP", "DE", "IE", "AT", "BE", "CY", "IT", "MQ"},
		"NATO":       {"FR", "DE", "GB", "US", "CA", "AL", "BE", "IT", "NO"},
		"Five-Eyes":  {"GB", "US", "CA", "AU", "NZ"},
		"GB-nations": {"GB-ENG", "GB-SCT", "GB-NIR"},
	}
	// What stands for all that no document names, but that groups and countries
	// with territories may bring in.
	unnamed = []policy.Place{{Country: "JP"}, {Country: "CY"}, {Country: "IT"}, {Country: "NO"}, {Country: "NZ"}, {Country: "NC"}, {Country: "MQ"}, {Country: "JE"},
		{Country: "GB", Subdivisions: [2]policy.Code{"GB-NIR"}}}
	ownNames  = []string{"alpha", "beta", "FR-and-more"}
	pseudos   = []string{"unlocated", "private", "anonymous"}
	phases    = []string{"open", "announced", "closed-to-new", "wind-down", "withdrawn"}
	someTimes = []string{"2026-01-01T00:00:00Z", "2026-02-01T00:00:00+02:00", "2026-03-01T12:30:00Z", "2026-04-01T00:00:00.000000001Z", "2026-05-01T00:00:00Z"}
)

// A spec is what a document says, for the generator to write down and for the
// naive reading to read.
type spec struct {
	world   []string // the countries that it is about
	observe bool
	groups  map[string][]string
	routes  []string // classes with patterns
	entries map[string]entry
}

type entry struct {
	steps       []step
	territories bool
	routes      []string // nil: the whole service
}

type step struct {
	from  string // "": from ever on
	phase string
}

// document writes a spec as YAML.
func (s spec) document() string {
	var b strings.Builder
	b.WriteString("version: 1\n")
	if s.observe {
		b.WriteString("mode: observe\n")
	}
	if len(s.groups) > 0 {
		b.WriteString("groups:\n")
		for _, name := range slices.Sorted(maps.Keys(s.groups)) {
			fmt.Fprintf(&b, "  %s: [%s]\n", name, strings.Join(s.groups[name], ", "))
		}
	}
	if len(s.routes) > 0 {
		b.WriteString("routes:\n")
		for _, class := range s.routes {
			fmt.Fprintf(&b, "  %s: [/%s/, %s.example.com/]\n", class, class, class)
		}
	}
	if len(s.entries) > 0 {
		b.WriteString("jurisdictions:\n")
		for _, code := range slices.Sorted(maps.Keys(s.entries)) {
			s.entries[code].write(&b, code)
		}
	}
	return b.String()
}

func (e entry) write(b *strings.Builder, code string) {
	if e.steps[0].from == "" && !e.territories && e.routes == nil {
		fmt.Fprintf(b, "  %s: %s\n", code, e.steps[0].phase)
		return
	}
	fmt.Fprintf(b, "  %s:\n", code)
	if e.territories {
		b.WriteString("    territories: true\n")
	}
	if e.routes != nil {
		fmt.Fprintf(b, "    routes: [%s]\n", strings.Join(e.routes, ", "))
	}
	if e.steps[0].from == "" {
		fmt.Fprintf(b, "    phase: %s\n", e.steps[0].phase)
		return
	}
	b.WriteString("    schedule:\n")
	for _, s := range e.steps {
		fmt.Fprintf(b, "      - {from: %s, phase: %s}\n", s.from, s.phase)
	}
}

// some draws a subset, in the order of all.
func some[T any](t *rapid.T, label string, all []T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(T) bool { return !rapid.Bool().Draw(t, label) })
}

var specs = rapid.Custom(func(t *rapid.T) spec {
	s := spec{observe: rapid.IntRange(0, 9).Draw(t, "mode") == 0, groups: map[string][]string{}, entries: map[string]entry{}}
	s.routes = some(t, "class", []string{"sign-up", "export", "essential", "news"})
	s.world = countries
	if rapid.Bool().Draw(t, "small") { // so that places in each other often meet
		s.world = []string{rapid.SampledFrom([]string{"FR", "GB"}).Draw(t, "world")}
	}
	places := slices.Clone(s.world)
	for _, country := range s.world {
		places = append(places, slices.Concat(subdivisions[country][0], subdivisions[country][1])...)
	}
	for _, name := range some(t, "group", ownNames) {
		s.groups[name] = rapid.SliceOfNDistinct(rapid.SampledFrom(places), 1, 4, rapid.ID).Draw(t, name)
	}
	if len(s.groups) > 1 && rapid.Bool().Draw(t, "by groups") { // which entries for places would hide
		places = nil
	}
	named := slices.Concat(places, slices.Sorted(maps.Keys(s.groups)), slices.Sorted(maps.Keys(builtInGroups)), pseudos)
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(named), 3, 12, rapid.ID).Draw(t, "entries") {
		s.entries[code] = drawEntry(t, code, s.routes)
	}
	return s
})

func drawEntry(t *rapid.T, code string, classes []string) entry {
	var e entry
	if rapid.Bool().Draw(t, "scheduled") {
		count := rapid.IntRange(1, len(phases)).Draw(t, "steps")
		first := rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "phases")[:count]
		when := rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "times")[:count]
		slices.Sort(first)
		slices.Sort(when)
		for i := range count {
			e.steps = append(e.steps, step{someTimes[when[i]], phases[first[i]]})
		}
	} else {
		e.steps = []step{{"", rapid.SampledFrom(phases).Draw(t, "phase")}}
	}
	e.territories = (code == "FR" || code == "GB") && rapid.Bool().Draw(t, "territories")
	limits := append(slices.DeleteFunc(slices.Clone(classes), func(c string) bool { return c == "essential" }), "other")
	if rapid.IntRange(0, 3).Draw(t, "limited") == 0 {
		e.routes = rapid.SliceOfNDistinct(rapid.SampledFrom(limits), 1, -1, rapid.ID).Draw(t, "routes")
	}
	return e
}

// placesOf returns all places in the world of a spec, and what else a database
// may come up with.
func placesOf(world []string) []policy.Place {
	places := []policy.Place{{}, {Country: "JP"}, {Country: "ZZ"}, {Country: "EU"}, {Country: "unlocated"}, {Subdivisions: [2]policy.Code{"US-MS"}}, {Private: true}, {Private: true, Country: "FR"}}
	for _, country := range world {
		levels := subdivisions[country]
		for _, first := range slices.Concat([]string{"", "US-MS", "GB-nations", country + "-XX"}, levels[0], levels[1]) {
			for _, second := range slices.Concat([]string{"", "US-MS", "anonymous"}, levels[0], levels[1]) {
				places = append(places, policy.Place{Country: policy.Code(country), Subdivisions: [2]policy.Code{policy.Code(first), policy.Code(second)}})
			}
		}
	}
	for _, place := range places {
		place.Anonymous = true
		places = append(places, place)
	}
	return places
}

var moments = rapid.Custom(func(t *rapid.T) time.Time {
	near := date(rapid.SampledFrom(someTimes).Draw(t, "near"))
	return near.Add(time.Duration(rapid.SampledFrom([]int64{-1, 0, 1, int64(-time.Hour * 24 * 20), int64(time.Hour * 24 * 20)}).Draw(t, "by")))
})

// requests are method, host and path, and the class that the request has if
// the document has patterns for it.
var requests = map[[3]string]string{
	{"GET", "example.org", "/"}:                                   "other",
	{"GET", "", "/other/"}:                                        "other",
	{"POST", "example.org", "/sign-up/now"}:                       "sign-up",
	{"GET", "export.example.com", "/all"}:                         "export",
	{"GET", "example.org", "/essential/imprint"}:                  "essential",
	{"HEAD", "news.example.com", "/today"}:                        "news",
	{"GET", "news.example.com", "/robots.txt"}:                    "always",
	{"GET", "example.org", "/.well-known/acme-challenge/a-token"}: "always",
}

// A verdict is what the naive reading comes to.
type verdict struct {
	refused bool
	phase   int
}

func (v verdict) stricterThan(other verdict) bool {
	if v.refused != other.refused {
		return v.refused
	}
	return v.phase > other.phase
}

// verdict reads one entry.
func (e entry) verdict(class string, at time.Time) verdict {
	if e.routes != nil && !slices.Contains(e.routes, class) {
		return verdict{}
	}
	phase := "open"
	for _, s := range e.steps {
		if s.from == "" || !date(s.from).After(at) {
			phase = s.phase
		}
	}
	v := verdict{phase: slices.Index(phases, phase)}
	switch phase {
	case "closed-to-new":
		v.refused = class == "sign-up"
	case "wind-down":
		v.refused = class != "export" && class != "essential"
	case "withdrawn":
		v.refused = class != "essential"
	}
	return v
}

// read is the naive reading of a document: the verdict on a request, and the
// names of the entries that come to it.
func (s spec) read(place policy.Place, class string, at time.Time) (best verdict, by []string) {
	if class == "always" {
		class = "essential"
	} else if !slices.Contains(s.routes, class) {
		class = "other"
	}
	for _, level := range s.levels(place) {
		for _, code := range level {
			e, named := s.entries[code]
			if !named {
				continue
			}
			switch v := e.verdict(class, at); {
			case by == nil || v.stricterThan(best):
				best, by = v, []string{code}
			case v == best:
				by = append(by, code)
			}
		}
		if by != nil {
			break
		}
	}
	if by == nil {
		by = []string{"default"}
	}
	if e, named := s.entries["anonymous"]; named && place.Anonymous {
		if v := e.verdict(class, at); v.stricterThan(best) {
			best, by = v, []string{"anonymous"}
		}
	}
	return best, by
}

// levels lists the names by which entries may speak of a place, from the most
// specific level to the least.
func (s spec) levels(place policy.Place) [][]string {
	country := string(place.Country)
	if place.Private {
		return [][]string{{"private"}}
	}
	if !slices.Contains(countries, country) && !slices.Contains(unnamed, policy.Place{Country: place.Country}) {
		return [][]string{{"unlocated"}}
	}
	of := subdivisions[country]
	codes := []string{country}
	levels := [][]string{nil, nil, {country}, nil, nil, nil}
	for i, sub := range place.Subdivisions {
		if sub := string(sub); slices.Contains(of[0], sub) || slices.Contains(of[1], sub) || slices.Contains(unnamed, place) && sub != "" {
			codes = append(codes, sub)
			levels[1-i] = []string{sub}
		}
	}
	if owner := sovereign[country]; s.entries[owner].territories {
		levels[3] = []string{owner}
	}
	belongs := func(members []string) bool {
		return slices.ContainsFunc(members, func(m string) bool { return slices.Contains(codes, m) })
	}
	for name, members := range s.groups {
		if belongs(members) {
			levels[4] = append(levels[4], name)
		}
	}
	for name, members := range builtInGroups {
		if belongs(members) {
			levels[5] = append(levels[5], name)
		}
	}
	return levels
}

// ask classifies and decides a request, and checks what holds for every
// decision.
func ask(t *rapid.T, s *policy.Snapshot, place policy.Place, request [3]string) *policy.Decision {
	class, ambiguous := s.Classify(request[0], request[1], request[2])
	if ambiguous {
		t.Fatalf("%v is ambiguous", request)
	}
	d := s.Decide(place, class)
	if all := s.Decisions(); d.ID < 0 || d.ID >= len(all) || d != &all[d.ID] {
		t.Fatalf("decision %d is not the one with this ID", d.ID)
	}
	return d
}

func TestDecideIsANaiveReadingOfTheDocument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := specs.Draw(t, "spec")
		p, err := policy.Parse("policy.yaml", []byte(spec.document()))
		if err != nil {
			t.Fatalf("%v\n%s", err, spec.document())
		}
		at := moments.Draw(t, "at")
		s := policy.Compile(p, nil, at)
		for _, place := range placesOf(spec.world) {
			for request, class := range requests {
				d := ask(t, s, place, request)
				want, by := spec.read(place, class, at)
				action := policy.Forward
				switch {
				case want.refused && spec.observe:
					action = policy.WouldRefuse
				case want.refused:
					action = policy.Refuse
				}
				if d.Action != action || int(d.Phase) != want.phase || !slices.Contains(by, string(d.Entry)) {
					t.Fatalf("%v from %+v: decided %s, read %s %s by %s\n%s", request, place, sentence(d), action, phases[want.phase], by, spec.document())
				}
			}
		}
	})
}

func TestTheWinnerOfExplainIsWhatDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := specs.Draw(t, "spec")
		s := compileSpec(t, spec, moments.Draw(t, "at"))
		for _, place := range placesOf(spec.world) {
			for request := range requests {
				d := ask(t, s, place, request)
				x := s.Explain(place, request[0], request[1], request[2])
				if x.Decision != *d || x.Class != d.Class || x.Place != place {
					t.Fatalf("decided %s, explained %s", sentence(d), sentence(&x.Decision))
				}
				var winners []policy.Code
				for _, m := range x.Matches {
					if m.Wins {
						winners = append(winners, m.Entry)
					}
				}
				switch {
				case d.Entry == policy.Default && winners == nil:
				case len(winners) != 1 || winners[0] != d.Entry || x.Matches[0].Entry != d.Entry:
					t.Fatalf("%v from %+v: %s wins, explained by %+v\n%s", request, place, d.Entry, x.Matches, spec.document())
				case d.Phase != policy.Open && (x.Matches[0].Phase != d.Phase || !x.Matches[0].Since.Equal(d.Since)):
					t.Fatalf("%v from %+v: decided %+v, explained by %+v", request, place, d, x.Matches[0])
				}
				if !x.Next.IsZero() && (!x.Next.After(s.At()) || s.Until().IsZero() || x.Next.Before(s.Until())) {
					t.Fatalf("may change at %v, but the snapshot of %v holds until %v", x.Next, s.At(), s.Until())
				}
			}
		}
	})
}

func TestTimeNeverOpensAMarket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := specs.Draw(t, "spec")
		times := []time.Time{moments.Draw(t, "a"), moments.Draw(t, "b")}
		slices.SortFunc(times, time.Time.Compare)
		earlier, later := compileSpec(t, spec, times[0]), compileSpec(t, spec, times[1])
		for _, place := range placesOf(spec.world) {
			for request := range requests {
				before, after := ask(t, earlier, place, request), ask(t, later, place, request)
				if of(before).stricterThan(of(after)) {
					t.Fatalf("%v from %+v: %s at %v, but %s at %v\n%s", request, place, sentence(before), times[0], sentence(after), times[1], spec.document())
				}
			}
		}
	})
}

func TestToHideOnesPlaceNeverOpensAMarket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := specs.Draw(t, "spec")
		at := moments.Draw(t, "at")
		s := compileSpec(t, spec, at)
		spec.entries["anonymous"] = drawEntry(t, "anonymous", spec.routes)
		named := compileSpec(t, spec, at)
		for _, place := range placesOf(spec.world) {
			hidden, seen := place, place
			hidden.Anonymous, seen.Anonymous = true, false
			for request := range requests {
				plain := ask(t, named, seen, request)
				if of(plain).stricterThan(of(ask(t, named, hidden, request))) {
					t.Fatalf("%v from %+v: opened by hiding", request, place)
				}
				if of(ask(t, s, seen, request)) != of(plain) {
					t.Fatalf("%v from %+v: the entry anonymous changes what the others get", request, place)
				}
			}
		}
	})
}

func TestASnapshotHoldsUntilItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := parseSpec(t, specs.Draw(t, "spec"))
		s := policy.Compile(p, nil, moments.Draw(t, "at"))
		during := moments.Draw(t, "during")
		switch until := s.Until(); {
		case until.IsZero():
			if during.Before(s.At()) {
				during = s.At().Add(1000 * time.Hour)
			}
		case !until.After(s.At()):
			t.Fatalf("the snapshot of %v holds until %v", s.At(), until)
		case during.Before(s.At()) || !during.Before(until):
			during = until.Add(-1)
		}
		again := policy.Compile(p, nil, during)
		if !slices.Equal(s.Decisions(), again.Decisions()) {
			t.Fatalf("the snapshot of %v holds until %v, but decides otherwise at %v", s.At(), s.Until(), during)
		}
		if !again.Until().Equal(s.Until()) {
			t.Fatalf("until %v, or %v", s.Until(), again.Until())
		}
		if changes := policy.Differences(s, again); changes != nil {
			t.Fatalf("changes: %v", changes)
		}
	})
}

func TestWhatHoldsForAllDecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := specs.Draw(t, "spec")
		s := compileSpec(t, spec, moments.Draw(t, "at"))
		for i, d := range s.Decisions() {
			switch {
			case d.ID != i:
				t.Fatalf("decision %d has ID %d", i, d.ID)
			case d.Class == policy.Essential && d.Action != policy.Forward:
				t.Fatalf("the essential class is refused: %+v", d)
			case spec.observe && d.Action == policy.Refuse:
				t.Fatalf("refused while observing: %+v", d)
			case !spec.observe && d.Action == policy.WouldRefuse:
				t.Fatalf("would be refused, but isn't: %+v", d)
			case (d.Action != policy.Forward) != d.Phase.Refuses(d.Class):
				t.Fatalf("%s in phase %s: %+v", d.Class, d.Phase, d)
			case d.Phase == policy.Open && !(d.Since.IsZero() && d.Announced.IsZero() && d.Sunset.IsZero()):
				t.Fatalf("open, but with dates: %+v", d)
			case d.Phase == policy.Withdrawn && !d.Since.Equal(d.Sunset), d.Since.Before(d.Announced):
				t.Fatalf("dates in disorder: %+v", d)
			case (d.Reason == policy.ByDefault) != (d.Entry == policy.Default):
				t.Fatalf("%s by %s", d.Reason, d.Entry)
			}
		}
	})
}

func of(d *policy.Decision) verdict { return verdict{d.Action != policy.Forward, int(d.Phase)} }

func parseSpec(t *rapid.T, s spec) *policy.Policy {
	p, err := policy.Parse("policy.yaml", []byte(s.document()))
	if err != nil {
		t.Fatalf("%v\n%s", err, s.document())
	}
	return p
}

func compileSpec(t *rapid.T, s spec, at time.Time) *policy.Snapshot {
	return policy.Compile(parseSpec(t, s), nil, at)
}
