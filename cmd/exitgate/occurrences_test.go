package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// took returns what took place, by the log.
func (g *ledgerGateway) took() (all []api.Record) {
	g.t.Helper()
	return slices.DeleteFunc(g.history(), func(r api.Record) bool { return r.Took == nil })
}

// expectTook waits until the log has what took place, and nothing else.
func (g *ledgerGateway) expectTook(kinds ...changes.Kind) []api.Record {
	g.t.Helper()
	testkit.Eventually(g.t, fmt.Sprint(kinds, " is in the ledger"), func() bool { return len(g.took()) >= len(kinds) })
	var got []changes.Kind
	all := g.took()
	for _, r := range all {
		got = append(got, r.Kind)
	}
	if !slices.Equal(got, kinds) {
		g.t.Errorf("what took place is %q, want %q", got, kinds)
	}
	return all
}

// Issue 10, F: a breach that flaps makes one record, not thousands. Issue 11, number 9:
// what took place is recorded, a step, a breach and an acknowledgement that came into
// effect; also over kill -9 and over a time without the gateway.
func TestWhatTookPlaceIsInTheLog(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the gateway to ask the flag server")
	}
	t.Parallel()
	flags := newFlagServer(t, guardedFlags())
	flags.start(t)
	m := newLedgerGateway(t)
	m.flags = fmt.Sprintf("{url: %q, poll: 1s}", "http://"+flags.address)
	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m.clock = m.file("clock")
	at := func(hours int) time.Time { return begin.Add(time.Duration(hours) * time.Hour) }
	set := func(hours int) {
		t.Helper()
		testkit.ReplaceFile(t, m.clock, at(hours).Format(time.RFC3339))
	}
	set(0)
	m.restart()
	scheduled := "version: 1\n" + guardedPolicy + fmt.Sprintf("jurisdictions:\n  IT: {schedule: [{from: %s, phase: announced}, {from: %s, phase: withdrawn}]}\n",
		at(1).Format(time.RFC3339), at(2).Format(time.RFC3339))
	m.apply(scheduled, "an exit")

	set(1)
	m.expectTook(changes.StepTaken)
	m.kill()
	m.api.CloseIdleConnections()
	set(3)
	m.restart()
	all := m.expectTook(changes.StepTaken, changes.StepTaken)
	if last := all[1]; !last.Took.Equal(at(3)) || !strings.Contains(last.Summary, at(2).Format(time.RFC3339)) || !strings.Contains(last.Summary, "announced → withdrawn: IT") {
		t.Errorf("the step that was due while nobody was there is %+v", last)
	}

	for flapping := range 2 {
		flags.set("end-to-end-encryption", "FR", false)
		testkit.Eventually(t, "France is withheld", func() bool { return m.gets("FR") == http.StatusUnavailableForLegalReasons })
		m.waitForFlags(flags, flapping+2)
		flags.set("end-to-end-encryption", "FR", true)
		m.waitForFlags(flags, flapping+3)
	}
	m.expectTook(changes.StepTaken, changes.StepTaken, changes.GuaranteeBreached)
	m.kill()
	m.api.CloseIdleConnections()
	m.restart()
	m.expectTook(changes.StepTaken, changes.StepTaken, changes.GuaranteeBreached)
	m.apply(scheduled+fmt.Sprintf("acknowledge: [{flag: end-to-end-encryption, jurisdiction: FR, at: %s, by: Ana, because: A rule was wrong.}]\n", at(3).Format(time.RFC3339)), "It was a mistake.")
	testkit.Eventually(t, "France is served again", func() bool { return m.gets("FR") == http.StatusOK })
	m.expectTook(changes.StepTaken, changes.StepTaken, changes.GuaranteeBreached, changes.BreachAcknowledged)
	m.expectVerified(7)
	if out := m.mustRun("log", "-v").out; !strings.Contains(out, "took place at 2026-11-22T13:00:00Z, by ") || !strings.Contains(strings.Join(strings.Fields(out), " "), "the breach of end-to-end-encryption in FR") || !strings.Contains(out, "end-to-end-encryption in FR below") {
		t.Errorf("the log is:\n%s", out)
	}
	for _, r := range m.history() {
		if r.Took != nil && (r.Author != "exitgate" || r.Gateway == "") {
			t.Errorf("record %d is by %s at %s", r.Number, r.Author, r.Gateway)
		}
	}
}
