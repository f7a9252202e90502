package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a record's content, in bytes.
const (
	MaxBody   = 9 << 20 // a policy document of 8 MiB and what comes with it
	MaxReason = 4096
	MaxAuthor = 256
	MaxKind   = 64

	maxHead   = 32 << 10 // the first line of a record, with everything in it escaped
	maxRecord = maxHead + MaxBody
)

// A Hash is the SHA-256 of a record's bytes.
type Hash [sha256.Size]byte

// String returns the hash in hexadecimal, as sha256sum prints it.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads a hash in hexadecimal.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash has %d characters, not %d", hex.EncodedLen(len(h)), len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// A Point is a place in the ledger: a record, and by its hash all that came
// before it. The zero Point is the place before the first record.
type Point struct {
	Number uint64 `json:"number"`
	Hash   Hash   `json:"hash"`
}

func (p Point) String() string {
	if p == (Point{}) {
		return "the beginning"
	}
	return fmt.Sprintf("record %d (%.12s)", p.Number, p.Hash)
}

// A Content is what somebody appends to the ledger.
type Content struct {
	Kind   string // what the body is, not empty; not interpreted here
	Author string // who did it; not empty
	Reason string // why
	Body   []byte // not interpreted here
}

// Check returns why a content can't be appended.
func (c Content) Check() error {
	var errs []error
	text := func(name, value string, most int, required bool) {
		switch {
		case required && strings.TrimSpace(value) == "":
			errs = append(errs, fmt.Errorf("the %s is missing", name))
		case len(value) > most:
			errs = append(errs, fmt.Errorf("the %s has %d bytes: the limit is %d", name, len(value), most))
		case !utf8.ValidString(value):
			errs = append(errs, fmt.Errorf("the %s isn't UTF-8", name))
		case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
			errs = append(errs, fmt.Errorf("the %s has control characters", name)) // they would reach a terminal
		}
	}
	text("kind", c.Kind, MaxKind, true)
	text("author", c.Author, MaxAuthor, true)
	text("reason", c.Reason, MaxReason, false)
	if len(c.Body) > MaxBody {
		errs = append(errs, fmt.Errorf("the body has %d bytes: the limit is %d", len(c.Body), MaxBody))
	}
	return errors.Join(errs...)
}

// A Record is a content in its place in the ledger.
//
// Its bytes are one line of JSON, the head, and then the body as it is:
//
//	{"version":1,"number":42,"previous":"<hash>","time":"2026-11-22T02:00:00Z","kind":"revision","author":"ada","reason":"…"}
//	<body>
//
// Previous is the hash of the record before it: the SHA-256 of that one's
// bytes, head and body. There is one way only to write a record: a head that
// would be written otherwise than it stands there isn't a record.
//
// Later versions keep the first line, with version, number and previous, and
// the hash of all bytes: so a gateway follows the chain past records that are
// newer than it is.
type Record struct {
	// Version is that of the format. Of a record of a later one than this
	// gateway knows the place in the chain is known, and time, author and reason
	// if its head has them as today's do. Its Kind is one that nobody knows,
	// whatever the ledger has, and it has no Body. It is to be skipped like any
	// record of an unknown kind.
	Version int
	// Number is the record's sequence number in the stream. Numbers rise;
	// one that is missing was given to a message that isn't a record.
	Number   uint64
	Previous Hash
	Hash     Hash
	Time     time.Time // by the clock of the gateway that wrote it, in UTC
	Content
	// Raw has all bytes of a record of a later version; of others it is nil.
	Raw []byte
}

// Point is the record's place.
func (r Record) Point() Point { return Point{r.Number, r.Hash} }

// version is the version of records that are written and understood.
const version = 1

// A head is the first line of a record.
type head struct {
	chainHead
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`
	Author string    `json:"author"`
	Reason string    `json:"reason"`
}

// A chainHead is what the heads of all versions have.
type chainHead struct {
	Version  int    `json:"version"`
	Number   uint64 `json:"number"`
	Previous Hash   `json:"previous"`
}

// line returns the head in the one way that it is written in.
func (h head) line() ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(h)
	return line.Bytes(), err
}

// encode returns the bytes of a content after a point, and the record.
func encode(after Point, number uint64, at time.Time, c Content) (Record, []byte, error) {
	at = at.UTC().Round(0)
	line, err := head{chainHead{version, number, after.Hash}, at, c.Kind, c.Author, c.Reason}.line()
	if err != nil {
		return Record{}, nil, err
	}
	data := append(line, c.Body...)
	return Record{version, number, after.Hash, sha256.Sum256(data), at, c, nil}, data, nil
}

// Encode returns the record's bytes: those that Hash is the SHA-256 of.
func (r Record) Encode() ([]byte, error) {
	if r.Raw != nil {
		return r.Raw, nil
	}
	_, data, err := encode(Point{Hash: r.Previous}, r.Number, r.Time, r.Content)
	return data, err
}

// Decode reads a record's bytes, of this version or a later one. The record's
// body shares them.
func Decode(data []byte) (Record, error) {
	line, _, found := bytes.Cut(data[:min(len(data), maxHead)], []byte("\n"))
	if !found {
		return Record{}, errors.New("not a record: it has no head")
	}
	var h head
	err := json.Unmarshal(line, &h)
	if err != nil {
		// That is all that is understood of a later version.
		var c chainHead
		if json.Unmarshal(line, &c) != nil || c.Version <= version {
			return Record{}, fmt.Errorf("not a record: %w", err)
		}
		h.chainHead = c
	}
	r := Record{Version: h.Version, Number: h.Number, Previous: h.Previous, Hash: sha256.Sum256(data)}
	if h.Version > version {
		r.Kind, r.Raw = fmt.Sprintf("unknown (version %d)", h.Version), data
		if said := (Content{r.Kind, h.Author, h.Reason, nil}); err == nil && said.Check() == nil {
			r.Time, r.Content = h.Time.UTC(), said
		}
		return r, nil
	}
	r.Time, r.Content = h.Time, Content{h.Kind, h.Author, h.Reason, data[len(line)+1:]}
	if err := r.Check(); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	if canonical, err := h.line(); err != nil || !bytes.Equal(canonical[:len(canonical)-1], line) || h.Version != version || h.Time.Location() != time.UTC {
		return Record{}, errors.New("not a record: its head isn't written as exitgate writes it")
	}
	return r, nil
}
