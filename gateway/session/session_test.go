package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

type gauge int

func (g *gauge) Inc() { *g++ }
func (g *gauge) Dec() { *g-- }

func TestWaitEndsWithTheLastSessionOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open gauge
		r := New(&open)
		r.Wait(t.Context())
		first, second := r.Begin(), r.Begin()
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
