package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/ledger"
)

// An exportedRecord is a record as ExportRecords writes it.
type exportedRecord struct {
	Number   uint64      `json:"number"`
	Version  int         `json:"version"`
	Time     time.Time   `json:"time,omitzero"`
	Kind     string      `json:"kind"`
	Author   string      `json:"author"`
	Reason   string      `json:"reason"`
	Previous ledger.Hash `json:"previous"`
	Hash     ledger.Hash `json:"hash"`
	// Body is what the record says, if that is JSON; BodyText if it is text, BodyBytes
	// else, in base64.
	Body      json.RawMessage `json:"body,omitempty"`
	BodyText  string          `json:"body-text,omitempty"`
	BodyBytes []byte          `json:"body-bytes,omitempty"`
}

// ExportRecords writes the records of a ledger behind the one of a number as lines of JSON,
// each checked against its hash and the one before it: those in a file, or with "" those in
// the data folder of some settings, with which a gateway may run.
func ExportRecords(c config.Config, from string, after uint64, to io.Writer) (err error) {
	if from == "" {
		dir, err := findFolder(c)
		if err != nil {
			return err
		}
		from = dir.Records()
	}
	records, _, err := ledger.ReadArchive(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	lines := json.NewEncoder(to)
	lines.SetEscapeHTML(false)
	for r, err := range records.Records() {
		if err != nil {
			return err
		}
		if r.Number <= after {
			continue
		}
		body, line := r.Body, exportedRecord{
			Number: r.Number, Version: r.Version, Time: r.Time, Kind: r.Kind, Author: r.Author, Reason: r.Reason, Previous: r.Previous, Hash: r.Hash,
		}
		switch {
		case json.Valid(body):
			line.Body = body
		case utf8.Valid(body):
			line.BodyText = string(body)
		default:
			line.BodyBytes = body
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
