package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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
	"github.com/exitgate/exitgate/internal/testkit"
)

func TestFollow_unreachableAtFirst(t *testing.T) {
	t.Parallel()
	folder, port := t.TempDir(), testkit.FreePort(t)
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

func TestAppend_lostAcknowledgement(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	link := ledgertest.NewLink(t, s.ClientURL())
	l, other := open(t, elsewhere(link.URL())), open(t, elsewhere(s.ClientURL()))
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
	onAppend(t, s.ClientURL(), func() { link.DropReplies(); close(deaf) })
	go func() {
		r, err := l.Append(within(t), a.Point(), entry("b"))
		results <- result{r, err}
	}()
	<-deaf
	f.until("2 b")
	link.Cut()
	link.Restore()
	if r := <-results; r.error != nil || r.Number != 2 || r.Point() != f.point() {
		t.Errorf("it is %v, %v, want %v", r.Point(), r.error, f.point())
	}
	if diff := cmp.Diff([]string{"1 a", "2 b"}, history(t, other)); diff != "" {
		t.Error(diff)
	}
}

func TestAppend_unacknowledged(t *testing.T) {
	t.Parallel()
	s := alone(t, t.TempDir(), -1)
	link := ledgertest.NewLink(t, s.ClientURL())
	l := open(t, elsewhere(link.URL()))
	onAppend(t, s.ClientURL(), link.DropReplies)
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

func TestFollow_mirror(t *testing.T) {
	t.Parallel()
	hub := start(t, &server.Options{ServerName: "hub", JetStreamDomain: "hub", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: -1}})
	remote := must[*url.URL](t)(url.Parse(fmt.Sprint("nats://127.0.0.1:", must[*server.Varz](t)(hub.Varz(nil)).LeafNode.Port)))
	folder, port := t.TempDir(), testkit.FreePort(t)
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

// onAppend calls seen when a record is sent to a server, before the server
// acknowledges it as a rule.
func onAppend(t testing.TB, url string, seen func()) {
	t.Helper()
	conn := connect(t, url)
	must[*nats.Subscription](t)(conn.Subscribe("exitgate.ledger", func(*nats.Msg) { seen() }))
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
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

func TestFollow_skipsForgedRecords(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	options := elsewhere(s.ClientURL())
	var mu sync.Mutex
	var reported []uint64
	options.OnInvalid = func(r ledger.InvalidRecord) {
		mu.Lock()
		defer mu.Unlock()
		reported = append(reported, r.Number)
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
	want := []uint64{3, 4, 5, 6}
	mu.Lock()
	if diff := cmp.Diff(want, reported); diff != "" {
		t.Error(diff)
	}
	mu.Unlock()
	if diff := cmp.Diff([]string{"1 a", "2 b", "7 c"}, history(t, open(t, elsewhere(s.ClientURL())))); diff != "" {
		t.Error(diff)
	}
	report := verify(t, l)
	if diff := cmp.Diff(want, invalid(report)); diff != "" {
		t.Error(diff)
	}
	if report.Records != 3 || report.Last != c[0].Point() {
		t.Errorf("it is %+v", report)
	}
}

func TestRecord_ofALaterVersion(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	options := elsewhere(s.ClientURL())
	options.OnInvalid = func(r ledger.InvalidRecord) { t.Error(r) }
	l := open(t, options)
	a := add(t, l, ledger.Point{}, "a")[0]
	data := fmt.Appendf(nil, `{"version":2,"number":2,"previous":"%s","time":0,"kind":["revision"],"else":{}}`+"\nbody", a.Hash)
	newer := must[ledger.Record](t)(ledger.Decode(data))
	publish(t, raw(t, s.ClientURL()), data, newer.Hash.String())

	var conflict *ledger.Conflict
	if _, err := l.Append(within(t), a.Point(), entry("b")); !errors.As(err, &conflict) || conflict.Winner.Point() != newer.Point() {
		t.Errorf("appended before it: %v", err)
	}
	add(t, l, newer.Point(), "c")
	want := []string{"1 revision a", "2 unknown (version 2) ", "3 revision c"}
	var got []string
	for r, err := range l.History(within(t), ledger.Point{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %s", r.Number, r.Kind, r.Body))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f := follow(t, l, ledger.Point{})
	f.until("3 c")
	if r, err := l.Record(within(t), 2); err != nil || r.Version != 2 || r.Point() != newer.Point() {
		t.Errorf("it is %+v, %v", r, err)
	}
	checked := 0
	report, err := l.Verify(within(t), func(ledger.Record) error { checked++; return nil })
	if err != nil || report.Records != 3 || report.Newer != 1 || len(report.Invalid) > 0 || checked != 2 {
		t.Errorf("verified as %+v, %v; %d checked", report, err, checked)
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

func TestVerify_rewrittenHistory(t *testing.T) {
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
		fresh  []uint64 // invalid for a machine that has seen nothing
		known  []uint64 // and for one that has seen the last record
	}{
		"in the middle":                   {edit(5, false), []uint64{5}, []uint64{5}},
		"in the middle, with its hash":    {edit(5, true), []uint64{5}, []uint64{5}},
		"at the beginning, with its hash": {edit(1, true), []uint64{1}, []uint64{1}},
		"before the last, with its hash":  {edit(9, true), []uint64{10}, []uint64{9}},
		"at the end, with its hash":       {edit(10, true), nil, []uint64{10}},
	} {
		t.Run(name, func(t *testing.T) {
			s := alone(t, t.TempDir(), -1)
			l := open(t, elsewhere(s.ClientURL()))
			records := add(t, l, ledger.Point{}, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
			rewrite(t, raw(t, s.ClientURL()), test.change)
			if diff := cmp.Diff(test.fresh, invalid(verify(t, open(t, elsewhere(s.ClientURL()))))); diff != "" {
				t.Error(diff)
			}
			options := elsewhere(s.ClientURL())
			options.Known = records[9].Point()
			knows := open(t, options)
			if diff := cmp.Diff(test.known, invalid(verify(t, knows))); diff != "" {
				t.Error(diff)
			}
			var err error
			for _, err = range knows.History(within(t), ledger.Point{}) {
			}
			if !errors.Is(err, ledger.ErrHistory) {
				t.Errorf("the history ends with %v", err)
			}
			if _, err := knows.Append(within(t), records[9].Point(), entry("k")); name == "at the end, with its hash" && !errors.Is(err, ledger.ErrHistory) {
				t.Errorf("the error of an append is %v", err)
			}
		})
	}
}

func TestOpen_weakerStreamIsNotUsed(t *testing.T) {
	t.Parallel()
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
