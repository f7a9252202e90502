package notice

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"unicode"
)

// Measures of a picture, in its own units. A line holds so many columns, of which
// a wide character takes two.
const (
	pictureWidth = 640
	lineHeight   = 26
	lineColumns  = 58
	maxLines     = 14
)

// picture returns a refusal as an image, for a page that wants to show one: its
// title and what it says, wrapped, as an SVG has no paragraphs.
func picture(c content) []byte {
	title := wrap(c.Title.String(), lineColumns*4/5)
	lines := wrap(c.Lead.String(), lineColumns)
	if len(lines) > maxLines {
		lines = append(lines[:maxLines], "…")
	}
	height := (len(title)+len(lines))*lineHeight + 3*lineHeight
	anchor, direction := 32, c.Title.Dir
	if direction == "rtl" {
		anchor = pictureWidth - anchor
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" xml:lang="%[3]s">`+"\n",
		pictureWidth, height, html.EscapeString(c.Language))
	fmt.Fprintf(&b, "<title>%s</title>\n", escapeXML(c.Title.String()))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fbfaf7"/>`+"\n")
	y := lineHeight
	write := func(lines []string, attributes string) {
		for _, line := range lines {
			y += lineHeight
			fmt.Fprintf(&b, `<text x="%d" y="%d" direction="%s" fill="#101614" font-family="system-ui, sans-serif" %s>%s</text>`+"\n",
				anchor, y, html.EscapeString(direction), attributes, escapeXML(line))
		}
	}
	write(title, `font-size="20" font-weight="700"`)
	y += lineHeight / 2
	write(lines, `font-size="17"`)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// escapeXML escapes a text for XML, in which most controls can't be said at all.
func escapeXML(text string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD")))
}

// wrap breaks a text into lines: at spaces, or anywhere where there are none.
func wrap(text string, columns int) (lines []string) {
	line, width := "", 0
	for _, word := range strings.Fields(text) {
		if width > 0 && width+1+columnsOf(word) > columns {
			lines, line, width = append(lines, line), "", 0
		}
		if width > 0 {
			line, width = line+" ", width+1
		}
		for _, r := range word {
			if w := columnsOf(string(r)); width+w > columns {
				lines, line, width = append(lines, line), "", 0
			}
			line += string(r)
			width += columnsOf(string(r))
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// columnsOf returns about how wide a text is.
func columnsOf(text string) (columns int) {
	for _, r := range text {
		columns++
		if r >= 0x2E80 && r < 0xFE00 || r >= 0xFF00 && r < 0xFFE7 || r >= 0x20000 {
			columns++
		}
	}
	return columns
}
