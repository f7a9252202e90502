package main

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// Issue 10, number 18: the ledger's stream is lost, and with it nothing: each gateway
// has all records, shows them, and the ledger is made again from them.
func TestALedgerThatIsLostIsMadeAgainFromTheCopy(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.restart()
	m.setPhase("FR", policy.Withdrawn, "by law")
	m.setPhase("DE", policy.Withdrawn, "by law, too")
	before := m.mustRun("log", "--json").out
	m.kill()
	if refused := m.runCommand("ledger", "import"); refused.code != exitDone || !strings.Contains(refused.out, "Written were 0 records") {
		t.Errorf("over the ledger that it is a copy of: %d %s", refused.code, refused.text())
	}
	if err := os.RemoveAll(m.data("ledger")); err != nil {
		t.Fatal(err)
	}
	m.api.CloseIdleConnections()

	m.restart()
	if status := m.gets("FR"); status != http.StatusUnavailableForLegalReasons {
		t.Errorf("without a ledger, France gets %d", status)
	}
	if now := m.mustRun("log", "--json").out; now != before {
		t.Errorf("without a ledger, the log is\n%s, and it was\n%s", now, before)
	}
	if verified := m.runCommand("log", "--verify"); verified.code != exitFailed || !strings.Contains(verified.out, "own copy") || !strings.Contains(verified.out, "valid: 3 records") {
		t.Errorf("it is verified: %s", verified.text())
	}
	m.kill()
	m.api.CloseIdleConnections()
	if imported := m.mustRun("ledger", "import", "--json").out; !strings.Contains(imported, `"written": 3`) {
		t.Errorf("imported is %s", imported)
	}
	m.restart()
	if now := m.mustRun("log", "--json").out; now != before {
		t.Errorf("in the new ledger, the log is\n%s, and it was\n%s", now, before)
	}
	m.setPhase("IT", policy.Withdrawn, "there, too")
	m.expectVerified(4)
	for _, country := range []string{"FR", "DE", "IT"} {
		if status := m.gets(country); status != http.StatusUnavailableForLegalReasons {
			t.Errorf("in the new ledger, %s gets %d", country, status)
		}
	}
	m.stop()

	// A ledger of somebody else's isn't written to.
	other := newLedgerGateway(t)
	other.restart()
	other.setPhase("ES", policy.Withdrawn, "for itself")
	other.stop()
	if refused := other.runCommand("ledger", "import", "--from", m.data("records.log")); refused.code != exitRefused {
		t.Errorf("another gateway's ledger: %d %s", refused.code, refused.text())
	}
	if err := os.Remove(other.data("ledger.json")); err != nil {
		t.Fatal(err)
	}
	if refused := other.runCommand("ledger", "import", "--from", m.data("records.log")); refused.code != exitRefused {
		t.Errorf("another ledger: %d %s", refused.code, refused.text())
	}
}

// Issue 10, number 18: whoever starts with an old copy of the ledger, or with none of its
// state, is held to the records that this machine has.
func TestALedgerThatDiffersFromTheCopyIsSaidTo(t *testing.T) {
	t.Parallel()
	m, other := newLedgerGateway(t), newLedgerGateway(t)
	for _, g := range []*ledgerGateway{m, other} {
		g.restart()
		g.setPhase("FR", policy.Withdrawn, "by "+g.folder)
		g.stop()
	}
	if err := os.Rename(other.data("records.log"), m.data("records.log")); err != nil {
		t.Fatal(err)
	}
	m.restart()
	testkit.Eventually(t, "it is told", func() bool {
		return strings.Contains(m.getAdmin("/readyz").body, "ledger records") && m.metric("exitgate_ledger_records_differing") == "1"
	})
	m.says("the log", m.log.String(), "records differ", m.data("records.log"))
	if ready := m.getAdmin("/readyz").status; ready != http.StatusOK {
		t.Errorf("readyz is %d", ready)
	}
}

// Issue 10, number 17: after a power cut the ledger's file ends with zero bytes.
func TestAPowerCutsTraceIsRepaired(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.restart()
	m.setPhase("FR", policy.Withdrawn, "by law")
	m.kill()
	f, err := os.OpenFile(m.data("ledger/jetstream/$G/streams/exitgate-ledger/msgs/1.blk"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.api.CloseIdleConnections()
	m.restart()
	if status := m.gets("FR"); status != http.StatusUnavailableForLegalReasons {
		t.Errorf("France gets %d", status)
	}
	m.says("the log", m.log.String(), "exitgate ledger repair")

	// While it runs: it tries again and again.
	if said := m.runCommand("ledger", "repair"); said.code != exitFailed || !strings.Contains(said.out, "4096 bytes") {
		t.Errorf("%d %s", said.code, said.text())
	}
	m.mustRun("ledger", "repair", "--cut")
	testkit.Eventually(t, "the ledger is back", func() bool { return m.status().Checks["ledger"].OK })
	m.setPhase("DE", policy.Withdrawn, "by law, too")
	m.expectVerified(3)
	m.stop()
	if said := m.mustRun("ledger", "repair", "--json").out; !strings.Contains(said, `"damaged": null`) {
		t.Errorf("then it is %s", said)
	}
}

// Issue 10, number 17.
func TestSIGHUPEndsNoGateway(t *testing.T) {
	t.Parallel()
	m := newGatewayProcess(t, "")
	m.start()
	for range 3 {
		if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if status := m.gets("FR"); status != http.StatusOK {
		t.Errorf("France gets %d", status)
	}
	if status := m.getAdmin("/readyz").status; status != http.StatusOK {
		t.Errorf("readyz is %d", status)
	}
}

// Issue 10, number 18: ledger.json is damaged, and the ledger is lost, both at once, as with
// a bad disk: the records are enough.
func TestALedgerIsMadeAgainWhereItsStateIsDamagedToo(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.restart()
	m.setPhase("FR", policy.Withdrawn, "by law")
	before := m.mustRun("log", "--json").out
	m.kill()
	m.api.CloseIdleConnections()
	testkit.ReplaceFile(t, m.data("ledger.json"), "damaged")
	if said := m.mustRun("ledger", "repair", "--json").out; !strings.Contains(said, `"damaged": null`) {
		t.Errorf("then it is %s", said)
	}
	if err := os.RemoveAll(m.data("ledger")); err != nil {
		t.Fatal(err)
	}
	if done := m.mustRun("ledger", "import", "--json").out; !strings.Contains(done, `"written": 2`) {
		t.Errorf("imported is %s", done)
	}
	m.restart()
	if now := m.mustRun("log", "--json").out; now != before {
		t.Errorf("the log is\n%s, and it was\n%s", now, before)
	}
	if status := m.gets("FR"); status != http.StatusUnavailableForLegalReasons {
		t.Errorf("France gets %d", status)
	}
	m.stop()

	// Without the records, either, nobody knows what was there.
	testkit.ReplaceFile(t, m.data("ledger.json"), "damaged")
	testkit.ReplaceFile(t, m.data("records.log"), "damaged, too")
	for _, command := range []string{"import", "repair"} {
		if refused := m.runCommand("ledger", command); refused.code != exitFailed || !strings.Contains(refused.err, "ledger.json") || !strings.Contains(refused.err, "records.log") {
			t.Errorf("%s: %d %s", command, refused.code, refused.text())
		}
	}
}

// Issue 10, number 17: a damaged steps.json is said, like the other files that are sealed.
func TestDamagedStepsAreSaid(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.clock = m.file("clock")
	testkit.ReplaceFile(t, m.clock, "2026-12-01T00:00:00Z")
	m.restart()
	m.apply("version: 1\njurisdictions: {FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}}\n", "an exit")
	if kept := m.metric("exitgate_steps_kept"); kept != "1" {
		t.Errorf("exitgate_steps_kept is %s", kept)
	}
	m.kill()
	m.api.CloseIdleConnections()
	testkit.ReplaceFile(t, m.data("steps.json"), "damaged")
	testkit.ReplaceFile(t, m.clock, "2026-11-01T00:00:00Z")
	m.restart()
	if kept := m.metric("exitgate_steps_kept"); kept != "0" {
		t.Errorf("exitgate_steps_kept is %s", kept)
	}
	check, found := m.status().Checks["steps kept"]
	if !found || check.OK || !strings.Contains(check.Detail, "steps.json") {
		t.Errorf("the status says %+v", check)
	}
	if status := m.gets("FR"); status != http.StatusUnavailableForLegalReasons { // by schedule.json
		t.Errorf("with the clock set back, France gets %d", status)
	}
}
