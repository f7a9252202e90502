package strict

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// meaningTree turns a tree into what encoding/json would decode.
func meaningTree(n *node) any {
	switch n.kind {
	case list:
		items := []any{}
		for _, item := range n.items {
			items = append(items, meaningTree(item))
		}
		return items
	case mapping:
		entries := map[string]any{}
		for i, key := range n.keys {
			entries[key.text] = meaningTree(n.items[i])
		}
		return entries
	}
	switch meaningOf(n) {
	case null:
		return nil
	case boolean:
		return strings.ToLower(n.text) == "true"
	case integer, float:
		if f, err := parseFloat(n.text, 64); err == nil {
			return f
		}
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return float64(i)
		}
	}
	return n.text
}

// TestReadsAsTheYAMLTestSuite holds what the reader accepts against the suite
// of the YAML project, which comes with goccy/go-yaml's source: whatever is
// wrong there is refused here, and whatever is accepted here means the same.
func TestReadsAsTheYAMLTestSuite(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/goccy/go-yaml").Output()
	cases, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "yaml-test-suite", "*", "in.yaml"))
	if err != nil || len(cases) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("the suite is not in the module cache:", err)
		}
		t.Skip("the suite is not in the module cache")
	}
	accepted := 0
	for _, in := range cases {
		t.Run(filepath.Base(filepath.Dir(in)), func(t *testing.T) {
			text, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			// A document that begins in the line of its marker is refused, but
			// what is in it is worth a look.
			text = []byte(strings.Replace(string(text), "--- ", "---\n", 1))
			d := &Document{source: newSource("in.yaml", text)}
			if f, found := d.source.illegible(); found {
				t.Skipf("refused: %s", f.message)
			}
			root := d.read()
			if err := d.Err(); err != nil {
				t.Skipf("refused: %s", err)
			}
			accepted++
			if _, err := os.Stat(filepath.Join(filepath.Dir(in), "error")); err == nil {
				t.Fatalf("accepted, but is an error:\n%s", text)
			}
			out, err := os.ReadFile(filepath.Join(filepath.Dir(in), "in.json"))
			if err != nil {
				t.Skip("has no in.json")
			}
			var want any
			if err := json.Unmarshal(out, &want); err != nil {
				t.Skip("in.json:", err)
			}
			if diff := cmp.Diff(want, meaningTree(root)); diff != "" {
				t.Errorf("reads otherwise (-want +got):\n%s\n%s", diff, text)
			}
		})
	}
	t.Logf("%d of %d cases accepted", accepted, len(cases))
}

func TestReadsAsAFullParser(t *testing.T) {
	text, err := os.ReadFile("testdata/good/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := &Document{source: newSource("policy.yaml", text)}
	root := d.read()
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	var full any
	if err := yaml.Unmarshal(text, &full); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(viaJSON(t, full), viaJSON(t, meaningTree(root))); diff != "" {
		t.Errorf("(-goccy/go-yaml +strict):\n%s", diff)
	}
}

// viaJSON makes all numbers float64.
func viaJSON(t *testing.T, v any) (same any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &same); err != nil {
		t.Fatal(err)
	}
	return same
}
