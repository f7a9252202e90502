package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"github.com/exitgate/exitgate/flags/ofrep"
	"github.com/exitgate/exitgate/flags/ofrep/server"
)

// Whatever is sent, the answer is one by the schema. Either nothing was
// evaluated and it says why, or the flag with the very key was evaluated for
// the very context that encoding/json reads in the body, too.
func FuzzRequest(f *testing.F) {
	f.Add("imprint", `{"context": {"targetingKey": "u-17", "jurisdiction": "DE"}}`)
	f.Fuzz(func(t *testing.T, key, body string) {
		evaluated := false
		check := func(context map[string]any) {
			evaluated = true
			if len(bytes.TrimSpace([]byte(body))) == 0 {
				body = `{}`
			}
			var request map[string]any
			if err := json.Unmarshal([]byte(body), &request); err != nil {
				t.Errorf("%q was evaluated: %v", body, err)
			}
			want, _ := request["context"].(map[string]any)
			if want == nil {
				want = map[string]any{}
			}
			if !reflect.DeepEqual(want, context) { // cmp.Diff takes forever for nested lists
				t.Errorf("%q was read as another context: %v", body, context)
			}
		}
		h := server.New(server.Options{
			Evaluate: func(_ context.Context, k string, context map[string]any) ofrep.Evaluation {
				if k != key {
					t.Errorf("evaluated %q and not %q", k, key)
				}
				check(context)
				return ofrep.Evaluation{Value: json.RawMessage(`true`)}
			},
			EvaluateAll: func(_ context.Context, context map[string]any) ([]ofrep.Evaluation, error) {
				check(context)
				return nil, nil
			},
		})
		paths := []string{bulkPath}
		if key != "." && key != ".." { // which no client can send as a part of a path
			paths = append(paths, onePath+url.PathEscape(key))
		}
		for _, path := range paths {
			evaluated = false
			w := post(h, path, body)
			expectConforming(t, path, w.Code, w.Body.Bytes())
			if evaluated != (w.Code == http.StatusOK) || !evaluated && w.Code != http.StatusBadRequest {
				t.Errorf("evaluated: %v, status %d: %s", evaluated, w.Code, w.Body)
			}
		}
	})
}
