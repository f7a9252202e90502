package gateway

import (
	"fmt"
	"log"
	"net/netip"
	"runtime"
	"strings"
)

// serverLog returns the error log for net/http's servers. What net/http has to
// say comes from clients, hundreds of times a second if they like, and names
// their addresses: failed handshakes are counted, the rest is logged without.
func (g *Gateway) serverLog() *log.Logger {
	return log.New(writerFunc(func(line []byte) (int, error) {
		text, _, _ := strings.Cut(string(line), "\n") // behind it are stacks
		if strings.Contains(text, "TLS handshake error") {
			g.metrics.HandshakeFailed()
		} else {
			g.log.Warn("http server", "message", withoutAddresses(text))
		}
		return len(line), nil
	}), "", 0)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

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

// holdsAddress says whether a word is an address, with or without brackets,
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

// describePanic says what went wrong, unless it might quote a client.
func describePanic(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// stack returns where the goroutine is, from the panic outwards, as one line a
// call. Not as debug.Stack does: that prints arguments, and of an address the
// words that it is made of.
func stack() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers[:])])
	var b strings.Builder
	panicked := false
	for {
		frame, more := frames.Next()
		if panicked {
			fmt.Fprintf(&b, "%s %s:%d\n", frame.Function, frame.File, frame.Line)
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return b.String()
		}
	}
}
