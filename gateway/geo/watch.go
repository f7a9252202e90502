package geo

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// rest is how long a changed file must look the same before it is read:
// somebody may still be writing it.
const rest = 250 * time.Millisecond

// Watch takes up changed files until the context ends, then returns nil. The
// file system tells it of changes, and it looks by itself every Options.Poll.
// A change is understood however it is made: a file renamed over the old one,
// written in place, or reached by a symbolic link that points elsewhere now,
// which is how Kubernetes does it (..data).
func (l *Locator) Watch(ctx context.Context) error {
	paths := slices.DeleteFunc(slices.Clone(l.options.Files), func(path string) bool { return path == Embedded })
	if len(paths) == 0 {
		<-ctx.Done()
		return nil
	}

	poll := time.NewTicker(l.options.Poll)
	defer poll.Stop()
	rested := time.NewTimer(0) // at once: the files may have changed since Open
	defer rested.Stop()
	var events chan fsnotify.Event
	var losses chan error
	follow := func() {}
	if watcher, err := fsnotify.NewWatcher(); err == nil {
		defer watcher.Close()
		events, losses = watcher.Events, watcher.Errors
		follow = func() { followFolders(watcher, paths) }
		follow()
	} else {
		l.options.Logger.Warn("changed geo databases are taken up late: the system watches no more files",
			"after", l.options.Poll, "error", err)
	}

	l.keep()
	waiting := pending{}
	for {
		due := false
		select {
		case <-ctx.Done():
			return nil
		case <-events:
		case <-losses: // some events may be lost
		case <-poll.C:
			follow()
		case <-rested.C:
			due = true
		}
		ready, restless := waiting.update(l.changed(), due)
		if len(ready) > 0 {
			// What is wrong with them has been logged and handed to OnReload.
			_ = l.reloadFiles(func(path string) bool { return slices.Contains(ready, path) })
			l.keep()
			follow()
		}
		if restless {
			rested.Reset(rest)
		}
	}
}

// changed returns the files that don't look as they did when they were read,
// and how they look now.
func (l *Locator) changed() map[string]look {
	l.reload.Lock()
	defer l.reload.Unlock()
	changed := map[string]look{}
	for _, f := range l.files {
		if f.path == Embedded {
			continue
		}
		if now := lookAt(f.path); !now.same(f.seen) {
			changed[f.path] = now
		}
	}
	return changed
}

// pending holds the changed files that aren't taken up yet, and how they
// looked last.
type pending map[string]look

// update compares the files that have changed with how they looked before. At
// the end of a rest, those that look the same are ready to be read. Restless
// says that others aren't, and that there must be another rest.
func (p pending) update(changed map[string]look, due bool) (ready []string, restless bool) {
	for path := range p {
		if _, still := changed[path]; !still {
			delete(p, path)
		}
	}
	for path, now := range changed {
		before, known := p[path]
		switch {
		case !known || !before.same(now):
			p[path] = now
			restless = true
		case due:
			delete(p, path)
			ready = append(ready, path)
		}
	}
	return ready, restless
}

// followFolders watches the folders in which the files are, and those of the
// files that they are links to. What can't be watched is left to polling.
func followFolders(watcher *fsnotify.Watcher, paths []string) {
	var folders []string
	for _, path := range paths {
		folders = append(folders, filepath.Dir(path))
		if target, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
	}
	for _, folder := range watcher.WatchList() {
		if !slices.Contains(folders, folder) {
			_ = watcher.Remove(folder)
		}
	}
	for _, folder := range folders {
		_ = watcher.Add(folder)
	}
}
