package geo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/watch"
)

// maxSize is the size of the largest file that is read: 2 GiB. The largest
// databases there are have half of that.
const maxSize = 2 << 30

// A file is one of the operator's databases: where it is, and what came of it.
type file struct {
	path        string
	corrections bool      // it has corrections, and no database
	db          *database // in use

	seen            os.FileInfo       // when the file was read last; nil: it was missing or changing
	invalidChecksum [sha256.Size]byte // of the content that err is about
	err             error             // why the file, as it is, isn't in use
	since           time.Time         // of err
	rejected        bool              // err is somebody's decision

	held      *database // isn't trusted yet; nil: there is none
	losses    []Loss    // of held
	heldSince time.Time
}

// An outcome is what came of reading a file again.
type outcome int

const (
	unchanged outcome = iota // since the last time, valid or not
	changing                 // somebody is writing it
	invalid                  // for err
	held                     // isn't trusted yet, for losses
	replaced                 // db is what it holds now
	recovered                // was invalid, and holds again what db is
)

// open reads the file for the first time.
func (f *file) open(registeredCountry bool) error {
	content, err := f.read()
	if err == nil {
		f.db, err = f.parser(registeredCountry)(content)
	}
	if err != nil {
		return f.wrap(err)
	}
	f.db.path = f.path
	return nil
}

// parser returns what reads the file's content.
func (f *file) parser(registeredCountry bool) func(content []byte) (*database, error) {
	if f.corrections {
		return parseCorrections
	}
	return func(content []byte) (*database, error) { return parse(content, registeredCountry) }
}

// read reads a file and replaces the database in use by what is in it, if that is
// valid, differs, and hasn't lost too much.
func (l *Locator) read(f *file) outcome {
	before := f.seen
	content, err := f.read()
	switch {
	case errors.Is(err, errChanging):
		return changing
	case err != nil:
		return f.reject(err, [sha256.Size]byte{})
	}
	checksum := sha256.Sum256(content)
	switch {
	case f.held != nil && checksum == f.held.checksum, checksum == f.db.checksum && f.err == nil && f.held == nil,
		checksum == f.invalidChecksum && f.err != nil:
		return unchanged
	case checksum == f.db.checksum:
		f.accept(f.db)
		return recovered
	}
	decision := l.decided(checksum)
	if decision.Rejected != "" {
		return f.rejectBy(decision, checksum, l.options.Now())
	}
	db, err := f.parser(l.options.RegisteredCountry)(content)
	if err == nil && f.corrections {
		err = files.CheckWhole(f.db.corrections, content, before != nil && f.seen != nil && os.SameFile(before, f.seen))
	}
	if err == nil {
		err = db.mayReplace(f.db, l.options.AllowOlder)
	}
	if err != nil {
		return f.reject(err, checksum)
	}
	if losses := l.lossesBy(f, f.db, db); losses != nil && !decision.Accepted {
		f.accept(f.db)
		f.hold(db, losses, l.options.Now())
		return held
	}
	db.path = f.path
	f.accept(db)
	return replaced
}

func (f *file) accept(db *database) {
	f.db, f.err, f.since, f.invalidChecksum = db, nil, time.Time{}, [sha256.Size]byte{}
	f.held, f.losses, f.rejected = nil, nil, false
}

// rejectBy notes that somebody has rejected the file.
func (f *file) rejectBy(decision Decision, checksum [sha256.Size]byte, at time.Time) outcome {
	outcome := f.reject(fmt.Errorf("was rejected by %s", decision.Rejected), checksum)
	f.rejected, f.since = true, at
	return outcome
}

// reject notes why the file isn't used. The same error again is no change, even
// if the content isn't the same.
func (f *file) reject(err error, checksum [sha256.Size]byte) outcome {
	err = f.wrap(err)
	f.invalidChecksum = checksum
	f.held, f.losses, f.rejected = nil, nil, false
	if f.err != nil && f.err.Error() == err.Error() {
		return unchanged
	}
	f.err = err
	return invalid
}

func (f *file) wrap(err error) error {
	if f.corrections {
		return fmt.Errorf("geo corrections %s %w", f.path, err)
	}
	return fmt.Errorf("geo database %s %w", f.path, err)
}

// changed reports whether the file doesn't look as it did when it was read.
func (f *file) changed() bool {
	now, _ := os.Stat(f.path) // nil if it is missing
	return f.path != Embedded && !watch.Same(f.seen, now)
}

var errChanging = errors.New("was written to while it was read: try again when it is complete")

// read reads the file into memory. It isn't mapped: a mapped file that somebody
// makes shorter kills the process.
func (f *file) read() ([]byte, error) {
	if f.path == Embedded {
		return EmbeddedContent()
	}
	before, _ := os.Stat(f.path)
	content, err := files.Read(f.path, maxSize)
	if after, _ := os.Stat(f.path); !watch.Same(before, after) {
		f.seen = nil
		return nil, errChanging
	}
	f.seen = before
	if err == nil {
		return content, nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // the path is named anyway
	}
	advice := "see that it is an .mmdb file and that the disk is well"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		advice = "put it there or correct the path"
	case errors.Is(err, fs.ErrPermission):
		advice = "let exitgate's user read it"
	}
	return nil, fmt.Errorf("can't be read: %w: %s", err, advice)
}
