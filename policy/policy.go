// Package policy decides what a jurisdiction gets.
//
// It is pure: it knows no network, file, log or clock. A Definition, which
// package document reads from a text, is made into a Policy by New; a Policy is
// compiled for a moment into a Snapshot, and the Snapshot decides requests by
// looking at where they come from and what they ask for. The same inputs always
// give the same decision, so that it can be explained, replayed and tested.
package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy/groups"
	"github.com/exitgate/exitgate/policy/iso3166"
	"github.com/exitgate/exitgate/policy/routes"
)

// A Policy is a valid Definition: every code in it exists, every schedule only
// restricts, no two route classes claim the same request, and the service is
// served nowhere against a guarantee. Only New makes one. It is immutable and
// safe for concurrent use.
type Policy struct {
	def          Definition
	mode         Mode
	source       []byte
	digest       string
	classes      []string // by Class; the first is Other
	isEmpty      []bool   // by Class: no pattern has it
	routes       *routes.Table
	saidRoutes   *routes.Table // without what is always essential
	rules        map[Code]*Rule
	groups       map[Code]group
	groupsOf     map[Code][]Code // by member
	notices      map[Code]Notice
	demands      map[string]Demand
	flags        []Flag              // by name
	settings     map[string]*setting // by flag
	withFlags    []Code              // the subdivisions that a setting or a group in one names
	acknowledged []acknowledgement
	approvals    Approvals
	drain        time.Duration // of entries that say none
	bindings     []binding     // by the name of the demand
	began        *Began        // nil: no more is known than dates say
	taken        TakenSteps

	// The places that are distinguished: subdivisions by country, and all.
	distinct map[Code][]Code
	parents  map[Code]Code // of those that ISO 3166-2 has within another
	places   []Place

	// Who is reached by which entry without being named, by code.
	territoryOf map[Code]*Rule
	rulesOf     map[Code][]*Rule
}

// A Rule is an Entry with everything looked up.
type Rule struct {
	code Code
	// What the whole service gets: ascending in time and restriction; a plain
	// phase is one step without a date. None where the entry is about features
	// alone, and all else is open.
	steps []Step
	// What single features get, by Class, and what all classes come to get: the
	// stricter of that and of what the whole gets. Nil if there are no features.
	features, byClass [][]Step
	extends           []Code // the territories that it reaches
	territories       Territories
	unknownPart       UnknownPart
	drain             *time.Duration // nil: the policy's
	because           []string       // the demands that it is the answer to
	taken             time.Time      // the steps up to here hold, whatever the moment; see TakenSteps
}

// A group is a built-in group, or one of the operator's own.
type group struct {
	members []Code
	builtIn bool
}

// OpenEverywhere returns the policy of a gateway that has none yet: it serves
// everywhere.
func OpenEverywhere() *Policy {
	p, err := New(DefaultDefinition(), []byte("version: 1\n"))
	if err != nil {
		panic(err) // nothing is wrong with a constant
	}
	return p
}

// Digest is the SHA-256 of the document, in hexadecimal: it names this policy
// in logs and metrics.
func (p *Policy) Digest() string { return p.digest }

// Source is the document, as it was written. Don't change it.
func (p *Policy) Source() []byte { return p.source }

// Definition returns what the policy was made from. It is shared: don't change
// it.
func (p *Policy) Definition() Definition { return p.def }

// Mode returns whether the policy is applied or only counted.
func (p *Policy) Mode() Mode { return p.mode }

// Classes returns the names of all route classes, Other first.
func (p *Policy) Classes() []string { return slices.Clone(p.classes) }

// Jurisdictions returns the codes that the policy has entries for, sorted.
func (p *Policy) Jurisdictions() []Code {
	return slices.Sorted(maps.Keys(p.rules))
}

// Rule returns the rule of a jurisdiction, nil if the policy has no entry for
// it.
func (p *Policy) Rule(code Code) *Rule { return p.rules[code] }

// Governing returns the most specific rules that match a place. Of several the
// most restrictive counts, class by class; where there is none all is open.
func (p *Policy) Governing(place Place) []*Rule {
	matches := p.appendMatches(nil, place)
	if len(matches) == 0 {
		return nil
	}
	governing, _ := mostSpecific(matches)
	rules := make([]*Rule, len(governing))
	for i, m := range governing {
		rules[i] = m.entry
	}
	return rules
}

// RouteRules returns the patterns of the route classes, with those that are
// always essential.
func (p *Policy) RouteRules() []routes.Rule { return p.routes.Rules() }

// HasEntry reports whether the policy has an entry for a jurisdiction.
func (p *Policy) HasEntry(code Code) bool { return p.rules[code] != nil }

func (p *Policy) isGroup(code Code) bool {
	_, ok := p.groups[code]
	return ok
}

// Reaches returns the places that an entry covers beside its own code: the
// members of a group, the territories of a country.
func (p *Policy) Reaches(code Code) []Code {
	if g, ok := p.groups[code]; ok {
		return slices.Clone(g.members)
	}
	if e := p.rules[code]; e != nil {
		return slices.Clone(e.extends)
	}
	return nil
}

// Notices returns the notices as the policy writes them, by jurisdiction or
// Default.
func (p *Policy) Notices() map[Code]Notice { return maps.Clone(p.notices) }

// Notice returns what the policy tells clients that a decision refuses. The
// notice of the client's jurisdiction goes before that of its country, that
// before that of the entry that governs, and that before the default: field by
// field, and of the texts language by language.
func (p *Policy) Notice(d Decision) Notice {
	var notice Notice
	place := PlaceOf(d.Jurisdiction)
	for _, code := range slices.Concat([]Code{d.Jurisdiction}, alsoCalled(place), []Code{place.Country, d.Entry, Default}) {
		n := p.notices[code]
		notice.Status = cmp.Or(notice.Status, n.Status)
		notice.BlockedBy = cmp.Or(notice.BlockedBy, n.BlockedBy)
		notice.Appeal = cmp.Or(notice.Appeal, n.Appeal)
		notice.Export = cmp.Or(notice.Export, n.Export)
		notice.SignIn = cmp.Or(notice.SignIn, n.SignIn)
		notice.DeleteAccount = cmp.Or(notice.DeleteAccount, n.DeleteAccount)
		notice.Refunds = cmp.Or(notice.Refunds, n.Refunds)
		notice.Zone = cmp.Or(notice.Zone, n.Zone)
		for tag, text := range n.Texts {
			if notice.Texts == nil {
				notice.Texts = make(map[string]Text)
			}
			if _, said := notice.Texts[tag]; !said {
				notice.Texts[tag] = text
			}
		}
	}
	return notice
}

// Name returns a jurisdiction's English name, its code if it has none.
func Name(code Code) string {
	if c, ok := iso3166.LookupCountry(string(code)); ok {
		return c.Name
	}
	if s, ok := iso3166.LookupSubdivision(string(code)); ok {
		return s.Name
	}
	if g, ok := groups.Lookup(string(code)); ok {
		return g.Title
	}
	return string(code)
}

// stepAt returns which of the rule's steps holds at a moment, the zero Step (open)
// before the first.
func (r *Rule) stepAt(steps []Step, t time.Time) Step {
	if taken := r.TakenOf(steps, t); len(taken) > 0 {
		return taken[len(taken)-1]
	}
	return Step{}
}

// nextStep returns when the next of some of the rule's steps is taken after a
// moment, zero if never.
func (r *Rule) nextStep(steps []Step, t time.Time) time.Time {
	if taken := len(r.TakenOf(steps, t)); taken < len(steps) {
		return steps[taken].From
	}
	return time.Time{}
}

// Timelines returns the rule's steps: those of the whole service, and those of
// features, by Class. Don't change them.
func (r *Rule) Timelines() [][]Step { return append([][]Step{r.steps}, r.features...) }

// restrictsAt reports whether the rule gives anything but open at a moment.
func (r *Rule) restrictsAt(t time.Time) bool {
	return slices.ContainsFunc(r.Timelines(), func(steps []Step) bool { return r.stepAt(steps, t).Phase > Open })
}

// reachedAt is when steps come to a phase, or a stricter one; zero if no date is
// given.
func reachedAt(steps []Step, phase Phase) time.Time {
	for _, s := range steps {
		if s.Phase >= phase {
			return s.From
		}
	}
	return time.Time{}
}

// mergeSteps returns what becomes of a class that the steps of the whole service
// and those of a feature are about: as time only restricts, whichever has come
// furthest.
func mergeSteps(whole, feature []Step) []Step {
	if feature == nil {
		return whole
	}
	all := slices.Concat(whole, feature)
	slices.SortStableFunc(all, func(a, b Step) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Phase, b.Phase)) })
	merged := all[:0]
	for _, step := range all {
		if len(merged) == 0 || step.Phase > merged[len(merged)-1].Phase {
			merged = append(merged, step)
		}
	}
	return merged
}

// Steps returns what the rule gives the whole service over time, ascending in
// time and restriction; a phase without a date is one step without. There are
// none where the rule is about features alone. Don't change them.
func (r *Rule) Steps() []Step { return r.steps }

// StepsOf returns what the rule gives a route class over time, as Steps does. Don't
// change them.
func (r *Rule) StepsOf(class Class) []Step {
	if r.byClass == nil {
		return r.steps
	}
	return r.byClass[class]
}

// AppliesTo reports whether the rule is about a route class.
func (r *Rule) AppliesTo(class Class) bool { return len(r.StepsOf(class)) > 0 }

// A FeatureRule is what several features get alike.
type FeatureRule struct {
	Routes []string // their classes
	Steps  []Step   // what they get over time, as of Rule.Steps
}

// Features returns what the rule gives single features, those together that get
// the same. Don't change it.
func (p *Policy) Features(r *Rule) []FeatureRule {
	var rules []FeatureRule
	for class, steps := range r.features {
		if steps == nil {
			continue
		}
		i := slices.IndexFunc(rules, func(f FeatureRule) bool {
			return slices.EqualFunc(f.Steps, steps, Step.Equal)
		})
		if i < 0 {
			i = len(rules)
			rules = append(rules, FeatureRule{Steps: steps})
		}
		rules[i].Routes = append(rules[i].Routes, p.classes[class])
	}
	return rules
}

// onlyFeature returns what the rule gives features, if it is about nothing else
// and all of them get the same.
func (p *Policy) onlyFeature(r *Rule) (only FeatureRule, ok bool) {
	if features := p.Features(r); len(features) == 1 && r.steps == nil {
		return features[0], true
	}
	return FeatureRule{}, false
}

// Digest returns the SHA-256 of a policy document, in hexadecimal.
func Digest(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

// Demands returns the demands, by their names.
func (p *Policy) Demands() map[string]Demand { return maps.Clone(p.demands) }

// Flags returns the flags that the policy names, by name.
func (p *Policy) Flags() []Flag { return p.flags }

// Flag returns the flag of a name, if the policy names it.
func (p *Policy) Flag(name string) (Flag, bool) {
	i, found := slices.BinarySearchFunc(p.flags, name, func(f Flag, name string) int { return cmp.Compare(f.Name, name) })
	if !found {
		return Flag{}, false
	}
	return p.flags[i], true
}

// Cause returns what the policy discloses of why a decision of the snapshot restricts.
func (s *Snapshot) Cause(d Decision) Cause {
	p := s.policy
	var c Cause
	broken := make(map[string]bool)
	switch d.Reason {
	case ByGuarantee:
		broken[d.Flag] = true
	case ByDefault, ByEntry, ByTerritory, ByGroup, ByAnonymity, ByUnknownPart:
		c.Demands = p.disclosed(d.Entry, s.at)
	}
	for _, demand := range c.Demands {
		for _, flag := range p.BrokenGuarantees(demand) {
			broken[flag] = true
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(broken)) {
		if f, ok := p.Flag(flag); ok && f.Guarantee != nil && f.Guarantee.Statement != nil {
			c.Statements = append(c.Statements, f.Guarantee.Statement)
		}
	}
	return c
}

// disclosed returns the demands that an entry is because of and that may be
// named to the public.
func (p *Policy) disclosed(code Code, at time.Time) []Demand {
	e := p.rules[code]
	if e == nil {
		return nil
	}
	var demands []Demand
	for _, name := range e.because {
		if demand := p.demands[name]; demand.Disclosed() {
			demands = append(demands, demand.At(at))
		}
	}
	return demands
}

// Class returns the class of a name. Requests of one that the policy doesn't
// have are taken for Other.
func (p *Policy) Class(name string) Class {
	if i := slices.Index(p.classes, name); i >= 0 && !p.isEmpty[i] {
		return Class(i)
	}
	return 0
}
