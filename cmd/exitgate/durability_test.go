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
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// toggled are the markets that come and go. The first have clients.
var toggled = []policy.Code{
	"FR", "GF", "DE", "IT", "ES", "AT", "BE", "BG", "CY", "CZ",
	"DK", "EE", "FI", "GR", "HR", "HU", "IE", "LT", "LU", "LV",
}

// A survivor is a gateway that is killed again and again, and what it owes: the
// changes that it has acknowledged.
type survivor struct {
	*member
	random *rand.Rand
	phases map[policy.Code]policy.Phase // by all that was acknowledged
	acked  []string                     // why each was made, in their order
	last   uint64                       // revision
	kills  int
}

// startsAnew starts the gateway, which may be killed while it does, any number
// of times.
func (s *survivor) startsAnew() {
	s.t.Helper()
	for s.random.IntN(3) == 0 {
		cmd := exec.Command("exitgate", "serve", "--config", s.file("exitgate.yaml"))
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(time.Duration(s.random.Int64N(int64(100 * time.Millisecond))))
		_ = cmd.Process.Kill() // or it has ended
		if err := cmd.Wait(); err != nil && cmd.ProcessState.Exited() {
			s.t.Errorf("it ended by itself: %v", err)
		}
		s.kills++
	}
	s.restart()
}

// diesWithin kills the gateway at some moment from now on.
func (s *survivor) diesWithin(d time.Duration) (dead chan struct{}) {
	delay := time.Duration(s.random.Int64N(int64(d)))
	dead = make(chan struct{})
	go func() {
		defer close(dead)
		time.Sleep(delay)
		s.kill()
	}()
	return dead
}

// decides holds what clients get against the phases that were acknowledged, but
// for one change, of which it isn't known whether it was made.
func (s *survivor) decides(but policy.Code) {
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
	seed, rounds := uint64(time.Now().UnixNano()), 200
	if text := os.Getenv("EXITGATE_TEST_SEED"); text != "" {
		_, _ = fmt.Sscan(text, &seed) // another one will do
	}
	if testing.Short() {
		rounds = 30
	}
	t.Logf("EXITGATE_TEST_SEED=%d", seed)
	s := &survivor{member: alone(t), random: rand.New(rand.NewPCG(seed, 0)), phases: map[policy.Code]policy.Phase{}, last: 1}
	s.restart()
	again, written := 0, 0
	for i := range rounds {
		c := toggle{country: toggled[s.random.IntN(len(toggled))], because: fmt.Sprint("change ", i), key: fmt.Sprint("key-", i)}
		if s.phases[c.country] != policy.Withdrawn {
			c.phase = policy.Withdrawn
		}
		if err := s.plansToggle(&c); err != nil {
			t.Fatalf("%s: %v", c.because, err)
		}
		if c.plan.Revision != s.last {
			t.Fatalf("revision %d is in force, and %d was acknowledged", c.plan.Revision, s.last)
		}
		var dead chan struct{}
		if s.random.IntN(2) == 0 {
			dead = s.diesWithin(50 * time.Millisecond)
		}
		change, err := s.toggles(c)
		if dead != nil {
			<-dead
			s.kills++
			s.client.CloseIdleConnections()
			s.api.CloseIdleConnections()
			s.startsAnew()
			if err == nil {
				s.acknowledged(c, change)
				s.decides("")
				continue
			}
			s.decides(c.country)
			var problem *api.Problem
			if errors.As(err, &problem) {
				t.Errorf("%s: before it was killed, the gateway said %v", c.because, err)
			}
			again++
			if s.status().Revision > s.last {
				written++
			}
			change, err = s.toggles(c)
		}
		if err != nil {
			t.Fatalf("%s: %v", c.because, err)
		}
		s.acknowledged(c, change)
		if dead != nil {
			if repeated, err := s.toggles(c); err != nil || repeated.InForce.Number != s.last {
				t.Errorf("%s, sent once more, is revision %d, %v", c.because, repeated.InForce.Number, err)
			}
			s.decides("")
		}
	}
	t.Logf("%d changes, %d kills, %d changes sent again, of which %d were there", rounds, s.kills, again, written)
	s.accounts()
}

func (s *survivor) acknowledged(c toggle, change api.Change) {
	if change.InForce.Number <= s.last {
		s.t.Errorf("%s is revision %d, and there was %d", c.because, change.InForce.Number, s.last)
	}
	s.phases[c.country], s.last = c.phase, change.InForce.Number
	s.acked = append(s.acked, c.because)
}

// accounts holds the log against what was acknowledged.
func (s *survivor) accounts() {
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
	s.verifies(len(s.acked) + 1)
}

// verifies wants a log that is right.
func (g *member) verifies(records int) {
	g.t.Helper()
	if out := g.commands("log", "--verify").out; !strings.Contains(out, "The ledger is right: "+several(records, "record")+", ") {
		g.t.Errorf("of %d records the log says: %s", records, out)
	}
}

// TestASecondGatewayOnTheSameDataFolderEndsAndTheFirstGoesOn ends it at once.
func TestASecondGatewayOnTheSameDataFolderEndsAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	first, second := alone(t), alone(t)
	first.start()
	first.sets("FR", policy.Withdrawn, "by law")
	second.folder = first.folder
	if second.run() {
		second.kill()
		t.Fatal("it starts")
	}
	if code := second.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("it ends with %d", code)
	}
	second.says("its log", second.log.String(), "another gateway runs with this data folder", first.file("data"))
	if got := first.gets("FR"); got != http.StatusUnavailableForLegalReasons {
		t.Errorf("in the first, France gets %d", got)
	}
	first.sets("DE", policy.Withdrawn, "by law, too")
	if got := first.gets("DE"); got != http.StatusUnavailableForLegalReasons {
		t.Errorf("in the first, Germany gets %d", got)
	}
	first.verifies(3)
	first.commands("status")
}

// TestAClockThatJumpsOpensNothingAndChangesNoOrder jumps ahead by a year and
// back, while the gateway runs and while it is off.
func TestAClockThatJumpsOpensNothingAndChangesNoOrder(t *testing.T) {
	t.Parallel()
	before := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	exit := before.AddDate(0, 0, 10)
	m := alone(t)
	m.clock = m.file("clock")
	at := func(now time.Time) {
		t.Helper()
		testkit.ReplaceFile(t, m.clock, now.Format(time.RFC3339))
	}
	get := func(when string, want map[string]int) {
		t.Helper()
		for country, status := range want {
			if got := m.gets(country); got != status {
				t.Errorf("%s, %s gets %d, want %d", when, country, got, status)
			}
		}
	}
	at(before)
	m.restart()
	m.applies(fmt.Sprintf("version: 1\njurisdictions:\n  FR: {schedule: [{from: %s, phase: withdrawn}]}\n  IT: withdrawn\n", exit.Format(time.RFC3339)), "an exit")
	m.commands("principal", "add", "ada", "--role", "viewer", "--because", "She watches.")
	token := strings.TrimSpace(m.commands("principal", "token", "ada", "--expires", before.Add(time.Hour).Format(time.RFC3339), "--because", "She watches.").out)
	asAda := func(when string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+m.admin+"/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if got := m.do(r); got.status != want {
			t.Errorf("%s, the token gets %d, want %d: %s", when, got.status, want, got.body)
		}
	}
	get("before", map[string]int{"FR": 200, "IT": 451, "DE": 200})
	asAda("before", http.StatusOK)

	at(before.AddDate(1, 0, 0))
	get("a year later", map[string]int{"FR": 451, "IT": 451, "DE": 200})
	asAda("a year later", http.StatusUnauthorized)
	m.sets("ES", policy.Withdrawn, "in a year")

	after := map[string]int{"FR": 451, "IT": 451, "ES": 451, "DE": 200}
	at(before.AddDate(0, 0, -1))
	get("set back by a year and a day", after)
	asAda("set back", http.StatusOK)
	m.sets("GF", policy.Withdrawn, "the day before")
	after["GF"] = 451
	get("after another change", after)
	m.stop()
	m.restart()
	get("after a restart", after)

	m.stop()
	at(before.AddDate(1, 0, 0))
	m.restart()
	get("after a restart a year later", after)
	m.stop()
	at(before.AddDate(0, 0, -2))
	m.start()
	get("after a restart, set back", after)
	m.sets("DE", policy.Withdrawn, "two days before")
	after["DE"] = 451
	get("after one more change", after)

	var order []string
	for _, r := range m.history() {
		if r.Kind == changes.RevisionMade {
			order = append(order, r.Because)
		}
	}
	if want := []string{"There was no policy yet.", "an exit", "in a year", "the day before", "two days before"}; !slices.Equal(order, want) {
		t.Errorf("the revisions are %q", order)
	}
	m.verifies(7)
	if revision := m.status().Revision; revision != 7 {
		t.Errorf("revision %d is in force", revision)
	}
}
