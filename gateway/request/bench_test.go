package request

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/gateway/accesslog"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/session"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// withRules returns a policy of so many rules: half of them entries for
// subdivisions, as far as there are any, the others patterns of paths.
func withRules(rules int) string {
	var b strings.Builder
	b.WriteString("version: 1\njurisdictions:\n  FR: withdrawn\n  EU: closed-to-new\n")
	entries := 2
	for country := range iso3166.Countries() {
		for sub := range iso3166.Subdivisions(country.Code) {
			if entries < rules/2 {
				fmt.Fprintf(&b, "  %s: withdrawn\n", sub.Code)
				entries++
			}
		}
	}
	b.WriteString("routes:\n  sign-up:\n")
	for i := range rules - entries {
		fmt.Fprintf(&b, "    - POST /section-%d/{id}/page-%d\n", i%97, i)
	}
	return b.String()
}

// newHandler returns a Handler that locates by the embedded database and
// decides by a policy.
func newHandler(t testing.TB, text string) *Handler {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	table, err := flags.Open(flags.Options{Logger: logger, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	m := metrics.New(prometheus.NewRegistry())
	engine := enforce.New(enforce.Options{
		Capability: func() *policy.Capability { return nil },
		Store:      statedir.Dir(t.TempDir()), Flags: table, Metrics: m, Traffic: traffic.New(time.Now()),
		OnTransition: func(enforce.Transition) {}, OnSnapshot: func(*policy.Snapshot) {}, Log: logger, Now: time.Now,
	})
	p, err := document.Parse("policy.yaml", []byte(text))
	if err == nil {
		err = engine.Apply(p, []byte(text), 0, time.Time{})
	}
	if err != nil {
		t.Fatal(err)
	}
	locator, err := geo.Open(geo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	clients, err := client.NewResolver(client.Trust{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: "X-Forwarded-For"})
	if err != nil {
		t.Fatal(err)
	}
	return NewHandler(Options{
		Policy: engine.Current, Client: clients.Address, Locate: locator.Locate, LocateHeld: locator.LocateHeld,
		Apps:     NewHosts(map[string]App{"app.example": {Durations: m.Durations("app.example")}}),
		Sessions: session.New(m.Connections("websocket")), Metrics: m, Sources: client.NewSources(clients), MaxHeader: 64 << 10, Trusts: clients.Trusts, Log: logger, Now: time.Now,
	})
}

// decide does what Decide does behind finding out who asks.
func decide(h *Handler, now time.Time, address netip.Addr, method, path string) {
	compiled := h.o.Policy(now)
	place := h.o.Locate(address)
	h.countLookup(place)
	decision, inDoubt := compiled.Snapshot().DecideReadings(place, compiled.Snapshot().Classify(method, "app.example", path))
	if inDoubt {
		panic(path)
	}
	compiled.Outcome(decision).Count(place)
}

// addresses are of several countries, families and depths in the database.
var addresses = []netip.Addr{
	netip.MustParseAddr("90.0.0.1"), netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("5.1.0.7"), netip.MustParseAddr("203.0.113.7"),
	netip.MustParseAddr("2a01:cb00::7"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("102.35.0.7"), netip.MustParseAddr("2400:cb00::1"),
}

// requests are what is measured: as most are, and as costs the most, one that
// goes down all the patterns of withRules.
var requests = []struct{ name, method, path string }{
	{"", "GET", "/assets/app.js"},
	{"/wildcards", "POST", "/section-3/42/page-100"},
}

// BenchmarkLocateDecideCount measures what a request costs beside HTTP: the
// budget is 250 ns and no allocation, whatever the number of rules.
func BenchmarkLocateDecideCount(b *testing.B) {
	for _, rules := range []int{10, 1_000, 10_000} {
		h, now := newHandler(b, withRules(rules)), time.Now()
		for _, r := range requests {
			b.Run(fmt.Sprintf("rules=%d%s", rules, r.name), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					decide(h, now, addresses[i&7], r.method, r.path)
					i++
				}
			})
		}
	}
}

func TestToLocateDecideAndCountAllocatesNothing(t *testing.T) {
	for _, rules := range []int{10, 1_000, 10_000} {
		h, now := newHandler(t, withRules(rules)), time.Now()
		for _, address := range addresses {
			for _, r := range requests {
				if n := testing.AllocsPerRun(100, func() { decide(h, now, address, r.method, r.path) }); n != 0 {
					t.Errorf("with %d rules, %s for %s costs %v allocations", rules, r.path, address, n)
				}
				facts := Facts{Method: r.method, Host: "app.example", Path: r.path, Query: "a=b%20c&method=x", Peer: address}
				n := testing.AllocsPerRun(100, func() {
					if _, err := h.Decide(h.o.Policy(now), facts); err != nil {
						t.Fatal(err)
					}
				})
				if n != 0 {
					t.Errorf("with %d rules, Decide on %+v costs %v allocations", rules, facts, n)
				}
			}
		}
	}
}

// BenchmarkServeHTTP measures a whole refusal, without net/http's server, and one that is
// logged.
func BenchmarkServeHTTP(b *testing.B) {
	for _, from := range []struct {
		name, address string
		logged        bool
	}{{"refused", "90.0.0.1", false}, {"rejected", "garbage", false}, {"refused/logged", "90.0.0.1", true}, {"rejected/logged", "garbage", true}} {
		b.Run(from.name, func(b *testing.B) {
			h := newHandler(b, withRules(1_000))
			if from.logged {
				h.o.LogExchange = openAccessLog(b).Record
			}
			r := httptest.NewRequest("GET", "https://app.example/page", nil)
			r.RequestURI = "/page"
			r.RemoteAddr = "127.0.0.1:4711"
			r.Header = http.Header{"X-Forwarded-For": {from.address}, "Accept": {"text/html"}, "Accept-Language": {"fr-FR, fr;q=0.9, en;q=0.8"}}
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(w.status), "status")
		})
	}
}

// openAccessLog opens an access log in a file, which must take all lines.
func openAccessLog(b *testing.B) *accesslog.Log {
	b.Helper()
	l, err := accesslog.Open(accesslog.Options{
		File: filepath.Join(b.TempDir(), "access.log"), OnLost: func(lines int) { b.Errorf("%d lines were lost", lines) },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(l.Close)
	return l
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
