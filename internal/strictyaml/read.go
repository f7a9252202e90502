package strictyaml

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// This file turns what go.yaml.in/yaml has read into our tree. The library says
// what the values are. The reader follows it through the source, token by token:
// that gives every value its span, and refuses what YAML allows and a
// configuration does not need. Whatever stands between two values must be what
// the reader expects there, or the document is refused.

const (
	maxDepth = 32      // levels of nesting
	maxNodes = 1 << 19 // keys, values and comments of a document, about 300 bytes each while it is read
)

type kind uint8

const (
	scalar kind = iota
	list
	mapping
	refused // an alias
)

// A node is a key or a value of the document.
type node struct {
	kind       kind
	plain      bool // a scalar without quotes: 1, true and null are no strings then
	wrong      bool // has an error of its own, so that more would only follow from it
	at         int  // offset of a scalar or flow collection; for a block collection of the key or dash that it belongs to
	from       int  // offset of its own first byte: of a block collection, that of its first key or dash
	to         int  // offset of what follows its last one
	text       string
	keys       []*node // of a mapping, in step with items
	items      []*node
	named      map[string]int // index of keys, once there are many
	missing    []string       // keys that aren't there, as reported already
	incomplete bool           // a mapping that lacks what a merge key would have brought
}

// index returns the position of a key in a mapping, or -1.
func (n *node) index(key string) int {
	if n.named != nil {
		if i, found := n.named[key]; found {
			return i
		}
		return -1
	}
	for i, k := range n.keys {
		if k.text == key {
			return i
		}
	}
	return -1
}

// add adds a key that isn't there yet, and its value.
func (n *node) add(key, value *node) {
	n.keys, n.items = append(n.keys, key), append(n.items, value)
	if n.named == nil && len(n.keys) > 8 {
		n.named = make(map[string]int, 4*len(n.keys))
		for i, k := range n.keys {
			n.named[k.text] = i
		}
	} else if n.named != nil {
		n.named[key.text] = len(n.keys) - 1
	}
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

// A reader walks the source in step with the library's tree.
type reader struct {
	*Document
	src     string
	pos     int
	start   int // of the line that pos is in
	depth   int
	flow    int               // how many brackets pos is in
	outer   int               // column of the key or dash that the outermost of them belongs to
	restore *strings.Replacer // turns stand-ins in the library's values into what they stand for; nil if there are none
}

// A syntaxError is what the reader panics with where it can't go on.
type syntaxError finding

// read returns the document's tree, or nil if it has none.
func (d *Document) read() (root *node) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case syntaxError:
			root = nil
			d.report(e.at, e.advice, "%s", e.message)
		default:
			panic(e)
		}
	}()
	r := &reader{Document: d, src: d.source.text, outer: -1}
	r.checkSize()
	r.begin()
	if r.next() == len(r.src) {
		d.report(-1, "write at least one key and value", "the file is empty")
		return nil
	}
	root = r.value(r.parse(), -1, r.pos)
	if root.kind != scalar {
		root.at = root.from
	}
	r.end()
	return root
}

// checkSize refuses a document before the library makes a tree of it that
// would be too large: its nodes can't be more than what begins one.
func (r *reader) checkSize() {
	count := 1
	for i := range len(r.src) {
		switch c := r.src[i]; c {
		case ',', '[', '{':
			count++
		case '#':
			if i == 0 || r.endsAt(i-1) {
				count++ // the library keeps comments
			}
		case '-', '?', ':':
			// In brackets, a colon may also follow a quote or precede a bracket.
			if r.endsAt(i+1) || c == ':' && (strings.IndexByte(",[]{}", r.src[i+1]) >= 0 || i > 0 && isQuote(r.src[i-1])) {
				count++
				if c != '-' {
					count++ // key and value
				}
			}
		default:
			continue
		}
		if count > maxNodes {
			r.fail(i, "split the file", "more than %d keys, values and comments", maxNodes)
		}
	}
}

// begin reads what may be before the document's content.
func (r *reader) begin() {
	if r.next(); r.marker("%") {
		r.failWith(r.pos, directive)
	}
	if r.marker("---") {
		r.skipMarker("---")
	}
	if r.next(); r.marker("...") {
		r.failWith(r.pos, secondDocument)
	}
}

// skipMarker skips a marker, which must be alone in its line.
func (r *reader) skipMarker(marker string) {
	r.pos += len(marker)
	r.blanks()
	if !r.atLineEnd() {
		r.fail(r.pos, "begin a new line after it", "text after %s", marker)
	}
}

// end reads what may be after the document's content.
func (r *reader) end() {
	ended := false
	for r.next(); r.marker("..."); r.next() {
		ended = true
		r.skipMarker("...")
	}
	switch {
	case r.pos == len(r.src):
	case ended || r.marker("---"):
		r.failWith(r.pos, secondDocument)
	case strings.Trim(r.src[r.start:r.pos], " ") != "":
		r.failWith(r.pos, trailingText)
	default:
		r.failWith(r.pos, strayLine)
	}
}

// marker reports whether the line begins with the marker, here.
func (r *reader) marker(marker string) bool {
	return r.pos == r.start && strings.HasPrefix(r.src[r.pos:], marker) && (marker == "%" || r.endsAt(r.pos+len(marker)))
}

// value reads a value. It belongs to a key or dash at the column indent, which
// is at the offset owner.
func (r *reader) value(y *yaml.Node, indent, owner int) *node {
	empty := y.Kind == yaml.ScalarNode && y.Style&^yaml.TaggedStyle == 0 && y.Value == ""
	if empty && y.Anchor == "" && y.Tag != "!" && y.Style == 0 {
		return &node{plain: true, at: owner, from: owner, to: owner} // null
	}
	if r.next(); r.start > owner && r.column() <= indent && (y.Kind != yaml.SequenceNode || r.column() < indent) {
		r.failWith(r.pos, strayLine)
	}
	tagged := r.properties()
	var n *node
	switch block := y.Style&yaml.FlowStyle == 0; {
	case empty:
		n = &node{plain: true, at: owner, from: owner, to: owner}
	case y.Kind == yaml.AliasNode:
		n = r.alias(y)
	case y.Kind == yaml.ScalarNode:
		n = r.scalar(y, indent)
	case y.Kind == yaml.SequenceNode && block:
		n = r.list(y)
		n.at = owner
	case block:
		n = r.mapping(y)
		n.at = owner
	default:
		if r.flow == 0 {
			r.outer = indent
		}
		r.flow++
		if y.Kind == yaml.SequenceNode {
			n = r.flowList(y)
		} else {
			n = r.flowMapping(y)
		}
		r.flow--
	}
	n.wrong = n.wrong || tagged
	return n
}

// list reads "- item" lines.
func (r *reader) list(y *yaml.Node) *node {
	column := r.enter()
	n := &node{kind: list, from: r.pos, items: make([]*node, 0, len(y.Content))}
	for _, child := range y.Content {
		dash := r.expect('-')
		item := r.value(child, column, dash)
		n.items, n.to = append(n.items, item), item.to
	}
	r.depth--
	return n
}

// mapping reads "key: value" lines.
func (r *reader) mapping(y *yaml.Node) *node {
	column := r.enter()
	n := &node{kind: mapping, from: r.pos}
	n.keys, n.items = make([]*node, 0, len(y.Content)/2), make([]*node, 0, len(y.Content)/2)
	for i := 0; i < len(y.Content); i += 2 {
		key := r.key(y.Content[i])
		r.expect(':')
		value := r.value(y.Content[i+1], column, key.at)
		r.put(n, key, value)
		n.to = value.to
	}
	r.depth--
	return n
}

func (r *reader) flowList(y *yaml.Node) *node {
	r.enter()
	n := &node{kind: list, at: r.pos, from: r.pos, items: make([]*node, 0, len(y.Content))}
	r.expect('[')
	for i, child := range y.Content {
		if i > 0 {
			r.expect(',')
		}
		if r.next(); child.Kind == yaml.MappingNode && !r.properties() && r.peek() != '{' {
			r.key(child.Content[0])
			r.fail(r.next(), "put it into braces: {key: value}", "a key inside a list")
		}
		n.items = append(n.items, r.value(child, r.outer, r.pos))
	}
	n.to = r.close(']')
	return n
}

func (r *reader) flowMapping(y *yaml.Node) *node {
	r.enter()
	n := &node{kind: mapping, at: r.pos, from: r.pos}
	n.keys, n.items = make([]*node, 0, len(y.Content)/2), make([]*node, 0, len(y.Content)/2)
	r.expect('{')
	for i := 0; i < len(y.Content); i += 2 {
		if i > 0 {
			r.expect(',')
		}
		key := r.key(y.Content[i])
		r.blanks()
		if r.peek() != ':' {
			advice := "write key: value"
			if name, value, found := strings.Cut(key.text, ":"); found && key.plain {
				advice = `a space is missing after the colon: "` + shorten(name) + ": " + shorten(value) + `"`
			}
			r.fail(key.at, advice, "a key without a value")
		}
		r.pos++
		value := r.value(y.Content[i+1], r.outer, key.at)
		r.put(n, key, value)
	}
	n.to = r.close('}')
	return n
}

// close reads the closing bracket, and a comma before it.
func (r *reader) close(bracket byte) int {
	if r.next(); r.peek() == ',' {
		r.pos++
	}
	r.expect(bracket)
	r.depth--
	return r.pos
}

// key reads a key.
func (r *reader) key(y *yaml.Node) *node {
	if r.next(); r.indicator('?') {
		r.failWith(r.pos, complexKey)
	}
	r.properties()
	at := r.pos
	switch {
	case y.Kind == yaml.AliasNode:
		return r.alias(y)
	case y.Kind != yaml.ScalarNode:
		r.fail(at, "write the key as a word", "brackets where a key should be")
	case y.Style == 0 && y.Value == "":
		r.fail(at, "write a key before the colon", "a colon without a key")
	}
	n := r.scalar(y, -1)
	if r.start > at {
		r.fail(at, "write the key as a word on one line", "a key of several lines or values")
	}
	return n
}

// put adds an entry to a mapping, unless it is refused.
func (r *reader) put(n, key, value *node) {
	switch i := n.index(key.text); {
	case key.kind == refused:
		n.incomplete = true
	case key.plain && key.text == "<<":
		n.incomplete = true
		r.report(key.at, "write out the keys that it stands for", "a merge key, which is refused")
	case i >= 0:
		r.report(key.at, "join the two, or remove one", "duplicate key %q: it is in line %d already", key.text, r.source.line(n.keys[i].at))
	default:
		n.add(key, value)
	}
}

// properties skips anchors and tags, and reports them.
func (r *reader) properties() (tagged bool) {
	for r.peek() == '&' || r.peek() == '!' {
		at := r.pos
		what, advice := "an anchor", "remove it, and write the value out where it is wanted"
		if r.src[at] == '!' {
			tagged = true
			what, advice = "a tag", "remove it; put the value into quotes if it is a string"
		}
		for r.pos < len(r.src) && !r.endsAt(r.pos) && strings.IndexByte(",[]{}", r.src[r.pos]) < 0 {
			r.pos++
		}
		r.report(at, advice, "%s, which is refused: %q", what, shorten(r.src[at:r.pos]))
		r.next()
	}
	return tagged
}

// alias skips an alias, and reports it.
func (r *reader) alias(y *yaml.Node) *node {
	n := &node{kind: refused, wrong: true, at: r.pos, from: r.pos}
	r.expect('*')
	r.pos = min(r.pos+len(y.Value), len(r.src))
	n.to = r.pos
	r.report(n.at, "write the value out", "an alias, which is refused: %q", shorten(r.src[n.at:n.to]))
	return n
}

// scalar reads a scalar, whose further lines must be indented more than indent.
func (r *reader) scalar(y *yaml.Node, indent int) *node {
	n := &node{at: r.pos, from: r.pos, text: y.Value}
	if r.restore != nil {
		if y.Style&yaml.DoubleQuotedStyle == 0 && strings.Contains(n.text, noCharacter) {
			r.fail(n.at, "write the character itself, or put the text into double quotes", `an escape (\u) outside of double quotes`)
		}
		n.text = r.restore.Replace(n.text)
	}
	switch {
	case y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		r.quoted(indent)
		if strings.ContainsFunc(n.text, func(c rune) bool { return c != '\r' && !allowed(c) }) {
			r.failWith(n.at, emptyEscape) // "C:\files" was not meant to have a form feed
		}
	case y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		r.literal(indent)
	default:
		n.plain = true
		r.plain(n.text, indent)
	}
	n.to = r.pos
	if i := strings.LastIndexByte(r.src[n.from:n.to], '\n'); i >= 0 {
		r.start = n.from + i + 1
	}
	return n
}

// plain skips a scalar without quotes, whose text is known.
func (r *reader) plain(text string, indent int) {
	if r.peek() == '?' && (r.flow > 0 || r.endsAt(r.pos+1)) {
		// "? key" is one thing in brackets and ?key another, and not to every parser.
		r.fail(r.pos, "put it into quotes if it is text", "text that begins with %q", "?")
	}
	if strings.HasPrefix(r.src[r.pos:], text) && strings.IndexByte(text, '\n') < 0 {
		r.pos += len(text)
		return
	}
	from := r.pos
	for text != "" {
		blanks := len(r.src[r.pos:]) - len(strings.TrimLeft(r.src[r.pos:], " \t"))
		if end := r.pos + blanks; end < len(r.src) && r.src[end] == '\n' {
			// A line end is a space, more of them one line feed less.
			r.pos = r.fold(end, from, indent)
			if r.flow == 0 && (r.indicator('-') || r.indicator('?')) || r.flow > 0 && r.peek() == ':' {
				r.fail(r.pos, "indent it as the line of the value, or remove the value", "this line is below a value, and is no part of it")
			}
			if text[0] == ' ' {
				text = text[1:]
			} else {
				text = strings.TrimLeft(text, "\n")
			}
			continue
		}
		size := max(blanks, 1)
		if r.pos+size > len(r.src) || !strings.HasPrefix(text, r.src[r.pos:r.pos+size]) {
			r.failWith(r.pos, unexpected)
		}
		r.pos, text = r.pos+size, text[size:]
	}
}

// fold skips line ends from an offset on, and the indentation of the line after them.
func (r *reader) fold(at, opening, indent int) int {
	for at < len(r.src) && r.src[at] == '\n' {
		line := at + 1
		at = line
		for at < len(r.src) && isBlank(r.src[at]) {
			at++
		}
		spaces := at - line
		if tab := strings.IndexByte(r.src[line:at], '\t'); tab >= 0 {
			spaces = tab
		}
		if spaces <= indent && at < len(r.src) && r.src[at] != '\n' {
			r.fail(opening, "end it, or indent its further lines more than its key", "this text is not closed before the next key")
		}
	}
	return at
}

// quoted skips a scalar in quotes.
func (r *reader) quoted(indent int) {
	opening, quote := r.pos, r.peek()
	if !isQuote(quote) {
		r.failWith(opening, unexpected)
	}
	for r.pos++; r.pos < len(r.src); {
		switch c := r.src[r.pos]; {
		case c == '\n':
			r.pos = r.fold(r.pos, opening, indent)
		case c == '\\' && quote == '"' && !strings.HasPrefix(r.src[r.pos:], "\\\n"):
			r.pos = min(r.pos+2, len(r.src))
		case c == quote && quote == '\'' && strings.HasPrefix(r.src[r.pos:], "''"):
			r.pos += 2
		case c == quote:
			r.pos++
			return
		default:
			r.pos++
		}
	}
	r.failWith(r.pos, unexpected)
}

// literal skips a block scalar. It belongs to a key or dash at the column indent.
func (r *reader) literal(indent int) {
	if c := r.peek(); c != '|' && c != '>' {
		r.failWith(r.pos, unexpected)
	}
	end := r.lineEnd(r.pos)
	column := 0 // of its text: that of the first line that isn't empty, unless the header says it
	widest := 0 // of the empty lines before it
	for i := r.pos + 1; !r.endsAt(i); i++ {
		if '1' <= r.src[i] && r.src[i] <= '9' {
			column = max(indent, 0) + int(r.src[i]-'0')
		}
	}
	for r.pos = min(end+1, len(r.src)); r.pos < len(r.src); r.pos = min(end+1, len(r.src)) {
		end = r.lineEnd(r.pos)
		line := r.src[r.pos:end]
		spaces := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case spaces == len(line):
			widest = max(widest, spaces)
			continue
		case spaces <= indent || spaces < column:
			return
		case column == 0 && spaces < widest:
			r.fail(r.pos+spaces, "remove the spaces of the empty lines before it", "the text is indented less than the empty lines before it")
		case column == 0:
			column = spaces
		}
	}
}

// enter counts a level of nesting and returns the column that it begins at.
func (r *reader) enter() int {
	if r.depth++; r.depth > maxDepth {
		r.failWith(r.pos, tooDeep)
	}
	if tab := strings.IndexByte(r.src[r.start:r.pos], '\t'); tab >= 0 && r.flow == 0 {
		r.failWith(r.start+tab, tabIndents)
	}
	return r.column()
}

// expect skips white space and the byte that must follow, and returns the
// latter's offset.
func (r *reader) expect(c byte) int {
	at := r.next()
	if r.peek() != c {
		r.failWith(at, unexpected)
	}
	r.pos++
	return at
}

// next skips white space, line ends and comments, and returns the offset of
// what follows.
func (r *reader) next() int {
	for ; r.pos < len(r.src); r.pos++ {
		switch r.src[r.pos] {
		case ' ':
			continue
		case '\t':
			if strings.Trim(r.src[r.start:r.pos], " ") == "" {
				at := r.pos
				if r.blanks(); !r.atLineEnd() {
					r.failWith(at, tabIndents)
				}
				r.pos--
			}
			continue
		case '\n':
			r.start = r.pos + 1
			continue
		case '#':
			if r.atLineEnd() {
				r.pos = r.lineEnd(r.pos) - 1
				continue
			}
		}
		break
	}
	if column := r.column(); r.flow > 0 && r.pos < len(r.src) && (column < r.outer || column == r.outer && r.src[r.pos] != ']' && r.src[r.pos] != '}') {
		r.fail(r.pos, "close the brackets above, or indent this line more than the key that they belong to",
			"a list or mapping in brackets is not closed before this line")
	}
	return r.pos
}

// blanks skips spaces and tabs.
func (r *reader) blanks() {
	for r.pos < len(r.src) && isBlank(r.src[r.pos]) {
		r.pos++
	}
}

// atLineEnd reports whether nothing but a comment is left of the line.
func (r *reader) atLineEnd() bool {
	if r.pos >= len(r.src) || r.src[r.pos] == '\n' {
		return true
	}
	return r.src[r.pos] == '#' && (r.pos == r.start || isBlank(r.src[r.pos-1]))
}

// lineEnd returns the offset of the end of the line that i is in.
func (r *reader) lineEnd(i int) int {
	if n := strings.IndexByte(r.src[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(r.src)
}

// peek returns the byte that is here, 0 at the end: no document has one.
func (r *reader) peek() byte {
	if r.pos == len(r.src) {
		return 0
	}
	return r.src[r.pos]
}

// indicator reports whether c is here and stands by itself.
func (r *reader) indicator(c byte) bool {
	return r.peek() == c && r.endsAt(r.pos+1)
}

// endsAt reports whether a word has ended before the byte at i.
func (r *reader) endsAt(i int) bool {
	return i >= len(r.src) || isBlank(r.src[i]) || r.src[i] == '\n'
}

func (r *reader) column() int { return r.pos - r.start }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
func isQuote(c byte) bool { return c == '"' || c == '\'' }
