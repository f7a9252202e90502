//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOpenFeatureForJavaScriptReadsFlagsFromTheGateway has the official clients
// read what a running gateway knows: of a flag server behind it, and of its
// policy. read.mjs describes the steps and the lines.
func TestOpenFeatureForJavaScriptReadsFlagsFromTheGateway(t *testing.T) {
	t.Parallel()
	read := readerInJavaScript(t)
	source := newFlagServer(t, map[string]map[string]any{
		"end-to-end-encryption": {"": true, "FR": false},
		"imprint":               {"": "About", "DE": "Impressum"},
		"new-composer":          {"": true}, // of which the policy says nothing
	})
	source.start(t)
	m := newGatewayProcess(t, `guarantees:
  end-to-end-encryption: {require: true}
  message-retention-days: {at-most: 7}
flags:
  message-retention-days: {value: 7, in: {DE: 0}}
  imprint: About
`)
	m.flags = `{url: "http://` + source.address + `", poll: 1s}`
	m.start()
	m.becomesReady()

	type object = map[string]any
	const withheld = "the value of end-to-end-encryption in FR is below what is guaranteed (require true), and is withheld"
	user := func(jurisdiction string) object {
		return object{"targetingKey": "u-17", "jurisdiction": jurisdiction}
	}
	all := func(imprint string, retention float64, encryption object) []any {
		return []any{
			encryption,
			object{"key": "imprint", "value": imprint, "reason": map[string]string{"About": "STATIC", "Impressum": "TARGETING_MATCH"}[imprint]},
			object{"key": "message-retention-days", "value": retention, "reason": "STATIC"},
			object{"key": "new-composer", "value": true, "reason": "STATIC"},
		}
	}
	encrypted := object{"key": "end-to-end-encryption", "value": true, "reason": "STATIC"}
	tests := []struct {
		name       string
		step, want object
	}{
		{"a user in DE", object{"flag": "end-to-end-encryption", "default": false, "context": user("DE")},
			object{"value": true, "reason": "STATIC"}},
		{"a user in IT", object{"flag": "imprint", "default": "", "context": user("IT")},
			object{"value": "About", "reason": "STATIC"}},
		{"the same flag in DE", object{"flag": "imprint", "default": "", "context": user("DE")},
			object{"value": "Impressum", "reason": "TARGETING_MATCH"}},
		{"the guard's error in FR", object{"flag": "end-to-end-encryption", "default": true, "context": user("FR")},
			object{"value": true, "reason": "ERROR", "errorCode": "GENERAL", "errorMessage": withheld}},
		{"a flag of the policy", object{"flag": "message-retention-days", "default": 30, "context": user("FR")},
			object{"value": 7.0, "reason": "STATIC"}},
		{"a flag of the policy for one country", object{"flag": "message-retention-days", "default": 30, "context": user("DE")},
			object{"value": 0.0, "reason": "STATIC"}},
		{"a flag that the policy doesn't name", object{"flag": "new-composer", "default": false, "context": user("FR")},
			object{"value": true, "reason": "STATIC"}},
		{"a flag that nobody has", object{"flag": "no-such-flag", "default": "x", "context": user("DE")},
			object{"value": "x", "reason": "ERROR", "errorCode": "FLAG_NOT_FOUND"}},
		{"all flags in FR", object{"all": true, "context": user("FR")},
			object{"status": 200.0, "flags": all("About", 7, object{"key": "end-to-end-encryption", "errorCode": "GENERAL", "errorDetails": withheld})}},
		{"all flags in FR again", object{"all": true, "context": user("FR"), "etag": "last"},
			object{"status": 304.0}},
		{"all flags in DE, with the tag of FR", object{"all": true, "context": user("DE"), "etag": "last"},
			object{"status": 200.0, "flags": all("Impressum", 0, encrypted)}},
		{"all flags in DE again", object{"all": true, "context": user("DE"), "etag": "last"},
			object{"status": 304.0}},
		{"all flags in IT, with the tag of DE", object{"all": true, "context": user("IT"), "etag": "last"},
			object{"status": 200.0, "flags": all("About", 7, encrypted)}},
	}
	var steps []object
	for _, test := range tests {
		steps = append(steps, test.step)
	}
	lines := read("http://"+m.admin, steps)
	if len(lines) != len(tests) {
		t.Fatalf("%d lines for %d steps: %v", len(lines), len(tests), lines)
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := lines[i]
			if test.step["all"] != nil {
				if tag, _ := got["etag"].(string); tag == "" {
					t.Error("there is no tag")
				}
				delete(got, "etag")
			} else {
				test.want["flagKey"], test.want["flagMetadata"] = test.step["flag"], object{}
			}
			if test.want["errorCode"] == "FLAG_NOT_FOUND" {
				delete(got, "errorMessage") // in the words of the SDK
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("read otherwise (-want +got)\n%s", diff)
			}
		})
	}
}

// readerInJavaScript returns what runs read.mjs. It skips a test that lacks
// node or its modules, which CI has.
func readerInJavaScript(t *testing.T) func(url string, steps []map[string]any) []map[string]any {
	t.Helper()
	requireProgram(t, "node")
	const scripts = "../../flags/testdata/js"
	if _, err := os.Stat(filepath.Join(scripts, "node_modules")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("run npm ci in flags/testdata/js: %v", err)
		}
		t.Skipf("run npm ci in flags/testdata/js: %v", err)
	}
	return func(url string, steps []map[string]any) []map[string]any {
		input, err := json.Marshal(steps)
		if err != nil {
			t.Fatal(err)
		}
		node := exec.CommandContext(t.Context(), "node", "read.mjs", url)
		node.Dir, node.Stdin, node.Stderr = scripts, bytes.NewReader(input), os.Stderr
		output, err := node.Output()
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
}
