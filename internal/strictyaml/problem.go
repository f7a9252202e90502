package strictyaml

import (
	"fmt"
	"strings"
)

// A Problem is one thing that is wrong with a document.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 if the problem is the file as a whole
	Column  int    `json:"column,omitempty"` // in characters, from 1
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"` // what would be right
	Source  string `json:"source,omitempty"` // the line, of a long one the part around the column
	Caret   int    `json:"caret,omitempty"`  // how many characters of Source are before the column
}

// Error prints the problem with its line, a caret below the column, and the
// advice.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": " + p.Message)
	if p.Line > 0 {
		number := fmt.Sprintf("%5d", p.Line)
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", number, p.Source, blank(number), blank(before(p.Source, p.Caret)))
	}
	if p.Advice != "" {
		b.WriteString("\n      " + strings.ReplaceAll(p.Advice, "\n", "\n      "))
	}
	return b.String()
}

// before returns the first so many characters of a text.
func before(text string, characters int) string {
	for i := range text {
		if characters == 0 {
			return text[:i]
		}
		characters--
	}
	return text
}

// blank returns white space as wide as the text.
func blank(text string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' {
			return c
		}
		return ' '
	}, text)
}

// Errors are all the problems of a document, in the order of their positions.
type Errors []*Problem

// Error prints the first 50 problems, and how many there are.
func (e Errors) Error() string {
	const most = 50
	var b strings.Builder
	for i, p := range e {
		if i == most {
			fmt.Fprintf(&b, "and %d more\n\n", len(e)-most)
			break
		}
		b.WriteString(p.Error() + "\n\n")
	}
	if len(e) > 1 {
		fmt.Fprintf(&b, "%d errors", len(e))
	}
	return strings.TrimSuffix(b.String(), "\n\n")
}
