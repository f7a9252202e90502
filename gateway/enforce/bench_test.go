package enforce

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
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
func newEngine(t testing.TB, text string, now func() time.Time) (*Engine, *memory) {
	t.Helper()
	store := &memory{}
	e := engineOn(t, store, now)
	apply(t, e, text)
	return e, store
}

// engineOn returns an Engine without a policy.
func engineOn(t testing.TB, store *memory, now func() time.Time, providers ...openfeature.FeatureProvider) *Engine {
	t.Helper()
	table, err := flags.Open(flags.Options{Providers: providers, Logger: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return New(Options{
		Store: store, Flags: table, Metrics: metrics.New(prometheus.NewRegistry()), Traffic: traffic.New(now()),
		OnTransition: func(Transition) {}, OnSnapshot: func(*policy.Snapshot) {}, Log: slog.New(slog.DiscardHandler), Now: now,
	})
}

func apply(t testing.TB, e *Engine, text string) {
	t.Helper()
	p, err := document.Parse("policy.yaml", []byte(text))
	if err == nil {
		err = e.Apply(p, []byte(text), 0, time.Time{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// memory is a Store.
type memory struct {
	mu       sync.Mutex
	lastGood []byte
	steps    []byte
	digest   string
	at       time.Time
	complete string             // the digest of the steps that the moment is of
	onWrite  func([]byte) error // may be nil
}

func (m *memory) ReadLastGood() ([]byte, error)     { return m.lastGood, nil }
func (m *memory) WriteLastGood(source []byte) error { m.lastGood = source; return nil }
func (m *memory) LastMoment() (string, time.Time, string) {
	return m.digest, m.at, m.complete
}

func (m *memory) WriteMoment(digest string, at time.Time, steps, _ string) error {
	m.digest, m.at, m.complete = digest, at, steps
	return nil
}

func (m *memory) ReadSteps() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.steps, nil
}

func (m *memory) WriteSteps(s []byte) error {
	if m.onWrite != nil {
		if err := m.onWrite(s); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = s
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
				e.compile(p, nil, time.Now())
			}
		})
	}
}
