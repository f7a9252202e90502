package routes

import (
	"bytes"
	"strings"
)

// A normalization is something that a reader may do to a path before it splits
// it into segments.
type normalization uint8

const (
	convertBackslashes normalization = iota // to slashes, as IIS and browsers do
	stripParameters                         // ;parameters of segments, as servlet containers do
	cutQuery                                // from ? or # on, as those do who make a URL of a decoded path
	mergeSlashes                            // so that no segment is empty
	removeDotSegments                       // dot segments, as RFC 3986 does: a/b/.. is a/
	cleanPath                               // dot segments, as Go's path.Clean does: a/b/.. is a
	dropHost                                // two slashes at the beginning and the name behind, as those do who make a URL of it: Node, PHP
	dropLineBreaks                          // and tabs, as WHATWG URL parsers do, and Python's
	trimEnd                                 // white space and controls at the end, as the same do
	dropScript                              // all until a script's name, as those do who dispatch by PATH_INFO (RFC 3875, section 4.1.5): PHP's frameworks
	decodePunctuation                       // decode . ; \ but not slashes, as some proxies do
)

// append appends the normalized path. Like the path, that begins with a slash.
func (n normalization) append(dst []byte, path string) []byte {
	switch n {
	case convertBackslashes:
		return appendConverted(dst, path)
	case stripParameters:
		return appendWithoutParameters(dst, path)
	case cutQuery:
		return appendWithoutQuery(dst, path)
	case mergeSlashes:
		return appendMerged(dst, path)
	case removeDotSegments:
		return appendWithoutDotSegments(dst, path, "/")
	case cleanPath:
		return appendWithoutDotSegments(dst, path, "")
	case dropHost:
		return appendWithoutHost(dst, path)
	case dropLineBreaks:
		return appendWithoutLineBreaks(dst, path)
	case trimEnd:
		return append(dst, strings.TrimRightFunc(path, func(c rune) bool { return c <= ' ' })...)
	case dropScript:
		return append(dst, path[scriptEnd(path):]...)
	default:
		return appendDecodedPunctuation(dst, path)
	}
}

// scripts are what names of programs end in that a server runs for the paths below them.
var scripts = [...]string{".php", ".cgi", ".fcgi", ".pl", ".py", ".aspx"}

// isScript reports whether a segment names a script, in any letter case.
func isScript(segment string) bool {
	for _, ending := range scripts {
		if n := len(segment) - len(ending); n > 0 && strings.EqualFold(segment[n:], ending) {
			return true
		}
	}
	return false
}

// scriptEnd returns where the first segment ends that names a script and has others
// behind it; 0 if there is none.
func scriptEnd(path string) int {
	start := 1
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			if isScript(path[start:i]) {
				return i
			}
			start = i + 1
		}
	}
	return 0
}

// appendWithoutHost takes //host/path for /path, however many slashes it begins
// with, but for one.
func appendWithoutHost(dst []byte, path string) []byte {
	if !strings.HasPrefix(path, "//") {
		return append(dst, path...)
	}
	path = strings.TrimLeft(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return append(dst, path[i:]...)
	}
	return append(dst, '/')
}

func appendWithoutLineBreaks(dst []byte, path string) []byte {
	for _, c := range []byte(path) {
		if c != '\t' && c != '\n' && c != '\r' {
			dst = append(dst, c)
		}
	}
	return dst
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

func appendWithoutParameters(dst []byte, path string) []byte {
	skip := false
	for _, c := range []byte(path) {
		skip = c == ';' || skip && c != '/'
		if !skip {
			dst = append(dst, c)
		}
	}
	return dst
}

func appendWithoutQuery(dst []byte, path string) []byte {
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

// appendWithoutDotSegments resolves dot segments. One at the end leaves the ending.
func appendWithoutDotSegments(dst []byte, path, ending string) []byte {
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

func appendDecodedPunctuation(dst []byte, path string) []byte {
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
