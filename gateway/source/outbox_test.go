package source

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// scheduled has steps at the start's moment and an hour after.
const scheduled = "version: 1\njurisdictions: {FR: {schedule: [{from: 2026-11-22T03:00:00Z, phase: announced}, {from: 2026-11-22T04:00:00Z, phase: withdrawn}]}}\n"

// kinds returns what is in the stream.
func (s *stream) kinds() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		all = append(all, r.Kind)
	}
	return all
}

func (m *machine) expectKinds(want ...string) {
	m.t.Helper()
	testkit.Eventually(m.t, "what took place is in the ledger", func() bool { return len(m.stream.kinds()) >= len(want) })
	if got := m.stream.kinds(); !slices.Equal(got, want) {
		m.t.Errorf("in the ledger are %q, want %q", got, want)
	}
	testkit.Eventually(m.t, "nothing waits", func() bool { return m.waiting.Waiting() == 0 })
}

func breachIn(kind changes.Kind, at time.Time) changes.Occurrence {
	return changes.Occurrence{Kind: kind, At: at, Breach: changes.Breach{Jurisdiction: "FR", Flag: "e2ee", Since: at}}
}

// Issue 10 F and 11 number 9.
func TestWhatTakesPlaceIsRecorded(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	m.run(r)
	m.waiting.Add(breachIn(changes.GuaranteeBreached, moment))
	m.expectKinds("revision", "breach")
	for i := range 100 {
		m.waiting.Add(breachIn(changes.GuaranteeBreached, moment.Add(time.Duration(i)*time.Second)))
	}
	m.write(r, scheduled)
	m.waiting.Add(changes.Occurrence{Kind: changes.StepTaken, Revision: 3, Due: moment.Add(time.Hour), At: moment.Add(time.Hour), Changes: []string{"open → announced: FR"}})
	m.expectKinds("revision", "breach", "revision", "step")
}

// A gateway that goes by the ledger is not kept from that by what it can't record; and
// what took place while NATS was away is recorded when it is back, also after kill -9.
func TestWhatTakesPlaceIsRecordedWhenTheLedgerIsBack(t *testing.T) {
	m := newMachine(t, newStream())
	m.remote = true
	r := m.mustStart()
	m.run(r)
	m.stream.fail(errors.New("no route"))
	m.waiting.Add(breachIn(changes.GuaranteeBreached, moment))
	testkit.Eventually(t, "it is on disk", func() bool { text, err := m.dir.ReadOccurrences(); return err == nil && text != nil })
	if got := m.stream.kinds(); len(got) != 1 {
		t.Errorf("in the ledger are %q", got)
	}

	next := &machine{t: t, dir: m.dir, stream: m.stream, peers: m.peers, now: moment.Add(time.Hour), remote: true}
	r = next.mustStart()
	next.run(r)
	m.stream.fail(nil)
	next.expectKinds("revision", "breach")
	record := next.stream.records[1]
	d, err := changes.Describe(recordOf(record))
	if err != nil || d.Took == nil || !d.Took.Equal(moment) {
		t.Errorf("it took place at %v, %v", d.Took, err)
	}
}

// What this gateway was not there for: it was stopped, or killed before it was recorded.
func TestWhatTookPlaceWithoutTheGatewayIsRecorded(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	stop := m.run(r)
	m.write(r, scheduled)
	stop()
	m.now = moment.Add(90 * time.Minute)
	m.breaches = []changes.Breach{{Jurisdiction: "DE", Flag: "e2ee", Since: moment}}
	m.run(m.mustStart())
	m.expectKinds("revision", "revision", "step", "breach")
	m.run(m.mustStart())
	m.expectKinds("revision", "revision", "step", "breach")
}

// Nobody writes what a gateway that is present can't read.
func TestWhatTakesPlaceIsntRecordedWhileAnEarlierGatewayIsPresent(t *testing.T) {
	m := newMachine(t, newStream())
	m.remote = true
	m.peers.answers = map[string][][]byte{"last": {[]byte("1"), []byte("1")}, "format": {[]byte("3")}}
	r := m.mustStart()
	m.waiting.Add(breachIn(changes.GuaranteeBreached, moment))
	if waiting, err := r.recordOccurrences(t.Context()); waiting != 1 {
		t.Errorf("%d wait, %v", waiting, err)
	} else {
		expectCode(t, err, changes.Conflict)
	}
}

func TestADamagedOutboxIsLeftOut(t *testing.T) {
	m := newMachine(t, newStream())
	testkit.WriteFile(t, m.dir.Occurrences(), "damaged")
	if o := OpenOutbox(m.dir, slog.New(slog.DiscardHandler)); o.Waiting() != 0 {
		t.Error("what is damaged is believed")
	}
	m.run(m.mustStart())
	m.waiting.Add(breachIn(changes.GuaranteeBreached, moment))
	m.expectKinds("revision", "breach")
}

// Issue 10: what can't be written is known beforehand, and what was skipped is known, too.
func TestTheLowestFormatIsKnown(t *testing.T) {
	m := newMachine(t, newStream())
	r := m.mustStart()
	if got := r.Connection().Format; got != changes.Format {
		t.Errorf("in the process it is %d", got)
	}
	m = newMachine(t, m.stream)
	m.remote = true
	r = m.mustStart()
	for want, answers := range map[int][]string{3: {"3", "9"}, 2: {"2", "3"}, 1: {"3"}} { // of two
		m.peers.answers = map[string][][]byte{"last": {[]byte("1"), []byte("1")}}
		for _, a := range answers {
			m.peers.answers["format"] = append(m.peers.answers["format"], []byte(a))
		}
		if _, err := r.queryFormats(t.Context(), m.client); err != nil || r.Connection().Format != want {
			t.Errorf("of gateways that say %q it is %d, %v", answers, r.Connection().Format, err)
		}
	}
	m.run(r)
	m.stream.append(ledger.Content{Kind: "vote", Author: "ada", Body: []byte(`{"format":9}`)})
	testkit.Eventually(t, "it is skipped", func() bool { return r.State().Unknown() == 1 })
	if v, err := r.Verify(t.Context()); err != nil || v.Skipped != 1 || len(v.Invalid) > 0 {
		t.Errorf("it is verified as %+v, %v", v, err)
	}
}
