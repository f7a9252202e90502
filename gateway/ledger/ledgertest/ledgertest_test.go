//go:build integration

package ledgertest_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

func TestMain(m *testing.M) {
	ledgertest.Main()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")) // it leaves some behind
}

func TestCluster_writesWhileANodeIsKilledOrFrozen(t *testing.T) {
	c := ledgertest.Start(t)
	js := c.Connect()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	publish := func(want uint64) {
		t.Helper()
		for ctx.Err() == nil {
			attempt, cancel := context.WithTimeout(ctx, time.Second)
			ack, err := js.Publish(attempt, "s", nil)
			cancel()
			if err == nil && ack.Sequence < want { // more is what wasn't acknowledged before
				t.Fatalf("number %d was acknowledged, want %d", ack.Sequence, want)
			} else if err == nil {
				return
			}
		}
		t.Fatal("nothing can be written")
	}
	publish(1)
	leader := c.Leader("S")
	leader.Kill()
	publish(2)
	if now := c.Leader("S"); now == leader {
		t.Error("the leader is a node that was killed")
	}
	leader.Start()
	c.AwaitInSync("S")
	frozen := c.Nodes[0]
	if frozen == c.Leader("S") {
		frozen = c.Nodes[1]
	}
	frozen.Freeze()
	publish(3)
	frozen.Resume()
	c.AwaitInSync("S")
}

func TestLink(t *testing.T) {
	c := ledgertest.Start(t)
	link := ledgertest.NewLink(t, c.Nodes[0].URL)
	changed := make(chan nats.Status, 100)
	conn, err := nats.Connect(link.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.PingInterval(200*time.Millisecond), nats.MaxPingsOutstanding(1), nats.Timeout(200*time.Millisecond),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { changed <- nats.DISCONNECTED }),
		nats.ReconnectHandler(func(*nats.Conn) { changed <- nats.CONNECTED }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	become := func(want nats.Status) {
		t.Helper()
		select {
		case now := <-changed:
			if now != want {
				t.Fatalf("it is %v, want %v", now, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("it didn't become %v", want)
		}
	}
	for name, end := range map[string]func(){"cut": link.Cut, "no data": link.DropAll, "no replies": link.DropReplies} {
		t.Run(name, func(t *testing.T) {
			end()
			become(nats.DISCONNECTED)
			link.Restore()
			become(nats.CONNECTED)
		})
	}
	link.Delay(50 * time.Millisecond)
	if took, err := conn.RTT(); err != nil || took < 100*time.Millisecond {
		t.Errorf("there and back took %v, %v", took, err)
	}
	if len(changed) > 0 {
		t.Errorf("it is %v", <-changed)
	}
}

func TestLink_restoredOnceItsAddressIsFree(t *testing.T) {
	l := ledgertest.NewLink(t, "nats://127.0.0.1:1")
	l.Cut()
	taken, err := net.Listen("tcp", strings.TrimPrefix(l.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = taken.Close() })
	l.Restore()
	c, err := net.Dial("tcp", strings.TrimPrefix(l.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
