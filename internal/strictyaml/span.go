package strictyaml

import (
	"bytes"
	"sort"
	"strings"
)

// Span returns where in the source, as it was given to Decode, the value that
// a path leads to begins and ends, or the key, if the last step is a Key. A
// collection in brackets begins and ends with these; one in lines begins with
// its first key or dash and ends with its last value. ok is false where the
// document doesn't have it.
func (d *Document) Span(path ...any) (start, end int, ok bool) {
	n := d.node(path)
	if n == nil {
		return 0, 0, false
	}
	return d.source.originalOffset(n.from), d.source.originalOffset(n.end(d.source.text)), true
}

// Keys returns the keys of the mapping that a path leads to, in their order in
// the document.
func (d *Document) Keys(path ...any) []string {
	n := d.node(path)
	if n == nil {
		return nil
	}
	names := make([]string, len(n.keys))
	for i, key := range n.keys {
		names[i] = key.text
	}
	return names
}

// node returns the node that a path leads to, nil if there is none.
func (d *Document) node(path []any) *node {
	n := d.root
	for _, step := range path {
		if n == nil {
			return nil
		}
		n = n.next(step)
	}
	return n
}

// recordRemoved notes what newSource leaves out of the content.
func (s *source) recordRemoved(content []byte) {
	if rest, found := bytes.CutPrefix(content, []byte("\ufeff")); found {
		s.markLength, content = len(content)-len(rest), rest
	}
	for i := range content {
		if content[i] == '\r' && i+1 < len(content) && content[i+1] == '\n' {
			s.carriageReturns = append(s.carriageReturns, i-len(s.carriageReturns))
		}
	}
}

// originalOffset turns an offset in the text into one in what Decode was given. Of a
// line end, that is where its carriage return is.
func (s *source) originalOffset(offset int) int {
	return s.markLength + offset + sort.SearchInts(s.carriageReturns, offset)
}

// end returns the offset of what follows the node in the text that it was read from.
func (n *node) end(text string) int {
	rest := text[n.from:]
	switch {
	case n.kind == refused, n.plain && n.text == "":
		return n.from
	case n.plain:
		return n.from + plainEnd(rest, n.text)
	case n.kind == scalar && isQuote(rest[0]):
		return n.from + quotedEnd(rest)
	case n.kind == scalar:
		return n.from + blockEnd(rest, n.text)
	}
	inBrackets := rest[0] == '[' || rest[0] == '{'
	end := n.from
	if inBrackets {
		end++
	}
	if len(n.items) > 0 {
		end = max(end, n.items[len(n.items)-1].end(text))
	}
	if inBrackets {
		end += bracketEnd(text[end:])
	}
	return end
}

// plainEnd returns the length of a scalar without quotes, which rest begins
// with. In its further lines, only white space is other than in its text.
func plainEnd(rest, text string) int {
	end := 0
	for _, c := range []byte(text) {
		if !isSpace(c) {
			end += strings.IndexByte(rest[end:], c) + 1
		}
	}
	return end
}

// quotedEnd returns the length of a scalar in quotes.
func quotedEnd(rest string) int {
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && rest[0] == '"', strings.HasPrefix(rest[i:], "''") && rest[0] == '\'':
			i++
		case rest[i] == rest[0]:
			return i + 1
		}
	}
	return len(rest)
}

// blockEnd returns the length of a scalar that begins with | or >, with the
// empty lines after it.
func blockEnd(rest, text string) int {
	column := -1 // that its text begins in
	for end := 0; ; {
		i := strings.IndexByte(rest[end:], '\n')
		if i < 0 {
			return len(rest)
		}
		end += i + 1
		line, _, _ := strings.Cut(rest[end:], "\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch first := strings.TrimLeft(text, "\n"); {
		case indent == len(line):
		case first == "":
			return end
		case column < 0:
			column = indent - (len(first) - len(strings.TrimLeft(first, " ")))
		case indent < column:
			return end
		}
	}
}

// bracketEnd returns where a list or mapping ends in what follows its last value.
func bracketEnd(rest string) int {
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case ']', '}':
			return i + 1
		case '#':
			i += strings.IndexByte(rest[i:], '\n')
		}
	}
	return len(rest)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
func isSpace(c byte) bool { return isBlank(c) || c == '\n' }
func isQuote(c byte) bool { return c == '"' || c == '\'' }
