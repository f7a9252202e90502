package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// A steppingClock is as the system's: its wall clock may be set, while its
// monotonic readings go on (issue 10, B7).
type steppingClock struct {
	mu    sync.Mutex
	began time.Time
	wall  time.Time
	ticks time.Duration
}

func newSteppingClock(wall time.Time) *steppingClock {
	return &steppingClock{began: time.Now(), wall: wall}
}

func (c *steppingClock) set(wall time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = wall
}

func (c *steppingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticks += time.Minute
	t := c.began.Add(c.wall.Sub(c.began.Round(0))) // also of the monotonic reading
	// A Time is a wall clock's reading, with a bit for whether there is another
	// one, the monotonic reading, and a location.
	(*struct {
		wall uint64
		ext  int64
		_    *time.Location
	})(unsafe.Pointer(&t)).ext = int64(c.ticks)
	return t
}

func TestASteppingClockComparesByItsMonotonicReadings(t *testing.T) {
	c := newSteppingClock(start)
	first := c.Now()
	c.set(start.Add(-time.Hour))
	if second := c.Now(); !second.After(first) || !second.Round(0).Equal(start.Add(-time.Hour)) {
		t.Fatalf("first %s, then %s", first, second)
	}
}

var withdrawnAt = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// An unrelated change, a comment, and a flag that changes, while the clock is
// behind (issue 10, B7 and E).
func TestNothingThatHappensWithTheClockBehindTakesAStepBack(t *testing.T) {
	const comment = "# looked through\n" + scheduled
	const unrelated = scheduled + "  DE: withdrawn\n"
	const flagged = scheduled + "flags: {group-size: {value: 1}}\n"
	for name, test := range map[string]struct {
		back   time.Time
		change func(*testing.T, *Engine)
	}{
		"a comment":                   {start, func(t *testing.T, e *Engine) { apply(t, e, comment) }},
		"an unrelated entry":          {start, func(t *testing.T, e *Engine) { apply(t, e, unrelated) }},
		"before all steps":            {start.AddDate(-1, 0, 0), func(t *testing.T, e *Engine) { apply(t, e, unrelated) }},
		"another policy and back":     {start, func(t *testing.T, e *Engine) { apply(t, e, unrelated); apply(t, e, comment) }},
		"a flag, in the policy":       {start, func(t *testing.T, e *Engine) { apply(t, e, flagged) }},
		"a flag, evaluated elsewhere": {start, func(t *testing.T, e *Engine) { flagChanges(e) }},
		"a flag, after a comment":     {start, func(t *testing.T, e *Engine) { apply(t, e, comment); flagChanges(e) }},
		"the entry, as strict": {start, func(t *testing.T, e *Engine) {
			apply(t, e, "version: 1\njurisdictions: {FR: {schedule: [{from: 2026-11-30T00:00:00Z, phase: withdrawn}]}}\n")
		}},
		"a group in its place": {start, func(t *testing.T, e *Engine) {
			apply(t, e, "version: 1\njurisdictions: {EU: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}}\n")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newSteppingClock(withdrawnAt.Add(time.Hour))
			e, _ := newEngine(t, scheduled, clock.Now)
			if got := phase(e, clock.Now()); got != "withdrawn" {
				t.Fatalf("before, it is %s", got)
			}
			clock.set(test.back)
			test.change(t, e)
			if got := phase(e, clock.Now()); got != "withdrawn" {
				t.Errorf("it is %s", got)
			}
		})
	}
}

// flagChanges has an Engine compile anew, as if a flag had changed.
func flagChanges(e *Engine) {
	e.mu.Lock()
	current := *e.current.Load()
	current.flags = policy.Flags{"DE": {Phase: policy.Announced}}
	e.mu.Unlock()
	e.current.Store(&Compiled{snapshot: current.snapshot, flags: current.flags, taken: current.taken, until: current.until})
	e.useFlags()
}

func TestARevisionOfTheEntryTakesAStepBackAsFarAsItSays(t *testing.T) {
	clock := newSteppingClock(withdrawnAt.Add(time.Hour))
	e, store := newEngine(t, scheduled, clock.Now)
	clock.set(start)
	apply(t, e, `
version: 1
jurisdictions:
  FR:
    schedule:
      - {from: 2026-10-01T00:00:00Z, phase: announced}
      - {from: 2026-11-25T00:00:00Z, phase: wind-down}
      - {from: 2026-12-05T00:00:00Z, phase: withdrawn}
`)
	// By the clock it is announced; by the time that it has come to, wind-down.
	if got := phase(e, clock.Now()); got != "wind-down" {
		t.Errorf("with its withdrawal postponed it is %s", got)
	}
	apply(t, e, "version: 1\njurisdictions: {FR: open}\n")
	if got := phase(e, clock.Now()); got != "open" {
		t.Errorf("opened, it is %s", got)
	}
	apply(t, e, scheduled)
	if got := phase(e, clock.Now()); got != "announced" {
		t.Errorf("with its schedule anew it is %s", got)
	}
	if got := phase(restarted(t, store, scheduled, clock.Now), clock.Now()); got != "announced" {
		t.Errorf("after another start it is %s", got)
	}
}

// restarted returns an Engine that begins on what another has kept.
func restarted(t *testing.T, store *memory, document string, now func() time.Time) *Engine {
	t.Helper()
	store.mu.Lock()
	kept := &memory{lastGood: store.lastGood, steps: store.steps, digest: store.digest, at: store.at, complete: store.complete}
	store.mu.Unlock()
	e := engineOn(t, kept, now)
	apply(t, e, document)
	return e
}

// What a kill -9 at the first request by a step leaves behind (issue 10, B7).
func TestAStepIsOnDiskBeforeTheFirstRequestIsDecidedByIt(t *testing.T) {
	for name, follow := range map[string]bool{"announced to the disk ahead": true, "crossed by a request": false} {
		t.Run(name, func(t *testing.T) {
			clock := newSteppingClock(withdrawnAt.Add(-time.Second))
			e, store := newEngine(t, scheduled, clock.Now)
			if follow {
				e.prepareNext(e.Current(clock.Now()))
				store.onWrite = func([]byte) error { t.Error("the request waits for the disk"); return nil }
			}
			if got := phase(restarted(t, store, scheduled, clock.Now), clock.Now()); got != "announced" {
				t.Errorf("after a start before the step it is %s", got)
			}
			clock.set(withdrawnAt)
			if got := phase(e, clock.Now()); got != "withdrawn" {
				t.Fatalf("it is %s", got)
			}
			store.onWrite = nil
			clock.set(withdrawnAt.Add(-time.Hour))
			for _, document := range []string{scheduled, "# changed while stopped\n" + scheduled} {
				if got := phase(restarted(t, store, document, clock.Now), clock.Now()); got != "withdrawn" {
					t.Errorf("after a start with the clock set back it is %s", got)
				}
			}
			e.prepareNext(e.Current(clock.Now()))
			clock.set(withdrawnAt.Add(-time.Millisecond))
			if got := phase(restarted(t, store, scheduled, clock.Now), clock.Now()); got != "withdrawn" {
				t.Errorf("once it is noted that it was taken, it is %s", got)
			}
		})
	}
}

func TestADiskThatHangsOrFailsHoldsUpNoStep(t *testing.T) {
	for name, write := range map[string]func([]byte) error{
		"fails": func([]byte) error { return errors.New("full") },
		"hangs": func([]byte) error { select {} },
	} {
		t.Run(name, func(t *testing.T) {
			clock := newSteppingClock(withdrawnAt.Add(-time.Minute))
			e, store := newEngine(t, scheduled, clock.Now)
			store.onWrite = write
			clock.set(withdrawnAt)
			if got := phase(e, clock.Now()); got != "withdrawn" {
				t.Errorf("it is %s", got)
			}
		})
	}
}

func TestStepsThatAnEarlierCommitKeptOfAnotherTextAreNotTakenBack(t *testing.T) {
	store := &memory{lastGood: []byte(scheduled), digest: policy.Digest([]byte(scheduled)), at: withdrawnAt}
	e := engineOn(t, store, newSteppingClock(start).Now)
	apply(t, e, "# changed while stopped\n"+scheduled)
	if got := phase(e, start); got != "withdrawn" {
		t.Errorf("it is %s", got)
	}
}

func TestStepsOfALaterFormatAreNotRead(t *testing.T) {
	e := engineOn(t, &memory{steps: []byte(`{"version":2,"taken":{"FR":{"from":"2026-12-01T00:00:00Z","phase":"withdrawn"}}}`)}, newSteppingClock(start).Now)
	apply(t, e, scheduled)
	if got := phase(e, start); got != "announced" {
		t.Errorf("it is %s", got)
	}
}

func TestARevisionFromTheFutureIsDecidedForItsOwnTime(t *testing.T) {
	clock := newSteppingClock(start)
	e := engineOn(t, &memory{}, clock.Now)
	p, err := document.Parse("policy.yaml", []byte(scheduled))
	if err == nil {
		err = e.Apply(p, []byte(scheduled), 7, withdrawnAt.Add(time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	flagChanges(e)
	if got := phase(e, clock.Now()); got != "withdrawn" {
		t.Errorf("it is %s", got)
	}
}

// Issue 10, B7: a step that was taken is the market's, and two gateways that know the same
// decide the same: one that was there for each policy, and one that starts with the last.
func TestARewrittenPolicyGoesBehindNoStepTaken(t *testing.T) {
	const exit = "schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]"
	const gang = "version: 1\ngroups: {gang: [FR, LU]}\njurisdictions: {gang: {" + exit + "}}\n"
	const all = "version: 1\njurisdictions: {default: {" + exit + "}}\n"
	for name, test := range map[string]struct{ before, after string }{
		"a group renamed":      {gang, strings.ReplaceAll(gang, "gang", "gong")},
		"a country for it":     {gang, "version: 1\njurisdictions: {FR: {" + exit + "}}\n"},
		"a country beside it":  {gang, strings.Replace(gang, "jurisdictions: {", "jurisdictions: {FR: {"+exit+"}, ", 1)},
		"a group split":        {gang, "version: 1\ngroups: {gang: [LU, BE], gung: [FR]}\njurisdictions: {gang: {" + exit + "}, gung: {" + exit + "}}\n"},
		"the default replaced": {all, "version: 1\njurisdictions: {FR: {" + exit + "}}\n"},
		"beside the default":   {all, "version: 1\njurisdictions: {default: {" + exit + "}, FR: {" + exit + "}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newSteppingClock(withdrawnAt.Add(time.Hour))
			e, store := newEngine(t, test.before, clock.Now)
			e.prepareNext(e.Current(clock.Now()))
			clock.set(start)
			stopped := restarted(t, store, test.after, clock.Now)
			apply(t, e, test.after)
			e.prepareNext(e.Current(clock.Now()))
			for how, e := range map[string]*Engine{"running": e, "changed while stopped": stopped, "restarted": restarted(t, store, test.after, clock.Now)} {
				flagChanges(e)
				if got := phase(e, clock.Now()); got != "withdrawn" {
					t.Errorf("%s, it is %s", how, got)
				}
			}
		})
	}
}

// What comes into the policy while the clock is behind goes by the clock, also after
// another start.
func TestWhatIsNewWhileTheClockIsBehindGoesByTheClock(t *testing.T) {
	const both = scheduled + "  DE: {schedule: [{from: 2026-11-30T00:00:00Z, phase: withdrawn}]}\n"
	clock := newSteppingClock(withdrawnAt.Add(time.Hour))
	e, store := newEngine(t, scheduled, clock.Now)
	clock.set(start)
	apply(t, e, both)
	e.prepareNext(e.Current(clock.Now()))
	for how, e := range map[string]*Engine{"running": e, "restarted": restarted(t, store, both, clock.Now)} {
		s := e.Current(clock.Now()).Snapshot()
		class := s.Classify("GET", "app.example", "/").Class
		if fr, de := s.Decide(policy.PlaceOf("FR"), class).Phase, s.Decide(policy.PlaceOf("DE"), class).Phase; fr != policy.Withdrawn || de != policy.Open {
			t.Errorf("%s, France is %s, and Germany %s", how, fr, de)
		}
	}
}

// What an earlier version has kept by entry is read by place.
func TestStepsThatWereKeptByEntry(t *testing.T) {
	const exit = "schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]"
	const gang = "version: 1\ngroups: {gang: [FR, LU]}\njurisdictions: {gang: {" + exit + "}}\n"
	const gong = "version: 1\ngroups: {gong: [FR, LU]}\njurisdictions: {gong: {" + exit + "}}\n"
	const without = "version: 1\ngroups: {gang: [FR, LU]}\njurisdictions: {FR: {" + exit + "}}\n"
	kept := []byte(`{"taken":{"gang":{"from":"2026-12-01T00:00:00Z","phase":"withdrawn"}}}`)
	for name, test := range map[string]struct {
		store *memory
		after string
	}{
		"the same policy":           {&memory{steps: kept}, gang},
		"of an entry that is gone":  {&memory{steps: kept}, without},
		"and of a group":            {&memory{steps: kept, lastGood: []byte(gang), digest: policy.Digest([]byte(gang)), at: start}, gong},
		"with a moment of them":     {&memory{steps: kept, digest: policy.Digest([]byte(gong)), at: withdrawnAt}, gong},
		"with the moment of others": {&memory{steps: kept, lastGood: []byte(gang), digest: policy.Digest([]byte(gang)), at: start, complete: "of others"}, gong},
		"no more than the moment":   {&memory{lastGood: []byte(gang), digest: policy.Digest([]byte(gang)), at: withdrawnAt}, gong},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineOn(t, test.store, newSteppingClock(start).Now)
			apply(t, e, test.after)
			if got := phase(e, start); got != "withdrawn" {
				t.Errorf("it is %s", got)
			}
		})
	}
}

// A gateway that has missed revisions takes back what they did.
func TestWhatWasTakenBackByAMissedRevision(t *testing.T) {
	const opened = "version: 1\njurisdictions: {FR: open}\n"
	for name, again := range map[string]string{"the same again": scheduled, "with a comment": "# again\n" + scheduled} {
		t.Run(name, func(t *testing.T) {
			clock := newSteppingClock(withdrawnAt.Add(time.Hour))
			e, _ := newEngine(t, scheduled, clock.Now)
			clock.set(start)
			for _, text := range []string{opened, again} {
				p, err := document.Parse("policy.yaml", []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				e.Pass(p)
			}
			if got := phase(e, clock.Now()); got != "withdrawn" {
				t.Errorf("before it is applied, it is %s", got)
			}
			apply(t, e, again)
			if got := phase(e, clock.Now()); got != "announced" {
				t.Errorf("it is %s", got)
			}
		})
	}
}

// The step of one market that a fast clock has taken early stays; the other
// markets' go by the clock again.
func TestAClockThatWasAheadMovesNoStepsToCome(t *testing.T) {
	const both = scheduled + "  DE: {schedule: [{from: 2027-06-01T00:00:00Z, phase: withdrawn}]}\n"
	clock := newSteppingClock(withdrawnAt.Add(time.Hour))
	e, _ := newEngine(t, both, clock.Now)
	clock.set(start)
	apply(t, e, "# later\n"+both)
	s := e.Current(clock.Now()).Snapshot()
	class := s.Classify("GET", "app.example", "/").Class
	if got := s.Decide(policy.PlaceOf("DE"), class).Phase; got != policy.Open {
		t.Errorf("Germany is %s", got)
	}
	clock.set(time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC))
	if got := e.Current(clock.Now()).Snapshot().Decide(policy.PlaceOf("DE"), class).Phase; got != policy.Withdrawn {
		t.Errorf("then Germany is %s", got)
	}
}

func TestWhatIsKeptOfSteps(t *testing.T) {
	clock := newSteppingClock(withdrawnAt.Add(-time.Second))
	e, store := newEngine(t, scheduled, clock.Now)
	e.prepareNext(e.Current(clock.Now()))
	const want = `{"taken":{"FR":{"from":"2026-10-01T00:00:00Z","phase":"announced"}},` +
		`"next":{"FR":{"from":"2026-12-01T00:00:00Z","phase":"withdrawn"}},"written":"2026-11-30T23:59:59Z"}`
	if got := string(store.steps); got != want {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	clock.set(withdrawnAt)
	e.FollowSchedule(ctx)
	var kept savedSteps
	if err := json.Unmarshal(store.steps, &kept); err != nil || kept.Next != nil || kept.Taken["FR"].Phase != policy.Withdrawn || !store.at.Equal(withdrawnAt) {
		t.Errorf("then it is %s (%v), at %s", store.steps, err, store.at)
	}
}
