package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/exitgate/exitgate/flags/ofrep"
	"github.com/exitgate/exitgate/flags/ofrep/server"
)

// What the protocol adds to go-sdk's own evaluation of a flag in memory: one
// flag without HTTP's connection, and with all of it.
func BenchmarkHandler(b *testing.B) {
	api := isolated.NewAPI()
	provider := memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
		"end-to-end-encryption": {State: memprovider.Enabled, DefaultVariant: "on", Variants: map[string]any{"on": true}},
	})
	if err := api.SetProviderAndWait(b.Context(), provider); err != nil {
		b.Fatal(err)
	}
	client := api.NewClient()
	evaluate := func(ctx context.Context, key string, attributes map[string]any) ofrep.Evaluation {
		user, _ := attributes["targetingKey"].(string)
		details, err := client.BooleanValueDetails(ctx, key, false, openfeature.NewEvaluationContext(user, attributes))
		if err != nil || !details.Value {
			b.Fatal(details, err)
		}
		return ofrep.Evaluation{Value: json.RawMessage(`true`), Reason: string(details.Reason), Variant: details.Variant}
	}
	h := server.New(server.Options{Evaluate: evaluate})
	const path, body = onePath + "end-to-end-encryption", `{"context": {"targetingKey": "u-17", "jurisdiction": "DE"}}`

	b.Run("go-sdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			evaluate(b.Context(), "end-to-end-encryption", map[string]any{"targetingKey": "u-17", "jurisdiction": "DE"})
		}
	})
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if w := post(h, path, body); w.Code != http.StatusOK {
				b.Fatal(w.Code, w.Body)
			}
		}
	})
	b.Run("over TCP", func(b *testing.B) {
		server := httptest.NewServer(h)
		defer server.Close()
		b.ReportAllocs()
		for b.Loop() {
			response, err := server.Client().Post(server.URL+path, "application/json", strings.NewReader(body))
			if err != nil || response.StatusCode != http.StatusOK {
				b.Fatal(response, err)
			}
			var evaluation ofrep.Evaluation
			if err := json.NewDecoder(response.Body).Decode(&evaluation); err != nil {
				b.Fatal(err)
			}
			response.Body.Close()
		}
	})
}
