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

// A store is the stream as it was when it was asked for.
type store struct {
	jetstream.Stream
	state jetstream.StreamState
	least uint64 // the number that it must go to
}

// stream returns the stream that is written to, made if it is missing, as it
// is now. It is asked for anew each time: what is read from it counts only
// if it is what it should be.
func (l *Ledger) stream(ctx context.Context) (*store, error) {
	return l.streamIn(ctx, l.writing, jetstream.StreamConfig{
		Name:        l.name,
		Description: "What exitgate decided, by whom and why",
		Subjects:    []string{l.subject()},
		Storage:     jetstream.FileStorage,
		Replicas:    l.replicas(),
		DenyDelete:  true,
		DenyPurge:   true,
		Duplicates:  maxMsgID,
	})
}

// readable is the stream that is read: the same, or its mirror.
func (l *Ledger) readable(ctx context.Context) (*store, error) {
	if l.reading == l.writing {
		return l.stream(ctx)
	}
	source := &jetstream.StreamSource{Name: l.name, Domain: l.options.Cluster.Domain}
	if source.Domain == "" {
		source = &jetstream.StreamSource{Name: l.name}
	}
	return l.streamIn(ctx, l.reading, jetstream.StreamConfig{
		Name:        l.name,
		Description: "A copy of what exitgate decided, by whom and why",
		Mirror:      source,
		Storage:     jetstream.FileStorage,
		Replicas:    l.replicas(),
		DenyDelete:  true,
		DenyPurge:   true,
	})
}

func (l *Ledger) streamIn(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (*store, error) {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	if err := l.revive(); err != nil {
		return nil, err
	}
	least := l.leastNumber() // before it is asked for: meanwhile there may be more
	s, err := answered(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, l.name) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if least > 0 && want.Mirror == nil {
			return nil, fmt.Errorf("%w: the stream %s is gone, and it had %d records: restore it from a backup", ErrHistory, l.name, least)
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
	if wrong := weaker(info.Config, want); len(wrong) > 0 {
		return nil, fmt.Errorf("%s: %w: %s", l.name, ErrStream, strings.Join(wrong, "; "))
	}
	return &store{s, info.State, least}, nil
}

// ExpectAtLeast says that the ledger has come to a number, as others have seen: it is
// not believed, nor made anew, if it hasn't.
func (l *Ledger) ExpectAtLeast(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.least = max(l.least, number)
}

// whole says whether the stream has all of its records, as far as can be told
// without reading them.
func (s *store) whole() error {
	switch {
	case s.state.Msgs > 0 && s.state.FirstSeq > 1, s.state.Msgs == 0 && s.state.LastSeq > 0, s.state.NumDeleted > 0:
		return fmt.Errorf("%w: records are missing in the stream (it has %d of %d): restore it from a backup", ErrHistory, s.state.Msgs, s.state.LastSeq)
	case s.state.LastSeq < s.least:
		return behind{fmt.Errorf("%w: the stream ends with record %d, and it had %d: restore it from a backup, or if it is a mirror, wait for it", ErrHistory, s.state.LastSeq, s.least)}
	}
	return nil
}

// behind is of a stream that ends before what is known of it.
type behind struct{ error }

func (b behind) Unwrap() error { return b.error }

// weaker says in what a stream promises less than it should.
func weaker(is, want jetstream.StreamConfig) (wrong []string) {
	complain := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	complain(!is.DenyDelete, "its messages can be deleted (deny_delete)")
	complain(!is.DenyPurge, "it can be purged (deny_purge)")
	complain(is.AllowRollup, "messages can replace those before them (allow_rollup_hdrs)")
	complain(is.AllowMsgTTL, "messages can expire (allow_msg_ttl)")
	complain(is.Retention != jetstream.LimitsPolicy, "messages go when they are read (retention %v)", is.Retention)
	complain(is.MaxMsgs > 0 || is.MaxMsgsPerSubject > 0, "the number of messages is limited (max_msgs)")
	complain(is.MaxBytes > 0, "its size is limited (max_bytes)")
	complain(is.MaxAge > 0, "messages expire (max_age %v)", is.MaxAge)
	complain(is.MaxMsgSize > 0 && is.MaxMsgSize < maxRecord, "messages are limited to %d bytes, and a record may need %d (max_msg_size)", is.MaxMsgSize, maxRecord)
	complain(is.Storage != want.Storage, "it isn't kept on disk (storage %v)", is.Storage)
	complain(is.Replicas < want.Replicas, "it has %d copies, and the settings ask for %d (num_replicas)", is.Replicas, want.Replicas)
	complain(is.Sealed, "it takes no messages any more (sealed)")
	complain(is.NoAck, "it doesn't acknowledge (no_ack)")
	complain(is.FirstSeq > 1, "it begins with %d (first_seq)", is.FirstSeq)
	complain(len(is.Sources) > 0, "it takes messages from elsewhere (sources)")
	complain(is.SubjectTransform != nil, "it renames messages (subject_transform)")
	complain((is.Mirror == nil) != (want.Mirror == nil), "one of the two is a mirror, the other isn't")
	if is.Mirror != nil && want.Mirror != nil {
		complain(is.Mirror.Name != want.Mirror.Name || is.Mirror.FilterSubject != "" || is.Mirror.OptStartSeq > 1 || is.Mirror.OptStartTime != nil, "it mirrors something else or in part")
	}
	complain(strings.Join(is.Subjects, " ") != strings.Join(want.Subjects, " "), "its subjects are %q, not %q", is.Subjects, want.Subjects)
	return wrong
}

// answered asks again while nobody is there to answer, or nobody does: for a
// moment that is so whenever a cluster changes, or makes the stream.
func answered[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for wait := again; ; wait *= 2 {
		attempt, cancel := context.WithTimeout(ctx, wait)
		answer, err := ask(attempt)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(again / 5):
		}
	}
}

// get reads one message, as those who write see it.
func (s *store) get(ctx context.Context, number uint64) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	m, err := answered(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, number) })
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return message{}, fmt.Errorf("%w: record %d is missing in the stream", ErrHistory, number)
	}
	if err != nil {
		return message{}, fmt.Errorf("read record %d: %w", number, err)
	}
	return message{number, m.Data, m.Header.Get(nats.MsgIdHdr)}, nil
}

// holds says whether the stream holds what is known of it.
func (s *store) holds(ctx context.Context, known Point) error {
	if known == (Point{}) {
		return nil
	}
	m, err := s.get(ctx, known.Number)
	if err != nil {
		return err
	}
	if r, err := Decode(m.data); err != nil || r.Hash != known.Hash {
		return fmt.Errorf("%w: record %d in the stream isn't the one that this machine has seen (%.12s): it was changed, or the stream is another: restore it from a backup", ErrHistory, known.Number, known.Hash)
	}
	return nil
}
