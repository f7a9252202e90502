package source

import (
	"context"
	"fmt"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/policy/changes"
)

// clockInterval is how often this machine's clock is compared with that of the
// NATS servers.
const clockInterval = 15 * time.Second

// watchClock compares this machine's clock with that of the NATS servers until the
// context ends.
func (r *Replica) watchClock(ctx context.Context) {
	measure := func() {
		if l, _ := r.opened(); l != nil {
			r.measureClock(ctx, l)
		}
	}
	measure()
	watch.Every(ctx, clockInterval, measure)
}

// measureClock compares this machine's clock with that of the NATS servers. While
// they can't be asked, what was known stays.
func (r *Replica) measureClock(ctx context.Context, l Ledger) {
	if !r.o.Remote {
		return
	}
	offset, err := l.ClockOffset(ctx)
	if err != nil {
		return // that they can't be reached is said elsewhere
	}
	before := time.Duration(r.clockOffset.Swap(int64(offset)))
	r.mu.Lock()
	defer r.mu.Unlock()
	switch is, was := isOff(offset), isOff(before); {
	case is && !was:
		r.clockOffSince = r.o.Now()
		r.o.Log.Warn("clock off: nothing can be changed at this gateway, but markets withdrawn; it serves as before", "clock", formatOffset(offset))
	case was && !is:
		r.o.Log.Info("clock right again", "clock", formatOffset(offset))
	}
}

func isOff(offset time.Duration) bool { return offset.Abs() > ledger.MaxClockOffset }

// formatOffset says how a clock differs: "1h0m0s ahead of that of the NATS servers".
func formatOffset(offset time.Duration) string {
	direction := "ahead of"
	if offset < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("%s %s that of the NATS servers", offset.Abs().Round(time.Second), direction)
}

// aheadBy returns how far this machine's clock is ahead of that of the NATS servers,
// negative if it is behind; 0 unless it is off.
func (r *Replica) aheadBy() time.Duration {
	if offset := time.Duration(r.clockOffset.Load()); isOff(offset) {
		return offset
	}
	return 0
}

// checkClock returns why a gateway whose clock is off can't write a draft. It can
// withdraw: that is planned, and dated, by the servers' clock.
func (r *Replica) checkClock(draft changes.Draft) error {
	offset := r.aheadBy()
	if offset == 0 || draft.OnlyWithdraws() {
		return nil
	}
	return &changes.Error{
		Code:    changes.Unavailable,
		Message: "nothing was changed, as this gateway's clock is " + formatOffset(offset),
		Advice:  "set it, as with NTP, or make the change at another gateway; what only withdraws can be done here, with --emergency if it needs approvals",
	}
}

// withFacts returns a State for what is planned and proposed at this gateway: by
// the steps of schedules that it has taken, and if its clock is off, by that of the
// NATS servers.
func (r *Replica) withFacts(s changes.State) changes.State {
	s = s.WithTaken(r.o.Engine.Taken())
	return s.WithClockOffset(r.aheadBy())
}

// decidedFor returns the time that a revision is decided for at least: its own,
// but not because the clock of who wrote it was ahead of the NATS servers'.
func (r *Replica) decidedFor(revision changes.Revision) time.Time {
	if !r.o.Remote {
		return revision.Time
	}
	now := r.o.Now().Add(-time.Duration(r.clockOffset.Load()))
	if revision.Time.After(now.Add(ledger.MaxClockOffset)) {
		return now
	}
	return revision.Time
}
