package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
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

func TestAFileIsReadUpToItsLimitAndOnlyAFile(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	put(t, file, "12345")
	if got, err := files.Read(file, 5); string(got) != "12345" || err != nil {
		t.Errorf("it reads %q, %v", got, err)
	}
	if _, err := files.Read(file, 4); err == nil || err.Error() != file+" has more than 4 bytes, the limit" {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := files.Read(folder, 4); err == nil || err.Error() != folder+" is not a file" {
		t.Errorf("a folder: %v", err)
	}
	if _, err := files.Read(os.DevNull, 4); err == nil {
		t.Error("a device is read")
	}
	if _, err := files.Read(file+"s", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func TestAFileThatIsReplacedIsWholeAndItsOwnersAlone(t *testing.T) {
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

func TestAReplacementThatFailsLeavesTheOldOneAndNothingElse(t *testing.T) {
	folder := t.TempDir()
	inTheWay := filepath.Join(folder, "taken")
	if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(folder, "none", "file")
	for file, want := range map[string]string{
		inTheWay: "write " + inTheWay + ": file exists",
		nowhere:  "write " + nowhere + ": no such file or directory",
	} {
		if err := files.Replace(file, []byte("x")); err == nil || err.Error() != want {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
	if got := names(t, folder); !slices.Equal(got, []string{"taken"}) {
		t.Errorf("there are %v", got)
	}
}

func TestOnlyWhatNobodyFinishesIsSwept(t *testing.T) {
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
