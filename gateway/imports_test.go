package gateway_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPackagesBelowDontKnowEachOther holds the direction of dependencies: cmd
// → gateway → flags and the packages below it → policy. All may know internal/.
func TestPackagesBelowDontKnowEachOther(t *testing.T) {
	const module = "github.com/exitgate/exitgate/"
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		own, _, below := strings.Cut(filepath.ToSlash(file), "/")
		for _, spec := range source.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imported, ours := strings.CutPrefix(path, module)
			switch {
			case !ours, imported == "policy", strings.HasPrefix(imported, "policy/"), strings.HasPrefix(imported, "internal/"):
			case own == "enforce", own == "source", own == "control": // see docs/architecture.md
			case below && (imported == "gateway/"+own || strings.HasPrefix(imported, "gateway/"+own+"/")):
			case !below && (strings.HasPrefix(imported, "gateway/") || imported == "flags" || strings.HasPrefix(imported, "flags/")):
			default:
				t.Errorf("%s imports %s", file, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoDecisionTouchesTheLedger holds that a request is decided by what is in
// memory: neither the files that it goes through here nor, as they don't know
// each other, the packages below them import the ledger or what it is on.
func TestNoDecisionTouchesTheLedger(t *testing.T) {
	for _, file := range []string{"gateway.go", "enforce/engine.go", "enforce/compiled.go", "reject.go", "hosts.go"} {
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range source.Imports {
			if strings.Contains(spec.Path.Value, "ledger") || strings.Contains(spec.Path.Value, "nats") {
				t.Errorf("%s imports %s", file, spec.Path.Value)
			}
		}
	}
}
