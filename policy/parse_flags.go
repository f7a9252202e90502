package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// Limits of what a policy may name, such that the flags fit into one field of
// a request.
const (
	mostFlags   = 100
	mostDemands = 1000
	longestText = 500 // bytes of a sentence for people
	longestName = 200 // bytes of a title
)

// A setting is a Setting with everything looked up.
type setting struct {
	value Value // none if the policy has no value for everywhere
	in    map[Code]Value
	// The groups among these, the operator's and the built-in ones, by their
	// members.
	own, builtIn map[Code][]Code
	groups       int // how many
}

// flagName is a key of a dictionary (RFC 9651 section 3.2), as apps are told
// flags in one.
var flagName = regexp.MustCompile(`^[a-z*][a-z0-9_.*-]{0,63}$`)

// reserved begins the names of flags that have a meaning to exitgate itself.
const reserved = "exitgate."

// checkFlagName checks the name of a flag.
func (p *builder) checkFlagName(name string, path []any) {
	switch {
	case !flagName.MatchString(name):
		p.doc.Errorf("use lower-case letters, digits, _ - . and *, 64 at most: apps are told flags in a structured field (RFC 9651)", path, "%.80q can't be the name of a flag", name)
	case strings.HasPrefix(name, reserved):
		p.doc.Errorf("choose another name; phases stand under jurisdictions:", path, "names that begin with %s are reserved", reserved)
	}
}

// A literal is a value in the document, with where it stands.
type literal struct {
	value Value
	path  []any
}

// addFlags looks at all that the document says of flags: first what types they
// have, then whether it makes sense.
func (p *builder) addFlags() {
	p.policy.settings = make(map[string]*setting)
	guarantees, settings := p.def.Guarantees, p.def.Flags
	names := slices.Sorted(maps.Keys(guarantees))
	for _, name := range names {
		p.checkFlagName(name, key("guarantees", name))
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if _, both := guarantees[name]; !both {
			p.checkFlagName(name, key("flags", name))
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > mostFlags {
		p.doc.Errorf(fmt.Sprintf("name %d at most: apps are told all of them with each request", mostFlags), key("flags"), "there are %d flags in guarantees and flags", len(names))
		return
	}
	for _, name := range names {
		flag := Flag{Name: name, Kind: p.kindOf(name)}
		if g, ok := guarantees[name]; ok {
			p.checkGuarantee(name, &g, flag.Kind)
			flag.Guarantee = &g
		}
		if s, ok := settings[name]; ok {
			p.policy.settings[name] = p.newSetting(name, s, flag.Kind)
		}
		p.policy.flags = append(p.policy.flags, flag)
	}
}

// kindOf returns the type of a flag: the one that all its values have. A flag
// with integers and floats is a float.
func (p *builder) kindOf(name string) Kind {
	var first *literal
	kind := Boolean
	for _, l := range p.literals(name) {
		switch found := l.value.Kind(); {
		case l.value.IsZero(): // has been reported
		case first == nil:
			first, kind = &l, found
		case found == kind, kind == Float && found == Integer:
		case kind == Integer && found == Float:
			kind = Float
		default:
			p.doc.Errorf("a flag has one type everywhere", l.path, "%s is the %s %s here, but the %s %s in %s", name, found, l.value, first.value.Kind(), first.value, formatSection(first.path))
		}
	}
	return kind
}

// formatSection names a place in the document: "guarantees".
func formatSection(path []any) string {
	if len(path) > 1 && path[0] == "demands" {
		return fmt.Sprintf("demand %v", path[1])
	}
	return fmt.Sprint(path[0])
}

// literals returns all values of a flag in the document, those of guarantees
// first.
func (p *builder) literals(name string) []literal {
	var all []literal
	if g, ok := p.def.Guarantees[name]; ok {
		path := at("guarantees", name)
		for _, bound := range []struct {
			name  string
			value *Value
		}{{"require", g.Require}, {"at-least", g.AtLeast}, {"at-most", g.AtMost}} {
			if bound.value != nil {
				all = append(all, literal{*bound.value, append(slices.Clip(path), bound.name)})
			}
		}
		for i, v := range g.OneOf {
			all = append(all, literal{v, append(slices.Clip(path), "one-of", i)})
		}
	}
	if s, ok := p.def.Flags[name]; ok {
		path := at("flags", name)
		if s.Value != nil {
			if s.In != nil {
				path = append(slices.Clip(path), "value")
			}
			all = append(all, literal{*s.Value, path})
		}
		for _, code := range slices.Sorted(maps.Keys(s.In)) {
			all = append(all, literal{s.In[code], at("flags", name, "in", code)})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.def.Demands)) {
		if v, ok := p.def.Demands[id].Requires[name]; ok {
			all = append(all, literal{v, at("demands", id, "requires", name)})
		}
	}
	for _, l := range all {
		if err := l.value.CheckSendable(); err != nil {
			p.doc.Errorf("apps are told flags in a structured field (RFC 9651)", l.path, "this can't be a flag's value: %v", err)
		}
	}
	return all
}

// checkGuarantee checks what is guaranteed of a flag, and makes all its values ones
// of the flag's type.
func (p *builder) checkGuarantee(name string, g *Guarantee, kind Kind) {
	path := at("guarantees", name)
	number := kind == Integer || kind == Float
	switch ranged := g.AtLeast != nil || g.AtMost != nil; {
	case g.Require == nil && !ranged && len(g.OneOf) == 0:
		p.doc.Errorf("add require, at-least, at-most or one-of", key(path...), "nothing is guaranteed of %s", name)
	case g.Require != nil && (ranged || g.OneOf != nil), g.OneOf != nil && ranged:
		p.doc.Errorf("keep one: require, or one-of, or at-least and at-most", key(path...), "%s has guarantees of several kinds", name)
	case ranged && !number:
		p.doc.Errorf("use require or one-of", key(path...), "%s is a %s, which has no least and no most", name, kind)
	case g.AtLeast != nil && g.AtMost != nil && !g.AtMost.AtLeast(*g.AtLeast):
		p.doc.Errorf("swap them", key(path...), "no value is at least %s and at most %s", g.AtLeast, g.AtMost)
	}
	for i, v := range g.OneOf {
		if slices.Contains(g.OneOf[:i], v) {
			p.doc.Errorf("remove one", at("guarantees", name, "one-of", i), "%s is listed twice", v)
		}
	}
	if len(g.Statement) > longestText {
		p.doc.Errorf(fmt.Sprintf("keep it within %d bytes", longestText), append(path, "statement"), "the statement is too long")
	}
}

// newSetting checks what a flag is set to, and looks the jurisdictions up.
func (p *builder) newSetting(name string, text Setting, kind Kind) *setting {
	s := &setting{in: make(map[Code]Value), own: make(map[Code][]Code), builtIn: make(map[Code][]Code)}
	if text.Value == nil && len(text.In) == 0 {
		p.doc.Errorf("write its value, as in "+name+": true, or remove it", at("flags", name, "value"), "%s has no value", name)
	}
	if text.Value != nil {
		s.value, _ = text.Value.As(kind)
	}
	for _, code := range slices.Sorted(maps.Keys(text.In)) {
		path := key("flags", name, "in", code)
		switch place := Code(code); {
		case place == Anonymous:
			p.doc.Errorf("use the jurisdictions where it is to be so", path, "a flag can't be set by whether a client hides its place")
			continue
		case !p.policy.isGroup(place) && !isPlace(code) && !isPseudo(place):
			p.unknownCode(path, code, aJurisdiction)
			continue
		}
		value := text.In[code]
		s.in[Code(code)], _ = value.As(kind)
		if _, ok := countryOf(Code(code)); ok {
			p.policy.withFlags = append(p.policy.withFlags, Code(code))
		}
		group, isGroup := p.policy.groups[Code(code)]
		if isGroup {
			s.groups++
		}
		groups := s.own
		if group.builtIn {
			groups = s.builtIn
		}
		for _, member := range group.members {
			groups[member] = append(groups[member], Code(code))
			if _, ok := countryOf(member); ok {
				p.policy.withFlags = append(p.policy.withFlags, member)
			}
		}
	}
	return s
}

// checkContradictions reports flags that are set to different values by groups of
// the same kind for a place that is in both, and that nothing more specific
// sets.
func (p *builder) checkContradictions() {
	for _, f := range p.policy.flags {
		s := p.policy.settings[f.Name]
		if s == nil || s.groups < 2 {
			continue
		}
		for _, place := range p.policy.Places() {
			if first, second := p.policy.settingFor(s, place); second != "" {
				p.doc.Errorf(fmt.Sprintf("say it for %s itself", place.Jurisdiction()), key("flags", f.Name, "in", string(second)),
					"%s is in %s, where %s is %s, and in %s, where it is %s", place.Jurisdiction(), first, f.Name, s.in[first], second, s.in[second])
				break
			}
		}
	}
}

// settingFor returns which code in a setting speaks of a place most specifically, ""
// if none does; and a second one where two groups do, with different values.
func (p *Policy) settingFor(s *setting, place Place) (first, second Code) {
	if len(s.in) == 0 {
		return "", ""
	}
	codes := [...]Code{place.Jurisdiction(), place.Subdivisions[0], place.Country, ""}
	if e := p.territoryOf[place.Country]; e != nil {
		codes[3] = e.code
	}
	for _, code := range codes {
		if _, ok := s.in[code]; ok {
			return code, ""
		}
	}
	for _, groups := range [...]map[Code][]Code{s.own, s.builtIn} {
		for _, code := range [...]Code{place.Country, place.Subdivisions[0], place.Subdivisions[1]} {
			for _, group := range groups[code] {
				switch {
				case first == "":
					first = group
				case s.in[first] != s.in[group]:
					return first, group
				}
			}
		}
		if first != "" {
			break
		}
	}
	return first, ""
}

// Value returns what the policy's own table sets a flag to at a place, if it
// does: of the codes that the place has and the groups that it is in, the most
// specific counts.
func (p *Policy) Value(flag string, place Place) (Value, bool) {
	s := p.settings[flag]
	if s == nil {
		return Value{}, false
	}
	value := s.value
	if by, _ := p.settingFor(s, place); by != "" {
		value = s.in[by]
	}
	return value, !value.IsZero()
}

// OwnFlags returns the flags' values by the policy's own table.
func (p *Policy) OwnFlags() Flags {
	if len(p.settings) == 0 {
		return nil
	}
	flags := make(Flags)
	for _, place := range p.Places() {
		values := make(map[string]Value, len(p.settings))
		for _, f := range p.flags {
			if v, ok := p.Value(f.Name, place); ok {
				values[f.Name] = v
			}
		}
		flags[place.Jurisdiction()] = Settings{Values: values}
	}
	return flags
}

// Places returns one place for each jurisdiction that flags are evaluated for:
// unlocated, private, all countries, and the subdivisions that the policy tells
// apart. They are shared: don't change them.
func (p *Policy) Places() []Place { return p.places }

// setPlaces notes which places the policy tells apart.
func (p *Policy) setPlaces() {
	p.distinct = p.findDistinct()
	p.parents = make(map[Code]Code)
	p.places = []Place{{}, {Private: true}}
	for info := range iso3166.Countries() {
		p.places = append(p.places, Place{Country: Code(info.Code)})
		for _, sub := range p.distinct[Code(info.Code)] {
			place := PlaceOf(sub)
			p.places = append(p.places, place)
			if place.Subdivisions[1] != "" {
				p.parents[sub] = place.Subdivisions[0]
			}
		}
	}
}

// Groups returns the groups that a place is in, built-in ones and the
// operator's, sorted.
func (p *Policy) Groups(place Place) []Code {
	found := slices.Concat(p.groupsOf[place.Country], p.groupsOf[place.Subdivisions[0]], p.groupsOf[place.Subdivisions[1]])
	slices.Sort(found)
	return slices.Compact(found)
}

// contains says whether a place is in a jurisdiction: in the country, the
// subdivision or the group.
func (p *Policy) contains(code Code, place Place) bool {
	for _, c := range [...]Code{place.Jurisdiction(), place.Country, place.Subdivisions[0], place.Subdivisions[1]} {
		if c != "" && (c == code || slices.Contains(p.groupsOf[c], code)) {
			return true
		}
	}
	return false
}

// addAcknowledgements looks up who has looked into which breaches.
func (p *builder) addAcknowledgements() {
	for i, text := range p.def.Acknowledge {
		path := at("acknowledge", i)
		ack := acknowledgement{at: text.At}
		ack.flags, ack.jurisdiction = text.Scope(p.def.Demands)
		switch _, known := p.def.Demands[text.Demand]; {
		case (text.Flag == "") == (text.Demand == ""):
			p.doc.Errorf("name a flag, or a demand to mean all its flags", path, "it has to be known what is acknowledged")
		case text.Demand != "" && !known:
			p.doc.Errorf("use the name of one under demands:", append(path, "demand"), "there is no demand %q", text.Demand)
		case text.Demand == "":
			if f, ok := p.policy.Flag(text.Flag); !ok || f.Guarantee == nil {
				p.doc.Errorf("use the name of one under guarantees:", append(path, "flag"), "nothing is guaranteed of %q", text.Flag)
			}
		}
		if code := text.Jurisdiction; code != "" && !p.policy.isGroup(code) && !isPlace(string(code)) && !isPseudo(code) {
			p.unknownCode(append(path, "jurisdiction"), string(code), aJurisdiction)
		}
		p.checkYear(append(path, "at"), text.At, 2000)
		for name, words := range map[string]string{"by": text.By, "because": text.Because} {
			switch {
			case strings.TrimSpace(words) == "":
				p.doc.Errorf("it is what is asked for later", append(path, name), "%s says nothing", name)
			case len(words) > longestText:
				p.doc.Errorf(fmt.Sprintf("keep it within %d bytes", longestText), append(path, name), "%s is too long", name)
			}
		}
		p.policy.acknowledged = append(p.policy.acknowledged, ack)
	}
}

// An acknowledgement is an Acknowledgement with everything looked up.
type acknowledgement struct {
	flags        []string
	jurisdiction Code // "": everywhere
	at           time.Time
}

// AcknowledgedUntil returns until when breaches of a flag's guarantee in a
// jurisdiction are acknowledged, zero if none is.
func (p *Policy) AcknowledgedUntil(flag string, jurisdiction Code) time.Time {
	place := PlaceOf(jurisdiction)
	var latest time.Time
	for _, a := range p.acknowledged {
		if slices.Contains(a.flags, flag) && (a.jurisdiction == "" || p.contains(a.jurisdiction, place)) && a.at.After(latest) {
			latest = a.at
		}
	}
	return latest
}
