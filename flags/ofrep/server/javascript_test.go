package server_test

// The name of this file does not end in js_test.go: Go would take it for one
// of GOOS=js.

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The official clients have the last word on whether the handler speaks OFREP.
// read.mjs describes the steps and the lines.
func TestServesOpenFeatureForJavaScript(t *testing.T) {
	type step = map[string]any
	type line = map[string]any
	in := func(jurisdiction string) map[string]any {
		return map[string]any{"targetingKey": "u-17", "jurisdiction": jurisdiction}
	}
	tests := []struct {
		name string
		step step
		want line
	}{
		{"a boolean in DE",
			step{"flag": "end-to-end-encryption", "default": false, "context": in("DE")},
			line{"value": true, "reason": "STATIC"}},
		{"the guard's error in FR, with the default that the app has in hand",
			step{"flag": "end-to-end-encryption", "default": true, "context": in("FR")},
			line{"value": true, "reason": "ERROR", "errorCode": "GENERAL", "errorMessage": guard}},
		{"a string in DE",
			step{"flag": "imprint", "default": "", "context": in("DE")},
			line{"value": "Impressum <§ 5 DDG>", "reason": "TARGETING_MATCH", "variant": "german"}},
		{"the same string in US-MS",
			step{"flag": "imprint", "default": "", "context": in("US-MS")},
			line{"value": "About", "reason": "UNKNOWN", "variant": "other"}},
		{"a number with metadata in FR",
			step{"flag": "message-retention-days", "default": 30, "context": in("FR")},
			line{"value": 0.0, "reason": "STATIC", "flagMetadata": line{"demand": "fr-narcotrafic-8ter"}}},
		{"an object without a context",
			step{"flag": "limits", "default": map[string]any{}},
			line{"value": line{"upload-mb": 12.5, "rooms": []any{1.0, 2.0}}, "reason": "SPLIT"}},
		{"a flag that needs to know the user",
			step{"flag": "by-user", "default": "a", "context": map[string]any{}},
			line{"value": "a", "reason": "ERROR", "errorCode": "TARGETING_KEY_MISSING", "errorMessage": "by-user is split by user: send a targetingKey"}},
		{"a flag that is missing",
			step{"flag": "no/such flag", "default": "x", "context": in("DE")},
			line{"value": "x", "reason": "ERROR", "errorCode": "FLAG_NOT_FOUND", "errorMessage": "no flag has this key"}},
		{"a flag of another type",
			step{"flag": "imprint", "default": true, "context": in("DE")},
			line{"value": true, "reason": "ERROR", "errorCode": "TYPE_MISMATCH", "errorMessage": "Expected flag type boolean but got string"}},
		{"a flag without a value, which this provider is too old for",
			step{"flag": "not-rolled-out", "default": true, "context": in("DE")},
			line{"value": true, "reason": "ERROR", "errorCode": "GENERAL", "errorMessage": "The OFREP response does not match the expected format"}},
		{"a context that is refused",
			step{"flag": "limits", "default": map[string]any{}, "context": map[string]any{"id": 1 << 60}},
			line{"value": line{}, "reason": "ERROR", "errorCode": "INVALID_CONTEXT", "errorMessage": `context.id is an integer beyond 2^53, which would be changed on the way: send it as a string`}},
		{"all flags in FR",
			step{"all": true, "context": in("FR")},
			line{"status": 200.0, "flags": []any{
				line{"key": "by-user", "value": "b", "reason": "SPLIT"},
				line{"key": "end-to-end-encryption", "errorCode": "GENERAL", "errorDetails": guard},
				line{"key": "imprint", "value": "About", "reason": "UNKNOWN", "variant": "other"},
				line{"key": "limits", "value": line{"upload-mb": 12.5, "rooms": []any{1.0, 2.0}}, "reason": "SPLIT"},
				line{"key": "message-retention-days", "value": 0.0, "reason": "STATIC", "metadata": line{"demand": "fr-narcotrafic-8ter"}},
				line{"key": "not-rolled-out", "reason": "DISABLED"},
			}}},
		{"all flags in FR again, with the tag",
			step{"all": true, "context": in("FR"), "etag": "last"},
			line{"status": 304.0}},
		{"all flags in DE, with the tag of FR",
			step{"all": true, "context": in("DE"), "etag": "last"},
			line{"status": 200.0, "flags": []any{
				line{"key": "by-user", "value": "b", "reason": "SPLIT"},
				line{"key": "end-to-end-encryption", "value": true, "reason": "STATIC"},
				line{"key": "imprint", "value": "Impressum <§ 5 DDG>", "reason": "TARGETING_MATCH", "variant": "german"},
				line{"key": "limits", "value": line{"upload-mb": 12.5, "rooms": []any{1.0, 2.0}}, "reason": "SPLIT"},
				line{"key": "message-retention-days", "value": 0.0, "reason": "STATIC", "metadata": line{"demand": "fr-narcotrafic-8ter"}},
				line{"key": "not-rolled-out", "reason": "DISABLED"},
			}}},
		{"all flags of a source that is down",
			step{"all": true, "context": in("nowhere")},
			line{"status": 500.0, "errorCode": "GENERAL", "errorDetails": "the flag source has never answered: see /readyz"}},
	}

	var steps []step
	for _, test := range tests {
		steps = append(steps, test.step)
	}
	server := httptest.NewServer(ofTable())
	defer server.Close()
	lines := readWithNode(t, server.URL, steps)
	if len(lines) != len(tests) {
		t.Fatalf("%d lines for %d steps", len(lines), len(tests))
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := lines[i]
			if key, found := test.step["flag"]; found {
				test.want["flagKey"] = key
				if test.want["flagMetadata"] == nil {
					test.want["flagMetadata"] = line{}
				}
			} else {
				test.want["etag"] = got["etag"]
				if tagged := got["etag"] != nil; tagged != (test.want["status"] != 500.0) {
					t.Errorf("the tag is %v", got["etag"])
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("read otherwise:\n%s", diff)
			}
		})
	}
}

func readWithNode(t *testing.T, url string, steps []map[string]any) []map[string]any {
	t.Helper()
	scripts := filepath.Join("..", "..", "testdata", "js")
	missing := ""
	node, err := exec.LookPath("node")
	if err != nil {
		missing = err.Error()
	} else if _, err := os.Stat(filepath.Join(scripts, "node_modules")); err != nil {
		missing = "run npm ci in flags/testdata/js: " + err.Error()
	}
	if missing != "" && os.Getenv("CI") != "" {
		t.Fatal(missing)
	} else if missing != "" {
		t.Skip(missing)
	}

	input, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	read := exec.CommandContext(t.Context(), node, "read.mjs", url)
	read.Dir, read.Stdin, read.Stderr = scripts, bytes.NewReader(input), os.Stderr
	output, err := read.Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for text := range bytes.Lines(output) {
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		lines = append(lines, line)
	}
	return lines
}
