package client

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxParameters is how many parameters an element of Forwarded may have; there
// are four registered ones.
const maxParameters = 16

// forwardedFor reads the node in the parameter "for" of an element of Forwarded
// (RFC 7239, section 4):
//
//	forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
//	forwarded-pair    = token "=" ( token / quoted-string )
//
// Space around ";" is let through, since many write it.
func forwardedFor(element string) (netip.Addr, error) {
	var names [maxParameters]string
	var found string
	var hasFor bool
	count := 0
	for rest := element; rest != ""; {
		if after, empty := strings.CutPrefix(rest, ";"); empty {
			rest = trimSpace(after)
			continue
		}
		name, value, after, ok := cutPair(rest)
		rest = trimSpace(after)
		repeated := slices.ContainsFunc(names[:count], func(other string) bool { return strings.EqualFold(other, name) })
		if !ok || repeated || rest != "" && rest[0] != ';' {
			return netip.Addr{}, Malformed
		}
		if count == maxParameters {
			return netip.Addr{}, TooLong
		}
		names[count] = name
		count++
		if strings.EqualFold(name, "for") {
			found, hasFor = value, true
		}
	}
	switch {
	case count == 0:
		return netip.Addr{}, Malformed
	case !hasFor:
		return netip.Addr{}, Hidden
	}
	return node(unescaped(found))
}

// cutPair cuts the pair off the beginning of s. The value comes without its
// quotes, but with the backslashes of its escapes.
func cutPair(s string) (name, value, rest string, ok bool) {
	name, rest = cutToken(s)
	rest, ok = strings.CutPrefix(rest, "=")
	if name == "" || !ok {
		return "", "", "", false
	}
	if text, quoted := strings.CutPrefix(rest, `"`); quoted {
		end := closingQuote(text)
		if end < 0 {
			return "", "", "", false
		}
		return name, text[:end], text[end+1:], true
	}
	value, rest = cutToken(rest)
	return name, value, rest, value != ""
}

// closingQuote returns where the quoted-string ends (RFC 9110, section 5.6.4),
// or -1 if it doesn't or has a control character in it.
func closingQuote(text string) int {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return i
		case c == '\\':
			i++
			if i < len(text) && isControl(text[i]) {
				return -1
			}
		case isControl(c):
			return -1
		}
	}
	return -1
}

// unescaped removes the backslashes of the escapes in a quoted-string.
func unescaped(value string) string {
	if strings.IndexByte(value, '\\') < 0 {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' {
			i++ // closingQuote leaves no escape open
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

func cutToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && httpguts.IsTokenRune(rune(s[i])) {
		i++
	}
	return s[:i], s[i:]
}
