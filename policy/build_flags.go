package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Limits of what a policy may name, such that the flags fit into one field of
// a request.
const (
	mostFlags   = 100
	mostDemands = 1000
	mostStages  = 100 // of a demand, and dates of one
	longestText = 500 // bytes of a sentence for people
	longestName = 200 // bytes of a title
)

// flagName is a key of a dictionary (RFC 9651 section 3.2), as apps get
// flags in one.
var flagName = regexp.MustCompile(`^[a-z*][a-z0-9_.*-]{0,63}$`)

// reserved begins the names of flags that have a meaning to exitgate itself.
const reserved = "exitgate."

// checkFlagName checks the name of a flag.
func (p *builder) checkFlagName(name string, path []any) {
	switch {
	case !flagName.MatchString(name):
		p.errorf("use lower-case letters, digits, _ - . and *, 64 at most: apps are told flags in a structured field (RFC 9651)", path, "%.80q can't be the name of a flag", name)
	case strings.HasPrefix(name, reserved):
		p.errorf("choose another name; phases stand under jurisdictions:", path, "names that begin with %s are reserved", reserved)
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
		p.errorf(fmt.Sprintf("name %d at most: apps are told all of them with each request", mostFlags), key("flags"), "there are %d flags in guarantees and flags", len(names))
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
			p.errorf("a flag has one type everywhere", l.path, "%s is the %s %s here, but the %s %s in %s", name, found, l.value, first.value.Kind(), first.value, formatSection(first.path))
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
		for i, r := range p.def.Demands[id].Requires {
			if v, ok := r.Flags[name]; ok {
				all = append(all, literal{v, append(p.requirementPath(id, i), name)})
			}
		}
	}
	for _, l := range all {
		if err := l.value.CheckSendable(); err != nil {
			p.errorf("apps are told flags in a structured field (RFC 9651)", l.path, "this can't be a flag's value: %v", err)
		}
	}
	return all
}

// checkGuarantee checks what is guaranteed of a flag, and makes all its values
// ones of the flag's type.
func (p *builder) checkGuarantee(name string, g *Guarantee, kind Kind) {
	path := at("guarantees", name)
	number := kind == Integer || kind == Float
	switch ranged := g.AtLeast != nil || g.AtMost != nil; {
	case g.Require == nil && !ranged && len(g.OneOf) == 0:
		p.errorf("add require, at-least, at-most or one-of", key(path...), "nothing is guaranteed of %s", name)
	case g.Require != nil && (ranged || g.OneOf != nil), g.OneOf != nil && ranged:
		p.errorf("keep one: require, or one-of, or at-least and at-most", key(path...), "%s has guarantees of several kinds", name)
	case ranged && !number:
		p.errorf("use require or one-of", key(path...), "%s is a %s, which has no least and no most", name, kind)
	case g.AtLeast != nil && g.AtMost != nil && !g.AtMost.AtLeast(*g.AtLeast):
		p.errorf("swap them", key(path...), "no value is at least %s and at most %s", g.AtLeast, g.AtMost)
	}
	for i, v := range g.OneOf {
		if slices.Contains(g.OneOf[:i], v) {
			p.errorf("remove one", at("guarantees", name, "one-of", i), "%s is listed twice", v)
		}
	}
	p.checkWords(append(path, "statement"), g.Statement, longestText)
}

// newSetting checks what a flag is set to, and looks the jurisdictions up.
func (p *builder) newSetting(name string, text Setting, kind Kind) *setting {
	s := &setting{in: make(map[Code]Value), own: make(map[Code][]Code), builtIn: make(map[Code][]Code)}
	if text.Value == nil && len(text.In) == 0 {
		p.errorf("write its value, as in "+name+": true, or remove it", at("flags", name, "value"), "%s has no value", name)
	}
	if text.Value != nil {
		s.value, _ = text.Value.As(kind)
	}
	for _, code := range slices.Sorted(maps.Keys(text.In)) {
		path := key("flags", name, "in", code)
		switch place := Code(code); {
		case place == Anonymous:
			p.errorf("use the jurisdictions where it is to be so", path, "a flag can't be set by whether a client hides its place")
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
				p.errorf(fmt.Sprintf("say it for %s itself", place.Jurisdiction()), key("flags", f.Name, "in", string(second)),
					"%s is in %s, where %s is %s, and in %s, where it is %s", place.Jurisdiction(), first, f.Name, s.in[first], second, s.in[second])
				break
			}
		}
	}
}

// addAcknowledgements looks up who has looked into which breaches.
func (p *builder) addAcknowledgements() {
	for i, text := range p.def.Acknowledge {
		path := at("acknowledge", i)
		ack := acknowledgement{at: text.At}
		ack.flags, ack.jurisdiction = text.Scope(p.def.Demands)
		switch _, known := p.def.Demands[text.Demand]; {
		case (text.Flag == "") == (text.Demand == ""):
			p.errorf("name a flag, or a demand to mean all its flags", path, "it has to be known what is acknowledged")
		case text.Demand != "" && !known:
			p.errorf("use the name of one under demands:", append(path, "demand"), "there is no demand %q", text.Demand)
		case text.Demand == "":
			if f, ok := p.policy.Flag(text.Flag); !ok || f.Guarantee == nil {
				p.errorf("use the name of one under guarantees:", append(path, "flag"), "nothing is guaranteed of %q", text.Flag)
			}
		}
		if code := text.Jurisdiction; code != "" && !p.policy.isGroup(code) && !isPlace(string(code)) && !isPseudo(code) {
			p.unknownCode(append(path, "jurisdiction"), string(code), aJurisdiction)
		}
		p.checkYear(append(path, "at"), text.At, 2000)
		for name, words := range map[string]string{"by": text.By, "because": text.Because} {
			switch {
			case strings.TrimSpace(words) == "":
				p.errorf("it is what is asked for later", append(path, name), "%s says nothing", name)
			case len(words) > longestText:
				p.errorf(fmt.Sprintf("keep it within %d bytes", longestText), append(path, name), "%s is too long", name)
			}
		}
		p.policy.acknowledged = append(p.policy.acknowledged, ack)
	}
}
