package policytest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// EachFixture runs a test for each document in a folder, with the name of the
// golden file beside it.
func EachFixture(t *testing.T, folder string, test func(t *testing.T, name, goldenFile string, source []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in %s: %v", folder, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			test(t, name, strings.TrimSuffix(file, ".yaml")+".golden", source)
		})
	}
}

// OverJSON returns what a client has that decodes what it is sent, and fails
// unless that is the same.
func OverJSON[T any](t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, sent T) T {
	t.Helper()
	text, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got T
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	same := cmp.Options{
		cmpopts.IgnoreUnexported(plan.Plan{}),
		cmp.Comparer(func(a, b policy.Value) bool { return a == b }),
	}
	if diff := cmp.Diff(sent, got, same); diff != "" {
		t.Fatalf("sent and got:\n%s\n%s", diff, text)
	}
	if again, err := json.Marshal(got); err != nil || !bytes.Equal(again, text) {
		t.Fatalf("sent again it is another text (%v):\n%s\n%s", err, text, again)
	}
	return got
}
