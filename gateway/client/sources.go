package client

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Sources finds out whether clients are located by their own addresses, or by
// that of something in front of the gateway which nobody has named: behind a load
// balancer that isn't trusted all clients are where it is, and no withdrawal
// reaches any of them. It is safe for concurrent use.
type Sources struct {
	resolver *Resolver

	requests atomic.Int64
	ignored  atomic.Int64 // with forwarding headers from peers that aren't trusted
	private  atomic.Int64 // from private addresses, and not unsaid
	unsaid   atomic.Int64 // from trusted proxies that don't say on whose behalf
	said     atomic.Int64 // from those that do

	mu     sync.Mutex
	base   [5]int64 // what the five were at the last review
	doubt  Doubt
	warned Doubt // what was warned of last, and when
}

// A Doubt is why clients seem not to be located by their own addresses. The zero
// Doubt is none.
type Doubt struct {
	Reason DoubtReason
	Since  time.Time
}

// A DoubtReason is a label of a metric.
type DoubtReason string

const (
	// HeadersIgnored: most requests have forwarding headers, from peers that
	// aren't trusted.
	HeadersIgnored DoubtReason = "forwarding-headers-ignored"
	// MostPrivate: most requests are from private addresses, and not of
	// trusted proxies themselves.
	MostPrivate DoubtReason = "most-clients-private"
	// NoneSaid: most requests are from trusted proxies, none of which says on whose
	// behalf, so that they are decided as if the proxies were the clients.
	NoneSaid DoubtReason = "no-client-said"
)

// DoubtReasons returns all there are.
func DoubtReasons() []DoubtReason { return []DoubtReason{HeadersIgnored, MostPrivate, NoneSaid} }

// String says what the reason means and what to do.
func (r DoubtReason) String() string {
	switch r {
	case HeadersIgnored:
		return "most requests have forwarding headers from peers that aren't trusted: clients are taken to be where these peers are. If they are your own load balancers or proxies, name their networks in trusted-proxies (or proxy-protocol)"
	case MostPrivate:
		return "most clients have private addresses, which are in no country. If something of your own stands in front, name its networks in trusted-proxies or proxy-protocol; if they are your own users, say in the policy what private gets"
	case NoneSaid:
		return "most requests come from trusted proxies, and none has the header that says on whose behalf (client-header): they are decided as if the proxies were the clients. Let the proxies send it; let their health checks ask for /.well-known/exitgate/health, which isn't counted; name nobody in trusted-proxies who is a client"
	}
	return ""
}

// NewSources returns Sources that know by the resolver who is trusted.
func NewSources(r *Resolver) *Sources { return &Sources{resolver: r} }

// Count counts a request: whom its connection is with, and whether its client has
// a private address. It reports whether its forwarding headers were ignored.
func (s *Sources) Count(peer netip.Addr, header http.Header, private bool) (ignored bool) {
	s.requests.Add(1)
	switch forwards := s.resolver.forwards(header); {
	case s.resolver.Trusts(peer) && !forwards && private: // it may check the gateway's health
		s.unsaid.Add(1)
		return false
	case s.resolver.Trusts(peer):
		s.said.Add(1)
	case forwards:
		s.ignored.Add(1)
		ignored = true
	}
	if private {
		s.private.Add(1)
	}
	return ignored
}

// SaysClient reports whether a header has the field by which trusted proxies say on whose
// behalf a request comes.
func (r *Resolver) SaysClient(header http.Header) bool { return len(header[r.header]) > 0 }

// forwards reports whether a header says on whose behalf a request comes.
func (r *Resolver) forwards(header http.Header) bool {
	return len(header[xForwardedFor])+len(header[forwarded])+len(header[r.header])+len(header["X-Real-Ip"]) > 0
}

// reviewed is how many requests say something.
const reviewed = 20

// remindAfter is how long a doubt lasts until it is time to warn of it again.
const remindAfter = time.Hour

// Review looks at the requests since the last review, if they are enough to say
// something. It returns the doubt that there is now, and whether to warn of it.
// expected says that clients with private addresses are no cause for one.
func (s *Sources) Review(now time.Time, expected bool) (d Doubt, warn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := [5]int64{s.requests.Load(), s.ignored.Load(), s.private.Load(), s.unsaid.Load(), s.said.Load()}
	requests, ignored, private, unsaid, said := counts[0]-s.base[0], counts[1]-s.base[1], counts[2]-s.base[2], counts[3]-s.base[3], counts[4]-s.base[4]
	if requests < reviewed {
		return s.doubt, false
	}
	s.base = counts
	var reason DoubtReason
	switch {
	case 2*ignored > requests-unsaid:
		reason = HeadersIgnored
	case 2*private > requests-unsaid && !expected:
		reason = MostPrivate
	case 2*unsaid > requests && said == 0 && !expected:
		reason = NoneSaid
	}
	switch {
	case reason == "":
		s.doubt = Doubt{}
	case reason != s.doubt.Reason:
		s.doubt = Doubt{reason, now}
	}
	warn = reason != "" && (s.warned.Reason != reason || now.Sub(s.warned.Since) >= remindAfter)
	if warn {
		s.warned = Doubt{reason, now}
	}
	return s.doubt, warn
}
