package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/gateway/ledger"
)

// small is a disk of its own, of a few megabytes.
func small(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("no disk can be mounted here: ", err) // the next test fills one otherwise
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// fill appends until that isn't possible any more.
func fill(t testing.TB, l *ledger.Ledger, after ledger.Point) (last ledger.Point, err error) {
	t.Helper()
	for {
		r, err := l.Append(within(t), after, entry(strings.Repeat("x", 100<<10)))
		if err != nil {
			return after, err
		}
		after = r.Point()
	}
}

func TestAppend_fullDisk(t *testing.T) {
	folder := small(t)
	filler := filepath.Join(folder, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, ledger.Options{Folder: folder})
	f := follow(t, l, ledger.Point{})
	last, err := fill(t, l, ledger.Point{})
	if err == nil || !strings.HasPrefix(err.Error(), "nothing was written: ") || !strings.Contains(err.Error(), blocks(t, folder)[0]) {
		t.Errorf("the error is %v", err)
	}
	if report := verify(t, l); report.Last != last || len(report.Invalid) > 0 {
		t.Errorf("%v was acknowledged, and there is %+v", last, report)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	after := add(t, l, last, "there is room again")
	f.until(line(after[0]))
	if got := len(f.got()); got != int(after[0].Number) {
		t.Errorf("%d records were delivered, not %d", got, after[0].Number)
	}
	closed(t, l)
	if got := len(history(t, open(t, ledger.Options{Folder: folder, Known: after[0].Point()}))); got != int(after[0].Number) {
		t.Errorf("%d records are left of %d", got, after[0].Number)
	}
}

func TestOpen_readOnlyDisk(t *testing.T) {
	disk := small(t)
	folder := filepath.Join(disk, "ledger")
	l := open(t, ledger.Options{Folder: folder})
	add(t, l, ledger.Point{}, "a")
	closed(t, l)
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	_, err := ledger.Open(within(t), ledger.Options{Folder: folder, Log: quiet()})
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), folder) {
		t.Errorf("the error is %v", err)
	}
}
