package request

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// requestID returns the id by which the client, the app and the logs know a request: a
// trusted proxy's, if it sends one that may be written anywhere, else a new one.
func (h *Handler) requestID(r *http.Request) string {
	ids := r.Header["X-Request-Id"]
	if len(ids) == 1 && mayKeepID(ids[0]) {
		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && h.o.Trusts(peer.Addr()) {
			return ids[0]
		}
	}
	return h.ids.next()
}

// mayKeepID reports whether an id is one to write into headers and logs. There are no
// dots and colons in those: an address would pass, and some proxies make ids of them.
func mayKeepID(id string) bool {
	const most = 128
	isOther := func(c rune) bool {
		return (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) && !strings.ContainsRune("-_/+=@", c)
	}
	return id != "" && len(id) <= most && !strings.ContainsFunc(id, isOther)
}

// requestIDs makes ids of 130 random bits, as [rand.Text] does: several at once, so that
// one costs no allocation and no system call. Its zero value is ready; it is safe for
// concurrent use.
type requestIDs struct{ unused sync.Pool }

const (
	idLength = 26
	// idsAtOnce is how many ids are made at once, and stay in memory while one of them
	// does.
	idsAtOnce = 16
)

func (p *requestIDs) next() string {
	unused, _ := p.unused.Get().(*string)
	if unused == nil || *unused == "" {
		unused = new(string)
		*unused = newIDs()
	}
	id := (*unused)[:idLength]
	*unused = (*unused)[idLength:]
	p.unused.Put(unused)
	return id
}

// newIDs returns ids, one behind the other.
func newIDs() string {
	const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648
	var text [idLength * idsAtOnce]byte
	rand.Read(text[:]) // never fails
	for i := range text {
		text[i] = base32[text[i]%32]
	}
	return string(text[:])
}
