package listen

import (
	"log"
	"log/slog"
	"net/netip"
	"strings"
)

// ErrorLog returns the error log for net/http's servers. What net/http has to
// say comes from clients, hundreds of times a second if they like, and names
// their addresses: failed handshakes are counted, the rest is logged without.
func ErrorLog(to *slog.Logger, onHandshakeError func()) *log.Logger {
	return log.New(writerFunc(func(line []byte) {
		text, _, _ := strings.Cut(string(line), "\n") // behind it are stacks
		if strings.Contains(text, "TLS handshake error") {
			onHandshakeError()
		} else {
			to.Warn("http server", "message", withoutAddresses(text))
		}
	}), "", 0)
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// withoutAddresses replaces every IP address in a text, with its port, by "…".
func withoutAddresses(text string) string {
	ofAddresses := func(r rune) bool {
		return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F' || strings.ContainsRune(".:[]%", r)
	}
	var b strings.Builder
	for len(text) > 0 {
		end := strings.IndexFunc(text, func(r rune) bool { return !ofAddresses(r) })
		if end < 0 {
			end = len(text)
		}
		if word := text[:end]; holdsAddress(word) {
			b.WriteString("…")
		} else {
			b.WriteString(word)
		}
		next := strings.IndexFunc(text[end:], ofAddresses)
		if next < 0 {
			next = len(text) - end
		}
		b.WriteString(text[end : end+next])
		text = text[end+next:]
	}
	return b.String()
}

// holdsAddress reports whether a word is an address, with or without brackets,
// port and punctuation around it.
func holdsAddress(word string) bool {
	word = strings.TrimLeft(word, ".")
	for {
		if isAddress(word) {
			return true
		}
		last := len(word) - 1
		if last < 0 || word[last] != '.' && word[last] != ':' {
			return false
		}
		word = word[:last] // one by one: an address may end in "::"
	}
}

func isAddress(word string) bool {
	if _, err := netip.ParseAddrPort(word); err == nil {
		return true
	}
	word, _, _ = strings.Cut(strings.Trim(word, "[]"), "%")
	_, err := netip.ParseAddr(word)
	return err == nil
}
