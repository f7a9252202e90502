package geo

import (
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"io"
	"strings"
	"time"
)

//go:generate go -C generate run . -version 2.3.2026061719

// The embedded database, compressed to a quarter of what gzip makes of the file
// alone: see EmbeddedContent.
//
//go:embed country.tree.gz
var compressed string

// EmbeddedBuild returns the date of the embedded database's data.
func EmbeddedBuild() time.Time {
	r, err := gzip.NewReader(strings.NewReader(compressed))
	if err != nil {
		return time.Time{}
	}
	return r.ModTime.UTC()
}

// EmbeddedContent returns the embedded database as a file would hold it: 8 MB, made
// anew at each call. What is compressed is the number of the search tree's nodes, in
// four bytes, and the file, in which a record for another node (of two to a node, 24
// bits each) is how much further that node is: most are the next one.
func EmbeddedContent() ([]byte, error) {
	r, err := gzip.NewReader(strings.NewReader(compressed))
	if err != nil {
		return nil, damaged(err)
	}
	var count [4]byte
	if _, err := io.ReadFull(r, count[:]); err != nil {
		return nil, damaged(err)
	}
	// The last four bytes of a gzip file are the size of its content (RFC
	// 1952, 2.3.1): room for exactly that is all that stays in memory.
	size := binary.LittleEndian.Uint32([]byte(compressed[len(compressed)-4:]))
	content := make([]byte, size-uint32(len(count)))
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, damaged(err)
	}
	nodes := binary.BigEndian.Uint32(count[:])
	for i := range 2 * nodes {
		record := content[3*i : 3*i+3]
		value := uint32(record[0])<<16 | uint32(record[1])<<8 | uint32(record[2])
		if value < nodes {
			value += i / 2
			record[0], record[1], record[2] = byte(value>>16), byte(value>>8), byte(value)
		}
	}
	return content, nil
}
