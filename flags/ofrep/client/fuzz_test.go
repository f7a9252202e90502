package client_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags/ofrep/client"
)

func FuzzAnswer(f *testing.F) {
	examples, err := filepath.Glob("testdata/*.json")
	if err != nil || len(examples) == 0 {
		f.Fatal(examples, err)
	}
	for _, example := range examples {
		body, err := os.ReadFile(example)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if of, err := client.ReadSingle(body, "f"); err == nil {
			plausible(t, body, of)
		}
		client.ReadFailure(body)

		all, keys, err := client.ReadBulk(body)
		kept, keptKeys, keptErr := client.ReadBulk(body, keys...)
		if len(keys) == 0 {
			kept, keptKeys, keptErr = client.ReadBulk(body, "f")
		}
		if (err == nil) != (keptErr == nil) || !reflect.DeepEqual(keys, keptKeys) {
			t.Fatalf("whether the answer is good depends on what is kept: %v, %v", err, keptErr)
		}
		for _, key := range keys {
			plausible(t, body, all(key))
			// What is kept is the same, or an error.
			for i, detail := range kept(key) {
				if detail.Error() == nil && !reflect.DeepEqual(detail.Value, all(key)[i].Value) {
					t.Errorf("%q is kept as %v and prefetched as %v", key, detail.Value, all(key)[i].Value)
				}
			}
		}
	})
}

// plausible holds what is told of a flag, as each type, to what may be
// told at all.
func plausible(t *testing.T, body []byte, of []openfeature.InterfaceResolutionDetail) {
	if !json.Valid(body) || !utf8.Valid(body) {
		t.Error("that is no JSON")
	}
	types := 0
	for i, detail := range of {
		if detail.Error() != nil {
			if detail.Reason != openfeature.ErrorReason {
				t.Errorf("an error has the reason %s", detail.Reason)
			}
			continue
		}
		if detail.Reason == "" {
			t.Error("there is no reason")
		}
		if i < 4 && detail.Reason != openfeature.DefaultReason && detail.Reason != openfeature.DisabledReason {
			types++
		}
		switch value := detail.Value.(type) {
		case int64:
			if value > 1<<53-1 || value < 1-1<<53 {
				t.Errorf("%d is beyond what JSON carries", value)
			}
		case float64:
			if math.IsNaN(value) || math.IsInf(value, 0) {
				t.Errorf("%v is no number", value)
			}
		}
	}
	if types > 2 {
		t.Errorf("a value is of %d types", types)
	}
}
