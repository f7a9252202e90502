package files

import (
	"bytes"
	"errors"
	"os"
)

// endMark is the line that ends a document of YAML (YAML 1.2.2, section 9.1.2).
const endMark = "..."

// CheckWhole returns why a text that has taken the place of another one looks as if
// it were only the beginning of what was to be written, as when the disk is full: it may
// be valid, and say something else. The one before is nil if there was none. In place
// is that the same file was written to: else it was put there whole, most likely.
func CheckWhole(before, text []byte, inPlace bool) error {
	switch {
	case len(before) == 0:
		return nil
	case hasEndMark(before) && !hasEndMark(text):
		return errors.New(`it looks cut off: it doesn't end with "...", as the one in use does; write that at its end`)
	case bytes.HasSuffix(before, []byte("\n")) && !bytes.HasSuffix(text, []byte("\n")):
		return errors.New("it looks cut off: it doesn't end with a line break, as the one in use does; write one at its end")
	case inPlace && len(text) < len(before) && bytes.HasPrefix(before, text):
		return errors.New("it looks cut off: it is the beginning of the one in use; if that is meant, move a new file in its place (mv), or write a comment at its end")
	}
	return nil
}

// hasEndMark reports whether the last line that isn't empty is an end mark.
func hasEndMark(text []byte) bool {
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:]) == endMark
}

// An InPlace tells whether a file that changes is written in place. The zero one has not
// looked yet.
type InPlace struct {
	looked bool
	seen   os.FileInfo // nil: it was missing
}

// Look looks at a file, and reports whether it is the same one as at the last look; and at
// the first, since what was done before is unknown.
func (l *InPlace) Look(name string) bool {
	before, looked := l.seen, l.looked
	l.looked, l.seen = true, nil
	if now, err := os.Stat(name); err == nil {
		l.seen = now
	}
	return !looked || before != nil && l.seen != nil && os.SameFile(before, l.seen)
}
