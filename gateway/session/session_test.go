package session

import (
	"context"
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

type exchange struct{ refused, lasting, cut bool }

func (e *exchange) Refused() (Refused, bool) { return Refused{"FR", e.lasting}, e.refused }
func (e *exchange) Cut()                     { e.cut = true }
func (e *exchange) DecidedBy(*policy.Snapshot) *policy.Decision {
	if e.refused {
		return &policy.Decision{Entry: "FR", Action: policy.Refuse}
	}
	return &policy.Decision{Entry: policy.Default, Jurisdiction: "DE"}
}

func TestCount(t *testing.T) {
	r := New(new(gauge))
	for i := range 5 {
		r.Begin(&exchange{refused: i < 2})
	}
	if forwarded, refused := r.Count(nil); forwarded["DE"] != 3 || refused["FR"] != 2 || len(forwarded)+len(refused) != 2 {
		t.Errorf("forwarded %v, refused %v", forwarded, refused)
	}
}

func TestReviewCutsWhatIsRefusedNow(t *testing.T) {
	r := New(new(gauge))
	kept, refused, ended := &exchange{}, &exchange{refused: true}, &exchange{refused: true}
	defer r.Begin(kept)()
	defer r.Begin(refused)()
	r.Begin(ended)()
	if n := r.Review(t.Context())["FR"]; n != (Cut{All: 1}) || kept.cut || !refused.cut || ended.cut {
		t.Errorf("%v were cut: %v %v %v", n, *kept, *refused, *ended)
	}
	if r.Reviews() != 1 {
		t.Errorf("%d reviews", r.Reviews())
	}
}

func TestManyAreCutInASecondOrTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(new(gauge))
		for range 100_000 {
			r.Begin(&exchange{refused: true})
		}
		begun := time.Now()
		if n := r.Review(t.Context())["FR"].All; n != 100_000 {
			t.Errorf("%d were cut", n)
		}
		if took := time.Since(begun); took < time.Second || took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// BenchmarkReview is of 100,000 exchanges of which none is refused.
func BenchmarkReview(b *testing.B) {
	r := New(new(gauge))
	for range 100_000 {
		r.Begin(&exchange{})
	}
	for b.Loop() {
		r.Review(b.Context())
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
