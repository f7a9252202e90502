package edit

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// Rebase returns the text of the policy in force with what a change does to another
// text, that it was made against: base. It is only possible where both, the change and
// what has come into force since, are about entries of jurisdictions and their
// notices alone, and of each other's about none; else there is an error. What else
// stands in the text in force stays as it is, comments of both among it.
//
// The result is a policy that document.Read accepts, and whose entries are those in
// force but for the ones that the change is about, which are the change's.
func Rebase(base, change, inForce []byte) ([]byte, error) {
	const name = "policy"
	was, wants, is := document.Decode(name, base), document.Decode(name, change), document.Decode(name, inForce)
	for _, d := range []*document.Document{was, wants, is} {
		if err := d.YAML.Err(); err != nil {
			return nil, err
		}
	}
	if !sameBesideEntries(was.Definition, wants.Definition) || !sameBesideEntries(was.Definition, is.Definition) {
		return nil, errors.New("more than entries of jurisdictions is changed")
	}
	expected := is.Definition
	var err error
	if expected.Jurisdictions, err = mergeEntries(was.Definition.Jurisdictions, wants.Definition.Jurisdictions, is.Definition.Jurisdictions); err != nil {
		return nil, err
	}
	if expected.Notices, err = mergeEntries(was.Definition.Notices, wants.Definition.Notices, is.Definition.Notices); err != nil {
		return nil, err
	}
	text, err := mergeLines(lines(base), lines(change), lines(inForce))
	if err != nil {
		return nil, err
	}
	result := []byte(strings.Join(text, ""))
	merged := document.Decode(name, result)
	if merged.YAML.Err() != nil || !reflect.DeepEqual(merged.Definition, expected) {
		return nil, errUneditable
	}
	if _, err := merged.Policy(); err != nil {
		return nil, err
	}
	return result, nil
}

// sameBesideEntries reports whether two documents differ in entries of jurisdictions and
// their notices alone.
func sameBesideEntries(a, b policy.Definition) bool {
	a.Jurisdictions, a.Notices = b.Jurisdictions, b.Notices
	return reflect.DeepEqual(a, b)
}

// mergeEntries returns the entries in force with those that a change is about. It is an
// error if one of them isn't as it was.
func mergeEntries[K comparable, V any](was, wants, is map[K]V) (map[K]V, error) {
	same := func(a, b map[K]V, key K) bool {
		x, inA := a[key]
		y, inB := b[key]
		return inA == inB && reflect.DeepEqual(x, y)
	}
	merged := maps.Clone(is)
	for _, key := range slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(wants)) {
		if same(was, wants, key) {
			continue
		}
		if !same(was, is, key) {
			return nil, fmt.Errorf("%v is changed by both", key)
		}
		entry, stays := wants[key]
		switch {
		case !stays:
			delete(merged, key)
		case merged == nil:
			merged = map[K]V{key: entry}
		default:
			merged[key] = entry
		}
	}
	if len(merged) == 0 && len(is) > 0 {
		return map[K]V{}, nil
	}
	return merged, nil
}

// lines returns a text's lines, each with its end; the last has one, too.
func lines(text []byte) []string {
	all := slices.Collect(strings.Lines(string(text)))
	if last := len(all) - 1; last >= 0 && !strings.HasSuffix(all[last], "\n") {
		all[last] += "\n"
	}
	return all
}

// A hunk puts lines in the place of those from start to end.
type hunk struct {
	start, end int
	lines      []string
}

// isBefore reports whether a hunk is made before another: where both begin at the same
// line, one that takes lines out is the last.
func (h hunk) isBefore(other hunk) bool {
	return h.start < other.start || h.start == other.start && h.end < other.end
}

// mergeLines returns what two texts make of a third one, both at once. Where they put
// lines into the same place, those of the one in force come first; it is an error where
// both change the same line.
func mergeLines(base, change, inForce []string) ([]string, error) {
	ours, err := hunks(base, inForce)
	if err != nil {
		return nil, err
	}
	theirs, err := hunks(base, change)
	if err != nil {
		return nil, err
	}
	var merged []string
	at := 0
	for len(ours) > 0 || len(theirs) > 0 {
		next := &ours
		if len(ours) == 0 || len(theirs) > 0 && theirs[0].isBefore(ours[0]) {
			next = &theirs
		}
		h := (*next)[0]
		if h.start < at {
			return nil, errors.New("both change the same lines")
		}
		merged = append(append(merged, base[at:h.start]...), h.lines...)
		at, *next = h.end, (*next)[1:]
	}
	return append(merged, base[at:]...), nil
}

// mostCompared is how many pairs of lines are compared.
const mostCompared = 4 << 20

// hunks returns how one text becomes another: by the longest lines that both have in
// common.
func hunks(from, to []string) (all []hunk, err error) {
	first := 0
	for first < len(from) && first < len(to) && from[first] == to[first] {
		first++
	}
	last := 0
	for last < len(from)-first && last < len(to)-first && from[len(from)-1-last] == to[len(to)-1-last] {
		last++
	}
	a, b := from[first:len(from)-last], to[first:len(to)-last]
	if len(a)*len(b) > mostCompared {
		return nil, errors.New("too many lines are changed")
	}
	// common[i][j] is how many lines a[i:] and b[j:] have in common.
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if i < len(a) && j < len(b) && a[i] == b[j] {
			i, j = i+1, j+1
			continue
		}
		h := hunk{start: first + i, end: first + i}
		for (i < len(a) || j < len(b)) && (i == len(a) || j == len(b) || a[i] != b[j]) {
			if j < len(b) && (i == len(a) || common[i][j+1] >= common[i+1][j]) {
				h.lines = append(h.lines, b[j])
				j++
			} else {
				h.end++
				i++
			}
		}
		all = append(all, h)
	}
	return all, nil
}
