package accesslog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
)

// A disk of 64 KiB is filled, and freed again.
func TestAFullDiskCostsLinesAndNothingElse(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") != "" && os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Skip("no disk can be mounted here: ", err)
	}
	defer func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	filler := filepath.Join(folder, "filler")
	if err := os.WriteFile(filler, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, filepath.Join(folder, "access.log"))
	for f.lost.Load() < 10 {
		f.record(1)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is written again", func() bool {
		f.record(1)
		return len(f.log.Lines("is written again")) == 1
	})
	f.Close()
	whole, torn := numbers(t, read(t, f.file))
	if len(whole)+int(f.lost.Load()) != f.next || torn > 1 || whole[len(whole)-1] != fmt.Sprint(f.next-1) {
		t.Errorf("of %d lines %d are there, %d lost and %d torn; the last is %s", f.next, len(whole), f.lost.Load(), torn, whole[len(whole)-1])
	}
	if n := len(f.log.Lines("can't be written", syscall.ENOSPC.Error())); n != 1 {
		t.Errorf("%d lines of the log say that it can't be written: %s", n, &f.log)
	}
	t.Logf("%d torn", torn)
}
