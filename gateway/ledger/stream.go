package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func (l *Ledger) subject() string { return l.options.Name + ".ledger" }

func (l *Ledger) replicas() int {
	if l.options.Cluster == nil {
		return 1
	}
	return max(1, l.options.Cluster.Replicas)
}

// A stream is the JetStream stream as it was when it was opened.
type stream struct {
	jetstream.Stream
	state   jetstream.StreamState
	minLast uint64 // its last number, at the least
}

// writeStream returns the writeStream that is written to, made if it is missing, as it
// is now. It is asked for anew each time: what is read from it counts only
// if it is what it should be.
func (l *Ledger) writeStream(ctx context.Context) (*stream, error) {
	return l.openStream(ctx, l.writing, jetstream.StreamConfig{
		Name:        l.name,
		Description: "What exitgate decided, by whom and why",
		Subjects:    []string{l.subject()},
		Storage:     jetstream.FileStorage,
		Replicas:    l.replicas(),
		DenyDelete:  true,
		DenyPurge:   true,
		Duplicates:  duplicateWindow,
	})
}

// readStream is the stream that is read: the same, or its mirror.
func (l *Ledger) readStream(ctx context.Context) (*stream, error) {
	if l.reading == l.writing {
		return l.writeStream(ctx)
	}
	source := &jetstream.StreamSource{Name: l.name, Domain: l.options.Cluster.Domain}
	if source.Domain == "" {
		source = &jetstream.StreamSource{Name: l.name}
	}
	return l.openStream(ctx, l.reading, jetstream.StreamConfig{
		Name:        l.name,
		Description: "A copy of what exitgate decided, by whom and why",
		Mirror:      source,
		Storage:     jetstream.FileStorage,
		Replicas:    l.replicas(),
		DenyDelete:  true,
		DenyPurge:   true,
	})
}

func (l *Ledger) openStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := l.ensureServer(); err != nil {
		return nil, err
	}
	minLast := l.requiredLast() // before the stream's state: meanwhile there may be more
	s, err := retryUnanswered(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, l.name) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if minLast > 0 && want.Mirror == nil {
			return nil, fmt.Errorf("%w: the stream %s is gone, and it had %d records: restore it from a backup, or make it again from a gateway's copy: exitgate ledger import", ErrHistory, l.name, minLast)
		}
		s, err = js.CreateStream(ctx, want)
	}
	if err != nil && l.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("the stream %s: %w", l.name, err)
	}
	info := s.CachedInfo()
	if errs := configErrors(info.Config, want); len(errs) > 0 {
		return nil, fmt.Errorf("%s: %w: %s", l.name, ErrStream, strings.Join(errs, "; "))
	}
	return &stream{s, info.State, minLast}, nil
}

// checkComplete returns an error if the stream lacks records, as far as its state
// shows.
func (s *stream) checkComplete() error {
	switch {
	case s.state.Msgs > 0 && s.state.FirstSeq > 1, s.state.Msgs == 0 && s.state.LastSeq > 0, s.state.NumDeleted > 0:
		return fmt.Errorf("%w: records are missing in the stream (it has %d of %d): restore it from a backup", ErrHistory, s.state.Msgs, s.state.LastSeq)
	case s.state.LastSeq < s.minLast:
		return behindError{fmt.Errorf("%w: the stream ends with record %d, and it had %d: restore it from a backup, or if it is a mirror, wait for it", ErrHistory, s.state.LastSeq, s.minLast)}
	}
	return nil
}

// A behindError is of a stream that ends before what is known of it.
type behindError struct{ error }

func (b behindError) Unwrap() error { return b.error }

// configErrors returns in what a stream's configuration is weaker than the one
// that is wanted.
func configErrors(is, want jetstream.StreamConfig) (errs []string) {
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Sprintf(format, args...))
		}
	}
	check(!is.DenyDelete, "its messages can be deleted (deny_delete)")
	check(!is.DenyPurge, "it can be purged (deny_purge)")
	check(is.AllowRollup, "messages can replace those before them (allow_rollup_hdrs)")
	check(is.AllowMsgTTL, "messages can expire (allow_msg_ttl)")
	check(is.Retention != jetstream.LimitsPolicy, "messages go when they are read (retention %v)", is.Retention)
	check(is.MaxMsgs > 0 || is.MaxMsgsPerSubject > 0, "the number of messages is limited (max_msgs)")
	check(is.MaxBytes > 0, "its size is limited (max_bytes)")
	check(is.MaxAge > 0, "messages expire (max_age %v)", is.MaxAge)
	check(is.MaxMsgSize > 0 && is.MaxMsgSize < maxRecord, "messages are limited to %d bytes, and a record may need %d (max_msg_size)", is.MaxMsgSize, maxRecord)
	check(is.Storage != want.Storage, "it isn't kept on disk (storage %v)", is.Storage)
	check(is.Replicas < want.Replicas, "it has %d copies, and the settings ask for %d (num_replicas)", is.Replicas, want.Replicas)
	check(is.Sealed, "it takes no messages any more (sealed)")
	check(is.NoAck, "it doesn't acknowledge (no_ack)")
	check(is.FirstSeq > 1, "it begins with %d (first_seq)", is.FirstSeq)
	check(len(is.Sources) > 0, "it takes messages from elsewhere (sources)")
	check(is.SubjectTransform != nil, "it renames messages (subject_transform)")
	check((is.Mirror == nil) != (want.Mirror == nil), "one of the two is a mirror, the other isn't")
	if is.Mirror != nil && want.Mirror != nil {
		check(is.Mirror.Name != want.Mirror.Name || is.Mirror.FilterSubject != "" || is.Mirror.OptStartSeq > 1 || is.Mirror.OptStartTime != nil, "it mirrors something else or in part")
	}
	check(strings.Join(is.Subjects, " ") != strings.Join(want.Subjects, " "), "its subjects are %q, not %q", is.Subjects, want.Subjects)
	return errs
}

// retryUnanswered repeats a request to NATS while nobody is there to answer, or
// nobody does: for a moment that is so whenever a cluster changes, or makes the
// stream.
func retryUnanswered[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for wait := retryDelay; ; wait *= 2 {
		attempt, cancel := context.WithTimeout(ctx, wait)
		answer, err := ask(attempt)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(retryDelay / 5):
		}
	}
}

// get reads one message, as those who write see it.
func (s *stream) get(ctx context.Context, number uint64) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := retryUnanswered(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, number) })
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return message{}, fmt.Errorf("%w: record %d is missing in the stream", ErrHistory, number)
	}
	if err != nil {
		return message{}, fmt.Errorf("read record %d: %w", number, err)
	}
	return message{number, m.Data, m.Header.Get(nats.MsgIdHdr)}, nil
}

// checkHolds returns an error if the stream lacks a record that is known.
func (s *stream) checkHolds(ctx context.Context, known Point) error {
	if known == (Point{}) {
		return nil
	}
	m, err := s.get(ctx, known.Number)
	if err != nil {
		return err
	}
	if r, err := Decode(m.data); err != nil || r.Hash != known.Hash {
		return fmt.Errorf("%w: record %d in the stream isn't the one that this machine has seen (%.12s): it was changed, or it is another stream: restore it from a backup", ErrHistory, known.Number, known.Hash)
	}
	return nil
}
