//go:build unix

package files_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/internal/files"
)

func TestLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := files.Lock(file)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := files.Lock(file); err == nil || !strings.Contains(err.Error(), file) {
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
