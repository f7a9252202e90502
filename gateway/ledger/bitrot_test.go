//go:build integration

package ledger_test

import (
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
	seed, rounds := uint64(time.Now().UnixNano()), 3
	for name, value := range map[string]any{"EXITGATE_TEST_SEED": &seed, "EXITGATE_TEST_ROUNDS": &rounds} {
		_, _ = fmt.Sscan(os.Getenv(name), value) // else it stays
	}
	t.Logf("EXITGATE_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
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
		damaged := damageStore(t, random, n.Folder)
		n.Start()
		t.Logf("round %d: %s: %v", round, n.Name, damaged)
		last := records[len(records)-1].Point()
		time.Sleep(2 * time.Second) // for it to take part, and perhaps to lead
		for _, at := range cluster.Nodes {
			known := elsewhere(at.URL)
			known.Cluster.Replicas, known.Known = 3, last
			l := open(t, known)
			var got []ledger.Record
			var failed error
			for range 40 {
				got, failed = nil, nil
				for r, err := range l.History(within(t), ledger.Point{}) {
					if failed = err; err == nil {
						got = append(got, r)
					}
				}
				if failed == nil || errors.Is(failed, ledger.ErrHistory) && at != n {
					break
				}
				time.Sleep(250 * time.Millisecond)
			}
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

// damageStore flips a bit in some of the files of a folder, or cuts them.
func damageStore(t *testing.T, random *rand.Rand, folder string) (damaged []string) {
	t.Helper()
	var files []string
	if err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(file, "streams") {
			files = append(files, file)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for range 1 + random.IntN(3) {
		file := files[random.IntN(len(files))]
		content := must[[]byte](t)(os.ReadFile(file))
		if len(content) == 0 {
			continue
		}
		at := random.IntN(len(content))
		what := "cut at"
		if random.IntN(2) == 0 {
			what = "flipped at"
			content[at] ^= 1 << random.IntN(8)
		} else {
			content = content[:at]
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		damaged = append(damaged, fmt.Sprintf("%s %s %d", strings.TrimPrefix(file, folder), what, at))
	}
	return damaged
}
