// Package notice holds what a refused client receives: a page, problem details
// (RFC 9457), plain text or a gRPC status, in the client's language, and the
// public status of all markets.
//
// A Set is made with each policy snapshot. It renders a notice when it is first
// asked for and caches it; from then on a refusal costs a look-up and a write.
// It doesn't render all at once: 250 jurisdictions in 24 languages and 4 formats
// would be 100 MB, of which a few hundred are ever asked for.
package notice

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/exitgate/exitgate/policy"
)

// maxCacheBytes bounds the rendered notices that a Set keeps. Where more than
// that are asked for, some are rendered again.
const maxCacheBytes = 8 << 20

// A Set holds the notices of one policy snapshot. It is safe for concurrent use.
type Set struct {
	notices  []notice // by policy.Decision.ID
	causes   func(policy.Decision) policy.Cause
	names    func(policy.Code) string
	fallback *template // for a decision that the Set wasn't made with
	cached   atomic.Int64
	limit    int64 // of cached, in bytes
}

// A notice is what clients get whom one decision refuses.
type notice struct {
	decision *policy.Decision
	template *template
	cache    atomic.Pointer[cache]
}

// A cache holds the rendered responses of one notice. It is made when the notice
// is first asked for.
type cache struct {
	defaultLocale int                                                       // of clients who accept none that there is
	responses     [allHidden + 1]atomic.Pointer[[]atomic.Pointer[Response]] // by what is hidden; by locale, then format
}

// Hidden is what a notice doesn't say to a client, as it isn't so for them: links that
// would be refused, as a set, and what else of the service is served.
type Hidden uint8

const (
	hideAppeal Hidden = 1 << iota
	hideExport
	hideSignIn
	hideDeleteAccount
	hideRefunds

	allHidden = 1<<7 - 1
)

// What else is served to a client, where it isn't what the phase says.
const (
	restBits    Hidden = 3 << 5
	lessServed  Hidden = 1 << 5 // not all that the phase, or a feature, leaves
	noneServed  Hidden = 2 << 5 // nothing but what is essential
	otherServed Hidden = 3 << 5 // something, though the phase leaves nothing
)

// hideRest returns what isn't so of what a decision leaves of the service.
func hideRest(d *policy.Decision, rest policy.Rest) Hidden {
	switch {
	case d.Reason == policy.ByGuarantee:
		return 0 // what that says is of one thing alone
	case !d.Feature && d.Phase == policy.Withdrawn && rest != policy.RestRefused:
		return otherServed
	case !d.Feature && d.Phase == policy.Withdrawn:
		return 0
	case rest == policy.RestRefused:
		return noneServed
	case d.Feature && rest != policy.RestOpen, d.Phase == policy.ClosedToNew && rest == policy.RestPartly:
		return lessServed
	}
	return 0
}

// A link is an address in a notice, and where it leads on the web.
type link struct {
	address    string // escaped
	hides      Hidden
	host, path string // "" if it leads elsewhere
}

func newLink(address string, hides Hidden) link {
	l := link{address: escapeLink(address), hides: hides}
	if u, err := url.Parse(address); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
		l.host, l.path = strings.ToLower(u.Hostname()), cmp.Or(u.EscapedPath(), "/")
	}
	return l
}

// A template is a policy.Notice, made ready to render.
type template struct {
	status    int
	blockedBy string
	zone      string

	appeal, export, signIn, deleteAccount, refunds link

	locales *locales
	texts   map[string]policy.Text // held because a templateKey has its address
}

// NewSet returns the notices of a snapshot's decisions. notices returns the
// notice that the policy has for a decision: for the same notice the same
// Texts map, so that it is prepared once. causes returns why a decision
// restricts. names returns the English name of a subdivision or group, empty or
// the code itself if there is none. Both are called when a notice is first asked
// for, by several goroutines at once.
func NewSet(
	decisions []*policy.Decision,
	notices func(policy.Decision) policy.Notice,
	causes func(policy.Decision) policy.Cause,
	names func(policy.Code) string,
) *Set {
	last := -1
	for _, d := range decisions {
		last = max(last, d.ID)
	}
	made := make(templates)
	s := &Set{notices: make([]notice, last+1), causes: causes, names: names, fallback: made.of(policy.Notice{}), limit: maxCacheBytes}
	for _, d := range decisions {
		if d.Action != policy.Forward {
			s.notices[d.ID].decision, s.notices[d.ID].template = d, made.of(notices(*d))
		}
	}
	return s
}

// Hide returns what of a notice isn't so for a client, and isn't said: links that are
// refused, and what of the rest of the service it says to be served. A page is asked about
// by its host, without port, and its escaped path.
func (s *Set) Hide(d *policy.Decision, rest policy.Rest, refused func(host, path string) bool) Hidden {
	t, hidden := s.notice(d).template, hideRest(d, rest)
	for _, l := range [...]*link{&t.appeal, &t.export, &t.signIn, &t.deleteAccount, &t.refunds} {
		if l.host != "" && refused(l.host, l.path) {
			hidden |= l.hides
		}
	}
	return hidden
}

// For returns the notice for a request that a decision of the snapshot
// refuses, without what is hidden. accept and acceptLanguage are the lines of the fields of these
// names, contentType is the request's Content-Type, destination its
// Sec-Fetch-Dest. For never returns nil.
func (s *Set) For(d *policy.Decision, hidden Hidden, accept, acceptLanguage []string, contentType, destination string) *Response {
	n := s.notice(d)
	c := n.openCache()
	f := formatFor(accept, contentType, destination)
	l := n.template.locales.choose(acceptLanguage, c.defaultLocale)

	cached := &c.of(hidden, len(n.template.locales.all))[l*int(formats)+int(f)]
	if r := cached.Load(); r != nil {
		return r
	}
	r := n.render(l, f, hidden, s.causes(*n.decision), s.names)
	if cached.CompareAndSwap(nil, r) && s.cached.Add(int64(r.size())) > s.limit {
		s.clear()
	}
	return r
}

func (s *Set) notice(d *policy.Decision) *notice {
	if d.ID >= 0 && d.ID < len(s.notices) && s.notices[d.ID].template != nil {
		return &s.notices[d.ID]
	}
	// Even the client of a decision that NewSet wasn't given has to get a notice.
	return &notice{decision: d, template: s.fallback}
}

func (n *notice) openCache() *cache {
	if c := n.cache.Load(); c != nil {
		return c
	}
	l := n.template.locales
	n.cache.CompareAndSwap(nil, &cache{
		defaultLocale: l.ofMarket(n.decision.Jurisdiction),
	})
	if c := n.cache.Load(); c != nil {
		return c
	}
	return n.openCache() // cleared in between
}

// of returns the responses without what is hidden.
func (c *cache) of(hidden Hidden, locales int) []atomic.Pointer[Response] {
	p := &c.responses[hidden]
	if p.Load() == nil {
		made := make([]atomic.Pointer[Response], locales*int(formats))
		p.CompareAndSwap(nil, &made)
	}
	return *p.Load()
}

// clear drops all rendered responses. To start anew is as good as to choose
// which to drop: what is in demand is back after one request each.
func (s *Set) clear() {
	s.cached.Store(0)
	for i := range s.notices {
		s.notices[i].cache.Store(nil)
	}
}

// templates holds one template of each policy.Notice, for all the decisions that
// share it.
type templates map[templateKey]*template

// A templateKey is the same for the same notice; of its texts it has the map's
// address.
type templateKey struct {
	status      int
	links, zone string
	texts       uintptr
}

func (made templates) of(n policy.Notice) *template {
	key := templateKey{n.Status, fmt.Sprint(n.Links()), n.Zone, reflect.ValueOf(n.Texts).Pointer()}
	t := made[key]
	if t == nil {
		t = &template{
			status: cmp.Or(n.Status, http.StatusUnavailableForLegalReasons), texts: n.Texts, locales: newLocales(n.Texts),
			blockedBy: escapeLink(n.BlockedBy), zone: n.Zone, appeal: newLink(n.Appeal, hideAppeal), export: newLink(n.Export, hideExport),
			signIn: newLink(n.SignIn, hideSignIn), deleteAccount: newLink(n.DeleteAccount, hideDeleteAccount), refunds: newLink(n.Refunds, hideRefunds),
		}
		made[key] = t
	}
	return t
}

// escapeLink returns an address escaped for a header field: in a notice nothing may
// be smuggled in behind a line break or an angle bracket.
func escapeLink(address string) string {
	var b strings.Builder
	for _, c := range []byte(address) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^{|}`+"`", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
