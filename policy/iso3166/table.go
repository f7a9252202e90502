package iso3166

import (
	_ "embed"
	"iter"
	"strings"
)

// The tables that internal/generate wrote; SOURCE.txt says from what.
var (
	// Alpha-2 code, alpha-3 code, sovereign or -, name.
	//
	//go:embed countries.txt
	countries table

	// Code, first-level subdivision that it lies in or -, name.
	//
	//go:embed subdivisions.txt
	subdivisions table
)

// A table is text of one entry a line. Each line begins with a code and a
// space, ends with a newline, and the lines are sorted by code.
type table string

// find returns the line of a code.
func (t table) find(code string) (line string, ok bool) {
	line, _, _ = strings.Cut(string(t.from(code)), "\n")
	return line, line != "" && codeOf(line) == code
}

// from returns the table from the first line on whose code isn't less than
// this one.
func (t table) from(code string) table {
	text := string(t)
	low, high := 0, len(text) // always at the beginning of a line
	for low < high {
		line := low + strings.LastIndexByte(text[low:(low+high)/2], '\n') + 1
		if codeOf(text[line:]) < code {
			low = line + strings.IndexByte(text[line:], '\n') + 1
		} else {
			high = line
		}
	}
	return t[low:]
}

// lines yields the lines without their newlines.
func (t table) lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(string(t)) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}

func codeOf(line string) string {
	code, _, _ := strings.Cut(line, " ")
	return code
}
