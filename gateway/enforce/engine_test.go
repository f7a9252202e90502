package enforce

import (
	"errors"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

const scheduled = `
version: 1
jurisdictions:
  FR:
    schedule:
      - {from: 2026-10-01T00:00:00Z, phase: announced}
      - {from: 2026-12-01T00:00:00Z, phase: withdrawn}
`

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// phase returns what France gets.
func phase(e *Engine, now time.Time) string {
	s := e.Current(now).Snapshot()
	class := s.Classify("GET", "app.example", "/").Class
	return s.Decide(policy.PlaceOf("FR"), class).Phase.String()
}

func TestTheFirstRequestPastAStepMakesItForAll(t *testing.T) {
	clock := testkit.NewClock(start)
	e, _ := newEngine(t, scheduled, clock.Now)
	transitions := 0
	e.o.OnTransition = func(Transition) { transitions++ }
	if got := phase(e, start); got != "announced" {
		t.Fatalf("before the step it is %s", got)
	}
	clock.Set(start.AddDate(0, 1, 0))
	for range 2 {
		if got := phase(e, clock.Now()); got != "withdrawn" {
			t.Errorf("after the step it is %s", got)
		}
	}
	if got := phase(e, start); got != "withdrawn" {
		t.Errorf("by a clock that is set back it is %s", got)
	}
	if transitions != 1 {
		t.Errorf("%d transitions were told", transitions)
	}
}

func TestAStepThatWasKeptIsNotTakenBackByTheClock(t *testing.T) {
	store := &memory{digest: policy.Digest([]byte(scheduled)), at: start.AddDate(0, 2, 0)} // as commit 803cf21 kept it
	e := engineOn(t, store, func() time.Time { return start })
	apply(t, e, scheduled)
	if got := phase(e, start); got != "withdrawn" {
		t.Errorf("it is %s", got)
	}
}

func TestNothingIsDecidedWhileNoPolicyIsKnown(t *testing.T) {
	e, _ := newEngine(t, "version: 1\n", func() time.Time { return start })
	e.StartClosed()
	if got := e.Current(start).Blocked(); got != PolicyUnknown || e.Decides() {
		t.Errorf("closed, it is blocked by %q", got)
	}
	apply(t, e, "version: 1\n")
	if got := e.Current(start).Blocked(); got != "" || !e.Decides() {
		t.Errorf("then it is blocked by %q", got)
	}
}

func TestAFailureIsRecordedUntilAPolicyIsApplied(t *testing.T) {
	e, store := newEngine(t, scheduled, func() time.Time { return start })
	wrong := errors.New("wrong")
	if err := e.RecordFailure("digest", wrong); err != wrong {
		t.Errorf("it returns %v", err)
	}
	first := e.Failure()
	_ = e.RecordFailure("digest", errors.New("wrong"))
	if e.Failure() != first || first.Err != wrong || !first.Since.Equal(start) {
		t.Errorf("the failure is %+v, then %+v", first, e.Failure())
	}
	apply(t, e, scheduled) // the one in use again
	if e.Failure() != nil || string(store.lastGood) != scheduled {
		t.Errorf("the failure is %+v, the last good policy %q", e.Failure(), store.lastGood)
	}
}
