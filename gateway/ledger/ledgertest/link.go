package ledgertest

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/rs/zerolog"
)

// A Link is a proxy between a client and a node, which a test can cut.
type Link struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// NewLink starts a link to a node's URL. It ends with the test.
func NewLink(t testing.TB, url string) *Link {
	t.Helper()
	for attempt := 1; ; attempt++ {
		l := &Link{t, newProxy(fmt.Sprint("127.0.0.1:", testkit.FreePort(t)), strings.TrimPrefix(url, "nats://"))}
		err := l.proxy.Start()
		if err == nil {
			t.Cleanup(func() { l.proxy.Stop() })
			return l
		}
		if attempt == 3 { // another took the port that was free
			t.Fatal(err)
		}
	}
}

func newProxy(from, to string) *toxiproxy.Proxy {
	return toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "link", from, to)
}

// URL is where clients connect to.
func (l *Link) URL() string { return "nats://" + l.proxy.Listen }

// Cut closes all connections and accepts no new ones.
func (l *Link) Cut() { l.proxy.Stop() }

// DropAll drops all data in both directions. Connections stay open, and new ones
// are accepted.
func (l *Link) DropAll() {
	l.add(`{"type": "timeout", "stream": "upstream"}`)
	l.DropReplies()
}

// DropReplies drops all data from the node.
func (l *Link) DropReplies() { l.add(`{"type": "timeout", "stream": "downstream"}`) }

// Delay delays all data, in both directions.
func (l *Link) Delay(by time.Duration) {
	for _, stream := range []string{"upstream", "downstream"} {
		l.add(fmt.Sprintf(`{"type": "latency", "stream": %q, "attributes": {"latency": %d}}`, stream, by.Milliseconds()))
	}
}

// Restore undoes all that was done to the link. Its connections end.
func (l *Link) Restore() {
	l.t.Helper()
	l.proxy.Stop()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		// Another, as what is done to this one can't be undone while data flows.
		l.proxy = newProxy(l.proxy.Listen, l.proxy.Upstream)
		err := l.proxy.Start()
		if err == nil {
			return
		}
		// A process that is being started has the old listener until it runs.
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			l.t.Error(err)
			return
		}
	}
}

func (l *Link) add(toxic string) {
	l.t.Helper()
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		l.t.Error(err)
	}
}
