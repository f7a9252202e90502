//go:build integration

package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

// The test binary is also what runs in the processes that tests kill.
const role = "LEDGER_TEST_ROLE"

func TestMain(m *testing.M) {
	ledgertest.Main()
	switch os.Getenv(role) {
	case "limited":
		runLimited()
	case "resident":
		runResident()
	case "writer":
		runWriter()
	default:
		verifyNoLeak(m)
	}
}

func TestAppend_acknowledgedRecordsSurviveKills(t *testing.T) {
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

// runLimited fills the ledger in a folder until a file can't grow.
func runLimited() {
	limit := &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, limit)
	l, opening := ledger.Open(context.Background(), ledger.Options{Folder: os.Args[1], Log: quiet()})
	if err := errors.Join(err, opening); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var last ledger.Record
	for err == nil {
		var r ledger.Record
		if r, err = l.Append(context.Background(), last.Point(), entry(strings.Repeat("x", 100<<10))); err == nil {
			last = r
		}
	}
	report, verifying := l.Verify(context.Background(), nil)
	fmt.Println("complete:", report.Last == last.Point() && len(report.Invalid) == 0 && verifying == nil)
	fmt.Println(strings.ReplaceAll(err.Error(), os.Args[1], ""))
	os.Exit(0)
}

func TestAppend_fileSizeLimit(t *testing.T) {
	folder := t.TempDir()
	process := exec.Command(os.Args[0], folder)
	process.Env = append(os.Environ(), role+"=limited")
	process.Stderr = os.Stderr
	out := must[[]byte](t)(process.Output())
	if got := string(out); !strings.HasPrefix(got, "complete: true\nnothing was written: ") || !strings.Contains(got, "1.blk") {
		t.Errorf("it printed %s", got)
	}
	open(t, ledger.Options{Folder: folder})
}

// runWriter appends to the ledger in a folder until it is killed, and prints
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
	output  *bufio.Reader
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

// next returns the next line of the writer, nothing if it was killed within a line.
func (w *writer) next(t *testing.T) (word string, at ledger.Point) {
	t.Helper()
	line, err := w.output.ReadString('\n')
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return "", at
	}
	if err != nil {
		t.Fatal(err)
	}
	var hash string
	if _, err := fmt.Sscan(line, &word, &at.Number, &hash); err != nil {
		t.Fatalf("the writer printed %s", line)
	}
	if err := at.Hash.UnmarshalText([]byte(hash)); err != nil {
		t.Fatal(err)
	}
	return word, at
}

func TestCluster_nodesLostAndBack(t *testing.T) {
	cluster := ledgertest.Start(t)
	nodes := cluster.Nodes
	var gateways []*ledger.Ledger
	var followers []*follower
	var links []*ledgertest.Link
	for i := range 5 {
		link := ledgertest.NewLink(t, nodes[i%3].URL)
		links = append(links, link)
		o := elsewhere(append([]string{link.URL()}, cluster.URLs()...)...)
		if i == 4 { // this one has no other way
			o = elsewhere(link.URL())
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

	links[4].Cut()
	connected(t, gateways[4], false)
	dead := cluster.Leader("exitgate-ledger")
	dead.Kill() // the leader
	for range 3 {
		round(0, 1, 2, 3)
	}
	agreed(0, 1, 2, 3)

	dead.Start()
	links[4].Restore()
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

// Issue 10, number 16: two of three servers are lost, and each ledger shows it, also
// one that is connected to the third.
func TestCluster_twoNodesLost(t *testing.T) {
	cluster := ledgertest.Start(t)
	var all []*ledger.Ledger
	for i := range cluster.Nodes {
		o := elsewhere(cluster.Nodes[i].URL)
		o.Cluster.Replicas = 3
		l := open(t, o)
		follow(t, l, ledger.Point{})
		all = append(all, l)
	}
	first := add(t, all[0], ledger.Point{}, "a")
	cluster.AwaitInSync("exitgate-ledger")
	for _, l := range all {
		connected(t, l, true)
	}
	leader := slices.Index(cluster.Nodes, cluster.Leader("exitgate-ledger"))
	for name, lose := range map[string]struct{ how, back func(*ledgertest.Node) }{
		"frozen": {(*ledgertest.Node).Freeze, (*ledgertest.Node).Resume},
		"killed": {(*ledgertest.Node).Kill, (*ledgertest.Node).Start},
	} {
		began := time.Now()
		for i, n := range cluster.Nodes {
			if i != leader {
				lose.how(n)
			}
		}
		for _, l := range all {
			connected(t, l, false)
		}
		for deadline := time.Now().Add(patience); !strings.Contains(all[leader].Status().Why, "servers"); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the one that is connected to the third says %+v", all[leader].Status())
			}
		}
		t.Logf("two servers are %s: all show it after %v", name, time.Since(began))
		for i, n := range cluster.Nodes {
			if i != leader {
				lose.back(n)
			}
		}
		for _, l := range all {
			connected(t, l, true)
		}
		cluster.AwaitInSync("exitgate-ledger")
		leader = slices.Index(cluster.Nodes, cluster.Leader("exitgate-ledger"))
	}
	// A write that isn't answered shows it, too.
	for i, n := range cluster.Nodes {
		if i != leader {
			n.Freeze()
			defer n.Resume()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := all[leader].Append(ctx, first[0].Point(), entry("b")); err == nil {
		t.Error("it is written")
	}
	if all[leader].Status().Connected {
		t.Error("a write wasn't answered, and the ledger shows as connected")
	}
}

// Issue 10, number 16: whoever is connected to a server that is frozen goes to another.
func TestCluster_frozenNode(t *testing.T) {
	cluster := ledgertest.Start(t)
	o := elsewhere(cluster.URLs()...)
	o.Cluster.Replicas = 3
	var all []*follower
	for range 9 { // some of them on each server
		all = append(all, follow(t, open(t, o), ledger.Point{}))
	}
	writer := open(t, o)
	last := add(t, writer, ledger.Point{}, "a")[0]
	for _, f := range all {
		f.until("1 a")
	}
	cluster.AwaitInSync("exitgate-ledger")
	n := cluster.Nodes[(slices.Index(cluster.Nodes, cluster.Leader("exitgate-ledger"))+1)%3]
	n.Freeze()
	defer n.Resume()
	last = add(t, writer, last.Point(), "b")[0]
	began := time.Now()
	for _, f := range all {
		f.until("2 b")
	}
	t.Logf("all have record %d %v after it was written", last.Number, time.Since(began))
}
