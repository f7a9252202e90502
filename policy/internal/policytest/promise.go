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

// parents of the second level in the small world.
var parents = map[string]string{"FR-75C": "FR-IDF", "FR-69": "FR-ARA", "GB-LND": "GB-ENG", "GB-ABE": "GB-SCT"}

// A Promise is what a document says of guarantees, demands and flags.
type Promise struct {
	Spec
	Demands map[string]Demand
	E2EE    map[string]bool // the flag end-to-end-encryption, which is guaranteed to be true
	Days    map[string]int  // the flag retention-days, which is guaranteed to be 7 at most
}

type Demand struct {
	jurisdiction, stage, inForce string
	until                        string // of one that is suspended, after it was adopted
	territories                  string // "", "true" or "false"
	Routes                       []string
	e2ee                         *bool
	days                         *int
}

func (d Demand) Binds() bool {
	return d.stage == "in-force" || d.stage == "adopted" && d.inForce != "" || d.until != ""
}

func (d Demand) Breaks() bool {
	return d.e2ee != nil && !*d.e2ee || d.days != nil && *d.days > 7
}

func (d Demand) From() (from time.Time) {
	for _, date := range []string{d.inForce, d.until} {
		if date != "" && Date(date).After(from) {
			from = Date(date)
		}
	}
	return from
}

// writeStage writes how far it has come: in short, or as it came about.
func (d Demand) writeStage(b *strings.Builder) {
	inForce := ""
	if d.inForce != "" {
		inForce = ", in-force: " + d.inForce
	}
	if d.until == "" {
		fmt.Fprintf(b, "stage: %s%s", d.stage, inForce)
		return
	}
	fmt.Fprintf(b, "stages: [{stage: adopted%s}, {stage: suspended, until: %s}, {stage: appealed}]", inForce, d.until)
}

func (p Promise) Document() string {
	var b strings.Builder
	b.WriteString(p.Spec.Document())
	b.WriteString("guarantees: {end-to-end-encryption: {require: true}, retention-days: {at-most: 7}}\n")
	if len(p.Demands) > 0 {
		b.WriteString("demands:\n")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Demands)) {
		d := p.Demands[name]
		fmt.Fprintf(&b, "  %s: {jurisdiction: %s, ", name, d.jurisdiction)
		d.writeStage(&b)
		if d.territories != "" {
			fmt.Fprintf(&b, ", territories: %s", d.territories)
		}
		if d.Routes != nil {
			fmt.Fprintf(&b, ", routes: [%s]", strings.Join(d.Routes, ", "))
		}
		var requires []string
		if d.e2ee != nil {
			requires = append(requires, fmt.Sprint("end-to-end-encryption: ", *d.e2ee))
		}
		if d.days != nil {
			requires = append(requires, fmt.Sprint("retention-days: ", *d.days))
		}
		fmt.Fprintf(&b, ", requires: {%s}}\n", strings.Join(requires, ", "))
	}
	if len(p.E2EE)+len(p.Days) > 0 {
		b.WriteString("flags:\n")
	}
	writeFlag(&b, "end-to-end-encryption", p.E2EE)
	writeFlag(&b, "retention-days", p.Days)
	return b.String()
}

func writeFlag[V any](b *strings.Builder, name string, values map[string]V) {
	if len(values) == 0 {
		return
	}
	var in []string
	for _, code := range slices.Sorted(maps.Keys(values)) {
		if code != "" {
			in = append(in, fmt.Sprint(code, ": ", values[code]))
		}
	}
	fmt.Fprintf(b, "  %s: {", name)
	if v, ok := values[""]; ok {
		fmt.Fprintf(b, "value: %v, ", v)
	}
	fmt.Fprintf(b, "in: {%s}}\n", strings.Join(in, ", "))
}

var Promises = rapid.Custom(func(t *rapid.T) Promise {
	p := Promise{Spec: Specs.Draw(t, "spec"), Demands: map[string]Demand{}, E2EE: map[string]bool{}, Days: map[string]int{}}
	sovereigns := slices.Clone(p.World)
	for _, country := range p.World {
		sovereigns = append(sovereigns, slices.Concat(Subdivisions[country][0], Subdivisions[country][1])...)
	}
	sovereigns = append(sovereigns, slices.Sorted(maps.Keys(p.Groups))...)
	sovereigns = append(sovereigns, slices.Sorted(maps.Keys(BuiltInGroups))...)
	// Most entries withdraw, that a fair share of the documents is good.
	for code, e := range p.Entries {
		if rapid.IntRange(0, 3).Draw(t, "withdraw") > 0 {
			p.Entries[code] = Entry{Steps: []Step{{rapid.SampledFrom(append(Times, "")).Draw(t, "from"), "withdrawn"}}, Territories: e.Territories}
		}
	}
	named := slices.Sorted(maps.Keys(p.Entries))
	for _, name := range Some(t, "demand", []string{"law", "order"}) {
		d := Demand{
			stage:   rapid.SampledFrom([]string{"proposed", "adopted", "adopted", "in-force", "suspended", "rejected", "repealed"}).Draw(t, "stage"),
			inForce: rapid.SampledFrom(append(Times, "")).Draw(t, "in force"),
		}
		if d.stage == "suspended" {
			d.until = rapid.SampledFrom(append(Times, "")).Draw(t, "until")
		}
		d.jurisdiction = rapid.SampledFrom(sovereigns).Draw(t, "jurisdiction")
		if code := rapid.SampledFrom(named).Draw(t, "named"); slices.Contains(sovereigns, code) {
			d.jurisdiction = code
		}
		if d.jurisdiction == "FR" || d.jurisdiction == "GB" {
			d.territories = rapid.SampledFrom([]string{"", "true", "false"}).Draw(t, "territories")
		}
		if classes := slices.DeleteFunc(slices.Clone(p.Routes), func(c string) bool { return c == "essential" }); len(classes) > 0 && rapid.IntRange(0, 2).Draw(t, "limited") == 0 {
			d.Routes = rapid.SliceOfNDistinct(rapid.SampledFrom(classes), 1, -1, rapid.ID).Draw(t, "routes")
		}
		if rapid.Bool().Draw(t, "about encryption") {
			v := rapid.IntRange(0, 3).Draw(t, "keeps it") == 0
			d.e2ee = &v
		} else {
			v := rapid.SampledFrom([]int{0, 7, 8, 90, 180}).Draw(t, "days")
			d.days = &v
		}
		p.Demands[name] = d
	}
	places := append(slices.Clone(sovereigns[:len(sovereigns)-len(p.Groups)-len(BuiltInGroups)]), "EU", "unlocated", "private")
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(places), 0, 3, rapid.ID).Draw(t, "set") {
		p.E2EE[code] = rapid.IntRange(0, 2).Draw(t, "kept") > 0
	}
	if len(p.E2EE) == 0 && rapid.Bool().Draw(t, "everywhere") {
		p.E2EE[""] = true
	}
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(places), 0, 2, rapid.ID).Draw(t, "set") {
		p.Days[code] = rapid.SampledFrom([]int{0, 7, 8}).Draw(t, "days")
	}
	return p
})

// RealPlaces are the places in the world of a spec as a good database has
// them.
func RealPlaces(world []string) []policy.Place {
	var places []policy.Place
	for _, country := range world {
		places = append(places, policy.Place{Country: policy.Code(country)})
		for _, first := range Subdivisions[country][0] {
			places = append(places, policy.Place{Country: policy.Code(country), Subdivisions: [2]policy.Code{policy.Code(first)}})
		}
		for _, second := range Subdivisions[country][1] {
			places = append(places, policy.Place{Country: policy.Code(country), Subdivisions: [2]policy.Code{policy.Code(parents[second]), policy.Code(second)}})
		}
	}
	return places
}

// Covers is the naive reading of whom a demand binds: who is in its jurisdiction by
// the database's chain of subdivisions, or by what ISO 3166-2 has these in.
func (p Promise) Covers(d Demand, place policy.Place) bool {
	if _, none := BuiltInGroups[string(place.Country)]; place.Private || none {
		return false // a database's own idea of a country
	}
	codes := []string{string(place.Country)}
	for _, sub := range place.Subdivisions {
		// Up to three characters behind the country's (ISO 3166-2): no database's
		// code is the name of a group.
		if strings.HasPrefix(string(sub), string(place.Country)+"-") && len(sub) <= len("CC-NNN") {
			codes = append(codes, string(sub))
			if parent := parents[string(sub)]; parent != "" {
				codes = append(codes, parent)
			}
		}
	}
	in := func(code string) bool { return slices.Contains(codes, code) }
	extends := d.territories == "true" || d.territories == "" && p.Entries[d.jurisdiction].Territories
	return in(d.jurisdiction) || slices.ContainsFunc(p.Groups[d.jurisdiction], in) || slices.ContainsFunc(BuiltInGroups[d.jurisdiction], in) ||
		extends && sovereign[string(place.Country)] == d.jurisdiction
}

// Value is the naive reading of what a flag is set to at a place.
func Value[V any](p Promise, values map[string]V, place policy.Place) (v V, ok bool) {
	order := []string{string(place.Subdivisions[1]), string(place.Subdivisions[0]), string(place.Country)}
	switch owner := sovereign[string(place.Country)]; {
	case place.Private:
		order = []string{"private"}
	case place.Country == "":
		order = []string{"unlocated"}
	case p.Entries[owner].Territories && p.Entries[string(place.Country)].Steps == nil:
		order = append(order, owner)
	}
	if slices.Contains(BuiltInGroups["EU"], string(place.Country)) {
		order = append(order, "EU")
	}
	for _, code := range append(slices.DeleteFunc(order, func(c string) bool { return c == "" }), "") {
		if v, ok = values[code]; ok {
			return v, true
		}
	}
	return v, false
}

// Broken says why the document breaks its promise by a naive reading of all
// places, classes and times; "" if it doesn't.
func (p Promise) Broken() string {
	served := func(place policy.Place, classes []string, at time.Time) bool {
		for _, class := range []string{"other", "sign-up", "export", "news"} {
			if class != "other" && !slices.Contains(p.Routes, class) || classes != nil && !slices.Contains(classes, class) {
				continue
			}
			// Somebody is in a place beside the parts of it that have entries, for
			// whom unknown-part makes no difference.
			if v, _ := p.readPlain(place, class, at); !v.Refused || classes == nil && v.Phase != 4 || p.Observe {
				return true
			}
		}
		return false
	}
	for _, place := range slices.Concat(RealPlaces(Countries), Unnamed, []policy.Place{{}, {Private: true}}) {
		for name, d := range p.Demands {
			if d.Binds() && d.Breaks() && p.Covers(d, place) && served(place, d.Routes, d.From()) {
				return fmt.Sprintf("%s is served at %+v", name, place)
			}
		}
		encrypted, set := Value(p, p.E2EE, place)
		days, alsoSet := Value(p, p.Days, place)
		if (set && !encrypted || alsoSet && days > 7) && served(place, nil, time.Time{}) {
			return fmt.Sprintf("a flag is below at %+v", place)
		}
	}
	return ""
}

// Contradictory reports whether two demands bind the same place to different
// values, which is an error of its own.
func (p Promise) Contradictory() bool {
	a, both := p.Demands["law"]
	b, and := p.Demands["order"]
	if !both || !and || !a.Binds() || !b.Binds() {
		return false
	}
	differ := a.e2ee != nil && b.e2ee != nil && *a.e2ee != *b.e2ee || a.days != nil && b.days != nil && *a.days != *b.days
	return differ && slices.ContainsFunc(append(RealPlaces(Countries), Unnamed...), func(place policy.Place) bool { return p.Covers(a, place) && p.Covers(b, place) })
}

// Flags are what a flag source may have answered: anything.
var Flags = rapid.Custom(func(t *rapid.T) policy.Flags {
	flags := policy.Flags{}
	codes := []policy.Code{"FR", "RE", "DE", "GB", "US", "FR-IDF", "FR-75C", "FR-69", "GB-LND", "GB-ENG", "US-MS", policy.Unlocated, policy.Private}
	for _, code := range Some(t, "jurisdiction", codes) {
		s := policy.Settings{Values: map[string]policy.Value{}, Phase: policy.Phase(rapid.IntRange(0, 4).Draw(t, "phase"))}
		for _, name := range Some(t, "flag", []string{"end-to-end-encryption", "retention-days", "unnamed"}) {
			s.Values[name], _ = policy.ValueOf(rapid.SampledFrom([]any{true, false, 0, 7, 8, -1, 1e15, 0.5, "true", ""}).Draw(t, "value"))
		}
		if rapid.IntRange(0, 4).Draw(t, "breached") == 0 {
			s.Breached = map[string]time.Time{"retention-days": Moments.Draw(t, "since")}
		}
		flags[code] = s
	}
	return flags
})
