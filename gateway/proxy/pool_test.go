package proxy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newPool(names ...string) *pool {
	p := new(pool)
	for _, name := range names {
		p.upstreams = append(p.upstreams, &upstream{name: name})
	}
	return p
}

// choices returns the names of the next n choices, each of which is done at
// once.
func (p *pool) choices(n int) string {
	var names []string
	for range n {
		u := p.choose(nil)
		u.done()
		names = append(names, u.name)
	}
	return strings.Join(names, "")
}

func TestEqualUpstreamsTakeTurns(t *testing.T) {
	p := newPool("a", "b", "c")
	if got, want := p.choices(7), "bcabcab"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTheIdlestUpstreamIsChosen(t *testing.T) {
	p := newPool("a", "b", "c")
	p.upstreams[0].take()
	p.upstreams[2].take()
	if got, want := p.choices(5), "bbbbb"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEachUpstreamIsTriedOnce(t *testing.T) {
	p := newPool("a", "b", "c")
	seen := ""
	var tried []*upstream
	for u := p.choose(tried); u != nil; u = p.choose(tried) {
		seen += u.name
		tried = append(tried, u)
	}
	if seen != "bca" {
		t.Error(seen)
	}
	if one := newPool("a"); one.choose(nil) == nil || one.choose(one.upstreams) != nil {
		t.Error("a single upstream is tried once")
	}
}

func TestAnUpstreamThatIsDownIsLeftAloneUntilAProbeSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool("a", "b")
		a := p.upstreams[0]
		if !a.health.failed(time.Now()) {
			t.Error("it wasn't up")
		}
		if a.health.failed(time.Now()) {
			t.Error("it was up still")
		}
		if got := p.choices(4); got != "bbbb" {
			t.Error("while it is down:", got)
		}
		time.Sleep(time.Second) // two failures: twice firstBackOff
		probe := p.choose(nil)
		if probe != a {
			t.Error("the probe went to", probe.name)
		}
		if got := p.choices(4); got != "bbbb" {
			t.Error("while the probe is under way:", got)
		}
		if !probe.health.succeeded() || probe.health.succeeded() {
			t.Error("it comes back once")
		}
		probe.done()
		if got := p.choices(4); got != "abab" {
			t.Error("after the probe:", got)
		}
	})
}

func TestAProbeWithoutAnAnswerIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool("a", "b")
		p.upstreams[0].health.failed(time.Now())
		time.Sleep(firstBackOff)
		for i := range 3 {
			if got := p.choices(3); got != "abb" {
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
		p := newPool("a", "b", "c")
		for i, u := range p.upstreams {
			for range 3 - i {
				u.health.failed(time.Now())
			}
		}
		var tried []*upstream
		order := ""
		for u := p.choose(tried); u != nil; u = p.choose(tried) {
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
		var q quiet
		for range 2 {
			if n, ok := q.speak(time.Now()); !ok || n != 0 {
				t.Error(n, ok)
			}
			for range 5 {
				if _, ok := q.speak(time.Now()); ok {
					t.Error("it spoke")
				}
			}
			time.Sleep(time.Second)
			if n, ok := q.speak(time.Now()); !ok || n != 5 {
				t.Error(n, ok)
			}
			time.Sleep(time.Second)
		}
	})
}
