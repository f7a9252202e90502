package ofrep_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/exitgate/exitgate/flags/ofrep"
)

// providerBench returns a provider with 1,000 contexts and 20 flags kept, whose
// server finds its ETag again.
func providerBench(b *testing.B) *ofrep.Provider {
	body, keys := `{"flags": [`, []string{}
	for i := range 20 {
		if i > 0 {
			body += ","
		}
		key := fmt.Sprintf("flag-%d", i)
		body += fmt.Sprintf(`{"key": %q, "value": true, "reason": "TARGETING_MATCH", "variant": "on"}`, key)
		keys = append(keys, key)
	}
	body += `]}`
	source := providerSourceOf(b, nil)
	source.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
	p := providerOf(b, source.URL)
	providerKeep(b, p, keys, providerMany(1000)...)
	providerRefresh(b, p)
	return p
}

func BenchmarkProviderEvaluatesWhatIsKept(b *testing.B) {
	p := providerBench(b)
	context := providerMany(1000)[777]
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if detail := p.BooleanEvaluation(ctx, "flag-7", false, context); !detail.Value {
			b.Fatal(detail)
		}
	}
}

func BenchmarkProviderRoundOf1000ContextsThatHaveNotChanged(b *testing.B) {
	p := providerBench(b)
	b.ReportAllocs()
	for b.Loop() {
		providerRefresh(b, p)
	}
}

func BenchmarkProviderRoundOf1000ContextsThatHaveChanged(b *testing.B) {
	p := providerBench(b)
	for b.Loop() {
		// Other keys are kept: no answer that is known is enough.
		providerKeep(b, p, []string{fmt.Sprint("flag-", b.Elapsed())}, providerMany(1000)...)
		providerRefresh(b, p)
	}
}

func BenchmarkProviderReadsAnAnswerOf20Flags(b *testing.B) {
	body := `{"flags": [`
	for i := range 20 {
		if i > 0 {
			body += ","
		}
		body += fmt.Sprintf(`{"key": "flag-%d", "value": true, "reason": "TARGETING_MATCH", "variant": "on"}`, i)
	}
	answer := []byte(body + `]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ofrep.ReadBulk(answer, "flag-1", "flag-2"); err != nil {
			b.Fatal(err)
		}
	}
}
