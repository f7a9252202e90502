package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/highwayhash"

	"github.com/exitgate/exitgate/internal/files"
)

// A Tail is what is damaged at the end of the files of a ledger in the process.
type Tail struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"` // where it begins
	Bytes  int64  `json:"bytes"`
	After  uint64 `json:"after"` // the last whole record
	What   string `json:"what"`
	Copy   string `json:"copy,omitempty"` // of the whole file, as it was before it was cut
}

// ErrNotTail is the error of damage that Repair doesn't cut off: with it records
// would be lost.
var ErrNotTail = errors.New("there are records in what is damaged or behind it: put the ledger's folder back from a backup, or move it away and make it again from a copy of the records: exitgate ledger import")

// Repair finds what is damaged at the end of a ledger's files, behind the last whole
// record, nil if nothing is. With cut, it cuts it off and keeps a copy of the file in
// the ledger's folder. It cuts nothing that is whole, nor what is needed for the
// record that is known. No gateway may use the folder meanwhile.
func Repair(o Options, cut bool) (tail *Tail, err error) {
	if o.Name == "" {
		o.Name = "exitgate"
	}
	stream := o.Name + "-ledger"
	if _, err := os.Stat(o.Folder); err != nil {
		return nil, err
	}
	unlock, err := lockPatiently(filepath.Join(o.Folder, "lock"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	_, err = checkBlocks(o.Folder, stream, o.Known)
	d := (*damagedBlock)(nil)
	if !errors.As(err, &d) {
		return nil, err
	}
	if d.after < o.Known.Number {
		return nil, fmt.Errorf("%w: record %d is damaged, and this machine has seen record %d", ErrNotTail, d.after+1, o.Known.Number)
	}
	blocks, err := blockFiles(o.Folder, stream)
	if err != nil {
		return nil, err
	}
	if d.file != blocks[len(blocks)-1] {
		return nil, fmt.Errorf("%w: there is another file behind %s", ErrNotTail, d.file)
	}
	content, err := os.ReadFile(d.file)
	if err != nil {
		return nil, err
	}
	b, err := openBlock(d.file, stream)
	if err != nil {
		return nil, err
	}
	defer b.file.Close()
	if at := b.findWhole(content, d.offset); at >= 0 {
		return nil, fmt.Errorf("%w: there is a whole record at byte %d of %s", ErrNotTail, at, d.file)
	}
	tail = &Tail{File: d.file, Offset: d.offset, Bytes: int64(len(content)) - d.offset, After: d.after, What: d.what}
	if !cut {
		return tail, nil
	}
	if tail.Copy, err = keepCopy(o.Folder, filepath.Base(d.file), content); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(filepath.Dir(d.file), "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(d.file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return tail, errors.Join(f.Truncate(d.offset), f.Sync(), f.Close())
}

// lockPatiently locks a file for which a gateway, which tries again and again to open
// its damaged ledger, may have the lock for a moment.
func lockPatiently(name string) (unlock func() error, err error) {
	for range 20 {
		if unlock, err = files.Lock(name); err == nil {
			return unlock, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}

// keepCopy writes a file that there isn't yet.
func keepCopy(folder, name string, content []byte) (string, error) {
	for i := 1; ; i++ {
		kept := filepath.Join(folder, fmt.Sprintf("%s.damaged-%d", name, i))
		f, err := os.OpenFile(kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(content)
		return kept, errors.Join(err, f.Sync(), f.Close())
	}
}

// findWhole returns where there is a whole message in a block from an offset on, -1 if
// there is none.
func (b *block) findWhole(content []byte, from int64) int64 {
	for at := from; at+blockHead+highwayhash.Size64 <= int64(len(content)); at++ {
		length := int64(binary.LittleEndian.Uint32(content[at:]) &^ blockHeaders)
		if length < blockHead+highwayhash.Size64 || length > blockLongest || at+length > int64(len(content)) {
			continue
		}
		if b.intact(content[at : at+length]) {
			return at
		}
	}
	return -1
}
