package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// Issue 11, number 9: a file of evidence says what was in force, and is checked where
// no gateway is.
func TestEvidenceIsCheckedWithoutAGateway(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m.clock = m.file("clock")
	testkit.ReplaceFile(t, m.clock, begin.Format(time.RFC3339))
	m.restart()
	m.apply(fmt.Sprintf("version: 1\njurisdictions:\n  IT: {schedule: [{from: %s, phase: announced}]}\n", begin.Add(time.Hour).Format(time.RFC3339)), "an exit")
	testkit.ReplaceFile(t, m.clock, begin.Add(time.Hour).Format(time.RFC3339))
	m.expectTook(changes.StepTaken)

	file, page := m.file("italy.json"), m.file("italy.html")
	written := m.mustRun("evidence", "IT", "--out", file, "--html", page)
	if again := m.runCommand("evidence", "IT", "--out", file); again.code != exitFailed || !strings.Contains(again.err, "is there already") {
		t.Errorf("it was written over: %+v", again)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out := m.mustRun("evidence", "IT", "--to", begin.Add(time.Hour).Format(time.RFC3339)).out; len(readEvidence(t, []byte(out)).Says.Took) != 1 {
		t.Errorf("on standard output there is:\n%s", out)
	}
	f := readEvidence(t, text)
	if s := f.Says; len(s.Revisions) != 2 || len(s.Phases) != 2 || len(s.Took) != 1 || !s.Took[0].Took.Equal(begin.Add(time.Hour)) {
		t.Errorf("it says %+v", s)
	}
	last := m.mustRun("log", "-v", "--limit", "1").out
	if !strings.Contains(written.out, f.Head.Hash.String()) || !strings.Contains(last, f.Head.Hash.String()) {
		t.Errorf("the hash is %s, not that of\n%s%s", f.Head.Hash, written.out, last)
	}
	if shown, err := os.ReadFile(page); err != nil || !bytes.Contains(shown, []byte(f.Head.Hash.String())) {
		t.Errorf("the page: %v", err)
	}

	m.stop()
	if valid := m.mustRun("log", "--verify", file).out; !strings.Contains(valid, f.Head.Hash.String()) || !strings.Contains(valid, "It doesn't prove") {
		t.Errorf("it says\n%s", valid)
	}
	testkit.WriteFile(t, file, strings.Replace(string(text), "an exit", "no exit", 1))
	changed := m.runCommand("log", "--verify", file, "--json")
	var report struct {
		OK    bool
		Wrong []struct{ Number uint64 }
	}
	if err := json.Unmarshal([]byte(changed.out), &report); err != nil || changed.code != exitFailed || report.OK || len(report.Wrong) != 1 || report.Wrong[0].Number != 2 {
		t.Errorf("what was changed: %v, %+v", err, changed)
	}
	if changed := m.runCommand("log", "--verify", file); changed.code != exitFailed || !strings.Contains(changed.out, "record 2: it was changed") {
		t.Errorf("what was changed: %+v", changed)
	}
	testkit.WriteFile(t, file, string(text[:len(text)/2]))
	if half := m.runCommand("log", "--verify", file); half.code != exitFailed || !strings.Contains(half.err, "isn't a file of exitgate evidence") {
		t.Errorf("half of it: %+v", half)
	}
	if none := m.runCommand("evidence", "IT"); none.code != exitFailed {
		t.Errorf("without a gateway: %+v", none)
	}
}

func readEvidence(t *testing.T, text []byte) evidence.File {
	t.Helper()
	f, err := evidence.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
