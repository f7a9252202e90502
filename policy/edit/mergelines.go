package edit

import (
	"errors"
	"slices"
	"strings"
)

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

// mergeLines returns the text that two make of a third one, both at once. Where they put
// lines into the same place, those of the one in force come first; it is an error where
// both change the same line.
func mergeLines(baseText, change, inForce []byte) ([]byte, error) {
	base := lines(baseText)
	ours, err := hunks(base, lines(inForce))
	if err != nil {
		return nil, err
	}
	theirs, err := hunks(base, lines(change))
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
	return []byte(strings.Join(append(merged, base[at:]...), "")), nil
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
