package gateway_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// scheduled closes France in three steps, a day from each other.
const scheduled = `
version: 1
routes: {sign-up: [/signup]}
jurisdictions:
  FR:
    schedule:
      - {from: 2026-12-01T00:00:00Z, phase: closed-to-new}
      - {from: 2026-12-02T00:00:00Z, phase: wind-down}
      - {from: 2026-12-03T00:00:00Z, phase: withdrawn}
`

var (
	closing   = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	windDown  = closing.AddDate(0, 0, 1)
	withdrawn = closing.AddDate(0, 0, 2)
)

func TestARequestBeforeABoundaryIsServedAndOneAfterItRefusedAndEachIsCountedOnce(t *testing.T) {
	c := testkit.NewClock(windDown.Add(-time.Hour))
	g := start(t, setup{policy: scheduled, now: c.Now})
	g.app.keep.Store(false)
	const clients, requests = 8, 150
	var asked, served, refused atomic.Int64
	var crossed atomic.Bool
	halfway := make(chan struct{})
	ended := sync.OnceFunc(func() { close(halfway) })
	var load sync.WaitGroup
	for i := range clients {
		client := g.client(1 + i%2)
		load.Go(func() {
			for range requests {
				after := crossed.Load() // before it is sent
				a, err := g.try(client, "/", france)
				if err != nil {
					t.Error(err)
					return
				}
				before := !crossed.Load() // after it is answered
				switch {
				case a.status == 200 && !after:
					served.Add(1)
				case a.status == 451 && !before:
					refused.Add(1)
				default:
					t.Errorf("it gets %d (asked before: %v, answered after: %v)", a.status, !after, !before)
				}
				if asked.Add(1) == clients*requests/2 {
					ended()
				}
			}
		})
	}
	go func() {
		load.Wait() // if it fails, it never gets halfway
		ended()
	}()
	<-halfway
	// Neither is quite in step with the other: what is decided in between may
	// go either way.
	c.Set(windDown)
	crossed.Store(true)
	load.Wait()

	samples := g.samples()
	count := func(phase, action string) float64 {
		return samples[fmt.Sprintf(`exitgate_decisions_total{action=%q,jurisdiction="FR",phase=%q,reason="entry"}`, action, phase)]
	}
	// What was under way in that moment was counted as forwarded, and then cut.
	cut := count("closed-to-new", "forward") - float64(served.Load())
	if most := samples["exitgate_connections_severed_total"]; cut < 0 || cut > most || served.Load() == 0 {
		t.Errorf("%d were served, %v more counted, and up to %v cut", served.Load(), cut, most)
	}
	if n := count("wind-down", "refuse") + cut; n != float64(refused.Load()) || n == 0 {
		t.Errorf("%d were refused, and %v counted", refused.Load(), n)
	}
	if n := g.sum("exitgate_decisions_total"); n != clients*requests {
		t.Errorf("%d requests were counted %v times", clients*requests, n)
	}
	if n := samples["exitgate_transitions_total"]; n != 1 {
		t.Errorf("the boundary was crossed %v times", n)
	}
}

func TestAScheduledChangeIsLoggedAndShown(t *testing.T) {
	c := testkit.NewClock(closing.Add(-time.Hour))
	g := start(t, setup{policy: scheduled, now: c.Now})
	if n := g.metric("exitgate_next_transition_timestamp_seconds"); n != float64(closing.Unix()) {
		t.Errorf("the next is said to be at %v", n)
	}
	if n := g.metric(`exitgate_jurisdiction_phase{jurisdiction="FR",phase="open"}`); n != 1 {
		t.Errorf("France is not shown as open")
	}
	if lines := g.log.Lines("policy applied", "until=2026-12-01T00:00:00Z"); len(lines) != 1 {
		t.Errorf("until when the policy holds is not in the log")
	}
	c.Set(closing)
	// No request is needed: a scrape crosses it, and so does the clock.
	if n := g.metric(`exitgate_jurisdiction_phase{jurisdiction="FR",phase="closed-to-new"}`); n != 1 {
		t.Errorf("France is not shown as closed to new users")
	}
	if n := g.metric("exitgate_next_transition_timestamp_seconds"); n != float64(windDown.Unix()) {
		t.Errorf("the next is said to be at %v", n)
	}
	testkit.Eventually(t, "the change is in the log", func() bool {
		return len(g.log.Lines("scheduled change", "due=2026-12-01T00:00:00.000Z", "FR", "until=2026-12-02T00:00:00Z")) == 1
	})
	if n := g.metric("exitgate_transitions_total"); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

func TestAScheduledChangeNeedsNoRequest(t *testing.T) {
	boundary := time.Now().Add(300 * time.Millisecond).UTC()
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: {schedule: [{from: " + boundary.Format(time.RFC3339Nano) + ", phase: withdrawn}]}}\n"})
	testkit.Eventually(t, "the change is logged", func() bool { return len(g.log.Lines("scheduled change", "FR")) == 1 })
	if a := g.request(g.client(1), "/", france); a.status != 451 {
		t.Errorf("then it gets %d", a.status)
	}
}

func TestAClockThatSkipsSeveralBoundariesEndsBehindTheLast(t *testing.T) {
	c := testkit.NewClock(closing.Add(-time.Hour))
	g := start(t, setup{policy: scheduled, now: c.Now})
	c.Set(withdrawn.AddDate(1, 0, 0))
	if a := g.request(g.client(1), "/", france); a.status != 451 {
		t.Errorf("it gets %d", a.status)
	}
	if n := g.metric(`exitgate_decisions_total{action="refuse",jurisdiction="FR",phase="withdrawn",reason="entry"}`); n != 1 {
		t.Errorf("it isn't counted as withdrawn")
	}
	if n := g.metric("exitgate_next_transition_timestamp_seconds"); n != 0 {
		t.Errorf("there is said to be another change at %v", n)
	}
}

func TestAClockThatIsSetBackOpensNothing(t *testing.T) {
	c := testkit.NewClock(withdrawn.Add(time.Hour))
	g := start(t, setup{policy: scheduled, now: c.Now})
	for _, back := range []time.Time{withdrawn.Add(-time.Second), closing.Add(-time.Hour), time.Unix(0, 0)} {
		c.Set(back)
		if a := g.request(g.client(1), "/", france); a.status != 451 {
			t.Errorf("at %s it gets %d", back, a.status)
		}
	}
}

// restart starts a gate on the data folder and the policy file of another.
func (g *gate) restart(s setup) *gate {
	g.t.Helper()
	if err := g.stop(); err != nil {
		g.t.Fatal(err)
	}
	data, policy := g.data, g.policy
	s.policy = ""
	s.configure = func(c *config.Config) { c.Data, c.Policy.File = data, policy }
	return start(g.t, s)
}

func TestARestartWithTheClockSetBackOpensNothing(t *testing.T) {
	c := testkit.NewClock(windDown.Add(-time.Hour))
	g := start(t, setup{policy: scheduled, now: c.Now})
	c.Set(windDown.Add(time.Minute))
	if a := g.request(g.client(1), "/", france); a.status != 451 {
		t.Fatalf("behind the boundary it gets %d", a.status)
	}
	testkit.Eventually(t, "it is kept how far the schedule has come", func() bool {
		text, err := readFile(g.data + "/schedule.json")
		return err == nil && contains(text, windDown.Format("2006-01-02T15:0"))
	})
	c.Set(closing.Add(-time.Hour))
	g = g.restart(setup{now: c.Now})
	if a := g.request(g.client(1), "/", france); a.status != 451 {
		t.Errorf("after a restart with the clock set back it gets %d", a.status)
	}
	if lines := g.log.Lines("the clock is behind"); len(lines) != 1 {
		t.Errorf("it is said %d times in the log", len(lines))
	}
	// It goes on from there, not from where the clock is.
	c.Set(withdrawn)
	if a := g.request(g.client(1), "/.well-known/market-status", france); !contains(a.body, `"withdrawn"`) {
		t.Errorf("the last boundary isn't crossed: %s", a.body)
	}
}

func TestANewRevisionOfThePolicyOpensWhatAClockDoesnt(t *testing.T) {
	c := testkit.NewClock(withdrawn.Add(time.Hour))
	g := start(t, setup{policy: scheduled, now: c.Now})
	c.Set(closing.Add(-time.Hour))
	if a := g.request(g.client(1), "/", france); a.status != 451 {
		t.Fatalf("with the clock set back it gets %d", a.status)
	}
	testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {FR: open}\n")
	testkit.Eventually(t, "France is open again", func() bool { return g.request(g.client(1), "/", france).status == http.StatusOK })
	testkit.Eventually(t, "the change is in the log", func() bool { return len(g.log.Lines("policy applied", "withdrawn → open: FR")) == 1 })
	if n := g.metric("exitgate_policy_revision"); n != 2 {
		t.Errorf("it is shown as policy %v", n)
	}
}
