package flags_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
)

// twentyFlags is a policy of 20 flags, five of them guaranteed.
func twentyFlags(b *testing.B) *policy.Policy {
	var text strings.Builder
	text.WriteString("guarantees:\n  end-to-end-encryption: {require: true}\n  client-side-scanning: {require: false}\n  retention-days: {at-most: 7}\n  sampling: {at-least: 0.25}\n  tier: {one-of: [gold, silver]}\n")
	text.WriteString("flags:\n  end-to-end-encryption: true\n  client-side-scanning: false\n  retention-days: {value: 3, in: {EU: 2}}\n  sampling: 0.5\n  tier: gold\n")
	for i := range 5 {
		fmt.Fprintf(&text, "  feature-%d: true\n  limit-%d: {value: %d, in: {US-MS: 0, DE: 2}}\n  label-%d: text\n", i, i, i, i)
	}
	return parse(b, text.String())
}

// inMemory has the flags of a policy in go-sdk's provider, with a rule that
// looks at the context, or the same for all.
func inMemory(p *policy.Policy, byContext bool) *memprovider.InMemoryProvider {
	all := make(map[string]memprovider.InMemoryFlag)
	for _, f := range p.Flags() {
		v, _ := p.Value(f.Name, policy.Place{})
		flag := memprovider.InMemoryFlag{Key: f.Name, State: memprovider.Enabled, DefaultVariant: "only", Variants: map[string]any{"only": v.Any()}}
		if byContext {
			rule := func(f memprovider.InMemoryFlag, about openfeature.FlattenedContext) (any, openfeature.ProviderResolutionDetail) {
				return f.Variants[f.DefaultVariant], openfeature.ProviderResolutionDetail{Reason: openfeature.TargetingMatchReason}
			}
			flag.ContextEvaluator = &rule
		}
		all[f.Name] = flag
	}
	return memprovider.NewInMemoryProvider(all)
}

// BenchmarkEvaluate is a whole round: 20 flags in all jurisdictions.
func BenchmarkEvaluate(b *testing.B) {
	p := twentyFlags(b)
	for _, test := range []struct {
		name      string
		providers []openfeature.FeatureProvider
	}{
		{"source=policy", nil},
		{"source=memory", []openfeature.FeatureProvider{inMemory(p, false)}},
		{"source=memory,probed", []openfeature.FeatureProvider{inMemory(p, true)}},
	} {
		b.Run(test.name, func(b *testing.B) {
			table := open(b, flags.Options{Providers: test.providers})
			table.Evaluate(b.Context(), always(p))
			b.ReportAllocs()
			for b.Loop() {
				table.Evaluate(b.Context(), always(p))
			}
			b.ReportMetric(float64(len(p.Places())), "jurisdictions")
			if status := table.Status(); status.Rejected != nil {
				b.Fatal(status.Rejected)
			}
		})
	}
}

// BenchmarkAnswer evaluates a flag for a user as OFREP asks for it, and as
// go-sdk does it by itself in memory.
func BenchmarkAnswer(b *testing.B) {
	p := twentyFlags(b)
	context := map[string]any{"targetingKey": "user-1", "jurisdiction": "FR", "plan": "free"}
	attributes := map[string]any{"jurisdiction": "FR", "plan": "free"}
	client := clientOf(b, inMemory(p, true))
	table := open(b, flags.Options{Providers: []openfeature.FeatureProvider{inMemory(p, true)}})
	table.Evaluate(b.Context(), always(p))
	for _, test := range []struct {
		flag  string
		plain func() error
	}{
		{"retention-days", func() error {
			_, err := client.IntValue(b.Context(), "retention-days", 0, openfeature.NewEvaluationContext("user-1", attributes))
			return err
		}},
		{"client-side-scanning", func() error {
			_, err := client.BooleanValue(b.Context(), "client-side-scanning", false, openfeature.NewEvaluationContext("user-1", attributes))
			return err
		}},
	} {
		var plain float64
		b.Run("flag="+test.flag+"/go-sdk", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := test.plain(); err != nil {
					b.Fatal(err)
				}
			}
			plain = float64(b.Elapsed()) / float64(b.N)
		})
		b.Run("flag="+test.flag+"/answer", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if e := table.Answer(b.Context(), p, test.flag, context); e.ErrorCode != "" {
					b.Fatal(e)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/plain, "times-go-sdk")
		})
	}
}

// BenchmarkAnswerAll is the bulk evaluation of 20 flags for a user.
func BenchmarkAnswerAll(b *testing.B) {
	p := twentyFlags(b)
	context := map[string]any{"targetingKey": "user-1", "jurisdiction": "FR", "plan": "free"}
	table := open(b, flags.Options{Providers: []openfeature.FeatureProvider{inMemory(p, true)}})
	table.Evaluate(b.Context(), always(p))
	b.ReportAllocs()
	for b.Loop() {
		if all, err := table.AnswerAll(b.Context(), p, context); len(all) != 20 || err != nil {
			b.Fatal(len(all), err)
		}
	}
}
