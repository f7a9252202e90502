package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Follow delivers the records after a point in their order, those that are
// there and those to come, one at a time and each once. It calls settled whenever
// nothing more can be read at once: all that is there was delivered, or the line
// is lost. Who goes by the newest record only, and not by each in a backlog, does
// so there; it may be called more than once for the same. Both are called by one
// goroutine. Follow always ends with an error: the context's, [ErrClosed], or
// [ErrNewer] of a record of a later version.
//
// A message that isn't believed is logged, told to Options.Refused and
// skipped. A lost connection, and a stream that isn't the one that is known
// ([ErrHistory]) or promises less ([ErrStream]), don't end it: it delivers
// nothing, the Status says why, and it goes on by itself once the connection
// or the right stream is back.
func (l *Ledger) Follow(ctx context.Context, after Point, deliver func(Record), settled func()) error {
	ctx, stop := l.until(ctx)
	defer stop()
	at := start(after)
	for {
		err := l.onLine(ctx, func(ctx context.Context) error { return l.follow(ctx, &at, deliver, settled) })
		settled()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.lost(err)
		if errors.Is(err, ErrNewer) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(again):
		}
	}
}

// until returns a context that ends with the ledger, too.
func (l *Ledger) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// onLine does something that ends with the connection.
func (l *Ledger) onLine(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	line := l.currentLine()
	defer context.AfterFunc(line, func() { cancel(context.Cause(line)) })()
	err := do(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l *Ledger) follow(ctx context.Context, at *position, deliver func(Record), settled func()) error {
	s, err := l.readable(ctx)
	if err != nil {
		return err
	}
	if err := l.intact(ctx, s, at.last); err != nil {
		return err
	}
	at.rewind() // what came after the last record may be of another stream
	next, stop, err := messages(ctx, s, at.seen+1)
	if err != nil {
		return err
	}
	defer stop()
	for {
		if at.seen >= s.state.LastSeq {
			settled()
			l.reached()
		}
		m, err := next()
		if err != nil {
			return err
		}
		r, err := l.take(at, m)
		if errors.Is(err, ErrNewer) || errors.Is(err, ErrHistory) {
			return err
		}
		if err == nil {
			deliver(r)
		}
	}
}

// intact says whether the stream holds what was read from it before, here or
// in an earlier life.
func (l *Ledger) intact(ctx context.Context, s *store, last Point) error {
	if err := s.whole(); err != nil {
		return err
	}
	if err := s.holds(ctx, last); err != nil {
		return err
	}
	if known := l.lastKnown(); known != last {
		return s.holds(ctx, known)
	}
	return nil
}

// take judges a message and tells of a refusal.
func (l *Ledger) take(at *position, m message) (Record, error) {
	r, err := at.take(m)
	if err == nil {
		l.know(r.Point())
		return r, nil
	}
	if refusal := (InvalidRecord{}); errors.As(err, &refusal) && refusal.Number > at.told {
		at.told = refusal.Number
		l.options.Log.Error("a record of the ledger is refused: the last good state stays", "number", refusal.Number, "error", refusal.Err)
		if l.options.OnInvalid != nil {
			l.options.OnInvalid(refusal)
		}
	}
	return r, err
}

// History yields the records after a point that are there now, in their
// order. What is refused is skipped as [Ledger.Follow] does. An error is the
// last that it yields: with [ErrHistory] records are missing or were changed,
// and those that were yielded are an old state, not to be taken for the last.
func (l *Ledger) History(ctx context.Context, after Point) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		ctx, release := l.until(ctx)
		defer release()
		s, err := l.readable(ctx)
		if err == nil {
			err = l.intact(ctx, s, after)
		}
		if err == nil {
			at, known := start(after), l.lastKnown()
			err = scan(ctx, s, after.Number+1, s.state.LastSeq, func(m message) (bool, error) {
				r, err := l.take(&at, m)
				switch {
				case err == nil:
					return yield(r, nil), nil
				case errors.Is(err, ErrNewer), errors.Is(err, ErrHistory):
					return false, err
				case m.number == known.Number:
					return false, fmt.Errorf("%w: %w", ErrHistory, err)
				}
				return true, nil
			})
		}
		if err != nil {
			if ctx.Err() == nil {
				l.lost(err) // as Follow says it
			}
			yield(Record{}, err)
		}
	}
}

// Record returns one record, from wherever it can be read. There is
// [ErrNoRecord] of a number that none has yet, and a [InvalidRecord] of a message
// that isn't a record. Its bytes are those that were written under its number;
// that it follows from the records before it is not looked at: what
// [Ledger.Follow] refuses for that is returned here.
func (l *Ledger) Record(ctx context.Context, number uint64) (Record, error) {
	ctx, release := l.until(ctx)
	defer release()
	r, err := l.record(ctx, number, l.readable)
	if err != nil && l.reading != l.writing && !errors.As(err, new(InvalidRecord)) {
		r, err = l.record(ctx, number, l.stream) // the mirror may be behind
	}
	return r, err
}

func (l *Ledger) record(ctx context.Context, number uint64, stream func(context.Context) (*store, error)) (Record, error) {
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

// Last returns the number of the newest message that can be read, 0 if there
// is none: it is as far as Follow comes now. If it isn't a record, the last
// record has a lower number.
func (l *Ledger) Last(ctx context.Context) (uint64, error) {
	ctx, release := l.until(ctx)
	defer release()
	s, err := l.readable(ctx)
	if err != nil {
		return 0, err
	}
	return s.state.LastSeq, s.whole()
}

// scan visits the messages from one number to another, until visit says
// otherwise. It begins anew where it was when the reading is interrupted, as
// long as that leads on.
func scan(ctx context.Context, s *store, from, to uint64, visit func(message) (more bool, err error)) error {
	for attempt := 0; from <= to; attempt++ {
		before := from
		done, err := scanOnce(ctx, s, &from, to, visit)
		if done || ctx.Err() != nil {
			return err
		}
		if from > before {
			attempt = 0
		}
		if attempt == 8 {
			return fmt.Errorf("read the stream: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(again):
		}
	}
	return nil
}

// scanOnce visits messages until it is done, or the reading is interrupted.
func scanOnce(ctx context.Context, s *store, from *uint64, to uint64, visit func(message) (bool, error)) (done bool, err error) {
	next, stop, err := messages(ctx, s, *from)
	if err != nil {
		return false, err
	}
	defer stop()
	for {
		m, err := next()
		if err != nil {
			return false, err
		}
		*from = m.number + 1
		if more, err := visit(m); err != nil || !more || m.number >= to {
			return true, err
		}
	}
}

// messages reads the stream's messages from a number on, as an ordered
// consumer: nothing is acknowledged, and what is out of order is an error.
func messages(ctx context.Context, s *store, from uint64) (next func() (message, error), stop func(), err error) {
	starting, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	c, err := s.CreateConsumer(starting, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the stream: %w", err)
	}
	// The library's own iterator drops messages when it is slower than they
	// come; its callback waits.
	ctx, ended := context.WithCancelCause(ctx)
	arrivals := make(chan jetstream.Msg)
	reading, err := c.Consume(
		func(m jetstream.Msg) {
			select {
			case arrivals <- m:
			case <-ctx.Done():
			}
		},
		jetstream.PullMaxMessagesWithBytesLimit(256, 2*maxRecord),
		jetstream.PullExpiry(10*idle),
		jetstream.PullHeartbeat(idle),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { ended(err) }))
	if err != nil {
		ended(nil)
		return nil, nil, fmt.Errorf("read the stream: %w", err)
	}
	stop = func() {
		ended(nil)
		reading.Stop()
		<-reading.Closed()
		ending, cancel := context.WithTimeout(context.Background(), 2*again)
		defer cancel()
		_ = s.DeleteConsumer(ending, c.CachedInfo().Name) // it goes by itself after a while
	}
	var delivered uint64
	next = func() (message, error) {
		select {
		case <-ctx.Done():
			return message{}, context.Cause(ctx)
		case m := <-arrivals:
			about, err := m.Metadata()
			if err != nil {
				return message{}, err
			}
			delivered++
			if about.Sequence.Consumer != delivered {
				return message{}, errors.New("messages were lost on the way")
			}
			return message{about.Sequence.Stream, m.Data(), m.Headers().Get(nats.MsgIdHdr)}, nil
		}
	}
	return next, stop, nil
}
