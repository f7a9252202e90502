package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Fill adds to an archive the records that come after its last one. [ErrHistory]
// says that the stream isn't the one that the archive is of.
func (l *Ledger) Fill(ctx context.Context, a *Archive) error {
	ctx, release := l.untilClosed(ctx)
	defer release()
	s, err := l.readStream(ctx)
	if err != nil {
		return err
	}
	at := cursorAt(a.Last())
	if s.state.LastSeq < at.seen {
		return nil // a stream that was cut is told by whoever follows it
	}
	if err := s.checkHolds(ctx, at.last); err != nil {
		return err
	}
	err = scan(ctx, s, at.seen+1, s.state.LastSeq, func(m message) (bool, error) {
		r, err := at.next(m)
		switch {
		case err == nil:
			return true, a.Append(r)
		case errors.Is(err, ErrHistory):
			return false, err
		}
		return true, nil
	})
	return errors.Join(err, a.Sync())
}

// maxDiffering is how many records that differ Compare returns.
const maxDiffering = 1000

// Compare returns the numbers of the records that the stream has otherwise than an
// archive, or not at all: the first 1,000.
func (l *Ledger) Compare(ctx context.Context, a *Archive) (differing []uint64, err error) {
	ctx, release := l.untilClosed(ctx)
	defer release()
	s, err := l.readStream(ctx)
	if err != nil {
		return nil, err
	}
	next, stop := iter.Pull2(a.entries())
	defer stop()
	kept, damage, more := next()
	end := min(s.state.LastSeq, a.Last().Number)
	differ := func() {
		if len(differing) < maxDiffering {
			differing = append(differing, kept.number)
		}
		kept, damage, more = next()
	}
	err = scan(ctx, s, 1, end, func(m message) (bool, error) {
		for more && damage == nil && kept.number < m.number {
			differ()
		}
		switch {
		case damage != nil || !more || kept.number != m.number:
			return more, damage
		case sha256.Sum256(m.data) != kept.hash || m.id != kept.hash.String():
			differ()
		default:
			kept, damage, more = next()
		}
		return true, nil
	})
	for err == nil && damage == nil && more && kept.number <= end {
		differ()
	}
	return differing, errors.Join(err, damage)
}

// ErrStreamInUse is the error of an Import into a stream that has other records.
var ErrStreamInUse = errors.New("the stream has records that aren't those of the file, or more")

// Import makes the stream of a ledger from an archive: each record under its number,
// and under the numbers between them messages that say that there was no record. A
// stream that has messages is refused, unless they are the first of those that would
// be written: then an Import was interrupted, and is completed. It returns how many
// messages it has written, calling progress after each.
func Import(ctx context.Context, o Options, a *Archive, progress func(number uint64)) (written int, err error) {
	for _, err := range a.Records() { // before anything is written
		if err != nil {
			return 0, err
		}
	}
	o.Known = Point{}
	l, err := Open(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s, err := l.connectedStream(ctx)
	if err != nil {
		return 0, err
	}
	there := s.state.LastSeq
	if there > a.Last().Number || there > 0 && s.checkComplete() != nil {
		return 0, ErrStreamInUse
	}
	at := uint64(0)
	put := func(data []byte, id string) error {
		at++
		if at <= there {
			m, err := s.get(ctx, at)
			if err == nil && (string(m.data) != string(data) || m.id != id) {
				err = fmt.Errorf("%w: record %d differs", ErrStreamInUse, at)
			}
			return err
		}
		if err := l.publishAt(ctx, at, data, id); err != nil {
			return fmt.Errorf("record %d: %w", at, err)
		}
		written++
		progress(at)
		return nil
	}
	for r, err := range a.Records() {
		if err != nil {
			return written, err
		}
		for at+1 < r.Number {
			if err := put(fmt.Appendf(nil, "exitgate: when the ledger was imported, no record had the number %d", at+1), ""); err != nil {
				return written, err
			}
		}
		data, err := r.Encode()
		if err == nil {
			err = put(data, r.Hash.String())
		}
		if err != nil {
			return written, err
		}
	}
	differing, err := l.Compare(ctx, a)
	if err == nil && len(differing) > 0 {
		err = fmt.Errorf("%w: %d records differ, the first of them %d", ErrHistory, len(differing), differing[0])
	}
	return written, err
}

// connectedStream waits until the stream can be written to.
func (l *Ledger) connectedStream(ctx context.Context) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	for {
		s, err := l.writeStream(ctx)
		if err == nil || !isTransient(err) {
			return s, err
		}
		select {
		case <-ctx.Done():
			l.setUnreachable(err) // the connection's own error says more
			return nil, errors.New(l.Status().Why)
		case <-time.After(retryDelay):
		}
	}
}

// publishAt sends a message to be stored under a number.
func (l *Ledger) publishAt(ctx context.Context, number uint64, data []byte, id string) error {
	options := []jetstream.PublishOpt{jetstream.WithExpectStream(l.name), jetstream.WithExpectLastSequence(number - 1)}
	if id != "" {
		options = append(options, jetstream.WithMsgID(id))
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return l.whileConnected(ctx, func(ctx context.Context) error {
		ack, err := l.writing.PublishMsg(ctx, &nats.Msg{Subject: l.subject(), Data: data}, options...)
		if err == nil && ack.Sequence != number {
			err = fmt.Errorf("NATS stored it as number %d, not %d", ack.Sequence, number)
		}
		return err
	})
}
