package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// A Conflict is the error of an Append that another one preceded.
type Conflict struct {
	Winner Record // the first record that came between
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("record %d came between: %s by %s", c.Winner.Number, c.Winner.Kind, c.Winner.Author)
}

// Unacknowledged is the error of an Append that was sent and not acknowledged in
// time: it may be in the ledger, now or in a moment.
type Unacknowledged struct {
	Record Record // as it is in the ledger, if it is
	Err    error
}

func (u *Unacknowledged) Error() string {
	return fmt.Sprintf("not acknowledged: see whether record %d is this one before you try again: %v", u.Record.Number, u.Err)
}

func (u *Unacknowledged) Unwrap() error { return u.Err }

// Append writes a content after the record that the author has seen last. It
// returns once the record is stored, on disk or on most of the replicas. If
// another record came between, nothing is written, and the error is a
// [*Conflict]. If it isn't known whether it was stored, the error is an
// [*Unacknowledged]; after every other error nothing was written. A context without
// a deadline gets one of twenty seconds.
func (l *Ledger) Append(ctx context.Context, after Point, c Content) (Record, error) {
	if err := c.Check(); err != nil {
		return Record{}, err
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, appendTimeout)
		defer cancel()
	}
	var sent *Record
	var notStored error // the reason
	at, began := l.date(), time.Now()
	for {
		last, next, err := l.nextAfter(ctx, after)
		switch {
		case next != nil && sent != nil && next.Hash == sent.Hash:
			l.setKnown(next.Point())
			return *next, nil
		case next != nil:
			return Record{}, &Conflict{*next}
		case err == nil && notStored != nil:
			return Record{}, fmt.Errorf("nothing was written: %w", notStored)
		case err == nil:
			r, data, encoding := encode(after, last+1, at, c)
			if encoding != nil {
				return Record{}, encoding
			}
			sent = &r
			err = l.publish(ctx, r, data)
			if err == nil {
				l.setKnown(r.Point())
				return r, nil
			}
			if errors.Is(err, errStore) || errors.Is(err, nats.ErrPermissionViolation) {
				notStored = err
			}
			if errors.Is(err, nats.ErrMaxPayload) {
				return Record{}, fmt.Errorf("the record has %d bytes, and NATS takes %d: raise max_payload there: %w", len(data), l.conn.MaxPayload(), err)
			}
		case sent == nil && errors.As(err, new(behindError)) && l.server == nil && time.Since(began) < requestTimeout:
			// Perhaps only of one node, which was away and hasn't caught up.
		case sent == nil && !isTransient(err):
			return Record{}, err
		}
		select {
		case <-l.ctx.Done():
			err = ErrClosed
		case <-ctx.Done():
		case <-time.After(retryDelay / 10):
			continue
		}
		if sent != nil {
			return Record{}, &Unacknowledged{*sent, err}
		}
		return Record{}, fmt.Errorf("nothing was written: %w", err)
	}
}

// isTransient reports whether an error may be gone at the next attempt.
func isTransient(err error) bool {
	return !errors.Is(err, ErrHistory) && !errors.Is(err, ErrStream)
}

// publish sends a record to be stored under its number.
func (l *Ledger) publish(ctx context.Context, r Record, data []byte) error {
	err := l.publishAt(ctx, r.Number, data, r.Hash.String())
	if ctx.Err() == nil { // else the caller has not waited for an answer
		l.noteWrite(err)
	}
	return err
}

// nextAfter returns the record that comes after a point, or if there is none the
// stream's last sequence number.
func (l *Ledger) nextAfter(ctx context.Context, after Point) (last uint64, next *Record, err error) {
	s, err := l.writeStream(ctx)
	if err != nil {
		return 0, nil, err
	}
	if err := s.checkComplete(); err != nil {
		return 0, nil, err
	}
	if err := s.checkHolds(ctx, after); err != nil {
		return 0, nil, err
	}
	at := cursorAt(after)
	for number := after.Number + 1; number <= s.state.LastSeq; number++ {
		m, err := s.get(ctx, number)
		if err != nil {
			return 0, nil, err
		}
		r, err := at.next(m)
		switch {
		case err == nil:
			return 0, &r, nil
		case errors.Is(err, ErrHistory): // to go on would fork the history
			return 0, nil, err
		}
	}
	return s.state.LastSeq, nil, nil
}
