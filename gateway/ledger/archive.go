package ledger

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/exitgate/exitgate/internal/files"
)

// An Archive is a file with the records of a ledger, each as it is in the stream:
// evidence that doesn't depend on the stream. Records are only added to it, in
// their order. It has no messages that aren't records.
//
// The file begins with a line that says what it is. Then each record has a line of
// its own, its bytes, and a newline:
//
//	exitgate records 1
//	record 42 310 <SHA-256 of the bytes, in hexadecimal>
//	<310 bytes>
//
// When it is opened, the lines are read, and the last record is checked; Check reads
// all of it. In memory it has the place of every 32nd record.
//
// An Archive is safe for concurrent use.
type Archive struct {
	name string
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File
	size    int64
	last    Point
	count   int
	index   []archivePlace // of every archiveStride-th record
	unsaved bool
}

// An archivePlace is where the line of a record begins.
type archivePlace struct {
	number uint64
	offset int64
}

const (
	archiveTitle   = "exitgate records 1\n"
	archiveLine    = "record %d %d %s\n"
	archiveMaxLine = 128
	archiveStride  = 32
)

var (
	// ErrGap is the error of a record that doesn't follow from the last one of
	// an archive.
	ErrGap = errors.New("the record doesn't follow from the last one that is kept")
	// errArchiveEnd is the error of an incomplete record at the end of a file.
	errArchiveEnd = errors.New("it is incomplete")
)

// A DamagedArchive is the error of an archive that can't be read from some offset on.
type DamagedArchive struct {
	Name   string
	Offset int64
	After  uint64 // the last good record
	Err    error
}

func (d *DamagedArchive) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d, behind record %d: %v", d.Name, d.Offset, d.After, d.Err)
}
func (d *DamagedArchive) Unwrap() error { return d.Err }

// OpenArchive opens the archive in a file, which is made if it is missing. An
// incomplete record at the end, of a write that was interrupted, is cut off. A file
// that is damaged otherwise is kept beside it, named with .damaged at its end, and
// the archive goes on with the records before the damage.
func OpenArchive(name string, log *slog.Logger) (*Archive, error) {
	a := &Archive{name: name, log: log}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// ReadArchive opens the archive in a file that is there, and changes nothing in it:
// one that is damaged is an error. Of one that ends within a record, as one that was
// copied while a gateway wrote it, or after a power cut, incomplete is where that record
// begins; else it is 0.
func ReadArchive(name string) (a *Archive, incomplete int64, err error) {
	a = &Archive{name: name}
	file, err := os.Open(name)
	if err == nil {
		a.file = file
		err = a.scan()
	}
	if a.count > 0 && errors.Is(err, errArchiveEnd) {
		return a, a.size, nil
	}
	if err != nil {
		return nil, 0, errors.Join(err, a.Close())
	}
	return a, 0, nil
}

func (a *Archive) open() (err error) {
	if a.file, err = os.OpenFile(a.name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	err = a.scan()
	damage := (*DamagedArchive)(nil)
	switch {
	case !errors.As(err, &damage):
		return err
	case damage.Offset == 0 && errors.Is(err, errArchiveEnd): // it is new, or was when the machine stopped
		if err := a.file.Truncate(0); err != nil {
			return err
		}
		if _, err := a.file.WriteAt([]byte(archiveTitle), 0); err != nil {
			return err
		}
		a.size, a.unsaved = int64(len(archiveTitle)), true
		if err := a.sync(); err != nil {
			return err
		}
		return files.SyncFolder(filepath.Dir(a.name))
	case errors.Is(err, errArchiveEnd):
		return a.cut()
	}
	return a.setAside(damage)
}

// cut cuts off what stands behind the last record.
func (a *Archive) cut() error {
	a.log.Warn("the copy of the ledger's records ends with an incomplete one, cut off", "file", a.name, "at", a.size, "after_record", a.last.Number)
	if err := a.file.Truncate(a.size); err != nil {
		return err
	}
	a.unsaved = true
	return a.sync()
}

// scan reads the line of each record, and checks the last one. After a
// DamagedArchive the archive ends before the damage.
func (a *Archive) scan() error {
	a.size, a.last, a.count, a.index = 0, Point{}, 0, nil
	info, err := a.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", a.name)
	}
	size := info.Size()
	damaged := func(err error) error { return &DamagedArchive{a.name, a.size, a.last.Number, err} }
	title := make([]byte, len(archiveTitle))
	n, err := a.file.ReadAt(title, 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case n < len(title) && (bytes.HasPrefix([]byte(archiveTitle), title[:n]) || isZero(title[:n])), isZero(title) && a.zeroFrom(0, size):
		return damaged(errArchiveEnd)
	case string(title) != archiveTitle && bytes.HasPrefix(title, []byte("exitgate records ")):
		return fmt.Errorf("%s was written by a later version of exitgate: move it away, or use that version", a.name)
	case string(title) != archiveTitle:
		return damaged(errors.New("it doesn't begin as exitgate writes it"))
	}
	a.size = int64(len(title))
	before, last := Point{}, a.size // of the last one
	for a.size < size {
		entry, err := a.line(a.size)
		switch {
		case err == nil && entry.end() > size && a.isTorn(size):
			return damaged(errArchiveEnd)
		case err == nil && entry.end() > size:
			err = errors.New("the length of a record was changed")
		case err == nil && entry.number <= a.last.Number:
			err = fmt.Errorf("record %d comes after record %d", entry.number, a.last.Number)
		case err != nil && (size-a.size < archiveMaxLine && a.isTorn(size) || a.zeroFrom(a.size, size)):
			err = errArchiveEnd
		}
		if err != nil {
			return damaged(err)
		}
		before, last = a.last, a.size
		a.add(entry)
	}
	if a.count == 0 {
		return nil
	}
	if _, err := a.readAlone(last); err != nil {
		end := a.last.Number
		a.size, a.last, a.count = last, before, a.count-1
		if n := len(a.index); n > 0 && a.index[n-1].number == end {
			a.index = a.index[:n-1]
		}
		return damaged(fmt.Errorf("%w: record %d: %w", errArchiveEnd, end, err))
	}
	return nil
}

// isTorn reports whether what stands behind the records can be one that was written in
// part.
func (a *Archive) isTorn(size int64) bool {
	rest := make([]byte, min(size-a.size, maxRecord+archiveMaxLine+1))
	n, err := a.file.ReadAt(rest, a.size)
	return err == nil && n <= maxRecord+archiveMaxLine && !bytes.Contains(rest, []byte("\nrecord "))
}

func isZero(text []byte) bool { return len(bytes.Trim(text, "\x00")) == 0 }

// zeroFrom reports whether the file has nothing but zero bytes from an offset on, as
// after a power cut.
func (a *Archive) zeroFrom(offset, size int64) bool {
	in := bufio.NewReader(io.NewSectionReader(a.file, offset, size-offset))
	for {
		switch c, err := in.ReadByte(); {
		case err != nil:
			return errors.Is(err, io.EOF)
		case c != 0:
			return false
		}
	}
}

// An archiveEntry is the line of a record and where it is.
type archiveEntry struct {
	archivePlace
	length int64 // of the record's bytes
	data   int64 // where they begin
	hash   Hash
}

func (e archiveEntry) point() Point { return Point{e.number, e.hash} }

// end returns where the next line begins.
func (e archiveEntry) end() int64 { return e.data + e.length + 1 }

// line reads the line at an offset.
func (a *Archive) line(offset int64) (archiveEntry, error) {
	text := make([]byte, archiveMaxLine)
	n, err := a.file.ReadAt(text, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return archiveEntry{}, err
	}
	line, _, found := bytes.Cut(text[:n], []byte("\n"))
	e, hash := archiveEntry{archivePlace: archivePlace{offset: offset}, data: offset + int64(len(line)) + 1}, ""
	if !found {
		return e, errors.New("there is no line of a record")
	}
	_, err = fmt.Sscanf(string(line)+"\n", archiveLine, &e.number, &e.length, &hash)
	if err == nil {
		err = e.hash.UnmarshalText([]byte(hash))
	}
	if err != nil || e.length < 0 || e.length > maxRecord || fmt.Sprintf(archiveLine, e.number, e.length, hash) != string(line)+"\n" {
		return e, errors.New("the line of a record isn't written as exitgate writes it")
	}
	return e, nil
}

// add moves the end behind an entry.
func (a *Archive) add(e archiveEntry) {
	if a.count%archiveStride == 0 {
		a.index = append(a.index, e.archivePlace)
	}
	a.size, a.last, a.count = e.end(), e.point(), a.count+1
}

// message reads the record of a line.
func (a *Archive) message(e archiveEntry) (message, error) {
	data := make([]byte, e.length+1)
	if _, err := a.file.ReadAt(data, e.data); err != nil {
		return message{}, err
	}
	if data[e.length] != '\n' {
		return message{}, errors.New("its end isn't written as exitgate writes it")
	}
	return message{e.number, data[:e.length:e.length], e.hash.String()}, nil
}

// readAlone reads the record at an offset.
func (a *Archive) readAlone(offset int64) (Record, error) {
	e, err := a.line(offset)
	if err != nil {
		return Record{}, err
	}
	m, err := a.message(e)
	if err != nil {
		return Record{}, err
	}
	return m.record()
}

// Last returns the last record's place.
func (a *Archive) Last() Point {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// Content returns the bytes of the file up to the end of the last record: nothing in
// them changes any more.
func (a *Archive) Content() *io.SectionReader {
	a.mu.Lock()
	defer a.mu.Unlock()
	return io.NewSectionReader(a.file, 0, a.size)
}

// Append adds a record, if it isn't there yet. One that doesn't follow from the last
// is an [ErrGap]. It is on disk once Sync has returned.
func (a *Archive) Append(r Record) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.Number <= a.last.Number:
		return nil
	case r.Previous != a.last.Hash:
		return ErrGap
	}
	line := fmt.Appendf(nil, archiveLine, r.Number, len(data), r.Hash)
	e := archiveEntry{archivePlace{r.Number, a.size}, int64(len(data)), a.size + int64(len(line)), r.Hash}
	if _, err := a.file.WriteAt(append(append(line, data...), '\n'), a.size); err != nil {
		// What was written of it would be cut off at the next start.
		return errors.Join(err, a.file.Truncate(a.size))
	}
	a.unsaved = true
	a.add(e)
	return nil
}

// Sync returns when all that was added is on disk.
func (a *Archive) Sync() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sync()
}

func (a *Archive) sync() error {
	if !a.unsaved {
		return nil
	}
	err := a.file.Sync()
	a.unsaved = err != nil
	return err
}

// view returns the end of the file as it is now, and where the record of a number is,
// or the next one: not before place.
func (a *Archive) view(number uint64) (place, end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	place = int64(len(archiveTitle))
	i, found := slices.BinarySearchFunc(a.index, number, func(p archivePlace, n uint64) int { return cmp.Compare(p.number, n) })
	if !found {
		i--
	}
	if i >= 0 {
		place = a.index[i].offset
	}
	return place, a.size
}

// entries yields the lines of all records that there are now.
func (a *Archive) entries() iter.Seq2[archiveEntry, error] {
	return func(yield func(archiveEntry, error) bool) {
		for offset, end := a.view(0); offset < end; {
			e, err := a.line(offset)
			if !yield(e, err) || err != nil {
				return
			}
			offset = e.end()
		}
	}
}

// Record returns one record, or [ErrNoRecord].
func (a *Archive) Record(number uint64) (Record, error) {
	for offset, end := a.view(number); offset < end; {
		e, err := a.line(offset)
		switch {
		case err != nil:
			return Record{}, err
		case e.number > number:
			end = 0
		case e.number < number:
			offset = e.end()
		default:
			return a.readAlone(offset)
		}
	}
	return Record{}, fmt.Errorf("record %d: %w", number, ErrNoRecord)
}

// Records yields all records that there are now, each checked against its hash and
// the record before it. An error, a [*DamagedArchive], is the last that it yields.
func (a *Archive) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		last := Point{}
		for e, err := range a.entries() {
			var m message
			var r Record
			if err == nil {
				m, err = a.message(e)
			}
			if err == nil {
				r, err = decodeNext(last, m)
			}
			if err != nil {
				yield(Record{}, &DamagedArchive{a.name, e.offset, last.Number, err})
				return
			}
			if last = r.Point(); !yield(r, nil) {
				return
			}
		}
	}
}

// Check reads all of the archive. A file that is damaged is kept beside it, as by
// OpenArchive.
func (a *Archive) Check() error {
	for _, err := range a.Records() {
		if d := (*DamagedArchive)(nil); errors.As(err, &d) {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.setAside(d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setAside goes on with the records before the damage in another file.
func (a *Archive) setAside(d *DamagedArchive) error {
	a.log.Error("the copy of the ledger's records is damaged: it is kept, and what is missing is read from the ledger again", "error", d, "kept", a.name+".damaged")
	good, err := os.CreateTemp(filepath.Dir(a.name), filepath.Base(a.name)+".*.unfinished")
	if err != nil {
		return err
	}
	_, err = io.WriteString(good, archiveTitle)
	if title := int64(len(archiveTitle)); err == nil && d.Offset > title {
		_, err = io.Copy(good, io.NewSectionReader(a.file, title, d.Offset-title))
	}
	if err == nil {
		err = good.Sync()
	}
	if err == nil {
		err = os.Rename(a.name, a.name+".damaged")
	}
	if err == nil {
		err = os.Rename(good.Name(), a.name)
	}
	if err == nil {
		err = files.SyncFolder(filepath.Dir(a.name))
	}
	if err != nil {
		return errors.Join(err, good.Close(), os.Remove(good.Name()))
	}
	_ = a.file.Close() // nothing in it is still to be written
	a.file = good
	if err = a.scan(); errors.Is(err, errArchiveEnd) { // of the last one only the line was good
		err = a.cut()
	}
	return err
}

// Verify reports what is wrong in the archive, as [Ledger.Verify] does.
func (a *Archive) Verify(check func(Record) error) (Report, error) {
	v := verification{check: check}
	for r, err := range a.Records() {
		if d := (*DamagedArchive)(nil); errors.As(err, &d) {
			v.addInvalid(d.After+1, err)
			break
		}
		if err != nil {
			return Report{}, err
		}
		data, err := r.Encode()
		if err != nil {
			return Report{}, err
		}
		v.add(message{r.Number, data, r.Hash.String()})
	}
	return v.Report, nil
}

// Close closes the file, with everything on disk.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := errors.Join(a.sync(), a.file.Close())
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}
