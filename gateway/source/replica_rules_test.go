package source

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// Issue 10, E: changes of the replica's code that no other fast test noticed.

func TestAnotherGatewayMayBeginTheLedgerFirst(t *testing.T) {
	m := newMachine(t, newStream())
	m.peers.beforeAppend = func() { newMachine(t, m.stream).mustStart() }
	if r := m.mustStart(); len(m.stream.records) != 1 || r.State().Revision().Number != 1 {
		t.Errorf("the ledger begins with %v", m.stream.records)
	}
	m.expectApplied(open)
}

func TestALedgerThatIsReachedLaterIsBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, newStream())
		m.remote = true
		m.stream.fail(errors.New("gone"))
		r := m.mustStart()
		stop := m.run(r)
		m.stream.fail(nil)
		m.expectApplied(open)
		if len(m.stream.records) != 1 {
			t.Errorf("the ledger has %v", m.stream.records)
		}
		stop()
		r.Close()
	})
}

func TestEachRecordIsToldOnceWhenItIsInUseAndSaved(t *testing.T) {
	m := newMachine(t, newStream())
	var revisions []uint64
	m.onNews = func(number, revision uint64) {
		revisions = append(revisions, revision)
		var saved savedState
		text, err := m.dir.ReadReplica()
		if err == nil {
			err = json.Unmarshal(text, &saved)
		}
		if err != nil || saved.Point.Number < number {
			t.Errorf("record %d is told, and saved is %v, %v", number, saved.Point, err)
		}
	}
	r := m.mustStart()
	stop := m.run(r)
	m.write(r, withdrawn)
	m.stream.append(ledger.Content{Kind: string(changes.RevisionMade), Author: "mallory", Body: []byte("nonsense")})
	m.stream.append(ledger.Content{Kind: "vote", Author: "ada", Body: []byte(`{"format":2}`)})
	m.write(r, wider)
	stop()
	if !slices.Equal(m.news, []uint64{1, 2, 4, 5}) || !slices.Equal(revisions, []uint64{1, 2, 2, 5}) {
		t.Errorf("told are %v, with the revisions %v", m.news, revisions)
	}
	m.expectApplied(open, withdrawn, wider)
}

func TestWhatOthersHaveSeenIsAskedForWhereNothingIsKnown(t *testing.T) {
	s := newStream()
	newMachine(t, s).mustStart()
	m := newMachine(t, s)
	m.peers.answers = map[string][][]byte{"last": {[]byte("nonsense"), []byte("7")}, "traffic": {[]byte("theirs")}}
	m.peers.queryErr = errors.New("not asked")
	if r := m.mustStart(); m.peers.expected != 0 || r.Kind() != KindLedger { // nobody else has it
		t.Errorf("a ledger in the process is to have %d records, and is a %s", m.peers.expected, r.Kind())
	} else if got, err := r.QueryTraffic(t.Context()); got != nil || err != nil {
		t.Errorf("others' traffic is %q, %v", got, err)
	}

	m = newMachine(t, s)
	m.remote = true
	m.peers.queryErr = errors.New("not asked")
	if m.mustStart(); m.engine.Decides() {
		t.Error("it goes by a ledger of which nobody could be asked")
	}
	m = newMachine(t, s)
	m.remote = true
	m.peers.answers = map[string][][]byte{"last": {[]byte("nonsense"), []byte("7")}, "traffic": {[]byte("theirs")}}
	r := m.mustStart()
	if m.peers.expected != 7 || r.Kind() != KindNATS {
		t.Errorf("the ledger is to have %d records, and is a %s", m.peers.expected, r.Kind())
	}
	if got, err := r.QueryTraffic(t.Context()); len(got) != 1 || err != nil {
		t.Errorf("others' traffic is %q, %v", got, err)
	}
	for topic, want := range map[string]string{"last": "1", "format": "1", "traffic": "traffic"} {
		if answer := m.client.responses[topic]; answer == nil || topic != "format" && string(answer(t.Context(), nil)) != want {
			t.Errorf("it doesn't answer %s, or not with %s", topic, want)
		}
	}
}

func TestALedgerThatCantBeAnsweredOnIsClosed(t *testing.T) {
	m := newMachine(t, newStream())
	m.peers.respondErr = errors.New("no")
	if _, err := m.start(); err == nil || !m.client.closed {
		t.Errorf("the error is %v", err)
	}
}

func TestAnUnusableStreamEndsTheStartOfAnUnknownMachine(t *testing.T) {
	m := newMachine(t, newStream())
	m.remote = true
	m.stream.fail(ledger.ErrStream)
	if _, err := m.start(); !errors.Is(err, ledger.ErrStream) || m.engine.closed {
		t.Errorf("the error is %v", err)
	}
}

func TestAHistoryThatIsReadInPartIsNotGoneBy(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	stop := m.run(r)
	m.write(r, withdrawn)
	stop()
	late := newMachine(t, m.stream)
	late.peers.historyErr = errors.New("interrupted")
	if _, err := late.start(); err == nil || late.engine.Decides() {
		t.Errorf("it applies %q, %v", late.engine.policies(), err)
	}
}

func TestWhyALedgerCantBeOpenedIsToldSinceWhenUntilItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, newStream())
		m.mustStart().Close()
		m.peers.openErr = errors.New("damaged")
		r := m.mustStart()
		m.expectApplied(open)
		m.now = moment.Add(time.Hour)
		_ = r.connect(t.Context())
		if c := r.Connection(); c.Connected || !c.Since.Equal(moment) || c.Why != "damaged" || c.Last != 1 {
			t.Errorf("the connection is %+v", c)
		}
		m.peers.openErr = nil
		stop := m.run(r)
		testkit.Eventually(t, "it is opened", func() bool { return r.Connection().Connected })
		if _, err := r.opened(); err != nil {
			t.Error(err)
		}
		m.write(r, withdrawn)
		stop()
		r.Close()
	})
}

func TestInvalidMessagesAreToldAndRemembered(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	m.peers.onInvalid(ledger.InvalidRecord{Number: 9, Err: errors.New("forged")})
	if !slices.Equal(m.told, []uint64{9}) || r.invalid.reason(9) != "forged" {
		t.Errorf("told are %v, remembered is %q", m.told, r.invalid.reason(9))
	}
}

func TestALedgerIsOpenedWithTheLastRecordOfTheStateOrOfTheCopy(t *testing.T) {
	m := newMachine(t, newStream())
	m.mustStart().Close()
	last := m.stream.records[0].Point()
	if m.mustStart().Close(); m.peers.known != last {
		t.Errorf("it is opened with %v", m.peers.known)
	}
	if err := os.Remove(m.dir.Replica()); err != nil {
		t.Fatal(err)
	}
	if m.mustStart().Close(); m.peers.known != last {
		t.Errorf("without a state it is opened with %v", m.peers.known)
	}
}

// What stands is read by rules that were those when it was written.
func TestWhatStandsIsReadAndWhatIsProposedIsParsed(t *testing.T) {
	// It isn't said which of the territories the demand binds, as it must be today.
	const unsaid = "version: 1\nguarantees: {e2ee: {require: true}}\n" +
		"demands: {law: {jurisdiction: FR, stage: in-force, requires: {e2ee: false}}}\njurisdictions: {FR: withdrawn}\n"
	m := newMachine(t, newStream())
	m.stream.append(contentOf(changes.FirstRevision([]byte(unsaid))))
	r := m.mustStart()
	m.expectApplied(unsaid)
	r.Close()
	r = m.mustStart() // from its state
	m.expectApplied(unsaid)
	m.run(r)
	_, err := r.Write(t.Context(), propose(unsaid+"# again\n"))
	expectCode(t, err, changes.WrongPolicy)
}

func TestAStateThatCantBeSavedIsTold(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	m.run(r)
	if err := errors.Join(os.Remove(m.dir.Replica()), os.MkdirAll(m.dir.Replica()+"/full", 0o700)); err != nil {
		t.Fatal(err)
	}
	m.write(r, withdrawn)
	if r.SaveError() == nil {
		t.Error("it isn't")
	}
	if err := os.RemoveAll(m.dir.Replica()); err != nil {
		t.Fatal(err)
	}
	m.write(r, wider)
	if err := r.SaveError(); err != nil {
		t.Errorf("when it is saved again, it is %v", err)
	}
}

func TestAHistoryThatStallsEndsTheStartAndASlowOneDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, newStream())
		r := m.mustStart()
		stop := m.run(r)
		for _, source := range []string{withdrawn, open, wider} {
			m.write(r, source)
		}
		stop()
		r.Close()
		late := newMachine(t, m.stream)
		late.peers.pause = stallLimit - time.Second
		late.mustStart().Close()
		late.expectApplied(wider)
		late = newMachine(t, m.stream)
		late.peers.pause = stallLimit + time.Second
		if _, err := late.start(); err == nil || late.engine.Decides() {
			t.Errorf("it applies %q, %v", late.engine.policies(), err)
		}
	})
}

func TestADamagedStateWithALedgerOutOfReachEndsTheStart(t *testing.T) {
	m := newMachine(t, newStream())
	m.remote = true
	m.mustStart().Close()
	if err := os.WriteFile(m.dir.Replica(), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.stream.fail(errors.New("gone"))
	if _, err := m.start(); err == nil || m.engine.closed {
		t.Errorf("the error is %v", err)
	}
}
