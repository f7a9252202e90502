package strict

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plain reads a scalar without quotes. It may go on in further lines that are
// indented more than indent.
func (r *reader) plain(indent int, flow bool) *node {
	r.checkStart(flow)
	n := r.node(scalar, r.pos)
	n.plain = true
	n.text = r.plainLine(flow)
	n.to = n.from + len(n.text)
	var more []byte // the text with its further lines
	for !r.done() && r.src[r.pos] == '\n' {
		// Look at the next line that isn't empty; come back if it isn't ours.
		end, start := r.pos, r.start
		breaks := 0
		for !r.done() && r.src[r.pos] == '\n' {
			breaks++
			r.pos++
			r.start = r.pos
			r.blanks()
		}
		spaces := len(r.src[r.start:r.pos]) - len(strings.TrimLeft(r.src[r.start:r.pos], " "))
		if r.done() || r.src[r.pos] == '#' || spaces <= indent || flow && strings.IndexByte(",[]{}:", r.src[r.pos]) >= 0 {
			r.pos, r.start = end, start
			break
		}
		if !flow && (r.colon() >= 0 || r.indicator('-') || r.indicator('?')) {
			if more == nil {
				r.checkColon(n.at)
			}
			r.fail(r.pos, "indent it as the line of the value, or remove the value", "this line is below a value, and is no part of it")
		}
		if more == nil {
			more = []byte(n.text)
		}
		first := r.pos
		line := r.plainLine(flow)
		more = append(appendBreaks(more, breaks), line...)
		n.to = first + len(line)
	}
	if more != nil {
		n.text = string(more)
	}
	return n
}

// plainLine reads the part of a plain scalar that is in this line.
func (r *reader) plainLine(flow bool) string {
	from := r.pos
	for ; r.pos < len(r.src); r.pos++ {
		switch c := r.src[r.pos]; c {
		case '\n':
			return strings.TrimRight(r.src[from:r.pos], " \t")
		case '#':
			if isBlank(r.src[r.pos-1]) {
				return strings.TrimRight(r.src[from:r.pos], " \t")
			}
		case ',', '[', ']', '{', '}':
			if flow {
				return strings.TrimRight(r.src[from:r.pos], " \t")
			}
		case ':':
			if flow && (r.endsAt(r.pos+1) || strings.IndexByte(",[]{}", r.src[r.pos+1]) >= 0) {
				return strings.TrimRight(r.src[from:r.pos], " \t")
			}
			if !flow && r.endsAt(r.pos+1) {
				r.fail(r.pos, "put the value into quotes, or begin a new line for the key", "a second colon in the line")
			}
		}
	}
	return strings.TrimRight(r.src[from:], " \t")
}

// checkStart refuses characters that a plain scalar can't begin with.
func (r *reader) checkStart(flow bool) {
	switch c := r.src[r.pos]; c {
	case '?':
		// "? key" is one thing in brackets and ?key another, and not to every parser.
		if flow || r.endsAt(r.pos+1) {
			r.fail(r.pos, "put it into quotes if it is text", "text that begins with %q", "?")
		}
	case '-', ':':
		if !r.endsAt(r.pos+1) && !(flow && strings.IndexByte(",[]{}", r.src[r.pos+1]) >= 0) {
			return
		}
		if flow && c == ':' {
			r.fail(r.pos, "write a key before the colon", "a colon without a key")
		}
		r.fail(r.pos, "put it into quotes if it is text", "unexpected %q", string(c))
	case ',', '}', ']':
		if flow {
			r.fail(r.pos, "write a value before it, or remove it", "unexpected %q", string(c))
		}
		r.fail(r.pos, "put it into quotes if it is text", "unexpected %q", string(c))
	case '@', '%', '`', '|', '>', '#', '[', '{':
		r.fail(r.pos, "put it into quotes", "text that begins with %q", string(c))
	}
}

// quoted reads a scalar in quotes. Its further lines are indented more than
// indent.
func (r *reader) quoted(indent int) *node {
	quote := r.src[r.pos]
	n := r.node(scalar, r.pos)
	var text []byte
	fixed := 0 // length of the text up to which spaces were escaped, and stay
	for r.pos++; ; {
		if r.done() {
			r.fail(n.at, "end it with "+string(quote), "this quote is never closed")
		}
		switch c := r.src[r.pos]; {
		case c == quote && quote == '\'' && strings.HasPrefix(r.src[r.pos:], "''"):
			text = append(text, c)
			r.pos += 2
		case c == quote:
			r.pos++
			n.text, n.to = string(text), r.pos
			return n
		case c == '\\' && quote == '"' && strings.HasPrefix(r.src[r.pos:], "\\\n"):
			r.pos++
			for range r.fold(n.at, indent) - 1 {
				text = append(text, '\n')
			}
			fixed = len(text)
		case c == '\\' && quote == '"':
			text = r.escape(text)
			fixed = len(text)
		case c == '\n':
			for len(text) > fixed && isBlank(text[len(text)-1]) {
				text = text[:len(text)-1]
			}
			text = appendBreaks(text, r.fold(n.at, indent))
			fixed = len(text)
		default:
			text = append(text, c)
			r.pos++
		}
	}
}

// appendBreaks appends what line ends inside a scalar stand for: one for a
// space, more for one line end less (YAML 1.2.2, 6.5).
func appendBreaks(text []byte, breaks int) []byte {
	if breaks == 1 {
		return append(text, ' ')
	}
	for range breaks - 1 {
		text = append(text, '\n')
	}
	return text
}

// fold skips line ends and the indentation of the line after them, and returns
// how many line ends there were.
func (r *reader) fold(opening, indent int) (breaks int) {
	for !r.done() && r.src[r.pos] == '\n' {
		breaks++
		r.pos++
		r.start = r.pos
		r.blanks()
	}
	spaces := len(r.src[r.start:r.pos]) - len(strings.TrimLeft(r.src[r.start:r.pos], " "))
	if !r.done() && spaces <= indent {
		r.fail(opening, "end it, or indent its further lines more than its key", "this quote is not closed before the next key")
	}
	return breaks
}

// escape appends what the escape here stands for (YAML 1.2.2, 5.7), unless
// that is a control character: "C:\files" was not meant to have a form feed. As
// in JSON, two \u surrogates make one character.
func (r *reader) escape(text []byte) []byte {
	const letters, means = "tnr \"/\\N_LP\t", "\t\n\r \"/\\\u0085\u00a0\u2028\u2029\t"
	at := r.pos
	if r.pos += 2; r.pos > len(r.src) {
		return text // the quote isn't closed
	}
	letter := r.src[at+1]
	if i := strings.IndexByte(letters, letter); i >= 0 {
		return utf8.AppendRune(text, []rune(means)[i])
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[letter]
	if digits == 0 {
		r.fail(at, `write a backslash as \\, or use single quotes`, "the escape %s is not possible", shorten(r.src[at:at+2]))
	}
	c := r.hex(at, digits)
	if utf16.IsSurrogate(c) && strings.HasPrefix(r.src[r.pos:], `\u`) {
		r.pos += 2
		c = utf16.DecodeRune(c, r.hex(at, 4))
	}
	if !utf8.ValidRune(c) || c == utf8.RuneError || c != '\r' && !allowed(c) {
		r.fail(at, "write the character itself, or remove it", "an escape that stands for no text")
	}
	return utf8.AppendRune(text, c)
}

func (r *reader) hex(at, digits int) rune {
	if end := r.pos + digits; end <= len(r.src) {
		if c, err := strconv.ParseUint(r.src[r.pos:end], 16, 32); err == nil {
			r.pos = end
			return rune(c)
		}
	}
	r.fail(at, `two digits follow \x, four \u, eight \U`, "an escape without its hexadecimal digits")
	return 0
}

// literal reads a block scalar: | keeps its lines, > folds them. It belongs to
// a key or dash at the column indent.
func (r *reader) literal(indent int) *node {
	n := r.node(scalar, r.pos)
	folded := r.src[r.pos] == '>'
	keep, strip, width := false, false, 0
	for r.pos++; !r.endsAt(r.pos); r.pos++ {
		switch c := r.src[r.pos]; {
		case c == '+' && !keep && !strip:
			keep = true
		case c == '-' && !keep && !strip:
			strip = true
		case '1' <= c && c <= '9' && width == 0:
			width = int(c - '0')
		default:
			r.fail(n.at, "begin the text in the next line, or put it into quotes", "text after %q", r.src[n.at:n.at+1])
		}
	}
	if r.blanks(); !r.atLineEnd() {
		r.fail(n.at, "begin the text in the next line, or put it into quotes", "text after %q", r.src[n.at:n.at+1])
	}
	r.pos = min(r.lineEnd(r.pos)+1, len(r.src))
	r.start = r.pos
	column := max(indent, 0) + width
	if width == 0 {
		column = r.textColumn(indent)
	}

	var text strings.Builder
	breaks, began, wasIndented := 0, false, false
	for !r.done() {
		end := r.lineEnd(r.pos)
		line := r.src[r.pos:end]
		spaces := len(line) - len(strings.TrimLeft(line, " "))
		if spaces < column && spaces < len(line) {
			break
		}
		switch {
		case len(line) <= column && end < len(r.src):
			breaks++
		case len(line) > column:
			line = line[column:]
			isIndented := isBlank(line[0])
			switch {
			case !began:
				text.WriteString(strings.Repeat("\n", breaks))
			case folded && !wasIndented && !isIndented && breaks == 1:
				text.WriteByte(' ')
			case folded && !wasIndented && !isIndented:
				text.WriteString(strings.Repeat("\n", breaks-1))
			default:
				text.WriteString(strings.Repeat("\n", breaks))
			}
			text.WriteString(line)
			breaks, began, wasIndented = 1, true, isIndented
			if end == len(r.src) {
				breaks = 0
			}
		}
		r.pos = min(end+1, len(r.src))
		r.start = r.pos
	}
	switch {
	case keep:
		text.WriteString(strings.Repeat("\n", breaks))
	case !strip && began && breaks > 0:
		text.WriteByte('\n')
	}
	n.text, n.to = text.String(), r.pos
	return n
}

// textColumn returns the column that the text of a block scalar begins at: the
// first line's that isn't empty, if it is indented more than its key.
func (r *reader) textColumn(indent int) int {
	empty := 0
	for i := r.pos; i < len(r.src); {
		end := r.lineEnd(i)
		line := r.src[i:end]
		spaces := len(line) - len(strings.TrimLeft(line, " "))
		if spaces < len(line) {
			if spaces <= indent {
				break
			}
			if spaces < empty {
				r.fail(i+spaces, "remove the spaces of the empty lines before it", "the text is indented less than the empty lines before it")
			}
			return spaces
		}
		empty = max(empty, spaces)
		i = end + 1
	}
	return max(indent+1, empty)
}
