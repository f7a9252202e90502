package routes

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"
)

// Limits on a pattern, in bytes. They bound the depth of a Table and let a
// request's segment be decoded on the stack.
const (
	maxPattern = 2048
	maxLiteral = 255 // of one decoded segment; what file systems allow a name
)

// A Pattern describes a set of requests in the syntax of net/http.ServeMux:
//
//	[METHOD ][HOST]/PATH
//
// A segment of the path is a literal, {name} for any one segment, {name...}
// for all that follow, or {$} for the end after a slash. A path that ends in a
// slash matches everything below it. GET matches HEAD too. The zero Pattern
// matches nothing.
type Pattern struct {
	text     string
	method   string // empty for any
	host     string // empty for any
	segments []segment
}

// String returns the text that was parsed.
func (p Pattern) String() string { return p.text }

// Example returns a request that the pattern matches, though a more specific one may
// match it, too. host is "" for any.
func (p Pattern) Example() (method, host, escapedPath string) {
	var b strings.Builder
	for _, s := range p.segments {
		switch {
		case s.kind == literal && s.text == slash:
			b.WriteString("/")
		case s.kind == literal:
			b.WriteString("/" + url.PathEscape(s.text))
		case s.kind == wild, s.text != "":
			b.WriteString("/x")
		default:
			b.WriteString("/") // all below it
		}
	}
	return cmp.Or(p.method, http.MethodGet), p.host, b.String()
}

// A segment is one piece of a pattern's path.
type segment struct {
	kind kind
	// text is a literal, decoded, or the name of a wildcard. The literal "/"
	// stands for {$}: no segment of a request holds a slash, unless encoded,
	// and one that is an encoded slash alone is the same to ServeMux.
	text string
}

// A kind of segment. The smaller one is the more specific.
type kind uint8

const (
	literal kind = iota
	wild         // {name}
	rest         // {name...} or, without a name, the trailing slash
)

const slash = "/"

// Parse reads a pattern. It accepts what ServeMux accepts, except patterns
// that are certainly a mistake because no request, or none that is meant,
// could match them: unclean paths, upper-case hosts, hosts with a port,
// lower-case methods, queries, broken percent-escapes.
func Parse(text string) (Pattern, error) {
	p, err := parse(text)
	if err != nil {
		if len(text) > 80 {
			text = text[:80] + "…"
		}
		return Pattern{}, fmt.Errorf("route pattern %q: %w", text, err)
	}
	return p, nil
}

func parse(text string) (Pattern, error) {
	if len(text) > maxPattern {
		return Pattern{}, fmt.Errorf("%d bytes long: at most %d are allowed", len(text), maxPattern)
	}
	p := Pattern{text: text}
	rest := text
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		p.method, rest = text[:i], strings.TrimLeft(text[i:], " \t")
		if err := checkMethod(p.method); err != nil {
			return Pattern{}, err
		}
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return Pattern{}, errors.New(`no path: want [METHOD ][HOST]/PATH, for example "POST /signup" or "news.example.com/"`)
	}
	p.host, rest = rest[:i], rest[i:]
	if err := checkHost(p.host); err != nil {
		return Pattern{}, err
	}
	if err := checkPath(rest); err != nil {
		return Pattern{}, err
	}
	segments, err := parseSegments(rest)
	p.segments = segments
	return p, err
}

func checkMethod(method string) error {
	if method == "" {
		return errors.New("begins with a space: remove it")
	}
	if strings.Contains(method, "/") {
		return errors.New("space in or after the path: remove it, or write %20")
	}
	for _, c := range method {
		if c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) { // RFC 9110, section 5.6.2
			return fmt.Errorf("%q is not a method: want one such as GET or POST", method)
		}
	}
	switch upper := strings.ToUpper(method); upper {
	case method:
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return fmt.Errorf("methods are case-sensitive: write %s, not %s", upper, method)
	}
	return nil
}

func checkHost(host string) error {
	if host == "" {
		return nil
	}
	if name, _, found := strings.Cut(host, ":"); found {
		return fmt.Errorf("host %q has a port: write %q", host, name)
	}
	if lower := strings.ToLower(host); lower != host {
		return fmt.Errorf("host %q has upper-case letters: write %q", host, lower)
	}
	for _, label := range strings.Split(host, ".") {
		if label == "" {
			return fmt.Errorf("host %q has an empty label: want a name such as news.example.com", host)
		}
	}
	for _, c := range host {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(".-_", c) {
			return fmt.Errorf("host %q contains %q: want one name such as news.example.com (xn--… for other alphabets), or begin with / for any host", host, c)
		}
	}
	return nil
}

func checkPath(pattern string) error {
	if i := strings.IndexAny(pattern, "?#"); i >= 0 {
		return fmt.Errorf("%q begins a query or fragment, which patterns don't match: leave it out, or write %%%X for the character", pattern[i], pattern[i])
	}
	clean := path.Clean(pattern)
	if clean != slash && strings.HasSuffix(pattern, slash) {
		clean += slash
	}
	if clean != pattern {
		return fmt.Errorf("path has empty or dot segments: write %q", clean)
	}
	return nil
}

// parseSegments reads a path that begins with a slash.
func parseSegments(path string) ([]segment, error) {
	segments := make([]segment, 0, strings.Count(path, slash))
	for more := true; more; {
		var text string
		text, path, more = strings.Cut(path[1:], slash)
		path = slash + path
		s, err := parseSegment(text, !more)
		if err != nil {
			return nil, err
		}
		if s.kind != literal && s.text != "" {
			for _, earlier := range segments {
				if earlier.kind != literal && earlier.text == s.text {
					return nil, fmt.Errorf("two wildcards are named {%s}: give each its own name", s.text)
				}
			}
		}
		segments = append(segments, s)
	}
	return segments, nil
}

func parseSegment(text string, last bool) (segment, error) {
	if text == "" {
		return segment{kind: rest}, nil
	}
	if !strings.Contains(text, "{") {
		return parseLiteral(text)
	}
	name, opened := strings.CutPrefix(text, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !opened || !closed {
		return segment{}, fmt.Errorf("%q mixes a wildcard with other text: a wildcard is a whole segment, as in /a/{name}/b", text)
	}
	name, isRest := strings.CutSuffix(name, "...")
	switch {
	case (isRest || name == "$") && !last:
		return segment{}, fmt.Errorf("%s can only be the last segment", text)
	case name == "$" && !isRest:
		return segment{literal, slash}, nil
	case !isIdentifier(name):
		return segment{}, fmt.Errorf("%q is not a wildcard: want {name}, {name...} or {$}, the name of letters, digits and _", text)
	case isRest:
		return segment{rest, name}, nil
	}
	return segment{wild, name}, nil
}

func parseLiteral(text string) (segment, error) {
	decoded, err := url.PathUnescape(text)
	switch {
	case err != nil:
		return segment{}, fmt.Errorf("%q has a broken percent-escape: write %%25 for a percent sign", text)
	case decoded == "." || decoded == "..":
		return segment{}, fmt.Errorf("%q is a dot segment: write the path that it leads to", text)
	case len(decoded) > maxLiteral:
		return segment{}, fmt.Errorf("a segment of %d bytes: at most %d are allowed", len(decoded), maxLiteral)
	}
	return segment{literal, decoded}, nil
}

// isIdentifier reports whether s is a Go identifier; keywords are as good as
// other names here.
func isIdentifier(s string) bool {
	for i, c := range s {
		if !unicode.IsLetter(c) && c != '_' && (i == 0 || !unicode.IsDigit(c)) {
			return false
		}
	}
	return s != ""
}
