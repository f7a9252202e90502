package ledger_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
)

// alone is a NATS server that others can reach, in this process.
func alone(t testing.TB, folder string, port int) *server.Server {
	t.Helper()
	return start(t, &server.Options{ServerName: "alone", Port: port, StoreDir: folder})
}

func start(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoSigs, o.NoLog, o.MaxPayload = "127.0.0.1", true, true, 16<<20
	o.JetStream, o.DisableJetStreamBanner, o.SyncAlways = true, true, true
	if o.Port == 0 {
		o.Port = -1
	}
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server doesn't start")
	}
	return s
}

func elsewhere(urls ...string) ledger.Options {
	return ledger.Options{Cluster: &ledger.Cluster{URLs: urls}}
}

// connect connects to a server, past exitgate.
func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func raw(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	return must[jetstream.JetStream](t)(jetstream.New(connect(t, url)))
}

func until(t testing.TB, ok func() bool, what string) {
	t.Helper()
	testkit.Eventually(t, what, ok)
}

func connected(t testing.TB, l *ledger.Ledger, want bool) {
	t.Helper()
	until(t, func() bool { return l.Status().Connected == want }, fmt.Sprint("connected is ", want))
}
