package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// contents are the files below a folder, with what is in them.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		all[name] = string(text)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// explained is what a gateway says of what each client gets, without how it counts it.
func (g *ledgerGateway) explained() string {
	g.t.Helper()
	var all strings.Builder
	for _, country := range []string{"FR", "GF", "DE", "IT", "ES"} {
		all.WriteString(g.mustRun("explain", clients[country], "--at", "2030-01-01T00:00:00Z").out)
	}
	return all.String()
}

func (g *ledgerGateway) markets() string {
	g.t.Helper()
	var all strings.Builder
	for _, m := range g.status().Markets {
		fmt.Fprintln(&all, m.Jurisdiction, m.Phase, m.Since)
	}
	return all.String()
}

// backUp writes a backup, and says what is in it.
func (g *ledgerGateway) backUp(name string) gateway.BackedUp {
	g.t.Helper()
	var done gateway.BackedUp
	if err := json.Unmarshal([]byte(g.mustRun("backup", name, "--json").out), &done); err != nil {
		g.t.Fatal(err)
	}
	return done
}

// Issue 15, number 3.
func TestABackupThatIsMadeUnderLoadIsRestoredOnAnotherMachine(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.restart()
	m.setPhase("FR", policy.Withdrawn, "by law")
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() { // until enough backups were made
		defer close(ended)
		for i := 0; i%2 == 1 || !stop.Load(); i++ { // at last it is open
			c := toggle{country: "DE", phase: []policy.Phase{policy.Withdrawn, policy.Open}[i%2], because: fmt.Sprint("load ", i), key: fmt.Sprint("load-", i)}
			err := m.planToggle(&c)
			if err == nil {
				_, err = m.toggleMarket(c)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	var last gateway.BackedUp
	name := m.file("backup.tar")
	for range 5 {
		before := m.status().Revision
		last = m.backUp(name)
		if last.Ledger == nil || last.Ledger.Number < before || last.Ledger.Records != int(last.Ledger.Number) || !last.Embedded {
			t.Errorf("after revision %d, the backup has %+v", before, last.Ledger)
		}
	}
	stop.Store(true)
	<-ended
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	for _, f := range last.Files {
		if strings.HasPrefix(f.Name, "self-signed") || strings.HasPrefix(f.Name, "ledger/") || f.Name == "admin.sock" {
			t.Errorf("it has %s", f.Name)
		}
	}
	m.setPhase("DE", policy.Withdrawn, "at rest")
	final := m.backUp(name)
	markets, explained, log := m.markets(), m.explained(), m.mustRun("log", "--limit", "100", "--json").out

	other := newLedgerGateway(t)
	other.geo = m.geo
	var restored gateway.Restored
	if err := json.Unmarshal([]byte(other.mustRun("restore", name, "--json").out), &restored); err != nil {
		t.Fatal(err)
	}
	if !restored.LedgerMade || restored.Replaced != "" || *restored.Ledger != *final.Ledger {
		t.Errorf("restored is %+v", restored)
	}
	other.restart()
	other.expectVerified(final.Ledger.Records)
	if now := other.mustRun("log", "--limit", "100", "--json").out; now != log {
		t.Errorf("the log is\n%s\nand was\n%s", now, log)
	}
	if now := other.markets(); now != markets {
		t.Errorf("the markets are\n%s\nand were\n%s", now, markets)
	}
	if now := other.explained(); now != explained {
		t.Errorf("explained is\n%s\nand was\n%s", now, explained)
	}
	for country, want := range map[string]int{"FR": 451, "DE": 451, "IT": 200} {
		if got := other.gets(country); got != want {
			t.Errorf("%s gets %d", country, got)
		}
	}
	other.setPhase("IT", policy.Withdrawn, "there, too")

	// While it runs, and where it has come further, nothing is put over it.
	if refused := other.runCommand("restore", name); refused.code != exitFailed || !strings.Contains(refused.err, "stop it first") {
		t.Errorf("while it runs: %d %s", refused.code, refused.text())
	}
	other.stop()
	here := contents(t, other.file("data"))
	if refused := other.runCommand("restore", name); refused.code != exitRefused || !strings.Contains(refused.err, "older than what is known here") {
		t.Errorf("it has come further: %d %s", refused.code, refused.text())
	}
	if diff := cmp.Diff(here, contents(t, other.file("data"))); diff != "" {
		t.Errorf("%s there is (-before +now):\n%.2000s", "after it was refused", diff)
	}
	older := other.mustRun("restore", name, "--older", "--json").out
	if err := json.Unmarshal([]byte(older), &restored); err != nil {
		t.Fatal(err)
	}
	if kept := contents(t, restored.Replaced); kept[filepath.Join(restored.Replaced, "records.log")] != here[other.data("records.log")] {
		t.Errorf("what was there isn't in %q", restored.Replaced)
	}
	other.restart()
	other.expectVerified(final.Ledger.Records)
	if got := other.gets("IT"); got != http.StatusOK {
		t.Errorf("Italy gets %d by the older one", got)
	}
	other.stop()
}

// Issue 15, number 3: 20 in CI.
func TestABackupThatIsCutAtAnyByteIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.restart()
	m.setPhase("FR", policy.Withdrawn, "by law")
	name := m.file("backup.tar")
	m.backUp(name)
	m.stop()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, m.file("data"))
	cut := m.file("cut.tar")
	fresh := m.file("fresh")
	for range 20 {
		at := rand.IntN(len(whole))
		testkit.ReplaceFile(t, cut, string(whole[:at]))
		for _, folder := range []string{m.file("data"), fresh} {
			refused := m.runCommand("restore", cut, "--older", "--data", folder)
			if refused.code != exitFailed || !strings.Contains(refused.err, "cut off or changed") {
				t.Fatalf("cut at %d of %d: %d %s", at, len(whole), refused.code, refused.text())
			}
		}
	}
	if diff := cmp.Diff(before, contents(t, m.file("data"))); diff != "" {
		t.Errorf("%s there is (-before +now):\n%.2000s", "after 20 were refused", diff)
	}
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a new folder is there: %v", err)
	}
	if checked := m.mustRun("restore", name, "--check").out; !strings.Contains(checked, "is whole") {
		t.Errorf("the whole one: %s", checked)
	}
	m.mustRun("restore", name) // it has all that is known
	m.restart()
	m.expectVerified(2)
	m.stop()
}

func TestARestoreThatWasInterruptedIsUndoneBeforeTheNextAndNoGatewayStarts(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.restart()
	m.setPhase("FR", policy.Withdrawn, "by law")
	name := m.file("backup.tar")
	m.backUp(name)
	m.stop()
	// As if the machine had stopped when the state was there, and the records weren't.
	for _, folder := range []string{"restore-1.unfinished", "replaced-1"} {
		if err := os.Mkdir(m.data(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"ledger": "replaced-1/ledger", "ledger.json": "replaced-1/ledger.json", "records.log": "replaced-1/records.log"} {
		if err := os.Rename(m.data(from), m.data(to)); err != nil {
			t.Fatal(err)
		}
	}
	testkit.ReplaceFile(t, m.data("ledger.json"), "half of it")
	testkit.ReplaceFile(t, m.data("restore-1.unfinished/records.log"), "the other half")
	testkit.ReplaceFile(t, m.data("restore-under-way"), `{"staging":"restore-1.unfinished","replaced":"replaced-1","placed":["ledger.json","records.log"]}`)

	if m.run() {
		t.Fatal("a gateway starts")
	}
	m.says("its log", m.log.String(), "was restored in part only")
	if refused := m.runCommand("backup", m.file("half.tar")); refused.code != exitFailed || !strings.Contains(refused.err, "in part only") {
		t.Errorf("a backup of it: %d %s", refused.code, refused.text())
	}
	m.mustRun("restore", name)
	for _, left := range []string{"restore-1.unfinished", "replaced-1", "restore-under-way"} {
		if _, err := os.Stat(m.data(left)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", left, err)
		}
	}
	m.restart()
	m.expectVerified(2)
	m.stop()
}

func TestAGatewayWithAPolicyFileIsBackedUpAndRestored(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.source = ""
	m.revise("jurisdictions: {FR: withdrawn}\n")
	m.restart()
	name := m.file("backup.tar")
	if done := m.backUp(name); done.Ledger != nil || done.Embedded {
		t.Errorf("it has a ledger: %+v", done.Ledger)
	}
	m.stop()
	fresh := m.file("fresh")
	if out := m.mustRun("restore", name, "--data", fresh).out; !strings.Contains(out, "no ledger in it") {
		t.Errorf("it says %s", out)
	}
	for _, file := range []string{"last-good-policy.yaml", "steps.json", "schedule.json"} {
		was, err := os.ReadFile(m.data(file))
		is, failed := os.ReadFile(filepath.Join(fresh, file))
		if err != nil || failed != nil || string(was) != string(is) {
			t.Errorf("%s: %v %v", file, err, failed)
		}
	}
}

func TestTheLedgerIsExportedAsLinesOfJSON(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.start()
	m.setPhase("FR", policy.Withdrawn, "by law & order")
	m.setPhase("DE", policy.Withdrawn, "there, too")
	var page api.Log
	if err := m.ask("GET", "/v1/log", nil, &page); err != nil {
		t.Fatal(err)
	}
	lines, last := bufio.NewScanner(strings.NewReader(m.mustRun("ledger", "export").out)), ""
	lines.Buffer(nil, 16<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var line struct {
			Number               uint64
			Author, Reason, Kind string
			Previous, Hash       string
			Body                 json.RawMessage
			BodyText             string `json:"body-text"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		logged := page.Records[len(page.Records)-1-n]
		if line.Number != logged.Number || line.Hash != logged.Hash || line.Reason != logged.Because || last != "" && line.Previous != last || len(line.Body)+len(line.BodyText) == 0 {
			t.Errorf("line %d is %+v, the log has %+v", n, line, logged)
		}
		last = line.Hash
	}
	if n != 3 {
		t.Errorf("there are %d lines", n)
	}
	if some := m.mustRun("ledger", "export", "--after", "2").out; strings.Count(some, "\n") != 1 || !strings.HasPrefix(some, `{"number":3,`) {
		t.Errorf("behind the second: %s", some)
	}
}
