//go:build integration

package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// toggled are the markets that come and go. The first have clients.
var toggled = []policy.Code{
	"FR", "GF", "DE", "IT", "ES", "AT", "BE", "BG", "CY", "CZ",
	"DK", "EE", "FI", "GR", "HR", "HU", "IE", "LT", "LU", "LV",
}

// A crashTest is a gateway that is killed again and again, and what it owes: the
// changes that it has acknowledged.
type crashTest struct {
	*ledgerGateway
	random *rand.Rand
	phases map[policy.Code]policy.Phase // by all that was acknowledged
	acked  []string                     // why each was made, in their order
	last   uint64                       // revision
	kills  int
}

// restart starts the gateway, which may be killed while it does, any number
// of times.
func (s *crashTest) restart() {
	s.t.Helper()
	for s.random.IntN(3) == 0 {
		cmd := exec.Command("exitgate", "serve", "--config", s.file("exitgate.yaml"))
		var log strings.Builder
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(time.Duration(s.random.Int64N(int64(100 * time.Millisecond))))
		_ = cmd.Process.Kill() // or it has ended
		if err := cmd.Wait(); err != nil && cmd.ProcessState.Exited() {
			s.t.Errorf("it ended by itself: %v\n%s", err, &log)
		}
		s.kills++
	}
	s.ledgerGateway.restart()
}

// killWithin kills the gateway at some moment from now on.
func (s *crashTest) killWithin(d time.Duration) (dead chan struct{}) {
	delay := time.Duration(s.random.Int64N(int64(d)))
	dead = make(chan struct{})
	go func() {
		defer close(dead)
		time.Sleep(delay)
		s.kill()
	}()
	return dead
}

// expectDecisions holds what clients get against the phases that were acknowledged, but
// for one change, of which it isn't known whether it was made.
func (s *crashTest) expectDecisions(but policy.Code) {
	s.t.Helper()
	for country := range clients {
		want := http.StatusOK
		if s.phases[policy.Code(country)] == policy.Withdrawn {
			want = http.StatusUnavailableForLegalReasons
		}
		if got := s.gets(country); got != want && country != string(but) {
			s.t.Errorf("after %d kills and %q, %s gets %d, want %d", s.kills, s.acked[len(s.acked)-1], country, got, want)
		}
	}
}

// TestAGatewayThatIsKilledAgainAndAgainHasEveryChangeThatItAcknowledgedAndNoHalfOne
// sends what wasn't acknowledged again.
func TestAGatewayThatIsKilledAgainAndAgainHasEveryChangeThatItAcknowledgedAndNoHalfOne(t *testing.T) {
	t.Parallel()
	seed, rounds := uint64(time.Now().UnixNano()), 100
	if text := os.Getenv("EXITGATE_TEST_SEED"); text != "" {
		_, _ = fmt.Sscan(text, &seed) // another one will do
	}
	if testing.Short() {
		rounds = 30
	}
	t.Logf("EXITGATE_TEST_SEED=%d", seed)
	s := &crashTest{ledgerGateway: newLedgerGateway(t), random: rand.New(rand.NewPCG(seed, 0)), phases: map[policy.Code]policy.Phase{}, last: 1}
	s.ledgerGateway.restart() // which writes its settings
	again, written := 0, 0
	for i := range rounds {
		c := toggle{country: toggled[s.random.IntN(len(toggled))], because: fmt.Sprint("change ", i), key: fmt.Sprint("key-", i)}
		if s.phases[c.country] != policy.Withdrawn {
			c.phase = policy.Withdrawn
		}
		if err := s.planToggle(&c); err != nil {
			t.Fatalf("%s: %v", c.because, err)
		}
		if c.plan.Revision != s.last {
			t.Fatalf("revision %d is in force, and %d was acknowledged", c.plan.Revision, s.last)
		}
		var dead chan struct{}
		if s.random.IntN(2) == 0 {
			dead = s.killWithin(50 * time.Millisecond)
		}
		change, err := s.toggleMarket(c)
		if dead != nil {
			<-dead
			s.kills++
			s.client.CloseIdleConnections()
			s.api.CloseIdleConnections()
			s.restart()
			if err == nil {
				s.recordChange(c, change)
				s.expectDecisions("")
				continue
			}
			s.expectDecisions(c.country)
			var problem *api.Problem
			if errors.As(err, &problem) {
				t.Errorf("%s: before it was killed, the gateway said %v", c.because, err)
			}
			again++
			if s.status().Revision > s.last {
				written++
			}
			change, err = s.toggleMarket(c)
		}
		if err != nil {
			t.Fatalf("%s: %v", c.because, err)
		}
		s.recordChange(c, change)
		if dead != nil {
			if repeated, err := s.toggleMarket(c); err != nil || repeated.InForce.Number != s.last {
				t.Errorf("%s, sent once more, is revision %d, %v", c.because, repeated.InForce.Number, err)
			}
			s.expectDecisions("")
		}
	}
	t.Logf("%d changes, %d kills, %d changes sent again, of which %d were there", rounds, s.kills, again, written)
	s.expectAllKept()
}

func (s *crashTest) recordChange(c toggle, change api.Change) {
	if change.InForce.Number <= s.last {
		s.t.Errorf("%s is revision %d, and there was %d", c.because, change.InForce.Number, s.last)
	}
	s.phases[c.country], s.last = c.phase, change.InForce.Number
	s.acked = append(s.acked, c.because)
}

// expectAllKept holds the log against what was acknowledged.
func (s *crashTest) expectAllKept() {
	s.t.Helper()
	var written []string
	for _, r := range s.history() {
		if r.Refused != "" {
			s.t.Errorf("record %d is refused: %s", r.Number, r.Refused)
		}
		if r.Kind == changes.RevisionMade && r.Number > 1 {
			written = append(written, r.Because)
		}
	}
	if !slices.Equal(written, s.acked) {
		s.t.Errorf("the log has\n%q, and what was acknowledged is\n%q", written, s.acked)
	}
	status := s.status()
	if status.Revision != s.last || status.Ledger.Last != s.last {
		s.t.Errorf("revision %d of record %d is in force, want %d", status.Revision, status.Ledger.Last, s.last)
	}
	phases := map[policy.Code]policy.Phase{}
	for _, m := range status.Markets {
		phases[m.Jurisdiction] = m.Phase
	}
	if !maps.Equal(phases, s.phases) {
		s.t.Errorf("the markets are\n%v, want\n%v", phases, s.phases)
	}
	s.expectVerified(len(s.acked) + 1)
}
