package watch_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is shorter than the poll: what is seen by then came of an event.
const patience = 10 * time.Second

// follow watches a file and returns a function that waits until the file was
// last read with this content, "" if it was missing.
func follow(t *testing.T, file string) (until func(content string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	reads := make(chan string, 100)
	running.Go(func() {
		watch.Files(ctx, []string{file}, watch.Options{Logger: slog.New(slog.DiscardHandler)}, func() {
			content, _ := os.ReadFile(file)
			reads <- string(content)
		})
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return func(content string) {
		t.Helper()
		timeout := time.After(patience)
		last := "(never read)"
		for last != content {
			select {
			case last = <-reads:
			case <-timeout:
				t.Fatalf("it was last read as %q, want %q", last, content)
			}
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644))
}

func TestFiles_calledAtOnceAndAtEachChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "one")
	until := follow(t, file)
	until("one")
	write(t, file, "two")
	until("two")
	write(t, file+".next", "three")
	must(t, os.Rename(file+".next", file))
	until("three")
	must(t, os.Remove(file))
	until("")
	write(t, file, "four")
	until("four")
	// Of the same size, and of the same time as the one before.
	info, err := os.Stat(file)
	must(t, err)
	write(t, file+".next", "five")
	must(t, os.Chtimes(file+".next", info.ModTime(), info.ModTime()), os.Rename(file+".next", file))
	until("five")
}

func TestFiles_missingAtFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	until := follow(t, file)
	until("")
	write(t, file, "one")
	until("one")
}

func TestFiles_folderReplaced(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "folder")
	file := filepath.Join(folder, "file")
	write(t, file, "one")
	until := follow(t, file)
	until("one")
	for _, content := range []string{"two", "three"} {
		write(t, filepath.Join(folder+".next", "file"), content)
		must(t, os.Rename(folder, folder+".old"), os.Rename(folder+".next", folder), os.RemoveAll(folder+".old"))
		until(content)
	}
	write(t, file, "four") // and in the new one it is watched
	until("four")
}

func TestFiles_anySymbolicLinkSwapped(t *testing.T) {
	root := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	swap := func(target, link string) {
		t.Helper()
		must(t, os.Symlink(target, link+".next"), os.Rename(link+".next", link))
	}
	for _, version := range []string{"1", "2", "3"} {
		write(t, at("versions", version, "file"), version)
	}
	// file → ..data/file, ..data → versions/N, and mount → the folder of both.
	must(t, os.Mkdir(at("volume"), 0o755), os.Symlink("..data/file", at("volume", "file")))
	swap(at("versions", "1"), at("volume", "..data"))
	swap("volume", at("mount"))
	until := follow(t, at("mount", "file"))
	until("1")
	swap(at("versions", "2"), at("volume", "..data"))
	until("2")
	write(t, at("other", "file"), "other")
	swap("other", at("mount"))
	until("other")
	swap("volume", at("mount"))
	until("2")
	write(t, at("versions", "2", "file"), "2, in place")
	until("2, in place")
	swap(at("versions", "3"), at("volume", "..data"))
	until("3")
}

func TestFiles_writtenInPartsIsReportedWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	const parts = 20
	reads := make(chan int64, 100)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	running.Go(func() {
		watch.Files(ctx, []string{file}, watch.Options{Settle: 2 * time.Second}, func() {
			info, err := os.Stat(file)
			if err == nil {
				reads <- info.Size()
			}
		})
	})
	<-reads
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	for range parts {
		_, err := f.WriteString("x")
		must(t, err)
		time.Sleep(5 * time.Millisecond)
	}
	must(t, f.Close())
	if size := <-reads; size != parts {
		t.Errorf("reported when it had %d of %d bytes", size, parts)
	}
	cancel()
	running.Wait()
}

func TestFiles_polledWithoutEvents(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "folder") // whose own replacement no event reports
	file := filepath.Join(parent, "sub", "file")
	write(t, file, "one")
	changed := make(chan struct{}, 100)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	running.Go(func() {
		o := watch.Options{Settle: time.Millisecond, Poll: time.Millisecond}
		watch.Files(ctx, []string{file}, o, func() { changed <- struct{}{} })
	})
	<-changed
	write(t, filepath.Join(parent+".next", "sub", "file"), "two, longer")
	must(t, os.Rename(parent, parent+".old"), os.Rename(parent+".next", parent))
	select {
	case <-changed:
	case <-time.After(patience):
		t.Error("not reported")
	}
	cancel()
	running.Wait()
}
