package routes

import (
	"bytes"
	"strings"
)

// A step is something that a reader may do to a path before it splits it into
// segments.
type step uint8

const (
	converting step = iota // backslashes to slashes, as IIS and browsers do
	stripping              // ;parameters, as servlet containers do
	cutting                // from ? or # on, as those do that make a URL of a decoded path
	merging                // empty segments
	resolving              // dot segments, as RFC 3986 does: a/b/.. is a/
	cleaning               // dot segments, as Go's path.Clean does: a/b/.. is a
	revealing              // decode . ; \ but not slashes, as some proxies do
)

// append appends what a path becomes by the step. Like the path, that begins
// with a slash.
func (s step) append(dst []byte, path string) []byte {
	switch s {
	case converting:
		return appendConverted(dst, path)
	case stripping:
		return appendStripped(dst, path)
	case cutting:
		return appendCut(dst, path)
	case merging:
		return appendMerged(dst, path)
	case resolving:
		return appendResolved(dst, path, "/")
	case cleaning:
		return appendResolved(dst, path, "")
	default:
		return appendRevealed(dst, path)
	}
}

func appendConverted(dst []byte, path string) []byte {
	for _, c := range []byte(path) {
		if c == '\\' {
			c = '/'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendStripped(dst []byte, path string) []byte {
	skip := false
	for _, c := range []byte(path) {
		skip = c == ';' || skip && c != '/'
		if !skip {
			dst = append(dst, c)
		}
	}
	return dst
}

func appendCut(dst []byte, path string) []byte {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	return append(dst, path...)
}

func appendMerged(dst []byte, path string) []byte {
	previous := byte(0)
	for _, c := range []byte(path) {
		if c != '/' || previous != '/' {
			dst = append(dst, c)
		}
		previous = c
	}
	return dst
}

// appendResolved resolves dot segments. One at the end leaves the ending.
func appendResolved(dst []byte, path, ending string) []byte {
	start := len(dst)
	for len(path) > 0 {
		end := len(path)
		if i := strings.IndexByte(path[1:], '/'); i >= 0 {
			end = 1 + i
		}
		segment := path[:end]
		path = path[end:]
		up := segment == "/.."
		if !up && segment != "/." {
			dst = append(dst, segment...)
			continue
		}
		if up {
			dst = dst[:start+max(0, bytes.LastIndexByte(dst[start:], '/'))]
		}
		if len(path) == 0 {
			dst = append(dst, ending...)
		}
	}
	if len(dst) == start {
		dst = append(dst, '/')
	}
	return dst
}

func appendRevealed(dst []byte, path string) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if decoded, ok := unescape(path[i:]); ok && (decoded == '.' || decoded == ';' || decoded == '\\') {
			c = decoded
			i += len("%xx") - 1
		}
		dst = append(dst, c)
	}
	return dst
}

// appendUnescaped decodes percent-escapes, and leaves broken ones.
func appendUnescaped(dst []byte, path string) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if decoded, ok := unescape(path[i:]); ok {
			c = decoded
			i += len("%xx") - 1
		}
		dst = append(dst, c)
	}
	return dst
}

// unescape decodes the percent-escape that s begins with, if it does.
func unescape(s string) (c byte, ok bool) {
	if len(s) < len("%xx") || s[0] != '%' {
		return 0, false
	}
	high, low := hexadecimal(s[1]), hexadecimal(s[2])
	return high<<4 | low, high|low < 16
}

// hexadecimal returns the value of a digit, 0xFF if it isn't one.
func hexadecimal(digit byte) byte {
	switch lower := digit | 0x20; {
	case '0' <= digit && digit <= '9':
		return digit - '0'
	case 'a' <= lower && lower <= 'f':
		return lower - 'a' + 10
	}
	return 0xFF
}
