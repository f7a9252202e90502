package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
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
func (g *member) disk(size string) (readOnly func(bool)) {
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

// fills takes all room that is left on the disk of the data folder.
func (g *member) fills() {
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

func (g *member) makesRoom() {
	g.t.Helper()
	g.loses("filler")
}

// A writer withdraws and opens Germany by turns, and keeps account of what was
// acknowledged.
type writer struct {
	*member
	made  int
	acked []string
}

// writes makes a change.
func (w *writer) writes() error {
	w.t.Helper()
	w.made++
	c := toggle{country: "DE", phase: policy.Withdrawn, because: fmt.Sprint("change ", w.made), key: fmt.Sprint("key-", w.made)}
	if len(w.acked)%2 == 1 {
		c.phase = policy.Open
	}
	err := w.plansToggle(&c)
	if err == nil {
		_, err = w.toggles(c)
	}
	if err == nil {
		w.acked = append(w.acked, c.because)
	}
	return err
}

// fails makes changes until one isn't possible, and looks at why.
func (w *writer) fails(words ...string) {
	w.t.Helper()
	var err error
	for range 200 {
		if err = w.writes(); err != nil {
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

// accounts holds the log against what was acknowledged.
func (w *writer) accounts() {
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
	w.verifies(len(w.acked) + 2)
	w.decides()
}

// decides holds what clients get against what was acknowledged.
func (w *writer) decides() {
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

// recovers makes changes as soon as they are possible again.
func (w *writer) recovers() {
	w.t.Helper()
	testkit.Eventually(w.t, "changes are possible again", func() bool { return w.writes() == nil })
	if err := w.writes(); err != nil {
		w.t.Error(err)
	}
	w.accounts()
	testkit.Eventually(w.t, "nothing is wrong any more", func() bool {
		return w.ready("ledger") && !strings.Contains(w.operator("/readyz").body, "ledger kept")
	})
}

const roomAdvice = "make room in the data folder"

// TestChangesFailWhileTheDiskIsFullAndDecisionsGoOn fills it while the gateway
// runs, and before it starts.
func TestChangesFailWhileTheDiskIsFullAndDecisionsGoOn(t *testing.T) {
	t.Parallel()
	w := &writer{member: alone(t)}
	w.disk("8m")
	w.restart()
	w.sets("FR", policy.Withdrawn, "by law")
	for _, end := range []func(){w.kill, w.stop} {
		w.fills()
		w.fails("no space left on device", w.file("data"))
		w.decides()
		status := w.command("status")
		w.says("exitgate status", strings.Join(strings.Fields(status.all()), " "), "no space left on device", roomAdvice)
		w.makesRoom()
		w.recovers()

		w.fills()
		w.fails("no space left on device", w.file("data"))
		end()
		w.client.CloseIdleConnections()
		w.api.CloseIdleConnections()
		w.restart()
		w.decides()
		w.fails(w.file("data"))
		w.decides()
		w.makesRoom()
		w.recovers()
	}
	w.stop()
}

// TestAFileThatCantGrowStopsChangesAndNoDecision needs no disk to be mounted.
func TestAFileThatCantGrowStopsChangesAndNoDecision(t *testing.T) {
	t.Parallel()
	w := &writer{member: alone(t)}
	w.restart()
	w.sets("FR", policy.Withdrawn, "by law")
	w.stop()
	w.limit = "64" // of 512 bytes
	w.restart()
	w.fails("file too large", w.data(stored))
	w.decides()
	w.kill()
	w.client.CloseIdleConnections()
	w.api.CloseIdleConnections()
	w.limit = ""
	w.start()
	w.recovers()
}

// TestADataFolderThatCantBeWrittenIsSaidToBe makes it read-only while the
// gateway runs, and before it starts.
func TestADataFolderThatCantBeWrittenIsSaidToBe(t *testing.T) {
	t.Parallel()
	w := &writer{member: alone(t)}
	readOnly := w.disk("8m")
	w.restart()
	w.sets("FR", policy.Withdrawn, "by law")
	if err := w.writes(); err != nil {
		t.Fatal(err)
	}
	w.stop()

	readOnly(true)
	w.restart()
	w.decides()
	if ready := w.operator("/readyz"); ready.status != http.StatusOK {
		t.Errorf("it isn't ready: %s", ready.body)
	} else {
		w.says("/readyz", unquoted(ready.body), "read-only file system", w.file("data"))
	}
	w.says("the log", w.log.String(), "serving by the last revision that was kept", "read-only file system", w.data("ledger"), w.data("admin.sock"), "let the gateway write to it")
	if _, err := os.Stat(w.data("admin.sock")); err == nil {
		t.Error("there is a socket")
	}
	readOnly(false)
	testkit.Eventually(t, "the ledger can be written again", func() bool { return w.ready("ledger") })
	w.stop()
	w.start()
	w.recovers()
}
