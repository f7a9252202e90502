package geo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/exitgate/exitgate/internal/files"
)

// A copyFolder has a copy of each of the operator's databases, for a start at
// which the file itself can't be used. "" has none.
//
// A copy is the file, byte by byte: what version its format has is written in
// it. Its name is HASH-CHECKSUM.mmdb, the first 64 bits each, in hexadecimal, of
// the SHA-256 of the file's path and of the content: a copy that is there
// needn't be written again.
type copyFolder string

// of returns the copies that there are of a file.
func (f copyFolder) of(path string) []string {
	if f == "" {
		return nil
	}
	copies, _ := filepath.Glob(filepath.Join(string(f), hashOf(path)+"-*.mmdb")) // the pattern is well-formed
	return copies
}

func (f copyFolder) name(path string, checksum [sha256.Size]byte) string {
	return filepath.Join(string(f), hashOf(path)+"-"+hex.EncodeToString(checksum[:8])+".mmdb")
}

// open opens the copy of a file.
func (f copyFolder) open(path string, parse func([]byte) (*database, error)) (*database, error) {
	err := errors.New("there is no copy")
	for _, name := range f.of(path) {
		var content []byte
		if content, err = files.Read(name, maxSize); err != nil {
			continue
		}
		var db *database
		if db, err = parse(content); err == nil && name == f.name(path, db.checksum) {
			db.path = path
			return db, nil
		}
	}
	return nil, errors.Join(err, errors.New("no copy is intact"))
}

// write writes a database as the copy of its file.
func (f copyFolder) write(db *database) error {
	if f == "" {
		return nil
	}
	name := f.name(db.path, db.checksum)
	before := f.of(db.path)
	if len(before) == 1 && before[0] == name {
		return nil
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	files.RemoveUnfinished(string(f))
	if err := files.Replace(name, db.content()); err != nil {
		return fmt.Errorf("copy %s: %w", db.path, err)
	}
	for _, old := range before {
		if old != name {
			_ = os.Remove(old) // the next time, if not now
		}
	}
	return nil
}

func hashOf(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:8])
}
