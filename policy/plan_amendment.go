package policy

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy/routes"
)

// amend finds all amendments, in the order of the document's sections.
func (p *Plan) amend() {
	before, after := p.before.policy, p.after.policy
	p.amendMode(before, after)
	p.amendGuarantees(before, after)
	p.amendGroups(before, after)
	p.amendRoutes(before, after)
	p.amendDemands(before, after)
	p.amendFlags(before, after)
	p.amendJurisdictions(before, after)
	p.amendNotices(before, after)
	p.amendAcknowledgements(before, after)
	p.amendApprovals(before, after)
}

func (p *Plan) amended(effect Effect, section, name, before, after string) {
	p.Amendments = append(p.Amendments, Amendment{effect, section, name, before, after})
}

func (p *Plan) amendMode(before, after *Policy) {
	if before.mode == after.mode {
		return
	}
	effect := WithdrawsMarket
	if after.mode == Observe {
		effect = OpensMarket
	}
	p.amended(effect, "mode", "", string(before.mode), string(after.mode))
}

func (p *Plan) amendGuarantees(before, after *Policy) {
	was, is := before.guarantees(), after.guarantees()
	for _, name := range either(was, is) {
		old, had := was[name]
		now, has := is[name]
		if reflect.DeepEqual(old, now) && had == has {
			continue
		}
		effect := ChangesOther
		if had && !(has && now.implies(old)) {
			effect = WeakensGuarantee
		}
		p.amended(effect, "guarantees", name, old.words(had), now.words(has))
	}
}

// guarantees returns what is guaranteed, by flag.
func (p *Policy) guarantees() map[string]Guarantee {
	all := make(map[string]Guarantee)
	for _, f := range p.flags {
		if f.Guarantee != nil {
			all[f.Name] = *f.Guarantee
		}
	}
	return all
}

// implies says whether whatever meets the guarantee meets the other one, too.
// Where that is not plain to see, it says no.
func (g Guarantee) implies(other Guarantee) bool {
	switch {
	case g.Require != nil:
		return other.Allows(*g.Require)
	case g.OneOf != nil:
		return !slices.ContainsFunc(g.OneOf, func(v Value) bool { return !other.Allows(v) })
	case g.AtLeast != nil && g.AtMost != nil && g.AtLeast.equals(*g.AtMost):
		return other.Allows(*g.AtLeast)
	case other.Require != nil || other.OneOf != nil:
		return false
	}
	return (other.AtLeast == nil || g.AtLeast != nil && g.AtLeast.atLeast(*other.AtLeast)) &&
		(other.AtMost == nil || g.AtMost != nil && other.AtMost.atLeast(*g.AtMost))
}

func (g Guarantee) words(there bool) string {
	switch {
	case !there:
		return ""
	case g.Statement == "":
		return g.String()
	}
	return fmt.Sprintf("%s: %q", g, g.Statement)
}

func (p *Plan) amendGroups(before, after *Policy) {
	for _, name := range either(before.groups, after.groups) {
		was, is := members(before.groups[name]), members(after.groups[name])
		if was != is {
			p.amended(ChangesOther, "groups", string(name), was, is)
		}
	}
}

func members(g group) string { return joined(slices.Sorted(slices.Values(g.members))) }

func (p *Plan) amendRoutes(before, after *Policy) {
	was, is := before.patterns(), after.patterns()
	for _, class := range either(was, is) {
		if old, now := strings.Join(was[class], ", "), strings.Join(is[class], ", "); old != now {
			p.amended(p.effectOfRoutes(class, before, after), "routes", class, old, now)
		}
	}
}

// patterns returns the patterns of each route class, sorted, without those that
// are always essential.
func (p *Policy) patterns() map[string][]string {
	all := make(map[string][]string)
	for _, rule := range p.routes.Rules() {
		class, pattern := p.classes[rule.Class], rule.Pattern.String()
		if class == Essential && slices.Contains(always[:], pattern[strings.IndexByte(pattern, '/'):]) {
			continue
		}
		all[class] = append(all[class], pattern)
	}
	for _, patterns := range all {
		slices.Sort(patterns)
	}
	return all
}

// effectOfRoutes says what it does that requests change their class because of
// the patterns of one, beside what the moves of their class do.
func (p *Plan) effectOfRoutes(class string, before, after *Policy) Effect {
	// A request that changes its class matched a pattern that its class has
	// no longer, or matches one that its class now has.
	type change struct{ from, to string }
	possible := make(map[change]bool)
	for _, gone := range before.lacking(class, after) {
		for _, to := range after.meeting(gone) {
			possible[change{class, to}] = true
		}
	}
	for _, added := range after.lacking(class, before) {
		for _, from := range before.meeting(added) {
			possible[change{from, class}] = true
		}
	}
	delete(possible, change{class, class})

	effect := ChangesOther
	for _, code := range p.jurisdictions() {
		was, is := p.before.course(code), p.after.course(code)
		for c := range possible {
			before, stayed, after := was.path(c.from), is.path(c.from), is.path(c.to)
			for _, at := range times(p.At, before, stayed, after) {
				switch reclassed(before.at(at), stayed.at(at), after.at(at), c.from, c.to) {
				case OpensMarket:
					return OpensMarket
				case WithdrawsMarket:
					effect = WithdrawsMarket
				}
			}
		}
	}
	return effect
}

// lacking returns the patterns of a class that another policy doesn't have in
// it.
func (p *Policy) lacking(class string, other *Policy) []routes.Pattern {
	has := make(map[string]bool)
	for _, rule := range other.routes.Rules() {
		if other.classes[rule.Class] == class {
			has[rule.Pattern.String()] = true
		}
	}
	var lacking []routes.Pattern
	for _, rule := range p.routes.Rules() {
		if p.classes[rule.Class] == class && !has[rule.Pattern.String()] {
			lacking = append(lacking, rule.Pattern)
		}
	}
	return lacking
}

// meeting returns the classes that requests which match a pattern may have.
func (p *Policy) meeting(pattern routes.Pattern) []string {
	classes := []string{Other}
	for _, rule := range p.routes.Rules() {
		if class := p.classes[rule.Class]; !slices.Contains(classes, class) && pattern.Meets(rule.Pattern) {
			classes = append(classes, class)
		}
	}
	return classes
}

// reclassed is what it does that requests of one class become those of another,
// beside what the move of the class they had does.
func reclassed(before, stayed, after Treatment, from, to string) Effect {
	effect := before.effect(after)
	if refused := before.Refuses(from); refused != after.Refuses(to) {
		effect = WithdrawsMarket
		if refused {
			effect = OpensMarket
		}
	}
	if effect == before.effect(stayed) {
		return ""
	}
	return effect
}

func (p *Plan) amendDemands(before, after *Policy) {
	for _, name := range either(before.demands, after.demands) {
		old, had := before.demands[name]
		now, has := after.demands[name]
		effect := ChangesOther
		if had && p.weakens(name) {
			effect = WeakensDemand
		}
		if had != has || !sameDemand(old, now) || effect != ChangesOther {
			p.amended(effect, "demands", name, old.words(had), now.words(has))
		}
	}
}

// weight orders stages by how near a demand is to binding.
func (s Stage) weight() int {
	switch s {
	case Proposed:
		return 1
	case Adopted:
		return 2
	case InForce:
		return 3
	}
	return 0
}

// weakens says whether a demand of the policy in use is taken back a stage, or
// binds less: later, fewer places, fewer routes, or to other values.
func (p *Plan) weakens(name string) bool {
	before, after := p.before.policy, p.after.policy
	old, now := before.demands[name], after.demands[name]
	switch {
	case now.Stage.weight() < old.Stage.weight(), old.Binds() && !now.Binds():
		return true
	case !old.Binds():
		return false
	case now.InForce.After(old.InForce):
		return true
	case now.Routes != nil && (old.Routes == nil || slices.ContainsFunc(old.Routes, func(class string) bool { return !now.concerns(class) })):
		return true
	}
	for flag, value := range old.Requires {
		if still, ok := now.Requires[flag]; !ok || !still.equals(value) {
			return true
		}
	}
	bound := make(map[Code]bool)
	for _, place := range after.bound(now) {
		bound[place.Jurisdiction()] = true
	}
	return slices.ContainsFunc(before.bound(old), func(place Place) bool {
		return !bound[place.Jurisdiction()] && !bound[place.Subdivisions[0]] && !bound[place.Country]
	})
}

func sameDemand(a, b Demand) bool {
	sameTime := a.InForce.Equal(b.InForce)
	a.InForce, b.InForce = time.Time{}, time.Time{}
	return sameTime && reflect.DeepEqual(a, b)
}

// words say all that a demand says.
func (d Demand) words(there bool) string {
	if !there {
		return ""
	}
	words := []string{string(d.Stage)}
	if !d.InForce.IsZero() {
		words[0] += " from " + exactly(d.InForce)
	}
	where := string(d.Jurisdiction)
	if d.Territories != nil {
		where += fmt.Sprintf(" (territories: %t)", *d.Territories)
	}
	words = append(words, where)
	if d.Routes != nil {
		words = append(words, "routes "+strings.Join(d.Routes, " "))
	}
	for _, flag := range slices.Sorted(maps.Keys(d.Requires)) {
		words = append(words, fmt.Sprintf("requires %s: %s", flag, d.Requires[flag]))
	}
	for _, text := range []struct{ name, value string }{{"title", d.Title}, {"authority", d.Authority}, {"source", d.Source}} {
		if text.value != "" {
			words = append(words, fmt.Sprintf("%s %q", text.name, text.value))
		}
	}
	if !d.Disclosed() {
		words = append(words, "not disclosed")
	}
	return strings.Join(words, ", ")
}

func (p *Plan) amendFlags(before, after *Policy) {
	for _, name := range either(before.settings, after.settings) {
		was, is := before.settings[name].words(), after.settings[name].words()
		if was != is {
			p.amended(ChangesOther, "flags", name, was, is)
		}
	}
}

func (s *setting) words() string {
	if s == nil {
		return ""
	}
	var words []string
	if !s.value.IsZero() {
		words = append(words, s.value.exact())
	}
	for _, code := range slices.Sorted(maps.Keys(s.in)) {
		words = append(words, fmt.Sprintf("%s: %s", code, s.in[code].exact()))
	}
	return strings.Join(words, ", ")
}

// exact writes a value in full, however long it is.
func (v Value) exact() string {
	if text, ok := v.of.(string); ok {
		return fmt.Sprintf("%q", text)
	}
	return v.String()
}

// amendJurisdictions also notes whom the entries that differ speak of.
func (p *Plan) amendJurisdictions(before, after *Policy) {
	moved := make(map[Code]bool)
	for _, m := range p.Moves {
		for _, code := range m.Jurisdictions {
			place := PlaceOf(code)
			moved[code], moved[place.Country], moved[place.Subdivisions[0]] = true, true, true
		}
	}
	told := func(code Code) bool {
		for !slices.Contains(p.Exceptions, code) && p.around(code) != "" {
			code = p.around(code)
		}
		return moved[code]
	}
	for _, code := range either(before.entries, after.entries) {
		old, now := before.entries[code], after.entries[code]
		was, is := before.words(old), after.words(now)
		reached, reaches := before.Reaches(code), after.Reaches(code)
		regrouped := !slices.Equal(slices.Sorted(slices.Values(reached)), slices.Sorted(slices.Values(reaches)))
		if was != is {
			concerned := slices.Concat([]Code{code}, reached, reaches)
			hides := func(effect Effect) bool {
				return slices.ContainsFunc(concerned, func(code Code) bool { return slices.Contains(p.hidden[effect], code) })
			}
			effect := ChangesOther
			switch {
			case old != nil && now != nil && !slices.Equal(old.because, now.because):
			case hides(OpensMarket):
				effect = OpensMarket
			case hides(WithdrawsMarket):
				effect = WithdrawsMarket
			case slices.ContainsFunc(concerned, told):
				effect = ""
			}
			p.amended(effect, "jurisdictions", string(code), was, is)
		}
		if now == nil {
			reaches = reached
		}
		if (was != is || regrouped) && len(reaches) > 0 {
			p.Expansions = append(p.Expansions, Expansion{code, slices.Sorted(slices.Values(reaches))})
		}
	}
}

// words say all that an entry says.
func (p *Policy) words(e *entry) string {
	if e == nil {
		return ""
	}
	var words []string
	for _, step := range e.steps {
		if step.From.IsZero() {
			words = append(words, step.Phase.String())
		} else {
			words = append(words, fmt.Sprintf("%s from %s", step.Phase, exactly(step.From)))
		}
	}
	if e.features != nil {
		words = append(words, "routes "+strings.Join(p.classesOf(e), " "))
	}
	if e.territories {
		words = append(words, "with territories")
	}
	if e.because != nil {
		words = append(words, "because of "+strings.Join(e.because, " "))
	}
	return strings.Join(words, ", ")
}

func (p *Plan) amendNotices(before, after *Policy) {
	for _, code := range either(before.notices, after.notices) {
		old, had := before.notices[code]
		now, has := after.notices[code]
		if had != has || !reflect.DeepEqual(old, now) {
			p.amended(ChangesOther, "notices", string(code), old.words(had), now.words(has))
		}
	}
}

// words say all that a notice says.
func (n Notice) words(there bool) string {
	if !there {
		return ""
	}
	var words []string
	if n.Status != 0 {
		words = append(words, fmt.Sprintf("status %d", n.Status))
	}
	for _, link := range []struct{ name, value string }{{"blocked-by", n.BlockedBy}, {"appeal", n.Appeal}, {"export", n.Export}} {
		if link.value != "" {
			words = append(words, link.name+" "+link.value)
		}
	}
	for _, language := range slices.Sorted(maps.Keys(n.Texts)) {
		text := n.Texts[language]
		words = append(words, fmt.Sprintf("%s %q %q", language, text.Title, text.Body))
	}
	return cmp.Or(strings.Join(words, ", "), "as built in")
}

func (p *Plan) amendAcknowledgements(before, after *Policy) {
	was, is := before.acknowledgedUntil(), after.acknowledgedUntil()
	for _, name := range either(was, is) {
		old, now := was[name], is[name]
		switch {
		case now.After(old):
			p.amended(AcknowledgesBreach, "acknowledge", name, exactly(old), exactly(now))
		case now.Before(old):
			p.amended(ChangesOther, "acknowledge", name, exactly(old), exactly(now))
		}
	}
}

// acknowledgedUntil returns up to when breaches are acknowledged, by flag and
// jurisdiction in words.
func (p *Policy) acknowledgedUntil() map[string]time.Time {
	until := make(map[string]time.Time)
	for _, a := range p.acknowledged {
		where := "everywhere"
		if a.jurisdiction != "" {
			where = "in " + string(a.jurisdiction)
		}
		for _, flag := range a.flags {
			if name := flag + " " + where; a.at.After(until[name]) {
				until[name] = a.at
			}
		}
	}
	return until
}

// exactly writes a moment in full, none for zero.
func exactly(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func joined(codes []Code) string {
	names := make([]string, len(codes))
	for i, code := range codes {
		names[i] = string(code)
	}
	return strings.Join(names, ", ")
}

// either returns the keys of two maps, sorted.
func either[K cmp.Ordered, V any](a, b map[K]V) []K {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
