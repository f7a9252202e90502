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

//go:embed country.mmdb.gz
var compressed string

// EmbeddedBuild returns the date of the embedded database's data.
func EmbeddedBuild() time.Time {
	r, err := gzip.NewReader(strings.NewReader(compressed))
	if err != nil {
		return time.Time{}
	}
	return r.ModTime.UTC()
}

func decompress() ([]byte, error) {
	r, err := gzip.NewReader(strings.NewReader(compressed))
	if err != nil {
		return nil, damaged(err)
	}
	// The last four bytes of a gzip file are the size of its content (RFC
	// 1952, 2.3.1): room for exactly that is all that stays in memory.
	size := binary.LittleEndian.Uint32([]byte(compressed[len(compressed)-4:]))
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, damaged(err)
	}
	return content, nil
}
