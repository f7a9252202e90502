package ledger

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
)

// inspect reads the files of a stream before the NATS server in the process
// does, and returns the last number in them, 0 if there is none. One byte that
// is wrong in the midst of a file makes the server, when it wasn't stopped
// properly, cut the file there: all that comes after it would be lost. So it
// isn't started then. What a write that was killed has left at the very end
// may be cut: nobody was told that it is stored. The server must not go by its
// index then, which may say that it is there.
func inspect(folder, stream string, known Point) (last uint64, err error) {
	messages := filepath.Join(folder, "jetstream", "$G", "streams", stream, "msgs")
	files, err := filepath.Glob(filepath.Join(messages, "*.blk"))
	if err != nil {
		return 0, err
	}
	slices.SortFunc(files, func(a, b string) int { return blockNumber(a) - blockNumber(b) })
	for i, file := range files {
		in, err := openBlock(file, stream)
		if err != nil {
			return 0, err
		}
		err = errors.Join(in.read(&last), in.file.Close())
		if d := (*damage)(nil); errors.As(err, &d) && d.atEnd && i == len(files)-1 && last >= known.Number {
			if err := os.Remove(filepath.Join(messages, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
			break
		}
		if err != nil {
			return 0, err
		}
	}
	return last, nil
}

// blockNumber is the number that a file is named after.
func blockNumber(file string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".blk")) // others come first
	return n
}

// damage is the place at which a file can't be read.
type damage struct {
	file   string
	after  uint64
	offset int64
	atEnd  bool // nothing that was stored can be after it
	what   string
}

func (d *damage) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d, in record %d (%s): put the ledger's folder back from a backup", d.file, d.offset, d.after+1, d.what)
}

// A block is a file of messages. Each is its length, with a bit that says
// whether it has headers; its number, its time, the length of its subject; the
// subject; the length of its headers, if it has any; headers and data; a
// checksum of all but the lengths.
type block struct {
	file     *os.File
	size     int64
	checksum hash.Hash64
}

const (
	blockHead    = 4 + 8 + 8 + 2
	blockHeaders = 1 << 31
	blockLongest = maxRecord + 64<<10
)

func openBlock(file, stream string) (*block, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, blockNumber(file)))
	checksum, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &block{f, info.Size(), checksum}, nil
}

// read goes through the messages, and moves last to the last that is good.
func (b *block) read(last *uint64) error {
	in := bufio.NewReaderSize(b.file, 256<<10)
	var message []byte
	for offset := int64(0); offset < b.size; offset += int64(len(message)) {
		damaged := func(atEnd bool, what string) error {
			return &damage{b.file.Name(), *last, offset, atEnd, what}
		}
		if offset+blockHead > b.size {
			return damaged(true, "it is cut")
		}
		head, err := in.Peek(4)
		if err != nil {
			return fmt.Errorf("%s: %w", b.file.Name(), err)
		}
		length := int64(binary.LittleEndian.Uint32(head) &^ blockHeaders)
		switch {
		case length < blockHead+highwayhash.Size64 || length > blockLongest:
			return damaged(false, "its length can't be")
		case offset+length > b.size:
			return damaged(true, "it is cut")
		}
		message = slices.Grow(message[:0], int(length))[:length]
		if _, err := io.ReadFull(in, message); err != nil {
			return fmt.Errorf("%s: %w", b.file.Name(), err)
		}
		if !b.good(message) {
			return damaged(offset+length == b.size, "its checksum is wrong")
		}
		if number := binary.LittleEndian.Uint64(message[4:]); number>>62 == 0 { // else it marks what was deleted
			*last = number
		}
	}
	return nil
}

func (b *block) good(message []byte) bool {
	rest, sum := message[:len(message)-highwayhash.Size64], message[len(message)-highwayhash.Size64:]
	subject := blockHead + int(binary.LittleEndian.Uint16(message[blockHead-2:]))
	content := subject
	if binary.LittleEndian.Uint32(message)&blockHeaders != 0 {
		content += 4
	}
	if content > len(rest) {
		return false
	}
	b.checksum.Reset()
	b.checksum.Write(rest[4 : blockHead-2])
	b.checksum.Write(rest[blockHead:subject])
	b.checksum.Write(rest[content:])
	return string(b.checksum.Sum(nil)) == string(sum)
}
