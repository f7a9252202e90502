package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
)

// writeJSON writes a value as people and jq like it.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// formatTime writes a moment as short as it can be without losing anything.
func formatTime(t time.Time) string {
	t = t.UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}

// formatThere writes what a moment is in a jurisdiction, "" if that is UTC: "(2026-12-01
// 00:00 in Europe/Paris)". Of a moment with an offset, which is all that JSON has, it is in
// the zone there that has it, or by that alone.
func formatThere(t time.Time, code policy.Code, zone string) string {
	there := zonedtime.In(t.UTC(), zone, policy.ZoneOf(code))
	if _, offset := t.Zone(); offset != 0 {
		there = zonedtime.In(t, "") // it may say its zone
		for _, name := range []string{zone, policy.ZoneOf(code)} {
			in := zonedtime.In(t.UTC(), name)
			if _, other := in.Zone(); there.Location().String() == "" && other == offset {
				there = in
			}
		}
	}
	if _, offset := there.Zone(); offset == 0 || t.IsZero() {
		return ""
	}
	name := there.Location().String()
	if name == "" {
		name = "UTC" + there.Format("-07:00")
	}
	return fmt.Sprintf("(%s in %s)", there.Format("2006-01-02 15:04"), sanitise(name))
}

// formatMinute writes a moment for people, in UTC: that it is is said elsewhere.
func formatMinute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// writeTable writes rows in aligned columns, as wide as they are.
func writeTable(w io.Writer, rows [][]string) {
	var table []row
	for _, texts := range rows {
		var r row
		for _, text := range texts {
			r.cells = append(r.cells, cell{text: text})
		}
		table = append(table, r)
	}
	printer{Writer: w, width: math.MaxInt}.table(table, 0)
}

// Colours, and what ends them.
const (
	red         = "\x1b[31m"
	green       = "\x1b[32m"
	yellow      = "\x1b[33m"
	bold        = "\x1b[1m"
	resetColour = "\x1b[0m"
)

// A printer is where people read: as wide as their terminal, and in colours if it
// has any.
type printer struct {
	io.Writer
	width     int
	hasColour bool
}

const (
	defaultWidth = 80
	minWidth     = 40 // what is narrower is left to the terminal to break
	indentation  = "  "
)

// newPrinter asks the terminal, if it is one.
func newPrinter(w io.Writer) printer {
	p := printer{Writer: w, width: defaultWidth}
	if f, ok := w.(*os.File); ok {
		if width, terminal := terminalWidth(f); terminal {
			p.hasColour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
			if width > 0 {
				p.width = width
			}
		}
	}
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns > 0 {
		p.width = columns
	}
	p.width = max(p.width, minWidth)
	return p
}

func (p printer) inColour(colour, text string) string {
	if !p.hasColour || colour == "" || text == "" {
		return text
	}
	return colour + text + resetColour
}

// paragraph writes a text, broken into lines that fit, each after the indent.
func (p printer) paragraph(indent, format string, args ...any) {
	p.colouredParagraph("", indent, format, args...)
}

// colouredParagraph is say in a colour.
func (p printer) colouredParagraph(colour, indent, format string, args ...any) {
	for _, line := range wrap(fmt.Sprintf(format, args...), p.width-utf8.RuneCountInString(indent)) {
		fmt.Fprintln(p, strings.TrimRight(indent+p.inColour(colour, line), " "))
	}
}

// heading begins a part of the page.
func (p printer) heading(colour, text string) {
	fmt.Fprintf(p, "\n%s\n\n", p.inColour(colour, text))
}

// wrap breaks a text into lines between words; a word that doesn't fit stays
// whole. What is a line of its own stays one.
func wrap(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			switch {
			case line == "":
				line = word
			case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
				line += " " + word
			default:
				lines = append(lines, line)
				line = word
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// A cell is a text in a table.
type cell struct {
	text   string
	colour string
	right  bool // aligned to the right
}

// A row of a table, with what is said below it.
type row struct {
	cells []cell
	below []string
}

const (
	columnGap = 2 // between columns
	minColumn = 6 // a column that gives way to less is left out
)

// table writes rows in aligned columns, indented. Where they don't fit, one of
// the columns gives way. What is below a row begins where its second column
// does.
func (p printer) table(rows []row, givesWay int) {
	widths := columnWidths(rows)
	if over := tableWidth(widths) - p.width; over > 0 {
		widths[givesWay] = max(0, widths[givesWay]-over)
		if widths[givesWay] < minColumn {
			widths[givesWay] = 0
		}
	}
	for _, r := range rows {
		fmt.Fprintln(p, strings.TrimRight(indentation+p.line(r.cells, widths), " "))
		for _, text := range r.below {
			p.paragraph(indentation+strings.Repeat(" ", widths[0]+columnGap), "%s", text)
		}
	}
}

func columnWidths(rows []row) []int {
	var widths []int
	for _, r := range rows {
		for i, c := range r.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	return widths
}

// tableWidth is how wide a table is.
func tableWidth(widths []int) int {
	sum := len(indentation) - columnGap
	for _, w := range widths {
		if w > 0 {
			sum += w + columnGap
		}
	}
	return sum
}

func (p printer) line(cells []cell, widths []int) string {
	var b strings.Builder
	for i, c := range cells {
		if widths[i] == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(strings.Repeat(" ", columnGap))
		}
		text := shorten(c.text, widths[i])
		padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
		if c.right {
			b.WriteString(padding + p.inColour(c.colour, text))
		} else {
			b.WriteString(p.inColour(c.colour, text) + padding)
		}
	}
	return b.String()
}

// sanitise makes one harmless line of a text that somebody else wrote: without
// characters that a terminal obeys, or that turn the order of others around.
func sanitise(text string) string {
	return strings.Join(strings.Fields(sanitiseLines(text)), " ")
}

// sanitiseLines is clean, but for the ends of lines.
func sanitiseLines(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n':
			return c
		case unicode.IsSpace(c):
			return ' '
		case unicode.IsControl(c), unicode.Is(unicode.Bidi_Control, c), c == utf8.RuneError:
			return '\ufffd'
		}
		return c
	}, text)
}

// formatCount writes a number with commas.
func formatCount(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// formatShortCount is count, but in few letters.
func formatShortCount(n uint64) string {
	if n < 10_000_000 {
		return formatCount(n)
	}
	return formatCount(n/1_000_000) + "M"
}

// plural writes "1 approval", "2 approvals".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return formatCount(uint64(n)) + " " + what + "s"
}
