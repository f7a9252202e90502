package files_test

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/exitgate/exitgate/internal/files"
)

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// names of what is in a folder.
func names(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRead(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	put(t, file, "12345")
	if got, err := files.Read(file, 5); string(got) != "12345" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := files.Read(file, 4); !errors.Is(err, files.ErrTooLarge) || !strings.Contains(err.Error(), file) {
		t.Errorf("beyond the limit: %v", err)
	}
	for _, name := range []string{folder, os.DevNull} {
		if _, err := files.Read(name, 4); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("not a regular file: %v", err)
		}
	}
	if _, err := files.Read(file+"s", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestReadAll(t *testing.T) {
	for limit, want := range map[int64]error{4: files.ErrTooLarge, 5: nil, 6: nil, math.MaxInt32: nil} {
		got, err := files.ReadAll(strings.NewReader("12345"), limit)
		if !errors.Is(err, want) || err == nil && string(got) != "12345" {
			t.Errorf("limit %d: %q, %v", limit, got, err)
		}
	}
	broken := errors.New("broken")
	if _, err := files.ReadAll(io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), 5); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

func TestSeal(t *testing.T) {
	const checksum = "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"
	sealed := files.Seal([]byte("hello world\n"))
	if string(sealed) != checksum+"\nhello world\n" {
		t.Errorf("sealed is %q", sealed)
	}
	for _, content := range []string{"", "hello world\n"} {
		if got, err := files.Unseal(files.Seal([]byte(content))); string(got) != content || err != nil {
			t.Errorf("unsealed is %q, %v", got, err)
		}
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1
		for _, bad := range [][]byte{changed, sealed[:i], sealed[i+1:]} {
			if _, err := files.Unseal(bad); !errors.Is(err, files.ErrSeal) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

func TestReplace_leavesTheWholeFileReadableByItsOwnerOnly(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	for _, text := range []string{"the first, a long one", "second"} {
		if err := files.Replace(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); string(got) != text || err != nil {
			t.Errorf("it is %q, %v", got, err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	if got := names(t, folder); !slices.Equal(got, []string{"file"}) {
		t.Errorf("there are %v", got)
	}
}

func TestReplace_thatFailsLeavesTheOldFileAndNothingElse(t *testing.T) {
	folder := t.TempDir()
	inTheWay := filepath.Join(folder, "taken")
	if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(folder, "none", "file")
	for file, want := range map[string]error{inTheWay: fs.ErrExist, nowhere: fs.ErrNotExist} {
		if err := files.Replace(file, []byte("x")); !errors.Is(err, want) || !strings.Contains(err.Error(), file+":") {
			t.Errorf("the error is %v, want %v of %s", err, want, file)
		}
	}
	if got := names(t, folder); !slices.Equal(got, []string{"taken"}) {
		t.Errorf("there are %v", got)
	}
}

func TestRemoveUnfinished(t *testing.T) {
	folder := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for name, at := range map[string]time.Time{
		"policy.yaml": old, "policy.yaml.1.unfinished": old, "ledger.json.22.unfinished": old, "unfinished.yaml": old,
		"ledger.json.333.unfinished": time.Now(),
	} {
		put(t, filepath.Join(folder, name), "")
		if err := os.Chtimes(filepath.Join(folder, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	files.RemoveUnfinished(folder)
	if got := names(t, folder); !slices.Equal(got, []string{"ledger.json.333.unfinished", "policy.yaml", "unfinished.yaml"}) {
		t.Errorf("there are %v", got)
	}
	files.RemoveUnfinished(filepath.Join(folder, "none"))
}
