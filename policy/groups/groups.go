// Package groups has the groups of countries that a treaty, a charter or a
// constitution defines, so that a policy can name them without listing their
// members.
//
// A group has as members the states that belong to it. A territory with a
// country code of its own (GP, AX, GL) is a member only where the law of the
// group holds there as it does in the state itself: that is so for some
// territories of the EU's members, and each case is argued beside the definition.
//
// Membership changes, and this package can't know of it: each group says what
// day its list is known to be right for. Whoever needs another list defines a
// group in the policy; that overrides nothing here, as its name must differ.
//
// Left out are groups whose members no text with legal force names (BRICS, G7)
// and those that were changing when this was written, in ways that couldn't be
// verified: the CIS, which Moldova resolved to leave in 2026, and the OECD, to
// which several states were acceding.
package groups

import (
	"slices"
	"strings"
)

// A Group is a named set of jurisdictions.
type Group struct {
	Name  string // as a policy writes it: EU, African-Union. Never a country's code
	Title string // as people write it: European Union
	// Members are codes of ISO 3166-1 or 3166-2, sorted.
	Members []string
	// Source is what defines the group, or its own list of its members, for
	// checking: a citation with a URL.
	Source string
	// AsOf is the day that Members are known to be right for: 2026-01-01.
	AsOf string
}

// Lookup returns the group of this name. The letters' case matters. The group
// is the caller's to change.
func Lookup(name string) (Group, bool) {
	i, ok := slices.BinarySearchFunc(definitions[:], name, func(d definition, name string) int {
		return strings.Compare(d.name, name)
	})
	if !ok {
		return Group{}, false
	}
	return definitions[i].group(), true
}

// All returns all groups, sorted by name. They are the caller's to change.
func All() []Group {
	all := make([]Group, 0, len(definitions))
	for _, d := range definitions {
		all = append(all, d.group())
	}
	return all
}

func (d definition) group() Group {
	members := strings.Fields(d.members)
	slices.Sort(members)
	return Group{Name: d.name, Title: d.title, Members: members, Source: d.source, AsOf: d.asOf}
}
