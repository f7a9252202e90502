//go:build integration

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

const (
	stored = "ledger/jetstream/$G/streams/exitgate-ledger/msgs/1.blk"
	index  = "ledger/jetstream/$G/streams/exitgate-ledger/msgs/index.db"
)

// withFiveRecords returns a data folder in which the newest of five records
// withdraws France, left behind by a gateway that was stopped or killed.
func withFiveRecords(t *testing.T, end func(*ledgerGateway)) (folder string) {
	t.Helper()
	m := newLedgerGateway(t)
	m.restart()
	for i, country := range []policy.Code{"DE", "IT", "ES", "FR"} {
		m.setPhase(country, policy.Withdrawn, fmt.Sprintf("reason-%d;", i+2))
	}
	end(m)
	m.loses("admin.sock") // it can't be copied
	return m.file("data")
}

// inherits gives a machine a copy of a data folder.
func (g *ledgerGateway) inherits(folder string) {
	g.t.Helper()
	if err := os.RemoveAll(g.file("data")); err != nil {
		g.t.Fatal(err)
	}
	if err := os.CopyFS(g.file("data"), os.DirFS(folder)); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Chmod(g.file("data"), 0o700); err != nil {
		g.t.Fatal(err)
	}
}

// damages replaces what is in a file of the data folder.
func (g *ledgerGateway) damages(name string, damage func(text []byte) []byte) {
	g.t.Helper()
	text, err := os.ReadFile(g.data(name))
	if err == nil || name == index { // one that is killed leaves none
		err = os.WriteFile(g.data(name), damage(text), 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *ledgerGateway) loses(name string) {
	g.t.Helper()
	if err := os.RemoveAll(g.data(name)); err != nil {
		g.t.Fatal(err)
	}
}

// alters changes one byte of a text.
func alters(t *testing.T, text, within []byte) []byte {
	at := bytes.Index(within, text)
	if at < 0 {
		t.Fatalf("there is no %s", text)
	}
	within[at] ^= 1
	return within
}

// A fault is what has happened to the data folder while the gateway was off.
type fault struct {
	name string
	does func(*ledgerGateway)
	// What becomes of it: it goes on as if nothing had happened, it serves by
	// what it knew but can't be changed, or it doesn't start.
	comes aftermath
	says  []string // in the log; FOLDER is the data folder
}

type aftermath int

const (
	goesOn aftermath = iota
	servesOnly
	doesntStart
)

func faults() []fault {
	truncated := func(text []byte) []byte { return text[:len(text)/2] }
	garbage := func([]byte) []byte { return []byte("\x00\xff garbage") }
	nothing := func([]byte) []byte { return nil }
	in := func(name string, damage func([]byte) []byte) func(*ledgerGateway) {
		return func(g *ledgerGateway) { g.damages(name, damage) }
	}
	lost := func(names ...string) func(*ledgerGateway) {
		return func(g *ledgerGateway) {
			for _, name := range names {
				g.loses(name)
			}
		}
	}
	record := func(n int) func(*ledgerGateway) {
		text := fmt.Sprintf("reason-%d;", n)
		if n == 1 {
			text = "There was no policy yet."
		}
		return func(g *ledgerGateway) {
			g.damages(stored, func(within []byte) []byte { return alters(g.t, []byte(text), within) })
		}
	}
	both := func(one, other func(*ledgerGateway)) func(*ledgerGateway) {
		return func(g *ledgerGateway) { one(g); other(g) }
	}
	digest := func(text []byte) []byte { text[0] ^= 1; return text }
	backup := "put the ledger's folder back from a backup"
	damaged := "the saved state of the ledger can't be used"
	return []fault{
		{"ledger.json is cut", in("ledger.json", truncated), goesOn, []string{damaged, "FOLDER/ledger.json"}},
		{"ledger.json is garbage", in("ledger.json", garbage), goesOn, []string{damaged, "FOLDER/ledger.json"}},
		{"ledger.json is empty", in("ledger.json", nothing), goesOn, []string{damaged, "FOLDER/ledger.json"}},
		{"ledger.json has another digest", in("ledger.json", digest), goesOn, []string{damaged, "FOLDER/ledger.json"}},
		{"ledger.json is missing", lost("ledger.json"), goesOn, nil},
		{"the index is garbage", in(index, garbage), goesOn, nil},
		{"a byte of the oldest record is changed", record(1), servesOnly, []string{"FOLDER/" + stored, "in record 1", backup}},
		{"a byte of a record in the middle is changed", record(3), servesOnly, []string{"FOLDER/" + stored, "in record 3", backup}},
		{"a byte of the newest record is changed", record(5), servesOnly, []string{"FOLDER/" + stored, "in record 5", backup}},
		{"the records are cut", in(stored, truncated), servesOnly, []string{"FOLDER/" + stored, backup}},
		{"the records are garbage", in(stored, garbage), servesOnly, []string{"FOLDER/" + stored, backup}},
		{"the records are gone", lost(stored), servesOnly, []string{"FOLDER/ledger", "from a backup"}},
		{"the ledger is gone", lost("ledger"), servesOnly, []string{"FOLDER/ledger", "from a backup"}},
		{"ledger.json is garbage and the ledger is gone", both(in("ledger.json", garbage), lost("ledger")), doesntStart, []string{"FOLDER/ledger.json", "from a backup"}},
		{"ledger.json is garbage and the oldest record changed", both(in("ledger.json", garbage), record(1)), doesntStart, []string{"FOLDER/ledger.json", "FOLDER/" + stored, backup}},
		{"ledger.json is garbage and a record changed", both(in("ledger.json", garbage), record(3)), doesntStart, []string{"FOLDER/ledger.json", "FOLDER/" + stored, backup}},
		{"ledger.json is garbage and the newest record changed", both(in("ledger.json", garbage), record(5)), doesntStart, []string{"FOLDER/ledger.json", "backup"}},
		{"ledger.json is missing and a record changed", both(lost("ledger.json"), record(3)), doesntStart, []string{"FOLDER/" + stored, backup}},
		{"ledger.json is missing and the newest record changed", both(lost("ledger.json"), record(5)), doesntStart, []string{"backup"}},
		{"ledger.json is missing and the records are cut", both(lost("ledger.json"), in(stored, truncated)), doesntStart, []string{"backup"}},
	}
}

// TestADataFolderThatIsDamagedOpensNoMarket damages it while the gateway is
// off, and puts it back.
func TestADataFolderThatIsDamagedOpensNoMarket(t *testing.T) {
	t.Parallel()
	for end, folder := range map[string]string{
		"stopped": withFiveRecords(t, func(m *ledgerGateway) { m.stop() }),
		"killed":  withFiveRecords(t, func(m *ledgerGateway) { m.kill() }),
	} {
		if end == "stopped" && testing.Short() {
			continue
		}
		for _, f := range faults() {
			t.Run(f.name+" after it was "+end, func(t *testing.T) {
				t.Parallel()
				m := newLedgerGateway(t)
				m.inherits(folder)
				f.does(m)
				switch started := m.run(); {
				case started && f.comes == doesntStart:
					t.Errorf("it starts, and France gets %d:\n%s", m.gets("FR"), m.log)
				case !started && f.comes != doesntStart:
					t.Errorf("it doesn't start:\n%s", m.log)
				case !started:
					if code := m.cmd.ProcessState.ExitCode(); code != exitFailed {
						t.Errorf("it ends with %d", code)
					}
				default:
					m.goesOnAfter(f)
				}
				for _, words := range f.says {
					m.says("the log", m.log.String(), strings.ReplaceAll(words, "FOLDER", m.file("data")))
				}
				m.kill()
				m.client.CloseIdleConnections()
				m.api.CloseIdleConnections()

				m.inherits(folder)
				m.restart()
				m.goesOnAfter(fault{comes: goesOn})
				m.kill()
			})
		}
	}
}

// goesOnAfter holds a gateway that has started against what is to become of a
// fault.
func (g *ledgerGateway) goesOnAfter(f fault) {
	g.t.Helper()
	france := func() {
		g.t.Helper()
		if got := g.gets("FR"); got != http.StatusUnavailableForLegalReasons {
			g.t.Errorf("France gets %d", got)
		}
	}
	france()
	if ready := g.getAdmin("/readyz"); ready.status != http.StatusOK {
		g.t.Errorf("it isn't ready: %s", ready.body)
	}
	status, seen := g.status(), g.runCommand("status")
	if seen.code != exitDone || !strings.Contains(seen.out, "FR") {
		g.t.Errorf("exitgate status: %d: %s", seen.code, seen.text())
	}
	if status.Revision != 5 {
		g.t.Errorf("revision %d is in force", status.Revision)
	}
	if f.comes == goesOn {
		g.expectVerified(5)
		g.setPhase("GF", policy.Withdrawn, "another")
		g.expectVerified(6)
		france()
		return
	}
	change := g.runCommand("set", "GF", "withdrawn", "--because", "I try.")
	verify := g.runCommand("log", "--verify")
	for what, said := range map[string]commandResult{"a change": change, "log --verify": verify} {
		if said.code != exitFailed {
			g.t.Errorf("%s: %d: %s", what, said.code, said.text())
		}
	}
	for what, text := range map[string]string{
		"a change":        change.text(),
		"exitgate status": seen.text(),
		"log --verify":    verify.text(),
		"the check":       status.Checks["ledger"].Detail,
		"/readyz":         unquoted(g.getAdmin("/readyz").body),
	} {
		text = strings.Join(strings.Fields(text), " ") // it may be broken anywhere
		for _, words := range f.says {
			g.says(what, text, strings.ReplaceAll(words, "FOLDER", g.file("data")))
		}
	}
	if c := status.Checks["ledger"]; c.OK || status.Ledger.Connected {
		g.t.Errorf("the ledger is said to be well: %+v, %+v", c, status.Ledger)
	}
	france()
}

// unquoted is a JSON text for people.
func unquoted(text string) string {
	return strings.NewReplacer(`\n`, " ", `\u003c`, "<", `\u003e`, ">").Replace(text)
}

// TestALedgerThatIsPutBackWhileTheGatewayRunsIsUsedAgain needs no restart.
func TestALedgerThatIsPutBackWhileTheGatewayRunsIsUsedAgain(t *testing.T) {
	t.Parallel()
	folder := withFiveRecords(t, func(m *ledgerGateway) { m.stop() })
	m := newLedgerGateway(t)
	m.inherits(folder)
	m.loses("ledger")
	m.start()
	m.goesOnAfter(fault{comes: servesOnly})
	m.loses("ledger")
	if err := os.CopyFS(m.data("ledger"), os.DirFS(filepath.Join(folder, "ledger"))); err != nil {
		t.Fatal(err)
	}
	m.waitConnected(true)
	m.goesOnAfter(fault{comes: goesOn})
}

// TestAByteOfHistoryThatIsChangedIsNamed changes it while the gateway is off,
// and while it runs.
func TestAByteOfHistoryThatIsChangedIsNamed(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.inherits(withFiveRecords(t, func(m *ledgerGateway) { m.stop() }))
	m.restart()
	names := func(when string) {
		t.Helper()
		said := m.runCommand("log", "--verify")
		if said.code != exitFailed || !strings.Contains(said.text(), "record 3") {
			t.Errorf("%s, it ends with %d, and says: %s", when, said.code, said.text())
		}
		if got := m.gets("FR"); got != http.StatusUnavailableForLegalReasons {
			t.Errorf("%s, France gets %d", when, got)
		}
	}
	change := func() {
		m.damages(stored, func(text []byte) []byte { return alters(t, []byte("reason-3;"), text) })
	}
	change()
	names("while it runs")
	m.stop()
	m.start()
	names("after a start")
}

// TestALedgerThatHasNothingLeftBeginsWithTheLastGoodPolicy and only if that is
// gone, too, with one that serves everywhere.
func TestALedgerThatHasNothingLeftBeginsWithTheLastGoodPolicy(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.inherits(withFiveRecords(t, func(m *ledgerGateway) { m.stop() }))
	m.loses("ledger")
	m.loses("ledger.json")
	m.loses("records.log")
	m.restart()
	if got := m.gets("FR"); got != http.StatusUnavailableForLegalReasons {
		t.Errorf("France gets %d", got)
	}
	first := m.history()
	if len(first) != 1 || first[0].Author != "exitgate" || !strings.Contains(first[0].Because, "last-good-policy.yaml") {
		t.Errorf("the ledger begins with %+v", first)
	}
	m.stop()
	m.loses("ledger")
	m.loses("ledger.json")
	m.loses("records.log")
	m.loses("last-good-policy.yaml")
	m.start()
	if got := m.gets("FR"); got != http.StatusOK {
		t.Errorf("where nothing is known, France gets %d", got)
	}
}

// TestAMachineThatHadAPolicyFileBeginsItsLedgerWithThatPolicy and so opens
// nothing when the setting goes.
func TestAMachineThatHadAPolicyFileBeginsItsLedgerWithThatPolicy(t *testing.T) {
	t.Parallel()
	const document = "jurisdictions: {FR: withdrawn} # by law\n"
	m := newLedgerGateway(t)
	m.revise(document)
	m.source = ""
	m.restart()
	m.stop()
	kept, err := os.ReadFile(m.data("last-good-policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	// It is not to be had: nothing is served by another one.
	m.source = "{}"
	m.damages("last-good-policy.yaml", func([]byte) []byte { return []byte("version: 1\n") }) // as cut off, and valid
	if m.run() {
		t.Fatalf("it starts, and France gets %d", m.gets("FR"))
	}
	m.says("the log", m.log.String(), m.data("last-good-policy.yaml"), m.data("schedule.json"), "mend it, or remove it to begin with a policy that serves everywhere")
	if code := m.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("it ends with %d", code)
	}

	m.damages("last-good-policy.yaml", func([]byte) []byte { return kept })
	m.start()
	for country, want := range map[string]int{"FR": http.StatusUnavailableForLegalReasons, "DE": http.StatusOK} {
		if got := m.gets(country); got != want {
			t.Errorf("%s gets %d", country, got)
		}
	}
	var inForce api.Policy
	if err := m.ask("GET", "/v1/policy", nil, &inForce); err != nil || inForce.Policy != "version: 1\n"+document {
		t.Errorf("the policy is %q, %v", inForce.Policy, err)
	}
	first := m.history()
	if len(first) != 1 || first[0].Author != "exitgate" || !strings.Contains(first[0].Because, m.data("last-good-policy.yaml")) {
		t.Errorf("the ledger begins with %+v", first)
	}
	if !slices.ContainsFunc(m.log.Lines("the ledger is empty"), func(line string) bool { return strings.Contains(line, m.data("last-good-policy.yaml")) }) {
		t.Error("the log doesn't say where the first policy is from")
	}
	m.setPhase("FR", policy.Open, "the law is repealed")
	if got := m.gets("FR"); got != http.StatusOK {
		t.Errorf("after it was opened, France gets %d", got)
	}
}
