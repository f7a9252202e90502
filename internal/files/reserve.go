package files

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
)

// Reserve makes a file that takes up room on its disk, for who removes it when the
// disk is full. One that can't be made is removed.
func Reserve(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, size)
	if errors.Is(err, errors.ErrUnsupported) {
		_, err = io.CopyN(f, rand.Reader, size) // which no file system compresses
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
