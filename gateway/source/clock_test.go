package source

import (
	"errors"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy/changes"
)

// Issue 10, B7: a gateway whose clock is off may only withdraw, and says so.
func TestAGatewayWhoseClockIsOffWritesWithdrawalsOnly(t *testing.T) {
	for _, test := range []struct {
		offset time.Duration
		says   string
	}{
		{5 * time.Second, ""},
		{-5 * time.Second, ""},
		{time.Hour, "1h0m0s ahead of that of the NATS servers"},
		{-time.Minute, "1m0s behind that of the NATS servers"},
	} {
		t.Run(test.offset.String(), func(t *testing.T) {
			m := newMachine(t, newStream())
			m.remote = true
			r := m.mustStart()
			m.run(r)
			m.client.setOffset(test.offset)
			if written := m.write(r, withdrawn); written.Number != 2 {
				t.Errorf("a withdrawal is record %d", written.Number)
			}
			_, err := r.Write(t.Context(), propose(open))
			if c := r.Connection(); c.Clock != test.says || c.ClockOffset != test.offset || !c.Connected {
				t.Errorf("the clock is %q (%v), connected %v", c.Clock, c.ClockOffset, c.Connected)
			}
			var refused *changes.Error
			switch {
			case test.says == "" && err != nil:
				t.Errorf("an opening: %v", err)
			case test.says != "" && (!errors.As(err, &refused) || refused.Code != changes.Unavailable):
				t.Errorf("an opening: %v", err)
			}
			m.client.setOffset(0)
			m.write(r, wider)
			if c := r.Connection(); c.Clock != "" {
				t.Errorf("once it is right, the clock is %q", c.Clock)
			}
		})
	}
}

// A revision from this gateway's future is decided for its own time, unless that
// is the servers' future, too: one fast clock moves no other gateway.
func TestARevisionIsDecidedForItsTimeButNoFutureOne(t *testing.T) {
	for name, test := range map[string]struct {
		written time.Duration // after moment, which this gateway's clock shows
		offset  time.Duration // of this gateway's clock
		remote  bool
		want    time.Duration
	}{
		"of the past":                       {-time.Hour, 0, true, -time.Hour},
		"of now, at a clock that is behind": {time.Hour, -time.Hour, true, time.Hour},
		"by a clock that is ahead":          {24 * time.Hour, 0, true, 0},
		"by one ahead, at one behind":       {24 * time.Hour, -time.Hour, true, time.Hour},
		"of this machine, set back since":   {24 * time.Hour, 0, false, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, newStream())
			m.remote = test.remote
			r := m.mustStart()
			r.clockOffset.Store(int64(test.offset))
			if got := r.decidedFor(changes.Revision{Time: moment.Add(test.written)}); !got.Equal(moment.Add(test.want)) {
				t.Errorf("it is decided for %s, want %s", got, moment.Add(test.want))
			}
		})
	}
}

func TestARevisionThatIsReadAtTheStartIsDecidedForItsTime(t *testing.T) {
	m := newMachine(t, newStream())
	m.mustStart()
	if !m.engine.made.Equal(moment) {
		t.Errorf("it is decided for %s", m.engine.made)
	}
}
