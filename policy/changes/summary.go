package changes

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/exitgate/exitgate/policy/plan"
)

// mostSummary is how long a summary may be, in bytes, and about how long each
// part of it.
const (
	mostSummary = 200
	mostPart    = 120
)

// summarise says in a line what a plan does: "FR open → withdrawn; DE announced →
// open (2 more)".
func summarise(p plan.Plan) string {
	var parts []string
	for _, m := range p.Moves {
		parts = append(parts, formatMove(m))
	}
	for _, a := range p.Amendments {
		if a.Effect != "" { // else the moves tell
			parts = append(parts, formatAmendment(a))
		}
	}
	if parts == nil {
		return "nothing but the text"
	}
	line := shorten(parts[0])
	for i, part := range parts[1:] {
		if more := line + "; " + shorten(part); len(more) <= mostSummary-len(" (999999 more)") {
			line = more
			continue
		}
		return fmt.Sprintf("%s (%d more)", line, len(parts)-1-i)
	}
	return line
}

func formatMove(m plan.Move) string {
	const most = 3
	codes := m.Jurisdictions[:min(most, len(m.Jurisdictions))]
	var words strings.Builder
	for i, code := range codes {
		if i > 0 {
			words.WriteString(", ")
		}
		words.WriteString(string(code))
	}
	if more := len(m.Jurisdictions) - len(codes); more > 0 {
		fmt.Fprintf(&words, " and %d more", more)
	}
	if m.UnknownPart {
		words.WriteString(" (part unknown)")
	}
	fmt.Fprintf(&words, " %s → %s", m.Before, m.After)
	if !m.From.IsZero() {
		words.WriteString(" from " + m.From.UTC().Format("2006-01-02"))
	}
	if !m.Until.IsZero() {
		words.WriteString(" until " + m.Until.UTC().Format("2006-01-02"))
	}
	if m.Routes != nil {
		words.WriteString(" (" + strings.Join(m.Routes, ", ") + ")")
	}
	return words.String()
}

func formatAmendment(a plan.Amendment) string {
	const most = 30 // bytes of either side
	name := strings.TrimSpace(a.Section + " " + a.Name)
	switch {
	case a.Before == "":
		return name + " (new)"
	case a.After == "":
		return name + " (gone)"
	case len(a.Before) > most || len(a.After) > most:
		return name
	}
	return fmt.Sprintf("%s: %s → %s", name, a.Before, a.After)
}

// shorten makes of a part what fits on a line: names in a policy may be of any
// length.
func shorten(part string) string {
	part = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, part)
	if len(part) <= mostPart {
		return part
	}
	end := mostPart - len("…")
	for !utf8.RuneStart(part[end]) {
		end--
	}
	return part[:end] + "…"
}
