// Package strictyaml decodes one YAML document into Go structs and takes nothing
// lightly: an unknown key, a duplicate, a value of another type, a date
// without a zone is an error. All errors are found at once, each with its
// place, its line and advice.
//
// What YAML has and a configuration does not need is refused: anchors,
// aliases, merge keys, tags, directives, keys that are lists or mappings or
// missing, pairs without braces in a list, more than one document. What is left
// is read by the core schema of YAML 1.2, in linear time, and cannot grow beyond
// its own size.
//
// A struct's fields are settable when they have a yaml tag. Further tags:
//
//	required:"true"  the key must be there
//	doc:"..."        description in the JSON Schema
//	default:"..."    default in the JSON Schema; Decode does not set it
//	reload:"true"    the JSON Schema says that it changes without a restart
//
// A type that implements [encoding.TextUnmarshaler] or ScalarUnmarshaler is
// decoded from a scalar, and its error is the message; a struct that does so
// may be written either way, as a scalar or as a mapping. A type with a method
// SchemaEnum() []string takes only the strings that it lists.
package strictyaml

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/zonedtime"
)

// Limit is the size in bytes up to which a document is read.
const Limit = 8 << 20

// maxFindings is how many findings are kept: nobody reads more, and each costs.
const maxFindings = 1000

// A Document is what Decode has read, with all that was wrong with it so far.
// It is not safe for concurrent use.
type Document struct {
	source   *source
	root     *node // nil if there is no tree to look positions up in
	errors   []finding
	warnings []finding
	zoned    []zoned // the moments that say their zones
}

// A finding is a Diagnostic that isn't located yet: few of them are asked for.
type finding struct {
	at      int // offset in the source, -1 for the file as a whole
	message string
	advice  string
}

// Decode decodes the document source into the struct that v points to. What
// the document does not mention keeps the value that it has in v. The file's
// name is for messages only.
//
// The Document is never nil. The caller goes on with checks of its own, adds
// what they find, and then asks Err; a value with an error is left as it was,
// in a list or map it is zero. Decode panics if v is not a pointer to a struct, or holds a type that
// it cannot decode.
func Decode(file string, source []byte, v any) *Document {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("strictyaml: Decode into %T: want a pointer to a struct", v))
	}
	d := &Document{}
	if len(source) > Limit {
		d.source = newSource(file, nil)
		d.report(-1, "remove what is not needed",
			"the file has %d bytes: the limit is %d (8 MiB)", len(source), Limit)
		return d
	}
	d.source = newSource(file, source)
	if f, found := d.source.findInvalidText(); found {
		d.errors = append(d.errors, f)
		return d
	}
	d.root = d.read()
	if d.root != nil {
		decoder := decoder{Document: d, fields: map[reflect.Type][]field{}}
		decoder.decode(d.root, target.Elem())
	}
	return d
}

// Key is a step of a path that leads to a key itself, not to its value.
type Key string

// Errorf adds an error about the value that the path leads to from the root:
// strings are keys of mappings, ints are indexes of lists; the last may be a
// Key. Where the document does not have the value, the error points at what
// comes nearest on the way. An error at or below a place whose value could
// not be decoded is dropped: it would only follow from that.
func (d *Document) Errorf(advice string, path []any, format string, args ...any) {
	if at, wrong := d.find(path); !wrong {
		d.report(at, advice, format, args...)
	}
}

// Warnf adds a warning, as Errorf adds an error.
func (d *Document) Warnf(advice string, path []any, format string, args ...any) {
	if at, wrong := d.find(path); !wrong && len(d.warnings) < maxFindings {
		d.warnings = append(d.warnings, finding{at, fmt.Sprintf(format, args...), advice})
	}
}

// Err returns all errors so far as Errors, or nil if there are none.
func (d *Document) Err() error {
	if len(d.errors) == 0 {
		return nil
	}
	return Errors(d.diagnostics(d.errors))
}

// Warnings returns all warnings so far in the order of their positions.
func (d *Document) Warnings() []*Diagnostic { return d.diagnostics(d.warnings) }

// HasZones reports whether a moment in the document says its time zone (RFC 9557).
func (d *Document) HasZones() bool { return len(d.zoned) > 0 }

// CheckZones reports what a function says is wrong with moments that say their time
// zones.
func (d *Document) CheckZones(check func(time.Time) (advice string, err error)) {
	for _, z := range d.zoned {
		if advice, err := check(z.moment); err != nil {
			d.report(z.at, advice, "%s: %v", zonedtime.Format(z.moment), err)
		}
	}
}

// A zoned is a moment that says its zone, and where.
type zoned struct {
	at     int
	moment time.Time
}

// report adds an error at an offset.
func (d *Document) report(at int, advice, format string, args ...any) {
	if !d.full() {
		d.errors = append(d.errors, finding{at, fmt.Sprintf(format, args...), advice})
	}
}

// full reports whether no more errors are kept.
func (d *Document) full() bool { return len(d.errors) >= maxFindings }

func (d *Document) diagnostics(findings []finding) []*Diagnostic {
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b finding) int { return a.at - b.at })
	seen := map[finding]bool{}
	sorted = slices.DeleteFunc(sorted, func(f finding) bool {
		again := seen[f]
		seen[f] = true
		return again
	})
	return d.source.diagnostics(sorted)
}

// find returns the offset of the value or key that the path leads to, or of
// what comes nearest, and whether something is wrong there already.
func (d *Document) find(path []any) (at int, wrong bool) {
	n := d.root
	if n == nil {
		return -1, true
	}
	for _, step := range path {
		next := n.next(step)
		if n.wrong || next == nil {
			missing := reflect.ValueOf(step).String()
			return n.at, n.wrong || n.incomplete || slices.Contains(n.missing, missing)
		}
		n = next
	}
	return n.at, n.wrong
}

// next returns where one step of a path leads to, nil if the document doesn't
// have that.
func (n *node) next(step any) *node {
	value := reflect.ValueOf(step)
	switch {
	case n.kind == list && value.CanInt() && 0 <= value.Int() && int(value.Int()) < len(n.items):
		return n.items[value.Int()]
	case n.kind == mapping && value.Kind() == reflect.String:
		i := n.index(value.String())
		if i < 0 {
			return nil
		}
		if _, isKey := step.(Key); isKey {
			return n.keys[i]
		}
		return n.items[i]
	}
	return nil
}

// nearest returns the candidate that a mistyped word was meant to be, if one
// is near enough.
func nearest(word string, candidates []string) (string, bool) {
	best, least := "", 1+max(1, len(word)/3)
	for _, candidate := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best, best != ""
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	var rows [3][65]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
