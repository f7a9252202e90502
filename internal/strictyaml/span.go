package strictyaml

import (
	"bytes"
	"sort"
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
	return d.source.originalOffset(n.from), d.source.originalOffset(n.to), true
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
