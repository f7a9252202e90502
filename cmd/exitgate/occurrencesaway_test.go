//go:build integration

package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// Issue 11, number 9: a step that takes place while NATS is away is decided by at once, and
// recorded when NATS is back, once by two gateways, also if both were killed meanwhile.
func TestWhatTakesPlaceWithoutNATSIsRecordedLater(t *testing.T) {
	server := ledgertest.StartOn(t, t.TempDir())
	begin := time.Now().UTC().Truncate(time.Second)
	due := begin.Add(time.Hour)
	var gateways []*ledgerGateway
	at := func(now time.Time) {
		t.Helper()
		for _, g := range gateways {
			testkit.ReplaceFile(t, g.clock, now.Format(time.RFC3339Nano)) // to the second, it would be behind the server
		}
	}
	for range 2 {
		g := newLedgerGateway(t)
		g.source, g.clock = fmt.Sprintf("{ledger: {nats: [%q], replicas: 1}}", server.URL), g.file("clock")
		gateways = append(gateways, g)
	}
	at(begin)
	for _, g := range gateways {
		g.restart()
	}
	gateways[0].apply(fmt.Sprintf("version: 1\njurisdictions: {FR: {schedule: [{from: %s, phase: withdrawn}]}}\n", due.Format(time.RFC3339)), "an exit")
	testkit.Eventually(t, "the other has it", func() bool { return gateways[1].status().Revision == 2 })
	server.Kill()
	at(due)
	for _, g := range gateways {
		if status := g.gets("FR"); status != http.StatusUnavailableForLegalReasons {
			t.Errorf("without NATS France gets %d", status)
		}
		testkit.Eventually(t, "it waits to be recorded", func() bool { return g.status().Ledger.Unrecorded == 1 })
		g.kill()
		g.api.CloseIdleConnections()
	}
	at(time.Now().UTC())
	for _, g := range gateways {
		g.restart()
		if status := g.gets("FR"); status != http.StatusUnavailableForLegalReasons {
			t.Errorf("started without NATS, France gets %d", status)
		}
	}
	server.Start()
	testkit.Eventually(t, "the step is recorded", func() bool {
		at(time.Now().UTC()) // as the NATS server's: who is behind it may not write
		return len(gateways[0].took()) > 0
	})
	for _, g := range gateways {
		all := g.expectTook(changes.StepTaken)
		if len(all) == 1 && !all[0].Took.Equal(due) {
			t.Errorf("it took place at %v", all[0].Took)
		}
		testkit.Eventually(t, "nothing waits", func() bool { return g.status().Ledger.Unrecorded == 0 })
		g.expectVerified(3)
	}
}
