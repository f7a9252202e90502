package proxy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newBalancer(names ...string) *balancer {
	b := new(balancer)
	for _, name := range names {
		b.all = append(b.all, &upstream{name: name})
	}
	return b
}

// choices returns the names of the next n choices, each of which is done at
// once.
func (b *balancer) choices(n int) string {
	var names []string
	for range n {
		u := b.choose(nil)
		u.release()
		names = append(names, u.name)
	}
	return strings.Join(names, "")
}

func TestEqualUpstreamsTakeTurns(t *testing.T) {
	b := newBalancer("a", "b", "c")
	if got, want := b.choices(7), "bcabcab"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTheIdlestUpstreamIsChosen(t *testing.T) {
	b := newBalancer("a", "b", "c")
	b.all[0].acquire()
	b.all[2].acquire()
	if got, want := b.choices(5), "bbbbb"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEachUpstreamIsTriedOnce(t *testing.T) {
	b := newBalancer("a", "b", "c")
	seen := ""
	var tried []*upstream
	for u := b.choose(tried); u != nil; u = b.choose(tried) {
		seen += u.name
		tried = append(tried, u)
	}
	if seen != "bca" {
		t.Error(seen)
	}
	if one := newBalancer("a"); one.choose(nil) == nil || one.choose(one.all) != nil {
		t.Error("a single upstream is tried once")
	}
}

func TestAnUpstreamThatIsDownIsLeftAloneUntilAProbeSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer("a", "b")
		a := b.all[0]
		if !a.health.failed(time.Now()) {
			t.Error("it wasn't up")
		}
		if a.health.failed(time.Now()) {
			t.Error("it was up still")
		}
		if got := b.choices(4); got != "bbbb" {
			t.Error("while it is down:", got)
		}
		time.Sleep(time.Second) // two failures: twice firstBackOff
		probe := b.choose(nil)
		if probe != a {
			t.Error("the probe went to", probe.name)
		}
		if got := b.choices(4); got != "bbbb" {
			t.Error("while the probe is under way:", got)
		}
		if !probe.health.succeeded() || probe.health.succeeded() {
			t.Error("it comes back once")
		}
		probe.release()
		if got := b.choices(4); got != "abab" {
			t.Error("after the probe:", got)
		}
	})
}

func TestAProbeWithoutAnAnswerIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer("a", "b")
		b.all[0].health.failed(time.Now())
		time.Sleep(firstBackOff)
		for i := range 3 {
			if got := b.choices(3); got != "abb" {
				t.Error(i, got)
			}
			time.Sleep(firstBackOff)
		}
	})
}

func TestTheBackOffGrowsAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		for _, want := range []time.Duration{
			500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
			30 * time.Second, 30 * time.Second,
		} {
			h.failed(time.Now())
			if got := time.Until(time.Unix(0, h.until())); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		h.succeeded()
		h.failed(time.Now())
		if got := time.Until(time.Unix(0, h.until())); got != firstBackOff {
			t.Errorf("after it was back: %v", got)
		}
	})
}

func TestWhenAllAreDownTheOneThatIsBackSoonestIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer("a", "b", "c")
		for i, u := range b.all {
			for range 3 - i {
				u.health.failed(time.Now())
			}
		}
		var tried []*upstream
		order := ""
		for u := b.choose(tried); u != nil; u = b.choose(tried) {
			order += u.name
			tried = append(tried, u)
		}
		if order != "cba" {
			t.Error(order)
		}
	})
}

func TestALogLineASecondIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logLimiter
		for range 2 {
			if n, ok := l.allow(time.Now()); !ok || n != 0 {
				t.Error(n, ok)
			}
			for range 5 {
				if _, ok := l.allow(time.Now()); ok {
					t.Error("it spoke")
				}
			}
			time.Sleep(time.Second)
			if n, ok := l.allow(time.Now()); !ok || n != 5 {
				t.Error(n, ok)
			}
			time.Sleep(time.Second)
		}
	})
}
