package geo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// maxSize is the size of the largest file that is read: 2 GiB. The largest
// databases there are have half of that.
const maxSize = 2 << 30

// A file is one of the operator's databases: where it is, and what came of it.
type file struct {
	path string
	db   *database // in use

	seen   look              // what the file looked like when it was read last
	badSum [sha256.Size]byte // of the content that err is about
	err    error             // why the file, as it is, isn't in use
	since  time.Time         // of err
}

// An outcome is what came of reading a file again.
type outcome int

const (
	unchanged  outcome = iota // since the last time, be it well or not
	unfinished                // somebody is writing it
	refused                   // for err
	replaced                  // db is what it holds now
	recovered                 // had been refused, and holds again what db is
)

// openFirst opens the file that nothing was read from yet.
func (f *file) openFirst(registeredCountry bool) error {
	content, err := f.content()
	if err == nil {
		f.db, err = parse(content, registeredCountry)
	}
	if err != nil {
		return f.named(err)
	}
	f.db.path = f.path
	return nil
}

func (f *file) content() ([]byte, error) {
	if f.path == Embedded {
		return decompress()
	}
	content, seen, err := readWhole(f.path)
	f.seen = seen
	return content, err
}

// takeUp reads the file and replaces the database in use by what is in it, if
// that is well and is another.
func (f *file) takeUp(registeredCountry, allowOlder bool) outcome {
	content, seen, err := readWhole(f.path)
	f.seen = seen
	switch {
	case errors.Is(err, errChanging):
		return unfinished
	case err != nil:
		return f.refuse(err)
	}
	sum := sha256.Sum256(content)
	switch {
	case sum == f.db.sum && f.err == nil, sum == f.badSum && f.err != nil:
		return unchanged
	case sum == f.db.sum:
		f.accept(f.db)
		return recovered
	}
	db, err := parse(content, registeredCountry)
	if err == nil {
		err = db.mayReplace(f.db, allowOlder)
	}
	if err != nil {
		defer func() { f.badSum = sum }()
		return f.refuse(err)
	}
	db.path = f.path
	f.accept(db)
	return replaced
}

func (f *file) accept(db *database) {
	f.db, f.err, f.since, f.badSum = db, nil, time.Time{}, [sha256.Size]byte{}
}

// refuse notes what is wrong. What was wrong already needn't be said again,
// even if the content isn't the same.
func (f *file) refuse(err error) outcome {
	err = f.named(err)
	f.badSum = [sha256.Size]byte{}
	if f.err != nil && f.err.Error() == err.Error() {
		return unchanged
	}
	f.err = err
	return refused
}

func (f *file) named(err error) error {
	return fmt.Errorf("geo database %s %w", f.path, err)
}

// A look at a file is what can be seen of it without reading it.
type look struct {
	info fs.FileInfo // nil: can't be seen, or wasn't
}

func lookAt(path string) look {
	info, err := os.Stat(path)
	if err != nil {
		return look{}
	}
	return look{info}
}

func (a look) same(b look) bool {
	if a.info == nil || b.info == nil {
		return a.info == nil && b.info == nil
	}
	return os.SameFile(a.info, b.info) && a.info.Size() == b.info.Size() && a.info.ModTime().Equal(b.info.ModTime())
}

var errChanging = errors.New("was written to while it was read: try again when it is whole")

// readWhole reads a file into memory and returns what it looked like, which is
// nothing if it couldn't be read. It isn't mapped: a mapped file that somebody
// makes shorter kills the process.
func readWhole(path string) ([]byte, look, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, look{}, unreadable(err)
	}
	defer f.Close()
	before, err := f.Stat()
	switch {
	case err != nil:
		return nil, look{}, unreadable(err)
	case !before.Mode().IsRegular():
		return nil, look{before}, errors.New("is not a regular file: name an .mmdb file")
	case before.Size() > maxSize:
		return nil, look{before}, fmt.Errorf("has %d bytes, more than the %d that are read", before.Size(), int64(maxSize))
	}
	content := make([]byte, before.Size())
	if _, err := io.ReadFull(f, content); errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return nil, look{}, errChanging
	} else if err != nil {
		return nil, look{}, unreadable(err)
	}
	if after, err := f.Stat(); err != nil || !(look{before}).same(look{after}) {
		return nil, look{}, errChanging
	}
	return content, look{before}, nil
}

// unreadable leaves the path out of an error, because it is named anyway, and
// adds what to do.
func unreadable(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	advice := "see that the disk is well"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		advice = "put it there or correct the path"
	case errors.Is(err, fs.ErrPermission):
		advice = "let exitgate's user read it"
	}
	return fmt.Errorf("can't be read: %w: %s", err, advice)
}
