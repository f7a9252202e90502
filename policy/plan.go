package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// A Plan is everything that would change if one policy took the place of
// another at a moment: at once, and at each later step of either schedule
// until both hold for good.
type Plan struct {
	Before string    `json:"before"` // digest of the policy in use
	After  string    `json:"after"`  // digest of the one that would take its place
	At     time.Time `json:"at"`
	// Hash names what is planned. It doesn't depend on At and on the flags
	// themselves: as long as the same moves and effects come of them, the plan
	// is the same.
	Hash string `json:"hash"`
	// Effects are those of all moves and amendments, and of what would move if
	// no flag restricted it now, the gravest first. There is one at least
	// where the documents differ.
	Effects []Effect `json:"effects,omitempty"`
	Moves   []Move   `json:"moves,omitempty"`
	// Exceptions are the subdivisions that don't move as what they lie in does.
	// All others go along.
	Exceptions []Code                `json:"apart,omitempty"`
	Amendments []Amendment           `json:"amendments,omitempty"`
	Expansions []Expansion           `json:"expansions,omitempty"`
	Warnings   []*strictyaml.Problem `json:"warnings,omitempty"` // of the new policy

	before, after *forecast
	hidden        map[Effect][]Code // whom moves concern that flags hide for now
}

// An Effect is what a change does, as far as the rules for approving it tell
// changes apart.
type Effect string

const (
	WeakensApprovals   Effect = "weaken-approvals" // a kind of change needs fewer approvals than before
	OpensMarket        Effect = "open"             // somebody gets more than before, at some moment
	WeakensGuarantee   Effect = "weaken-guarantee" // a value is possible that wasn't
	WeakensDemand      Effect = "weaken-demand"    // a demand is taken back a stage, or binds less
	AcknowledgesBreach Effect = "acknowledge"      // a breach of a guarantee is said to be looked into
	WithdrawsMarket    Effect = "withdraw"         // somebody gets less than before, or the end is announced
	ChangesOther       Effect = "other"
)

// effects lists them, the gravest first.
var effects = [...]Effect{WeakensApprovals, OpensMarket, WeakensGuarantee, WeakensDemand, AcknowledgesBreach, WithdrawsMarket, ChangesOther}

// A Treatment is what a place gets of a route class: a phase, or one that only
// is observed, so that nobody is refused because of it.
type Treatment struct {
	Phase    Phase
	Observed bool
}

const observed = " (observed)"

func (s Treatment) String() string {
	if s.Observed {
		return s.Phase.String() + observed
	}
	return s.Phase.String()
}

// MarshalText writes "withdrawn", or "withdrawn (observed)".
func (s Treatment) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Treatment) UnmarshalText(text []byte) error {
	phase, found := strings.CutSuffix(string(text), observed)
	s.Observed = found
	return s.Phase.UnmarshalText([]byte(phase))
}

// Refuses says whether requests of a route class are refused.
func (s Treatment) Refuses(class string) bool { return !s.Observed && s.Phase.Refuses(class) }

// effect is what it does to put another standing in the place of this one.
func (s Treatment) effect(after Treatment) Effect {
	refusing := !s.Observed && s.Phase >= ClosedToNew
	switch {
	case s == after:
		return ""
	case after.Phase < s.Phase, refusing && after.Observed:
		return OpensMarket
	}
	return WithdrawsMarket
}

// A Move is a change of what jurisdictions get, from a moment on. Essential
// requests are served everywhere, and not spoken of.
type Move struct {
	Effect        Effect    `json:"effect"`
	From          time.Time `json:"from,omitzero"`  // zero: at once
	Until         time.Time `json:"until,omitzero"` // zero: for good
	Before        Treatment `json:"before"`         // by the policy in use, in that time
	After         Treatment `json:"after"`
	Routes        []string  `json:"routes,omitempty"` // only these classes
	Jurisdictions []Code    `json:"jurisdictions"`
}

// An Amendment is a difference between the documents.
type Amendment struct {
	// Effect is empty for an entry under jurisdictions whose effect the moves
	// tell.
	Effect  Effect `json:"effect,omitempty"`
	Section string `json:"section"`          // the key at the root of the document
	Name    string `json:"name,omitempty"`   // what is amended in it
	Before  string `json:"before,omitempty"` // in words; empty: it wasn't there
	After   string `json:"after,omitempty"`  // empty: it is gone
}

// An Expansion is whom an entry that is amended speaks of beside itself: the
// members of a group, the territories of a country.
type Expansion struct {
	Jurisdiction Code   `json:"jurisdiction"`
	Reaches      []Code `json:"reaches"`
}

// NewPlan says what would change if the policy after took the place of before
// at a moment, as far as the flags known then go. Places are taken as ISO 3166
// has them: each subdivision within the one that it lies in.
func NewPlan(before, after *Policy, flags Flags, at time.Time) Plan {
	p := Plan{
		Before:   before.digest,
		After:    after.digest,
		At:       at,
		Warnings: after.warnings,
		before:   newForecast(before, flags),
		after:    newForecast(after, after.PredictFlags(before, flags)),
	}
	p.compare()
	p.amend()
	p.sumUp()
	p.Hash = p.hash()
	return p
}

// Empty says whether nothing would change but words in the document that mean
// nothing, such as comments.
func (p Plan) Empty() bool { return p.Moves == nil && p.Amendments == nil }

// HasEffect reports whether the plan has an effect.
func (p Plan) HasEffect(effect Effect) bool { return slices.Contains(p.Effects, effect) }

// OnlyRestricts says whether nothing would come of the plan but that somebody
// gets less: nobody gets more than by the policy in use, at any moment and
// whatever flags then say of the places that both policies tell apart, and
// nothing but entries and the mode is amended. That is what one person may do
// in an emergency.
func (p Plan) OnlyRestricts() bool {
	amendsElse := slices.ContainsFunc(p.Amendments, func(a Amendment) bool { return a.Section != "jurisdictions" && a.Section != "mode" })
	return slices.Equal(p.Effects, []Effect{WithdrawsMarket}) && !amendsElse
}

// PredictFlags returns what the flags will be once p takes the place of another
// policy, as far as that can be known beforehand: values that come from the
// policy's own table change with it, and breaches that p acknowledges are
// lifted.
func (p *Policy) PredictFlags(before *Policy, flags Flags) Flags {
	own := either(before.settings, p.settings)
	places := make(map[Code]Place, len(p.places))
	if len(own) > 0 {
		for _, place := range slices.Concat(before.places, p.places) {
			places[place.Jurisdiction()] = place
		}
	}
	for code := range flags {
		if _, known := places[code]; !known {
			places[code] = PlaceOf(code)
		}
	}
	foreseen := make(Flags, len(places))
	for code, place := range places {
		s := p.lift(code, flags.In(code))
		s.Values = p.replace(before, s.Values, own, place)
		foreseen[code] = s
	}
	return foreseen
}

// lift takes from settings the breaches that the policy acknowledges.
func (p *Policy) lift(code Code, s Settings) Settings {
	s.Breached = maps.Clone(s.Breached)
	maps.DeleteFunc(s.Breached, func(flag string, since time.Time) bool {
		until := p.AcknowledgedUntil(flag, code)
		return !until.IsZero() && !until.Before(since)
	})
	return s
}

// replace returns values with those that seem to come from the policy before's
// own table replaced by what p's own says of these flags.
func (p *Policy) replace(before *Policy, known map[string]Value, own []string, place Place) map[string]Value {
	replaced := maps.Clone(known)
	if replaced == nil {
		replaced = make(map[string]Value)
	}
	for _, flag := range own {
		now, set := known[flag]
		is, has := p.Value(flag, place)
		if set && has && now == is {
			continue // wherever it is from
		}
		if was, _ := before.Value(flag, place); set && now != was {
			continue // from a source
		}
		if has {
			replaced[flag] = is
		} else {
			delete(replaced, flag)
		}
	}
	return replaced
}

// A forecast is what a policy makes of places, with the flags as they are.
type forecast struct {
	policy *Policy
	flags  Flags
	apart  map[Code][]Code
}

func newForecast(p *Policy, flags Flags) *forecast {
	return &forecast{p, flags, p.apartBy(flags)}
}

// A course is what a policy makes of one place.
type course struct {
	policy       *Policy
	jurisdiction Code    // as the policy tells it apart
	governing    []match // the most specific ones, none for what is open
	phase        Phase   // by the flag
	breached     bool
}

// course returns what becomes of a jurisdiction, or of the entry anonymous.
func (f *forecast) course(code Code) course {
	c := course{policy: f.policy, jurisdiction: code}
	if code == Anonymous {
		if e := f.policy.entries[code]; e != nil {
			c.governing = []match{{e, ByAnonymity, 0}}
		}
		return c
	}
	place := f.tellApart(PlaceOf(code))
	c.jurisdiction = place.Jurisdiction()
	if matches := f.policy.appendMatches(nil, place); matches != nil {
		c.governing, _ = mostSpecific(matches)
	}
	settings := f.flags.In(c.jurisdiction)
	c.phase, c.breached = settings.Phase, f.policy.breachIn(settings).flag != ""
	return c
}

// tellApart returns a place as far as the policy tells it apart.
func (f *forecast) tellApart(place Place) Place {
	for _, code := range [...]Code{place.Subdivisions[1], place.Subdivisions[0]} {
		if code != "" && slices.Contains(f.apart[place.Country], code) {
			return PlaceOf(code)
		}
	}
	place.Subdivisions = [2]Code{}
	return place
}

// class finds a route class of a policy by its name. Requests of a class that
// it doesn't have are taken for others.
func (p *Policy) class(name string) Class {
	if i := slices.Index(p.classes, name); i >= 0 && !p.empty[i] {
		return Class(i)
	}
	return 0
}

// isFlagged says whether a flag restricts the place now.
func (c course) isFlagged() bool { return c.phase != Open || c.breached }

// bare returns what becomes of the place once no flag restricts it.
func (c course) bare() course {
	c.phase, c.breached = Open, false
	return c
}

// A path is what a place gets of one route class over time.
type path struct {
	course
	steps []Step // ascending in time and restriction
}

// path returns what becomes of a route class. As time only restricts, of
// several entries that is whichever has come furthest.
func (c course) path(class string) path {
	p := path{course: c}
	if class == Essential {
		return path{course: course{policy: c.policy}} // always open
	}
	var steps []Step
	for _, m := range c.governing {
		if m.entry.speaksOf(c.policy.class(class)) {
			steps = append(steps, m.entry.steps...)
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.From.Compare(b.From) })
	furthest := Open
	for _, step := range steps {
		if step.Phase > furthest {
			furthest = step.Phase
			p.steps = append(p.steps, step)
		}
	}
	return p
}

// at returns what the place gets at a moment.
func (p path) at(t time.Time) Treatment {
	if p.breached {
		return Treatment{Phase: Withdrawn}
	}
	phase := p.phase
	for _, step := range p.steps {
		if !step.From.After(t) {
			phase = max(phase, step.Phase)
		}
	}
	return Treatment{phase, p.policy.mode == Observe && phase >= ClosedToNew}
}

// times are the moment and all later ones at which a path takes a step.
func times(at time.Time, paths ...path) []time.Time {
	all := []time.Time{at}
	for _, p := range paths {
		for _, step := range p.steps {
			if step.From.After(at) {
				all = append(all, step.From.UTC())
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// jurisdictions are all that either policy tells apart, sorted.
func (p *Plan) jurisdictions() []Code {
	all := []Code{Unlocated, Private, Anonymous}
	for info := range iso3166.Countries() {
		code := Code(info.Code)
		all = append(all, code)
		all = append(all, p.before.apart[code]...)
		all = append(all, p.after.apart[code]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// classes are the route classes of either policy that have requests, but for
// the essential one, Other first.
func (p *Plan) classes() []string {
	var names []string
	for _, of := range []*Policy{p.before.policy, p.after.policy} {
		for class, name := range of.classes {
			if !of.empty[class] && name != Essential && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names[1:])
	return names
}

// A stretch of time in which two standings differ.
type stretch struct {
	from, until   time.Time
	before, after Treatment
}

// A share is what one jurisdiction has of a move.
type share struct {
	stretch
	routes string // joined; "": all
}

// compare finds all moves, and puts alike ones together.
func (p *Plan) compare() {
	shares := make(map[Code]map[share]bool)
	p.hidden = make(map[Effect][]Code)
	classes := p.classes()
	all := p.jurisdictions()
	for _, code := range all {
		shares[code] = p.sharesOf(code, classes)
	}
	index := make(map[share]int)
	for _, code := range all {
		if around := p.around(code); around != "" {
			if maps.Equal(shares[code], shares[around]) {
				continue // moves along
			}
			p.Exceptions = append(p.Exceptions, code)
		}
		for s := range shares[code] {
			i, known := index[s]
			if !known {
				i = len(p.Moves)
				index[s] = i
				p.Moves = append(p.Moves, s.move())
			}
			p.Moves[i].Jurisdictions = append(p.Moves[i].Jurisdictions, code)
		}
	}
	slices.SortFunc(p.Moves, func(a, b Move) int {
		return cmp.Or(a.From.Compare(b.From), byGravity(a.Effect, b.Effect),
			cmp.Compare(a.After.String(), b.After.String()), cmp.Compare(a.Before.String(), b.Before.String()),
			slices.Compare(a.Routes, b.Routes), a.Until.Compare(b.Until))
	})
}

// sharesOf compares the courses of one jurisdiction.
func (p *Plan) sharesOf(code Code, classes []string) map[share]bool {
	before, after := p.before.course(code), p.after.course(code)
	routes := make(map[stretch][]string)
	for _, class := range classes {
		for _, s := range stretches(p.At, before.path(class), after.path(class)) {
			routes[s] = append(routes[s], class)
		}
	}
	shares := make(map[share]bool, len(routes))
	for s, some := range routes {
		if len(some) == len(classes) {
			some = nil
		}
		shares[share{s, strings.Join(some, " ")}] = true
	}
	if before.isFlagged() || after.isFlagged() {
		p.hide(code, before.bare(), after.bare(), classes, routes)
	}
	return shares
}

// hide notes what moves as soon as the flags let it: one that restricts is taken
// back by its source, and no policy is asked then.
func (p *Plan) hide(code Code, before, after course, classes []string, shown map[stretch][]string) {
	effects := make(map[Effect]bool)
	for _, class := range classes {
		for _, s := range stretches(p.At, before.path(class), after.path(class)) {
			effects[s.effect()] = true
		}
	}
	for s := range shown {
		delete(effects, s.effect())
	}
	for effect := range effects {
		p.hidden[effect] = append(p.hidden[effect], code)
	}
}

func (s stretch) effect() Effect { return s.before.effect(s.after) }

func (s share) move() Move {
	m := Move{Effect: s.effect(), From: s.from, Until: s.until, Before: s.before, After: s.after}
	if s.routes != "" {
		m.Routes = strings.Split(s.routes, " ")
	}
	return m
}

// around returns what a subdivision lies in: the smallest that either policy
// tells apart. It is "" for all that isn't a subdivision.
func (p *Plan) around(code Code) Code {
	place := PlaceOf(code)
	parent := place.Subdivisions[0]
	switch {
	case parent == "":
		return ""
	case parent != code && (slices.Contains(p.before.apart[place.Country], parent) || slices.Contains(p.after.apart[place.Country], parent)):
		return parent
	}
	return place.Country
}

func byGravity(a, b Effect) int {
	return cmp.Compare(slices.Index(effects[:], a), slices.Index(effects[:], b))
}

// stretches returns when two paths differ, from a moment on.
func stretches(now time.Time, before, after path) []stretch {
	var found []stretch
	open := false // whether the last one goes on
	for _, at := range times(now, before, after) {
		from := at
		if at.Equal(now) {
			from = time.Time{}
		}
		was, is := before.at(at), after.at(at)
		if open {
			last := &found[len(found)-1]
			if last.before == was && last.after == is {
				continue
			}
			last.until = from
		}
		if open = was != is; open {
			found = append(found, stretch{from: from, before: was, after: is})
		}
	}
	return found
}

// sumUp notes the effects of all that the plan does.
func (p *Plan) sumUp() {
	for _, m := range p.Moves {
		p.Effects = append(p.Effects, m.Effect)
	}
	for _, a := range p.Amendments {
		if a.Effect != "" {
			p.Effects = append(p.Effects, a.Effect)
		}
	}
	for effect := range p.hidden {
		p.Effects = append(p.Effects, effect)
	}
	if p.Effects == nil && p.Before != p.After {
		p.Effects = []Effect{ChangesOther}
	}
	slices.SortFunc(p.Effects, byGravity)
	p.Effects = slices.Compact(p.Effects)
}

// hash is the SHA-256 of what is planned, in hexadecimal.
func (p Plan) hash() string {
	p.At, p.Warnings = time.Time{}, nil // of the digests nothing else follows
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // it has nothing that JSON hasn't
	}
	sum := sha256.Sum256(append([]byte("exitgate plan 1\n"), text...))
	return hex.EncodeToString(sum[:])
}

// Traffic tells requests apart as far as a plan does.
type Traffic struct {
	Jurisdiction Code   // of the decision, by the policy in use
	Class        string // by the policy in use
	Anonymous    bool   // the client hides where it is
}

// An Impact is how many of the requests that were counted a plan would have
// decided otherwise.
type Impact struct {
	Requests uint64 `json:"requests"` // all that were counted
	Refused  uint64 `json:"refused"`  // served by the policy in use
	Served   uint64 `json:"served"`   // refused by the policy in use
	// Perhaps are further ones from jurisdictions of which the plan moves a
	// part that the policy in use doesn't tell apart.
	Perhaps uint64 `json:"perhaps,omitempty"`
	// Moves has, in step with the plan's moves, how many each of them would
	// decide otherwise when it comes.
	Moves []uint64 `json:"moves,omitempty"`
}

// Impact returns how many of the requests that were counted would have been decided
// otherwise. Only a Plan as NewPlan returns it can tell.
func (p Plan) Impact(counts map[Traffic]uint64) Impact {
	var hit Impact
	if len(p.Moves) > 0 {
		hit.Moves = make([]uint64, len(p.Moves))
	}
	byCode := make(map[Code][]Traffic)
	for traffic, n := range counts {
		hit.Requests += n
		byCode[traffic.Jurisdiction] = append(byCode[traffic.Jurisdiction], traffic)
		switch was, is := p.before.refuses(traffic, p.At), p.after.refuses(traffic, p.At); {
		case was && !is:
			hit.Served += n
		case is && !was:
			hit.Refused += n
		case p.partly(traffic, was):
			hit.Perhaps += n
		}
	}
	for i, m := range p.Moves {
		at := p.At
		if !m.From.IsZero() {
			at = m.From
		}
		concerned := make(map[Traffic]bool)
		for _, code := range m.Jurisdictions {
			some := byCode[code]
			if code == Anonymous {
				some = slices.DeleteFunc(slices.Collect(maps.Keys(counts)), func(t Traffic) bool { return !t.Anonymous })
			}
			for _, traffic := range some {
				if m.Routes == nil || slices.Contains(m.Routes, traffic.Class) {
					concerned[traffic] = true
				}
			}
		}
		for traffic := range concerned {
			if p.before.refuses(traffic, at) != p.after.refuses(traffic, at) {
				hit.Moves[i] += counts[traffic]
			}
		}
	}
	return hit
}

// refuses says whether requests are refused at a moment.
func (f *forecast) refuses(t Traffic, at time.Time) bool {
	class := f.policy.classes[f.policy.class(t.Class)]
	return f.course(t.Jurisdiction).path(class).at(at).Refuses(class) ||
		t.Anonymous && f.course(Anonymous).path(class).at(at).Refuses(class)
}

// partly says whether the plan would decide requests otherwise at once if they
// came from some part of their jurisdiction that the policy in use doesn't tell
// apart.
func (p Plan) partly(t Traffic, refused bool) bool {
	country := PlaceOf(t.Jurisdiction).Country
	for _, code := range p.after.apart[country] {
		part := Traffic{code, t.Class, t.Anonymous}
		if code != t.Jurisdiction && p.before.course(code).jurisdiction == t.Jurisdiction && p.after.refuses(part, p.At) != refused {
			return true
		}
	}
	return false
}
