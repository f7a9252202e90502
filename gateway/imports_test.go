package gateway_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An importRule says which of our packages a package may import, besides those
// below itself. The first rule that matches a package holds. A pattern is a path
// from the root of the module; "/..." is all below it, too.
type importRule struct {
	of  string
	may []string
	why string
}

var importRules = []importRule{
	{"cmd/...", []string{"gateway/...", "flags/...", "policy/...", "internal/..."},
		"the command is what the rest is for"},
	{"gateway", []string{"gateway/...", "flags/...", "policy/...", "internal/..."},
		"it puts together the packages below it"},
	{"gateway/request", []string{"gateway/accesslog", "gateway/client", "gateway/enforce", "gateway/metrics", "gateway/proxy", "gateway/session", "policy", "internal/..."},
		"the path of a request knows what it is made of"},
	{"gateway/enforce", []string{"gateway/metrics", "gateway/notice", "gateway/proxy", "gateway/traffic", "flags", "policy/...", "internal/..."},
		"all that a decision entails is made when the policy and the flags are compiled: counters, notices, header fields"},
	{"gateway/source", []string{"gateway/ledger", "gateway/statedir", "policy/...", "internal/..."},
		"a replica follows the ledger and is kept in the data folder"},
	{"gateway/evidence", []string{"gateway/ledger", "policy/...", "internal/..."},
		"it has records of the ledger, and says what they say"},
	{"gateway/control", []string{"gateway/admin/api", "gateway/certs", "gateway/enforce", "gateway/evidence", "gateway/geo", "gateway/ledger", "gateway/source", "gateway/traffic", "flags", "policy/...", "internal/..."},
		"it shows and changes what the others hold"},
	{"gateway/console", []string{"gateway/admin/api", "policy/...", "internal/..."},
		"its pages ask the API, and nothing else"},
	{"gateway/admin", []string{"gateway/console", "gateway/control", "gateway/evidence", "policy/...", "internal/..."},
		"it says who asks, and what they may, of what operators see and do"},
	{"gateway/...", []string{"policy/...", "internal/..."},
		"the packages below gateway don't know each other"},
	{"flags/...", []string{"flags/...", "policy", "internal/..."},
		"flags are evaluated for a policy, whoever asks"},
	{"policy/...", []string{"policy/...", "internal/strictjson", "internal/strictyaml", "internal/zonedtime"},
		"a policy is pure: it knows nobody who uses it"},
	{"internal/strictyaml", []string{"internal/zonedtime"},
		"a document has moments"},
	{"internal/...", nil,
		"what all may know knows nobody"},
	{"deploy/...", nil,
		"files, and tests of them"},
}

// matches reports whether a package matches a pattern.
func matches(pattern, pkg string) bool {
	root, subtree := strings.CutSuffix(pattern, "/...")
	return pkg == root || subtree && strings.HasPrefix(pkg, root+"/")
}

const module = "github.com/exitgate/exitgate/"

// readImports returns what each package of the module imports, without its
// tests. Ours are named from the root of the module.
func readImports(t *testing.T) map[string][]string {
	t.Helper()
	imports := make(map[string][]string)
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != ".." {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return filepath.SkipDir
			}
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := strings.TrimPrefix(path.Dir(filepath.ToSlash(name)), "../")
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(imports[pkg], imported) {
				imports[pkg] = append(imports[pkg], imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}

func TestPackagesImportWhatTheRulesAllow(t *testing.T) {
	for pkg, imports := range readImports(t) {
		i := slices.IndexFunc(importRules, func(r importRule) bool { return matches(r.of, pkg) })
		if i < 0 {
			t.Errorf("there is no rule for %s", pkg)
			continue
		}
		rule := importRules[i]
		for _, imported := range imports {
			ours, is := strings.CutPrefix(imported, module)
			allowed := matches(pkg+"/...", ours) || slices.ContainsFunc(rule.may, func(p string) bool { return matches(p, ours) })
			if is && !allowed {
				t.Errorf("%s imports %s, but may only know %v: %s", pkg, ours, rule.may, rule.why)
			}
		}
	}
}

// TestNoDecisionTouchesTheLedger holds that a request is decided by what is in
// memory: nothing that its path is made of imports the ledger, what it is on, or
// where it is kept.
func TestNoDecisionTouchesTheLedger(t *testing.T) {
	imports := readImports(t)
	var visit func(by []string)
	seen := make(map[string]bool)
	visit = func(by []string) {
		pkg := by[len(by)-1]
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		for _, imported := range imports[pkg] {
			ours, is := strings.CutPrefix(imported, module)
			switch {
			case strings.HasPrefix(imported, "github.com/nats-io/"), ours == "gateway/ledger", ours == "gateway/source", ours == "gateway/statedir":
				t.Errorf("%s imports %s", strings.Join(by, " imports "), imported)
			case is:
				visit(append(slices.Clone(by), ours))
			}
		}
	}
	visit([]string{"gateway/request"})
	if !seen["gateway/enforce"] || !seen["policy"] {
		t.Errorf("it is made of %v", seen)
	}
}
