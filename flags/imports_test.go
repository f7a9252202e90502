package flags_test

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/exitgate/exitgate/"

// TestFlagsKnowNothingOfTheGateway so that an app can use this package by
// itself: of ours it imports policy's types and those of OFREP, and beyond the
// standard library only OpenFeature.
func TestFlagsKnowNothingOfTheGateway(t *testing.T) {
	for dir, others := range map[string][]string{
		".":            {module + "policy", module + "flags/ofrep"},
		"ofrep/client": {module + "flags/ofrep", module + "internal/files", module + "internal/strictjson", "golang.org/x/net/http/httpguts"}, // net/http's own rules for header fields
		"ofrep/server": {module + "flags/ofrep", module + "internal/strictjson"},
	} {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(pkg.GoFiles) == 0 {
			t.Errorf("%s: no files found", dir)
		}
		for _, path := range pkg.Imports {
			first, _, _ := strings.Cut(path, "/")
			switch {
			case !strings.Contains(first, "."), strings.HasPrefix(path, "github.com/open-feature/go-sdk/"), slices.Contains(others, path):
			default:
				t.Errorf("%s imports %s: %v", dir, path, pkg.ImportPos[path])
			}
		}
	}
}
