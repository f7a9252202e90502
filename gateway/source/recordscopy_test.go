package source

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// expectCopied waits until the copy of a machine has these numbers.
func (m *machine) expectCopied(want ...uint64) {
	m.t.Helper()
	testkit.Eventually(m.t, "the copy has the records", func() bool {
		a, _, err := ledger.ReadArchive(m.dir.Records())
		if err != nil {
			return false
		}
		defer a.Close()
		return a.Last().Number == want[len(want)-1]
	})
	a, _, err := ledger.ReadArchive(m.dir.Records())
	if err != nil {
		m.t.Fatal(err)
	}
	defer a.Close()
	var got []uint64
	for r, err := range a.Records() {
		if err != nil {
			m.t.Fatal(err)
		}
		if r.Hash != m.stream.records[r.Number-1].Hash {
			m.t.Errorf("record %d in the copy isn't that of the ledger", r.Number)
		}
		got = append(got, r.Number)
	}
	if len(got) != len(want) {
		m.t.Errorf("the copy has %v, want %v", got, want)
	}
}

// Issue 10, number 18.
func TestEachRecordIsInTheCopyWhenAChangeIsReportedAsDone(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	stop := m.run(r)
	m.write(r, withdrawn)
	if last := r.copiedLast(); last != 2 {
		t.Errorf("the copy ends with %d", last)
	}
	m.expectCopied(1, 2)

	// One that is lost, or was never there, is filled.
	stop()
	r.Close()
	if err := os.Remove(m.dir.Records()); err != nil {
		t.Fatal(err)
	}
	r = m.mustStart()
	m.run(r)
	m.expectCopied(1, 2)
	m.write(r, wider)
	m.expectCopied(1, 2, 3)
	if err := r.SaveError(); err != nil {
		t.Error(err)
	}
}

func TestWhileTheLedgerIsAwayTheLogIsReadFromTheCopy(t *testing.T) {
	m := newMachine(t, newStream())
	m.remote = true
	r := m.mustStart()
	stop := m.run(r)
	m.write(r, withdrawn)
	stop()
	m.stream.fail(errors.New("gone"))
	if got, err := r.Record(t.Context(), 1); err != nil || got.Hash != m.stream.records[0].Hash.String() {
		t.Errorf("record 1 is %v, %v", got, err)
	}
	var numbers []uint64
	if _, err := r.Records(t.Context(), 0, func(record Record) bool { numbers = append(numbers, record.Number); return true }); err != nil || len(numbers) != 2 || numbers[0] != 2 {
		t.Errorf("the log is %v, %v", numbers, err)
	}
	if v, err := r.Verify(t.Context()); err != nil || v.Unread == nil || v.Damaged || v.Records != 2 || v.Last.Number != 2 || v.Invalid != nil {
		t.Errorf("it is verified as %+v, %v", v, err)
	}
	m.stream.fail(nil)
	if v, err := r.Verify(t.Context()); err != nil || v.Unread != nil {
		t.Errorf("when it is back, it is verified as %+v, %v", v, err)
	}
}

func TestALedgerThatDiffersFromTheCopyIsToldAndTheCopyStays(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	stop := m.run(r)
	m.write(r, withdrawn)
	stop()
	r.Close()
	content, err := os.ReadFile(m.dir.Records())
	if err != nil {
		t.Fatal(err)
	}
	// Somebody writes a history of their own, and removes what would show it.
	m.stream = newStream()
	first := newMachine(t, m.stream)
	w := first.mustStart()
	first.run(w)
	first.write(w, wider)
	if err := errors.Join(os.Remove(m.dir.Replica()), m.dir.WriteLastGood([]byte(wider))); err != nil {
		t.Fatal(err)
	}
	r = m.mustStart()
	m.run(r)
	testkit.Eventually(t, "it is told", func() bool { return r.Connection().Differing > 0 })
	if now, err := os.ReadFile(m.dir.Records()); err != nil || string(now) != string(content) {
		t.Errorf("the copy was changed: %v", err)
	}
}

func TestALedgerThatIsLostIsNotBegunAnewWhereThereIsACopy(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	m.run(r)
	m.write(r, withdrawn)
	r.Close()
	if err := os.Remove(m.dir.Replica()); err != nil {
		t.Fatal(err)
	}
	m.stream = newStream()
	_, err := m.start()
	expectCode(t, err, changes.Unavailable)
	if err == nil || !strings.Contains(err.Error(), m.dir.Records()) || len(m.stream.records) != 0 {
		t.Errorf("it begins with %v, %v", m.stream.records, err)
	}
}

func TestACopyThatCantBeWrittenStopsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, newStream())
		if err := os.Mkdir(m.dir.Records(), 0o700); err != nil {
			t.Fatal(err)
		}
		r := m.mustStart()
		stop := m.run(r)
		m.write(r, withdrawn)
		if err := r.SaveError(); err == nil || !strings.Contains(err.Error(), m.dir.Records()) {
			t.Errorf("the error is %v", err)
		}
		m.expectApplied(open, withdrawn)
		if err := os.Remove(m.dir.Records()); err != nil {
			t.Fatal(err)
		}
		m.write(r, wider)
		m.expectCopied(1, 2, 3)
		testkit.Eventually(t, "nothing is wrong any more", func() bool { return r.SaveError() == nil })
		stop()
		r.Close()
	})
}
