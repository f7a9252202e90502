//go:build integration

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

// Issue 10, number 18: bits are flipped and files cut in the store of one of three NATS
// servers, while it is off. Whatever NATS makes of it, no ledger yields another history
// than the one that was acknowledged, or an end before it, without an error; and a
// gateway's copy has all of it. EXITGATE_TEST_ROUNDS makes more than a sample of it.
func TestCluster_damagedStore(t *testing.T) {
	random, rounds := drawRounds(t)
	cluster := ledgertest.Start(t)
	o := elsewhere(cluster.URLs()...)
	o.Cluster.Replicas = 3
	writer := open(t, o)
	name := filepath.Join(t.TempDir(), "records.log")
	kept := openArchive(t, name, quiet())
	var records []ledger.Record
	write := func(count int) {
		for range count {
			after := ledger.Point{}
			if len(records) > 0 {
				after = records[len(records)-1].Point()
			}
			r := add(t, writer, after, strings.Repeat(fmt.Sprint("body-", len(records)+1, ";"), 1+random.IntN(500)))[0]
			if err := kept.Append(r); err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
	}
	write(30)
	whole := 0
	for round := range rounds {
		cluster.AwaitInSync("exitgate-ledger")
		n := cluster.Nodes[random.IntN(3)]
		n.Kill()
		damaged := damageStore(random, n.Folder)
		n.Start()
		t.Logf("round %d: %s: %v", round, n.Name, damaged)
		last := records[len(records)-1].Point()
		time.Sleep(2 * time.Second) // for it to take part, and perhaps to lead
		for _, at := range cluster.Nodes {
			known := elsewhere(at.URL)
			known.Cluster.Replicas, known.Known = 3, last
			l := open(t, known)
			got, failed := readHistory(within(t), l, func(err error) bool { return errors.Is(err, ledger.ErrHistory) && at != n })
			for i, r := range got {
				if r.Hash != records[i].Hash {
					t.Fatalf("%s yields another record %d", at.Name, r.Number)
				}
			}
			switch {
			case failed != nil:
				t.Logf("%s: %v", at.Name, failed)
			case len(got) != len(records):
				t.Fatalf("%s yields %d records of %d, and no error", at.Name, len(got), len(records))
			default:
				whole++
			}
			closed(t, l)
		}
		if err := kept.Check(); err != nil || kept.Last() != last {
			t.Fatalf("the copy ends with %v, %v", kept.Last(), err)
		}
		if whole != 3*(round+1) {
			break
		}
		write(3)
	}
	t.Logf("of %d servers' histories %d were whole", 3*rounds, whole)
	if err := kept.Sync(); err != nil {
		t.Fatal(err)
	}
	expectRecords(t, kept, records)
	folder := t.TempDir()
	if _, err := ledger.Import(within(t), ledger.Options{Folder: folder, Log: quiet()}, kept, func(uint64) {}); err != nil {
		t.Fatal(err)
	}
	again := open(t, ledger.Options{Folder: folder, Known: records[len(records)-1].Point()})
	if report := verify(t, again); report.Records != len(records) || report.Invalid != nil {
		t.Errorf("made again it is %+v", report)
	}
}

// drawRounds returns what a test draws by, and how many rounds it makes: 3, or as
// EXITGATE_TEST_SEED and EXITGATE_TEST_ROUNDS say.
func drawRounds(t *testing.T) (random *rand.Rand, rounds int) {
	seed, rounds := uint64(time.Now().UnixNano()), 3
	for name, value := range map[string]any{"EXITGATE_TEST_SEED": &seed, "EXITGATE_TEST_ROUNDS": &rounds} {
		_, _ = fmt.Sscan(os.Getenv(name), value) // else it stays
	}
	t.Logf("EXITGATE_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0)), rounds
}

// readHistory returns all records of a ledger and nil, or those before an error. As a
// server that has just started may not answer yet, it reads again after an error for as
// long as a cluster needs to elect a leader, unless the error is final.
func readHistory(ctx context.Context, l *ledger.Ledger, final func(error) bool) (records []ledger.Record, failed error) {
	for range 40 {
		records, failed = nil, nil
		for r, err := range l.History(ctx, ledger.Point{}) {
			if failed = err; err == nil {
				records = append(records, r)
			}
		}
		if failed == nil || final(failed) {
			break
		}
		pauseFor(ctx, 250*time.Millisecond)
	}
	return records, failed
}

// damageStore flips a bit in some files of a stream, or cuts them, and returns which. A
// server may write them at the same time.
func damageStore(random *rand.Rand, folder string) (damaged []string) {
	var files []string
	_ = filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error { // some go meanwhile
		if err == nil && d.Type().IsRegular() && strings.Contains(file, "streams") {
			files = append(files, file)
		}
		return nil
	})
	for range 1 + random.IntN(3) {
		if len(files) == 0 {
			return damaged
		}
		name := files[random.IntN(len(files))]
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // gone
		}
		if info, err := file.Stat(); err == nil && info.Size() > 0 {
			at, b, what := random.Int64N(info.Size()), make([]byte, 1), "flipped at"
			if random.IntN(2) == 0 {
				what, err = "cut at", file.Truncate(at)
			} else if _, err = file.ReadAt(b, at); err == nil {
				b[0] ^= 1 << random.IntN(8)
				_, err = file.WriteAt(b, at)
			}
			if err == nil {
				damaged = append(damaged, fmt.Sprintf("%s %s %d", strings.TrimPrefix(name, folder), what, at))
			}
		}
		_ = file.Close()
	}
	return damaged
}
