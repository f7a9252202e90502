package console

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// A page is what all are shown who have the same roles and may know the same, at a moment: its main part for who
// opens it, and the parts that change for who has it open. It is safe for concurrent use.
type page struct {
	template string
	frame    frame                  // of nobody in particular: without a name, and with the mark of a token
	main     func() (string, error) // what is between the frame's header and its foot
	live     func() (*liveParts, error)
}

// liveParts are the parts of a page that change while it is open.
type liveParts struct {
	id    uint64 // no others have it
	state string // what the page is true of: see stateOf
	parts []livePart
	board *board // of the markets, which are many: only those are sent that have changed

	mu      sync.Mutex
	updates map[uint64]string // by what is shown before
}

type livePart struct{ name, text string }

// A pageKind says how a page is made that is followed while it is open.
type pageKind struct {
	template string
	parts    []string
	load     func(a *answers, by changes.Actor) (frame, error)
	isWhole  bool // all of it is followed
	// involves reports whether it says anything of who has a name.
	involves func(a *answers, name string) (bool, error)
}

// kindOf returns how a page is followed.
func kindOf(u *url.URL) pageKind {
	code, isMarket := strings.CutPrefix(u.Path, "/markets/")
	switch {
	case u.Path == "/":
		return pageKind{"markets", liveMarkets, func(a *answers, by changes.Actor) (frame, error) { return a.loadMarkets(u.Query(), by) }, true, nil}
	case u.Path == "/changes":
		return pageKind{"changes", []string{"list"}, (*answers).loadChanges, true, (*answers).involves}
	case isMarket && !strings.Contains(code, "/"):
		return pageKind{"market", []string{"market"}, func(a *answers, by changes.Actor) (frame, error) { return a.loadMarket(code, by) }, true, nil}
	}
	return pageKind{"problem", nil, func(a *answers, by changes.Actor) (f frame, err error) { return f, a.fill(&f, by) }, false, nil}
}

// page returns a page as somebody is shown it. All who have the same roles are shown the
// same, and so get the same, unless it says something of one of them.
func (a *answers) page(u *url.URL, by changes.Actor) (*page, error) {
	kind, reader := kindOf(u), changes.Actor{Roles: slices.Clone(by.Roles)}
	slices.Sort(reader.Roles)
	reader.Roles = slices.Compact(reader.Roles)
	if kind.involves != nil {
		isInvolved, err := kind.involves(a, by.Name)
		if err != nil {
			return nil, err
		}
		if isInvolved {
			reader.Name = by.Name
		}
	}
	type key struct{ path, query, name, roles string }
	made, err := a.once(key{u.Path, u.Query().Encode(), reader.Name, joinRoles(reader.Roles)}, func() (any, error) { return a.makePage(kind, reader) })
	if err != nil {
		return nil, err
	}
	return made.(*page), nil
}

func (a *answers) makePage(kind pageKind, by changes.Actor) (*page, error) {
	f, err := kind.load(a, by)
	if err != nil {
		return nil, err
	}
	c := a.console
	return &page{
		template: kind.template,
		frame:    f,
		main:     sync.OnceValues(func() (string, error) { return c.part(kind.template, "main", f) }),
		live:     sync.OnceValues(func() (*liveParts, error) { return c.makeLiveParts(kind, f) }),
	}, nil
}

func (c *Console) makeLiveParts(kind pageKind, f frame) (*liveParts, error) {
	l := &liveParts{id: c.lastParts.Add(1), updates: make(map[uint64]string)}
	if !kind.isWhole {
		l.state = stateOf(f)
	}
	for _, name := range append(kind.parts[:len(kind.parts):len(kind.parts)], frameParts...) {
		text, err := c.part(kind.template, name, f)
		if err != nil {
			return nil, err
		}
		l.parts = append(l.parts, livePart{name, text})
	}
	if markets, is := f.Body.(marketsPage); is {
		text, err := c.part(kind.template, "board", f)
		if err != nil {
			return nil, err
		}
		l.board = markets.board(text)
	}
	return l, nil
}

// stateOf returns what a page is true of: another revision or record makes it another.
func stateOf(f frame) string {
	last := uint64(0)
	if l := f.Status.Ledger; l != nil {
		last = l.Last
	}
	return fmt.Sprint(f.Status.SHA256, f.Status.Revision, last, f.Status.Until)
}

// update returns the event by which who is shown other parts is shown these; nil are no
// parts. It has the mark of a token where who takes it has theirs.
func (l *liveParts) update(from *liveParts) string {
	id := uint64(0)
	if from != nil {
		id = from.id
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	text, known := l.updates[id]
	if !known {
		text = l.compare(from)
		l.updates[id] = text
	}
	return text
}

// compare returns the events that make these parts of others.
func (l *liveParts) compare(from *liveParts) string {
	var changed strings.Builder
	for _, part := range l.parts {
		switch {
		case from != nil && slices.Contains(from.parts, part):
		case strings.HasPrefix(part.text, "<hx-partial"):
			changed.WriteString(part.text)
		default: // at first all: the page may have been in the background for long
			writePartial(&changed, part.name, part.text)
		}
	}
	if l.board != nil {
		var before *board
		if from != nil {
			before = from.board
		}
		l.board.compare(&changed, before)
	}
	if changed.Len() > 0 {
		return formatEvent("", changed.String())
	}
	return formatEvent("ping", "") // by which the page hears that it is still followed
}

func writePartial(w *strings.Builder, id, text string) {
	fmt.Fprintf(w, `<hx-partial hx-target="#%s" hx-swap="outerMorph">%s</hx-partial>`, id, text)
}

// part returns one part of a page.
func (c *Console) part(page, name string, data any) (string, error) {
	var text strings.Builder
	err := c.templates[page].ExecuteTemplate(&text, name, data)
	return text.String(), err
}

// showFollowed shows a page that is followed: the frame is of who looks, and the rest of all
// who have the same roles.
func (v *visit) showFollowed() error {
	p, err := v.answers().page(v.URL, v.by)
	if err != nil {
		return err
	}
	main, err := p.main()
	if err != nil {
		return err
	}
	f := p.frame
	f.Token, f.Status.You = v.session.token, you(v.by)
	f.Main = template.HTML(v.withToken(main)) // a template has made it
	return v.render(http.StatusOK, p.template, f)
}

// withToken returns a text that is shared, for who looks.
func (v *visit) withToken(text string) string {
	return strings.ReplaceAll(text, v.console.tokenMark, v.session.token)
}

func you(by changes.Actor) api.You { return api.You{Name: by.Name, Roles: by.Roles, Local: by.Local} }
