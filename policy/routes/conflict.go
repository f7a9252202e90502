package routes

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Conflict is two rules of different classes whose patterns match the same
// requests, or share some of which neither pattern is the more specific.
type Conflict struct {
	A, B   int    // indexes of the rules, A before B
	Reason string // names both patterns, and a request that both match
}

// New reports at most so many conflicts, always the same ones.
const maxConflicts = 1000

// A relation says how the requests that one pattern matches relate to those
// that another one matches, given that they share some. The relation of two
// patterns is the union of the relations of their parts.
type relation uint8

const (
	same        relation = 0
	wider       relation = 1 // matches some that the other doesn't
	narrower    relation = 2 // doesn't match some that the other does
	overlapping          = wider | narrower
)

// A conflictSearch walks a tree of patterns against itself, so that it visits
// only patterns that share requests, and not each with each.
type conflictSearch struct {
	rules []Rule
	found []Conflict
}

func (t *Table) conflicts() []Conflict {
	s := conflictSearch{rules: t.rules}
	s.compareNodes(&t.anyHost, &t.anyHost, same)
	for _, host := range slices.Sorted(maps.Keys(t.hosts)) {
		s.compareNodes(t.hosts[host], t.hosts[host], same)
	}
	slices.SortFunc(s.found, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	})
	return s.found
}

// compareNodes compares the patterns in and below a with those in and below b,
// two nodes that some paths lead to both; rel is the relation of the patterns
// so far.
func (s *conflictSearch) compareNodes(a, b *node, rel relation) {
	if !s.canConflict(a.summary, b.summary) {
		return
	}
	if a == b {
		s.compareWithItself(a)
		return
	}
	s.compare(a.end, b.end, rel)
	s.compare(a.rest, b.rest, rel)
	s.compareBelow(a.rest, b, rel|wider)
	s.compareBelow(b.rest, a, inverse(rel)|wider)
	if a.wild != nil {
		s.compareWithLiterals(a.wild, b, rel|wider)
	}
	if b.wild != nil {
		s.compareWithLiterals(b.wild, a, inverse(rel)|wider)
	}
	if a.wild != nil && b.wild != nil {
		s.compareNodes(a.wild, b.wild, rel)
	}
	if len(a.literals) > len(b.literals) {
		a, b, rel = b, a, inverse(rel)
	}
	for _, child := range a.literals {
		if twin := b.literal(child.label); twin != nil {
			s.compareNodes(child, twin, rel)
		}
	}
}

func (s *conflictSearch) compareWithItself(n *node) {
	for i := range n.end {
		s.compare(n.end[i:i+1], n.end[i+1:], same)
	}
	for i := range n.rest {
		s.compare(n.rest[i:i+1], n.rest[i+1:], same)
	}
	s.compareBelow(n.rest, n, wider)
	if n.wild != nil {
		s.compareWithLiterals(n.wild, n, wider)
		s.compareNodes(n.wild, n.wild, same)
	}
	for _, child := range n.literals {
		s.compareNodes(child, child, same)
	}
}

// compareWithLiterals compares the node behind a wildcard with those behind the
// literals of n. No wildcard matches {$}.
func (s *conflictSearch) compareWithLiterals(wild, n *node, rel relation) {
	for _, child := range n.literals {
		if child.label != slash {
			s.compareNodes(wild, child, rel)
		}
	}
}

// canConflict reports whether patterns in or below one node can conflict with
// those in or below the other.
func (s *conflictSearch) canConflict(a, b summary) bool {
	return len(s.found) < maxConflicts && a.methods&b.methods != 0 && (a.mixed || b.mixed || a.class != b.class)
}

// compareBelow compares patterns that match all that follows a node with all
// that follow it.
func (s *conflictSearch) compareBelow(rest leaves, n *node, rel relation) {
	for i := range rest {
		if rel == wider && rest[i].method == "" {
			continue // it is wider in all respects, so the others win
		}
		s.compareChildren(rest[i:i+1], n, rel)
	}
}

func (s *conflictSearch) compareChildren(one leaves, n *node, rel relation) {
	for _, child := range n.literals {
		s.compareAll(one, child, rel)
	}
	if n.wild != nil {
		s.compareAll(one, n.wild, rel)
	}
}

func (s *conflictSearch) compareAll(one leaves, n *node, rel relation) {
	if s.canConflict(one[0].summary(), n.summary) {
		s.compare(one, n.end, rel)
		s.compare(one, n.rest, rel)
		s.compareChildren(one, n, rel)
	}
}

// compare records the conflicts between patterns whose paths are related as
// rel says.
func (s *conflictSearch) compare(as, bs leaves, rel relation) {
	for _, a := range as {
		for _, b := range bs {
			methods, shared := compareMethods(a.method, b.method)
			if !shared || a.class == b.class || len(s.found) >= maxConflicts {
				continue
			}
			if whole := rel | methods; whole == same || whole == overlapping && !s.rules[a.rule].First && !s.rules[b.rule].First {
				s.record(min(a.rule, b.rule), max(a.rule, b.rule), whole)
			}
		}
	}
}

func (s *conflictSearch) record(a, b int, rel relation) {
	p, q := s.rules[a].Pattern, s.rules[b].Pattern
	reason := fmt.Sprintf("%q and %q match the same requests", p, q)
	if rel == overlapping {
		reason = fmt.Sprintf("%q and %q both match %q, and neither is more specific", p, q, sharedRequest(p, q))
	}
	s.found = append(s.found, Conflict{a, b, reason})
}

func inverse(rel relation) relation { return rel>>1 | rel<<1&overlapping }

// compareMethods relates the methods of two patterns, if they share any.
func compareMethods(a, b string) (rel relation, shared bool) {
	switch {
	case a == b:
		return same, true
	case a == "", a == http.MethodGet && b == http.MethodHead:
		return wider, true
	case b == "", a == http.MethodHead && b == http.MethodGet:
		return narrower, true
	}
	return same, false
}

// A summary is what is known of all patterns in and below a node. It lets the
// search pass over most of a tree.
type summary struct {
	methods methodSet
	class   Class
	mixed   bool // there are other classes
}

func (l leaf) summary() summary {
	return summary{methods: methodsOf(l.method), class: l.class}
}

func (s *summary) add(l leaf) {
	s.mixed = s.mixed || s.methods != 0 && s.class != l.class
	s.methods |= methodsOf(l.method)
	s.class = l.class
}

// A methodSet has a bit for each method that patterns are likely to have, and
// one for all others.
type methodSet uint16

// methodsOf returns the methods that a pattern with a method matches. Patterns
// share no request if these have nothing in common.
func methodsOf(method string) methodSet {
	switch method {
	case "":
		return ^methodSet(0)
	case http.MethodHead:
		return 1
	case http.MethodGet:
		return 1 | 1<<1
	case http.MethodPost:
		return 1 << 2
	case http.MethodPut:
		return 1 << 3
	case http.MethodPatch:
		return 1 << 4
	case http.MethodDelete:
		return 1 << 5
	case http.MethodOptions:
		return 1 << 6
	}
	return 1 << 7
}

// sharedRequest returns a request that both patterns match, given that there
// is one: the more specific piece of the two, everywhere.
func sharedRequest(p, q Pattern) string {
	var b strings.Builder
	method := p.method
	if generality(q.method) < generality(method) {
		method = q.method
	}
	if method != "" {
		b.WriteString(method + " ")
	}
	b.WriteString(p.host)
	long, short := p.segments, q.segments
	if len(short) > len(long) {
		long, short = short, long
	}
	for i, s := range long {
		if i < len(short) && short[i].kind < s.kind {
			s = short[i]
		}
		b.WriteString(slash)
		if end := i == len(long)-1 && s.text == slash; s.kind != rest && !end {
			b.WriteString(url.PathEscape(s.text))
		}
	}
	return b.String()
}
