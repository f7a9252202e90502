package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The check that makes it a promise: a policy by which the service would be
// served anywhere against a guarantee, now or at any time, is an error. There
// is no way to turn it off.

// addDemands checks what laws and orders require.
func (p *builder) addDemands() {
	p.policy.demands = maps.Clone(p.def.Demands)
	if len(p.def.Demands) > mostDemands {
		p.errorf(fmt.Sprintf("name %d at most", mostDemands), key("demands"), "there are %d demands", len(p.def.Demands))
		p.policy.demands = nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.policy.demands)) {
		d := p.policy.demands[name].withStage()
		p.demand(name, d)
		if d.Disclosed() {
			d.Disclose = nil // said or not
		}
		p.policy.demands[name] = d
	}
}

func (p *builder) demand(name string, d Demand) {
	path := at("demands", name)
	if !demandName.MatchString(name) {
		p.errorf("use lower-case letters, digits, - _ and ., 80 at most, as in fr-narcotrafic-8ter", key("demands", name), "%.100q can't be the name of a demand", name)
	}
	switch code := d.Jurisdiction; {
	case code == "": // has been reported
	case isPseudo(code):
		p.errorf("use the country, subdivision or group whose law it is", append(path, "jurisdiction"), "there is no law of %s", code)
	case !p.policy.isGroup(code) && !isPlace(string(code)):
		p.unknownCode(append(path, "jurisdiction"), string(code), aSovereign)
	default:
		p.checkTerritories(code, d.Territories, append(path, "territories"))
	}
	p.lookUpClasses(d.Routes, append(path, "routes"), func(Class) {})
	p.checkWords(append(path, "title"), d.Title, longestName)
	p.checkWords(append(path, "authority"), d.Authority, longestName)
	p.checkSource(d.Source, append(path, "source"))
	p.checkStages(name, d)
	p.checkRequirements(name, d)
}

func (p *builder) checkSource(source string, path []any) {
	if source != "" && (!isLink(source) || strings.HasPrefix(source, "mailto:")) {
		p.errorf("use https://HOST/PATH", path, "%.80q can't be linked to", source)
	}
}

// checkStages checks how a demand has come as far as it has.
func (p *builder) checkStages(name string, d Demand) {
	path := at("demands", name)
	written := p.def.Demands[name]
	switch {
	case d.Stages == nil && written.Stage == "":
		p.errorf("add stage:, as in stage: proposed; or stages:, a list of them", append(path, "stage"), "it isn't said how far %s has come", name)
	case d.Stages != nil && len(d.Stages) == 0, len(d.Stages) > mostStages:
		p.errorf(fmt.Sprintf("list 1 to %d", mostStages), append(path, "stages"), "%s has %d stages", name, len(d.Stages))
	case written.Stage == Appealed, len(d.Stages) > 0 && d.lastStage() < 0:
		p.errorf("write stages:, a list with what it is beside that", key("demands", name), "%s is appealed, which doesn't say how far it has come", name)
	case d.Stages != nil && written.Stage != "":
		p.errorf("make it the last of stages", append(path, "stage"), "%s has a stage beside its stages", name)
	case d.Stages != nil && !written.InForce.IsZero():
		p.errorf("write it into the stage that says it", append(path, "in-force"), "%s has in-force beside its stages", name)
	}
	if d.Stages == nil && !d.InForce.IsZero() {
		p.checkYear(append(path, "in-force"), d.InForce, 1800)
	}
	last := ""
	for i, s := range d.Stages {
		path := at("demands", name, "stages", i)
		if !s.InForce.IsZero() {
			p.checkYear(append(path, "in-force"), s.InForce, 1800)
		}
		if !s.Until.IsZero() {
			p.checkYear(append(path, "until"), s.Until, 1800)
			if s.Stage != Suspended {
				p.errorf("leave it out, or say it of suspended", append(path, "until"), "what is %s doesn't end by itself", s.Stage)
			}
		}
		p.checkSource(s.Source, append(path, "source"))
		if s.Evidence != "" && !evidenceHash.MatchString(s.Evidence) {
			p.errorf("write sha256: and 64 digits of 0-9 and a-f, as sha256sum prints them", append(path, "evidence"), "%.80q is not a SHA-256", s.Evidence)
		}
		if s.Date == "" {
			continue
		}
		switch _, err := time.Parse(time.DateOnly, s.Date); {
		case err != nil:
			p.errorf("write it as 2026-12-01", append(path, "date"), "%.80q is not a date", s.Date)
		case s.Date < last:
			p.errorf("list the stages in order", append(path, "date"), "%s was on %s, before the stage above it", s.Stage, s.Date)
		default:
			last = s.Date
		}
	}
}

// checkOneBeginning checks that no demand is said to come into force later than what it
// requires begins: by its parts it binds, and by its own date it would be spoken of.
func (p *builder) checkOneBeginning() {
	for _, name := range slices.Sorted(maps.Keys(p.policy.demands)) {
		d := p.policy.demands[name]
		if first := d.Requires.begin(); !first.IsZero() && d.InForce.After(first) && !d.Stage.IsOver() {
			p.errorf("change the dates under requires, by each of which it binds; in-force may be the first of them, or before", key("demands", name),
				"%s comes into force on %s, and binds before: what it requires begins on %s", name, d.InForce.Format(time.RFC3339), first.Format(time.RFC3339))
		}
	}
}

// CheckDates returns what is wrong with dates in a policy that is proposed at a moment:
// a stage counts from when it is written down, so it can't be of a day that hasn't begun
// anywhere, nor can it have ended before it, and what is over doesn't come into force.
func (p *Policy) CheckDates(now time.Time) (problems Problems) {
	const first = 14 * time.Hour // UTC+14 is where a day begins
	day := func(t time.Time) string { return t.UTC().Add(first).Format(time.DateOnly) }
	for _, name := range slices.Sorted(maps.Keys(p.demands)) {
		for i, s := range p.demands[name].Stages {
			add := func(key, advice, format string, args ...any) {
				problems = append(problems, Problem{at("demands", name, "stages", i, key), fmt.Sprintf(format, args...), advice})
			}
			if s.Date > day(now) {
				add("date", "write it down when it has come to that; when it binds is said by in-force, until and requires",
					"%s is %s on %s, which is yet to come: a stage counts from when it is written down", name, s.Stage, s.Date)
			}
			if !s.Until.IsZero() && day(s.Until) < s.Date {
				add("until", "give a later one, or leave it out if no end is known", "%s is suspended from %s on, and that ended before", name, s.Date)
			}
			if s.Stage.IsOver() && !s.InForce.IsZero() {
				add("in-force", "leave it out; what ends later is written down when it has ended", "%s is %s, and doesn't come into force", name, s.Stage)
			}
		}
	}
	return problems
}

// evidenceHash is the SHA-256 of a document.
var evidenceHash = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// checkRequirements checks what a demand requires.
func (p *builder) checkRequirements(name string, d Demand) {
	path := at("demands", name, "requires")
	if len(d.Requires) == 0 || len(d.Requires) > mostStages {
		p.errorf("add the flag values that it requires, as in requires: {end-to-end-encryption: false}", path, "%s requires %d things", name, len(d.Requires))
	}
	for i, r := range d.Requires {
		path := p.requirementPath(name, i)
		if len(r.Flags) == 0 {
			p.errorf("add the flag values that it requires, as in {end-to-end-encryption: false}", path, "%s requires nothing", name)
		}
		if !r.From.IsZero() {
			p.checkYear(at("demands", name, "requires", i, "from"), r.From, 1800)
		}
		p.lookUpClasses(r.Routes, at("demands", name, "requires", i, "routes"), func(Class) {})
		for flag := range r.Flags {
			if _, named := p.policy.Flag(flag); !named {
				p.checkFlagName(flag, key(append(slices.Clone(path), flag)...))
				p.kindOf(flag)
			}
		}
	}
}

// requirementPath returns where the flags of a requirement are.
func (p *builder) requirementPath(demand string, i int) []any {
	if p.def.Demands[demand].Requires.isPlain() {
		return at("demands", demand, "requires")
	}
	return at("demands", demand, "requires", i, "flags")
}

// checkPromise reports every way in which the document would break a guarantee.
func (p *builder) checkPromise() {
	for _, name := range slices.Sorted(maps.Keys(p.policy.demands)) {
		p.checkDemandIsMet(name, func(place Place) bool { return !isNewlyNested(place) })
	}
	p.checkConflicts()
	for _, f := range p.policy.flags {
		p.checkFlagValues(f)
	}
}

// isNewlyNested reports whether our table has not always told in what a
// subdivision lies. A policy that stands may have it open within a bound place,
// where it is withheld all the same: only for new ones this is an error.
func isNewlyNested(place Place) bool {
	return place.Subdivisions[1] != "" && (place.Country == "EE" || place.Country == "IS")
}

// checkDemandIsMet reports a demand that binds and breaks a guarantee where the
// service would be served under it, in the places that are wanted.
func (p *builder) checkDemandIsMet(name string, wanted func(Place) bool) {
	for _, duty := range p.policy.demands[name].Duties() {
		if duty.Binds() {
			p.checkDutyIsMet(name, duty.Demand, wanted)
		}
	}
}

func (p *builder) checkDutyIsMet(name string, d Demand, wanted func(Place) bool) {
	broken := p.policy.BrokenGuarantees(d)
	if broken == nil {
		return
	}
	served := slices.DeleteFunc(p.policy.servedUnder(d), func(place Place) bool { return !wanted(place) })
	if len(served) == 0 {
		return
	}
	path, words := key("demands", name), p.policy.formatBrokenGuarantee(broken[0], d)
	if p.policy.mode == Observe {
		p.errorf("use mode: enforce; to rehearse before the law binds, leave its stage at proposed", path,
			"%s %s; but a policy that only observes serves everywhere", name, words)
		return
	}
	p.errorf(adviseWithdrawal(d, served), path, "%s %s; but %s", name, words, p.policy.formatServed(served, d))
}

// adviseWithdrawal says what can be done about a demand that breaks a guarantee.
func adviseWithdrawal(d Demand, served []Place) string {
	by := "now, without a date"
	if !d.InForce.IsZero() {
		by = "by " + d.InForce.Format(time.RFC3339)
	}
	way := "withdraw " + joinPlaces(served)
	if least := d.LeastPhase(); least < Withdrawn {
		way = fmt.Sprintf("withdraw %s in %s, or give it the phase %s,", strings.Join(d.Routes, ", "), joinPlaces(served), least)
	}
	return fmt.Sprintf("%s %s,\nor show that the demand is suspended (stayed by a court), rejected or repealed: change its stage", way, by)
}

// warnOfUnboundDemand warns of what a demand requires that doesn't bind, but would
// break a guarantee if it did.
func (p *builder) warnOfUnboundDemand(name string, duty Duty) {
	d, stage := duty.Demand, p.policy.demands[name].Stage
	broken := p.policy.BrokenGuarantees(d)
	if broken == nil || stage.IsOver() {
		return
	}
	served := p.policy.servedUnder(d)
	if served == nil {
		return
	}
	state, advice := string(stage), "plan the exit in time: a schedule under jurisdictions:"
	switch {
	case d.Kind == Informal:
		state, advice = "informal, so that it never binds", "if a law or an order follows, write that as a demand of its own"
	case stage == Adopted:
		state, advice = "adopted without a date", "add in-force: as soon as it is known"
	}
	p.warnf(advice, key("demands", name), "%s is %s; in force, it %s, and %s would have to be withdrawn; %s",
		name, state, p.policy.formatBrokenGuarantee(broken[0], d), joinPlaces(served), p.policy.formatServed(served, d))
}

// BrokenGuarantees returns the flags, sorted, of which a demand requires a
// value below what the policy guarantees.
func (p *Policy) BrokenGuarantees(d Demand) []string {
	var broken []string
	for _, r := range d.Requires {
		for flag, value := range r.Flags {
			if f, ok := p.Flag(flag); ok && !f.Allows(value) {
				broken = append(broken, flag)
			}
		}
	}
	slices.Sort(broken)
	return slices.Compact(broken)
}

// formatBrokenGuarantee says how a demand breaks the guarantee of a flag:
// "requires end-to-end-encryption: false from … on, which breaks the guarantee
// (require true)".
func (p *Policy) formatBrokenGuarantee(flag string, d Demand) string {
	when := ""
	if !d.InForce.IsZero() {
		when = " from " + d.InForce.Format(time.RFC3339) + " on"
	}
	f, _ := p.Flag(flag)
	return fmt.Sprintf("requires %s: %s%s, which breaks the guarantee (%s)", flag, Duty{d}.Flags()[flag], when, f.Guarantee)
}

// servedUnder returns the places that a demand binds and that are served when
// it is in force.
func (p *Policy) servedUnder(d Demand) []Place {
	var served []Place
	for _, place := range p.BoundPlaces(d) {
		if p.mode == Observe || p.serves(place, d, d.InForce) {
			served = append(served, place)
		}
	}
	return served
}

// Serves reports whether a place gets anything but the essential class at a
// moment or later, as far as the policy itself goes. A policy that only
// observes serves everywhere.
func (p *Policy) Serves(place Place, at time.Time) bool {
	return p.mode == Observe || p.serves(place, Demand{}, at)
}

// serves reports whether a place gets any of what a demand is about at a moment
// or later. As time only restricts, the moment itself is what counts.
func (p *Policy) serves(place Place, d Demand, at time.Time) bool {
	return slices.ContainsFunc(p.classes, func(class string) bool { return d.Concerns(class) && p.servesClass(place, d, class, at) })
}

func (p *Policy) servesClass(place Place, d Demand, class string, at time.Time) bool {
	i := slices.Index(p.classes, class)
	return !p.isEmpty[i] && !d.isMetBy(p.decide("", p.appendMatches(nil, place), Class(i), at).Phase, class)
}

// isMetBy reports whether a phase withholds a route class as far as the demand
// asks for it. One that is about some classes is met where these are refused,
// one about the whole service where the whole is withdrawn.
func (d Demand) isMetBy(phase Phase, class string) bool {
	if d.Routes == nil {
		return phase == Withdrawn
	}
	return phase.Refuses(class)
}

// LeastPhase returns the least restrictive phase that meets the demand.
func (d Demand) LeastPhase() Phase {
	for _, phase := range Phases() {
		if d.Routes != nil && !slices.ContainsFunc(d.Routes, func(class string) bool { return !d.isMetBy(phase, class) }) {
			return phase
		}
	}
	return Withdrawn
}

// Concerns reports whether a demand is about a route class. None is about the
// essential one, which is served where all else is withdrawn.
func (d Demand) Concerns(class string) bool {
	return class != Essential && (d.Routes == nil || slices.Contains(d.Routes, class))
}

// boundCodes returns the countries and subdivisions that a demand speaks of: of a
// group all members, of a country its territories where that is said.
func (p *Policy) boundCodes(d Demand) []Code {
	codes := []Code{d.Jurisdiction}
	if p.isGroup(d.Jurisdiction) {
		codes = p.groups[d.Jurisdiction].members
	}
	reached := d.Territories
	if e := p.rules[d.Jurisdiction]; e != nil && !reached.Said() {
		reached = e.territories
	}
	return append(slices.Clip(codes), reached.Of(d.Jurisdiction)...)
}

// BoundPlaces returns the places that a demand binds: all that it speaks of, and
// all that the policy distinguishes in these.
func (p *Policy) BoundPlaces(d Demand) []Place {
	var places []Place
	for _, code := range p.boundCodes(d) {
		places = append(places, PlaceOf(code))
		country, _ := countryOf(code)
		if country == "" {
			country = code
		}
		for _, sub := range p.distinct[country] {
			if place := PlaceOf(sub); sub != code && slices.Contains([]Code{place.Country, place.Subdivisions[0]}, code) {
				places = append(places, place)
			}
		}
	}
	return places
}

// formatServed says how places are served when a demand is in force: "FR is
// served until …, 1h longer", "FR is open then, and 2 more are served".
func (p *Policy) formatServed(places []Place, d Demand) string {
	words := p.formatHowServed(places[0], d)
	if len(places) > 1 {
		words += fmt.Sprintf(", and %d more are served", len(places)-1)
	}
	return words
}

func (p *Policy) formatHowServed(place Place, d Demand) string {
	code := place.Jurisdiction()
	matches := p.appendMatches(nil, place)
	var dates []time.Time
	for _, m := range matches {
		for _, steps := range m.entry.Timelines() {
			for _, step := range steps {
				dates = append(dates, step.From)
			}
		}
	}
	slices.SortFunc(dates, time.Time.Compare)
	for _, date := range dates {
		if !date.After(d.InForce) || p.serves(place, d, date) {
			continue
		}
		if d.InForce.IsZero() {
			return fmt.Sprintf("%s is served until %s", code, date.Format(time.RFC3339))
		}
		return fmt.Sprintf("%s is served until %s, %s longer", code, date.Format(time.RFC3339), formatDelay(date.Sub(d.InForce)))
	}
	phase, classes, partly := Withdrawn, []string(nil), false
	for class, name := range p.classes {
		if !d.Concerns(name) || p.isEmpty[class] {
			continue
		}
		if found := p.decide(code, matches, Class(class), d.InForce).Phase; !d.isMetBy(found, name) {
			phase = min(phase, found)
			classes = append(classes, name)
		} else {
			partly = true
		}
	}
	words := fmt.Sprintf("%s is %s", code, phase)
	if !d.InForce.IsZero() {
		words += " then"
	}
	if partly {
		words += " for " + strings.Join(classes, ", ")
	}
	return words
}

// formatDelay writes a duration for people.
func formatDelay(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

// joinPlaces names up to five places.
func joinPlaces(places []Place) string {
	var names []string
	for i, place := range places {
		if i == 5 {
			names = append(names, fmt.Sprintf("%d more", len(places)-i))
			break
		}
		names = append(names, string(place.Jurisdiction()))
	}
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " and " + names[last]
	}
	return strings.Join(names, "")
}

// A claim is what a demand requires of a flag from a moment on.
type claim struct {
	demand string
	Demand
	value Value
}

// checkConflicts reports demands that can't both be met where the service would
// be served under both.
func (p *builder) checkConflicts() {
	about := make(map[string][]claim) // by flag
	for _, name := range slices.Sorted(maps.Keys(p.policy.demands)) {
		for _, duty := range p.policy.demands[name].Duties() {
			if !duty.Binds() || p.policy.BrokenGuarantees(duty.Demand) != nil {
				continue // where these bind, nothing is served
			}
			for flag, value := range duty.Flags() {
				about[flag] = append(about[flag], claim{name, duty.Demand, value})
			}
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(about)) {
		claims := about[flag]
		if slices.ContainsFunc(claims, func(c claim) bool { return !c.value.Equal(claims[0].value) }) {
			p.checkConflictsOver(flag, claims)
		}
	}
}

// checkConflictsOver reports which of the demands about a flag contradict an
// earlier one. A later date of the same demand takes the place of the one before.
func (p *builder) checkConflictsOver(flag string, claims []claim) {
	type subject struct{ place, class string }
	first := make(map[subject]claim) // that binds it
	for _, c := range claims {
		conflict := func(place Place, class string) bool {
			it := subject{string(place.Jurisdiction()), class}
			earlier, both := first[it]
			if !both {
				first[it] = c
				return false
			}
			if earlier.value.Equal(c.value) || earlier.demand == c.demand {
				return false
			}
			from := earlier.InForce
			if c.InForce.After(from) {
				from = c.InForce
			}
			if !p.policy.servesClass(place, earlier.Demand, class, from) || !p.policy.servesClass(place, c.Demand, class, from) {
				return false
			}
			p.errorf(fmt.Sprintf("withdraw %s, or correct one of the demands", it.place), key("demands", c.demand),
				"%s requires %s: %s in %s, where %s requires %s: no value meets both", c.demand, flag, c.value, it.place, earlier.demand, earlier.value)
			return true
		}
	places:
		for _, place := range p.policy.BoundPlaces(c.Demand) {
			for _, class := range p.policy.classes {
				if c.Concerns(class) && conflict(place, class) {
					break places // once is enough
				}
			}
		}
	}
}

// checkFlagValues reports values of a flag below its guarantee where the
// service is served at any time: they have no dates.
func (p *builder) checkFlagValues(f Flag) {
	s := p.policy.settings[f.Name]
	if s == nil || f.Guarantee == nil {
		return
	}
	served := make(map[Code][]Place) // by the code in the setting, "": its value
	for _, place := range p.policy.Places() {
		value, ok := p.policy.Value(f.Name, place)
		if !ok || f.Allows(value) || !p.policy.Serves(place, time.Time{}) {
			continue
		}
		by, _ := p.policy.settingFor(s, place)
		served[by] = append(served[by], place)
	}
	for _, by := range slices.Sorted(maps.Keys(served)) {
		path, value := at("flags", f.Name, "in", string(by)), s.in[by]
		if by == "" {
			path, value = at("flags", f.Name, "value"), s.value
		}
		advice := fmt.Sprintf("withdraw %s without a date, as a flag has none; or set the flag to what is guaranteed", joinPlaces(served[by]))
		if p.policy.mode == Observe {
			advice = "use mode: enforce and withdraw the place, or set the flag to what is guaranteed: a policy that only observes serves everywhere"
		}
		p.errorf(advice, path, "%s: %s is below the guarantee (%s), but %s served", f.Name, value, f.Guarantee, formatAreServed(served[by]))
	}
}

func formatAreServed(places []Place) string {
	if len(places) == 1 {
		return string(places[0].Jurisdiction()) + " is"
	}
	return joinPlaces(places) + " are"
}
