// Package policytest makes policy documents of a small world, and reads them as
// naively as can be: what they say is compared with what the packages below
// policy make of them.
package policytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
)

// A world of few places, so that entries often concern them. What the treaties
// and ISO 3166 say of these is written out here again.
var (
	Countries    = []string{"FR", "RE", "GP", "DE", "IE", "GB", "GI", "US", "CA", "RU", "UA", "AT", "AL", "BE", "AU"}
	Subdivisions = map[string][2][]string{ // first level, second level
		"FR": {{"FR-IDF", "FR-ARA"}, {"FR-75C", "FR-69"}},
		"GB": {{"GB-ENG", "GB-SCT"}, {"GB-LND", "GB-ABE"}},
		"US": {{"US-MS", "US-CA"}, nil},
		"UA": {{"UA-43"}, nil},
	}
	sovereign     = map[string]string{"RE": "FR", "GP": "FR", "NC": "FR", "MQ": "FR", "GI": "GB", "JE": "GB"}
	BuiltInGroups = map[string][]string{
		"EU":         {"FR", "RE", "GP", "DE", "IE", "AT", "BE", "CY", "IT", "MQ"},
		"NATO":       {"FR", "DE", "GB", "US", "CA", "AL", "BE", "IT", "NO"},
		"Five-Eyes":  {"GB", "US", "CA", "AU", "NZ"},
		"GB-nations": {"GB-ENG", "GB-SCT", "GB-NIR"},
	}
	// What stands for all that no document names, but that groups and countries
	// with territories may bring in.
	Unnamed = []policy.Place{{Country: "JP"}, {Country: "CY"}, {Country: "IT"}, {Country: "NO"}, {Country: "NZ"}, {Country: "NC"}, {Country: "MQ"}, {Country: "JE"},
		{Country: "GB", Subdivisions: [2]policy.Code{"GB-NIR"}}}
	ownNames = []string{"alpha", "beta", "FR-and-more"}
	pseudos  = []string{"unlocated", "private", "anonymous", "default"}
	Phases   = []string{"open", "announced", "closed-to-new", "wind-down", "withdrawn"}
	Times    = []string{"2026-01-01T00:00:00Z", "2026-02-01T00:00:00+02:00", "2026-03-01T12:30:00Z", "2026-04-01T00:00:00.000000001Z", "2026-05-01T00:00:00Z"}
)

// A Spec is what a document says, for the generator to write down and for the
// naive reading to read.
type Spec struct {
	World   []string // the countries that it is about
	Observe bool
	Groups  map[string][]string
	Routes  []string // classes with patterns
	Entries map[string]Entry
}

type Entry struct {
	Steps       []Step
	Territories bool
	Routes      []string // nil: the whole service
	Features    map[string][]Step
	Withhold    bool // also where it isn't known whether a client is there
}

type Step struct {
	From  string // "": from ever on
	Phase string
}

// Document writes a spec as YAML.
func (s Spec) Document() string {
	var b strings.Builder
	b.WriteString("version: 1\n")
	if s.Observe {
		b.WriteString("mode: observe\n")
	}
	if len(s.Groups) > 0 {
		b.WriteString("groups:\n")
		for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
			fmt.Fprintf(&b, "  %s: [%s]\n", name, strings.Join(s.Groups[name], ", "))
		}
	}
	if len(s.Routes) > 0 {
		b.WriteString("routes:\n")
		for _, class := range s.Routes {
			fmt.Fprintf(&b, "  %s: [/%s/, %s.example.com/]\n", class, class, class)
		}
	}
	if len(s.Entries) > 0 {
		b.WriteString("jurisdictions:\n")
		for _, code := range slices.Sorted(maps.Keys(s.Entries)) {
			s.Entries[code].write(&b, code)
		}
	}
	return b.String()
}

func (e Entry) write(b *strings.Builder, code string) {
	if e.Steps[0].From == "" && !e.Territories && e.Routes == nil && e.Features == nil && !e.Withhold {
		fmt.Fprintf(b, "  %s: %s\n", code, e.Steps[0].Phase)
		return
	}
	fmt.Fprintf(b, "  %s:\n", code)
	if e.Territories {
		b.WriteString("    territories: true\n")
	}
	if e.Routes != nil {
		fmt.Fprintf(b, "    routes: [%s]\n", strings.Join(e.Routes, ", "))
	}
	if e.Withhold {
		b.WriteString("    unknown-part: withhold\n")
	}
	if e.Features != nil {
		b.WriteString("    features:\n")
	}
	for _, class := range slices.Sorted(maps.Keys(e.Features)) {
		fmt.Fprintf(b, "      %s:\n", class)
		writeSteps(b, "        ", e.Features[class])
	}
	writeSteps(b, "    ", e.Steps)
}

func writeSteps(b *strings.Builder, indent string, steps []Step) {
	if steps[0].From == "" {
		fmt.Fprintf(b, "%sphase: %s\n", indent, steps[0].Phase)
		return
	}
	fmt.Fprintf(b, "%sschedule:\n", indent)
	for _, s := range steps {
		fmt.Fprintf(b, "%s  - {from: %s, phase: %s}\n", indent, s.From, s.Phase)
	}
}

// Some draws a subset, in the order of all.
func Some[T any](t *rapid.T, label string, all []T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(T) bool { return !rapid.Bool().Draw(t, label) })
}

var Specs = rapid.Custom(func(t *rapid.T) Spec {
	s := Spec{Observe: rapid.IntRange(0, 9).Draw(t, "mode") == 0, Groups: map[string][]string{}, Entries: map[string]Entry{}}
	s.Routes = Some(t, "class", []string{"sign-up", "export", "essential", "news"})
	s.World = Countries
	if rapid.Bool().Draw(t, "small") { // so that places in each other often meet
		s.World = []string{rapid.SampledFrom([]string{"FR", "GB"}).Draw(t, "world")}
	}
	places := slices.Clone(s.World)
	for _, country := range s.World {
		places = append(places, slices.Concat(Subdivisions[country][0], Subdivisions[country][1])...)
	}
	for _, name := range Some(t, "group", ownNames) {
		s.Groups[name] = rapid.SliceOfNDistinct(rapid.SampledFrom(places), 1, 4, rapid.ID).Draw(t, name)
	}
	if len(s.Groups) > 1 && rapid.Bool().Draw(t, "by groups") { // which entries for places would hide
		places = nil
	}
	named := slices.Concat(places, slices.Sorted(maps.Keys(s.Groups)), slices.Sorted(maps.Keys(BuiltInGroups)), pseudos)
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(named), 3, 12, rapid.ID).Draw(t, "entries") {
		s.Entries[code] = DrawEntry(t, code, s.Routes)
	}
	return s
})

func DrawEntry(t *rapid.T, code string, classes []string) Entry {
	var e Entry
	if rapid.Bool().Draw(t, "scheduled") {
		count := rapid.IntRange(1, len(Phases)).Draw(t, "steps")
		first := rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "phases")[:count]
		when := rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "times")[:count]
		slices.Sort(first)
		slices.Sort(when)
		for i := range count {
			e.Steps = append(e.Steps, Step{Times[when[i]], Phases[first[i]]})
		}
	} else {
		e.Steps = []Step{{"", rapid.SampledFrom(Phases).Draw(t, "phase")}}
	}
	e.Territories = (code == "FR" || code == "GB") && rapid.Bool().Draw(t, "territories")
	isPart := code == "GB-nations"
	for _, of := range Subdivisions {
		isPart = isPart || slices.Contains(of[0], code) || slices.Contains(of[1], code)
	}
	e.Withhold = isPart && rapid.IntRange(0, 2).Draw(t, "withhold") == 0
	limits := append(slices.DeleteFunc(slices.Clone(classes), func(c string) bool { return c == "essential" }), "other")
	if rapid.IntRange(0, 3).Draw(t, "limited") == 0 {
		e.Routes = rapid.SliceOfNDistinct(rapid.SampledFrom(limits), 1, -1, rapid.ID).Draw(t, "routes")
	} else if rapid.IntRange(0, 2).Draw(t, "features") == 0 {
		e.Features = map[string][]Step{}
		for _, class := range rapid.SliceOfNDistinct(rapid.SampledFrom(limits), 1, -1, rapid.ID).Draw(t, "features") {
			e.Features[class] = rapid.SampledFrom([][]Step{
				{{"", "announced"}}, {{"", "withdrawn"}}, {{Times[1], "withdrawn"}}, {{Times[0], "announced"}, {Times[3], "withdrawn"}},
			}).Draw(t, class)
		}
	}
	return e
}

// PlacesOf returns all places in the world of a spec, and what else a database
// may come up with.
func PlacesOf(world []string) []policy.Place {
	places := []policy.Place{{}, {Country: "JP"}, {Country: "ZZ"}, {Country: "EU"}, {Country: "unlocated"}, {Subdivisions: [2]policy.Code{"US-MS"}}, {Private: true}, {Private: true, Country: "FR"}}
	for _, country := range world {
		levels := Subdivisions[country]
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

var Moments = rapid.Custom(func(t *rapid.T) time.Time {
	near := Date(rapid.SampledFrom(Times).Draw(t, "near"))
	return near.Add(time.Duration(rapid.SampledFrom([]int64{-1, 0, 1, int64(-time.Hour * 24 * 20), int64(time.Hour * 24 * 20)}).Draw(t, "by")))
})

// Requests are method, host and path, and the class that the request has if
// the document has patterns for it.
var Requests = map[[3]string]string{
	{"GET", "example.org", "/"}:                                   "other",
	{"GET", "", "/other/"}:                                        "other",
	{"POST", "example.org", "/sign-up/now"}:                       "sign-up",
	{"GET", "export.example.com", "/all"}:                         "export",
	{"GET", "example.org", "/essential/imprint"}:                  "essential",
	{"HEAD", "news.example.com", "/today"}:                        "news",
	{"GET", "news.example.com", "/robots.txt"}:                    "always",
	{"GET", "example.org", "/.well-known/acme-challenge/a-token"}: "always",
}

// A Verdict is what the naive reading comes to.
type Verdict struct {
	Refused bool
	Phase   int
}

func (v Verdict) StricterThan(other Verdict) bool {
	if v.Refused != other.Refused {
		return v.Refused
	}
	return v.Phase > other.Phase
}

// verdict reads one entry.
func (e Entry) verdict(class string, at time.Time) Verdict {
	if e.Routes != nil && !slices.Contains(e.Routes, class) {
		return Verdict{}
	}
	phase := "open"
	for _, s := range slices.Concat(e.Steps, e.Features[class]) {
		if begun := s.From == "" || !Date(s.From).After(at); begun && slices.Index(Phases, s.Phase) > slices.Index(Phases, phase) {
			phase = s.Phase
		}
	}
	v := Verdict{Phase: slices.Index(Phases, phase)}
	switch phase {
	case "closed-to-new":
		v.Refused = class == "sign-up"
	case "wind-down":
		v.Refused = class != "export" && class != "essential"
	case "withdrawn":
		v.Refused = class != "essential"
	}
	return v
}

// isBegun reports whether steps give anything but open at a moment.
func isBegun(steps []Step, at time.Time) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Phase != "open" && (s.From == "" || !Date(s.From).After(at)) })
}

// Foretells reports whether an entry refuses a class later, and the public could
// know at a moment, as what refuses it had begun to give something but open.
func (e Entry) Foretells(class string, at, later time.Time) bool {
	foretells := func(e Entry, steps []Step) bool {
		return isBegun(steps, at) && e.verdict(class, later).Refused
	}
	return foretells(Entry{Steps: e.Steps, Routes: e.Routes}, e.Steps) || foretells(Entry{Steps: e.Features[class]}, e.Features[class])
}

// WithoutSecrets returns the spec without what the public may not know at a
// moment: what will become of what gets nothing but open until then.
func (s Spec) WithoutSecrets(at time.Time) Spec {
	entries := make(map[string]Entry, len(s.Entries))
	for code, e := range s.Entries {
		if !isBegun(e.Steps, at) {
			e.Steps = []Step{{"", "open"}}
		}
		features := make(map[string][]Step)
		for class, steps := range e.Features {
			if isBegun(steps, at) {
				features[class] = steps
			}
		}
		if e.Features = features; len(features) == 0 {
			e.Features = nil
		}
		entries[code] = e
	}
	s.Entries = entries
	return s
}

// ClassOf returns the class that requests have in the document that would have
// another one if there were patterns for it.
func (s Spec) ClassOf(class string) string { return s.classOf(class) }

// Read is the naive reading of a document: the verdict on a request, and the
// names of the entries that come to it.
func (s Spec) Read(place policy.Place, class string, at time.Time) (best Verdict, by []string) {
	best, by = s.readPlain(place, class, at)
	for _, part := range s.perhapsIn(place) {
		if v, also := s.readPlain(part, class, at); v.StricterThan(best) {
			best, by = v, also
		} else if v == best {
			by = append(slices.Clip(by), also...)
		}
	}
	if e, named := s.Entries["anonymous"]; named && place.Anonymous {
		if v := e.verdict(s.classOf(class), at); v.StricterThan(best) {
			best, by = v, []string{"anonymous"}
		} else if v == best {
			by = append(slices.Clip(by), "anonymous")
		}
	}
	return best, by
}

// perhapsIn lists the parts that a client may be in or not, as no database tells,
// and whose entries withhold then.
func (s Spec) perhapsIn(place policy.Place) []policy.Place {
	country := string(place.Country)
	if place.Private || !slices.Contains(Countries, country) {
		return nil
	}
	of := Subdivisions[country]
	known := func(code policy.Code) bool {
		return slices.Contains(of[0], string(code)) || slices.Contains(of[1], string(code)) || country == "GB" && code == "GB-NIR"
	}
	within := ""
	switch first, second := place.Subdivisions[0], place.Subdivisions[1]; {
	case known(second):
		return nil
	case known(first):
		within = string(first)
	}
	var parts []policy.Place
	for _, code := range slices.Concat(of[0], of[1], []string{"GB-NIR"}) {
		part := policy.Place{Country: place.Country, Subdivisions: [2]policy.Code{policy.Code(code)}}
		if parent := parents[code]; parent != "" {
			part.Subdivisions = [2]policy.Code{policy.Code(parent), policy.Code(code)}
		}
		if code == "GB-NIR" && country != "GB" || within != "" && parents[code] != within {
			continue
		}
		for _, level := range s.levels(part) {
			governs := slices.DeleteFunc(slices.Clone(level), func(name string) bool { _, named := s.Entries[name]; return !named })
			if slices.ContainsFunc(governs, func(name string) bool { return s.Entries[name].Withhold }) {
				parts = append(parts, part)
			}
			if len(governs) > 0 {
				break
			}
		}
	}
	return parts
}

func (s Spec) classOf(class string) string {
	if class == "always" {
		return "essential"
	} else if !slices.Contains(s.Routes, class) {
		return "other"
	}
	return class
}

func (s Spec) readPlain(place policy.Place, class string, at time.Time) (best Verdict, by []string) {
	if class == "always" {
		class = "essential"
	} else if !slices.Contains(s.Routes, class) {
		class = "other"
	}
	for _, level := range s.levels(place) {
		for _, code := range level {
			e, named := s.Entries[code]
			if !named {
				continue
			}
			switch v := e.verdict(class, at); {
			case by == nil || v.StricterThan(best):
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
	return best, by
}

// levels lists the names by which entries may refer to a place, from the most
// specific level to the least.
func (s Spec) levels(place policy.Place) [][]string {
	country := string(place.Country)
	if place.Private {
		return [][]string{{"private"}, {"default"}}
	}
	if !slices.Contains(Countries, country) && !slices.Contains(Unnamed, policy.Place{Country: place.Country}) {
		return [][]string{{"unlocated"}, {"default"}}
	}
	of := Subdivisions[country]
	codes := []string{country}
	levels := [][]string{nil, nil, {country}, nil, nil, nil, {"default"}}
	for i, sub := range place.Subdivisions {
		if sub := string(sub); slices.Contains(of[0], sub) || slices.Contains(of[1], sub) || slices.Contains(Unnamed, place) && sub != "" {
			codes = append(codes, sub)
			levels[1-i] = []string{sub}
		}
	}
	if owner := sovereign[country]; s.Entries[owner].Territories {
		levels[3] = []string{owner}
	}
	belongs := func(members []string) bool {
		return slices.ContainsFunc(members, func(m string) bool { return slices.Contains(codes, m) })
	}
	for name, members := range s.Groups {
		if belongs(members) {
			levels[4] = append(levels[4], name)
		}
	}
	for name, members := range BuiltInGroups {
		if belongs(members) {
			levels[5] = append(levels[5], name)
		}
	}
	return levels
}

func Date(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err) // a constant of a test
	}
	return at
}

// Ask classifies and decides a request, and checks what holds for every
// decision.
func Ask(t *rapid.T, s *policy.Snapshot, place policy.Place, request [3]string) *policy.Decision {
	d, inDoubt := s.DecideReadings(place, s.Classify(request[0], request[1], request[2]))
	if inDoubt {
		t.Fatalf("%v is ambiguous", request)
	}
	if all := s.Decisions(); d.ID < 0 || d.ID >= len(all) || d != &all[d.ID] {
		t.Fatalf("decision %d is not the one with this ID", d.ID)
	}
	return d
}
