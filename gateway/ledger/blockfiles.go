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

// checkBlocks checks the files of a stream before the NATS server in the process
// opens them, and returns the last number in them, 0 if there is none.
//
// Why: a server that wasn't stopped properly reads its files at the start, and
// where a checksum is wrong it cuts the file there, silently. One damaged byte in
// the middle would so lose all records after it. Therefore it isn't started on
// such a file: the operator restores it from a backup. An incomplete message at
// the very end of the last file is different: it is of a write that was
// interrupted and never acknowledged, and may be cut. The server's index, which
// may have it already, is removed then.
//
// Block files are a private format of nats-server. That is bearable because the
// server is the one that this program was built with: if the format changes, it
// does so with go.mod, and tests that write with the server and read here fail
// (TestBlockFiles…, and every test that opens a folder again).
func checkBlocks(folder, stream string, known Point) (last uint64, err error) {
	files, err := blockFiles(folder, stream)
	if err != nil {
		return 0, err
	}
	for i, file := range files {
		in, err := openBlock(file, stream)
		if err != nil {
			return 0, err
		}
		err = errors.Join(in.read(&last), in.file.Close())
		if d := (*damagedBlock)(nil); errors.As(err, &d) && d.atEnd && i == len(files)-1 && last >= known.Number {
			if err := os.Remove(filepath.Join(filepath.Dir(file), "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

// blockFiles returns the files of a stream, in their order.
func blockFiles(folder, stream string) ([]string, error) {
	blocks, err := filepath.Glob(filepath.Join(folder, "jetstream", "$G", "streams", stream, "msgs", "*.blk"))
	slices.SortFunc(blocks, func(a, b string) int { return blockNumber(a) - blockNumber(b) })
	return blocks, err
}

// blockNumber returns the number that a file is named after.
func blockNumber(file string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".blk")) // 0 for others
	return n
}

// A damagedBlock is the error of a file that can't be read beyond an offset.
type damagedBlock struct {
	file   string
	after  uint64 // the last record before the damage
	offset int64
	atEnd  bool // nothing that was acknowledged can be after it
	what   string
}

func (d *damagedBlock) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d, in record %d (%s): exitgate ledger repair says whether only what was never acknowledged is damaged; else put the ledger's folder back from a backup, or make it again from a copy of the records: exitgate ledger import", d.file, d.offset, d.after+1, d.what)
}

// A block is a file of messages. Each is, in little endian:
//
//	length   4 bytes, of all of it; the highest bit: it has headers
//	number   8 bytes; the two highest bits mark what was deleted
//	time     8 bytes
//	subject  2 bytes for its length, and behind them the subject
//	headers  4 bytes for their length and the headers, if it has any
//	data
//	checksum 8 bytes, HighwayHash of all but the lengths, with the SHA-256 of
//	         the stream's name and the file's number as the key
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

// read reads the messages, and sets last to the number of the last intact one.
func (b *block) read(last *uint64) error {
	in := bufio.NewReaderSize(b.file, 256<<10)
	var message []byte
	for offset := int64(0); offset < b.size; offset += int64(len(message)) {
		damaged := func(atEnd bool, what string) error {
			return &damagedBlock{b.file.Name(), *last, offset, atEnd, what}
		}
		if offset+blockHead > b.size {
			return damaged(true, "it is incomplete")
		}
		head, err := in.Peek(4)
		if err != nil {
			return fmt.Errorf("%s: %w", b.file.Name(), err)
		}
		length := int64(binary.LittleEndian.Uint32(head) &^ blockHeaders)
		switch {
		case length < blockHead+highwayhash.Size64 || length > blockLongest:
			return damaged(false, "its length is impossible")
		case offset+length > b.size:
			return damaged(true, "it is incomplete")
		}
		message = slices.Grow(message[:0], int(length))[:length]
		if _, err := io.ReadFull(in, message); err != nil {
			return fmt.Errorf("%s: %w", b.file.Name(), err)
		}
		if !b.intact(message) {
			return damaged(offset+length == b.size, "its checksum is wrong")
		}
		if number := binary.LittleEndian.Uint64(message[4:]); number>>62 == 0 { // else it marks what was deleted
			*last = number
		}
	}
	return nil
}

// intact reports whether a message has the checksum that is in it.
func (b *block) intact(message []byte) bool {
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
