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

//go:embed NOTICE.md
var notice string

// EmbeddedBuild returns the date of the embedded database's data.
func EmbeddedBuild() time.Time {
	r, err := gzip.NewReader(strings.NewReader(compressed))
	if err != nil {
		return time.Time{}
	}
	return r.ModTime.UTC()
}

// EmbeddedNotice returns, in Markdown, where the embedded database's data is
// from and under which licences, to be shown where the database is used.
func EmbeddedNotice() string { return notice }

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
