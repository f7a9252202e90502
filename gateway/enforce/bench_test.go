package enforce

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// withFlags returns a policy of every country and 20 flags, half of them
// guaranteed, that some places have of their own.
func withFlags() string {
	var b strings.Builder
	b.WriteString("version: 1\njurisdictions:\n")
	for country := range iso3166.Countries() {
		fmt.Fprintf(&b, "  %s: announced\n", country.Code)
	}
	b.WriteString("guarantees:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  guaranteed-%d: {at-most: 100}\n", i)
	}
	b.WriteString("flags:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  guaranteed-%d: {value: %d, in: {FR: 1, DE: 2, EU: 3, US-MS: 4}}\n", i, i)
		fmt.Fprintf(&b, "  flag-%d: {value: true, in: {GB: false, GB-ENG: true, NATO: false}}\n", i)
	}
	return b.String()
}

// newEngine returns an Engine that has applied a policy, on a store of its own.
func newEngine(t testing.TB, document string, now func() time.Time) (*Engine, *memory) {
	t.Helper()
	table, err := flags.Open(flags.Options{Logger: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	store := &memory{steps: make(map[string]time.Time)}
	e := New(Options{
		Store: store, Flags: table, Metrics: metrics.New(prometheus.NewRegistry()), Traffic: traffic.New(now()),
		OnTransition: func([]string) {}, Log: slog.New(slog.DiscardHandler), Now: now,
	})
	apply(t, e, document)
	return e, store
}

func apply(t testing.TB, e *Engine, document string) {
	t.Helper()
	p, err := ParsePolicy("policy.yaml", []byte(document))
	if err == nil {
		err = e.Apply(p, []byte(document), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// memory is a Store.
type memory struct {
	lastGood []byte
	steps    map[string]time.Time
}

func (m *memory) WriteLastGood(source []byte) error  { m.lastGood = source; return nil }
func (m *memory) LatestStep(digest string) time.Time { return m.steps[digest] }
func (m *memory) WriteStep(digest string, at time.Time, file string) error {
	m.steps[digest] = at
	return nil
}

// BenchmarkCompile measures a change of a policy with 20 flags and every country.
func BenchmarkCompile(b *testing.B) {
	e, _ := newEngine(b, withFlags(), time.Now)
	p := e.Current(time.Now()).Snapshot().Policy()
	for _, evaluated := range []bool{false, true} {
		b.Run(fmt.Sprintf("flags-evaluated=%v", evaluated), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if evaluated {
					e.evaluateFlags(flagsAtStart)
				}
				e.compile(p, time.Now())
			}
		})
	}
}
