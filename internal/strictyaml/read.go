package strictyaml

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// This file turns what go.yaml.in/yaml has read into our tree: with the places
// of values as offsets, and without what YAML allows and a configuration does
// not need.

const (
	maxDepth = 32      // levels of nesting
	maxNodes = 1 << 19 // keys, values and comments of a document, about 300 bytes each while it is read
)

type kind uint8

const (
	scalar kind = iota
	list
	mapping
	refused // an alias, or what is nested too deep
)

// A node is a key or a value of the document.
type node struct {
	kind       kind
	plain      bool // a scalar without quotes: 1, true and null are no strings then
	wrong      bool // has an error of its own, so that more would only follow from it
	incomplete bool // a mapping that lacks what a merge key would have brought
	at         int  // offset of a scalar or flow collection; for a block collection or nothing, of the key or dash that it belongs to
	from       int  // offset of its own first byte: of a block collection, that of its first key or dash
	text       string
	keys       []*node // of a mapping, in step with items
	items      []*node
	named      map[string]int // index of keys, once there are many
	missing    []string       // keys that aren't there, as reported already
}

// index returns the position of a key in a mapping, or -1.
func (n *node) index(key string) int {
	if len(n.keys) <= 8 {
		return slices.IndexFunc(n.keys, func(k *node) bool { return k.text == key })
	}
	if n.named == nil {
		n.named = make(map[string]int, cap(n.keys))
	}
	for i := len(n.named); i < len(n.keys); i++ {
		n.named[n.keys[i].text] = i
	}
	if i, found := n.named[key]; found {
		return i
	}
	return -1
}

// isNull reports whether the node is null, spelt out or left out.
func (n *node) isNull() bool {
	if n.kind != scalar || !n.plain {
		return false
	}
	switch n.text {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// A reader makes nodes of the library's. Both it and the tree are dropped then.
type reader struct {
	*Document
	depth   int
	last    position          // offsets are asked for in their order
	restore *strings.Replacer // turns stand-ins in the library's values into what they stand for; nil if there are none
	unused  []node            // allocated together
}

// A position is a place in the source as the library tells it, in characters
// from 1, and as an offset.
type position struct{ line, column, offset int }

// read returns the document's tree, or nil if it has none.
func (d *Document) read() *node {
	r := reader{Document: d}
	if at := tooManyNodes(d.source.text); at >= 0 {
		d.report(at, "split the file", "more than %d keys, values and comments", maxNodes)
		return nil
	}
	if tree := r.parse(); tree != nil {
		return r.node(tree, -1)
	}
	return nil
}

// tooManyNodes returns where the library's tree would become too large, -1 if
// it doesn't: its nodes can't be more than what begins one.
func tooManyNodes(text string) int {
	if len(text) <= maxNodes {
		return -1
	}
	isSpace := func(i int) bool { return i < 0 || i >= len(text) || isSpace(text[i]) }
	count := 1
	last := byte(0) // that is no space
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\'':
			if isQuote(last) {
				count++ // no YAML, but the library reads on
			}
		case ',', '[', '{':
			count++
		case '#':
			if isSpace(i - 1) {
				count++ // the library keeps comments
			}
		case '-', '?', ':':
			// In brackets, a colon may also follow a quote or precede a bracket.
			if isSpace(i+1) || c == ':' && (strings.IndexByte(",[]{}", text[i+1]) >= 0 || i > 0 && isQuote(text[i-1])) {
				count += 2 // key and value
			}
		}
		if count > maxNodes {
			return i
		}
		if !isSpace(i) {
			last = text[i]
		}
	}
	return -1
}

// offset returns where in the source a place is.
func (r *reader) offset(line, column int) int {
	text, lines := r.source.text, r.source.lines
	if line < 1 || line > len(lines) {
		return len(text)
	}
	if r.last.line != line || r.last.column > column {
		r.last = position{line, 1, lines[line-1]}
	}
	for ; r.last.column < column && r.last.offset < len(text) && text[r.last.offset] != '\n'; r.last.column++ {
		_, size := utf8.DecodeRuneInString(text[r.last.offset:])
		r.last.offset += size
	}
	return r.last.offset
}

// node returns what the library's node is. It belongs to the key or dash at the
// offset owner, the root to -1.
func (r *reader) node(y *yaml.Node, owner int) *node {
	if len(r.unused) == 0 {
		r.unused = make([]node, 64)
	}
	n := &r.unused[0]
	r.unused = r.unused[1:]
	n.from = r.offset(y.Line, y.Column)
	n.at = n.from
	if owner >= 0 && y.Style == 0 && y.Value == "" { // nothing, or a block collection
		n.at = owner
	}
	if y.Anchor != "" {
		r.report(n.from, "remove it, and write the value out where it is wanted", "an anchor, which is refused: %q", shorten("&"+y.Anchor))
	}
	if y.Style&yaml.TaggedStyle != 0 || y.Tag == "!" {
		r.reject(n, "remove it; put the value into quotes if it is a string", "a tag, which is refused: %q", shorten(y.Tag))
	}
	r.depth++
	switch {
	case y.Kind == yaml.AliasNode:
		n.kind = refused
		r.reject(n, "write the value out", "an alias, which is refused: %q", shorten("*"+y.Value))
	case y.Kind == yaml.ScalarNode:
		r.scalar(y, n)
	case r.depth > maxDepth:
		n.kind, n.at = refused, n.from
		r.reject(n, tooDeep.advice, "%s", tooDeep.message)
	case y.Kind == yaml.SequenceNode:
		r.list(y, n)
	default:
		r.mapping(y, n)
	}
	r.depth--
	return n
}

func (r *reader) scalar(y *yaml.Node, n *node) {
	n.text = y.Value
	n.plain = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	escaped := y.Style&yaml.DoubleQuotedStyle != 0
	if r.restore != nil {
		if !escaped && strings.Contains(n.text, noCharacter) {
			r.reject(n, "write the character itself, or put the text into double quotes", `an escape (\u) outside of double quotes`)
		}
		n.text = r.restore.Replace(n.text)
	}
	if escaped && strings.ContainsFunc(n.text, func(c rune) bool { return c != '\r' && !allowed(c) }) {
		r.reject(n, emptyEscape.advice, "%s", emptyEscape.message) // "C:\files" was not meant to have a form feed
	}
}

func (r *reader) list(y *yaml.Node, n *node) {
	n.kind, n.items = list, make([]*node, 0, len(y.Content))
	for _, item := range y.Content {
		owner := -1
		if y.Style&yaml.FlowStyle == 0 {
			owner = r.dash(y, item)
		}
		n.items = append(n.items, r.node(item, owner))
	}
}

// dash returns the offset of the dash of a list's item, which is in the same
// column as the first, in the item's line or one above.
func (r *reader) dash(list, item *yaml.Node) int {
	lines := r.source.lines
	for line := item.Line; line > list.Line; line-- {
		at := lines[line-1] + list.Column - 1
		if at < len(r.source.text) && r.source.text[at] == '-' && (line == len(lines) || at < lines[line]) {
			return at
		}
	}
	return lines[list.Line-1] + list.Column - 1
}

func (r *reader) mapping(y *yaml.Node, n *node) {
	n.kind, n.keys, n.items = mapping, make([]*node, 0, len(y.Content)/2), make([]*node, 0, len(y.Content)/2)
	if y.Style == yaml.FlowStyle && y.Anchor == "" && r.source.text[n.from] != '{' {
		r.reject(n, "put it into braces: {key: value}", "a key inside a list")
	}
	for i := 0; i < len(y.Content); i += 2 {
		key := r.node(y.Content[i], -1)
		value := r.node(y.Content[i+1], key.from)
		unspaced := y.Style&yaml.FlowStyle != 0 && key.plain && strings.Contains(key.text, ":") && value.plain && value.text == "" // {a:b}
		switch before := n.index(key.text); {
		case key.kind == refused:
			n.incomplete = true
		case key.kind != scalar:
			r.report(key.from, "write the key as a word", "brackets where a key should be")
		case key.plain && key.text == "":
			r.report(key.from, "write a key before the colon", "a colon without a key")
		case key.plain && key.text == "<<":
			n.incomplete = true
			r.report(key.from, "write out the keys that it stands for", "a merge key, which is refused")
		case unspaced:
			n.incomplete = true
			r.report(key.from, noSpace.advice, "%s", noSpace.message)
		case before >= 0:
			r.report(key.from, "join the two, or remove one", "duplicate key %q: it is in line %d already", key.text, r.source.line(n.keys[before].at))
		default:
			n.keys, n.items = append(n.keys, key), append(n.items, value)
		}
	}
}
