package strictyaml

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// decodeTree turns a tree into what encoding/json would decode.
func decodeTree(n *node) any {
	switch n.kind {
	case list:
		items := []any{}
		for _, item := range n.items {
			items = append(items, decodeTree(item))
		}
		return items
	case mapping:
		entries := map[string]any{}
		for i, key := range n.keys {
			entries[key.text] = decodeTree(n.items[i])
		}
		return entries
	}
	switch typeOf(n) {
	case null:
		return nil
	case boolean:
		return strings.ToLower(n.text) == "true"
	case integer, float:
		if f, err := parseFloat(n.text); err == nil {
			return f
		}
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return float64(i)
		}
	}
	return n.text
}

// lenient are the mistakes that the library doesn't mind: too little indentation
// within quotes and brackets, and empty lines with spaces before a text.
var lenient = []string{
	"block-scalar-with-more-spaces-than-first-content-line",
	"wrong-indented-flow-sequence",
	"wrong-indented-multiline-quoted-scalar",
}

// TestYAMLTestSuite holds what the reader accepts against the suite of the YAML
// project: whatever is wrong there is refused here, and whatever is accepted here
// means the same.
func TestYAMLTestSuite(t *testing.T) {
	suite, err := os.ReadFile("testdata/yaml-test-suite.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for line := range bytes.Lines(suite) {
		var test struct {
			Name, YAML string
			JSON       json.RawMessage
			Error      bool
		}
		if err := json.Unmarshal(line, &test); err != nil {
			t.Fatal(err)
		}
		t.Run(test.Name, func(t *testing.T) {
			text := test.YAML
			d := &Document{source: newSource("in.yaml", []byte(text))}
			if _, found := d.source.findInvalidText(); found {
				return
			}
			root := d.read()
			if d.Err() != nil {
				return
			}
			accepted++
			if test.Error && !slices.Contains(lenient, test.Name) {
				t.Fatalf("accepted, but is an error:\n%s", text)
			}
			if test.JSON == nil {
				return
			}
			var want any
			if err := json.Unmarshal(test.JSON, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, decodeTree(root)); diff != "" {
				t.Errorf("reads otherwise (-want +got):\n%s\n%s", diff, text)
			}
		})
	}
	if accepted != 150 {
		t.Errorf("%d cases are accepted, want 150", accepted)
	}
}
