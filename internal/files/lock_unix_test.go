//go:build unix

package files_test

import (
	"path/filepath"
	"testing"

	"github.com/exitgate/exitgate/internal/files"
)

func TestAFileIsHeldByOneUntilItIsGivenBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := files.Lock(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "another gateway runs with this data folder (" + file + " is locked): stop it, or give this one another folder"
	if _, err := files.Lock(file); err == nil || err.Error() != want {
		t.Errorf("the error is %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	again, err := files.Lock(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}
