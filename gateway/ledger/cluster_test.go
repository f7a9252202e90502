package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

func TestAKilledProcessLosesNothingThatWasAcknowledged(t *testing.T) {
	folder := t.TempDir()
	var last ledger.Point // that was acknowledged or read
	var kills int
	for last.Number < 200 {
		w := startWriter(t, folder)
		word, at := w.next(t)
		if word != "found" || at.Number < last.Number || at.Number == last.Number && at != last || at.Number > last.Number+1 {
			t.Fatalf("%v was acknowledged, and the next process %s %v", last, word, at)
		}
		last = at // what was read once stays, too
		for range rand.IntN(20) {
			if word, at = w.next(t); word == "acked" {
				last = at
			}
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		_ = w.process.Process.Kill()
		for word, at = w.next(t); word != ""; word, at = w.next(t) {
			last = at
		}
		_ = w.process.Wait()
		kills++
	}
	report := verify(t, open(t, ledger.Options{Folder: folder, Known: last}))
	if len(report.Invalid) > 0 || report.Last.Number < last.Number || report.Last.Number > last.Number+1 {
		t.Errorf("%v was acknowledged, and there is %+v", last, report)
	}
	t.Logf("%d records, killed %d times", report.Records, kills)
}

func TestALedgerThatIsOutOfReachAtFirstIsFollowedLater(t *testing.T) {
	folder, port := t.TempDir(), ledgertest.FreePort(t)
	url := fmt.Sprint("nats://127.0.0.1:", port)
	l := open(t, elsewhere(url))
	f := follow(t, l, ledger.Point{})
	if s := l.Status(); s.Connected || s.Why == "" {
		t.Errorf("the status is %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, ledger.Point{}, entry("a")); err == nil || !strings.HasPrefix(err.Error(), "nothing was written: ") {
		t.Errorf("the error is %v", err)
	}
	s := alone(t, folder, port)
	connected(t, l, true)
	a := add(t, l, ledger.Point{}, "a")
	f.until("1 a")
	s.Shutdown()
	s.WaitForShutdown()
	connected(t, l, false)
	alone(t, folder, port)
	connected(t, l, true)
	add(t, l, a[0].Point(), "b")
	f.until("2 b")
	if diff := cmp.Diff([]string{"1 a", "2 b"}, f.got()); diff != "" {
		t.Error(diff)
	}
}

func TestAnAppendWhoseAnswerIsLostFindsOutThatItWon(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	line := ledgertest.NewLink(t, s.ClientURL())
	l, other := open(t, elsewhere(line.URL())), open(t, elsewhere(s.ClientURL()))
	a := add(t, l, ledger.Point{}, "a")[0]
	f := follow(t, other, ledger.Point{})
	f.until("1 a")

	// The answers stop once the record is sent; there are some before.
	type result struct {
		ledger.Record
		error
	}
	results := make(chan result, 1)
	deaf := make(chan struct{})
	must[*nats.Subscription](t)(tap(t, s.ClientURL()).Subscribe("exitgate.ledger", func(*nats.Msg) { line.DropReplies(); close(deaf) }))
	go func() {
		r, err := l.Append(within(t), a.Point(), entry("b"))
		results <- result{r, err}
	}()
	<-deaf
	f.until("2 b")
	line.Cut()
	line.Restore()
	if r := <-results; r.error != nil || r.Number != 2 || r.Point() != f.point() {
		t.Errorf("it is %v, %v, want %v", r.Point(), r.error, f.point())
	}
	if diff := cmp.Diff([]string{"1 a", "2 b"}, history(t, other)); diff != "" {
		t.Error(diff)
	}
}

func TestAnAppendThatIsNotAnsweredSaysSo(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	line := ledgertest.NewLink(t, s.ClientURL())
	l := open(t, elsewhere(line.URL()))
	must[*nats.Subscription](t)(tap(t, s.ClientURL()).Subscribe("exitgate.ledger", func(*nats.Msg) { line.DropReplies() }))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := l.Append(ctx, ledger.Point{}, entry("a"))
	var unknown *ledger.Unacknowledged
	if err == nil { // the answer was faster than the tap
		return
	}
	if !errors.As(err, &unknown) || unknown.Record.Number != 1 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the error is %v", err)
	}
	for r, err := range open(t, elsewhere(s.ClientURL())).History(within(t), ledger.Point{}) {
		if err != nil || r.Hash != unknown.Record.Hash {
			t.Errorf("there is %v, %v, and not what was sent", r.Point(), err)
		}
	}
}

func TestAnotherRegionReadsFromItsMirror(t *testing.T) {
	hub := start(t, &server.Options{ServerName: "hub", JetStreamDomain: "hub", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: -1}})
	remote := must[*url.URL](t)(url.Parse(fmt.Sprint("nats://127.0.0.1:", must[*server.Varz](t)(hub.Varz(nil)).LeafNode.Port)))
	folder, port := t.TempDir(), ledgertest.FreePort(t)
	starting := func() *server.Server {
		return start(t, &server.Options{
			ServerName: "west", Port: port, StoreDir: folder, JetStreamDomain: "west",
			LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}},
		})
	}
	west := starting()
	until(t, func() bool { return west.NumLeafNodes() == 1 }, "the regions are connected")
	home := elsewhere(hub.ClientURL())
	home.Cluster.Domain = "hub"
	away := elsewhere(west.ClientURL())
	away.Cluster.Domain, away.Cluster.Mirror = "hub", "west"
	l, mirrored := open(t, home), open(t, away)
	a := add(t, l, ledger.Point{}, "a")[0]
	f := follow(t, mirrored, ledger.Point{})
	f.until("1 a")
	b := add(t, mirrored, a.Point(), "b")[0]
	if diff := cmp.Diff(b, must[ledger.Record](t)(mirrored.Record(within(t), 2))); diff != "" {
		t.Errorf("what isn't in the mirror yet: %s", diff)
	}
	f.until("2 b")
	here := follow(t, l, ledger.Point{})
	here.until("2 b")

	west.Shutdown() // and here it goes on
	west.WaitForShutdown()
	add(t, l, b.Point(), "c")
	here.until("3 c")
	starting()
	f.until("3 c")
	if diff := cmp.Diff([]string{"1 a", "2 b", "3 c"}, f.got()); diff != "" {
		t.Error(diff)
	}
	if report := verify(t, mirrored); report.Records != 3 || len(report.Invalid) > 0 {
		t.Errorf("it is %+v", report)
	}
}

// tap is a connection that hears what is said.
func tap(t testing.TB, url string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// publish puts a message where records are, past exitgate.
func publish(t testing.TB, js jetstream.JetStream, data []byte, id string) {
	t.Helper()
	m := &nats.Msg{Subject: "exitgate.ledger", Data: data, Header: nats.Header{}}
	if id != "" {
		m.Header.Set(nats.MsgIdHdr, id)
	}
	if _, err := js.PublishMsg(within(t), m); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsForgedIsRefusedByAllAndDoesntHoldUpTheRest(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	options := elsewhere(s.ClientURL())
	var mu sync.Mutex
	var refused []string
	options.OnInvalid = func(r ledger.InvalidRecord) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, r.Error())
	}
	l := open(t, options)
	records := add(t, l, ledger.Point{}, "a", "b")
	f := follow(t, l, ledger.Point{})
	js := raw(t, s.ClientURL())

	forged := ledger.Record{Number: 3, Previous: records[0].Hash, Time: time.Now().UTC(), Content: entry("forged")}
	data := must[[]byte](t)(forged.Encode())
	forged = must[ledger.Record](t)(ledger.Decode(data))
	publish(t, js, data, forged.Hash.String()) // 3: a wrong chain
	publish(t, js, []byte("hello"), "")        // 4: no record
	number := ledger.Record{Number: 9, Previous: records[1].Hash, Time: time.Now().UTC(), Content: entry("forged")}
	data = must[[]byte](t)(number.Encode())
	publish(t, js, data, must[ledger.Record](t)(ledger.Decode(data)).Hash.String()) // 5: another's number
	right := ledger.Record{Number: 6, Previous: records[1].Hash, Time: time.Now().UTC(), Content: entry("forged")}
	publish(t, js, must[[]byte](t)(right.Encode()), strings.Repeat("0", 64)) // 6: another's identity

	c := add(t, l, records[1].Point(), "c")
	f.until("7 c")
	if diff := cmp.Diff([]string{"1 a", "2 b", "7 c"}, f.got()); diff != "" {
		t.Error(diff)
	}
	want := []string{
		fmt.Sprintf("record 3 is refused: it doesn't follow from record 2 (%.12s) but from a record %.12s: it is forged, or the history before it was changed", records[1].Hash, records[0].Hash),
		"record 4 is refused: not a record: it has no head",
		"record 5 is refused: it says that it is record 9",
		"record 6 is refused: it isn't what was written: its content and its Nats-Msg-Id don't belong together",
	}
	mu.Lock()
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Error(diff)
	}
	mu.Unlock()
	if diff := cmp.Diff([]string{"1 a", "2 b", "7 c"}, history(t, open(t, elsewhere(s.ClientURL())))); diff != "" {
		t.Error(diff)
	}
	report := verify(t, l)
	var found []string
	for _, r := range report.Invalid {
		found = append(found, r.Error())
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	if report.Records != 3 || report.Last != c[0].Point() {
		t.Errorf("it is %+v", report)
	}
}

func TestARecordOfALaterVersionIsNotPassedOver(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	l := open(t, elsewhere(s.ClientURL()))
	a := add(t, l, ledger.Point{}, "a")[0]
	data := fmt.Appendf(nil, `{"version":2,"number":2,"previous":"%s","who knows":"what"}`+"\nbody", a.Hash)
	later, err := ledger.Decode(data)
	if !errors.Is(err, ledger.ErrNewer) {
		t.Fatal(err)
	}
	publish(t, raw(t, s.ClientURL()), data, later.Hash.String())
	var got []string
	err = l.Follow(within(t), ledger.Point{}, func(r ledger.Record) { got = append(got, line(r)) }, func() {})
	if want := "record 2 is refused: the record is of a later version of exitgate: update this one (version 2)"; !errors.Is(err, ledger.ErrNewer) || err.Error() != want {
		t.Errorf("it ended with %v, want %s", err, want)
	}
	if diff := cmp.Diff([]string{"1 a"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := l.Append(within(t), a.Point(), entry("b")); !errors.Is(err, ledger.ErrNewer) {
		t.Errorf("the error of an append is %v", err)
	}
}

// rewrite makes the stream anew, with messages changed on the way.
func rewrite(t *testing.T, js jetstream.JetStream, change func(number uint64, data []byte, id string) ([]byte, string)) {
	t.Helper()
	s := must[jetstream.Stream](t)(js.Stream(within(t), "exitgate-ledger"))
	info := s.CachedInfo()
	var messages []*jetstream.RawStreamMsg
	for number := uint64(1); number <= info.State.LastSeq; number++ {
		messages = append(messages, must[*jetstream.RawStreamMsg](t)(s.GetMsg(within(t), number)))
	}
	if err := js.DeleteStream(within(t), "exitgate-ledger"); err != nil {
		t.Fatal(err)
	}
	// The server answers before the folder of the old one is gone.
	_, err := js.CreateStream(within(t), info.Config)
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		_, err = js.CreateStream(within(t), info.Config)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		data, id := change(m.Sequence, m.Data, m.Header.Get(nats.MsgIdHdr))
		publish(t, js, data, id)
	}
}

func TestHistoryThatIsRewrittenIsFound(t *testing.T) {
	edit := func(number uint64, identity bool) func(uint64, []byte, string) ([]byte, string) {
		return func(n uint64, data []byte, id string) ([]byte, string) {
			if n == number {
				data = []byte(strings.Replace(string(data), `"author":"ada"`, `"author":"eve"`, 1))
				if r, err := ledger.Decode(data); identity && err == nil {
					id = r.Hash.String()
				}
			}
			return data, id
		}
	}
	for name, test := range map[string]struct {
		change func(uint64, []byte, string) ([]byte, string)
		wrong  []string // says Verify on a machine that has seen nothing
		known  []string // and on one that has seen the last record
	}{
		"in the midst": {
			edit(5, false),
			[]string{"record 5 is refused: it isn't what was written: its content and its Nats-Msg-Id don't belong together"},
			[]string{"record 5 is refused: it isn't what was written: its content and its Nats-Msg-Id don't belong together"},
		},
		"in the midst, with its identity": {
			edit(5, true),
			[]string{"record 5 is refused: it was changed: records 6 and 7 follow from another"},
			[]string{"record 5 is refused: it was changed: records 6 and 7 follow from another"},
		},
		"at the beginning, with its identity": {
			edit(1, true),
			[]string{"record 1 is refused: it was changed: records 2 and 3 follow from another"},
			[]string{"record 1 is refused: it was changed: records 2 and 3 follow from another"},
		},
		"before the last, with its identity": {
			edit(9, true),
			[]string{"record 10 is refused: it doesn't follow from record 9 (…) but from a record …: it is forged, or the history before it was changed"},
			[]string{"record 9 is refused: it was changed: this machine has seen that record 10 follows from another"},
		},
		"at the end, with its identity": {
			edit(10, true),
			nil,
			[]string{"record 10 is refused: it was changed: this machine has seen …, not …"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := alone(t, t.TempDir(), -1)
			l := open(t, elsewhere(s.ClientURL()))
			records := add(t, l, ledger.Point{}, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
			rewrite(t, raw(t, s.ClientURL()), test.change)
			if diff := cmp.Diff(test.wrong, wrong(verify(t, open(t, elsewhere(s.ClientURL()))))); diff != "" {
				t.Error(diff)
			}
			options := elsewhere(s.ClientURL())
			options.Known = records[9].Point()
			knows := open(t, options)
			if diff := cmp.Diff(test.known, wrong(verify(t, knows))); diff != "" {
				t.Error(diff)
			}
			var err error
			for _, err = range knows.History(within(t), ledger.Point{}) {
			}
			if !errors.Is(err, ledger.ErrHistory) {
				t.Errorf("the history ends with %v", err)
			}
			if _, err := knows.Append(within(t), records[9].Point(), entry("k")); name == "at the end, with its identity" && !errors.Is(err, ledger.ErrHistory) {
				t.Errorf("the error of an append is %v", err)
			}
		})
	}
}

func TestAStreamThatPromisesLessIsNotUsed(t *testing.T) {
	good := jetstream.StreamConfig{Name: "exitgate-ledger", Subjects: []string{"exitgate.ledger"}, DenyDelete: true, DenyPurge: true}
	for want, weaken := range map[string]func(*jetstream.StreamConfig){
		"its messages can be deleted (deny_delete)":                func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"it can be purged (deny_purge)":                            func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"messages expire (max_age 1h0m0s)":                         func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"the number of messages is limited (max_msgs)":             func(c *jetstream.StreamConfig) { c.MaxMsgs = 100 },
		"its size is limited (max_bytes)":                          func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"it isn't kept on disk (storage Memory)":                   func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"messages can expire (allow_msg_ttl)":                      func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"it doesn't acknowledge (no_ack)":                          func(c *jetstream.StreamConfig) { c.NoAck = true },
		"messages go when they are read (retention WorkQueue)":     func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		`its subjects are ["exitgate.>"], not ["exitgate.ledger"]`: func(c *jetstream.StreamConfig) { c.Subjects = []string{"exitgate.>"} },
	} {
		t.Run(want, func(t *testing.T) {
			s := alone(t, t.TempDir(), -1)
			weak := good
			weaken(&weak)
			must[jetstream.Stream](t)(raw(t, s.ClientURL()).CreateStream(within(t), weak))
			l := open(t, elsewhere(s.ClientURL()))
			_, err := l.Append(within(t), ledger.Point{}, entry("a"))
			if want := "exitgate-ledger: the stream isn't as exitgate makes it, and not used: " + want; !errors.Is(err, ledger.ErrStream) || err.Error() != want {
				t.Errorf("the error is %v, want %s", err, want)
			}
			follow(t, l, ledger.Point{})
			until(t, func() bool { return strings.Contains(l.Status().Why, want) }, "the status says why")
		})
	}
	s := alone(t, t.TempDir(), -1)
	must[jetstream.Stream](t)(raw(t, s.ClientURL()).CreateStream(within(t), good))
	add(t, open(t, elsewhere(s.ClientURL())), ledger.Point{}, "a")
}

func TestTheClusterGoesOnWithoutANodeAndEveryoneSeesTheSame(t *testing.T) {
	cluster := ledgertest.Start(t)
	nodes := cluster.Nodes
	var gateways []*ledger.Ledger
	var followers []*follower
	var lines []*ledgertest.Link
	for i := range 5 {
		line := ledgertest.NewLink(t, nodes[i%3].URL)
		lines = append(lines, line)
		o := elsewhere(append([]string{line.URL()}, cluster.URLs()...)...)
		if i == 4 { // this one has no other way
			o = elsewhere(line.URL())
		}
		o.Cluster.Replicas = 3
		l := open(t, o)
		gateways, followers = append(gateways, l), append(followers, follow(t, l, ledger.Point{}))
	}
	var acked []ledger.Record
	round := func(who ...int) {
		t.Helper()
		var after ledger.Point
		if len(acked) > 0 {
			after = acked[len(acked)-1].Point()
		}
		var running sync.WaitGroup
		records, errs := make([]ledger.Record, len(who)), make([]error, len(who))
		for i, gateway := range who {
			running.Go(func() {
				e := entry(fmt.Sprintf("%d-%d", len(acked), gateway))
				records[i], errs[i] = gateways[gateway].Append(within(t), after, e)
			})
		}
		running.Wait()
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("nobody won: %v", errs)
		}
		for i, err := range errs {
			var conflict *ledger.Conflict
			if i != winner && (!errors.As(err, &conflict) || conflict.Winner.Hash != records[winner].Hash) {
				t.Fatalf("%d won, and gateway %d has the error %v", who[winner], who[i], err)
			}
		}
		acked = append(acked, records[winner])
	}
	agreed := func(who ...int) {
		t.Helper()
		var want []string
		for _, r := range acked {
			want = append(want, line(r))
		}
		for _, i := range who {
			followers[i].until(want[len(want)-1])
			if diff := cmp.Diff(want, followers[i].got()); diff != "" {
				t.Errorf("gateway %d: %s", i, diff)
			}
		}
	}
	for range 3 {
		round(0, 1, 2)
	}
	agreed(0, 1, 2, 3, 4)

	lines[4].Cut()
	connected(t, gateways[4], false)
	dead := cluster.Leader("exitgate-ledger")
	dead.Kill() // the leader
	for range 3 {
		round(0, 1, 2, 3)
	}
	agreed(0, 1, 2, 3)

	dead.Start()
	lines[4].Restore()
	cluster.AwaitInSync("exitgate-ledger")
	agreed(0, 1, 2, 3, 4)
	asleep := nodes[(slices.Index(nodes, cluster.Leader("exitgate-ledger"))+1)%3]
	asleep.Freeze() // a follower
	for range 3 {
		round(0, 2, 3)
	}
	asleep.Resume()
	agreed(0, 1, 2, 3, 4)
	cluster.AwaitInSync("exitgate-ledger")
	for i, l := range gateways {
		connected(t, l, true)
		if report := verify(t, l); len(report.Invalid) > 0 || report.Records != len(acked) {
			t.Errorf("gateway %d: %+v", i, report)
		}
	}
}
