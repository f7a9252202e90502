// Package files reads, replaces and locks files so that neither a huge one, nor
// a machine that stops, nor another process does harm.
//
// All functions are safe for concurrent use.
package files

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Read reads a file that may have so many bytes at most.
func Read(name string, limit int64) ([]byte, error) {
	// Before it is opened: to open a pipe is to wait for its writer.
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes, the limit", name, limit)
	}
	return content, err
}

// unfinished ends the name of a file that will take another one's place.
const unfinished = ".unfinished"

// Replace puts a file, which only its owner may read, in the place of the one of
// that name, so that whenever the machine stops, the old or the new content is
// there, whole.
func Replace(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*"+unfinished)
	if err != nil {
		return notWritten(name, err)
	}
	_, err = f.Write(content)
	err = cmp.Or(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // else Sweep does
		return notWritten(name, err)
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// notWritten is an error that names the file, and not the one that was to take
// its place.
func notWritten(name string, err error) error {
	var at *fs.PathError
	var from *os.LinkError
	switch {
	case errors.As(err, &at):
		err = at.Err
	case errors.As(err, &from):
		err = from.Err
	}
	return fmt.Errorf("write %s: %w", name, err)
}

// RemoveUnfinished removes from a folder what calls of Replace that were killed have left
// behind. What is younger than a minute may be somebody's who is still writing.
func RemoveUnfinished(folder string) {
	leftovers, _ := filepath.Glob(filepath.Join(folder, "*"+unfinished)) // what can't be listed stays
	for _, leftover := range leftovers {
		if info, err := os.Stat(leftover); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(leftover) // it only takes up room
		}
	}
}
