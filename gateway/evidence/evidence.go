// Package evidence is a file with what was in force in a jurisdiction in some
// time, and with the records of the ledger that prove it. It is checked without
// a gateway: the records by their hashes, and what the file says of them by
// saying it anew.
//
// It has what operators did, and of clients how many requests were served and refused.
package evidence

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/strictjson"
	"github.com/exitgate/exitgate/policy"
)

// format is that of files that are written. It is raised with whatever would have
// an earlier exitgate say something else of the same records, or not read the file.
// Files of format 1 have no counts; in those of format 1 and 2 a revision's proposal may
// be missing, where it was made before the time.
const format = 3

// formatWithProposals is the first in which a file has the proposals of all that came into
// force in its time.
const formatWithProposals = 3

// Limits.
const (
	MaxRecords = 100_000
	MaxBytes   = 128 << 20 // of all records
	MaxFile    = 512 << 20 // bytes
)

// A Header is what a file is about.
type Header struct {
	Format       int         `json:"format"`
	Jurisdiction policy.Code `json:"jurisdiction"`
	Name         string      `json:"name"`
	From         time.Time   `json:"from"` // year 1: from the beginning
	To           time.Time   `json:"to"`
	Made         Made        `json:"made"`
	// Head is the last of the records: its hash proves all of them.
	Head ledger.Point `json:"head"`
}

// Made is which gateway made a file, when. The records don't prove it.
type Made struct {
	At      time.Time `json:"at"`
	Gateway string    `json:"gateway"`
	Version string    `json:"version"`
	// Counts are missing of a time that had ended before: gateways keep them for a day.
	Counts *Counts `json:"counts,omitempty"`
}

// Counts are the requests that gateways have counted in the day before a file was made.
type Counts struct {
	Since    time.Time `json:"since"`    // a day before, or when the first of the gateways began
	Gateways int       `json:"gateways"` // that have answered
	Requests []Count   `json:"requests"`
}

// A Count is of a jurisdiction, that of the file or one in it, and of a route class.
type Count struct {
	Jurisdiction policy.Code `json:"jurisdiction"`
	Class        string      `json:"class"`
	Served       uint64      `json:"served"`
	Refused      uint64      `json:"refused"`
}

// A File is all of a file.
type File struct {
	Header
	// Records are those from the revision that was in force at From, or from the first
	// proposal of what came into force since, to the last of the time, all that are between
	// them too: each has the hash of the one before it.
	Records []Record `json:"records"`
	// Says is what the records say of the jurisdiction.
	Says Statement `json:"says"`
}

// A Record is a record of the ledger: its bytes, of which Hash is the SHA-256, as
// they are if they are UTF-8, else in base64.
type Record struct {
	Number uint64      `json:"number"`
	Hash   ledger.Hash `json:"hash"`
	Text   string      `json:"text,omitempty"`
	Base64 []byte      `json:"base64,omitempty"`
}

// newRecord returns a record as a file has it.
func newRecord(r ledger.Record) (Record, error) {
	data, err := r.Encode()
	if err != nil {
		return Record{}, err
	}
	entry := Record{Number: r.Number, Hash: r.Hash}
	if utf8.Valid(data) {
		entry.Text = string(data)
	} else {
		entry.Base64 = data
	}
	return entry, nil
}

// data returns the record's bytes.
func (r Record) data() []byte {
	if r.Base64 != nil {
		return r.Base64
	}
	return []byte(r.Text)
}

// Write writes a file of records, one after the other: none but the one at hand is
// in memory. Of a file that an error ends nothing can be read.
func Write(w io.Writer, h Header, records iter.Seq2[ledger.Record, error]) error {
	h.Format = format
	out := bufio.NewWriter(w)
	head, err := marshal(h)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s,\n\"records\":[", bytes.TrimSuffix(head, []byte("}")))
	said := newReading(h)
	separator := "\n"
	for r, err := range records {
		if err != nil {
			return err
		}
		entry, err := newRecord(r)
		if err != nil {
			return err
		}
		line, err := marshal(entry)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s%s", separator, line)
		separator = ",\n"
		said.add(r)
	}
	says, err := marshal(said.end())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n],\n\"says\":%s}\n", says)
	return out.Flush()
}

// marshal writes JSON in one line, with < and > as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Read reads a file. Whether it is as it was written is for Verify to say.
func Read(text []byte) (File, error) {
	var versioned struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(text, &versioned) == nil && versioned.Format > format {
		return File{}, fmt.Errorf("it has the format %d, and this exitgate reads %d: check it with a newer one", versioned.Format, format)
	}
	var f File
	err := strictjson.Options{Complete: true}.Unmarshal(text, &f)
	switch {
	case err != nil:
		return File{}, fmt.Errorf("it isn't a file of exitgate evidence, or it was changed: %w", err)
	case f.Format < 1 || f.Format > format:
		return File{}, errors.New("it isn't a file of exitgate evidence: its format is missing")
	case len(f.Records) == 0:
		return File{}, errors.New("it has no records")
	}
	return f, nil
}
