package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file that was put in place whole is read soon; for one that is written in place it is
// waited until nobody has written for a second.
func TestAFileThatIsWrittenInPlaceIsWaitedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	w := &watcher{files: []string{file}, settleTime: 50 * time.Millisecond}
	put := func(name, content string) {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, ticks int) {
		t.Helper()
		w.inPlace = false
		if !w.differ() || w.ticks() != ticks {
			t.Errorf("%s: %d ticks, want %d", what, w.ticks(), ticks)
		}
	}
	w.differ()
	put(file, "one")
	expect("it has appeared", 20)
	put(file, "one and two")
	expect("it was written to", 20)
	put(file+".next", "three")
	if err := os.Rename(file+".next", file); err != nil {
		t.Fatal(err)
	}
	expect("another was moved in its place", 1)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	expect("it is gone", 1)
}
