package source

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

func TestAnEmptyLedgerBeginsWithAPolicyThatServesEverywhere(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	m.expectApplied(open)
	if n := r.State().Revision().Number; n != 1 || len(m.news) != 1 {
		t.Errorf("it is revision %d, and told of %v", n, m.news)
	}
}

func TestAnEmptyLedgerBeginsWithTheLastGoodPolicyOfTheMachine(t *testing.T) {
	m := newMachine(t, newStream())
	if err := m.dir.WriteLastGood([]byte(withdrawn)); err != nil {
		t.Fatal(err)
	}
	m.mustStart()
	m.expectApplied(withdrawn)

	broken := newMachine(t, newStream())
	if err := broken.dir.WriteLastGood([]byte("version: 1\nnonsense: 1\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := broken.start(); err == nil || len(broken.stream.records) != 0 {
		t.Errorf("with one that can't be read it begins with %v, %v", broken.stream.records, err)
	}
}

func TestAWriteIsAppliedAndSavedWhenItReturns(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	stop := m.run(r)
	if written := m.write(r, withdrawn); written.Number != 2 || r.State().Revision().Number != 2 {
		t.Errorf("written is record %d, in force is revision %d", written.Number, r.State().Revision().Number)
	}
	m.expectApplied(open, withdrawn)
	stop()
	r.Close()
	if !m.client.closed {
		t.Error("the ledger isn't closed")
	}

	m.stream.fail(errors.New("gone"))
	m.remote = true
	r = m.mustStart()
	m.expectApplied(withdrawn)
	if c := r.Connection(); c.Connected || c.Last != 2 || c.Why != "gone" {
		t.Errorf("the connection is %+v", c)
	}
	_, err := r.Write(t.Context(), propose(open))
	expectCode(t, err, changes.Unavailable)
	if m.client.appends != 0 {
		t.Error("somebody is kept waiting for a ledger that has been out of reach for an hour")
	}
	_, err = r.Record(t.Context(), 3)
	expectCode(t, err, changes.Unavailable)
}

// In a cluster nobody writes what the oldest gateway present can't read.
func TestNothingIsWrittenThatAGatewayPresentCantRead(t *testing.T) {
	m := newMachine(t, newStream())
	m.remote = true
	r := m.mustStart()
	m.run(r)
	newer := func(changes.State) (changes.Draft, error) {
		return changes.Draft{Kind: "vote", Author: "ada", Body: []byte(`{"format":2}`)}, nil
	}
	last := [][]byte{[]byte("1"), []byte("1")}
	m.peers.setAnswers(map[string][][]byte{"last": last, "format": {[]byte("2")}})
	_, err := r.Write(t.Context(), newer) // the other doesn't say
	expectCode(t, err, changes.Conflict)
	m.peers.setAnswers(map[string][][]byte{"last": last, "format": {[]byte("2"), []byte("2")}})
	if _, err := r.Write(t.Context(), newer); err != nil || r.State().Unknown() != 1 {
		t.Errorf("%v, %d unknown", err, r.State().Unknown())
	}
}

// What an earlier version has skipped is known after an upgrade, also with the ledger
// out of reach; where the copy isn't whole it stays unknown, and nothing else is lost.
func TestRecordsThatAnEarlierVersionSkippedAreReadAgain(t *testing.T) {
	for name, copied := range map[string]bool{"the copy is whole": true, "there is no copy": false} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, newStream())
			m.remote = true
			r := m.mustStart()
			stop := m.run(r)
			m.write(r, withdrawn)
			ada := changes.Principal{Name: "ada", Roles: []changes.Role{changes.Viewer}}
			if _, err := r.Write(t.Context(), func(s changes.State) (changes.Draft, error) {
				return s.SetPrincipal(s.ByUser("root"), ada, "A test.", changes.Request{}, moment)
			}); err != nil {
				t.Fatal(err)
			}
			m.expectCopied(1, 2, 3)
			stop()
			r.Close()

			// As if the kind of record 3 had been new to who kept this.
			var saved savedState
			text, err := m.dir.ReadReplica()
			if err == nil {
				err = json.Unmarshal(text, &saved)
			}
			var state map[string]any
			if err == nil {
				err = json.Unmarshal(saved.State, &state)
			}
			delete(state, "principals")
			state["unknown"], state["format"] = 1, changes.Format-1
			if err == nil {
				saved.State, err = json.Marshal(state)
			}
			if err == nil {
				text, err = json.Marshal(saved)
			}
			if err == nil {
				err = m.dir.WriteReplica(text)
			}
			if err == nil && !copied {
				err = os.Remove(m.dir.Records())
			}
			if err != nil {
				t.Fatal(err)
			}

			m.stream.fail(errors.New("gone"))
			s := m.mustStart().State()
			m.expectApplied(withdrawn)
			if known := len(s.Principals()) == 1 && s.Unknown() == 0; known != copied || s.Last() != 3 {
				t.Errorf("up to record %d there are %v, and %d unknown", s.Last(), s.Principals(), s.Unknown())
			}
		})
	}
}

func TestAWriterThatWasTooLateDecidesAnew(t *testing.T) {
	s := newStream()
	first, second := newMachine(t, s), newMachine(t, s)
	one, two := first.mustStart(), second.mustStart()
	first.run(one)
	first.write(one, withdrawn)
	// Only now does the second see that: it decides by record 1 before.
	var seen []uint64
	decided := make(chan struct{}, 2)
	done := make(chan error)
	go func() {
		_, err := two.Write(t.Context(), func(state changes.State) (changes.Draft, error) {
			seen = append(seen, state.Revision().Number)
			decided <- struct{}{}
			return propose(wider)(state)
		})
		done <- err
	}()
	<-decided
	second.run(two)
	if err := <-done; err != nil || len(seen) != 2 || seen[0] != 1 || seen[1] != 2 {
		t.Errorf("it decided by revisions %v: %v", seen, err)
	}
	first.expectApplied(open, withdrawn, wider)
}

func TestOfMissedRevisionsOnlyTheLastIsApplied(t *testing.T) {
	s := newStream()
	away, writer := newMachine(t, s), newMachine(t, s)
	r := away.mustStart()
	w := writer.mustStart()
	writer.run(w)
	for _, source := range []string{withdrawn, open, wider} {
		writer.write(w, source)
	}
	away.run(r)
	away.expectApplied(open, wider)
	testkit.Eventually(t, "all are told of", func() bool { return r.State().Last() == 4 })
	away.engine.mu.Lock()
	if passed := away.engine.passed; len(passed) < 3 || !slices.Equal(passed[len(passed)-3:], []string{withdrawn, open, wider}) {
		t.Errorf("it was told of %q, by which nothing was decided", passed)
	}
	away.engine.mu.Unlock()

	late := newMachine(t, s)
	late.mustStart()
	late.expectApplied(wider)
}

func TestAnInvalidRecordIsSkippedAndRemembered(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	stop := m.run(r)
	m.stream.append(ledger.Content{Kind: string(changes.RevisionMade), Author: "mallory", Body: []byte("nonsense")})
	written := m.write(r, withdrawn)
	m.expectApplied(open, withdrawn)
	if len(m.engine.failures) != 1 || written.Number != 3 {
		t.Errorf("failures are %v; the next is record %d", m.engine.failures, written.Number)
	}
	check := func(r *Replica) {
		t.Helper()
		var invalid []uint64
		next, err := r.Records(t.Context(), 0, func(record Record) bool {
			if record.Invalid != "" {
				invalid = append(invalid, record.Number)
			}
			return true
		})
		if err != nil || next != 0 || len(invalid) != 1 || invalid[0] != 2 {
			t.Errorf("invalid are %v; then %d, %v", invalid, next, err)
		}
	}
	check(r)
	v, err := r.Verify(t.Context())
	if err != nil || v.Records != 2 || v.Last.Number != 3 || len(v.Invalid) != 1 || v.Invalid[0].Number != 2 {
		t.Errorf("it is verified as %+v, %v", v, err)
	}
	stop()
	r.Close()
	check(m.mustStart())
}

func TestADamagedStateIsMadeUpForByTheLedgerOrEndsTheStart(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	stop := m.run(r)
	m.write(r, withdrawn)
	stop()
	r.Close()
	damage := func() {
		t.Helper()
		if err := os.WriteFile(m.dir.Replica(), []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	if err := m.dir.WriteLastGood([]byte(withdrawn)); err != nil {
		t.Fatal(err)
	}
	m.mustStart()
	m.expectApplied(withdrawn)

	damage()
	m.stream.append(ledger.Content{Kind: string(changes.RevisionMade), Author: "mallory", Body: []byte("nonsense")})
	if _, err := m.start(); err == nil {
		t.Error("it starts with a ledger whose newest record is invalid")
	}
	damage()
	if err := os.Remove(m.dir.Records()); err != nil {
		t.Fatal(err)
	}
	m.stream = newStream()
	if _, err := m.start(); err == nil || !strings.Contains(err.Error(), m.dir.Replica()) || len(m.stream.records) != 0 {
		t.Errorf("with a ledger that is empty it starts with %v, %v", m.stream.records, err)
	}
}

func TestALedgerThatEndsBeforeTheLastPolicyEndsTheStart(t *testing.T) {
	s := newStream()
	newMachine(t, s).mustStart()
	m := newMachine(t, s)
	if err := m.dir.WriteLastGood([]byte(withdrawn)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.start(); err == nil || m.engine.Decides() {
		t.Errorf("it starts and applies %q", m.engine.policies())
	}
	if err := m.dir.WriteLastGood([]byte(open)); err != nil {
		t.Fatal(err)
	}
	m.mustStart()
	m.expectApplied(open)
}

func TestALedgerThatOpensWhatAFileWithdrewEndsTheStart(t *testing.T) {
	m := newMachine(t, newStream())
	m.mustStart().Close()
	lastUsed := func(source string) {
		t.Helper()
		if err := errors.Join(m.dir.WriteLastGood([]byte(source)), os.RemoveAll(m.dir.Schedule()), m.dir.WriteMoment(policy.Digest([]byte(source)), moment, "", "policy.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	lastUsed(withdrawn)
	if _, err := m.start(); err == nil || m.engine.Decides() {
		t.Errorf("it starts and applies %q", m.engine.policies())
	}
	// Issue 10, E: nor does a guarantee go in silence.
	lastUsed("version: 1\nguarantees: {end-to-end-encryption: {require: true}}\nflags: {end-to-end-encryption: {value: true}}\n")
	if _, err := m.start(); err == nil || m.engine.Decides() {
		t.Errorf("without the file's guarantee it starts and applies %q", m.engine.policies())
	}
	lastUsed(open)
	m.mustStart()
	m.expectApplied(open)

	// The same, of a ledger that this machine has never seen.
	lastUsed(withdrawn)
	if err := os.Remove(m.dir.Replica()); err != nil {
		t.Fatal(err)
	}
	m.remote = true
	m.mustStart()
	if m.engine.Decides() || !m.engine.closed {
		t.Errorf("it applies %q", m.engine.policies())
	}
}

func TestALedgerOutOfReachOnAnUnknownMachineServesNothingUntilItIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		newMachine(t, s).mustStart()
		m := newMachine(t, s)
		m.remote = true
		s.fail(errors.New("gone"))
		r := m.mustStart()
		if !m.engine.closed || m.engine.Decides() {
			t.Errorf("it applies %q", m.engine.policies())
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx)
		}()
		synctest.Wait()
		s.fail(nil)
		m.expectApplied(open)
		cancel()
		<-done
	})
}
