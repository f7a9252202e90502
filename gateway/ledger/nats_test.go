package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
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

// raw is a connection with which somebody goes behind exitgate's back.
func raw(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return must[jetstream.JetStream](t)(jetstream.New(conn))
}

// until waits until something is so.
func until(t testing.TB, so func() bool, what string) {
	t.Helper()
	for ctx := within(t); !so(); time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("it didn't come that %s", what)
		}
	}
}

func connected(t testing.TB, l *ledger.Ledger, want bool) {
	t.Helper()
	until(t, func() bool { return l.Connected() == want }, fmt.Sprint("connected is ", want))
}

// runWriter appends to the ledger in a folder until it is killed, and says
// what was acknowledged.
func runWriter() {
	l, err := ledger.Open(context.Background(), ledger.Options{Folder: os.Args[1], Log: quiet()})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var after ledger.Point
	for r, err := range l.History(context.Background(), after) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		after = r.Point()
	}
	fmt.Println("found", after.Number, after.Hash)
	body := strings.Repeat("x", 20<<10)
	for {
		r, err := l.Append(context.Background(), after, entry(body))
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("acked", r.Number, r.Hash)
		after = r.Point()
	}
}

// a writer is a process that appends.
type writer struct {
	process *exec.Cmd
	says    *bufio.Reader
}

func startWriter(t *testing.T, folder string) *writer {
	t.Helper()
	process := exec.Command(os.Args[0], folder)
	process.Env = append(os.Environ(), role+"=writer")
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &writer{process, bufio.NewReader(out)}
}

// next is what the writer says next; nothing if it was killed within a line.
func (w *writer) next(t *testing.T) (word string, at ledger.Point) {
	t.Helper()
	line, err := w.says.ReadString('\n')
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return "", at
	}
	if err != nil {
		t.Fatal(err)
	}
	var hash string
	if _, err := fmt.Sscan(line, &word, &at.Number, &hash); err != nil {
		t.Fatalf("the writer says %s", line)
	}
	if err := at.Hash.UnmarshalText([]byte(hash)); err != nil {
		t.Fatal(err)
	}
	return word, at
}
