package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A reader goes through a text that is UTF-8.
type reader struct {
	Options
	text   []byte
	at     int // what was read
	start  int // of the last string, number or name
	values int // that were read
}

// fail returns an error about what comes next, or was read last.
func (r *reader) fail(kind Kind, message string) *Error {
	return &Error{Kind: kind, Offset: r.at, Message: message}
}

func (r *reader) syntax(message string) *Error { return r.fail(Syntax, message) }

func (r *reader) duplicate() *Error {
	return &Error{Kind: Duplicate, Offset: r.start, Message: "duplicate member"}
}

// count counts a value.
func (r *reader) count() *Error {
	if r.values++; r.Values > 0 && r.values > r.Values {
		r.next()
		return r.fail(Limit, fmt.Sprintf("more than %d values", r.Values))
	}
	return nil
}

// next returns the first byte of what comes next, 0 at the end.
func (r *reader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			if c == 0 {
				return 1 // not the end, and nothing that JSON begins with either
			}
			return c
		}
	}
	return 0
}

// pass goes past a byte, if it is what comes next.
func (r *reader) pass(c byte) bool {
	found := r.next() == c
	if found {
		r.at++
	}
	return found
}

// members reads an object. read is called with each name and reads the rest of
// the member, by member or colon; errors get the name into their path.
func (r *reader) members(read func(name string) *Error) *Error {
	r.at++
	for first := true; !r.pass('}'); first = false {
		if !first && !r.pass(',') {
			return r.syntax("expected a comma or the end of the object")
		}
		if r.next() != '"' {
			return r.syntax("expected a member's name")
		}
		literal, err := r.scalar()
		var name string
		if err == nil {
			name, err = r.unquote(literal)
		}
		if err != nil {
			return err
		}
		if err := read(name); err != nil {
			err.Path = "." + shorten(name, 64) + err.Path
			return err
		}
	}
	return nil
}

// member reads the value of a member into v.
func (r *reader) member(v reflect.Value, depth int) *Error {
	if err := r.colon(); err != nil {
		return err
	}
	return r.value(v, depth)
}

func (r *reader) colon() *Error {
	if !r.pass(':') {
		return r.syntax("expected a colon")
	}
	return nil
}

// items reads a list. read is called for each item, and reads it.
func (r *reader) items(read func() *Error) *Error {
	r.at++
	for i := 0; !r.pass(']'); i++ {
		if i > 0 && !r.pass(',') {
			return r.syntax("expected a comma or the end of the list")
		}
		if err := read(); err != nil {
			err.Path = "[" + strconv.Itoa(i) + "]" + err.Path
			return err
		}
	}
	return nil
}

// scalar returns the text of a string, a number, true, false or null.
func (r *reader) scalar() ([]byte, *Error) {
	first := r.next()
	r.start = r.at
	rest := r.text[r.at:]
	end := 0
	switch first {
	case 0:
		return nil, r.syntax("unexpected end")
	case '"':
		for end = 1; end < len(rest) && rest[end] != '"'; end++ {
			if rest[end] == '\\' {
				end++
			}
		}
		if end++; end > len(rest) {
			r.at = len(r.text)
			return nil, r.syntax("unexpected end of a string")
		}
	default:
		if end = bytes.IndexAny(rest, ",:[]{}\" \t\r\n"); end < 0 {
			end = len(rest)
		}
	}
	literal := rest[:end]
	if !json.Valid(literal) {
		return nil, r.syntax("not a JSON value")
	}
	if !pairedSurrogates(literal) {
		return nil, r.fail(Encoding, `half of a character: of \ud800 to \udfff two come together`)
	}
	r.at += end
	return literal, nil
}

// unquote returns what a string says.
func (r *reader) unquote(literal []byte) (text string, err *Error) {
	if bytes.IndexByte(literal, '\\') < 0 {
		return string(literal[1 : len(literal)-1]), nil
	}
	if json.Unmarshal(literal, &text) != nil {
		return "", r.syntax("not a JSON string")
	}
	return text, nil
}

// pairedSurrogates reports whether the escapes in a valid string are characters.
// encoding/json reads others as U+FFFD.
func pairedSurrogates(text []byte) bool {
	for {
		_, after, found := bytes.Cut(text, []byte{'\\'})
		if !found {
			return true
		}
		text = after[1:]
		if after[0] != 'u' {
			continue
		}
		first := hexadecimal(after[1:])
		text = after[5:]
		if !utf16.IsSurrogate(first) {
			continue
		}
		if !bytes.HasPrefix(text, []byte(`\u`)) || utf16.DecodeRune(first, hexadecimal(text[2:])) == utf8.RuneError {
			return false
		}
		text = text[6:]
	}
}

// hexadecimal reads the four digits that come next.
func hexadecimal(text []byte) rune {
	n, _ := strconv.ParseUint(string(text[:4]), 16, 32) // they are digits
	return rune(n)
}
