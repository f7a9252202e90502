package routes

import (
	"net/http"
	"strings"
	"unsafe"
)

// Readings are the classes that a request may be read as, by this package and by
// others, such as the app behind. The zero Readings are of a request that no
// pattern matches, whoever reads it.
type Readings struct {
	// Class is that of the request as it stands.
	Class Class
	// others has a bit for each class that others may read it as.
	others uint64
	// unknown says that others may read it as any class at all.
	unknown bool
}

// AreOne reports whether all read the request alike.
func (r Readings) AreOne() bool { return r.others == 0 && !r.unknown }

// Include reports whether somebody may read the request as one of a class.
func (r Readings) Include(class Class) bool {
	return class == r.Class || r.unknown || class < 64 && r.others&(1<<class) != 0
}

// Add adds a class that others may read the request as.
func (r *Readings) Add(class Class) {
	switch {
	case class == r.Class:
	case class < 64:
		r.others |= 1 << class
	default:
		r.unknown = true // which is at least as careful
	}
}

// AddAll adds what others may read another form of the request as.
func (r *Readings) AddAll(other Readings) {
	r.Add(other.Class)
	r.others |= other.others &^ (1 << r.Class)
	r.unknown = r.unknown || other.unknown
}

// Classify is Match, and says which other classes others may find.
//
// Readers are known to differ in what they do to a path: decode it before
// they split it into segments, or decode it twice; take a backslash for a
// slash; strip ";parameters" from segments; end it at a "?" or "#" once that is
// decoded; merge slashes, or take two at the beginning for the name of a host;
// remove dot segments; drop tabs and line breaks, and white space at the end;
// take what comes behind a script's name, as index.php, for the path.
// Apps sit behind further proxies, so any of it may happen in any order. What
// a path becomes by it is a reading of it. Any class may be read in a path
//
//   - with a broken percent-escape, a NUL or an ASCII character in overlong
//     UTF-8, which readers drop, cut, or take for something else;
//   - with more than 32 readings, or such that are longer than 16 KB taken
//     together, which no honest client's has;
//   - that is none, and isn't OPTIONS * either.
//
// Of methods, some take lower-case letters for upper-case ones.
//
// Letter case in a path and a slash at its end are left to the patterns: where
// an app ignores them, they have to say so.
func (t *Table) Classify(method, host, escapedPath string) Readings {
	r := Readings{Class: t.Match(method, host, escapedPath)}
	if !hasOneReading(escapedPath) {
		t.addPathReadings(&r, method, host, escapedPath)
	}
	if hasLowerCase(method) {
		r.AddAll(t.Classify(strings.ToUpper(method), host, escapedPath))
	}
	return r
}

// hasLowerCase reports whether strings.ToUpper changes a method.
func hasLowerCase(method string) bool {
	for i := range len(method) {
		if c := method[i]; 'a' <= c && c <= 'z' || c >= 0x80 {
			return method != strings.ToUpper(method)
		}
	}
	return false
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
	dot, start := false, 0 // within the segment, and where that starts
	for i := 0; i < len(path); i++ {
		c := path[i]
		if isCommon(c) {
			continue
		}
		switch {
		case c == '.':
			dot = true
		case c == '/':
			if beginsEmptyOrDotSegment(path[i+1:]) || dot && isScript(path[start:i]) {
				return false
			}
			dot, start = false, i+1
		case c == '%':
			if dot {
				return false // it may be the name of a script
			}
			decoded, ok := unescape(path[i:])
			i += len("%xx") - 1
			if !ok || decoded == '.' || decoded < ' ' || decoded == ' ' && i+1 == len(path) || isDelimiter(decoded) {
				return false
			}
			if second, _ := unescape(path[i+1:]); isOverlong(decoded, second) {
				return false
			}
		case c >= 0x80 || c <= ' ' || isDelimiter(c):
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
	case '/', '\\', ';', '?', '#', '%':
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

// addPathReadings adds the classes of all that a path can be read as.
func (t *Table) addPathReadings(into *Readings, method, host, escapedPath string) {
	if escapedPath == "*" && method == http.MethodOptions {
		return
	}
	if !t.addKnownPathReadings(into, method, host, escapedPath) {
		into.unknown = true
	}
}

// addKnownPathReadings is addPathReadings, and returns false where the path can
// be read as anything.
func (t *Table) addKnownPathReadings(into *Readings, method, host, escapedPath string) bool {
	if escapedPath[0] != '/' || hasBrokenEscape(escapedPath) {
		return false
	}
	var r readings
	if !r.add(append(r.next(), escapedPath...), 0) {
		return false
	}
	first := 0
	for decodings := 0; decodings <= maxDecodings && first < r.count; decodings++ {
		all := []normalization{convertBackslashes, stripParameters, cutQuery, mergeSlashes, removeDotSegments, cleanPath, dropHost, dropLineBreaks, trimEnd, dropScript, decodePunctuation}
		if decodings == maxDecodings {
			all = all[:len(all)-1] // there is nothing to decode any more
		}
		if !r.normalize(first, all) {
			return false
		}
		end := r.count
		for i := first; i < end; i++ {
			path := r.at(i)
			if hasNULOrOverlong(path) {
				return false
			}
			escaped := strings.IndexByte(path, '%') >= 0
			if len(t.hosts) > 0 && strings.HasPrefix(path, "//") {
				named, rest := splitHost(path)
				into.Add(t.classOf(method, named, rest, escaped))
			}
			// Once decoded, a path is complete, or its reader decodes the
			// segments that he finds.
			if decodings > 0 || !escaped {
				into.Add(t.classOf(method, host, path, false))
			}
			if !escaped || decodings == maxDecodings {
				continue
			}
			into.Add(t.classOf(method, host, path, true))
			if !r.add(appendUnescaped(r.next(), path), end) {
				return false
			}
		}
		first = end
	}
	return true
}

// splitHost returns the host that those read who make a URL of a path with two slashes at
// its beginning, as patterns have it, and the path behind.
func splitHost(path string) (host, rest string) {
	authority := strings.TrimLeft(path, slash)
	rest = slash
	if i := strings.IndexByte(authority, '/'); i >= 0 {
		authority, rest = authority[:i], authority[i:]
	}
	host = authority[strings.LastIndexByte(authority, '@')+1:]
	host, _, _ = strings.Cut(host, ":")
	return strings.ToLower(host), rest
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
