package client_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/exitgate/exitgate/flags/ofrep/client"
)

// benchClient returns a provider with 1,000 contexts and 20 flags kept, whose
// server finds its ETag again.
func benchClient(b *testing.B) *client.Provider {
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
	source := newServer(b, nil)
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
	p := newClient(b, source.URL)
	keep(b, p, keys, manyContexts(1000)...)
	refresh(b, p)
	return p
}

func BenchmarkEvaluatesWhatIsKept(b *testing.B) {
	p := benchClient(b)
	context := manyContexts(1000)[777]
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if detail := p.BooleanEvaluation(ctx, "flag-7", false, context); !detail.Value {
			b.Fatal(detail)
		}
	}
}

func BenchmarkRoundOf1000ContextsThatHaveNotChanged(b *testing.B) {
	p := benchClient(b)
	b.ReportAllocs()
	for b.Loop() {
		refresh(b, p)
	}
}

func BenchmarkRoundOf1000ContextsThatHaveChanged(b *testing.B) {
	p := benchClient(b)
	for b.Loop() {
		// Other keys are kept: no answer that is known is enough.
		keep(b, p, []string{fmt.Sprint("flag-", b.Elapsed())}, manyContexts(1000)...)
		refresh(b, p)
	}
}

func BenchmarkReadsAnAnswerOf20Flags(b *testing.B) {
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
		if _, _, err := client.ReadBulk(answer, "flag-1", "flag-2"); err != nil {
			b.Fatal(err)
		}
	}
}
