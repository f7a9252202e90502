package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
	"github.com/exitgate/exitgate/policy/routes"
)

// Warnings returns what is allowed but probably not meant, as of a moment.
func (p *Policy) Warnings(at time.Time) []Problem {
	b := &builder{def: p.def, policy: p}
	b.warn()
	for _, code := range p.Jurisdictions() {
		b.warnOfShortNotice(p.rules[code], at)
	}
	return b.warnings
}

func (p *builder) warn() {
	for _, code := range p.policy.Jurisdictions() {
		p.warnOfAlias(code, key("jurisdictions", string(code)))
		p.warnOfEntry(p.policy.rules[code])
	}
	for _, name := range slices.Sorted(maps.Keys(p.def.Groups)) {
		for i, member := range p.def.Groups[name] {
			p.warnOfAlias(Code(member), at("groups", name, i))
		}
		p.warnOfTerritories(name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.policy.demands)) {
		p.warnOfDemand(name, p.policy.demands[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.def.Notices)) {
		if code := Code(name); code != Default && len(p.policy.rules) > 0 && !p.policy.usesNotice(code) {
			p.warnf("add an entry under jurisdictions:, or remove the notice", key("notices", name), "the notice of %s is never used", name)
		}
		p.warnOfLinks(Code(name))
	}
}

func (p *builder) warnOfAlias(code Code, path []any) {
	if country, ok := iso3166.Alias(string(code)); ok {
		p.warnf("write "+country+" to be sure", path, "databases locate %s (%s) as %s, a code of its own", code, Name(code), country)
	}
}

// warnOfTerritories tells of territories of a group's members that a law or an entry about
// the group doesn't reach: a country's own entry has to say which it does.
func (p *builder) warnOfTerritories(group string) {
	code := Code(group)
	e := p.policy.rules[code]
	concerned := e != nil && slices.ContainsFunc(e.Timelines(), func(steps []Step) bool {
		return slices.ContainsFunc(steps, func(s Step) bool { return s.Phase > Open })
	})
	for _, d := range p.policy.demands {
		concerned = concerned || d.Jurisdiction == code && !d.Stage.IsOver()
	}
	members := p.policy.groups[code].members
	for i, member := range p.def.Groups[group] {
		left := slices.DeleteFunc(TerritoriesOf(Code(member)), func(t Code) bool {
			return slices.Contains(members, t) || p.policy.rules[t] != nil || p.policy.territoryOf[t] != nil
		})
		if concerned && len(left) > 0 {
			p.warnf("add those to the group in which it is law", at("groups", group, i), "%s has %s in it, and not its territories %s", group, member, joinCodes(left))
		}
	}
}

func (p *builder) warnOfEntry(e *Rule) {
	path := key("jurisdictions", string(e.code))
	for _, step := range e.steps {
		switch step.Phase {
		case ClosedToNew:
			p.warnOfMissing(SignUp, step.Phase, path)
		case WindDown:
			p.warnOfMissing(Export, step.Phase, path)
		}
	}
	p.warnOfPast(e)
	where := "features"
	if text := p.def.Jurisdictions[string(e.code)]; text.Routes != nil {
		where = "routes"
		p.warnOfRoutes(e, text)
	}
	if other := p.policy.openedBy(e); other != "" {
		p.warnf("say what the whole service gets, as in phase: withdrawn", at("jurisdictions", string(e.code), where),
			"%s is more specific than %s, and so opens whatever these features leave out", e.code, other)
	}
}

// warnOfLinks tells of links of a notice that are refused whenever it is shown, and so
// never in it. Which hosts a gateway serves isn't known here: a link is taken for one
// of them where a pattern is for its host or path.
func (p *builder) warnOfLinks(code Code) {
	var shown []*Rule
	for _, other := range p.policy.Jurisdictions() {
		if code == Default || code == other {
			shown = append(shown, p.policy.rules[other])
		}
	}
	for _, link := range p.policy.notices[code].Links() {
		u, err := url.Parse(link.Address)
		if err != nil || u.Host == "" || link.Field == "blocked-by" {
			continue
		}
		host := strings.ToLower(u.Hostname())
		class := p.policy.routes.Match("GET", host, cmp.Or(u.EscapedPath(), "/"))
		name := p.policy.classes[class]
		if name == Other && !slices.ContainsFunc(p.policy.routes.Rules(), func(r routes.Rule) bool { return hostOf(r.Pattern) == host }) {
			continue
		}
		refused := false
		offered := slices.ContainsFunc(shown, func(e *Rule) bool {
			return slices.ContainsFunc(e.StepsOf(class), func(s Step) bool {
				refused = refused || s.Phase.Refuses(name)
				return s.Phase > Announced && !s.Phase.Refuses(name)
			})
		})
		if refused && !offered {
			p.warnf("put it into the class essential, or export, under routes:", at("notices", string(code), link.Field),
				"%s is of the class %s, which is refused wherever this notice is shown: if the gateway serves it, no notice will name it", link.Address, name)
		}
	}
}

// warnOfShortNotice tells of an exit that caches can't be told of in time, as it isn't
// public until it comes, or shortly before.
func (p *builder) warnOfShortNotice(e *Rule, at time.Time) {
	if p.policy.mode == Observe {
		return
	}
	for i, steps := range e.Timelines() {
		refuses := func(s Step) bool {
			if i > 0 {
				return s.Phase == Withdrawn
			}
			return s.Phase > Announced
		}
		first := slices.IndexFunc(steps, refuses)
		if first < 0 || e.isTaken(steps[first], at) {
			continue
		}
		public, refused := reachedAt(steps, Announced), steps[first].From
		if public.IsZero() || refused.Sub(public) >= LongestFreshness {
			continue
		}
		p.warnf(fmt.Sprintf("announce it %s before, or have the caches purged then (caches.purge in the settings)", formatDelay(LongestFreshness)), key("jurisdictions", string(e.code)),
			"%s is %s from %s on, which isn't public before %s: what caches have by then they may serve for longer", e.code, steps[first].Phase, refused.Format(time.RFC3339), public.Format(time.RFC3339))
		return
	}
}

// warnOfRoutes tells how an entry with routes is written today.
func (p *builder) warnOfRoutes(e *Rule, text Entry) {
	path := at("jurisdictions", string(e.code), "routes")
	for _, f := range p.policy.Features(e) {
		for _, step := range f.Steps {
			if step.Phase >= ClosedToNew && !slices.ContainsFunc(f.Routes, step.Phase.Refuses) {
				p.warnf("list a route class that it refuses, or use another phase", path, "%s refuses nothing of %s", step.Phase, strings.Join(f.Routes, ", "))
			}
		}
	}
	p.warnf("write "+FormatFeatures(text.WithFeatures().Features), path, "routes are written as features today: they say nothing of the whole service")
}

// FormatFeatures writes features as a policy has them, in one line.
func FormatFeatures(features map[string]Feature) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(features)) {
		words = append(words, name+": "+features[name].String())
	}
	return "features: {" + strings.Join(words, ", ") + "}"
}

func (p *builder) warnOfDemand(name string, d Demand) {
	if !d.Disclosed() && !strings.ContainsAny(name, "-_0123456789") {
		p.warnf("give it a name of several words, as gb-order", key("demands", name), "%s may not be disclosed, and its name is a word: every text that has this is left out for who isn't counsel", name)
	}
	for i, r := range d.Requires {
		for _, flag := range slices.Sorted(maps.Keys(r.Flags)) {
			if _, named := p.policy.Flag(flag); !named {
				p.warnf("check its name, or guarantee it", key(append(p.requirementPath(name, i), flag)...), "the policy says nothing else of the flag %s", flag)
			}
		}
	}
	for _, duty := range d.Duties() {
		if !duty.Binds() {
			p.warnOfUnboundDemand(name, duty)
		}
	}
}

// warnOfPast tells of an entry that answers demands of which none is left.
func (p *builder) warnOfPast(e *Rule) {
	past := func(name string) bool { return p.policy.demands[name].Stage.IsOver() }
	if len(e.because) > 0 && !slices.ContainsFunc(e.because, func(name string) bool { return !past(name) }) {
		p.warnf("if nothing else speaks against it, offer the service again: remove the entry", at("jurisdictions", string(e.code), "because"),
			"%s is restricted because of %s, which is %s", e.code, strings.Join(e.because, ", "), p.policy.demands[e.because[0]].Stage)
	}
}

func (p *builder) warnOfMissing(class string, phase Phase, path []any) {
	if p.def.Routes[class] == nil {
		p.warnf(fmt.Sprintf("define %s under routes:", class), path, "%s refers to the class %s, which has no patterns", phase, class)
	}
}

// openedBy returns the entry that would govern without one that is limited to
// some route classes, if it restricts classes that the latter leaves alone; ""
// if there is none.
func (p *Policy) openedBy(e *Rule) Code {
	if e.features == nil || e.steps != nil {
		return ""
	}
	for _, code := range append(p.Reaches(e.code), e.code) {
		governing, others := mostSpecific(p.appendMatches(nil, PlaceOf(code)))
		if !slices.ContainsFunc(governing, func(m match) bool { return m.entry == e }) {
			continue
		}
		next, _ := mostSpecific(others)
		for _, m := range next {
			if m.entry.restrictsBeyond(e) {
				return m.entry.code
			}
		}
	}
	return ""
}

// restrictsBeyond reports whether an entry ever restricts a class that the other
// isn't about.
func (e *Rule) restrictsBeyond(other *Rule) bool {
	for class := range other.features {
		steps := e.StepsOf(Class(class))
		if len(steps) > 0 && steps[len(steps)-1].Phase != Open && !other.AppliesTo(Class(class)) {
			return true
		}
	}
	return false
}

// usesNotice reports whether Notice can come to use the notice of a jurisdiction.
func (p *Policy) usesNotice(code Code) bool {
	if p.HasEntry(code) || p.isGroup(code) {
		return p.HasEntry(code)
	}
	if country, ok := countryOf(code); ok {
		return slices.Contains(p.distinct[country], code)
	}
	return p.territoryOf[code] != nil || p.rulesOf[code] != nil || p.distinct[code] != nil || p.HasEntry(Anonymous) || p.HasEntry(Default)
}
