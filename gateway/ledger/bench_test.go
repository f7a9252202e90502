//go:build integration

package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

// large is a policy of 250 jurisdictions.
var large = bytes.Repeat([]byte("  FR: {because: [demand], schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}\n"), 250)

// many makes a ledger of many records, without waiting for the disk at each,
// and returns the last and one that is ten before it.
func many(b *testing.B, folder string, count int, body []byte) (last, near ledger.Point) {
	b.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: folder, MaxPayload: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		b.Fatal("the NATS server doesn't start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		b.Fatal(err)
	}
	js := must[jetstream.JetStream](b)(jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(256)))
	must[jetstream.Stream](b)(js.CreateStream(within(b), jetstream.StreamConfig{Name: "exitgate-ledger", Subjects: []string{"exitgate.ledger"}, DenyDelete: true, DenyPurge: true}))
	for i := range count {
		if i == count-10 {
			near = last
		}
		r := ledger.Record{Number: last.Number + 1, Previous: last.Hash, Time: time.Now().UTC(), Content: ledger.Content{Kind: "revision", Author: "ada", Reason: "because", Body: body}}
		data := must[[]byte](b)(r.Encode())
		last = must[ledger.Record](b)(ledger.Decode(data)).Point()
		must[jetstream.PubAckFuture](b)(js.PublishMsgAsync(&nats.Msg{Subject: "exitgate.ledger", Data: data}, jetstream.WithMsgID(last.Hash.String()), jetstream.WithStallWait(patience)))
	}
	<-js.PublishAsyncComplete()
	conn.Close()
	s.Shutdown()
	s.WaitForShutdown()
	return last, near
}

// BenchmarkReady is the start with 10,000 records, until a gateway that knows
// all but the last ten has got those.
func BenchmarkReady(b *testing.B) {
	for _, kilobytes := range []int{2, 20} {
		name := fmt.Sprint(kilobytes, "KB")
		folder := b.TempDir()
		last, near := many(b, folder, 10_000, large[:kilobytes<<10])
		for _, how := range []string{"stopped", "killed"} {
			b.Run(name+"/"+how, func(b *testing.B) {
				for b.Loop() {
					if how == "killed" {
						b.StopTimer()
						if err := os.Remove(filepath.Join(filepath.Dir(blocks(b, folder)[0]), "index.db")); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
					l, err := ledger.Open(context.Background(), ledger.Options{Folder: folder, Known: near, Log: quiet()})
					if err != nil {
						b.Fatal(err)
					}
					ctx, cancel := context.WithCancel(context.Background())
					err = l.Follow(ctx, near, func(r ledger.Record) {
						if r.Point() == last {
							cancel()
						}
					}, func() {})
					if !errors.Is(err, context.Canceled) {
						b.Fatal(err)
					}
					b.StopTimer()
					closed(b, l)
					b.StartTimer()
				}
			})
		}
		b.Run(name+"/read", func(b *testing.B) {
			l := open(b, ledger.Options{Folder: folder, Known: last})
			for b.Loop() {
				count := 0
				for _, err := range l.History(context.Background(), ledger.Point{}) {
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
				if count != 10_000 {
					b.Fatal(count)
				}
			}
		})
	}
}

// BenchmarkAppend is a change of a policy of 250 jurisdictions, on disk.
func BenchmarkAppend(b *testing.B) {
	for _, body := range [][]byte{large, slices.Concat(large, large)} {
		b.Run(fmt.Sprint(len(body)>>10, "KB"), func(b *testing.B) {
			l := open(b, ledger.Options{Folder: b.TempDir()})
			var after ledger.Point
			var took []time.Duration
			for b.Loop() {
				at := time.Now()
				r, err := l.Append(context.Background(), after, ledger.Content{Kind: "revision", Author: "ada", Body: body})
				if err != nil {
					b.Fatal(err)
				}
				took, after = append(took, time.Since(at)), r.Point()
			}
			quantiles(b, took)
		})
	}
}

func quantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	for name, q := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
		b.ReportMetric(float64(took[int(q*float64(len(took)-1))].Microseconds())/1000, name+"-ms")
	}
}

// BenchmarkPropagation is from an Append to the delivery at the last of 20
// gateways, and at each.
func BenchmarkPropagation(b *testing.B) {
	b.Run("alone", func(b *testing.B) {
		propagation(b, []string{alone(b, b.TempDir(), -1).ClientURL()}, 1)
	})
	b.Run("cluster", func(b *testing.B) { propagation(b, ledgertest.Start(b).URLs(), 3) })
}

func propagation(b *testing.B, urls []string, replicas int) {
	const gateways = 20
	type arrival struct {
		number uint64
		at     time.Time
	}
	arrivals := make(chan arrival, gateways)
	var writer *ledger.Ledger
	for i := range gateways {
		o := elsewhere(urls[i%len(urls)])
		o.Cluster.Replicas = replicas
		l := open(b, o)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- l.Follow(ctx, ledger.Point{}, func(r ledger.Record) { arrivals <- arrival{r.Number, time.Now()} }, func() {})
		}()
		b.Cleanup(func() { cancel(); <-ended })
		writer = l
	}
	var after ledger.Point
	var took []time.Duration
	change := func(b *testing.B, count bool) {
		at := time.Now()
		r, err := writer.Append(within(b), after, ledger.Content{Kind: "revision", Author: "ada", Body: large})
		if err != nil {
			b.Fatal(err)
		}
		after = r.Point()
		for range gateways {
			a := <-arrivals
			if a.number != r.Number {
				b.Fatal(a.number)
			}
			if count {
				took = append(took, a.at.Sub(at))
			}
		}
	}
	change(b, false) // once all follow
	for b.Loop() {
		change(b, true)
	}
	quantiles(b, took)
}

// runResident prints what the server in the process costs in memory.
func runResident() {
	resident := func() int {
		debug.FreeOSMemory()
		status, _ := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		var kilobytes int
		fmt.Sscan(rest, &kilobytes)
		return kilobytes
	}
	before := resident()
	l, err := ledger.Open(context.Background(), ledger.Options{Folder: os.Args[1], Log: quiet()})
	if err == nil {
		go func() { _ = l.Follow(context.Background(), ledger.Point{}, func(ledger.Record) {}, func() {}) }()
		var after ledger.Point
		for r, failed := range l.History(context.Background(), after) {
			after, err = r.Point(), failed
		}
		for range 20 {
			r, failed := l.Append(context.Background(), after, ledger.Content{Kind: "revision", Author: "ada", Body: large})
			after, err = r.Point(), failed
		}
	}
	at := resident()
	time.Sleep(15 * time.Second) // what was read leaves the server's memory
	fmt.Println(before, at, resident(), err)
}

// BenchmarkResident is the memory that the server in the process costs, after
// work and at rest.
func BenchmarkResident(b *testing.B) {
	for _, records := range []int{0, 10_000} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			folder := b.TempDir()
			if records > 0 {
				many(b, folder, records, large)
			}
			process := exec.Command(os.Args[0], folder)
			process.Env = append(os.Environ(), role+"=resident")
			out := must[[]byte](b)(process.Output())
			var before, after, rest int
			var errText string
			if _, err := fmt.Sscan(string(out), &before, &after, &rest, &errText); err != nil || errText != "<nil>" {
				b.Fatalf("it printed %s", out)
			}
			for b.Loop() {
			}
			b.ReportMetric(float64(after-before)/1024, "MB-after-work")
			b.ReportMetric(float64(rest-before)/1024, "MB-at-rest")
		})
	}
}

// BenchmarkQuery is a question to this gateway alone, and to twenty.
func BenchmarkQuery(b *testing.B) {
	ask := func(b *testing.B, l *ledger.Ledger, want int) {
		var took []time.Duration
		for b.Loop() {
			at := time.Now()
			if got := answers(b, l, "how many?"); len(got) != want {
				b.Fatal(len(got))
			}
			took = append(took, time.Since(at))
		}
		quantiles(b, took)
	}
	b.Run("alone", func(b *testing.B) {
		l := open(b, ledger.Options{Folder: b.TempDir()})
		echo(b, l, "one")
		ask(b, l, 1)
	})
	b.Run("twenty", func(b *testing.B) {
		url := alone(b, b.TempDir(), -1).ClientURL()
		var l *ledger.Ledger
		for i := range 20 {
			l = open(b, elsewhere(url))
			connected(b, l, true)
			echo(b, l, fmt.Sprint(i))
		}
		until(b, func() bool { return len(answers(b, l, "")) == 20 }, "all answer")
		ask(b, l, 20)
	})
}
