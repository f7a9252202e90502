package policy_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/exitgate/exitgate/"

// impure are packages of the standard library that see more of the world than
// their caller shows them, or write to it.
var impure = []string{"net", "net/http", "net/rpc", "net/smtp", "os", "os/exec", "os/signal", "os/user", "io/ioutil", "log", "log/slog", "log/syslog", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "plugin", "testing", "expvar"}

// clocks are the functions of package time that look at the clock or wait.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "LoadLocation", "Local"}

// TestPolicyIsPure holds this package, those in it and the readers of documents
// to what they promise: no network, files, logs or clock, and nothing but the
// standard library, one another, the YAML library and encoding/json/v2. Commands that generate
// their tables are not part of them.
func TestPolicyIsPure(t *testing.T) {
	packages := 0
	for _, root := range []string{".", "../internal/strictjson", "../internal/strictyaml"} {
		packages += checkPackages(t, root)
	}
	if packages < 7 {
		t.Errorf("only %d packages found", packages)
	}
}

func checkPackages(t *testing.T, root string) (packages int) {
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.IsDir():
			return err
		case d.Name() == "testdata", dir == "internal": // what tests are made of
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(dir, 0)
		if _, none := err.(*build.NoGoError); none {
			return nil
		}
		if err != nil || pkg.IsCommand() {
			return err
		}
		packages++
		for _, file := range slices.Concat(pkg.GoFiles, pkg.CgoFiles, pkg.IgnoredGoFiles) {
			checkPurity(t, filepath.Join(dir, file))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func checkPurity(t *testing.T, name string) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if spec.Name != nil && path != "unsafe" && path != "embed" && path != "encoding/json" {
			t.Errorf("%s imports %s under another name, which this test can't see through", files.Position(spec.Pos()), path)
		}
		if !mayImport(filepath.ToSlash(filepath.Dir(name)), path) {
			t.Errorf("%s imports %s", files.Position(spec.Pos()), path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := selector.X.(*ast.Ident)
		switch {
		case !ok:
		case from.Name == "time" && slices.Contains(clocks, selector.Sel.Name):
			t.Errorf("%s looks at the clock: time.%s", files.Position(n.Pos()), selector.Sel.Name)
		case from.Name == "http" && !strings.HasPrefix(selector.Sel.Name, "Method"):
			t.Errorf("%s uses more of net/http than the names of methods: http.%s", files.Position(n.Pos()), selector.Sel.Name)
		}
		return true
	})
}

// ours is which packages of this module each of those below policy may import. Of
// zonedtime they use what looks at no tz database: Parse and Format.
var ours = map[string][]string{
	"../internal/strictyaml": {"internal/zonedtime"},
	".":                      {"internal/strictjson", "policy/groups", "policy/iso3166", "policy/routes"},
	"document":               {"internal/strictyaml", "policy"},
	"edit":                   {"internal/strictyaml", "internal/zonedtime", "policy", "policy/document"},
	"plan":                   {"internal/strictyaml", "policy", "policy/iso3166", "policy/routes"},
	"changes":                {"internal/strictjson", "internal/strictyaml", "policy", "policy/document", "policy/edit", "policy/plan"},
}

func mayImport(dir, path string) bool {
	own, isOwn := strings.CutPrefix(path, module)
	first, _, _ := strings.Cut(path, "/")
	switch {
	case isOwn:
		return slices.Contains(ours[dir], own) || strings.HasPrefix(own+"/", "policy/"+dir+"/")
	case path == "net/http":
		return true // for the names of methods, see above
	case strings.Contains(first, "."):
		return path == "go.yaml.in/yaml/v4" || strings.HasPrefix(path, "github.com/go-json-experiment/json")
	}
	return !slices.Contains(impure, path)
}
