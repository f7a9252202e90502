package geo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/files"
)

// A copyFolder has a copy of each of the operator's files in use, for a start at
// which the file itself can't be used, and for the next start to compare its
// databases with. "" has none.
//
// A copy is the file, byte by byte: what version its format has is written in
// it. Its name is HASH-CHECKSUM.mmdb, the first 64 bits each, in hexadecimal, of
// the SHA-256 of the file's path and of the content: a copy that is there
// needn't be written again.
//
// Which databases located clients, in their order, a sealed file says, by the names
// of their copies. It is written when all of these are there, and before others
// are removed: whenever the process is killed, all that it names is there. Earlier
// versions didn't write it, and kept the copies of files that were no longer named.
type copyFolder string

// copyName returns the name of the copy of a database.
func copyName(db *database) string { return hashOf(db.path) + copySuffix(db) }

// copySuffix is what the name of each copy of a database's content ends with.
func copySuffix(db *database) string { return "-" + hex.EncodeToString(db.checksum[:8]) + ".mmdb" }

// isCopyOf reports whether a copy of that name has a database's content, whatever
// file it is a copy of.
func isCopyOf(name string, db *database) bool { return strings.HasSuffix(name, copySuffix(db)) }

// isOfFile reports whether a copy of that name is one of a file.
func isOfFile(name, path string) bool { return strings.HasPrefix(name, hashOf(path)+"-") }

func hashOf(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:8])
}

func (f copyFolder) path(name string) string { return filepath.Join(string(f), name) }

// all returns the names of the copies that there are.
func (f copyFolder) all() (names []string) {
	if f == "" {
		return nil
	}
	copies, _ := filepath.Glob(f.path("*.mmdb")) // the pattern is well-formed
	for _, name := range copies {
		names = append(names, filepath.Base(name))
	}
	return names
}

// written returns when a copy was written.
func (f copyFolder) written(name string) time.Time {
	info, err := os.Stat(f.path(name))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// read reads a copy.
func (f copyFolder) read(name string, parse func([]byte) (*database, error)) (*database, error) {
	content, err := files.Read(f.path(name), maxSize)
	if err != nil {
		return nil, err
	}
	db, err := parse(content)
	if err == nil && !isCopyOf(name, db) {
		err = errors.New("its content isn't what was copied")
	}
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", name, err)
	}
	db.path = f.path(name)
	return db, nil
}

// open opens the copy of a file.
func (f copyFolder) open(path string, parse func([]byte) (*database, error)) (*database, error) {
	err := errors.New("there is no copy")
	for _, name := range f.all() {
		if !isOfFile(name, path) {
			continue
		}
		var db *database
		if db, err = f.read(name, parse); err == nil {
			db.path = path
			return db, nil
		}
	}
	return nil, err
}

// inUseFile says which databases located clients, in at most maxNames bytes.
const (
	inUseFile = "in-use"
	maxNames  = 1 << 20
)

// inUse returns the names of the copies of the databases that located clients, in
// their order. An error is that it isn't known.
func (f copyFolder) inUse() ([]string, error) {
	sealed, err := files.Read(f.path(inUseFile), maxNames)
	if err != nil {
		return nil, err
	}
	content, err := files.Unseal(sealed)
	return strings.Fields(string(content)), err
}

// write writes copies of the databases in use, says which of them locate clients,
// and removes all other copies.
func (f copyFolder) write(located, others []*database) error {
	if f == "" {
		return nil
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	files.RemoveUnfinished(string(f))
	var names []string
	for _, db := range slices.Concat(located, others) {
		name := copyName(db)
		names = append(names, name)
		if info, err := os.Stat(f.path(name)); db.path == Embedded || err == nil && info.Size() == int64(len(db.content())) {
			continue
		}
		if err := files.Replace(f.path(name), db.content()); err != nil {
			return fmt.Errorf("copy %s: %w", db.path, err)
		}
	}
	now := files.Seal([]byte(strings.Join(names[:len(located)], "\n") + "\n"))
	if before, err := files.Read(f.path(inUseFile), maxNames); err != nil || !bytes.Equal(before, now) {
		if err := files.Replace(f.path(inUseFile), now); err != nil {
			return err
		}
	}
	for _, name := range f.all() {
		if !slices.Contains(names, name) {
			_ = os.Remove(f.path(name)) // the next time, if not now
		}
	}
	return nil
}
