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

// The tables that people keep: a code, and another one that it stands for.
var (
	// aliases are the cross-entries of ISO 3166-2, which says of each "included
	// also as country in ISO 3166-1", besides FR-GF, -GP, -MQ, -RE and -YT: the
	// overseas regions, withdrawn in favour of FR-971 to -976.
	//
	//go:embed aliases.txt
	aliases table

	// renamed are codes that ISO 3166-2 changed, each for exactly one other, late
	// enough for a database in use to have the old one. From the change lists of
	// https://www.iso.org/obp/ui/#iso:code:3166:FR, GT, IN, KZ, MX, NO and ZA.
	//
	//go:embed renamed.txt
	renamed table

	// wrongCodes are codes that are in use for a country but aren't its own: what
	// ISO 3166-1 reserves for it or withdrew, and EL, which the European Union
	// writes for Greece (Interinstitutional Style Guide, annex A5). Reserved codes
	// of what isn't a country (EU, UN), and of countries that broke up (SU, YU),
	// aren't here.
	//
	//go:embed wrongcodes.txt
	wrongCodes table
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
