package ledger

import (
	"errors"
	"fmt"
)

// A message is what the stream has under a number.
type message struct {
	number uint64
	data   []byte
	id     string // Nats-Msg-Id: the hash of the record that was appended there
}

// record returns the record that a message is.
func (m message) record() (Record, error) {
	r, err := Decode(m.data)
	switch {
	case err != nil:
		return Record{}, err
	case m.id != r.Hash.String():
		return Record{}, errors.New("its content doesn't match its Nats-Msg-Id: it was changed")
	case r.Number != m.number:
		return Record{}, fmt.Errorf("it has the number of another, %d", r.Number)
	}
	return r, nil
}

// decodeNext returns the record that a message is if it follows from a point,
// and else a [*chainError]. It depends on nothing else, so that every gateway
// finds the same.
func decodeNext(after Point, m message) (Record, error) {
	r, err := m.record()
	if err == nil && r.Previous != after.Hash {
		return Record{}, &chainError{after, r}
	}
	return r, err
}

// A chainError is of a record that follows from another than the one before it.
type chainError struct {
	after  Point
	record Record
}

func (e *chainError) Error() string {
	return fmt.Sprintf("it doesn't follow from %v but from a record %.12s: it is forged, or the history before it was changed", e.after, e.record.Previous)
}

// A cursor is how far the stream was read.
type cursor struct {
	last     Point             // the last record
	seen     uint64            // the last message, valid or not
	invalid  map[string]uint64 // invalid messages since the last record, by hash
	reported uint64            // the last invalid message that was reported
}

// maxInvalid is how many invalid messages are remembered.
const maxInvalid = 1000

func cursorAt(after Point) cursor { return cursor{last: after, seen: after.Number} }

// rewind goes back to the last record.
func (c *cursor) rewind() {
	*c = cursor{last: c.last, seen: c.last.Number, reported: c.reported}
}

// next moves past a message and returns the record that it is, or an
// [InvalidRecord]. One of [ErrHistory] is a sign that records are missing or
// were changed: others may have found the message valid.
func (c *cursor) next(m message) (Record, error) {
	r, err := decodeNext(c.last, m)
	missing := m.number != c.seen+1
	c.seen = m.number
	if err == nil {
		c.last, c.invalid = r.Point(), nil
		return r, nil
	}
	if e := (*chainError)(nil); errors.As(err, &e) {
		r = e.record
		if previous, found := c.invalid[r.Previous.String()]; found {
			err = fmt.Errorf("%w: it builds on record %d, which is invalid: see what `exitgate log --verify` says", ErrHistory, previous)
		} else if missing {
			err = fmt.Errorf("%w: records before it are missing: see what `exitgate log --verify` says", ErrHistory)
		}
	}
	if len(c.invalid) < maxInvalid {
		if c.invalid == nil {
			c.invalid = make(map[string]uint64)
		}
		c.invalid[m.id], c.invalid[r.Hash.String()] = m.number, m.number
	}
	return Record{}, InvalidRecord{m.number, err}
}
