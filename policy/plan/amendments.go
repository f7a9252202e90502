package plan

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/routes"
)

// An Amendment is a difference between the documents.
type Amendment struct {
	// Effect is empty for an entry under jurisdictions whose effect the moves
	// tell.
	Effect  Effect `json:"effect,omitempty"`
	Section string `json:"section"`          // the key at the root of the document
	Name    string `json:"name,omitempty"`   // what is amended in it
	Before  string `json:"before,omitempty"` // in words; empty: it wasn't there
	After   string `json:"after,omitempty"`  // empty: it is gone
	// Dropped are the steps still to come of a market's schedule that are no
	// longer in it.
	Dropped []policy.Step `json:"dropped,omitempty"`
}

// An Expansion is whom an entry that is amended covers beside itself: the
// members of a group, the territories of a country.
type Expansion struct {
	Jurisdiction policy.Code   `json:"jurisdiction"`
	Reaches      []policy.Code `json:"reaches"`
}

// addAmendments finds all amendments, in the order of the document's sections.
func (p *Plan) addAmendments() {
	before, after := p.before.policy, p.after.policy
	p.amendMode(before, after)
	p.amendGuarantees(before, after)
	p.amendGroups(before, after)
	p.amendRoutes(before, after)
	p.amendDemands(before, after)
	p.amendFlags(before, after)
	p.amendJurisdictions(before, after)
	p.amendWithdrawal(before, after)
	p.amendNotices(before, after)
	p.amendAcknowledgements(before, after)
	p.amendApprovals(before, after)
}

func (p *Plan) addAmendment(effect Effect, section, name, before, after string) {
	p.Amendments = append(p.Amendments, Amendment{Effect: effect, Section: section, Name: name, Before: before, After: after})
}

func (p *Plan) amendMode(before, after *policy.Policy) {
	if before.Mode() == after.Mode() {
		return
	}
	effect := WithdrawsMarket
	if after.Mode() == policy.Observe {
		effect = OpensMarket
	}
	p.addAmendment(effect, "mode", "", string(before.Mode()), string(after.Mode()))
}

func (p *Plan) amendGuarantees(before, after *policy.Policy) {
	was, is := before.Definition().Guarantees, after.Definition().Guarantees
	for _, name := range allKeys(was, is) {
		old, had := was[name]
		now, has := is[name]
		if reflect.DeepEqual(old, now) && had == has {
			continue
		}
		effect := ChangesOther
		if had && !(has && implies(now, old)) {
			effect = WeakensGuarantee
		}
		p.addAmendment(effect, "guarantees", name, formatGuarantee(old, had), formatGuarantee(now, has))
	}
}

// implies reports whether whatever meets a guarantee meets the other one, too.
// Where that is not plain to see, it reports that it doesn't.
func implies(g, other policy.Guarantee) bool {
	switch {
	case g.Require != nil:
		return other.Allows(*g.Require)
	case g.OneOf != nil:
		return !slices.ContainsFunc(g.OneOf, func(v policy.Value) bool { return !other.Allows(v) })
	case g.AtLeast != nil && g.AtMost != nil && g.AtLeast.Equal(*g.AtMost):
		return other.Allows(*g.AtLeast)
	case other.Require != nil || other.OneOf != nil:
		return false
	}
	return (other.AtLeast == nil || g.AtLeast != nil && g.AtLeast.AtLeast(*other.AtLeast)) &&
		(other.AtMost == nil || g.AtMost != nil && other.AtMost.AtLeast(*g.AtMost))
}

func formatGuarantee(g policy.Guarantee, exists bool) string {
	switch {
	case !exists:
		return ""
	case g.Statement == nil:
		return g.String()
	}
	return fmt.Sprintf("%s: %s", g, g.Statement.Quote())
}

func (p *Plan) amendGroups(before, after *policy.Policy) {
	was, is := before.Definition().Groups, after.Definition().Groups
	for _, name := range allKeys(was, is) {
		if old, now := formatGroup(was[name]), formatGroup(is[name]); old != now {
			p.addAmendment(ChangesOther, "groups", name, old, now)
		}
	}
}

func formatGroup(members []string) string {
	return strings.Join(slices.Sorted(slices.Values(members)), ", ")
}

func (p *Plan) amendRoutes(before, after *policy.Policy) {
	was, is := patterns(before), patterns(after)
	for _, class := range allKeys(was, is) {
		if old, now := strings.Join(was[class], ", "), strings.Join(is[class], ", "); old != now {
			effects := p.effectsOfRoutes(class, before, after)
			p.addAmendment(effects[0], "routes", class, old, now)
			p.Effects = append(p.Effects, effects[1:]...)
		}
	}
}

// patterns returns the patterns of each route class, sorted, without those that
// are always essential.
func patterns(p *policy.Policy) map[string][]string {
	all := make(map[string][]string)
	classes := p.Classes()
	for _, rule := range p.RouteRules() {
		class, pattern := classes[rule.Class], rule.Pattern.String()
		if class == policy.Essential && policy.IsAlwaysEssential(pattern[strings.IndexByte(pattern, '/'):]) {
			continue
		}
		all[class] = append(all[class], pattern)
	}
	for _, patterns := range all {
		slices.Sort(patterns)
	}
	return all
}

// effectsOfRoutes returns what it does that requests change their class because of
// the patterns of one, beside what the moves of their class do: at least one
// effect, the gravest first.
func (p *Plan) effectsOfRoutes(class string, before, after *policy.Policy) []Effect {
	// A request that changes its class matched a pattern that its class has
	// no longer, or matches one that its class now has.
	type change struct{ from, to string }
	possible := make(map[change]bool)
	for _, gone := range patternsMissing(class, before, after) {
		for _, to := range overlappingClasses(after, gone) {
			possible[change{class, to}] = true
		}
	}
	for _, added := range patternsMissing(class, after, before) {
		for _, from := range overlappingClasses(before, added) {
			possible[change{from, class}] = true
		}
	}
	delete(possible, change{class, class})

	var opens, withdraws bool
	for _, code := range p.jurisdictions() {
		was, is := p.before.outcome(code), p.after.outcome(code)
		for c := range possible {
			before, stayed, after := was.timeline(c.from), is.timeline(c.from), is.timeline(c.to)
			for _, at := range times(p.At, before, stayed, after) {
				switch effectOfReclass(before.at(at), stayed.at(at), after.at(at), c.from, c.to) {
				case OpensMarket:
					opens = true
				case WithdrawsMarket:
					withdraws = true
				}
			}
		}
	}
	switch {
	case opens && withdraws:
		return []Effect{OpensMarket, WithdrawsMarket}
	case opens:
		return []Effect{OpensMarket}
	case withdraws:
		return []Effect{WithdrawsMarket}
	}
	return []Effect{ChangesOther}
}

// patternsMissing returns the patterns that a class has in one policy and not in
// another.
func patternsMissing(class string, in, from *policy.Policy) []routes.Pattern {
	others := make(map[string]bool)
	for _, pattern := range patternsOf(class, from) {
		others[pattern.String()] = true
	}
	return slices.DeleteFunc(patternsOf(class, in), func(p routes.Pattern) bool { return others[p.String()] })
}

func patternsOf(class string, p *policy.Policy) []routes.Pattern {
	classes := p.Classes()
	var patterns []routes.Pattern
	for _, rule := range p.RouteRules() {
		if classes[rule.Class] == class {
			patterns = append(patterns, rule.Pattern)
		}
	}
	return patterns
}

// overlappingClasses returns the classes that requests which match a pattern may
// have.
func overlappingClasses(p *policy.Policy, pattern routes.Pattern) []string {
	names, classes := p.Classes(), []string{policy.Other}
	for _, rule := range p.RouteRules() {
		if class := names[rule.Class]; !slices.Contains(classes, class) && pattern.Overlaps(rule.Pattern) {
			classes = append(classes, class)
		}
	}
	return classes
}

// effectOfReclass is what it does that requests of one class become those of
// another, beside what the move of the class they had does.
func effectOfReclass(before, stayed, after Treatment, from, to string) Effect {
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

func (p *Plan) amendDemands(before, after *policy.Policy) {
	demandsBefore, demandsAfter := before.Demands(), after.Demands()
	for _, name := range allKeys(demandsBefore, demandsAfter) {
		old, had := demandsBefore[name]
		now, has := demandsAfter[name]
		effect := ChangesOther
		if had && weakens(old, before, now, after) {
			effect = WeakensDemand
		}
		if had != has || !sameDemand(old, now) || effect != ChangesOther {
			p.addAmendment(effect, "demands", name, formatDemand(old, had), formatDemand(now, has))
		}
	}
}

// weight orders stages by how near a demand is to binding.
func weight(s policy.Stage) int {
	switch s {
	case policy.Proposed, policy.Revived:
		return 1
	case policy.Passed:
		return 2
	case policy.Adopted:
		return 3
	case policy.InForce:
		return 4
	}
	return 0
}

// weakens reports whether a demand of the policy in use is taken back a stage,
// or binds less: later, fewer places, fewer routes, or to other values.
func weakens(old policy.Demand, before *policy.Policy, now policy.Demand, after *policy.Policy) bool {
	if weight(now.Stage) < weight(old.Stage) {
		return true
	}
	for _, duty := range old.Duties() {
		if !duty.Binds() {
			continue
		}
		for flag, value := range duty.Flags() {
			kept := func(by policy.Duty) bool {
				still, requires := by.Flags()[flag]
				return requires && still.Equal(value) && covers(by, duty)
			}
			if !slices.ContainsFunc(now.Duties(), kept) {
				return true
			}
		}
	}
	if !old.Binds() {
		return false
	}
	bound := make(map[policy.Code]bool)
	for _, place := range after.BoundPlaces(now) {
		bound[place.Jurisdiction()] = true
	}
	return slices.ContainsFunc(before.BoundPlaces(old), func(place policy.Place) bool {
		return !bound[place.Jurisdiction()] && !bound[place.Subdivisions[0]] && !bound[place.Country]
	})
}

// covers reports whether what binds now binds no later than what did, and in as many
// route classes.
func covers(now, old policy.Duty) bool {
	return now.Binds() && !now.InForce.After(old.InForce) &&
		(now.Routes == nil || old.Routes != nil && !slices.ContainsFunc(old.Routes, func(class string) bool { return !now.Concerns(class) }))
}

func sameDemand(a, b policy.Demand) bool {
	return formatDemand(a, true) == formatDemand(b, true)
}

// formatStage writes all that a stage says.
func formatStage(s policy.DatedStage) string {
	words := []string{string(s.Stage)}
	add := func(what, value string) {
		if value != "" {
			words = append(words, what+" "+value)
		}
	}
	add("on", s.Date)
	if !s.InForce.IsZero() {
		add("in force from", formatTime(s.InForce))
	}
	if !s.Until.IsZero() {
		add("until", formatTime(s.Until))
	}
	add("source", s.Source)
	add("evidence", s.Evidence)
	return strings.Join(words, " ")
}

// inForceDate is where a text about a demand says from when it is in force.
var inForceDate = regexp.MustCompile(`^(\S+) from [^ ,]+`)

// InWords returns what was and what is, for people: of a demand its date of coming into
// force only at the stages that have it. Before and After have it at each, as they are
// part of the hash.
func (a Amendment) InWords() (before, after string) {
	words := func(text string) string {
		stage, _, _ := strings.Cut(text, " ")
		if a.Section != "demands" || stage == string(policy.Adopted) || stage == string(policy.InForce) {
			return text
		}
		return inForceDate.ReplaceAllString(text, "$1")
	}
	return words(a.Before), words(a.After)
}

// formatDemand writes all that a demand says.
func formatDemand(d policy.Demand, exists bool) string {
	if !exists {
		return ""
	}
	words := []string{string(d.Stage)}
	if !d.InForce.IsZero() {
		words[0] += " from " + formatTime(d.InForce)
	}
	if until := d.SuspendedUntil(); !until.IsZero() {
		words[0] += " until " + formatTime(until)
	}
	for i, s := range d.Stages {
		words = append(words, fmt.Sprintf("stage %d %s", i+1, formatStage(s)))
	}
	if d.Kind != "" {
		words = append(words, string(d.Kind))
	}
	where := string(d.Jurisdiction)
	switch t := d.Territories; {
	case t.Equal(policy.AllTerritories()), t.Equal(policy.NoTerritories()):
		where += fmt.Sprintf(" (territories: %t)", t.Equal(policy.AllTerritories())) // as ever: it is part of the hash
	case t.Said():
		where += fmt.Sprintf(" (territories: %s)", t)
	}
	words = append(words, where)
	if d.Routes != nil {
		words = append(words, "routes "+strings.Join(d.Routes, " "))
	}
	for _, r := range d.Requires {
		when := ""
		if !r.From.IsZero() {
			when = " from " + formatTime(r.From)
		}
		if r.Routes != nil {
			when += " for " + strings.Join(r.Routes, " ")
		}
		for _, flag := range slices.Sorted(maps.Keys(r.Flags)) {
			words = append(words, fmt.Sprintf("requires %s: %s%s", flag, r.Flags[flag], when))
		}
	}
	if d.Title != nil {
		words = append(words, "title "+d.Title.Quote())
	}
	if d.Authority != nil {
		words = append(words, "authority "+d.Authority.Quote())
	}
	if d.Source != "" {
		words = append(words, fmt.Sprintf("source %q", d.Source))
	}
	if !d.Disclosed() {
		words = append(words, "not disclosed")
	}
	return strings.Join(words, ", ")
}

func (p *Plan) amendFlags(before, after *policy.Policy) {
	for _, name := range allKeys(before.Definition().Flags, after.Definition().Flags) {
		was, is := formatSetting(before, name), formatSetting(after, name)
		if was != is {
			p.addAmendment(ChangesOther, "flags", name, was, is)
		}
	}
}

// formatSetting writes what a policy sets a flag to, as values of its type.
func formatSetting(p *policy.Policy, name string) string {
	setting := p.Definition().Flags[name]
	flag, _ := p.Flag(name)
	var words []string
	if setting.Value != nil {
		words = append(words, formatValue(*setting.Value, flag.Kind))
	}
	for _, code := range slices.Sorted(maps.Keys(setting.In)) {
		words = append(words, fmt.Sprintf("%s: %s", code, formatValue(setting.In[code], flag.Kind)))
	}
	return strings.Join(words, ", ")
}

// formatValue writes a value in full, however long it is.
func formatValue(v policy.Value, kind policy.Kind) string {
	v, _ = v.As(kind)
	if text, ok := v.Any().(string); ok {
		return fmt.Sprintf("%q", text)
	}
	return v.String()
}

// amendJurisdictions also notes whom the entries that differ refer to.
func (p *Plan) amendJurisdictions(before, after *policy.Policy) {
	moved := make(map[policy.Code]bool)
	for _, m := range p.Moves {
		for _, code := range m.Jurisdictions {
			if m.UnknownPart { // said by the entries of the parts
				for _, part := range slices.Concat(p.before.withheld[code], p.after.withheld[code]) {
					moved[part] = true
				}
				continue
			}
			place := policy.PlaceOf(code)
			moved[code], moved[place.Country], moved[place.Subdivisions[0]] = true, true, true
		}
	}
	movesAlong := func(code policy.Code) bool {
		if code == policy.Default {
			return len(p.Moves) > 0
		}
		for !slices.Contains(p.Exceptions, code) && p.parentOf(code) != "" {
			code = p.parentOf(code)
		}
		return moved[code]
	}
	entriesBefore, entriesAfter := before.Definition().Jurisdictions, after.Definition().Jurisdictions
	for _, name := range allKeys(entriesBefore, entriesAfter) {
		code := policy.Code(name)
		old, had := entriesBefore[name]
		now, has := entriesAfter[name]
		was, is := formatEntry(old, before, before.Rule(code)), formatEntry(now, after, after.Rule(code))
		reached, reaches := before.Reaches(code), after.Reaches(code)
		regrouped := !slices.Equal(slices.Sorted(slices.Values(reached)), slices.Sorted(slices.Values(reaches)))
		if was != is {
			concerned := slices.Concat([]policy.Code{code}, reached, reaches)
			hides := func(effect Effect) bool {
				return code == policy.Default && p.hidden[effect] != nil || slices.ContainsFunc(concerned, func(code policy.Code) bool { return slices.Contains(p.hidden[effect], code) })
			}
			effect := ChangesOther
			switch withheld, withholds := old.UnknownPart == policy.WithholdPart, now.UnknownPart == policy.WithholdPart; {
			case withheld && !withholds:
				effect = OpensMarket // to those who may be there or not
			case withholds && !withheld:
				effect = WithdrawsMarket
			case had && has && !slices.Equal(old.Because, now.Because):
			case hides(OpensMarket):
				effect = OpensMarket
			case hides(WithdrawsMarket):
				effect = WithdrawsMarket
			case slices.ContainsFunc(concerned, movesAlong):
				effect = ""
			}
			p.addAmendment(effect, "jurisdictions", string(code), was, is)
			p.Amendments[len(p.Amendments)-1].Dropped = droppedSteps(before.Rule(code), after.Rule(code), p.At)
		}
		if !has {
			reaches = reached
		}
		if (was != is || regrouped) && len(reaches) > 0 {
			p.Expansions = append(p.Expansions, Expansion{code, slices.Sorted(slices.Values(reaches))})
		}
	}
}

// droppedSteps returns the steps after a moment that one rule has and another,
// which there may not be, has not.
func droppedSteps(before, after *policy.Rule, at time.Time) []policy.Step {
	if before == nil {
		return nil
	}
	var left, dropped []policy.Step
	if after != nil {
		left = slices.Concat(after.Timelines()...)
	}
	for _, steps := range before.Timelines() {
		for _, step := range steps[len(before.TakenOf(steps, at)):] {
			if !slices.ContainsFunc(left, step.Equal) && !slices.ContainsFunc(dropped, step.Equal) {
				dropped = append(dropped, policy.Step{From: step.From.UTC(), Phase: step.Phase})
			}
		}
	}
	return dropped
}

// formatEntry writes all that an entry says, nothing if there is none.
func formatEntry(e policy.Entry, p *policy.Policy, r *policy.Rule) string {
	if r == nil {
		return ""
	}
	var words []string
	for _, step := range r.Steps() {
		words = append(words, formatStep(step))
	}
	for _, f := range p.Features(r) {
		if r.Steps() == nil && len(p.Features(r)) == 1 {
			for _, step := range f.Steps {
				words = append(words, formatStep(step))
			}
			words = append(words, "routes "+strings.Join(f.Routes, " ")) // as ever: it is part of the hash
			continue
		}
		for _, step := range f.Steps {
			words = append(words, strings.Join(f.Routes, " ")+" "+formatStep(step))
		}
	}
	switch t := e.Territories; {
	case t.Equal(policy.AllTerritories()):
		words = append(words, "with territories")
	case t.Said() && !t.Equal(policy.NoTerritories()):
		words = append(words, fmt.Sprintf("with the territories %s", t))
	}
	if e.UnknownPart != "" {
		words = append(words, "unknown parts: "+string(e.UnknownPart))
	}
	if e.Drain != nil {
		words = append(words, "drain "+policy.FormatDrain(*e.Drain))
	}
	if e.Because != nil {
		words = append(words, "because of "+strings.Join(e.Because, " "))
	}
	return strings.Join(words, ", ")
}

func formatStep(s policy.Step) string {
	if s.From.IsZero() {
		return s.Phase.String()
	}
	return fmt.Sprintf("%s from %s", s.Phase, formatTime(s.From))
}

func (p *Plan) amendWithdrawal(before, after *policy.Policy) {
	was, is := before.Definition().Withdrawal, after.Definition().Withdrawal
	if was != is {
		p.addAmendment(ChangesOther, "withdrawal", "drain", policy.FormatDrain(was.Drain), policy.FormatDrain(is.Drain))
	}
}

func (p *Plan) amendNotices(before, after *policy.Policy) {
	noticesBefore, noticesAfter := before.Notices(), after.Notices()
	for _, code := range allKeys(noticesBefore, noticesAfter) {
		old, had := noticesBefore[code]
		now, has := noticesAfter[code]
		if had != has || !reflect.DeepEqual(old, now) {
			p.addAmendment(ChangesOther, "notices", string(code), formatNotice(old, had), formatNotice(now, has))
		}
	}
}

// formatNotice writes all that a notice says.
func formatNotice(n policy.Notice, exists bool) string {
	if !exists {
		return ""
	}
	var words []string
	if n.Status != 0 {
		words = append(words, fmt.Sprintf("status %d", n.Status))
	}
	for _, link := range n.Links() {
		words = append(words, link.Field+" "+link.Address)
	}
	for _, language := range slices.Sorted(maps.Keys(n.Texts)) {
		text := n.Texts[language]
		words = append(words, fmt.Sprintf("%s %q %q", language, text.Title, text.Body))
	}
	return cmp.Or(strings.Join(words, ", "), "as built in")
}

func (p *Plan) amendAcknowledgements(before, after *policy.Policy) {
	was, is := acknowledgedUntil(before), acknowledgedUntil(after)
	for _, name := range allKeys(was, is) {
		old, now := was[name], is[name]
		switch {
		case now.After(old):
			p.addAmendment(AcknowledgesBreach, "acknowledge", name, formatTime(old), formatTime(now))
		case now.Before(old):
			p.addAmendment(ChangesOther, "acknowledge", name, formatTime(old), formatTime(now))
		}
	}
}

// acknowledgedUntil returns up to when breaches are acknowledged, by flag and
// jurisdiction in words.
func acknowledgedUntil(p *policy.Policy) map[string]time.Time {
	until := make(map[string]time.Time)
	demands := p.Demands()
	for _, a := range p.Definition().Acknowledge {
		where := "everywhere"
		flags, jurisdiction := a.Scope(demands)
		if jurisdiction != "" {
			where = "in " + string(jurisdiction)
		}
		for _, flag := range flags {
			if name := flag + " " + where; a.At.After(until[name]) {
				until[name] = a.At
			}
		}
	}
	return until
}

func (p *Plan) amendApprovals(before, after *policy.Policy) {
	was, is := before.Approvals(), after.Approvals()
	for _, rule := range effects[1:] {
		old, now := approvalsFor(was, rule), approvalsFor(is, rule)
		switch {
		case now < old:
			p.addAmendment(WeakensApprovals, "approvals", string(rule), strconv.Itoa(old), strconv.Itoa(now))
		case now > old:
			p.addAmendment(ChangesOther, "approvals", string(rule), strconv.Itoa(old), strconv.Itoa(now))
		}
	}
	if was.Expire != is.Expire {
		p.addAmendment(ChangesOther, "approvals", "expire", was.FormatExpire(), is.FormatExpire())
	}
}

// formatTime writes a moment in full, none for zero.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// allKeys returns the keys of two maps, sorted.
func allKeys[K cmp.Ordered, V any](a, b map[K]V) []K {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
