package policy

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/exitgate/exitgate/policy/groups"
	"github.com/exitgate/exitgate/policy/iso3166"
	"github.com/exitgate/exitgate/policy/routes"
)

// New returns the policy that a definition makes. The source is the document
// that the definition was read from; its digest names the policy. The error,
// Problems, says all that is wrong with the definition. Nothing else makes a
// Policy, so that there is none by which the service would be served against a
// guarantee. The definition and the source are the policy's from then on: don't
// change them.
func New(def Definition, source []byte) (*Policy, error) {
	return newPolicy(def, source, func(*builder) {})
}

// NewProposed returns the policy as New does, by the rules for what is newly proposed,
// too. What stands in a ledger or on disk may break these.
func NewProposed(def Definition, source []byte) (*Policy, error) {
	return newPolicy(def, source, (*builder).checkProposed)
}

func newPolicy(def Definition, source []byte, check func(*builder)) (*Policy, error) {
	b := build(def)
	if len(b.problems) == 0 {
		b.policy.setPlaces()
		b.policy.setBindings()
		b.checkContradictions()
		b.checkPromise()
		check(b)
	}
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	b.policy.def, b.policy.source, b.policy.digest = def, source, Digest(source)
	return b.policy, nil
}

// CheckParts returns what is wrong with the parts of a definition. It is for one
// that could not be read whole: whether that would keep its guarantees, nobody
// can say.
func CheckParts(def Definition) Problems { return build(def).problems }

// A Problem is something that is wrong with a definition, or probably not meant.
type Problem struct {
	// Path leads to it from the root of the document: keys of mappings
	// (string), indexes of lists (int); the last may be a Key.
	Path    []any
	Message string
	Advice  string // what would be right
}

// A Key is the last step of a path that leads to a key itself, not to its value.
type Key string

// Problems are all that is wrong with a definition.
type Problems []Problem

func (p Problems) Error() string {
	var b strings.Builder
	for _, problem := range p {
		fmt.Fprintf(&b, "%v: %s; %s\n", problem.Path, problem.Message, problem.Advice)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// A builder makes a Policy of a Definition, section by section, and notes what
// is wrong.
type builder struct {
	def      Definition
	policy   *Policy
	problems Problems
	warnings []Problem
	unknowns int // codes so far
}

func build(def Definition) *builder {
	p := &builder{def: def, policy: &Policy{}}
	p.addVersion()
	p.addRoutes()
	p.addGroups()
	p.addRules()
	p.addFlags()
	p.addDemands()
	p.addAcknowledgements()
	p.addNotices()
	p.addApprovals()
	p.addDrains()
	return p
}

func (p *builder) errorf(advice string, path []any, format string, args ...any) {
	p.problems = append(p.problems, Problem{slices.Clone(path), fmt.Sprintf(format, args...), advice})
}

func (p *builder) warnf(advice string, path []any, format string, args ...any) {
	p.warnings = append(p.warnings, Problem{slices.Clone(path), fmt.Sprintf(format, args...), advice})
}

func (p *builder) addVersion() {
	p.policy.mode = p.def.Mode
	switch v := p.def.Version; {
	case v > Version:
		p.errorf("use a newer exitgate, or version: 1", at("version"), "version %d is newer than this exitgate reads", v)
	case v < Version:
		p.errorf("write version: 1", at("version"), "there is no version %d", v)
	}
}

var className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// alwaysEssential are the patterns that the essential class has in every
// policy: what keeps certificates renewed and what people and crawlers may
// always ask.
var alwaysEssential = [...]string{
	"/.well-known/acme-challenge/",
	StatusPath,
	"/.well-known/security.txt",
	"/robots.txt",
}

// IsAlwaysEssential reports whether a path, as patterns have it, is in the
// essential class of every policy.
func IsAlwaysEssential(path string) bool { return slices.Contains(alwaysEssential[:], path) }

// alwaysEssentialFor returns which of alwaysEssential a path is of, "" if none.
func alwaysEssentialFor(path string) string {
	for _, pattern := range alwaysEssential {
		if path == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(path, pattern) {
			return pattern
		}
	}
	return ""
}

// isEssentialFile reports whether a path is always essential, and forwarded: gateways
// answer StatusPath.
func isEssentialFile(path string) bool { return path != StatusPath && alwaysEssentialFor(path) != "" }

// addRoutes builds the table of route classes.
func (p *builder) addRoutes() {
	classes := []string{Other, SignUp, Export, Essential}
	for _, name := range slices.Sorted(maps.Keys(p.def.Routes)) {
		switch {
		case name == Other:
			p.errorf("choose another name", key("routes", name), "%q is the class of the requests that no pattern matches", name)
		case !className.MatchString(name):
			p.errorf("use lower-case letters, digits and hyphens, as in sign-up", key("routes", name), "%q can't be the name of a route class", name)
		}
		if !slices.Contains(classes, name) {
			classes = append(classes, name)
		}
	}
	p.policy.classes = classes
	p.policy.isEmpty = make([]bool, len(classes))
	for class, name := range classes {
		p.policy.isEmpty[class] = p.def.Routes[name] == nil && name != Other && name != Essential
	}

	var rules []routes.Rule
	var paths [][]any // where each rule stands in the document
	hosts := map[string][]any{"": nil}
	for _, name := range slices.Sorted(maps.Keys(p.def.Routes)) {
		class := slices.Index(classes, name)
		if len(p.def.Routes[name]) == 0 {
			p.errorf("list its patterns, or remove it", at("routes", name), "route class %q is empty", name)
		}
		for i, text := range p.def.Routes[name] {
			path := at("routes", name, i)
			pattern, err := routes.Parse(text)
			if err != nil {
				p.errorf("patterns are [METHOD ][HOST]/PATH, as in POST /signup or /account/export", path, "%v", err)
				continue
			}
			if reserved := claimedEssential(pattern); reserved != "" && name != Essential {
				p.errorf("it stays reachable in every market; remove the pattern", path, "%q is always essential", reserved)
				continue
			}
			hosts[hostOf(pattern)] = path
			rules = append(rules, routes.Rule{Class: Class(class), Pattern: pattern})
			paths = append(paths, path)
		}
	}
	said, _ := routes.New(rules) // nil if there are conflicts, which are found below
	// A pattern with a host goes before any without one, so what is always
	// essential has to be said for each host.
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		for _, path := range alwaysEssential {
			pattern, err := routes.Parse(host + path)
			if err != nil {
				p.errorf("use a host of 253 bytes at most", hosts[host], "%v", err)
				break
			}
			rules = append(rules, routes.Rule{Class: Class(slices.Index(classes, Essential)), Pattern: pattern, First: true})
		}
	}

	table, conflicts := routes.New(rules)
	for _, c := range conflicts { // none of them with what is always essential
		a, b := rules[c.A], rules[c.B]
		p.errorf("make one of them more specific, or put both into one class", paths[c.B],
			"%q of %s conflicts with %q of %s: %s", b.Pattern, classes[b.Class], a.Pattern, classes[a.Class], c.Reason)
	}
	p.policy.routes, p.policy.saidRoutes = table, said
}

// checkEssentialIsSome checks that not everything at all hosts is essential: no market could
// be withdrawn from then, whatever its entry says.
func (b *builder) checkEssentialIsSome() {
	for i, text := range b.def.Routes[Essential] {
		pattern, err := routes.Parse(text)
		if err != nil {
			continue // it has been reported
		}
		path := pattern.String()
		if path == "/" || strings.HasPrefix(path, "/{") && strings.HasSuffix(path, "...}") && strings.Count(path, "/") == 1 {
			b.errorf("name the paths that people need when a market is left, as /legal/ or /account/export; for the first page alone, write /{$}", at("routes", Essential, i),
				"%q makes everything essential, which is never refused: no market could be withdrawn from", text)
		}
	}
}

// hostOf returns the host of a pattern, "" if it is for any.
func hostOf(pattern routes.Pattern) string {
	before, _, _ := strings.Cut(pattern.String(), "/")
	return before[strings.LastIndexAny(before, " \t")+1:]
}

// claimedEssential returns the path that is always essential and that a pattern
// would take away, "" if it takes none.
func claimedEssential(pattern routes.Pattern) string {
	path := pattern.String()
	path, _ = url.PathUnescape(path[strings.IndexByte(path, '/'):])
	return alwaysEssentialFor(path)
}

var demandName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,79}$`)

var (
	groupName       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{2,39}$`)
	subdivisionLike = regexp.MustCompile(`^[A-Za-z]{2}-[A-Za-z0-9]{1,3}$`)
)

// builtInGroups are the groups that every policy has, and which of them each
// place is in.
var builtInGroups = sync.OnceValues(func() (all map[Code]group, of map[Code][]Code) {
	all, of = make(map[Code]group), make(map[Code][]Code)
	for _, g := range groups.All() {
		found := group{builtIn: true}
		for _, m := range g.Members {
			found.members = append(found.members, Code(m))
			of[Code(m)] = append(of[Code(m)], Code(g.Name))
		}
		all[Code(g.Name)] = found
	}
	return all, of
})

// addGroups looks up the members of the operator's groups, and adds them to the
// built-in ones.
func (p *builder) addGroups() {
	builtIn, of := builtInGroups()
	p.policy.groups, p.policy.groupsOf = maps.Clone(builtIn), maps.Clone(of)
	for _, name := range slices.Sorted(maps.Keys(p.def.Groups)) {
		path := key("groups", name)
		_, taken := groups.Lookup(name)
		switch {
		case taken:
			p.errorf("choose another name", path, "group %s is built in", name)
			continue
		case isPlace(name) || isPseudo(Code(name)) || Code(name) == Default:
			p.errorf("choose another name", path, "%q is a jurisdiction already", name)
			continue
		case subdivisionLike.MatchString(name):
			p.errorf("choose another name", path, "%q looks like the code of a subdivision", name)
		case !groupName.MatchString(name):
			p.errorf("use three letters or more, digits and hyphens, as in andean", path, "%q can't be the name of a group", name)
		}
		if len(p.def.Groups[name]) == 0 {
			p.errorf("list its members, or remove it", at("groups", name), "group %q is empty", name)
		}
		var own group
		for i, member := range p.def.Groups[name] {
			path := at("groups", name, i)
			switch {
			case !isPlace(member):
				p.unknownCode(path, member, aPlace)
			case slices.Contains(own.members, Code(member)):
				p.errorf("remove one", path, "%s is in group %q twice", member, name)
			default:
				own.members = append(own.members, Code(member))
			}
		}
		p.policy.groups[Code(name)] = own
		for _, member := range own.members {
			p.policy.groupsOf[member] = append(slices.Clip(p.policy.groupsOf[member]), Code(name)) // that of a built-in one is everybody's
		}
	}
}

// addRules builds the entries, and says whom each of them reaches.
func (p *builder) addRules() {
	p.policy.rules = make(map[Code]*Rule)
	for _, name := range slices.Sorted(maps.Keys(p.def.Jurisdictions)) {
		code := Code(name)
		if !p.policy.isGroup(code) && !isPlace(name) && !isPseudo(code) && code != Default {
			p.unknownCode(key("jurisdictions", name), name, aJurisdiction)
			continue
		}
		p.policy.rules[code] = p.newRule(code, p.def.Jurisdictions[name])
	}

	p.policy.territoryOf = make(map[Code]*Rule)
	p.policy.rulesOf = make(map[Code][]*Rule)
	for _, code := range p.policy.Jurisdictions() {
		e := p.policy.rules[code]
		for _, member := range p.policy.groups[code].members {
			p.policy.rulesOf[member] = append(p.policy.rulesOf[member], e)
		}
		p.checkUnknownPart(e, at("jurisdictions", string(code), "unknown-part"))
		p.checkTerritories(code, e.territories, at("jurisdictions", string(code), "territories"))
		for _, t := range e.territories.Of(code) {
			if !p.policy.HasEntry(t) {
				p.policy.territoryOf[t] = e
				e.extends = append(e.extends, t)
			}
		}
	}
}

// newRule checks one entry and looks its route classes up.
func (p *builder) newRule(code Code, text Entry) *Rule {
	path := at("jurisdictions", string(code))
	e := &Rule{code: code}
	steps := p.newSteps(string(code), text.Phase, text.Schedule, path, text.Features != nil)
	switch {
	case text.Routes != nil && text.Features != nil:
		p.errorf("write them under features, too", append(path, "routes"), "%s has both routes and features", code)
	case text.Routes != nil:
		p.addRoutesTo(e, text.Routes, steps, append(path, "routes"))
	default:
		e.steps = steps
		p.addFeatures(e, text.Features, append(path, "features"))
	}
	if e.features != nil {
		e.byClass = make([][]Step, len(e.features))
		for class, steps := range e.features {
			e.byClass[class] = mergeSteps(e.steps, steps)
		}
	}
	e.territories, e.unknownPart = text.Territories, text.UnknownPart
	e.because, e.drain = text.Because, text.Drain
	for i, name := range text.Because {
		path := append(slices.Clip(path), "because", i)
		if _, ok := p.def.Demands[name]; !ok {
			p.errorf("define it under demands:, or use the name of one there", path, "there is no demand %q", name)
		} else if slices.Contains(text.Because[:i], name) {
			p.errorf("remove one", path, "%s is listed twice", name)
		}
	}
	return e
}

// newSteps checks a phase or a schedule, of which there has to be one unless it is
// optional.
func (p *builder) newSteps(name string, phase *Phase, schedule []Step, path []any, optional bool) []Step {
	switch {
	case phase != nil && schedule != nil:
		p.errorf("put the phase into the schedule, with the date from which it holds", append(slices.Clip(path), "phase"), "%s has both a phase and a schedule", name)
	case phase != nil:
		return []Step{{Phase: *phase}}
	case len(schedule) > 0:
		p.checkSchedule(append(slices.Clip(path), "schedule"), schedule)
		return schedule
	case !optional || schedule != nil:
		p.errorf("add a phase, as in phase: withdrawn, or a schedule", append(slices.Clip(path), "phase"), "%s has no phase", name)
	}
	return nil
}

// addRoutesTo limits what an entry says to some route classes.
func (p *builder) addRoutesTo(e *Rule, names []string, steps []Step, path []any) {
	if len(names) == 0 {
		p.errorf("list route classes, or remove routes to mean the whole service", path, "%s is limited to no routes", e.code)
	}
	e.features = make([][]Step, len(p.policy.classes))
	p.lookUpClasses(names, path, func(class Class) { e.features[class] = steps })
}

// addFeatures adds what an entry says of single features.
func (p *builder) addFeatures(e *Rule, features map[string]Feature, path []any) {
	if features == nil {
		return
	}
	if len(features) == 0 {
		p.errorf("list route classes, or remove features", path, "%s has no features", e.code)
	}
	e.features = make([][]Step, len(p.policy.classes))
	for _, name := range slices.Sorted(maps.Keys(features)) {
		feature, path := features[name], append(slices.Clip(path), name)
		steps := p.newSteps(name, feature.Phase, feature.Schedule, path, false)
		if slices.ContainsFunc(steps, func(s Step) bool { return s.Phase == ClosedToNew || s.Phase == WindDown }) {
			p.errorf("use announced or withdrawn", path, "a feature can only be announced or withdrawn")
		}
		p.lookUpClass(name, append(path[:len(path)-1:len(path)-1], Key(name)), func(class Class) { e.features[class] = steps })
	}
}

// lookUpClasses looks up the route classes that something is limited to.
func (p *builder) lookUpClasses(names []string, path []any, found func(Class)) {
	for i, name := range names {
		path := append(slices.Clip(path), i)
		if slices.Contains(names[:i], name) {
			p.errorf("remove one", path, "%s is listed twice", name)
			continue
		}
		p.lookUpClass(name, path, found)
	}
}

func (p *builder) lookUpClass(name string, path []any, found func(Class)) {
	class := slices.Index(p.policy.classes, name)
	_, defined := p.def.Routes[name]
	switch {
	case name == Essential:
		p.errorf("remove it", path, "the essential class is never refused")
	case class < 0 || !defined && name != Other:
		p.errorf("define it under routes:, or use one of: "+strings.Join(p.refusableClasses(), ", "), path, "there is no route class %q", name)
	default:
		found(Class(class))
	}
}

// checkSchedule checks that time only restricts: to open a market takes a new
// revision of the policy, never the passing of a date.
func (p *builder) checkSchedule(path []any, steps []Step) {
	for i, step := range steps {
		path := append(slices.Clip(path), i)
		p.checkYear(append(path, "from"), step.From, 2000)
		if i == 0 {
			continue
		}
		before := steps[i-1]
		switch {
		case before.From.IsZero() || step.From.IsZero(): // has been reported
		case !step.From.After(before.From):
			p.errorf("put the steps into the order of their dates", append(path, "from"), "the step from %s doesn't come after the one from %s", formatStep(step), formatStep(before))
		case step.Phase < before.Phase:
			p.errorf("a date can only restrict; to open the market again, change the policy on that day", append(path, "phase"), "%s is less restrictive than %s before it", step.Phase, before.Phase)
		case step.Phase == before.Phase:
			p.errorf("remove the step", append(path, "phase"), "%s holds already since %s", step.Phase, formatStep(before))
		}
	}
}

// checkYear checks that a date can be meant.
func (p *builder) checkYear(path []any, date time.Time, first int) {
	if year := date.Year(); year < first || year > 2199 {
		p.errorf(fmt.Sprintf("use a year from %d to 2199", first), path, "the year %d can't be meant", year)
	}
}

func formatStep(s Step) string { return s.From.Format("2006-01-02T15:04:05Z07:00") }

var (
	statuses    = []int{0, 403, 404, 410, 451}
	languageTag = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$`)
)

// addNotices checks what refused clients are told.
func (p *builder) addNotices() {
	p.policy.notices = make(map[Code]Notice)
	for _, name := range slices.Sorted(maps.Keys(p.def.Notices)) {
		code, notice := Code(name), p.def.Notices[name]
		if !p.policy.isGroup(code) && !isPlace(name) && !isPseudo(code) && code != Default {
			p.unknownCode(key("notices", name), name, anAudience)
			continue
		}
		p.policy.notices[code] = notice
		if !slices.Contains(statuses, notice.Status) {
			p.errorf("use 451 (RFC 7725), 403, 404 or 410", at("notices", name, "status"), "a refusal can't have status %d", notice.Status)
		}
		for _, link := range notice.Links() {
			if !isLink(link.Address) {
				p.errorf("write it whole, as in https://example.org/appeal", at("notices", name, link.Field), "%q is not a web address", link.Address)
			}
		}
		for _, tag := range slices.Sorted(maps.Keys(notice.Texts)) {
			text := notice.Texts[tag]
			if !languageTag.MatchString(tag) {
				p.errorf("use a BCP 47 tag, as in fr or zh-Hant", key("notices", name, "texts", tag), "%q is not a language", tag)
			}
			if len(text.Title) > 200 || len(text.Body) > 10_000 {
				p.errorf("keep the title within 200 bytes and the body within 10,000", at("notices", name, "texts", tag), "the text is too long")
			}
		}
	}
}

func isLink(text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`<>"\^`+"`{|}", r) || r > '~' }) {
		return false
	}
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" || u.Scheme == "mailto" && u.Opaque != ""
}

// What a code can be wanted to be.
const (
	aPlace        = "a country or subdivision"
	aJurisdiction = "a jurisdiction"
	anAudience    = "a jurisdiction or default"
	aSovereign    = "a country, subdivision or group"
)

// unknownCode reports a code that isn't what was wanted.
func (p *builder) unknownCode(path []any, code, wanted string) {
	advice := "see the other wrong codes"
	if p.unknowns++; p.unknowns <= 100 { // to find the closest code takes time
		advice = p.suggest(code, wanted)
	}
	p.errorf(advice, path, "%q is not %s", code, wanted)
}

// CheckJurisdiction returns why a code can't be that of an entry, nil if it can.
func (p *Policy) CheckJurisdiction(code Code) error {
	if p.isGroup(code) || isPlace(string(code)) || isPseudo(code) || code == Default {
		return nil
	}
	b := &builder{policy: p}
	return fmt.Errorf("%.100q is not a jurisdiction: %s", code, b.suggest(string(code), aJurisdiction))
}

// suggest says which code may be meant by one that isn't what was wanted.
func (p *builder) suggest(code, wanted string) string {
	if closest := iso3166.Closest(code); closest != "" {
		return fmt.Sprintf("did you mean %s (%s)?", closest, Name(Code(closest)))
	}
	switch {
	case wanted == aPlace && p.policy.isGroup(Code(code)):
		return "list its members: a group can't have groups in it"
	case wanted == aSovereign:
		return "use an ISO 3166-1 code (FR), an ISO 3166-2 code (US-MS) or a group (EU)"
	case wanted == aPlace:
		return "use an ISO 3166-1 code (FR) or an ISO 3166-2 code (US-MS)"
	case code == string(Default):
		return "leave it out"
	}
	candidates := append(slices.Sorted(maps.Keys(p.policy.groups)), Unlocated, Private, Anonymous)
	if wanted == anAudience {
		candidates = append(candidates, Default)
	}
	for _, name := range candidates {
		if strings.EqualFold(string(name), code) {
			return fmt.Sprintf("did you mean %s?", name)
		}
	}
	return "use an ISO 3166-1 code (FR), an ISO 3166-2 code (US-MS), a group (EU), unlocated, private or anonymous"
}

// refusableClasses are what an entry may be limited to.
func (p *builder) refusableClasses() []string {
	names := slices.Sorted(maps.Keys(p.def.Routes))
	names = slices.DeleteFunc(names, func(name string) bool { return name == Essential || name == Other })
	return append(names, Other)
}

// isPlace reports whether a code is that of a country or subdivision.
func isPlace(code string) bool {
	if _, ok := iso3166.LookupCountry(code); ok {
		return true
	}
	_, ok := iso3166.LookupSubdivision(code)
	return ok
}

func isPseudo(code Code) bool {
	return code == Unlocated || code == Private || code == Anonymous
}

// at is the path of a value in the document.
func at(path ...any) []any { return path }

// key is the path of a key in the document.
func key(path ...any) []any {
	last := len(path) - 1
	path[last] = Key(path[last].(string))
	return path
}
