// Package files reads, replaces and locks files so that neither a huge one, nor
// a machine that stops, nor another process does harm.
//
// All functions are safe for concurrent use.
package files

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrTooLarge is the error of content that is larger than its limit.
var ErrTooLarge = errors.New("larger than the limit")

// Read reads a regular file of at most limit bytes. Of a larger one the error is
// an [ErrTooLarge].
func Read(name string, limit int64) ([]byte, error) {
	// Before it is opened: to open a pipe is to wait for its writer.
	var size int64
	if info, err := os.Stat(name); err == nil { // else Open returns the error
		size = info.Size()
		switch {
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is not a regular file", name)
		case size > limit:
			return nil, fmt.Errorf("%s: %w", name, tooLarge(limit))
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := readAll(f, limit, size)
	if errors.Is(err, ErrTooLarge) { // it has grown, or has no size: /proc
		err = fmt.Errorf("%s: %w", name, err)
	}
	return content, err
}

// ReadAll reads to the end of at most limit bytes. Of more the error is an
// [ErrTooLarge].
func ReadAll(r io.Reader, limit int64) ([]byte, error) { return readAll(r, limit, 0) }

// readAll allocates once if the size is known.
func readAll(r io.Reader, limit, size int64) ([]byte, error) {
	content := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	n, err := content.ReadFrom(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, err
	case n > limit:
		return nil, tooLarge(limit)
	}
	return content.Bytes(), nil
}

func tooLarge(limit int64) error { return fmt.Errorf("%w of %d bytes", ErrTooLarge, limit) }

// unfinished is the end of a temporary file's name.
const unfinished = ".unfinished"

// Replace writes a file, which only its owner may read, in the place of the one
// of that name, so that whenever the machine stops, the old or the new content
// is there, whole.
func Replace(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*"+unfinished)
	if err != nil {
		return writeError(name, err)
	}
	_, err = f.Write(content)
	err = cmp.Or(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // else RemoveUnfinished does
		return writeError(name, err)
	}
	return SyncFolder(filepath.Dir(name))
}

// SyncFolder returns when the names in a folder are on disk.
func SyncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// writeError returns an error that names the file, and not the temporary one.
func writeError(name string, err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("write %s: %w", name, err)
}

// RemoveUnfinished removes from a folder the temporary files that calls of
// Replace left behind when they were killed. One that is younger than a minute
// may be somebody's who is still writing.
func RemoveUnfinished(folder string) {
	leftovers, _ := filepath.Glob(filepath.Join(folder, "*"+unfinished)) // what can't be listed stays
	for _, leftover := range leftovers {
		if info, err := os.Stat(leftover); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(leftover) // it only takes up room
		}
	}
}
