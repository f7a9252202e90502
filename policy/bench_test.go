package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/internal/policytest"
	"github.com/exitgate/exitgate/policy/iso3166"
	"github.com/exitgate/exitgate/policy/plan"
)

var paris = policy.Place{Country: "FR", Subdivisions: [2]policy.Code{"FR-IDF", "FR-75C"}}

// BenchmarkDecide is what a request costs: to be classified and decided.
func BenchmarkDecide(b *testing.B) {
	for _, rules := range []int{10, 1_000, 10_000} {
		s := compile(b, policytest.WithRules(rules), moment)
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.DecideReadings(paris, s.Classify("POST", "example.org", "/section-3/42/page-3/signup"))
			}
		})
		b.Run(fmt.Sprintf("rules=%d/decide", rules), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Decide(paris, 0)
			}
		})
	}
}

func TestADecisionAllocatesNothing(t *testing.T) {
	s := compile(t, policytest.WithRules(10_000), moment)
	for _, place := range []string{"FR/FR-IDF/FR-75C", "US/US-MS anonymous", "DE", "unlocated", "private", "ZZ"} {
		for _, path := range []string{"/", "/section-3/42/page-3/signup", "/section-3/4%32/page-3/signup", "/%2e%2e/signup", "/robots.txt"} {
			at := from(place)
			allocations := testing.AllocsPerRun(100, func() {
				s.DecideReadings(at, s.Classify("POST", "example.org", path))
			})
			if allocations != 0 {
				t.Errorf("%s from %s: %v allocations", path, place, allocations)
			}
		}
	}
}

// BenchmarkParse reads a policy that names every country and 1,000
// subdivisions, without and with flags.
func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{"plain": policytest.Everywhere(1_000), "flags=20": policytest.WithFlags(1_000)} {
		b.Run(name, func(b *testing.B) {
			source := []byte(text)
			b.SetBytes(int64(len(source)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := document.Parse("policy.yaml", source); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompile compiles it: 20 ms is what that may take.
func BenchmarkCompile(b *testing.B) {
	for name, text := range map[string]string{"plain": policytest.Everywhere(1_000), "flags=20": policytest.WithFlags(1_000)} {
		p := parse(b, text)
		flags := p.OwnFlags()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				policy.Compile(p, flags, moment)
			}
		})
	}
}

// BenchmarkOwnFlags reads the policy's own table for every place.
func BenchmarkOwnFlags(b *testing.B) {
	p := parse(b, policytest.WithFlags(1_000))
	b.ReportAllocs()
	for b.Loop() {
		p.OwnFlags()
	}
}

func BenchmarkExplain(b *testing.B) {
	s := compile(b, policytest.Everywhere(1_000), moment)
	b.ReportAllocs()
	for b.Loop() {
		s.Explain(paris, "GET", "example.org", "/")
	}
}

func BenchmarkDifferences(b *testing.B) {
	p := parse(b, policytest.Everywhere(1_000))
	before := policy.Compile(p, nil, moment)
	after := policy.Compile(p, nil, before.Until())
	b.ReportAllocs()
	for b.Loop() {
		policy.Differences(before, after)
	}
}

// worldwide writes the policy that a change is timed with: 250 jurisdictions,
// each with a schedule, 20 flags and three guarantees.
func worldwide() string {
	var b strings.Builder
	b.WriteString("version: 1\nroutes: {sign-up: [/signup], export: [/export/], news: [/news/]}\n")
	b.WriteString("guarantees:\n  flag-0: {require: true, statement: Messages are encrypted.}\n  flag-1: {at-most: 0}\n  flag-2: {one-of: [signal, mls]}\n")
	b.WriteString("flags:\n  flag-0: true\n  flag-1: 0\n  flag-2: {value: signal, in: {FR: mls, EU: mls}}\n")
	for i := 3; i < 20; i++ {
		fmt.Fprintf(&b, "  flag-%d: {value: %d, in: {FR: 1, DE: 2, EU: 3, US-MS: 4}}\n", i, i)
	}
	b.WriteString("demands:\n  law: {jurisdiction: FR, territories: none, stage: adopted, in-force: 2027-01-01T00:00:00Z, requires: {flag-0: false}}\n")
	b.WriteString("jurisdictions:\n")
	named := 0
	for country := range iso3166.Countries() {
		fmt.Fprintf(&b, "  %s:\n    schedule:\n", country.Code)
		for i, phase := range []string{"announced", "closed-to-new", "wind-down", "withdrawn"} {
			fmt.Fprintf(&b, "      - {from: 2026-%02d-%02dT00:00:00Z, phase: %s}\n", 9+i, 1+named%28, phase)
		}
		named++
	}
	if named += policytest.WriteSubdivisions(&b, 250-named); named < 249 {
		panic(named)
	}
	b.WriteString("approvals: {open: 1, weaken-guarantee: 2}\n")
	return b.String()
}

// BenchmarkChange is what a change of one jurisdiction costs, by its parts: an
// apply parses the document twice, plans twice and compiles it.
func BenchmarkChange(b *testing.B) {
	source := []byte(worldwide())
	before := parse(b, string(source))
	change := edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn}
	changed, err := edit.Apply(source, change)
	if err != nil {
		b.Fatal(err)
	}
	after, opened := parse(b, string(changed)), parse(b, "version: 1\n")
	flags := before.OwnFlags()
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"parse", func() { _, _ = document.Parse("policy.yaml", changed) }},
		{"set", func() { _, _ = edit.Apply(source, change) }},
		{"plan", func() { plan.New(before, after, flags, moment) }},
		{"plan-all", func() { plan.New(before, opened, flags, moment) }},
		{"flags", func() { after.OwnFlags() }},
		{"compile", func() { policy.Compile(after, flags, moment) }},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				part.run()
			}
		})
	}
}
