// Package watch calls functions when files change, or as time goes by. It sees
// files change whichever way they are: written in place, renamed over, or by the
// swap of a symbolic link or a directory in their path, as Kubernetes does with
// mounted volumes.
package watch

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options are how files are watched. Of the durations, zero means the default
// that is given here.
type Options struct {
	// Settle is how long changed files must look the same before the change
	// is reported, so that one that is being written is not read half: 50 ms,
	// and a second where one is written in place, or appears. The wait is at most maxSettles
	// times as long.
	Settle time.Duration
	// Poll is how often to look at the files even if no event came: 15 s.
	// Events get lost on network file systems, and a system may have no more
	// watches to give.
	Poll   time.Duration
	Logger *slog.Logger
}

const (
	// maxSettles bounds the wait for files that are written all the time.
	maxSettles = 20
	// settleInPlace is for how long a file is quiet that nobody is writing any more:
	// a half-written one may be valid, and say something else.
	settleInPlace = time.Second
)

// Files calls changed at once, as the files may have changed since they were
// read, and then whenever any of them may have changed, until the context
// ends. A file may be missing now or later: that is a change too.
func Files(ctx context.Context, files []string, o Options, changed func()) {
	w := &watcher{files: files, settleTime: cmp.Or(o.Settle, 50*time.Millisecond)}
	poll := cmp.Or(o.Poll, 15*time.Second)
	if notify, err := fsnotify.NewWatcher(); err == nil {
		defer notify.Close()
		w.notify, w.events, w.errors = notify, notify.Events, notify.Errors
	} else {
		o.Logger.Warn("no file system events, files are polled", "files", files, "every", poll, "error", err)
	}
	w.follow()
	w.differ()
	changed()

	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events:
		case <-w.errors: // events were lost: look
		case <-ticker.C:
		}
		w.follow()
		if w.differ() && w.settle(ctx) {
			w.inPlace = false
			w.follow()
			changed()
		}
	}
}

// Every calls a function in each interval, until the context ends.
func Every(ctx context.Context, interval time.Duration, call func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			call()
		}
	}
}

type watcher struct {
	files      []string
	settleTime time.Duration
	notify     *fsnotify.Watcher // nil: there is only polling
	events     <-chan fsnotify.Event
	errors     <-chan error
	seen       []os.FileInfo // of the files when last looked at, nil if missing
	inPlace    bool          // one of them was written in place, or has appeared, since the last report
}

// settle waits until the files look the same for a while; false if the context
// ended.
func (w *watcher) settle(ctx context.Context) bool {
	ticker := time.NewTicker(w.settleTime)
	defer ticker.Stop()
	quiet, needed := 0, w.ticks()
	for ticks := 0; quiet < needed && ticks < maxSettles*needed; ticks++ {
		select {
		case <-ctx.Done():
			return false
		case <-w.events:
			ticks--
		case <-ticker.C:
			if quiet++; w.differ() {
				quiet, needed = 0, w.ticks()
			}
		}
	}
	return true
}

// ticks returns how many settle times the files must look the same.
func (w *watcher) ticks() int {
	if !w.inPlace {
		return 1
	}
	return int((settleInPlace + w.settleTime - 1) / w.settleTime)
}

// follow watches the directories that the files are in, and those in which a
// symbolic link on the way to them is. Directories are watched rather than
// files, as a file that is replaced takes its watch with it.
func (w *watcher) follow() {
	if w.notify == nil {
		return
	}
	var directories []string
	for _, file := range w.files {
		directories = append(directories, filepath.Dir(file))
		if target, err := filepath.EvalSymlinks(file); err == nil {
			directories = append(directories, filepath.Dir(target))
		}
		for at := filepath.Clean(file); at != filepath.Dir(at); at = filepath.Dir(at) {
			if info, err := os.Lstat(at); err == nil && info.Mode()&os.ModeSymlink != 0 {
				directories = append(directories, filepath.Dir(at))
			}
		}
	}
	for _, watched := range w.notify.WatchList() {
		if !slices.Contains(directories, watched) {
			_ = w.notify.Remove(watched) // gone already
		}
	}
	for _, directory := range directories {
		_ = w.notify.Add(directory) // what can't be watched is polled
	}
}

// differ looks at the files and reports whether any looks different than the
// last time.
func (w *watcher) differ() bool {
	previous := w.seen
	w.seen = make([]os.FileInfo, len(w.files))
	for i, file := range w.files {
		if info, err := os.Stat(file); err == nil {
			w.seen[i] = info
		}
	}
	if slices.EqualFunc(previous, w.seen, Same) {
		return false
	}
	for i, before := range previous {
		now := w.seen[i]
		w.inPlace = w.inPlace || now != nil && !Same(before, now) && (before == nil || os.SameFile(before, now))
	}
	return true
}

// Same reports whether two looks at a file, nil where it was missing, are of one
// file that wasn't written to, nor given other permissions, in between.
func Same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime())
}
