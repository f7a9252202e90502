package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Conflict is the error of an Append that came too late.
type Conflict struct {
	Winner Record // the first record that came between
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("%s by %s came between: it is record %d", c.Winner.Kind, c.Winner.Author, c.Winner.Number)
}

// Unacknowledged is the error of an Append that was sent and not acknowledged in
// time: it may be in the ledger, now or in a moment.
type Unacknowledged struct {
	Record Record // as it stands in the ledger, if it does
	Err    error
}

func (u *Unacknowledged) Error() string {
	return fmt.Sprintf("not acknowledged: look whether record %d is this one before it is tried again: %v", u.Record.Number, u.Err)
}

func (u *Unacknowledged) Unwrap() error { return u.Err }

// Append writes an entry after the record that the author has seen last. It
// returns once the record is stored, on disk or on most of the replicas. If
// another record came between, nothing is written, and the error is a
// [*Conflict]. If it isn't known whether it was stored, the error is an
// [*Unacknowledged]; after every other error nothing was written. A context without
// a deadline gets one of twenty seconds.
func (l *Ledger) Append(ctx context.Context, after Point, e Content) (Record, error) {
	if err := e.Check(); err != nil {
		return Record{}, err
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longest)
		defer cancel()
	}
	var sent *Record
	var failed error // why it wasn't stored
	at, began := l.options.Now(), time.Now()
	for {
		last, next, err := l.tail(ctx, after)
		switch {
		case next != nil && sent != nil && next.Hash == sent.Hash:
			l.know(next.Point())
			return *next, nil
		case next != nil:
			return Record{}, &Conflict{*next}
		case err == nil && failed != nil:
			return Record{}, fmt.Errorf("nothing was written: %w", failed)
		case err == nil:
			r, data, encoding := write(after, last+1, at, e)
			if encoding != nil {
				return Record{}, encoding
			}
			sent = &r
			err = l.publish(ctx, r, data)
			if err == nil {
				l.know(r.Point())
				return r, nil
			}
			if errors.Is(err, errStore) || errors.Is(err, nats.ErrPermissionViolation) {
				failed = err
			}
			if errors.Is(err, nats.ErrMaxPayload) {
				return Record{}, fmt.Errorf("the record has %d bytes, and NATS takes %d: raise max_payload there: %w", len(data), l.conn.MaxPayload(), err)
			}
		case sent == nil && errors.As(err, new(behind)) && l.server == nil && time.Since(began) < request:
			// One node's view, perhaps, that was away and hasn't noticed yet.
		case sent == nil && !passing(err):
			return Record{}, err
		}
		select {
		case <-l.ctx.Done():
			err = ErrClosed
		case <-ctx.Done():
		case <-time.After(again / 10):
			continue
		}
		if sent != nil {
			return Record{}, &Unacknowledged{*sent, err}
		}
		return Record{}, fmt.Errorf("nothing was written: %w", err)
	}
}

// passing says whether an error may be gone at the next attempt.
func passing(err error) bool {
	return !errors.Is(err, ErrHistory) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrStream)
}

// publish sends a record to the place that it is for.
func (l *Ledger) publish(ctx context.Context, r Record, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	return l.onLine(ctx, func(ctx context.Context) error {
		ack, err := l.writing.PublishMsg(ctx, &nats.Msg{Subject: l.subject(), Data: data},
			jetstream.WithExpectStream(l.name),
			jetstream.WithExpectLastSequence(r.Number-1),
			jetstream.WithMsgID(r.Hash.String()))
		if err == nil && ack.Sequence != r.Number {
			err = fmt.Errorf("NATS stored it as %d, not as %d", ack.Sequence, r.Number)
		}
		return err
	})
}

// tail looks at what the stream holds after a point: the record that comes
// next, or if there is none the stream's last sequence number.
func (l *Ledger) tail(ctx context.Context, after Point) (last uint64, next *Record, err error) {
	s, err := l.stream(ctx)
	if err != nil {
		return 0, nil, err
	}
	if err := s.whole(); err != nil {
		return 0, nil, err
	}
	if err := s.holds(ctx, after); err != nil {
		return 0, nil, err
	}
	at := start(after)
	for number := after.Number + 1; number <= s.state.LastSeq; number++ {
		m, err := s.get(ctx, number)
		if err != nil {
			return 0, nil, err
		}
		r, err := at.take(m)
		switch {
		case err == nil:
			return 0, &r, nil
		case errors.Is(err, ErrNewer), errors.Is(err, ErrHistory):
			// To go on would make two histories of one.
			return 0, nil, err
		}
	}
	return s.state.LastSeq, nil, nil
}
