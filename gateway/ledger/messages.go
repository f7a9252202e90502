package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// scan visits the messages from one number to another, until visit returns that
// no more are wanted. When the reading is interrupted it goes on from where it
// was, until it gets no further in several attempts.
func scan(ctx context.Context, s *stream, from, to uint64, visit func(message) (more bool, err error)) error {
	for attempt := 0; from <= to; attempt++ {
		before := from
		done, err := scanOnce(ctx, s, &from, to, visit)
		if done || ctx.Err() != nil {
			return err
		}
		if from > before {
			attempt = 0
		}
		if attempt == maxScans {
			return fmt.Errorf("read the stream: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryDelay):
		}
	}
	return nil
}

// maxScans is how many attempts in a row may read nothing.
const maxScans = 8

// scanOnce visits messages until it is done, or the reading is interrupted.
func scanOnce(ctx context.Context, s *stream, from *uint64, to uint64, visit func(message) (bool, error)) (done bool, err error) {
	next, stop, err := messages(ctx, s, *from, requestTimeout)
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
// consumer: nothing is acknowledged, and what is out of order is an error. The limit is
// for NATS to make the consumer.
func messages(ctx context.Context, s *stream, from uint64, limit time.Duration) (next func() (message, error), stop func(), err error) {
	starting, cancel := context.WithTimeout(ctx, limit)
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
		jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { ended(err) }))
	if err != nil {
		ended(nil)
		return nil, nil, fmt.Errorf("read the stream: %w", err)
	}
	stop = func() {
		ended(nil)
		reading.Stop()
		<-reading.Closed()
		ending, cancel := context.WithTimeout(context.Background(), 2*retryDelay)
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
				return message{}, errors.New("a message was lost between NATS and here")
			}
			return message{about.Sequence.Stream, m.Data(), m.Headers().Get(nats.MsgIdHdr)}, nil
		}
	}
	return next, stop, nil
}
