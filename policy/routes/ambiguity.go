package routes

import (
	"net/http"
	"strings"
	"unsafe"
)

// Classify is Match, and reports whether the request is ambiguous: whether
// another reader of its path, such as the app behind, could see a path of
// another class.
//
// Readers are known to differ in what they do to a path: decode it before
// they split it into segments, or decode it twice; take a backslash for a
// slash; strip ";parameters" from segments; end it at a "?" or "#" once that is
// decoded; merge slashes; remove dot segments. Apps sit behind further proxies,
// so any of it may happen in any order. A request is ambiguous if anything that
// its path becomes by it has another class than the path as it stands, and for
// itself if
//
//   - its path has a broken percent-escape, a NUL or an ASCII character in
//     overlong UTF-8, which readers drop, cut, or take for something else;
//   - its path can be read in more than 32 ways, or in ways longer than 16 KB
//     taken together, which no honest client's can;
//   - it has no path, and isn't OPTIONS * either.
//
// Letter case and a slash at the end are left to the patterns: where an app
// ignores them, they have to say so.
func (t *Table) Classify(method, host, escapedPath string) (class Class, ambiguous bool) {
	class = t.Match(method, host, escapedPath)
	if hasOneReading(escapedPath) {
		return class, false
	}
	if escapedPath == "*" {
		return class, method != http.MethodOptions
	}
	return class, t.hasOtherClass(class, method, host, escapedPath)
}

// hasOneReading reports whether a path can be read in one way only. It sees all
// that makes a path ambiguous, and little else: escapes of plain characters and
// names that begin with a dot are common.
func hasOneReading(path string) bool {
	if path == "" {
		return true
	}
	if path[0] != '/' {
		return false
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if isCommon(c) {
			continue
		}
		switch {
		case c == '/':
			if beginsEmptyOrDotSegment(path[i+1:]) {
				return false
			}
		case c == '%':
			decoded, ok := unescape(path[i:])
			i += len("%xx") - 1
			if !ok || decoded == '.' || isDelimiter(decoded) {
				return false
			}
			if second, _ := unescape(path[i+1:]); isOverlong(decoded, second) {
				return false
			}
		case c >= 0x80 || isDelimiter(c):
			return false
		}
	}
	return true
}

// isCommon reports whether a character is one of those that paths mostly consist
// of. It is there for speed.
func isCommon(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}

// isDelimiter reports whether a character can change, for some readers, where
// segments or the path end.
func isDelimiter(c byte) bool {
	switch c {
	case '/', '\\', ';', '?', '#', '%', 0:
		return true
	}
	return false
}

// beginsEmptyOrDotSegment reports whether what follows a slash is an empty
// segment or a dot segment.
func beginsEmptyOrDotSegment(path string) bool {
	if path == "" || path[0] != '.' {
		return path != "" && path[0] == '/'
	}
	path = strings.TrimPrefix(path[1:], ".")
	return path == "" || path[0] == '/'
}

// isOverlong reports whether two bytes begin a UTF-8 sequence that is longer than
// its character needs. No valid text has one; careless decoders read %c0%af as
// a slash.
func isOverlong(first, second byte) bool {
	if second&0xC0 != 0x80 {
		return false
	}
	switch first {
	case 0xC0, 0xC1:
		return true
	case 0xE0:
		return second < 0xA0
	case 0xF0:
		return second < 0x90
	case 0xF8:
		return second < 0x88
	case 0xFC:
		return second < 0x84
	}
	return false
}

// readings are what a path becomes by normalization and decoding. They hold no
// pointers, so that they stay on the stack.
type readings struct {
	text  [16 << 10]byte // all of them, one after the other
	ends  [32]int        // where each ends
	count int
}

// at returns a reading, which is never written to again.
func (r *readings) at(i int) string {
	text := r.text[r.start(i):r.ends[i]]
	return unsafe.String(unsafe.SliceData(text), len(text)) // string(text) would allocate
}

func (r *readings) start(i int) int {
	if i == 0 {
		return 0
	}
	return r.ends[i-1]
}

// next is where the next reading is to be appended before it is added.
func (r *readings) next() []byte {
	start := r.start(r.count)
	return r.text[start:start]
}

// add takes what was appended to next, unless there is the same reading among
// those from first on already. It returns false if there is no room.
func (r *readings) add(path []byte, first int) bool {
	for i := first; i < r.count; i++ {
		if r.at(i) == string(path) {
			return true
		}
	}
	end := r.start(r.count) + len(path)
	if r.count == len(r.ends) || end > len(r.text) {
		return false // append had to move what didn't fit elsewhere
	}
	r.ends[r.count] = end
	r.count++
	return true
}

// normalize adds what the readings from first on become by the normalizations
// in any order. It returns false if there is no room.
func (r *readings) normalize(first int, by []normalization) bool {
	for i := first; i < r.count; i++ {
		for _, n := range by {
			if !r.add(n.append(r.next(), r.at(i)), first) {
				return false
			}
		}
	}
	return true
}

// Readings come in rounds: the path as it stands and what it becomes without
// decoding; all of that decoded, and what it becomes; the same again. The last
// round is for apps that decode what their server has decoded already, a common
// mistake. It hardly costs honest clients anything: only a path that holds an
// escaped escape can change its class by it.
const maxDecodings = 2

// hasOtherClass reports whether a path can be read as one of another class.
func (t *Table) hasOtherClass(class Class, method, host, escapedPath string) bool {
	if escapedPath[0] != '/' || hasBrokenEscape(escapedPath) {
		return true
	}
	var r readings
	if !r.add(append(r.next(), escapedPath...), 0) {
		return true
	}
	first := 0
	for decodings := 0; decodings <= maxDecodings && first < r.count; decodings++ {
		all := []normalization{convertBackslashes, stripParameters, cutQuery, mergeSlashes, removeDotSegments, cleanPath, decodePunctuation}
		if decodings == maxDecodings {
			all = all[:len(all)-1] // there is nothing to decode any more
		}
		if !r.normalize(first, all) {
			return true
		}
		end := r.count
		for i := first; i < end; i++ {
			path := r.at(i)
			if hasNULOrOverlong(path) {
				return true
			}
			escaped := strings.IndexByte(path, '%') >= 0
			// Once decoded, a path is complete, or its reader decodes the
			// segments that he finds.
			if (decodings > 0 || !escaped) && t.classOf(method, host, path, false) != class {
				return true
			}
			if !escaped || decodings == maxDecodings {
				continue
			}
			if t.classOf(method, host, path, true) != class || !r.add(appendUnescaped(r.next(), path), end) {
				return true
			}
		}
		first = end
	}
	return false
}

// classOf returns the class of a reading, the segments of which are decoded if
// it is escaped.
func (t *Table) classOf(method, host, reading string, escaped bool) Class {
	if e := t.search(method, host, reading, escaped); e != nil {
		return e.class
	}
	return None
}

// hasBrokenEscape reports whether a path has a percent sign that begins no escape.
func hasBrokenEscape(path string) bool {
	for i := 0; i < len(path); i++ {
		if path[i] == '%' {
			if _, ok := unescape(path[i:]); !ok {
				return true
			}
		}
	}
	return false
}

// hasNULOrOverlong reports whether a path has a NUL or overlong UTF-8.
func hasNULOrOverlong(path string) bool {
	previous := byte(0)
	for _, c := range []byte(path) {
		if c == 0 || isOverlong(previous, c) {
			return true
		}
		previous = c
	}
	return false
}
