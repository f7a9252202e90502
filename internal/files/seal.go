package files

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// ErrSeal is the error of sealed content that was cut or changed.
var ErrSeal = errors.New("the content doesn't match the checksum in its first line: it was cut or changed")

// Seal returns the content behind a line that has its SHA-256, in hexadecimal.
func Seal(content []byte) []byte { return append(checksumLine(content), content...) }

// Unseal returns the content of what Seal returned, or an [ErrSeal].
func Unseal(sealed []byte) ([]byte, error) {
	end := bytes.IndexByte(sealed, '\n') + 1
	if content := sealed[end:]; bytes.Equal(sealed[:end], checksumLine(content)) {
		return content, nil
	}
	return nil, ErrSeal
}

func checksumLine(content []byte) []byte {
	sum := sha256.Sum256(content)
	return append(hex.AppendEncode(nil, sum[:]), '\n')
}
