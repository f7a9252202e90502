//go:build integration

package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// disk gives a machine a data folder on a disk of its own, of a few megabytes,
// and returns what makes it read-only or not; where none can be mounted, the
// test is skipped.
func (g *ledgerGateway) disk(size string) (readOnly func(bool)) {
	g.t.Helper()
	folder := g.file("data")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		g.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		if os.Getenv("CI") != "" && os.Geteuid() == 0 {
			g.t.Fatal(err)
		}
		g.t.Skip("no disk can be mounted here: ", err)
	}
	g.t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			g.t.Error(err)
		}
	})
	return func(is bool) {
		g.t.Helper()
		flags := uintptr(syscall.MS_REMOUNT)
		if is {
			flags |= syscall.MS_RDONLY
		}
		if err := syscall.Mount("", folder, "", flags, ""); err != nil {
			g.t.Fatal(err)
		}
	}
}

// fillDisk takes all room that is left on the disk of the data folder.
func (g *ledgerGateway) fillDisk() {
	g.t.Helper()
	f, err := os.Create(g.data("filler"))
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func (g *ledgerGateway) freeDisk() {
	g.t.Helper()
	g.loses("filler")
}

// A diskWriter withdraws and opens Germany by turns, and keeps account of what was
// acknowledged.
type diskWriter struct {
	*ledgerGateway
	made  int
	acked []string
}

// write makes a change.
func (w *diskWriter) write() error {
	w.t.Helper()
	w.made++
	c := toggle{country: "DE", phase: policy.Withdrawn, because: fmt.Sprint("change ", w.made), key: fmt.Sprint("key-", w.made)}
	if len(w.acked)%2 == 1 {
		c.phase = policy.Open
	}
	err := w.planToggle(&c)
	if err == nil {
		_, err = w.toggleMarket(c)
	}
	if err == nil {
		w.acked = append(w.acked, c.because)
	}
	return err
}

// expectFailure makes changes until one isn't possible, and looks at why.
func (w *diskWriter) expectFailure(words ...string) {
	w.t.Helper()
	var err error
	for range 200 {
		if err = w.write(); err != nil {
			break
		}
	}
	var problem *api.Problem
	if !errors.As(err, &problem) || problem.Code != "ledger-unavailable" || problem.Status != http.StatusServiceUnavailable {
		w.t.Fatalf("the error of a change is %#v", err)
	}
	w.t.Log(err)
	w.says("the error of a change", err.Error(), append(words, "nothing was changed")...)
}

// expectAllKept holds the log against what was acknowledged.
func (w *diskWriter) expectAllKept() {
	w.t.Helper()
	var written []string
	for _, r := range w.history() {
		if r.Kind == changes.RevisionMade && strings.HasPrefix(r.Because, "change ") {
			written = append(written, r.Because)
		}
	}
	if !slices.Equal(written, w.acked) {
		w.t.Errorf("the log has\n%q, and what was acknowledged is\n%q", written, w.acked)
	}
	w.expectVerified(len(w.acked) + 2)
	w.expectDecisions()
}

// expectDecisions holds what clients get against what was acknowledged.
func (w *diskWriter) expectDecisions() {
	w.t.Helper()
	want := map[string]int{"FR": http.StatusUnavailableForLegalReasons, "IT": http.StatusOK, "DE": http.StatusOK}
	if len(w.acked)%2 == 1 {
		want["DE"] = http.StatusUnavailableForLegalReasons
	}
	for country, status := range want {
		if got := w.gets(country); got != status {
			w.t.Errorf("after %d changes, %s gets %d, want %d", len(w.acked), country, got, status)
		}
	}
}

// waitRecovered makes changes as soon as they are possible again.
func (w *diskWriter) waitRecovered() {
	w.t.Helper()
	testkit.Eventually(w.t, "changes are possible again", func() bool { return w.write() == nil })
	if err := w.write(); err != nil {
		w.t.Error(err)
	}
	w.expectAllKept()
	testkit.Eventually(w.t, "nothing is wrong any more", func() bool {
		return w.ready("ledger") && !strings.Contains(w.getAdmin("/readyz").body, "ledger kept")
	})
}

const roomAdvice = "make room in the data folder"

// TestChangesFailWhileTheDiskIsFullAndDecisionsGoOn fills it while the gateway
// runs, and before it starts.
func TestChangesFailWhileTheDiskIsFullAndDecisionsGoOn(t *testing.T) {
	t.Parallel()
	w := &diskWriter{ledgerGateway: newLedgerGateway(t)}
	w.disk("8m")
	w.restart()
	w.setPhase("FR", policy.Withdrawn, "by law")
	for _, end := range []func(){w.kill, w.stop} {
		w.fillDisk()
		w.expectFailure(syscall.ENOSPC.Error(), w.file("data"))
		w.expectDecisions()
		status := w.runCommand("status")
		w.says("exitgate status", strings.Join(strings.Fields(status.text()), " "), syscall.ENOSPC.Error(), roomAdvice)
		w.freeDisk()
		w.waitRecovered()

		w.fillDisk()
		w.expectFailure(syscall.ENOSPC.Error(), w.file("data"))
		end()
		w.client.CloseIdleConnections()
		w.api.CloseIdleConnections()
		w.restart()
		w.expectDecisions()
		w.expectFailure(w.file("data"))
		w.expectDecisions()
		w.freeDisk()
		w.waitRecovered()
	}
	w.stop()
}

// TestAFileThatCantGrowStopsChangesAndNoDecision needs no disk to be mounted.
func TestAFileThatCantGrowStopsChangesAndNoDecision(t *testing.T) {
	t.Parallel()
	w := &diskWriter{ledgerGateway: newLedgerGateway(t)}
	w.restart()
	w.setPhase("FR", policy.Withdrawn, "by law")
	w.stop()
	w.limit = "64" // of 512 bytes
	w.restart()
	w.expectFailure("file too large", w.data(stored))
	w.expectDecisions()
	w.kill()
	w.client.CloseIdleConnections()
	w.api.CloseIdleConnections()
	w.limit = ""
	w.start()
	w.waitRecovered()
}

// TestADataFolderThatCantBeWrittenIsSaidToBe makes it read-only while the
// gateway runs, and before it starts.
func TestADataFolderThatCantBeWrittenIsSaidToBe(t *testing.T) {
	t.Parallel()
	w := &diskWriter{ledgerGateway: newLedgerGateway(t)}
	readOnly := w.disk("8m")
	w.restart()
	w.setPhase("FR", policy.Withdrawn, "by law")
	if err := w.write(); err != nil {
		t.Fatal(err)
	}
	w.stop()

	readOnly(true)
	w.restart()
	w.expectDecisions()
	if ready := w.getAdmin("/readyz"); ready.status != http.StatusOK {
		t.Errorf("it isn't ready: %s", ready.body)
	} else {
		w.says("/readyz", unquoted(ready.body), "read-only file system", w.file("data"))
	}
	w.says("the log", w.log.String(), "serving by the last revision that was saved", "read-only file system", w.data("ledger"), w.data("admin.sock"), "let the gateway write to it")
	if _, err := os.Stat(w.data("admin.sock")); err == nil {
		t.Error("there is a socket")
	}
	readOnly(false)
	testkit.Eventually(t, "the ledger can be written again", func() bool { return w.ready("ledger") })
	w.stop()
	w.start()
	w.waitRecovered()
}

// TestAWithdrawalIsMadeWhileTheDiskIsFull: issue 10, number 17.
func TestAWithdrawalIsMadeWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	g := newLedgerGateway(t)
	g.disk("20m")
	g.restart()
	if reserve := g.metric("exitgate_disk_reserve"); reserve != "1" {
		t.Fatalf("the reserve is %q", reserve)
	}
	g.setPhase("DE", policy.Withdrawn, "before")
	g.fillDisk()
	// Another change: for a comment nothing is given up.
	comment := filepath.Join(t.TempDir(), "policy.yaml")
	testkit.WriteFile(t, comment, "version: 1\njurisdictions: {DE: withdrawn}\n"+strings.Repeat("# a comment\n", 20_000))
	if said := g.runCommand("apply", comment, "--because", "I can."); said.code != exitFailed {
		t.Errorf("on a full disk a comment is applied: %d %s", said.code, said.text())
	}
	g.setPhase("FR", policy.Withdrawn, "by law")
	if got := g.gets("FR"); got != http.StatusUnavailableForLegalReasons {
		t.Errorf("France gets %d", got)
	}
	if reserve := g.metric("exitgate_disk_reserve"); reserve != "0" {
		t.Errorf("the reserve is %q", reserve)
	}
	g.says("/readyz", g.getAdmin("/readyz").body, roomAdvice)
	g.kill()
	g.client.CloseIdleConnections()
	g.api.CloseIdleConnections()
	g.restart()
	if got := g.gets("FR"); got != http.StatusUnavailableForLegalReasons {
		t.Errorf("after a restart, France gets %d", got)
	}
	g.expectVerified(3)
	g.freeDisk()
	testkit.Eventually(t, "the reserve is made again", func() bool { return g.metric("exitgate_disk_reserve") == "1" })
	g.stop()
}
