package session

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/exitgate/exitgate/policy"
)

type gauge int

func (g *gauge) Inc() { *g++ }
func (g *gauge) Dec() { *g-- }

func TestWaitEndsWithTheLastSessionOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open gauge
		r := New(&open)
		r.Wait(t.Context())
		first, second := r.BeginWebSocket(), r.BeginWebSocket()
		if open != 2 {
			t.Errorf("the gauge shows %d", open)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r.Wait(ctx)
		if ctx.Err() == nil {
			t.Error("it didn't wait for two sessions")
		}
		first()
		time.AfterFunc(time.Hour, second)
		begun := time.Now()
		r.Wait(t.Context())
		if waited := time.Since(begun); waited < time.Hour || waited > time.Hour+time.Second || open != 0 {
			t.Errorf("it waited %v, and the gauge shows %d", waited, open)
		}
	})
}

// An exchange is refused from a moment on.
type exchange struct {
	from  time.Time // zero: never
	drain time.Duration

	mu    sync.Mutex // guards what follows
	cutAt time.Time
	end   func()
}

// cut returns when it was cut, zero if it wasn't.
func (e *exchange) cut() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cutAt
}

func (e *exchange) is() Refused { return Refused{Market: "FR", Drain: e.drain, Step: e.from} }

func (e *exchange) Refused() (Refused, bool) {
	return e.is(), !e.from.IsZero() && !e.from.After(time.Now())
}

func (e *exchange) RefusedBy(*policy.Snapshot) (Refused, bool) { return e.is(), !e.from.IsZero() }

func (e *exchange) Cut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cutAt = time.Now()
	e.end()
}

func (e *exchange) DecidedBy(*policy.Snapshot) *policy.Decision {
	if _, refused := e.Refused(); refused {
		return &policy.Decision{Entry: "FR", Action: policy.Refuse}
	}
	return &policy.Decision{Entry: policy.Default, Jurisdiction: "DE"}
}

func TestCount(t *testing.T) {
	r := New(new(gauge))
	for i := range 5 {
		e := new(exchange)
		if i < 2 {
			e.from, e.drain = time.Now(), time.Minute
		}
		r.Begin(e)
	}
	if forwarded, refused, drain := r.Count(nil); forwarded["DE"] != 3 || refused["FR"] != 2 || len(forwarded)+len(refused) != 2 || drain != time.Minute {
		t.Errorf("forwarded %v, refused %v within %v", forwarded, refused, drain)
	}
}

// A world has exchanges that are cut, in synthetic time.
type world struct {
	*Registry
	begun   time.Time
	changed chan struct{}
	ended   []Cut
	atOnce  bool
}

// follow has exchanges followed. Those that a step refuses that was taken have no drain.
func follow(t *testing.T, step time.Time, drain time.Duration) *world {
	w := &world{New(new(gauge)), time.Now(), make(chan struct{}, 1), nil, false}
	go w.Follow(t.Context(), w.changed, Drains{
		End: func(is Refused, now time.Time) time.Time {
			if !step.IsZero() {
				return now
			}
			return now.Add(is.Drain)
		},
		AtOnce: func() bool { return w.atOnce },
		Next: func() (*policy.Snapshot, time.Time, time.Duration) {
			if step.After(time.Now()) {
				return new(policy.Snapshot), step, drain
			}
			return nil, time.Time{}, 0
		},
		OnCut: func() {}, OnEnd: func(c Cut) { w.ended = append(w.ended, c) },
		Revision: func() uint64 { return 7 }, Now: time.Now,
	})
	return w
}

func (w *world) begin(n int, from time.Time, drain time.Duration) (all []*exchange) {
	for range n {
		e := &exchange{from: from, drain: drain}
		e.mu.Lock()
		e.end = w.Begin(e)
		e.mu.Unlock()
		all = append(all, e)
	}
	return all
}

// change has all decided anew, and lets time pass.
func (w *world) change(wait time.Duration) {
	w.changed <- struct{}{}
	time.Sleep(wait)
	synctest.Wait()
}

// cuts returns when the first and the last were cut, counted from the beginning.
func (w *world) cuts(t *testing.T, all []*exchange) (first, last time.Duration) {
	t.Helper()
	first = 1 << 62
	for _, e := range all {
		if e.cut().IsZero() {
			t.Fatal("one isn't cut")
		}
		first, last = min(first, e.cut().Sub(w.begun)), max(last, e.cut().Sub(w.begun))
	}
	return first, last
}

func TestWhatIsRefusedNowIsCutByTheEndOfItsDrain(t *testing.T) {
	for name, test := range map[string]struct {
		n           int
		drain       time.Duration
		first, last time.Duration
	}{
		"at once":                             {3, 0, 0, 0},
		"of many, in a second or two":         {100_000, 0, 0, 2 * time.Second},
		"as late as it may be":                {1, 30 * time.Second, 30 * time.Second, 30 * time.Second},
		"one a millisecond":                   {1001, 30 * time.Second, 29 * time.Second, 30 * time.Second},
		"all of a drain, where that is short": {100_000, 30 * time.Second, 0, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := follow(t, time.Time{}, 0)
				kept, ended := w.begin(1, time.Time{}, 0), w.begin(1, w.begun, test.drain)
				ended[0].end()
				refused := w.begin(test.n, w.begun, test.drain)
				w.change(time.Hour)
				first, last := w.cuts(t, refused)
				if (first-test.first).Abs() > 20*time.Millisecond || (last-test.last).Abs() > 20*time.Millisecond {
					t.Errorf("they are cut from %v to %v", first, last)
				}
				if !kept[0].cut().IsZero() || !ended[0].cut().IsZero() {
					t.Error("one is cut that goes on, or had ended")
				}
				if len(w.ended) != 1 || w.ended[0] != (Cut{"FR", 7, test.n, test.n}) {
					t.Errorf("it is told of as %v", w.ended)
				}
			})
		})
	}
}

func TestADrainOnlyBecomesShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := follow(t, time.Time{}, 0)
		all := w.begin(3, w.begun, time.Minute)
		w.change(10 * time.Second)
		all[0].drain, all[1].drain, all[2].from = time.Hour, 0, time.Time{} // which is open again
		w.change(time.Hour)
		other := w.begin(1, w.begun, time.Hour)
		w.atOnce = true
		w.change(0)
		if other[0].cut().IsZero() {
			t.Error("one isn't cut in an emergency")
		}
		if at := all[0].cut().Sub(w.begun); at > time.Minute || at < time.Minute-time.Second/100 {
			t.Errorf("one with a longer drain is cut after %v", at)
		}
		if at := all[1].cut().Sub(w.begun); at != 10*time.Second {
			t.Errorf("one without one is cut after %v", at)
		}
		if !all[2].cut().IsZero() {
			t.Error("one is cut whose market is open again")
		}
	})
}

func TestTheDrainOfAStepEndsAtItsMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := time.Now().Add(time.Hour)
		w := follow(t, step, 10*time.Second)
		drained, atOnce := w.begin(100_000, step, 10*time.Second), w.begin(1, step, 0)
		w.change(time.Hour - 9*time.Second)
		late := w.begin(1, step, 10*time.Second)
		time.Sleep(9*time.Second - time.Millisecond)
		synctest.Wait()
		if !late[0].cut().IsZero() || !atOnce[0].cut().IsZero() {
			t.Error("one is cut before that wasn't to be")
		}
		time.Sleep(time.Millisecond)
		w.change(time.Second)
		if first, last := w.cuts(t, drained); first < time.Hour-10*time.Second || first > time.Hour-9900*time.Millisecond || last > time.Hour || last < time.Hour-10*time.Millisecond {
			t.Errorf("they are cut from %v to %v", first, last)
		}
		if first, last := w.cuts(t, append(late, atOnce...)); first != time.Hour || last != time.Hour {
			t.Errorf("what was left is cut from %v to %v", first, last)
		}
		if len(w.ended) != 1 || w.ended[0].All != 100_002 {
			t.Errorf("it is told of as %v", w.ended)
		}
	})
}

// BenchmarkReview is of 100,000 exchanges of which none is refused.
func BenchmarkReview(b *testing.B) {
	r := New(new(gauge))
	for range 100_000 {
		r.Begin(&exchange{})
	}
	f := follower{Registry: r, Drains: Drains{
		AtOnce:   func() bool { return false },
		Next:     func() (*policy.Snapshot, time.Time, time.Duration) { return nil, time.Time{}, 0 },
		Revision: func() uint64 { return 0 }, Now: time.Now,
	}}
	for b.Loop() {
		f.review()
	}
}

func BenchmarkBegin(b *testing.B) {
	r := New(new(gauge))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Begin(&exchange{})()
		}
	})
}
