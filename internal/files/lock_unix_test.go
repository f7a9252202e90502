//go:build unix

package files_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// A process that is being started holds all files that are open until it has become
// another program.
func TestLockIsFreeAtOnceBesideProcessesThatStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	var starts sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer func() { stop(); starts.Wait() }()
	for range 2 {
		starts.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command("true").Run()
			}
		})
	}
	for range 1000 {
		unlock, err := files.Lock(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	}
}
