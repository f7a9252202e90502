package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/exitgate/exitgate/internal/files"
)

// Purges returns the sealed file that says what the caches were purged for.
func (d Dir) Purges() string { return d.in("purges.json") }

// ReadPurges returns what WritePurges kept, nil if nothing was. What was cut or
// changed is an error.
func (d Dir) ReadPurges() ([]byte, error) {
	text, err := files.Read(d.Purges(), 16<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		text, err = files.Unseal(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Purges(), err)
	}
	return text, nil
}

// WritePurges keeps what the caches were purged for.
func (d Dir) WritePurges(content []byte) error {
	return files.Replace(d.Purges(), files.Seal(content))
}

// RemovePurges forgets it: nobody follows what is refused any more.
func (d Dir) RemovePurges() error {
	if err := os.Remove(d.Purges()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
