package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/internal/watch"
)

const (
	leaderInterval = time.Second     // between requests to the stream's leader
	peerSilence    = 5 * time.Second // after which a server that has a copy of the stream is taken for lost
)

// watchLeader asks the leader of the stream again and again, until Close. A server
// that takes connections can be one that has lost all others, or its JetStream: then
// nothing can be changed, and what others have changed may not arrive.
func (l *Ledger) watchLeader() {
	watch.Every(l.ctx, leaderInterval, func() {
		if l.conn.IsConnected() {
			l.setLeader(l.checkLeader())
		}
	})
}

// checkLeader returns why the stream can't be written, as far as its leader shows.
func (l *Ledger) checkLeader() error {
	ctx, cancel := context.WithTimeout(l.ctx, requestTimeout)
	defer cancel()
	s, err := retryUnanswered(ctx, func(ctx context.Context) (jetstream.Stream, error) { return l.writing.Stream(ctx, l.name) })
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound): // it is for who opens it to say so
		return nil
	case err != nil && !l.conn.IsConnected():
		return nil // so is that
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
		return errors.New("NATS has no leader for the ledger's stream: too few of its servers can reach each other")
	case err != nil:
		return fmt.Errorf("the stream's leader: %w", err)
	}
	return checkMajority(s.CachedInfo().Cluster)
}

// checkMajority returns an error if the leader of a stream doesn't see enough of the
// others that have copies of it.
func checkMajority(c *jetstream.ClusterInfo) error {
	if c == nil {
		return nil
	}
	size, seen := len(c.Replicas), 0
	if c.Leader != "" {
		size, seen = size+1, 1
	}
	for _, r := range c.Replicas {
		if !r.Offline && r.Active < peerSilence {
			seen++
		}
	}
	if 2*seen > size {
		return nil
	}
	return fmt.Errorf("of the %d NATS servers that have the ledger's stream, %d can reach each other: nothing can be changed", size, seen)
}

// setLeader sets why the stream can't be written, nil if it can. After a write that
// failed it isn't believed to be well again before the leader can have noticed.
func (l *Ledger) setLeader(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && time.Since(l.writeFailed) < peerSilence {
		return
	}
	l.leaderless = err
	l.updateStatus()
}

// noteWrite notes whether a write was answered.
func (l *Ledger) noteWrite(err error) {
	unanswered := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
	if l.server != nil || err != nil && !unanswered || !l.conn.IsConnected() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaderless, l.writeFailed = nil, time.Time{}
	if err != nil {
		l.writeFailed = time.Now()
		l.leaderless = errors.New("the ledger's stream didn't answer a change: too few of its servers can reach each other")
	}
	l.updateStatus()
}
