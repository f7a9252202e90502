package listen

import (
	"log"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrorLogOptions are where an ErrorLog tells what. All are required.
type ErrorLogOptions struct {
	Log *slog.Logger
	// OnHandshakeError is called for each TLS handshake that fails,
	// OnConnectionError for each other thing that a client did wrong.
	OnHandshakeError, OnConnectionError func()
	Now                                 func() time.Time
}

// errorLogPause is how long an ErrorLog says nothing more of the same kind.
const errorLogPause = time.Minute

// ErrorLog returns the error log for net/http's servers. What net/http has to
// say comes from clients, hundreds of times a second if they like, names their
// addresses and quotes what they sent: that is counted, and logged now and then,
// without any of it. What is about the server itself is logged.
func ErrorLog(o ErrorLogOptions) *log.Logger {
	var clients, server limiter
	return log.New(writerFunc(func(line []byte) {
		text, _, _ := strings.Cut(string(line), "\n") // behind it are stacks
		switch {
		case strings.Contains(text, "TLS handshake error"):
			o.OnHandshakeError()
		case isAboutServer(text):
			if n := server.allow(o.Now()); n > 0 {
				o.Log.Warn("http server", "message", withoutAddresses(text), "since_last", n)
			}
		default:
			o.OnConnectionError()
			if n := clients.allow(o.Now()); n > 0 {
				o.Log.Warn("connections were closed, as what came on them is no valid HTTP", "since_last", n)
			}
		}
	}), "", 0)
}

// isAboutServer reports whether a line of net/http is about what the server
// does, and has nothing in it that a client chose.
func isAboutServer(text string) bool {
	prefixes := []string{"http: Accept error: ", "http: superfluous response.WriteHeader call ", "http: response.Write"}
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// A limiter lets one in a while pass, and counts the others.
type limiter struct {
	mu    sync.Mutex
	next  time.Time
	count int
}

// allow counts one more. It returns how many there have been since it last let
// one pass, or 0 if this is none to pass.
func (l *limiter) allow(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if now.Before(l.next) {
		return 0
	}
	n := l.count
	l.count, l.next = 0, now.Add(errorLogPause)
	return n
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// addressLike matches what consists of the characters of addresses.
var addressLike = regexp.MustCompile(`[0-9a-fA-F.:\[\]%]+`)

// withoutAddresses replaces every IP address in a text, with its port, by "…".
func withoutAddresses(text string) string {
	return addressLike.ReplaceAllStringFunc(text, func(word string) string {
		if holdsAddress(word) {
			return "…"
		}
		return word
	})
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
