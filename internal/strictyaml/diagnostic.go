package strictyaml

import (
	"fmt"
	"strings"
)

// A Diagnostic is an error or a warning about a place of a document.
type Diagnostic struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 if it is about the file as a whole
	Column  int    `json:"column,omitempty"` // in characters, from 1
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"` // what would be right
	Source  string `json:"source,omitempty"` // the line, of a long one the part around the column
	Caret   int    `json:"caret,omitempty"`  // how many characters of Source are before the column
}

// Error returns the message with its line, a caret below the column, and the
// advice.
func (d *Diagnostic) Error() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", d.Line, d.Column)
	}
	b.WriteString(": " + d.Message)
	if d.Line > 0 {
		number, line := fmt.Sprintf("%5d", d.Line), []rune(d.Source)
		before := string(line[:min(max(0, d.Caret), len(line))]) // others may have made the Diagnostic
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", number, d.Source, blank(number), blank(before))
	}
	if d.Advice != "" {
		b.WriteString("\n      " + strings.ReplaceAll(d.Advice, "\n", "\n      "))
	}
	return b.String()
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

// Errors are all the mistakes of a document, in the order of their positions.
type Errors []*Diagnostic

// Error returns the first 50 messages, and how many there are.
func (e Errors) Error() string {
	const most = 50
	var b strings.Builder
	for i, d := range e {
		if i == most {
			fmt.Fprintf(&b, "and %d more\n\n", len(e)-most)
			break
		}
		b.WriteString(d.Error() + "\n\n")
	}
	if len(e) > 1 {
		fmt.Fprintf(&b, "%d errors", len(e))
	}
	return strings.TrimSuffix(b.String(), "\n\n")
}
