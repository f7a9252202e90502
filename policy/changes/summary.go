package changes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// mostSummary is how long a summary may be, in bytes, and about how long each
// part of it.
const (
	mostSummary = 200
	mostPart    = 120
)

// summarise says in a line what a plan does: "FR open → withdrawn; DE announced →
// open (2 more)". Where not all of it fits, what is withdrawn comes first.
func summarise(p plan.Plan) string {
	var parts []string
	for _, a := range p.Amendments {
		if a.Effect != "" { // else the moves tell
			parts = append(parts, formatAmendment(a))
		}
	}
	with := func(moves []plan.Move) (all []string) {
		for _, m := range moves {
			all = append(all, formatMove(m))
		}
		return append(all, parts...)
	}
	line, left := joinParts(with(p.Moves))
	if left > 0 {
		moves := slices.Clone(p.Moves)
		slices.SortStableFunc(moves, func(a, b plan.Move) int { return cmp.Compare(rank(a), rank(b)) })
		line, left = joinParts(with(moves))
	}
	if left > 0 {
		line += fmt.Sprintf(" (%d more)", left)
	}
	return line
}

// joinParts returns as much as fits on a line, and how many parts don't.
func joinParts(parts []string) (line string, left int) {
	if parts == nil {
		return "nothing but the text", 0
	}
	line = shorten(parts[0])
	for i, part := range parts[1:] {
		more := line + "; " + shorten(part)
		if len(more) > mostSummary-len(" (999999 more)") {
			return line, len(parts) - 1 - i
		}
		line = more
	}
	return line, 0
}

// rank is lower for what has to be seen first.
func rank(m plan.Move) int {
	if strings.HasPrefix(fmt.Sprint(m.After), policy.Withdrawn.String()) {
		return 0
	}
	return 1
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
		words.WriteString(" from " + formatDay(m.From))
	}
	if !m.Until.IsZero() {
		words.WriteString(" until " + formatDay(m.Until))
	}
	if m.Routes != nil {
		words.WriteString(" (" + strings.Join(m.Routes, ", ") + ")")
	}
	return words.String()
}

// formatDay writes when something begins: the day in UTC, with the time if that isn't its
// beginning; or as the policy has it, if that says another offset.
func formatDay(t time.Time) string {
	_, offset := t.Zone()
	switch {
	case t.Second() > 0:
		return t.Format(time.RFC3339)
	case offset == 0 && t.UTC().Equal(t.UTC().Truncate(24*time.Hour)):
		return t.UTC().Format(time.DateOnly)
	case offset == 0:
		return t.UTC().Format("2006-01-02T15:04Z07:00")
	}
	return t.Format("2006-01-02T15:04Z07:00")
}

func formatAmendment(a plan.Amendment) string {
	const most = 30 // bytes of either side
	name := strings.TrimSpace(a.Section + " " + a.Name)
	if a.Section == "demands" {
		saidBefore, saidNow := a.InWords()
		before, _, _ := strings.Cut(saidBefore, ", ") // its stage, and from when
		after, _, _ := strings.Cut(saidNow, ", ")
		name = "demand " + a.Name
		switch {
		case a.Before == "":
			return name + " (new, " + after + ")"
		case a.After != "" && before != after:
			return fmt.Sprintf("%s: %s → %s", name, before, after)
		}
		if stage := addedStage(saidBefore, saidNow); stage != "" {
			return name + ": " + stage
		}
	}
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

// addedStage returns what a demand has come to without another stage counting for it, as an
// appeal, "" if nothing.
func addedStage(before, after string) (stage string) {
	known := strings.Split(before, ", ")
	for _, part := range strings.Split(after, ", ") {
		if numbered, is := strings.CutPrefix(part, "stage "); is && !slices.Contains(known, part) {
			_, stage, _ = strings.Cut(numbered, " ")
			stage, _, _ = strings.Cut(stage, " ")
		}
	}
	return stage
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
