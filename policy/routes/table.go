// Package routes classifies requests by patterns in the syntax of
// net/http.ServeMux, with its matching and precedence: the more specific
// pattern wins. It differs in what it doesn't do: it never redirects, but
// matches the path exactly as it stands, which is how it is forwarded.
//
// As the app behind may read a request in another way than it stands, Classify
// returns which other classes that could lead to.
package routes

import (
	"net/http"
	"strings"
)

// A Class is the index of a route class.
type Class int

// None is the class of the requests that no pattern matches.
const None Class = 0

// A Rule puts the requests that a pattern matches into a class.
type Rule struct {
	Class   Class
	Pattern Pattern
	// First says that where the rule and another one match a request, and
	// neither is the more specific, it decides, and there is no conflict. Its
	// pattern must be for any method, and a literal path or all below one; no
	// other rule may match such a path only.
	First bool
}

// A Table classifies requests. It doesn't change, so any number of
// goroutines may use it. The zero Table has no rules.
type Table struct {
	rules   []Rule
	hosts   map[string]*node // the rules for one host
	anyHost node
}

// New builds a Table, or returns the conflicts between the rules and no Table.
//
// Two rules of the same class may match the same requests in any way: of the
// most specific patterns that match a request, those of different classes
// would be in conflict, hence all of them have one class, and it doesn't
// matter which is found.
func New(rules []Rule) (*Table, []Conflict) {
	t := &Table{rules: make([]Rule, len(rules)), hosts: make(map[string]*node)}
	copy(t.rules, rules)
	for number, rule := range t.rules {
		t.host(rule.Pattern.host).insert(leaf{rule.Pattern.method, number, rule.Class}, rule.Pattern.segments)
	}
	if conflicts := t.conflicts(); conflicts != nil {
		return nil, conflicts
	}
	return t, nil
}

// Rules returns what New was given. It is shared: don't change it.
func (t *Table) Rules() []Rule { return t.rules }

// host returns the tree of the patterns for a host, empty for any.
func (t *Table) host(name string) *node {
	if name == "" {
		return &t.anyHost
	}
	if t.hosts[name] == nil {
		t.hosts[name] = new(node)
	}
	return t.hosts[name]
}

// Match returns the class of a request. The host is without port and in lower
// case; escapedPath is the path exactly as it is forwarded, in the form of
// URL.EscapedPath, or "*" for OPTIONS *, which no pattern matches.
func (t *Table) Match(method, host, escapedPath string) Class {
	if l := t.find(method, host, escapedPath); l != nil {
		return l.class
	}
	return None
}

// find returns the leaf that decides, nil if no pattern matches.
func (t *Table) find(method, host, escapedPath string) *leaf {
	if escapedPath == "" {
		escapedPath = slash // "http://host" and "http://host/" are the same, RFC 9110, section 4.2.3
	}
	if escapedPath[0] != '/' {
		return nil
	}
	escaped := strings.IndexByte(escapedPath, '%') >= 0
	return t.search(method, host, escapedPath, escaped)
}

// search returns the leaf that decides for a path that begins with a slash. If
// it is escaped, its segments are decoded before they are compared.
func (t *Table) search(method, host, path string, escaped bool) *leaf {
	if n := t.hosts[host]; n != nil {
		if l := n.find(method, path, escaped); l != nil {
			return l
		}
	}
	return t.anyHost.find(method, path, escaped)
}

// A node is where patterns with the same beginning part.
type node struct {
	label    string           // the literal that leads here
	literals []*node          // in the order of the rules
	index    map[string]*node // literals by label, where they are many
	wild     *node
	end      leaves // the patterns that end here
	rest     leaves // the patterns that end here and match all that follows

	summary summary // of the patterns in and below this node
}

// Up to so many literals are compared one by one, which takes less time than
// a look-up in a map.
const fewLiterals = 4

// insert adds a leaf for what remains of its pattern.
func (n *node) insert(l leaf, path []segment) {
	n.summary.add(l)
	switch {
	case len(path) == 0:
		n.end = n.end.with(l)
	case path[0].kind == rest:
		n.rest = n.rest.with(l)
	case path[0].kind == wild:
		if n.wild == nil {
			n.wild = new(node)
		}
		n.wild.insert(l, path[1:])
	default:
		child := n.literal(path[0].text)
		if child == nil {
			child = &node{label: path[0].text}
			n.add(child)
		}
		child.insert(l, path[1:])
	}
}

func (n *node) add(child *node) {
	n.literals = append(n.literals, child)
	switch {
	case n.index != nil:
		n.index[child.label] = child
	case len(n.literals) > fewLiterals:
		n.index = make(map[string]*node, 2*len(n.literals))
		for _, c := range n.literals {
			n.index[c.label] = c
		}
	}
}

// find searches what remains of a path below n, literals before wildcards
// before rests. Of two patterns that match, the more specific one is at no
// segment the less specific one, so it is found first. That holds for methods
// as well, so they can be compared last.
func (n *node) find(method, path string, escaped bool) *leaf {
	if len(path) == 0 {
		return n.end.find(method)
	}
	segment, remains := cut(path, escaped)
	if child := n.child(segment, escaped); child != nil {
		if l := child.find(method, remains, escaped); l != nil {
			return l
		}
	}
	if n.wild != nil && segment != slash {
		if l := n.wild.find(method, remains, escaped); l != nil {
			return l
		}
	}
	return n.rest.find(method)
}

// cut splits a path, which begins with a slash, after its first segment. The
// segment is "/" where nothing follows the slash, which is what {$} matches
// and {name} doesn't; and, as in ServeMux, where it is an encoded slash alone.
func cut(path string, escaped bool) (segment, remains string) {
	if len(path) == 1 {
		return path, ""
	}
	segment = path[1:]
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, remains = segment[:i], segment[i:]
	}
	if escaped && (segment == "%2F" || segment == "%2f") {
		segment = slash
	}
	return segment, remains
}

func (n *node) child(segment string, escaped bool) *node {
	if n.literals == nil {
		return nil
	}
	if escaped && strings.IndexByte(segment, '%') >= 0 {
		return n.escapedLiteral(segment)
	}
	return n.literal(segment)
}

func (n *node) literal(label string) *node {
	if n.index != nil {
		return n.index[label]
	}
	for _, child := range n.literals {
		if child.label == label {
			return child
		}
	}
	return nil
}

// escapedLiteral is literal for a segment that has to be decoded.
func (n *node) escapedLiteral(segment string) *node {
	if len(segment) > 3*maxLiteral {
		return nil
	}
	var buffer [3 * maxLiteral]byte
	return n.literal(string(appendUnescaped(buffer[:0], segment)))
}

// A leaf is a rule in the tree, at the node where its pattern ends.
type leaf struct {
	method string
	rule   int
	class  Class
}

// leaves differ in their methods only, those that match fewer methods first.
type leaves []leaf

func (ls leaves) with(l leaf) leaves {
	at := len(ls)
	for i, other := range ls {
		if other.method == l.method && other.class == l.class {
			return ls // a repeat
		}
		if at == len(ls) && generality(other.method) > generality(l.method) {
			at = i
		}
	}
	ls = append(ls, l)
	copy(ls[at+1:], ls[at:])
	ls[at] = l
	return ls
}

func generality(method string) int {
	switch method {
	case "":
		return 2
	case http.MethodGet:
		return 1
	}
	return 0
}

func (ls leaves) find(method string) *leaf {
	for i := range ls {
		if l := &ls[i]; l.method == "" || l.method == method || l.method == http.MethodGet && method == http.MethodHead {
			return l
		}
	}
	return nil
}
