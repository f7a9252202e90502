// Package watch says when files change, whichever way they are changed:
// rewritten in place, renamed over, or by the swap of a symbolic link
// somewhere in their path, as Kubernetes does with mounted volumes.
package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	// systems, and when a whole directory is replaced.
	poll = 15 * time.Second
)

// Files calls changed, from one goroutine at a time, after any of the files may
// have changed, until the context ends. A file may be missing now or later:
// that is a change too. The error, if any, comes at once; then nothing is
// watched.
func Files(ctx context.Context, files []string, changed func()) error {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %v: %w", files, err)
	}
	w := &watcher{events: events, files: files}
	w.follow()
	w.differs()
	go w.run(ctx, changed)
	return nil
}

type watcher struct {
	events *fsnotify.Watcher
	files  []string
	seen   []print
}

// A print tells versions of a file apart without reading it.
type print struct {
	info     os.FileInfo
	size     int64
	modified time.Time
}

func (p print) same(q print) bool {
	if p.info == nil || q.info == nil {
		return p.info == nil && q.info == nil
	}
	return p.size == q.size && p.modified.Equal(q.modified) && os.SameFile(p.info, q.info)
}

func (w *watcher) run(ctx context.Context, changed func()) {
	defer w.events.Close()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events.Events:
			w.rest(ctx)
		case <-w.events.Errors: // an overflow: look for oneself
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
		case <-w.events.Events:
		case <-time.After(quiet):
			return
		}
	}
}

// follow watches the directories that the files are in, and those that
// symbolic links on the way lead to. Directories are watched rather than
// files, as a file that is replaced takes its watch with it.
func (w *watcher) follow() {
	for _, file := range w.files {
		_ = w.events.Add(filepath.Dir(file))
		if real, err := filepath.EvalSymlinks(file); err == nil {
			_ = w.events.Add(filepath.Dir(real))
		}
	}
}

// differs says whether any file is another than when it was last asked.
func (w *watcher) differs() bool {
	now := make([]print, len(w.files))
	for i, file := range w.files {
		if info, err := os.Stat(file); err == nil {
			now[i] = print{info, info.Size(), info.ModTime()}
		}
	}
	different := false
	for i := range now {
		if w.seen != nil && !now[i].same(w.seen[i]) {
			different = true
		}
	}
	w.seen = now
	return different
}
