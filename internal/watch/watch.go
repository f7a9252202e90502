// Package watch says when files change, whichever way they are changed:
// rewritten in place, renamed over, or by the swap of a symbolic link or a
// directory in their path, as Kubernetes does with mounted volumes.
package watch

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long files must rest before a change is told, so that
	// one that is being written is not read half.
	quiet = 50 * time.Millisecond
	// longest bounds the wait for files that are written all the time.
	longest = time.Second
	// poll finds what no event told of: they get lost on network file
	// systems, and a system may have no more watches to give.
	poll = 15 * time.Second
)

// Files calls changed at once, as the files may have changed since they were
// read, and then whenever any of them may have changed, until the context
// ends. A file may be missing now or later: that is a change too.
func Files(ctx context.Context, files []string, log *slog.Logger, changed func()) {
	w := &watcher{files: files}
	if notify, err := fsnotify.NewWatcher(); err == nil {
		defer notify.Close()
		w.notify, w.events, w.errors = notify, notify.Events, notify.Errors
	} else {
		log.Warn("the system tells of no changes: files are looked at now and then", "files", files, "every", poll, "error", err)
	}
	w.follow()
	w.differs()
	changed()
	w.run(ctx, changed)
}

type watcher struct {
	notify *fsnotify.Watcher // nil: there is only polling
	events <-chan fsnotify.Event
	errors <-chan error
	files  []string
	seen   []print
}

// A print tells versions of a file apart without reading it.
type print struct{ info os.FileInfo } // nil: it is missing

func (p print) same(q print) bool {
	if p.info == nil || q.info == nil {
		return p.info == nil && q.info == nil
	}
	return os.SameFile(p.info, q.info) && p.info.Size() == q.info.Size() && p.info.ModTime().Equal(q.info.ModTime())
}

func (w *watcher) run(ctx context.Context, changed func()) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events:
			w.rest(ctx)
		case <-w.errors: // an overflow: look for oneself
		case <-ticker.C:
		}
		w.follow()
		if ctx.Err() == nil && w.differs() {
			changed()
		}
	}
}

// rest waits until nothing happens for a moment.
func (w *watcher) rest(ctx context.Context) {
	deadline := time.NewTimer(longest)
	defer deadline.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-deadline.C:
			return
		case <-w.events:
		case <-time.After(quiet):
			return
		}
	}
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
		if real, err := filepath.EvalSymlinks(file); err == nil {
			directories = append(directories, filepath.Dir(real))
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

// differs says whether any file is another than when it was last asked.
func (w *watcher) differs() bool {
	now := make([]print, len(w.files))
	for i, file := range w.files {
		if info, err := os.Stat(file); err == nil {
			now[i] = print{info}
		}
	}
	before := w.seen
	w.seen = now
	return before != nil && !slices.EqualFunc(before, now, print.same)
}
