package strictyaml

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// A source is the text of a document, without byte order mark and carriage
// returns, and knows its lines.
type source struct {
	file  string
	text  string
	lines []int // the offset of each line's first byte

	markLength      int   // the length of the byte order mark
	carriageReturns []int // the offsets of the line feeds that had a carriage return
}

func newSource(file string, content []byte) *source {
	text := strings.TrimPrefix(string(content), "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	lines := make([]int, 1, 1+strings.Count(text, "\n"))
	for i := range len(text) {
		if text[i] == '\n' {
			lines = append(lines, i+1)
		}
	}
	s := &source{file: file, text: text, lines: lines}
	s.recordRemoved(content)
	return s
}

// line returns the number, from 1, of the line that the offset is in.
func (s *source) line(offset int) int {
	return sort.SearchInts(s.lines, offset+1)
}

// diagnostics locates findings, which are in the order of their offsets.
func (s *source) diagnostics(findings []finding) []*Diagnostic {
	var all []*Diagnostic
	line, column, counted := 0, 0, 0 // the last finding's place, not to count a long line again and again
	for _, f := range findings {
		d := &Diagnostic{File: s.file, Message: f.message, Advice: f.advice}
		all = append(all, d)
		if f.at < 0 {
			continue
		}
		if n := s.line(f.at); n != line {
			line, column, counted = n, 1, s.lines[n-1]
		}
		column += utf8.RuneCountInString(s.text[counted:f.at])
		counted = f.at
		d.Line, d.Column = line, column
		start, end := s.lines[line-1], len(s.text)
		if line < len(s.lines) {
			end = s.lines[line] - 1
		}
		d.Source, d.Caret = excerpt(s.text[start:end], f.at-start)
	}
	return all
}

// excerpt returns the line's text, or of a long line the surroundings of the
// byte at, and how many of its characters are before that.
func excerpt(line string, at int) (text string, caret int) {
	const most = 120
	from, to := 0, len(line)
	if to > most {
		if from = max(0, at-most/2); from > 0 {
			for from < at && !utf8.RuneStart(line[from]) {
				from++
			}
		}
		if to = min(len(line), from+most); to < len(line) {
			for to > at && !utf8.RuneStart(line[to]) {
				to--
			}
		}
	}
	text, caret = printable(line[from:to]), utf8.RuneCountInString(printable(line[from:at]))
	if from > 0 {
		text, caret = "…"+text, caret+1
	}
	if to < len(line) {
		text += "…"
	}
	return text, caret
}

// printable replaces what would garble a terminal, one character for one.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && !allowed(c) {
			return '\ufffd'
		}
		return c
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// allowed reports whether a character may stand in a YAML stream: all but
// control characters, noncharacters and surrogates (YAML 1.2.2, 5.1).
func allowed(c rune) bool {
	switch {
	case c == '\n', c == '\t':
		return true
	case c < ' ', c == 0x7f, 0x80 <= c && c < 0xa0 && c != 0x85:
		return false
	}
	return c != 0xfffe && c != 0xffff && c != 0xfeff
}

// findInvalidText finds the first byte that is no text.
func (s *source) findInvalidText() (f finding, found bool) {
	for i, c := range s.text {
		if c == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s.text[i:]); size == 1 {
				return finding{i, fmt.Sprintf("byte 0x%02x is not UTF-8", s.text[i]), "save the file as UTF-8 text"}, true
			}
		}
		if c == '\r' {
			return finding{i, "a carriage return without a line feed", `end lines with "\n" or "\r\n"`}, true
		}
		if !allowed(c) {
			return finding{i, fmt.Sprintf("control character %U", c), "remove it"}, true
		}
	}
	return finding{}, false
}
