package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	livePath = "/live"
	// A page is looked at again after each event, and besides as often as this, for its
	// counts; not more often than once in liveLeast.
	liveInterval = 5 * time.Second
	liveLeast    = time.Second
	// How long a browser may take to take what is new.
	liveWrite = 10 * time.Second
)

// frameParts are the live parts of every page.
var frameParts = []string{"waiting", "foot"}

// stream sends the parts of a page that have changed, as server-sent events, for as long
// as the page is open and whoever opened it may see it.
func (v *visit) stream() error {
	page, load, parts, err := v.livePage(v.URL.Query().Get("page"))
	if err != nil {
		return err
	}
	end, ok := v.console.sessions.beginStream(v.by.Name)
	if !ok {
		return problem(http.StatusServiceUnavailable, "Too many pages are open.", "Close some of them.")
	}
	defer end()
	events := v.console.o.Events(v.Context())
	h := v.writer.Header()
	h.Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(v.writer)
	_ = out.SetReadDeadline(time.Time{}) // the server reads on to notice when the browser goes away; the deadline of the request would look like that
	known, loaded := make(map[string]string), ""
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-v.Context().Done():
			return nil
		case _, more := <-events:
			if !more {
				return nil
			}
			drain(events)
			timer.Reset(liveLeast)
			continue
		case <-timer.C:
		}
		if _, _, known := v.console.sessions.of(v.Request); !known {
			_ = sendEvent(v.writer, out, "signed-out", "")
			return nil
		}
		f, err := load()
		if err != nil {
			return nil // the browser asks again
		}
		if now := stateOf(f); loaded == "" {
			loaded = now
		} else if now != loaded && page != "markets" && page != "changes" { // these follow as a whole
			loaded = now
			if err := sendEvent(v.writer, out, "outdated", ""); err != nil {
				return nil
			}
		}
		var changed strings.Builder
		for _, name := range parts {
			text, err := v.part(page, name, f)
			if err != nil {
				v.console.o.Log.Error("the console failed", "part", name, "error", err)
				return nil
			}
			switch {
			case known[name] == text:
			case strings.HasPrefix(text, "<hx-partial"):
				changed.WriteString(text)
			default: // at first all: the page may have been in the background for long
				fmt.Fprintf(&changed, `<hx-partial hx-target="#%s" hx-swap="outerMorph">%s</hx-partial>`, name, text)
			}
			known[name] = text
		}
		name := "" // by which the page hears that it is still followed, if nothing has changed
		if changed.Len() == 0 {
			name = "ping"
		}
		if err := sendEvent(v.writer, out, name, changed.String()); err != nil {
			return nil // the browser went away
		}
		timer.Reset(liveInterval)
	}
}

// stateOf returns what a page is true of: another revision or record makes it another.
func stateOf(f frame) string {
	last := uint64(0)
	if l := f.Status.Ledger; l != nil {
		last = l.Last
	}
	return fmt.Sprint(f.Status.SHA256, f.Status.Revision, last, f.Status.Until)
}

// drain takes what has happened meanwhile: one look is enough for all of it.
func drain[T any](events <-chan T) {
	for {
		select {
		case _, more := <-events:
			if !more {
				return
			}
		default:
			return
		}
	}
}

// livePage returns what is followed of a page.
func (v *visit) livePage(target string) (page string, load func() (frame, error), parts []string, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", nil, nil, problem(http.StatusBadRequest, "There is no such page.", "")
	}
	code, isMarket := strings.CutPrefix(u.Path, "/markets/")
	switch {
	case u.Path == "/":
		page, parts, load = "markets", liveMarkets, func() (frame, error) { return v.loadMarkets(u.Query()) }
	case u.Path == "/changes":
		page, parts, load = "changes", liveChanges, v.loadChanges
	case isMarket && !strings.Contains(code, "/"):
		page, parts, load = "market", liveMarket, func() (frame, error) { return v.loadMarket(code) }
	default:
		page, load = "problem", func() (frame, error) { f := frame{}; return f, v.fill(&f) }
	}
	return page, load, append(parts[:len(parts):len(parts)], frameParts...), nil
}

// lineEnds are all that end a line of an event (HTML, section 9.2.6): what a policy says may
// have them.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// sendEvent sends a server-sent event.
func sendEvent(w http.ResponseWriter, out *http.ResponseController, name, data string) error {
	_ = out.SetWriteDeadline(time.Now().Add(liveWrite)) // else the server's own holds
	var text strings.Builder
	if name != "" {
		fmt.Fprintf(&text, "event: %s\n", name)
	}
	for line := range strings.Lines(lineEnds.Replace(data) + "\n") {
		fmt.Fprintf(&text, "data: %s\n", strings.TrimRight(line, "\n"))
	}
	text.WriteString("\n")
	if _, err := w.Write([]byte(text.String())); err != nil {
		return err
	}
	return out.Flush()
}
