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

// parents of the second level in the small world.
var parents = map[string]string{"FR-75C": "FR-IDF", "FR-69": "FR-ARA", "GB-LND": "GB-ENG", "GB-ABE": "GB-SCT"}

// A promise is what a document says of guarantees, demands and flags.
type promise struct {
	spec
	demands map[string]demand
	e2ee    map[string]bool // the flag end-to-end-encryption, which is guaranteed to be true
	days    map[string]int  // the flag retention-days, which is guaranteed to be 7 at most
}

type demand struct {
	jurisdiction, stage, inForce string
	territories                  string // "", "true" or "false"
	routes                       []string
	e2ee                         *bool
	days                         *int
}

func (d demand) binds() bool {
	return d.stage == "in-force" || d.stage == "adopted" && d.inForce != ""
}

func (d demand) breaks() bool {
	return d.e2ee != nil && !*d.e2ee || d.days != nil && *d.days > 7
}

func (d demand) from() time.Time {
	if d.inForce == "" {
		return time.Time{}
	}
	return date(d.inForce)
}

func (p promise) document() string {
	var b strings.Builder
	b.WriteString(p.spec.document())
	b.WriteString("guarantees: {end-to-end-encryption: {require: true}, retention-days: {at-most: 7}}\n")
	if len(p.demands) > 0 {
		b.WriteString("demands:\n")
	}
	for _, name := range slices.Sorted(maps.Keys(p.demands)) {
		d := p.demands[name]
		fmt.Fprintf(&b, "  %s: {jurisdiction: %s, stage: %s", name, d.jurisdiction, d.stage)
		if d.inForce != "" {
			fmt.Fprintf(&b, ", in-force: %s", d.inForce)
		}
		if d.territories != "" {
			fmt.Fprintf(&b, ", territories: %s", d.territories)
		}
		if d.routes != nil {
			fmt.Fprintf(&b, ", routes: [%s]", strings.Join(d.routes, ", "))
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
	if len(p.e2ee)+len(p.days) > 0 {
		b.WriteString("flags:\n")
	}
	writeFlag(&b, "end-to-end-encryption", p.e2ee)
	writeFlag(&b, "retention-days", p.days)
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

var promises = rapid.Custom(func(t *rapid.T) promise {
	p := promise{spec: specs.Draw(t, "spec"), demands: map[string]demand{}, e2ee: map[string]bool{}, days: map[string]int{}}
	sovereigns := slices.Clone(p.world)
	for _, country := range p.world {
		sovereigns = append(sovereigns, slices.Concat(subdivisions[country][0], subdivisions[country][1])...)
	}
	sovereigns = append(sovereigns, slices.Sorted(maps.Keys(p.groups))...)
	sovereigns = append(sovereigns, slices.Sorted(maps.Keys(builtInGroups))...)
	// Most entries withdraw, that a fair share of the documents is good.
	for code, e := range p.entries {
		if rapid.IntRange(0, 3).Draw(t, "withdraw") > 0 {
			p.entries[code] = entry{steps: []step{{rapid.SampledFrom(append(someTimes, "")).Draw(t, "from"), "withdrawn"}}, territories: e.territories}
		}
	}
	named := slices.Sorted(maps.Keys(p.entries))
	for _, name := range some(t, "demand", []string{"law", "order"}) {
		d := demand{
			stage:   rapid.SampledFrom([]string{"proposed", "adopted", "adopted", "in-force", "suspended", "rejected", "repealed"}).Draw(t, "stage"),
			inForce: rapid.SampledFrom(append(someTimes, "")).Draw(t, "in force"),
		}
		d.jurisdiction = rapid.SampledFrom(sovereigns).Draw(t, "jurisdiction")
		if code := rapid.SampledFrom(named).Draw(t, "named"); slices.Contains(sovereigns, code) {
			d.jurisdiction = code
		}
		if d.jurisdiction == "FR" || d.jurisdiction == "GB" {
			d.territories = rapid.SampledFrom([]string{"", "true", "false"}).Draw(t, "territories")
		}
		if classes := slices.DeleteFunc(slices.Clone(p.routes), func(c string) bool { return c == "essential" }); len(classes) > 0 && rapid.IntRange(0, 2).Draw(t, "limited") == 0 {
			d.routes = rapid.SliceOfNDistinct(rapid.SampledFrom(classes), 1, -1, rapid.ID).Draw(t, "routes")
		}
		if rapid.Bool().Draw(t, "about encryption") {
			v := rapid.IntRange(0, 3).Draw(t, "keeps it") == 0
			d.e2ee = &v
		} else {
			v := rapid.SampledFrom([]int{0, 7, 8, 90, 180}).Draw(t, "days")
			d.days = &v
		}
		p.demands[name] = d
	}
	places := append(slices.Clone(sovereigns[:len(sovereigns)-len(p.groups)-len(builtInGroups)]), "EU", "unlocated", "private")
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(places), 0, 3, rapid.ID).Draw(t, "set") {
		p.e2ee[code] = rapid.IntRange(0, 2).Draw(t, "kept") > 0
	}
	if len(p.e2ee) == 0 && rapid.Bool().Draw(t, "everywhere") {
		p.e2ee[""] = true
	}
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(places), 0, 2, rapid.ID).Draw(t, "set") {
		p.days[code] = rapid.SampledFrom([]int{0, 7, 8}).Draw(t, "days")
	}
	return p
})

// realPlaces are the places in the world of a spec as a good database has
// them.
func realPlaces(world []string) []policy.Place {
	var places []policy.Place
	for _, country := range world {
		places = append(places, policy.Place{Country: policy.Code(country)})
		for _, first := range subdivisions[country][0] {
			places = append(places, policy.Place{Country: policy.Code(country), Subdivisions: [2]policy.Code{policy.Code(first)}})
		}
		for _, second := range subdivisions[country][1] {
			places = append(places, policy.Place{Country: policy.Code(country), Subdivisions: [2]policy.Code{policy.Code(parents[second]), policy.Code(second)}})
		}
	}
	return places
}

// covers is the naive reading of whom a demand binds.
func (p promise) covers(d demand, place policy.Place) bool {
	codes := []string{string(place.Country), string(place.Subdivisions[0]), string(place.Subdivisions[1])}
	in := func(code string) bool { return slices.Contains(codes, code) }
	extends := d.territories == "true" || d.territories == "" && p.entries[d.jurisdiction].territories
	return in(d.jurisdiction) || slices.ContainsFunc(p.groups[d.jurisdiction], in) || slices.ContainsFunc(builtInGroups[d.jurisdiction], in) ||
		extends && sovereign[string(place.Country)] == d.jurisdiction
}

// value is the naive reading of what a flag is set to at a place.
func value[V any](p promise, values map[string]V, place policy.Place) (v V, ok bool) {
	order := []string{string(place.Subdivisions[1]), string(place.Subdivisions[0]), string(place.Country)}
	switch owner := sovereign[string(place.Country)]; {
	case place.Private:
		order = []string{"private"}
	case place.Country == "":
		order = []string{"unlocated"}
	case p.entries[owner].territories && p.entries[string(place.Country)].steps == nil:
		order = append(order, owner)
	}
	if slices.Contains(builtInGroups["EU"], string(place.Country)) {
		order = append(order, "EU")
	}
	for _, code := range append(slices.DeleteFunc(order, func(c string) bool { return c == "" }), "") {
		if v, ok = values[code]; ok {
			return v, true
		}
	}
	return v, false
}

// broken says why the document breaks its promise by a naive reading of all
// places, classes and times; "" if it doesn't.
func (p promise) broken() string {
	served := func(place policy.Place, classes []string, at time.Time) bool {
		for _, class := range []string{"other", "sign-up", "export", "news"} {
			if class != "other" && !slices.Contains(p.routes, class) || classes != nil && !slices.Contains(classes, class) {
				continue
			}
			if v, _ := p.read(place, class, at); !v.refused || v.phase != 4 || p.observe {
				return true
			}
		}
		return false
	}
	for _, place := range slices.Concat(realPlaces(countries), unnamed, []policy.Place{{}, {Private: true}}) {
		for name, d := range p.demands {
			if d.binds() && d.breaks() && p.covers(d, place) && served(place, d.routes, d.from()) {
				return fmt.Sprintf("%s is served at %+v", name, place)
			}
		}
		encrypted, set := value(p, p.e2ee, place)
		days, alsoSet := value(p, p.days, place)
		if (set && !encrypted || alsoSet && days > 7) && served(place, nil, time.Time{}) {
			return fmt.Sprintf("a flag is below at %+v", place)
		}
	}
	return ""
}

// contradictory says whether two demands bind the same place to different
// values, which is an error of its own.
func (p promise) contradictory() bool {
	a, both := p.demands["law"]
	b, and := p.demands["order"]
	if !both || !and || !a.binds() || !b.binds() {
		return false
	}
	differ := a.e2ee != nil && b.e2ee != nil && *a.e2ee != *b.e2ee || a.days != nil && b.days != nil && *a.days != *b.days
	return differ && slices.ContainsFunc(append(realPlaces(countries), unnamed...), func(place policy.Place) bool { return p.covers(a, place) && p.covers(b, place) })
}

func TestAPolicyLoadsIfAndOnlyIfItKeepsItsPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := promises.Draw(t, "promise")
		_, err := policy.Parse("policy.yaml", []byte(p.document()))
		switch broken := p.broken(); {
		case broken != "" && err == nil:
			t.Fatalf("it loads, although %s\n%s", broken, p.document())
		case broken == "" && err != nil && !p.contradictory():
			t.Fatalf("it doesn't load: %v\n%s", err, p.document())
		}
	})
}

// someFlags are what a flag source may have answered: anything.
var someFlags = rapid.Custom(func(t *rapid.T) policy.Flags {
	flags := policy.Flags{}
	codes := []policy.Code{"FR", "RE", "DE", "GB", "US", "FR-IDF", "FR-75C", "FR-69", "GB-LND", "GB-ENG", "US-MS", policy.Unlocated, policy.Private}
	for _, code := range some(t, "jurisdiction", codes) {
		s := policy.Settings{Values: map[string]policy.Value{}, Phase: policy.Phase(rapid.IntRange(0, 4).Draw(t, "phase"))}
		for _, name := range some(t, "flag", []string{"end-to-end-encryption", "retention-days", "unnamed"}) {
			s.Values[name], _ = policy.ValueOf(rapid.SampledFrom([]any{true, false, 0, 7, 8, -1, 1e15, 0.5, "true", ""}).Draw(t, "value"))
		}
		if rapid.IntRange(0, 4).Draw(t, "breached") == 0 {
			s.Breached = map[string]time.Time{"retention-days": moments.Draw(t, "since")}
		}
		flags[code] = s
	}
	return flags
})

// TestNoSnapshotForwardsBelowAGuarantee is the promise itself: whatever the
// policy, the flags and the time, as long as the policy loads.
func TestNoSnapshotForwardsBelowAGuarantee(t *testing.T) {
	loaded := 0
	rapid.Check(t, func(t *rapid.T) {
		p := promises.Draw(t, "promise")
		loads, err := policy.Parse("policy.yaml", []byte(p.document()))
		if err != nil {
			return
		}
		loaded++
		flags, at := someFlags.Draw(t, "flags"), moments.Draw(t, "at")
		if rapid.Bool().Draw(t, "its own") {
			flags = loads.OwnFlags()
		}
		s, without := policy.Compile(loads, flags, at), policy.Compile(loads, nil, at)
		for _, place := range placesOf(p.world) {
			for request := range requests {
				d := ask(t, s, place, request)
				if of(ask(t, without, place, request)).stricterThan(of(d)) {
					t.Fatalf("%v from %+v: opened by flags: %s", request, place, sentence(d))
				}
				for _, told := range s.FlagsToApp(d.Jurisdiction) {
					if f, named := loads.Flag(told.Name); !named || !f.Allows(told.Value) {
						t.Fatalf("the app is told %v in %s", told, d.Jurisdiction)
					}
				}
				if d.Class == policy.Essential || d.Action == policy.Refuse {
					continue
				}
				settings := flags[d.Jurisdiction]
				for name, v := range settings.Values {
					if f, named := loads.Flag(name); named && !f.Allows(v) {
						t.Fatalf("%v from %+v is forwarded with %s: %v\n%s", request, place, name, v, p.document())
					}
				}
				if len(settings.Breached) > 0 {
					t.Fatalf("%v from %+v is forwarded after a breach", request, place)
				}
			}
		}
		for _, place := range realPlaces(p.world) {
			for request := range requests {
				d := ask(t, s, place, request)
				for name, law := range p.demands {
					concerns := law.routes == nil || slices.Contains(law.routes, d.Class)
					if d.Class != policy.Essential && d.Action != policy.Refuse && concerns && law.binds() && law.breaks() && p.covers(law, place) && !at.Before(law.from()) {
						t.Fatalf("%v from %+v is forwarded under %s\n%s", request, place, name, p.document())
					}
				}
			}
		}
	})
	if loaded == 0 && !testing.Short() {
		t.Error("no policy was loaded")
	}
}

func TestTheTableIsWhatValueSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := promises.Draw(t, "promise")
		loads, err := policy.Parse("policy.yaml", []byte(p.document()))
		if err != nil {
			return
		}
		s := policy.Compile(loads, loads.OwnFlags(), moments.Draw(t, "at"))
		for _, place := range realPlaces(p.world) {
			d := ask(t, s, place, [3]string{"GET", "", "/"})
			told := map[string]policy.Value{}
			for _, flag := range s.FlagsToApp(d.Jurisdiction) {
				told[flag.Name] = flag.Value
			}
			if v, set := value(p, p.e2ee, place); set && v {
				if told["end-to-end-encryption"].Any() != true {
					t.Fatalf("%+v: told %v\n%s", place, told, p.document())
				}
			} else if _, said := told["end-to-end-encryption"]; said {
				t.Fatalf("%+v: told %v\n%s", place, told, p.document())
			}
			if v, set := value(p, p.days, place); set && v <= 7 && told["retention-days"].Any() != int64(v) {
				t.Fatalf("%+v: told %v, not %d\n%s", place, told, v, p.document())
			}
		}
	})
}
