package strict

import (
	"fmt"
	"strings"
)

// This file reads YAML: the structure. scalar.go has the scalars.
//
// The reader is written for the subset of YAML 1.2.2 that Package strict
// accepts. Whatever it accepts means the same to a full YAML parser, which the
// tests check with the YAML project's suite; all else it refuses. General parsers
// were tried first, see testdata/README.md: they take quadratic time for many
// keys, recurse once a key, and stop at the first anchor.

const (
	maxDepth = 32      // levels of nesting
	maxNodes = 1 << 19 // keys and values of a document, about 100 bytes each
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
	kind  kind
	plain bool // a scalar without quotes: 1, true and null are no strings then
	wrong bool // has an error of its own, so that more would only follow from it
	at    int  // offset of a scalar or flow collection; for a block collection of the key or dash that it belongs to
	from  int  // offset of its own first byte: of a block collection, that of its first key or dash
	to    int  // offset of what follows its last one
	text  string
	keys  []*node // of a mapping, in step with items
	items []*node
	named map[string]int // index of keys, once there are many
	lacks []string       // keys that aren't there, as reported already
	open  bool           // a mapping that lacks what a merge key would have brought
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

// isNull says whether the node is null, spelt out or left out.
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

// A reader reads the one document in src from pos on.
type reader struct {
	*Document
	src   string
	pos   int
	start int // of the line that pos is in
	depth int
	nodes int
	outer int // column of the key or dash that the brackets around pos belong to
}

// A syntaxError is what the reader panics with where it can't go on.
type syntaxError finding

func (r *reader) fail(at int, advice, format string, args ...any) {
	panic(syntaxError{at, fmt.Sprintf(format, args...), advice})
}

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
	r := &reader{Document: d, src: d.source.text}
	r.findDocument()
	r.space()
	if r.done() {
		d.report(-1, "write at least one key and value", "the file is empty")
		return nil
	}
	root = r.block(-1)
	r.space()
	if !r.done() {
		r.fail(r.pos, "indent the lines of a mapping or list alike", "this line belongs to nothing above it")
	}
	return root
}

// findDocument lets pos and src begin and end at the document's own markers.
// A line that begins with --- or ... is one wherever it stands.
func (r *reader) findDocument() {
	const advice = "write one document a file, without further --- or ... lines"
	content, begun, ended := false, false, false
	for i, start := range r.source.lines {
		end := len(r.source.text)
		if i+1 < len(r.source.lines) {
			end = r.source.lines[i+1]
		}
		line := strings.TrimRight(r.source.text[start:end], " \t\n")
		marker, rest := "", ""
		if strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...") {
			if marker, rest = line[:3], line[3:]; rest != "" && !isBlank(rest[0]) {
				marker = ""
			}
		}
		rest = strings.TrimLeft(rest, " \t")
		if marker != "" && rest != "" && rest[0] != '#' {
			r.fail(start+strings.LastIndex(line, rest), "begin a new line after it", "text after %s", marker)
		}
		empty := strings.TrimLeft(line, " \t") == "" || strings.TrimLeft(line, " \t")[0] == '#'
		switch {
		case !begun && !content && line != "" && line[0] == '%':
			r.fail(start, "remove the line", "a directive, which is refused")
		case ended && (marker == "---" || marker == "" && !empty), begun && marker == "---", content && marker == "---":
			r.fail(start, advice, "a second document in the file")
		case marker == "---":
			begun = true
			r.pos = end
			r.start = end
		case marker == "..." && !ended:
			ended = true
			r.src = r.source.text[:start]
		case !empty:
			content = true
		}
	}
	r.pos, r.start = min(r.pos, len(r.src)), min(r.start, len(r.src))
}

// block reads the node that starts here, at the first character of a line or
// after a dash, and belongs to a parent at the column indent.
func (r *reader) block(indent int) *node {
	switch {
	case r.indicator('-'):
		return r.list(indent)
	case r.colon() >= 0 || r.indicator('?'):
		return r.mapping()
	}
	tagged := r.properties()
	n := r.inline(indent)
	n.wrong = n.wrong || tagged
	return n
}

// list reads "- item" lines from here on. In a mapping, they may be indented as
// little as their key.
func (r *reader) list(indent int) *node {
	n := r.node(list, r.pos)
	column := r.enter()
	for {
		dash := r.pos
		r.pos++
		item := r.value(column, dash, false)
		n.items, n.to = append(n.items, item), item.to
		more := r.next(column)
		if more && r.indicator('-') {
			continue
		}
		if more && column != indent {
			r.fail(r.pos, `begin it with "- ", or indent it as the line that it belongs to`, "this line is no item of the list above it")
		}
		r.depth--
		return n
	}
}

// mapping reads "key: value" lines from here on.
func (r *reader) mapping() *node {
	n := r.node(mapping, r.pos)
	column := r.enter()
	for {
		colon := r.colon()
		switch {
		case r.indicator('?'):
			r.failQuestion()
		case colon < 0 && (r.src[r.pos] == '[' || r.src[r.pos] == '{'):
			r.fail(r.pos, "write the key as a word", "brackets where a key should be")
		case colon < 0:
			r.checkColon(r.pos)
			r.fail(r.pos, `a key ends with a colon and a space: "key: value"`, "this line has no key")
		}
		key := r.key(colon)
		r.pos = colon + 1
		value := r.value(column, key.at, true)
		r.put(n, key, value)
		n.to = value.to
		if !r.next(column) {
			r.depth--
			return n
		}
		if r.indicator('-') {
			r.fail(r.pos, "indent it below the key that the list belongs to", "a list item among keys")
		}
	}
}

func (r *reader) failQuestion() {
	r.fail(r.pos, "write the key as a word: key: value", `"?" begins a key of several lines, which is refused`)
}

// checkColon refuses a line that was meant to be a key and a value.
func (r *reader) checkColon(at int) {
	line := r.src[at:r.lineEnd(at)]
	if key, value, found := strings.Cut(line, ":"); found && !strings.HasPrefix(value, "//") && !strings.ContainsAny(key, " \t\"'#") {
		r.fail(at+len(key), fmt.Sprintf(`write "%s: %s"`, shorten(key), shorten(value)), "a colon without a space after it")
	}
}

// next goes to the next line and says whether it is at the column: if not,
// what began there has ended.
func (r *reader) next(column int) bool {
	r.space()
	if r.done() {
		return false
	}
	if r.column() > column {
		r.fail(r.pos, fmt.Sprintf("indent it by %d, or as another line above that it belongs with", column),
			"no line above is indented by %d as this one is", r.column())
	}
	return r.column() == column
}

// colon returns the offset of the colon if this line begins with a key, or -1.
func (r *reader) colon() int {
	i := r.pos
	for i < len(r.src) && (r.src[i] == '&' || r.src[i] == '!') {
		for i < len(r.src) && !r.endsAt(i) {
			i++
		}
		for i < len(r.src) && isBlank(r.src[i]) {
			i++
		}
	}
	if i == len(r.src) {
		return -1
	}
	switch r.src[i] {
	case '[', '{', '|', '>':
		return -1
	case '"', '\'':
		if i = r.quoteEnd(i); i < 0 {
			return -1
		}
		for i < len(r.src) && isBlank(r.src[i]) {
			i++
		}
		if i < len(r.src) && r.src[i] == ':' && r.endsAt(i+1) {
			return i
		}
		return -1
	}
	for from := i; i < len(r.src) && r.src[i] != '\n'; i++ {
		if r.src[i] == ':' && r.endsAt(i+1) {
			return i
		}
		if r.src[i] == '#' && i > from && isBlank(r.src[i-1]) {
			return -1
		}
	}
	return -1
}

// quoteEnd returns the offset of what follows the quoted text at i, or -1 if
// it does not end in its line.
func (r *reader) quoteEnd(i int) int {
	quote := r.src[i]
	for i++; i < len(r.src) && r.src[i] != '\n'; i++ {
		switch {
		case quote == '"' && strings.HasPrefix(r.src[i:], "\\\n"):
			return -1
		case quote == '"' && r.src[i] == '\\', quote == '\'' && strings.HasPrefix(r.src[i:], "''"):
			i++
		case r.src[i] == quote:
			return i + 1
		}
	}
	return -1
}

// key reads the key that ends at the colon.
func (r *reader) key(colon int) *node {
	r.properties()
	at := r.pos
	if at >= colon {
		r.fail(colon, "write a key before the colon", "a colon without a key")
	}
	switch r.src[at] {
	case '"', '\'':
		return r.quoted(-1)
	case '*':
		return r.alias()
	}
	r.checkStart(false)
	n := r.node(scalar, at)
	n.plain = true
	n.text = strings.TrimRight(r.src[at:colon], " \t")
	n.to = at + len(n.text)
	return n
}

// put adds an entry to a mapping, unless it is refused.
func (r *reader) put(n, key, value *node) {
	switch i := n.index(key.text); {
	case key.kind == refused:
		n.open = true
	case key.plain && key.text == "<<":
		n.open = true
		r.report(key.at, "write out the keys that it stands for", "a merge key, which is refused")
	case i >= 0:
		r.report(key.at, "join the two, or remove one", "duplicate key %q: it is in line %d already", key.text, r.source.line(n.keys[i].at))
	default:
		n.add(key, value)
	}
}

// value reads what belongs to a key or dash at the column; owner is the
// latter's offset.
func (r *reader) value(column, owner int, ofKey bool) *node {
	r.blanks()
	tagged := r.properties()
	var n *node
	switch {
	case r.atLineEnd():
		r.space()
		if r.done() || r.column() < column || r.column() == column && !(ofKey && r.indicator('-')) {
			n = r.node(scalar, owner)
			n.plain = true
			return n
		}
		n = r.block(column)
	case ofKey && (r.indicator('-') || r.indicator('?')):
		r.fail(r.pos, `begin a new line, or write [a, b]`, "a list begins in the line of its key")
	case ofKey:
		n = r.inline(column)
	default:
		n = r.block(column)
	}
	if n.kind != scalar && r.src[n.at] != '[' && r.src[n.at] != '{' {
		n.at = owner
	}
	n.wrong = n.wrong || tagged
	return n
}

// inline reads a value that ends with its line, unless it has brackets, quotes
// or more lines of text.
func (r *reader) inline(indent int) *node {
	if r.atLineEnd() {
		r.fail(r.pos, "write a value, or remove what is before it", "a value is missing here")
	}
	var n *node
	switch r.src[r.pos] {
	case '[', '{':
		r.outer = indent
		n = r.flow()
	case '"', '\'':
		n = r.quoted(indent)
	case '*':
		n = r.alias()
	case '|', '>':
		return r.literal(indent)
	default:
		return r.plain(indent, false)
	}
	r.blanks()
	if !r.atLineEnd() {
		r.fail(r.pos, "begin a new line, or put the whole value into quotes", "text after the value has ended")
	}
	return n
}

// flow reads a value inside brackets.
func (r *reader) flow() (n *node) {
	tagged := r.properties()
	r.space()
	if r.done() || r.column() <= r.outer {
		return r.node(refused, r.pos) // closes will say why
	}
	switch r.src[r.pos] {
	case '[':
		n = r.flowList()
	case '{':
		n = r.flowMapping()
	case '"', '\'':
		n = r.quoted(r.outer)
	case '*':
		n = r.alias()
	default:
		n = r.plain(r.outer, true)
	}
	n.wrong = n.wrong || tagged
	return n
}

func (r *reader) flowList() *node {
	n := r.node(list, r.pos)
	r.enter()
	r.pos++
	for !r.closes(n.at, ']', "list") {
		n.items = append(n.items, r.flow())
		r.comma(n.at, ']', "list")
	}
	n.to = r.pos
	r.depth--
	return n
}

func (r *reader) flowMapping() *node {
	n := r.node(mapping, r.pos)
	r.enter()
	r.pos++
	for !r.closes(n.at, '}', "mapping") {
		at := r.pos
		if r.indicator('?') {
			r.failQuestion()
		}
		key := r.flow()
		if key.kind == list || key.kind == mapping || strings.Contains(r.src[at:r.pos], "\n") {
			r.fail(at, "write the key as a word on one line", "a key of several lines or values")
		}
		r.blanks()
		if r.done() || r.src[r.pos] != ':' {
			advice := "write key: value"
			if name, value, found := strings.Cut(key.text, ":"); found && key.plain {
				advice = fmt.Sprintf(`a space is missing after the colon: "%s: %s"`, name, value)
			}
			r.fail(at, advice, "a key without a value")
		}
		r.pos++
		r.space()
		value := r.node(scalar, at)
		value.plain = true
		if !r.done() && r.src[r.pos] != ',' && r.src[r.pos] != '}' {
			value = r.flow()
		}
		r.put(n, key, value)
		r.comma(n.at, '}', "mapping")
	}
	n.to = r.pos
	r.depth--
	return n
}

// closes skips space, then the bracket if it is there.
func (r *reader) closes(open int, bracket byte, what string) bool {
	r.space()
	if r.done() {
		r.fail(open, fmt.Sprintf("end it with %q", string(bracket)), "this %s is never closed", what)
	}
	if column := r.column(); column < r.outer || column == r.outer && r.src[r.pos] != bracket {
		r.fail(open, fmt.Sprintf("end it with %q, or indent its further lines more than its key", string(bracket)),
			"this %s is not closed before the next key", what)
	}
	if r.src[r.pos] == bracket {
		r.pos++
		return true
	}
	return false
}

// comma skips the comma between two entries; none is needed after the last.
func (r *reader) comma(open int, bracket byte, what string) {
	r.space()
	switch {
	case r.done() || r.src[r.pos] == bracket || r.column() <= r.outer:
	case r.src[r.pos] == ',':
		r.pos++
	case r.src[r.pos] == ':' && what == "list":
		r.fail(r.pos, "put it into braces: {key: value}", "a key inside a list")
	case r.src[r.pos] == '{' || r.src[r.pos] == '[':
		r.fail(r.pos, `put text with brackets or braces into quotes: "/{name}"`, `want "," or %q here`, string(bracket))
	default:
		r.fail(r.pos, fmt.Sprintf(`write "," before the next entry, or %q at the end of the %s that begins in line %d`, string(bracket), what, r.source.line(open)),
			`want "," or %q here`, string(bracket))
	}
}

// properties skips anchors and tags, and reports them.
func (r *reader) properties() (tagged bool) {
	for r.pos < len(r.src) && (r.src[r.pos] == '&' || r.src[r.pos] == '!') {
		at := r.pos
		what, advice := "an anchor", "remove it, and write the value out where it is wanted"
		if r.src[at] == '!' {
			tagged = true
			what, advice = "a tag", "remove it; put the value into quotes if it is a string"
		}
		r.skipWord()
		r.report(at, advice, "%s, which is refused: %q", what, shorten(r.src[at:r.pos]))
		r.blanks()
	}
	return tagged
}

// alias skips an alias, and reports it.
func (r *reader) alias() *node {
	n := r.node(refused, r.pos)
	n.wrong = true
	r.skipWord()
	r.report(n.at, "write the value out", "an alias, which is refused: %q", shorten(r.src[n.at:r.pos]))
	return n
}

func (r *reader) skipWord() {
	for r.pos < len(r.src) && !r.endsAt(r.pos) && !strings.ContainsRune(",[]{}", rune(r.src[r.pos])) {
		r.pos++
	}
}

// node counts and returns a new node.
func (r *reader) node(kind kind, at int) *node {
	if r.nodes++; r.nodes > maxNodes {
		r.fail(at, "split the file", "more than %d keys and values", maxNodes)
	}
	return &node{kind: kind, at: at, from: at, to: at}
}

// enter counts a level of nesting and returns the column that it begins at.
func (r *reader) enter() int {
	if r.depth++; r.depth > maxDepth {
		r.fail(r.pos, "nest less", "more than %d levels of lists and mappings in each other", maxDepth)
	}
	if flow := r.src[r.pos] == '[' || r.src[r.pos] == '{'; !flow {
		if tab := strings.IndexByte(r.src[r.start:r.pos], '\t'); tab >= 0 {
			r.failTab(r.start + tab)
		}
	}
	return r.column()
}

func (r *reader) failTab(at int) {
	r.fail(at, "indent with spaces", "a tab that indents a line")
}

// space skips white space, line ends and comments.
func (r *reader) space() {
	for ; r.pos < len(r.src); r.pos++ {
		switch r.src[r.pos] {
		case ' ':
		case '\t':
			if strings.Trim(r.src[r.start:r.pos], " ") == "" {
				at := r.pos
				if r.blanks(); !r.atLineEnd() {
					r.failTab(at)
				}
				r.pos--
			}
		case '\n':
			r.start = r.pos + 1
		case '#':
			if !r.atLineEnd() {
				return
			}
			r.pos = r.lineEnd(r.pos) - 1
		default:
			return
		}
	}
}

// blanks skips spaces and tabs.
func (r *reader) blanks() {
	for r.pos < len(r.src) && isBlank(r.src[r.pos]) {
		r.pos++
	}
}

// atLineEnd says whether nothing but a comment is left of the line.
func (r *reader) atLineEnd() bool {
	if r.done() || r.src[r.pos] == '\n' {
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

// indicator says whether c is here and stands by itself.
func (r *reader) indicator(c byte) bool {
	return r.pos < len(r.src) && r.src[r.pos] == c && r.endsAt(r.pos+1)
}

// endsAt says whether a word has ended before the byte at i.
func (r *reader) endsAt(i int) bool {
	return i >= len(r.src) || isBlank(r.src[i]) || r.src[i] == '\n'
}

func (r *reader) done() bool  { return r.pos >= len(r.src) }
func (r *reader) column() int { return r.pos - r.start }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// shorten keeps what a message quotes short.
func shorten(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	if runes := []rune(text[:min(len(text), 4*most)]); len(runes) > most || len(text) > 4*most {
		return string(runes[:min(len(runes), most)]) + "…"
	}
	return text
}
