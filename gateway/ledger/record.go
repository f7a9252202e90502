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

// What an entry may hold, in bytes.
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

// An Content is what somebody writes into the ledger.
type Content struct {
	Kind   string // what it is, in the words of those who read it; not empty
	Author string // who did it; not empty
	Reason string // why
	Body   []byte // what it is about; the ledger doesn't look into it
}

// Check says what is wrong with an entry that can't be written.
func (e Content) Check() error {
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
	text("kind", e.Kind, MaxKind, true)
	text("author", e.Author, MaxAuthor, true)
	text("reason", e.Reason, MaxReason, false)
	if len(e.Body) > MaxBody {
		errs = append(errs, fmt.Errorf("the body has %d bytes: the limit is %d", len(e.Body), MaxBody))
	}
	return errors.Join(errs...)
}

// A Record is an entry in its place in the ledger.
//
// Its bytes are one line of JSON, the head, and then the body as it is:
//
//	{"version":1,"number":42,"previous":"<hash>","time":"2026-11-22T02:00:00Z","kind":"revision","author":"ada","reason":"…"}
//	<body>
//
// Previous is the hash of the record before it: the SHA-256 of that one's
// bytes, head and body. There is one way only to write a record: a head that
// would be written otherwise than it stands there isn't a record.
type Record struct {
	// Number is the record's sequence number in the stream. Numbers rise;
	// one that is missing was given to a message that isn't a record.
	Number   uint64
	Previous Hash
	Hash     Hash
	Time     time.Time // by the clock of the gateway that wrote it, in UTC
	Content
}

// Point is the record's place.
func (r Record) Point() Point { return Point{r.Number, r.Hash} }

// version is the version of records that are written and understood.
const version = 1

type head struct {
	Version  int       `json:"version"`
	Number   uint64    `json:"number"`
	Previous Hash      `json:"previous"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	Author   string    `json:"author"`
	Reason   string    `json:"reason"`
}

// line writes the head in the one way that it is written in.
func (h head) line() ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(h)
	return line.Bytes(), err
}

// write returns the bytes of an entry after a point, and the record.
func write(after Point, number uint64, at time.Time, e Content) (Record, []byte, error) {
	at = at.UTC().Round(0)
	line, err := head{version, number, after.Hash, at, e.Kind, e.Author, e.Reason}.line()
	if err != nil {
		return Record{}, nil, err
	}
	data := append(line, e.Body...)
	return Record{number, after.Hash, sha256.Sum256(data), at, e}, data, nil
}

// Encode returns the record's bytes: those that Hash is the SHA-256 of.
func (r Record) Encode() ([]byte, error) {
	_, data, err := write(Point{Hash: r.Previous}, r.Number, r.Time, r.Content)
	return data, err
}

// Decode reads a record's bytes. The record's body shares them. What was
// written by a later version is [ErrNewer].
func Decode(data []byte) (Record, error) {
	line, _, found := bytes.Cut(data[:min(len(data), maxHead)], []byte("\n"))
	if !found {
		return Record{}, errors.New("not a record: it has no head")
	}
	body := data[len(line)+1:]
	var h head
	err := json.Unmarshal(line, &h)
	if err == nil && h.Version > version {
		return Record{Number: h.Number, Previous: h.Previous, Hash: sha256.Sum256(data)}, fmt.Errorf("%w (version %d)", ErrNewer, h.Version)
	}
	if err != nil {
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	r := Record{h.Number, h.Previous, sha256.Sum256(data), h.Time, Content{h.Kind, h.Author, h.Reason, body}}
	if err := r.Check(); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	if canonical, err := h.line(); err != nil || !bytes.Equal(canonical[:len(canonical)-1], line) || h.Version != version || h.Time.Location() != time.UTC {
		return Record{}, errors.New("not a record: its head isn't written as exitgate writes it")
	}
	return r, nil
}

// A message is what the stream holds under a number.
type message struct {
	number uint64
	data   []byte
	id     string // the hash of the record that was written there
}

// record reads the record that a message is.
func (m message) record() (Record, error) {
	r, err := Decode(m.data)
	switch {
	case err != nil && !errors.Is(err, ErrNewer):
		return Record{}, err
	case m.id != r.Hash.String():
		return Record{}, errors.New("it isn't what was written: its content and its Nats-Msg-Id don't belong together")
	case r.Number != m.number:
		return Record{}, fmt.Errorf("it says that it is record %d", r.Number)
	}
	return r, err
}

// judge says whether a message is the record that comes after a point. It is
// the same for every gateway, whatever else it knows.
func judge(after Point, m message) (Record, error) {
	r, err := m.record()
	if (err == nil || errors.Is(err, ErrNewer)) && r.Previous != after.Hash {
		return Record{}, &unchained{after, r}
	}
	return r, err
}

// unchained is a record that follows from another than the one before it.
type unchained struct {
	after  Point
	record Record
}

func (e *unchained) Error() string {
	return fmt.Sprintf("it doesn't follow from %v but from a record %.12s: it is forged, or the history before it was changed", e.after, e.record.Previous)
}

// A position is how far the stream was read.
type position struct {
	last    Point             // the last record
	seen    uint64            // the last message: it may have been refused
	refused map[string]uint64 // since the last record, by hash
	told    uint64            // the last refusal that somebody was told of
}

func start(after Point) position { return position{last: after, seen: after.Number} }

// rewind goes back to the last record.
func (p *position) rewind() { *p = position{last: p.last, seen: p.last.Number, told: p.told} }

// take judges a message and moves past it, unless it is of a later version.
// An [ErrHistory] is a sign that records are missing or were changed: others
// may have taken what is refused here.
func (p *position) take(m message) (Record, error) {
	r, err := judge(p.last, m)
	if errors.Is(err, ErrNewer) {
		return Record{}, InvalidRecord{m.number, err}
	}
	missing := m.number != p.seen+1
	p.seen = m.number
	if err == nil {
		p.last, p.refused = r.Point(), nil
		return r, nil
	}
	if u := (*unchained)(nil); errors.As(err, &u) {
		r = u.record
		if on, found := p.refused[r.Previous.String()]; found {
			err = fmt.Errorf("%w: it builds on record %d, which is refused: see what `exitgate log --verify` says", ErrHistory, on)
		} else if missing {
			err = fmt.Errorf("%w: records before it are missing: see what `exitgate log --verify` says", ErrHistory)
		}
	}
	if len(p.refused) < 1000 {
		if p.refused == nil {
			p.refused = make(map[string]uint64)
		}
		p.refused[m.id], p.refused[r.Hash.String()] = m.number, m.number
	}
	return Record{}, InvalidRecord{m.number, err}
}
