package ledger

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// MaxClockOffset is how far a machine's clock may differ from that of the NATS
// servers before anything is said of it.
const MaxClockOffset = 5 * time.Second

// ClockOffset asks the operator's NATS for the time, and returns how far this
// machine's clock is ahead of it, to half of what the question took. The server in
// the process has the same clock.
func (l *Ledger) ClockOffset(ctx context.Context) (time.Duration, error) {
	if l.server != nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var asked time.Time
	s, err := retryUnanswered(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		asked = time.Now()
		return l.reading.Stream(ctx, l.name)
	})
	if err != nil {
		return 0, err
	}
	took := time.Since(asked)
	offset := asked.Round(0).Add(took / 2).Sub(s.CachedInfo().TimeStamp)
	l.clockOffset.Store(int64(offset))
	return offset, nil
}

// date returns the time that a record is dated by: this machine's, or if its
// clock is off, that of the NATS servers.
func (l *Ledger) date() time.Time {
	now := l.options.Now()
	if offset := time.Duration(l.clockOffset.Load()); offset.Abs() > MaxClockOffset {
		return now.Add(-offset)
	}
	return now
}
