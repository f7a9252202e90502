package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// TestTheFirstRequestAfterAMarketIsWithdrawnIsRefused measures, too, how long
// that takes.
func TestTheFirstRequestAfterAMarketIsWithdrawnIsRefused(t *testing.T) {
	m := newLedgerGateway(t)
	m.start()
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	var commands, refusals []time.Duration
	for i := range rounds {
		if status := m.gets("FR"); status != http.StatusOK {
			t.Fatalf("before, France gets %d", status)
		}
		began := time.Now()
		m.mustRun("set", "FR", "withdrawn", "--territories", "none", "--because", "It is the law.")
		returned := time.Now()
		first := m.gets("FR")
		refusals, commands = append(refusals, time.Since(returned)), append(commands, returned.Sub(began))
		if first != http.StatusUnavailableForLegalReasons {
			t.Fatalf("the first request after it gets %d", first)
		}
		m.setPhase("FR", policy.Open, fmt.Sprint("It isn't any more, ", i))
	}
	for what, took := range map[string][]time.Duration{
		"the command":                          commands,
		"from its return to the first refusal": refusals,
	} {
		slices.Sort(took)
		t.Logf("%s: %v at the median of %d, %v at most", what, took[len(took)/2], len(took), took[len(took)-1])
	}
}

// TestASecondGatewayOnTheSameDataFolderEndsAndTheFirstGoesOn ends it at once.
func TestASecondGatewayOnTheSameDataFolderEndsAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	first, second := newLedgerGateway(t), newLedgerGateway(t)
	first.start()
	first.setPhase("FR", policy.Withdrawn, "by law")
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
	first.setPhase("DE", policy.Withdrawn, "by law, too")
	if got := first.gets("DE"); got != http.StatusUnavailableForLegalReasons {
		t.Errorf("in the first, Germany gets %d", got)
	}
	first.expectVerified(3)
	first.mustRun("status")
}

// TestAClockThatJumpsOpensNothingAndChangesNoOrder jumps ahead by a year and
// back, while the gateway runs and while it is off.
func TestAClockThatJumpsOpensNothingAndChangesNoOrder(t *testing.T) {
	t.Parallel()
	before := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	exit := before.AddDate(0, 0, 10)
	m := newLedgerGateway(t)
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
	m.apply(fmt.Sprintf("version: 1\njurisdictions:\n  FR: {schedule: [{from: %s, phase: withdrawn}]}\n  IT: withdrawn\n", exit.Format(time.RFC3339)), "an exit")
	m.mustRun("principal", "add", "ada", "--role", "viewer", "--because", "She watches.")
	token := strings.TrimSpace(m.mustRun("principal", "token", "ada", "--expires", before.Add(time.Hour).Format(time.RFC3339), "--because", "She watches.").out)
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
	m.setPhase("ES", policy.Withdrawn, "in a year")

	after := map[string]int{"FR": 451, "IT": 451, "ES": 451, "DE": 200}
	at(before.AddDate(0, 0, -1))
	get("set back by a year and a day", after)
	asAda("set back", http.StatusOK)
	m.setPhase("GF", policy.Withdrawn, "the day before")
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
	m.setPhase("DE", policy.Withdrawn, "two days before")
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
	m.expectVerified(8) // the step is one record, however often the clock comes to it
	if revision := m.status().Revision; revision != 8 {
		t.Errorf("revision %d is in force", revision)
	}
}
