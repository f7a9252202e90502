//go:build integration

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

// A truth is which records were acknowledged, or delivered to anybody: there is one
// history, whatever happens to a store.
type truth struct {
	t       *testing.T
	mu      sync.Mutex
	records []ledger.Record
}

// see holds a record against what anybody has seen before.
func (h *truth) see(who string, r ledger.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch number := int(r.Number); {
	case number == len(h.records)+1:
		h.records = append(h.records, r)
	case number > len(h.records)+1:
		h.t.Errorf("%s has record %d, and %d are known", who, number, len(h.records))
	case h.records[number-1].Hash != r.Hash:
		h.t.Errorf("%s has another record %d", who, number)
	}
}

func (h *truth) all() []ledger.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records[:len(h.records):len(h.records)]
}

// Issue 10, number 18, under load: bits are flipped and files cut in the store of one of
// three NATS servers while it runs and records are written as fast as they can be, and
// it is killed and started again in between. No gateway that follows is given another
// history, none that reads it later finds less without an error, and a gateway's copy
// has all that was acknowledged. EXITGATE_TEST_ROUNDS makes more than a sample of it.
func TestCluster_damagedStoreUnderLoad(t *testing.T) {
	random, rounds := drawRounds(t)
	cluster := ledgertest.Start(t)
	victim := cluster.Nodes[random.IntN(3)]
	o := elsewhere(cluster.URLs()...)
	o.Cluster.Replicas = 3
	writer := open(t, o)
	copied := filepath.Join(t.TempDir(), "records.log")
	kept := openArchive(t, copied, quiet())
	seen := &truth{t: t}

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var acknowledged, unacknowledged int
	running.Go(func() {
		acknowledged, unacknowledged = writeUntil(ctx, t, writer, kept, seen, random.Uint64())
	})
	for _, n := range cluster.Nodes {
		known := elsewhere(n.URL)
		known.Cluster.Replicas = 3
		l := open(t, known)
		running.Go(func() {
			var last ledger.Point
			for ctx.Err() == nil {
				_ = l.Follow(ctx, last, func(r ledger.Record) {
					if r.Number <= last.Number {
						t.Errorf("at %s record %d comes after %d", n.Name, r.Number, last.Number)
					}
					last = r.Point()
					seen.see("who follows at "+n.Name, r)
				}, func() {})
				pauseFor(ctx, 100*time.Millisecond)
			}
		})
	}
	damages, leads := 0, 0
	for round := range rounds {
		if cluster.Leader("exitgate-ledger") == victim {
			leads++
		}
		before := len(seen.all())
		damages += len(damageStore(random, victim.Folder))
		pauseFor(ctx, time.Duration(random.IntN(2000))*time.Millisecond)
		if random.IntN(3) > 0 { // else it goes on with what it has
			victim.Kill()
			if random.IntN(2) == 0 {
				damages += len(damageStore(random, victim.Folder))
			}
			pauseFor(ctx, time.Duration(random.IntN(1000))*time.Millisecond)
			victim.Start()
			pauseFor(ctx, time.Second)
		}
		if round%10 == 0 {
			t.Logf("round %d: %d records, %d of them in it", round, len(seen.all()), len(seen.all())-before)
		}
		if t.Failed() {
			break
		}
	}
	stop()
	running.Wait()
	records := seen.all()
	t.Logf("%d rounds, %d files damaged at %s, which led in %d: %d records acknowledged, %d more written without that", rounds, damages, victim.Name, leads, acknowledged, unacknowledged)

	// What can be read now is all of it, or an error.
	last := records[len(records)-1].Point()
	whole := 0
	for _, n := range cluster.Nodes {
		known := elsewhere(n.URL)
		known.Cluster.Replicas, known.Known = 3, last
		l := open(t, known)
		got, err := readHistory(patiently(t), l, func(error) bool { return false })
		for _, r := range got {
			seen.see("who reads at "+n.Name, r)
		}
		switch {
		case err != nil:
			t.Logf("%s: %v", n.Name, err)
		case len(got) < len(records):
			t.Errorf("%s yields %d records of %d, and no error", n.Name, len(got), len(records))
		default:
			whole++
		}
		closed(t, l)
	}
	t.Logf("of 3 servers' histories %d are whole", whole)

	// Whatever became of the stream, it can be made again.
	if err := errors.Join(kept.Check(), kept.Sync()); err != nil {
		t.Fatal(err)
	}
	expectRecords(t, kept, records[:kept.Last().Number])
	if lacks := len(records) - int(kept.Last().Number); lacks > 1 {
		t.Errorf("the copy lacks %d records", lacks) // the last one may not have been acknowledged
	}
	folder := t.TempDir()
	if _, err := ledger.Import(patiently(t), ledger.Options{Folder: folder, Log: quiet()}, kept, func(uint64) {}); err != nil {
		t.Fatal(err)
	}
	again := open(t, ledger.Options{Folder: folder, Known: kept.Last()})
	if report, err := again.Verify(patiently(t), nil); err != nil || uint64(report.Records) != kept.Last().Number || report.Invalid != nil {
		t.Errorf("made again it is %+v, %v", report, err)
	}
}

// patiently is for all of what a long run has written.
func patiently(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// writeUntil writes records, each after the last, and copies what is acknowledged, as a
// gateway does.
func writeUntil(ctx context.Context, t *testing.T, l *ledger.Ledger, kept *ledger.Archive, seen *truth, seed uint64) (acknowledged, unacknowledged int) {
	random := rand.New(rand.NewPCG(seed, 1))
	var last ledger.Point
	took := func(r ledger.Record) {
		last = r.Point()
		seen.see("the writer", r)
		if err := kept.Append(r); err != nil {
			t.Errorf("record %d isn't copied: %v", r.Number, err)
		}
	}
	for n := 0; ctx.Err() == nil; n++ {
		within, cancel := context.WithTimeout(context.Background(), patience)
		r, err := l.Append(within, last, entry(strings.Repeat(fmt.Sprint("body-", n, ";"), 1+random.IntN(200))))
		cancel()
		var conflict *ledger.Conflict
		switch {
		case err == nil:
			took(r)
			acknowledged++
		case errors.As(err, &conflict): // one of its own that it has given up
			took(conflict.Winner)
			unacknowledged++
		default:
			pauseFor(ctx, 100*time.Millisecond)
		}
	}
	return acknowledged, unacknowledged
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
