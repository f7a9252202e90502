// Package backup is the file that a backup is: a tar archive whose first member says what
// the others are, and whose last is the checksum of all that stands before it.
//
//	manifest.json   a Manifest
//	data/NAME       the files, in the manifest's order
//	sha256          the SHA-256 of all bytes before this member, in hexadecimal
//
// The tar format is that of POSIX (pax), so that any tar lists and unpacks it. The file
// is used only if it is as Write has made it, byte by byte: one that was cut or changed
// anywhere is an error. That doesn't say who made it: whoever can write to it can make another.
//
// # Compatibility
//
// Files of format 1 stay readable. One of a later format is refused.
package backup

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/exitgate/exitgate/internal/files"
)

// Format is the format that is written, and the latest that is read.
const Format = 1

const (
	manifestName = "manifest.json"
	prefix       = "data/"
	sumName      = "sha256"

	maxManifest = 16 << 20
)

// A Manifest says what is in a backup.
type Manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the program that wrote it
	Time    time.Time `json:"time"`    // by which nothing in it is newer, in UTC
	// Ledger is the last record of the ledger, nil if there is none.
	Ledger *Head `json:"ledger"`
	// Embedded says that the ledger is in the data folder, and to be made again there.
	Embedded bool `json:"ledger-in-data-folder"`
	// Keys says that it has the private keys of certificates.
	Keys  bool   `json:"keys"`
	Files []File `json:"files"`
}

// A Head is the last record of a ledger.
type Head struct {
	Number  uint64 `json:"number"`
	Hash    string `json:"hash"` // SHA-256, in hexadecimal
	Records int    `json:"records"`
}

// A File is one of those in a backup.
type File struct {
	Name   string `json:"name"` // relative to the data folder, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// A Source is a file to be written into a backup, as it is while that is written.
type Source struct {
	Name    string
	Content *io.SectionReader
}

// Write writes a backup of files, and fills in the manifest's. The file appears whole or
// not at all, in the place of one of that name, for its owner alone; it is read again
// before.
func Write(name string, m Manifest, sources []Source) (Manifest, error) {
	m.Format = Format
	for _, s := range sources {
		sum, err := checksum(s.Content)
		if err != nil {
			return m, fmt.Errorf("%s: %w", s.Name, err)
		}
		m.Files = append(m.Files, File{s.Name, s.Content.Size(), sum})
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.unfinished") // mode 0600
	if err != nil {
		return m, err
	}
	err = cmp.Or(write(f, m, sources), f.Sync(), f.Close())
	if err == nil {
		err = verify(f.Name())
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return m, errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(f.Name()))
	}
	return m, files.SyncFolder(filepath.Dir(name))
}

// verify reads a backup as Open and Read do.
func verify(name string) error {
	b, err := Open(name)
	if err != nil {
		return err
	}
	return errors.Join(b.Read(func(File, io.Reader) error { return nil }), b.Close())
}

func checksum(content *io.SectionReader) (string, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, io.NewSectionReader(content, 0, content.Size()))
	return hex.EncodeToString(sum.Sum(nil)), err
}

func write(to io.Writer, m Manifest, sources []Source) error {
	sum := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(to, sum))
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if len(text) > maxManifest {
		return errors.New("there are too many files")
	}
	if err := member(archive, manifestName, m.Time, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	for _, s := range sources {
		if err := member(archive, prefix+s.Name, m.Time, s.Content.Size(), io.NewSectionReader(s.Content, 0, s.Content.Size())); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if err := archive.Flush(); err != nil {
		return err
	}
	end, err := trailer(sum.Sum(nil))
	if err == nil {
		_, err = to.Write(end)
	}
	return err
}

func member(archive *tar.Writer, name string, at time.Time, size int64, content io.Reader) error {
	err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, ModTime: at.Truncate(time.Second)})
	if err == nil {
		_, err = io.Copy(archive, content)
	}
	return err
}

// trailer returns the bytes that a backup ends with: the last member, and the end of the
// archive. There is one way to write them.
func trailer(sum []byte) ([]byte, error) {
	var end bytes.Buffer
	archive := tar.NewWriter(&end)
	text := hex.EncodeToString(sum) + "\n"
	err := member(archive, sumName, time.Unix(0, 0), int64(len(text)), bytes.NewReader([]byte(text)))
	err = errors.Join(err, archive.Close())
	return end.Bytes(), err
}

// ErrDamaged is the error of a file that isn't as a backup was written.
var ErrDamaged = errors.New("it was cut off or changed since it was written, and is not used: take another backup")

// A Backup is a file that is as it was written. It isn't safe for concurrent use.
type Backup struct {
	Manifest
	file *os.File
	body *io.SectionReader // without the trailer
}

// Open opens a backup, and reads all of it: one that was cut or changed is an
// [ErrDamaged].
func Open(name string) (*Backup, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b := &Backup{file: f}
	if err := b.check(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return b, nil
}

func (b *Backup) check() error {
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	begin := make([]byte, len(manifestName))
	if _, err := b.file.ReadAt(begin, 0); err == nil && string(begin) != manifestName {
		return errors.New("it is no backup of exitgate")
	}
	empty, err := trailer(make([]byte, sha256.Size))
	if err != nil {
		return err
	}
	size := info.Size() - int64(len(empty))
	if size <= 0 {
		return ErrDamaged
	}
	b.body = io.NewSectionReader(b.file, 0, size)
	sum := sha256.New()
	if _, err := io.Copy(sum, b.body); err != nil {
		return err
	}
	want, err := trailer(sum.Sum(nil))
	if err != nil {
		return err
	}
	end := make([]byte, len(want))
	if _, err := b.file.ReadAt(end, size); err != nil {
		return err
	}
	if !bytes.Equal(end, want) {
		return ErrDamaged
	}
	return b.readManifest()
}

func (b *Backup) readManifest() error {
	archive, err := b.archive()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(archive, maxManifest+1))
	if err != nil {
		return err
	}
	if len(text) > maxManifest {
		return errors.New("its manifest is too large")
	}
	var format struct{ Format int }
	if err := json.Unmarshal(text, &format); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	if format.Format < 1 || format.Format > Format {
		return fmt.Errorf("it has format %d, which a later version of exitgate has written: use that version; this one reads up to %d", format.Format, Format)
	}
	if err := json.Unmarshal(text, &b.Manifest); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	seen := make(map[string]bool)
	for _, f := range b.Files {
		if !fs.ValidPath(f.Name) || f.Name == "." || seen[f.Name] || f.Size < 0 {
			return fmt.Errorf("%s: there can be no file %q", manifestName, f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// archive returns a reader that stands at the content of the manifest.
func (b *Backup) archive() (*tar.Reader, error) {
	archive := tar.NewReader(io.NewSectionReader(b.body, 0, b.body.Size()))
	h, err := archive.Next()
	if err == nil && (h.Name != manifestName || h.Typeflag != tar.TypeReg) {
		err = fmt.Errorf("it begins with %q, not with %s", h.Name, manifestName)
	}
	return archive, err
}

// Read calls take with each file and its content, in order. What take hasn't read is read
// after it. A file that isn't as the manifest says is an error, behind the call of take.
func (b *Backup) Read(take func(File, io.Reader) error) error {
	archive, err := b.archive()
	if err != nil {
		return err
	}
	for _, f := range b.Files {
		h, err := archive.Next()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if h.Name != prefix+f.Name || h.Typeflag != tar.TypeReg || h.Size != f.Size {
			return fmt.Errorf("%s: the archive has another file in its place", f.Name)
		}
		sum := sha256.New()
		content := io.TeeReader(archive, sum)
		if err := take(f, content); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			return fmt.Errorf("%s: it doesn't have the SHA-256 that the manifest says", f.Name)
		}
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("there is more than the manifest says"), err)
	}
	return nil
}

// Close closes the file.
func (b *Backup) Close() error { return b.file.Close() }
