package ledger_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
)

// stored is what the stream holds.
func stored(t *testing.T, js jetstream.JetStream) (messages []*jetstream.RawStreamMsg) {
	t.Helper()
	s := must[jetstream.Stream](t)(js.Stream(within(t), "exitgate-ledger"))
	for number := uint64(1); number <= s.CachedInfo().State.LastSeq; number++ {
		messages = append(messages, must[*jetstream.RawStreamMsg](t)(s.GetMsg(within(t), number)))
	}
	return messages
}

// remove takes the stream away.
func remove(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	if err := js.DeleteStream(within(t), "exitgate-ledger"); err != nil {
		t.Fatal(err)
	}
}

// restore makes the stream of what it held.
func restore(t *testing.T, js jetstream.JetStream, messages []*jetstream.RawStreamMsg) {
	t.Helper()
	testkit.Eventually(t, "the stream is made anew", func() bool { // a deletion is answered before the folder is gone
		_, err := js.CreateStream(within(t), jetstream.StreamConfig{Name: "exitgate-ledger", Subjects: []string{"exitgate.ledger"}, DenyDelete: true, DenyPurge: true})
		return err == nil
	})
	for _, m := range messages {
		publish(t, js, m.Data, m.Header.Get(nats.MsgIdHdr))
	}
}

func TestFollow_streamReplacedAndRestored(t *testing.T) {
	t.Parallel()
	s := alone(t, t.TempDir(), -1)
	js := raw(t, s.ClientURL())
	o := elsewhere(s.ClientURL())
	var log *testkit.Buffer
	o.Log, log = newLog()
	l := open(t, o)
	f := follow(t, l, ledger.Point{})
	records := add(t, l, ledger.Point{}, "a", "b", "c")
	f.until("3 c")
	right := stored(t, js)
	checkReason := func(why string) {
		t.Helper()
		until(t, func() bool { return strings.Contains(l.Status().Why, why) }, "the status says "+why)
		if l.Status().Connected {
			t.Error("it is connected")
		}
		if line := `level=ERROR msg="ledger invalid, the last known state stays" error="the ledger's history is not the one that is known: ` + why; strings.Count(log.String(), line) != 1 {
			t.Errorf("the log doesn't have %s once: %s", line, log.String())
		}
		if _, err := l.Append(within(t), records[2].Point(), entry("d")); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("the error of an append is %v", err)
		}
	}

	remove(t, js)
	checkReason("the stream exitgate-ledger is gone, and it had 3 records: restore it from a backup")
	other := open(t, elsewhere(s.ClientURL())) // a gateway that knows nothing makes it anew
	x := add(t, other, ledger.Point{}, "x", "y")
	checkReason("the stream ends with record 2, and it had 3: restore it from a backup, or if it is a mirror, wait for it")
	add(t, other, x[1].Point(), "z", "c")
	checkReason("record 3 in the stream isn't the one that this machine has seen")

	remove(t, js)
	restore(t, js, right)
	connected(t, l, true)
	add(t, l, records[2].Point(), "d")
	f.until("4 d")
	if diff := cmp.Diff([]string{"1 a", "2 b", "3 c", "4 d"}, f.got()); diff != "" {
		t.Error(diff)
	}
	// A gateway that asks while the stream is being restored finds it too short.
	logged := make(map[string]bool)
	for _, line := range log.Lines("level=ERROR") {
		_, reason, _ := strings.Cut(line, "error=")
		if logged[reason] {
			t.Errorf("logged twice: %s", reason)
		}
		logged[reason] = true
	}
}

func TestFollow_invalidOnlyInAnotherStream(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	js := raw(t, s.ClientURL())
	l := open(t, elsewhere(s.ClientURL()))
	f := follow(t, l, ledger.Point{})
	records := add(t, l, ledger.Point{}, "a", "b", "c")
	common := stored(t, js)
	add(t, l, records[2].Point(), "d", "e")
	right := stored(t, js)

	remove(t, js)
	restore(t, js, common)
	publish(t, js, []byte("hello"), "")
	invalids := make(chan ledger.InvalidRecord, 9)
	o := elsewhere(s.ClientURL())
	o.Known, o.OnInvalid = records[2].Point(), func(r ledger.InvalidRecord) { invalids <- r }
	late := open(t, o)
	g := follow(t, late, records[2].Point())
	if r := <-invalids; r.Number != 4 {
		t.Errorf("invalid is %v", r)
	}
	remove(t, js)
	restore(t, js, right)
	g.until("5 e")
	f.until("5 e")
	if diff := cmp.Diff([]string{"4 d", "5 e"}, g.got()); diff != "" {
		t.Error(diff)
	}
}

func TestFollow_recordBuiltOnAnInvalidOne(t *testing.T) {
	t.Parallel()
	s := alone(t, t.TempDir(), -1)
	js := raw(t, s.ClientURL())
	var skipped []uint64
	reported := make(chan uint64, 9)
	o := elsewhere(s.ClientURL())
	o.OnInvalid = func(r ledger.InvalidRecord) { reported <- r.Number }
	l := open(t, o)
	records := add(t, l, ledger.Point{}, "a", "b", "c", "d")
	right := stored(t, js)
	remove(t, js)
	wrong := slices.Clone(right)
	wrong[2] = &jetstream.RawStreamMsg{Data: []byte(strings.Replace(string(right[2].Data), "ada", "eve", 1)), Header: right[2].Header}
	restore(t, js, wrong)

	o.Known = records[1].Point()
	l = open(t, o)
	f := follow(t, l, records[1].Point())
	skipped = append(skipped, <-reported, <-reported)
	if diff := cmp.Diff([]uint64{3, 4}, skipped); diff != "" {
		t.Error(diff)
	}
	until(t, func() bool {
		return strings.Contains(l.Status().Why, "it builds on record 3")
	}, "the status says why")
	time.Sleep(500 * time.Millisecond) // it tries again
	if l.Status().Connected {
		t.Error("it is connected")
	}
	remove(t, js)
	restore(t, js, right)
	f.until("4 d")
	connected(t, l, true)
	if len(reported) > 0 {
		t.Errorf("reported again: %d", <-reported)
	}
	if diff := cmp.Diff([]string{"3 c", "4 d"}, f.got()); diff != "" {
		t.Error(diff)
	}
}
