package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Kept is a file with the records that a gateway starts from when the ledger
// can't be reached.
type Kept string

// A file begins with a line that says what it is, and the SHA-256 of the rest:
// each record's length on a line of its own and then its bytes.
const (
	keptTitle = "exitgate kept records, version 1, sha256 "
	keptLimit = 256 << 20
)

// Write replaces what is kept so that whenever the machine stops, the old or
// the new is there, whole.
func (k Kept) Write(records ...Record) error {
	var text bytes.Buffer
	for _, r := range records {
		data, err := r.Encode()
		if err != nil {
			return fmt.Errorf("keep record %d: %w", r.Number, err)
		}
		fmt.Fprintf(&text, "%d\n%s\n", len(data), data)
	}
	if text.Len() > keptLimit {
		return fmt.Errorf("keep %d records: they have %d bytes, and the limit is %d", len(records), text.Len(), keptLimit)
	}
	title := fmt.Sprintf("%s%x\n", keptTitle, sha256.Sum256(text.Bytes()))
	if err := replace(string(k), append([]byte(title), text.Bytes()...)); err != nil {
		return fmt.Errorf("keep the last good records: %w", err)
	}
	return nil
}

// Read returns the records that were kept last. If none were it is
// [os.ErrNotExist]; a file that isn't as it was written is an error that says
// so, and never fewer records.
func (k Kept) Read() ([]Record, error) {
	f, err := os.Open(string(k))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, keptLimit+1024))
	if err != nil {
		return nil, err
	}
	records, err := parseKept(text)
	if err != nil {
		return nil, fmt.Errorf("the kept records in %s are damaged (%w): delete the file, and they are taken from the ledger once it can be reached", k, err)
	}
	return records, nil
}

func parseKept(text []byte) (records []Record, err error) {
	title, text, _ := bytes.Cut(text, []byte("\n"))
	if want := fmt.Sprintf("%s%x", keptTitle, sha256.Sum256(text)); want != string(title) {
		return nil, errors.New("its content isn't what its first line says")
	}
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		length, err := strconv.Atoi(string(line))
		if err != nil || length < 0 || length >= len(rest) || rest[length] != '\n' {
			return nil, errors.New("it is cut")
		}
		r, err := Decode(rest[:length])
		if err != nil {
			return nil, err
		}
		records, text = append(records, r), rest[length+1:]
	}
	return records, nil
}

func replace(file string, content []byte) error {
	leftovers, _ := filepath.Glob(file + ".*") // of writes that were killed
	for _, leftover := range leftovers {
		_ = os.Remove(leftover) // it only takes up room
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
