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

// A folder in which a copy of each of the operator's databases is kept, for a
// start at which the file itself can't be used. "" keeps nothing.
//
// The name of a copy begins with the hash of the file's path and goes on with
// that of the content: a copy that is there needn't be written again.
type keep string

// copies returns the copies that there are of a file.
func (k keep) copies(path string) []string {
	if k == "" {
		return nil
	}
	copies, _ := filepath.Glob(filepath.Join(string(k), hash([]byte(path))+"-*.mmdb")) // the pattern is well-formed
	return copies
}

// open opens the copy of a file.
func (k keep) open(path string, registeredCountry bool) (*database, error) {
	err := errors.New("there is no copy")
	for _, kept := range k.copies(path) {
		var content []byte
		if content, _, err = readWhole(kept); err != nil {
			continue
		}
		var db *database
		if db, err = parse(content, registeredCountry); err == nil {
			return db, nil
		}
	}
	return nil, err
}

// write keeps a database as the copy of its file.
func (k keep) write(db *database) error {
	if k == "" {
		return nil
	}
	name := filepath.Join(string(k), hash([]byte(db.path))+"-"+hex.EncodeToString(db.sum[:8])+".mmdb")
	before := k.copies(db.path)
	if len(before) == 1 && before[0] == name {
		return nil
	}
	if err := os.MkdirAll(string(k), 0o700); err != nil {
		return err
	}
	files.RemoveUnfinished(string(k))
	if err := files.Replace(name, db.tree.content); err != nil {
		return fmt.Errorf("keep a copy of %s: %w", db.path, err)
	}
	for _, old := range before {
		if old != name {
			_ = os.Remove(old) // the next time, if not now
		}
	}
	return nil
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
