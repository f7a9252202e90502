// Package notice holds what a refused client receives: a page, problem details
// (RFC 9457), plain text or a gRPC status, in the client's language, and the
// public status of all markets.
//
// A Book is made with each policy snapshot. It renders a notice the first time
// that somebody gets it and keeps it; from then on a refusal costs a look-up
// and a write. It doesn't render all at once: 250 jurisdictions in 14
// languages and 4 formats would be 100 MB, of which a policy's life sees a few
// hundred pages.
package notice

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/exitgate/exitgate/policy"
)

// shelfBytes bounds the rendered notices that a Book keeps. Where more than
// that are asked for, some are rendered again.
const shelfBytes = 8 << 20

// A Book holds the notices of one policy snapshot. It is safe for concurrent
// use.
type Book struct {
	pages  []page // by policy.Decision.ID
	causes func(policy.Decision) policy.Cause
	names  func(policy.Code) string
	blank  *edition // for a decision that the Book wasn't made with
	kept   atomic.Int64
	limit  int64 // of kept, in bytes
}

// A page is the notice that goes with one decision.
type page struct {
	decision *policy.Decision
	edition  *edition
	shelf    atomic.Pointer[shelf]
}

// A shelf keeps a page's rendered answers. It is made when the page is first
// asked for.
type shelf struct {
	home    int                      // the tongue of clients who name none that there is
	answers []atomic.Pointer[Answer] // by tongue, then format
}

// An edition is a policy.Notice, checked and made ready to render.
type edition struct {
	status    int
	blockedBy string
	appeal    string
	export    string
	tongues   *tongues
	texts     map[string]policy.Text // held because an imprint has its address
}

// Render prepares the notices of a snapshot's decisions. notices returns the
// notice that the policy has for a decision: for the same notice the same
// Texts map, so that it is prepared once. causes returns why a decision
// restricts. names returns the English name of a subdivision or group, empty or
// the code itself if there is none. Both may be nil; they are called when a
// notice is first asked for, by several goroutines at once. An error says which
// notice can't be given and why.
func Render(
	decisions []*policy.Decision,
	notices func(policy.Decision) policy.Notice,
	causes func(policy.Decision) policy.Cause,
	names func(policy.Code) string,
) (*Book, error) {
	if causes == nil {
		causes = func(policy.Decision) policy.Cause { return policy.Cause{} }
	}
	if names == nil {
		names = func(policy.Code) string { return "" }
	}
	last := -1
	for _, d := range decisions {
		last = max(last, d.ID)
	}
	made := make(editions)
	blank, err := made.of(policy.Notice{})
	if err != nil {
		return nil, err
	}
	b := &Book{pages: make([]page, last+1), causes: causes, names: names, blank: blank, limit: shelfBytes}
	for _, d := range decisions {
		if d.Action == policy.Forward {
			continue
		}
		e, err := made.of(notices(*d))
		if err != nil {
			return nil, fmt.Errorf("notice for %s: %w", d.Entry, err)
		}
		b.pages[d.ID].decision, b.pages[d.ID].edition = d, e
	}
	return b, nil
}

// Check says which notices can't be given, and why. Render fails on those that
// a decision needs; Check also finds the ones that no decision needs yet.
func Check(notices map[policy.Code]policy.Notice) error {
	var errs []error
	for _, code := range slices.Sorted(maps.Keys(notices)) {
		if _, err := make(editions).of(notices[code]); err != nil {
			errs = append(errs, fmt.Errorf("notice for %s: %w", code, err))
		}
	}
	return errors.Join(errs...)
}

// For returns the notice for a request that a decision of the snapshot
// refuses. accept and acceptLanguage are the lines of the fields of these
// names, contentType is the request's Content-Type. For never returns nil.
func (b *Book) For(d *policy.Decision, accept, acceptLanguage []string, contentType string) *Answer {
	p := b.page(d)
	s := p.open()
	f := formatFor(accept, contentType)
	t := p.edition.tongues.choose(acceptLanguage, s.home)

	kept := &s.answers[t*int(formats)+int(f)]
	if a := kept.Load(); a != nil {
		return a
	}
	a := p.render(t, f, b.causes(*p.decision), b.names)
	if kept.CompareAndSwap(nil, a) && b.kept.Add(int64(a.size())) > b.limit {
		b.clear()
	}
	return a
}

func (b *Book) page(d *policy.Decision) *page {
	if d.ID >= 0 && d.ID < len(b.pages) && b.pages[d.ID].edition != nil {
		return &b.pages[d.ID]
	}
	// A refusal has to be said even to the client of a decision that somebody
	// forgot to hand to Render.
	return &page{decision: d, edition: b.blank}
}

func (p *page) open() *shelf {
	if s := p.shelf.Load(); s != nil {
		return s
	}
	t := p.edition.tongues
	p.shelf.CompareAndSwap(nil, &shelf{
		home:    t.home(p.decision.Jurisdiction),
		answers: make([]atomic.Pointer[Answer], len(t.all)*int(formats)),
	})
	if s := p.shelf.Load(); s != nil {
		return s
	}
	return p.open() // cleared in between
}

// clear forgets all rendered answers. To start anew is as good as to choose
// which to forget: what is in demand is back after one request each.
func (b *Book) clear() {
	b.kept.Store(0)
	for i := range b.pages {
		b.pages[i].shelf.Store(nil)
	}
}

// editions holds one edition of each notice, for all the decisions that share
// it.
type editions map[imprint]*edition

// An imprint tells notices apart, their texts by the address of the map.
type imprint struct {
	status                    int
	blockedBy, appeal, export string
	texts                     uintptr
}

func (made editions) of(n policy.Notice) (*edition, error) {
	key := imprint{n.Status, n.BlockedBy, n.Appeal, n.Export, reflect.ValueOf(n.Texts).Pointer()}
	if e, ok := made[key]; ok {
		return e, nil
	}
	e := &edition{status: n.Status, texts: n.Texts}
	switch n.Status {
	case 0:
		e.status = http.StatusUnavailableForLegalReasons
	case http.StatusUnavailableForLegalReasons, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
	default:
		return nil, fmt.Errorf("status: %d is not a refusal: want 451, 403, 404 or 410", n.Status)
	}
	var errs [4]error
	e.blockedBy, errs[0] = reference("blocked-by", n.BlockedBy)
	e.appeal, errs[1] = reference("appeal", n.Appeal)
	e.export, errs[2] = reference("export", n.Export)
	e.tongues, errs[3] = newTongues(n.Texts)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	made[key] = e
	return e, nil
}

// reference checks an address that a notice links to, and returns it such that
// it can stand in a header field: in a notice nothing may be smuggled in
// behind a line break or an angle bracket.
func reference(field, address string) (string, error) {
	if address == "" {
		return "", nil
	}
	u, err := url.Parse(address)
	ok := err == nil
	if ok {
		switch u.Scheme {
		case "http", "https":
			ok = u.Host != ""
		case "mailto":
			ok = u.Opaque != ""
		case "":
			ok = u.Host == "" && strings.HasPrefix(u.Path, "/")
		default:
			ok = false
		}
	}
	if !ok {
		return "", fmt.Errorf("%s: %q can't be linked to: want https://…, http://…, mailto:… or a path on the service such as /appeal", field, address)
	}
	var b strings.Builder
	for _, c := range []byte(u.String()) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^{|}`+"`", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}
