package console

import (
	"fmt"
	"io"
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
	u, err := url.Parse(v.URL.Query().Get("page"))
	if err != nil {
		return problem(http.StatusBadRequest, "There is no such page.", "")
	}
	c := v.console
	end, ok := c.sessions.beginStream(v.by.Name)
	if !ok {
		return problem(http.StatusServiceUnavailable, "Too many pages are open.", "Close some of them.")
	}
	defer end()
	events := c.o.Events(v.Context())
	v.writer.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(v.writer)
	_ = out.SetReadDeadline(time.Time{}) // the server reads on to notice when the browser goes away; the deadline of the request would look like that
	var shown *liveParts
	var happened time.Time // the last that has
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-v.Context().Done():
			return nil
		case e, more := <-events:
			if !more {
				return nil
			}
			happened = e.Time
			timer.Reset(c.untilNext(liveLeast))
			continue
		case <-timer.C:
		}
		var known bool
		if _, v.by, known = c.sessions.of(v.Request); !known {
			_ = v.sendEvent(out, formatEvent("signed-out", ""))
			return nil
		}
		live, err := v.liveParts(u, happened)
		if err != nil {
			return nil // the browser asks again
		}
		text := live.update(shown)
		if shown != nil && live.state != shown.state {
			text = formatEvent("outdated", "") + text
		}
		if err := v.sendEvent(out, text); err != nil {
			return nil // the browser went away
		}
		shown = live
		timer.Reset(c.untilNext(liveInterval))
	}
}

// untilNext returns how long it takes until a time of some length is over, counted from
// the same moment for all: so that all look again at the same time, and share what they see.
func (c *Console) untilNext(length time.Duration) time.Duration {
	now := c.o.Now()
	return now.Truncate(length).Add(length).Sub(now)
}

// liveParts returns the parts of a page as they are now, and after a moment.
func (v *visit) liveParts(u *url.URL, since time.Time) (*liveParts, error) {
	p, err := v.console.answersTo(v.by, since).page(u, v.by)
	if err != nil {
		return nil, err
	}
	live, err := p.live()
	if err != nil {
		v.console.o.Log.Error("the console failed", "page", p.template, "error", err)
	}
	return live, err
}

// lineEnds are all that end a line of an event (HTML, section 9.2.6): what a policy says may
// have them.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// formatEvent writes a server-sent event.
func formatEvent(name, data string) string {
	var text strings.Builder
	if name != "" {
		fmt.Fprintf(&text, "event: %s\n", name)
	}
	for line := range strings.Lines(lineEnds.Replace(data) + "\n") {
		text.WriteString("data: ")
		text.WriteString(strings.TrimRight(line, "\n"))
		text.WriteString("\n")
	}
	text.WriteString("\n")
	return text.String()
}

// sendEvent sends events that are shared, to who looks.
func (v *visit) sendEvent(out *http.ResponseController, text string) error {
	_ = out.SetWriteDeadline(time.Now().Add(liveWrite)) // else the server's own holds
	if _, err := io.WriteString(v.writer, v.withToken(text)); err != nil {
		return err
	}
	return out.Flush()
}
