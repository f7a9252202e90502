package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Follow delivers the records after a point in their order, those that are
// there and those to come, one at a time and each once. It calls caughtUp whenever
// nothing more can be read at once: all that is there was delivered, or the
// connection is lost. Who acts on the newest record only, and not on each in a
// backlog, does so there; it may be called more than once for the same. Both are
// called by one goroutine. Follow always ends with an error: the context's, or
// [ErrClosed].
//
// An invalid record is logged, reported to Options.OnInvalid and skipped. A lost
// connection, and a stream that isn't the one that is known ([ErrHistory]) or is
// configured otherwise ([ErrStream]), don't end it: it delivers nothing, the
// Status says why, and it goes on by itself once the connection or the right
// stream is back.
func (l *Ledger) Follow(ctx context.Context, after Point, deliver func(Record), caughtUp func()) error {
	ctx, stop := l.untilClosed(ctx)
	defer stop()
	at := cursorAt(after)
	// The consumer may be made on a server that is frozen: then not for long.
	for limit := requestTimeout / 4; ; limit = min(2*limit, 2*requestTimeout) {
		err := l.whileConnected(ctx, func(ctx context.Context) error {
			return l.follow(ctx, &at, limit, deliver, func() { limit = requestTimeout / 4; caughtUp() })
		})
		caughtUp()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.setUnreachable(err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryDelay):
		}
	}
}

// untilClosed returns a context that ends with the ledger, too.
func (l *Ledger) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

func (l *Ledger) follow(ctx context.Context, at *cursor, limit time.Duration, deliver func(Record), caughtUp func()) error {
	s, err := l.readStream(ctx)
	if err != nil {
		return err
	}
	if err := l.checkKnown(ctx, s, at.last); err != nil {
		return err
	}
	at.rewind() // what came after the last record may be of another stream
	next, stop, err := messages(ctx, s, at.seen+1, limit)
	if err != nil {
		return err
	}
	defer stop()
	for {
		if at.seen >= s.state.LastSeq {
			caughtUp()
			l.setConnected()
		}
		m, err := next()
		if err != nil {
			return err
		}
		r, err := l.next(at, m)
		if errors.Is(err, ErrHistory) {
			return err
		}
		if err == nil {
			deliver(r)
		}
	}
}

// checkKnown returns an error if the stream lacks what was read from it before, by
// this process or an earlier one.
func (l *Ledger) checkKnown(ctx context.Context, s *stream, last Point) error {
	if err := s.checkComplete(); err != nil {
		return err
	}
	if err := s.checkHolds(ctx, last); err != nil {
		return err
	}
	if known := l.lastKnown(); known != last {
		return s.checkHolds(ctx, known)
	}
	return nil
}

// next moves a cursor past a message, and reports one that is invalid.
func (l *Ledger) next(at *cursor, m message) (Record, error) {
	r, err := at.next(m)
	if err == nil {
		l.setKnown(r.Point())
		return r, nil
	}
	if invalid := (InvalidRecord{}); errors.As(err, &invalid) && invalid.Number > at.reported {
		at.reported = invalid.Number
		l.options.Log.Error("invalid ledger record, skipped", "number", invalid.Number, "error", invalid.Err)
		if l.options.OnInvalid != nil {
			l.options.OnInvalid(invalid)
		}
	}
	return r, err
}

// History yields the records after a point that are there now, in their
// order. Invalid ones are skipped as by [Ledger.Follow]. An error is the last that
// it yields: with [ErrHistory] records are missing or were changed, and those that
// were yielded are an old state, not to be taken for the last.
func (l *Ledger) History(ctx context.Context, after Point) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		ctx, release := l.untilClosed(ctx)
		defer release()
		s, err := l.readStream(ctx)
		if err == nil {
			err = l.checkKnown(ctx, s, after)
		}
		if err == nil {
			at, known := cursorAt(after), l.lastKnown()
			err = scan(ctx, s, after.Number+1, s.state.LastSeq, func(m message) (bool, error) {
				r, err := l.next(&at, m)
				switch {
				case err == nil:
					return yield(r, nil), nil
				case errors.Is(err, ErrHistory):
					return false, err
				case m.number == known.Number:
					return false, fmt.Errorf("%w: %w", ErrHistory, err)
				}
				return true, nil
			})
		}
		if err != nil {
			if ctx.Err() == nil {
				l.setUnreachable(err) // as Follow does
			}
			yield(Record{}, err)
		}
	}
}

// Record returns one record, from wherever it can be read. The error is
// [ErrNoRecord] for a number that none has yet, and an [InvalidRecord] for a
// message that isn't a record. Its bytes are those that were written under its
// number; whether it follows from the records before it is not checked.
func (l *Ledger) Record(ctx context.Context, number uint64) (Record, error) {
	ctx, release := l.untilClosed(ctx)
	defer release()
	r, err := l.record(ctx, number, l.readStream)
	if err != nil && l.reading != l.writing && !errors.As(err, new(InvalidRecord)) {
		r, err = l.record(ctx, number, l.writeStream) // the mirror may be behind
	}
	return r, err
}

func (l *Ledger) record(ctx context.Context, number uint64, stream func(context.Context) (*stream, error)) (Record, error) {
	s, err := stream(ctx)
	if err != nil {
		return Record{}, err
	}
	if number == 0 || number > s.state.LastSeq {
		return Record{}, fmt.Errorf("record %d: %w", number, ErrNoRecord)
	}
	m, err := s.get(ctx, number)
	if err != nil {
		return Record{}, err
	}
	r, err := m.record()
	if err != nil {
		return Record{}, InvalidRecord{number, err}
	}
	return r, nil
}
