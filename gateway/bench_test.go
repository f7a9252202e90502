package gateway

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
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

// benched returns a Gateway that locates by the embedded database and decides
// by a policy. It doesn't listen.
func benched(t testing.TB, document string) *Gateway {
	t.Helper()
	c := config.Default()
	c.Apps = []config.App{{Hosts: []string{"app.example"}, Upstreams: []string{"http://127.0.0.1:1"}}}
	c.Data = t.TempDir()
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.Policy.File = filepath.Join(c.Data, "policy.yaml")
	if err := os.WriteFile(c.Policy.File, []byte(document), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := New(Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// decide is what ServeHTTP does between finding out who asks and answering.
func decide(g *Gateway, now time.Time, address netip.Addr, method, path string) {
	compiled := g.engine.Current(now)
	class, ambiguous := compiled.Snapshot().Classify(method, "app.example", path)
	if ambiguous {
		panic(path)
	}
	place := g.locate(address)
	compiled.Outcome(compiled.Snapshot().Decide(place, class)).Count(place)
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
		g, now := benched(b, withRules(rules)), time.Now()
		for _, r := range requests {
			b.Run(fmt.Sprintf("rules=%d%s", rules, r.name), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					decide(g, now, addresses[i&7], r.method, r.path)
					i++
				}
			})
		}
	}
}

func TestToLocateDecideAndCountAllocatesNothing(t *testing.T) {
	for _, rules := range []int{10, 1_000, 10_000} {
		g, now := benched(t, withRules(rules)), time.Now()
		for _, address := range addresses {
			for _, r := range requests {
				if n := testing.AllocsPerRun(100, func() { decide(g, now, address, r.method, r.path) }); n != 0 {
					t.Errorf("with %d rules, %s for %s costs %v allocations", rules, r.path, address, n)
				}
			}
		}
	}
}

// BenchmarkServeHTTP measures a whole refusal, without net/http's server.
func BenchmarkServeHTTP(b *testing.B) {
	for _, from := range []struct{ name, address string }{{"refused", "90.0.0.1"}, {"rejected", "garbage"}} {
		b.Run(from.name, func(b *testing.B) {
			g := benched(b, withRules(1_000))
			r := httptest.NewRequest("GET", "https://app.example/page", nil)
			r.RequestURI = "/page"
			r.RemoteAddr = "127.0.0.1:4711"
			r.Header = http.Header{"X-Forwarded-For": {from.address}, "Accept": {"text/html"}, "Accept-Language": {"fr-FR, fr;q=0.9, en;q=0.8"}}
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				g.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(w.status), "status")
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
