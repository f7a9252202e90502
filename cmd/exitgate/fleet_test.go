//go:build integration

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// stream is where a fleet's ledger is in NATS.
const stream = "exitgate-ledger"

// A fleet is gateways with one ledger, in a NATS cluster.
type fleet struct {
	t        *testing.T
	nats     *ledgertest.Cluster
	clock    string // file, for all
	direct   bool   // there are no lines to cut
	gateways []*ledgerGateway
	lines    map[*ledgerGateway][]*ledgertest.Link // to the nodes
}

// newFleet starts a cluster and gateways, each of which serves by the first
// edition.
func newFleet(t *testing.T, size int) *fleet {
	t.Helper()
	f := &fleet{t: t, lines: make(map[*ledgerGateway][]*ledgertest.Link)}
	f.start(size)
	return f
}

// newTimedFleet starts a fleet with a clock that is set by the test.
func newTimedFleet(t *testing.T, size int, at time.Time) *fleet {
	t.Helper()
	f := &fleet{t: t, lines: make(map[*ledgerGateway][]*ledgertest.Link), clock: filepath.Join(t.TempDir(), "clock")}
	f.setClock(at)
	f.start(size)
	return f
}

func (f *fleet) start(size int) {
	f.t.Helper()
	f.nats = ledgertest.Start(f.t)
	f.grow(size)
	f.gateways[0].apply(edition(1), "edition 1")
	f.waitConverged()
}

// grow starts more gateways.
func (f *fleet) grow(size int) {
	f.t.Helper()
	var starting sync.WaitGroup
	started := make([]bool, size)
	first := len(f.gateways)
	for i := range size {
		g := f.newMember(fmt.Sprint("gateway", first+i))
		f.gateways = append(f.gateways, g)
		starting.Go(func() { started[i] = g.run() })
	}
	starting.Wait()
	for i, g := range f.gateways[first:] {
		if !started[i] {
			f.t.Fatalf("%s didn't start:\n%s", g.name, g.log)
		}
		g.stopsWithTheTest()
	}
}

// setClock sets the clock of all gateways.
func (f *fleet) setClock(at time.Time) {
	f.t.Helper()
	testkit.ReplaceFile(f.t, f.clock, at.Format(time.RFC3339))
}

func (f *fleet) leader() *ledgertest.Node { return f.nats.Leader(stream) }

// follower is a node that isn't the leader.
func (f *fleet) follower() *ledgertest.Node {
	at := slices.Index(f.nats.Nodes, f.leader())
	return f.nats.Nodes[(at+1)%len(f.nats.Nodes)]
}

// stopNATS kills all of NATS.
func (f *fleet) stopNATS() {
	for _, n := range f.nats.Nodes {
		n.Kill()
	}
}

// startNATS starts all of NATS again.
func (f *fleet) startNATS() {
	for _, n := range f.nats.Nodes {
		n.Start()
	}
}

// newMember sets a gateway up, but doesn't start it.
func (f *fleet) newMember(name string) *ledgerGateway {
	f.t.Helper()
	g := newLedgerGateway(f.t)
	g.name, g.clock = name, f.clock
	urls := f.nats.URLs()
	if !f.direct {
		for i, url := range urls {
			line := ledgertest.NewLink(f.t, url)
			f.lines[g], urls[i] = append(f.lines[g], line), line.URL()
		}
	}
	g.source = fmt.Sprintf("{ledger: {nats: [%s], replicas: 3}}", strings.Join(urls, ", "))
	return g
}

// each does something with every gateway at the same time.
func (f *fleet) each(do func(*ledgerGateway)) {
	var running sync.WaitGroup
	for _, g := range f.gateways {
		running.Go(func() { do(g) })
	}
	running.Wait()
}

// cutOff cuts all lines of a gateway.
func (f *fleet) cutOff(g *ledgerGateway) {
	for _, line := range f.lines[g] {
		line.Cut()
	}
}

func (f *fleet) silence(g *ledgerGateway) {
	for _, line := range f.lines[g] {
		line.DropAll()
	}
}

func (f *fleet) mend(g *ledgerGateway) {
	for _, line := range f.lines[g] {
		line.Restore()
	}
}

// waitConnected waits until a gateway has noticed whether it can reach the
// ledger.
func (g *ledgerGateway) waitConnected(want bool) {
	g.t.Helper()
	testkit.Eventually(g.t, fmt.Sprintf("%s knows that connected is %v", g.name, want), func() bool {
		s := g.status()
		return s.Ledger.Connected == want && s.Checks["ledger"].OK == want
	})
	if value := g.metric("exitgate_ledger_connected"); value != map[bool]string{true: "1", false: "0"}[want] {
		g.t.Errorf("%s: connected is %v, and the metric says %s", g.name, want, value)
	}
}

// waitConverged waits until all gateways go by the same record, and holds their
// histories against each other. It returns the one that they have.
func (f *fleet) waitConverged() []api.Record {
	f.t.Helper()
	f.waitAgreed(f.gateways...)
	first := f.gateways[0].history()
	last := slices.MaxFunc(first, func(a, b api.Record) int { return cmp.Compare(a.Number, b.Number) }).Number
	for _, g := range f.gateways[1:] {
		// A gateway may record meanwhile what took place.
		testkit.Eventually(f.t, g.name+" has the record that the first has", func() bool { return g.status().Ledger.Last >= last })
		history := slices.DeleteFunc(g.history(), func(r api.Record) bool { return r.Number > last })
		if diff := gocmp.Diff(first, history); diff != "" {
			f.t.Errorf("%s has another history: %s", g.name, diff)
		}
	}
	return first
}

// waitAgreed waits until some gateways are connected and go by the same record.
func (f *fleet) waitAgreed(gateways ...*ledgerGateway) {
	f.t.Helper()
	testkit.Eventually(f.t, "the gateways agree", func() bool {
		first := gateways[0].status()
		return !slices.ContainsFunc(gateways, func(g *ledgerGateway) bool {
			s := g.status()
			return !s.Ledger.Connected || s.Ledger.Last != first.Ledger.Last || s.Revision != first.Revision
		})
	})
}

var firstDay = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

// edition is a policy that shows which one it is in each answer to a client in
// France: by the Sunset. Italy is withdrawn by each.
func edition(n int) string {
	return fmt.Sprintf(`version: 1
jurisdictions:
  FR:
    schedule:
      - {from: 2026-01-01T00:00:00Z, phase: announced}
      - {from: %s, phase: withdrawn}
  IT: withdrawn
`, firstDay.AddDate(0, 0, n).Format(time.RFC3339))
}

// currentEdition returns the edition that a gateway decides by, as its clients find
// out. An error is an answer that no edition gives.
func (g *ledgerGateway) currentEdition(ctx context.Context) (int, error) {
	for country, want := range map[string]int{"DE": http.StatusOK, "IT": http.StatusUnavailableForLegalReasons} {
		if status, _, err := g.answers(ctx, country); err != nil || status != want {
			return 0, fmt.Errorf("a client in %s gets %d, want %d (%w)", country, status, want, err)
		}
	}
	return g.sunset(ctx)
}

// sunset returns the edition by which a client in France is answered.
func (g *ledgerGateway) sunset(ctx context.Context) (int, error) {
	status, header, err := g.answers(ctx, "FR")
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("a client in FR gets %d (%w)", status, err)
	}
	at, err := http.ParseTime(header.Get("Sunset"))
	return int(at.Sub(firstDay) / (24 * time.Hour)), err
}

func (g *ledgerGateway) answers(ctx context.Context, country string) (int, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+g.https+"/", nil)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("X-Forwarded-For", clients[country])
	res, err := g.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header, errors.Join(err, res.Body.Close())
}

// expectEdition holds what a gateway decides by against an edition.
func (g *ledgerGateway) expectEdition(want int) {
	g.t.Helper()
	if got, err := g.currentEdition(g.t.Context()); err != nil || got != want {
		g.t.Errorf("%s decides by edition %d, %v, want %d", g.name, got, err, want)
	}
}

// A observer is a client that asks a gateway all the time.
type observer struct {
	gateway *ledgerGateway
	asked   int
	seen    []int // editions, each when it began
	wrong   []string
}

// whileObserved has clients ask all gateways while something goes on, and holds
// what they got against the history that it came to: each answer must be by a
// revision, and none by an older one than the answer before.
func (f *fleet) whileObserved(goesOn func()) {
	f.t.Helper()
	var running sync.WaitGroup
	witnesses := make([]*observer, len(f.gateways))
	stop := make(chan struct{})
	for i, g := range f.gateways {
		witnesses[i] = &observer{gateway: g}
		running.Go(func() { witnesses[i].observe(stop) })
	}
	func() {
		defer running.Wait() // also if the test fails
		defer close(stop)
		goesOn()
	}()
	order := []int{}
	for _, r := range f.waitConverged() {
		if n := 0; r.Kind == changes.RevisionMade && r.Refused == "" {
			_, _ = fmt.Sscanf(r.Because, "edition %d", &n) // others have none
			order = append(order, n)
		}
	}
	for _, w := range witnesses {
		for _, wrong := range w.wrong {
			f.t.Errorf("%s: %s", w.gateway.name, wrong)
		}
		rest := order
		for _, n := range w.seen {
			at := slices.Index(rest, n)
			if at < 0 {
				f.t.Errorf("%s decided by the editions %v, and there were %v", w.gateway.name, w.seen, order)
				break
			}
			rest = rest[at:]
		}
		if last := order[len(order)-1]; len(w.seen) == 0 || w.seen[len(w.seen)-1] != last {
			w.gateway.expectEdition(last)
		}
		f.t.Logf("%s: %d questions, editions %v", w.gateway.name, w.asked, w.seen)
	}
}

func (w *observer) observe(stop chan struct{}) {
	for pause := time.NewTicker(10 * time.Millisecond); ; <-pause.C {
		select {
		case <-stop:
			return
		default:
		}
		w.asked++
		n, err := w.gateway.currentEdition(context.Background())
		switch {
		case err != nil && len(w.wrong) < 5:
			w.wrong = append(w.wrong, err.Error())
		case err == nil && (len(w.seen) == 0 || w.seen[len(w.seen)-1] != n):
			w.seen = append(w.seen, n)
		}
	}
}

// A changeWriter applies one edition after the other, each on the next gateway, and
// keeps account of what it was told.
type changeWriter struct {
	fleet *fleet
	stop  chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	last    int            // edition
	acked   map[int]uint64 // revision by edition
	failed  map[int]error  // that say that nothing was changed
	unknown map[int]error
	slowest time.Duration
}

// startWriter starts a scribe, with the edition after the first.
func (f *fleet) startWriter() *changeWriter {
	s := &changeWriter{
		fleet: f, stop: make(chan struct{}), ended: make(chan struct{}), last: 1,
		acked: map[int]uint64{}, failed: map[int]error{}, unknown: map[int]error{},
	}
	go s.run()
	f.t.Cleanup(s.end)
	return s
}

func (s *changeWriter) run() {
	defer close(s.ended)
	for pause := time.NewTicker(50 * time.Millisecond); ; <-pause.C {
		select {
		case <-s.stop:
			return
		default:
		}
		began := time.Now()
		s.last++
		g := s.fleet.gateways[s.last%len(s.fleet.gateways)]
		plan, err := g.plan(edition(s.last))
		var change api.Change
		if err == nil {
			change, err = g.propose(edition(s.last), fmt.Sprint("edition ", s.last), plan)
		}
		s.note(change, err, time.Since(began))
	}
}

func (s *changeWriter) note(change api.Change, err error, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowest = max(s.slowest, took)
	var problem *api.Problem
	switch {
	case err == nil:
		s.acked[s.last] = change.InForce.Number
	case errors.As(err, &problem) && (problem.Code == string(changes.Conflict) || problem.Code == "ledger-unavailable"):
		s.failed[s.last] = err
	default:
		s.unknown[s.last] = err
	}
}

// waitWritten waits until some more changes were acknowledged.
func (s *changeWriter) waitWritten(more int) {
	s.fleet.t.Helper()
	acked := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.acked)
	}
	before := acked()
	testkit.Eventually(s.fleet.t, "changes go on", func() bool { return acked() >= before+more })
}

func (s *changeWriter) end() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.ended
}

// expectAllWritten holds what the scribe was told against the history.
func (s *changeWriter) expectAllWritten() {
	t := s.fleet.t
	t.Helper()
	s.end()
	written := map[string]uint64{}
	for _, r := range s.fleet.waitConverged() {
		if before, twice := written[r.Because]; twice {
			t.Errorf("%s is there twice, as %d and %d", r.Because, before, r.Number)
		}
		written[r.Because] = r.Number
	}
	for _, n := range slices.Sorted(maps.Keys(s.acked)) {
		if got := written[fmt.Sprint("edition ", n)]; got != s.acked[n] {
			t.Errorf("edition %d was acknowledged as revision %d, and is %d", n, s.acked[n], got)
		}
	}
	for n, err := range s.failed {
		if got, found := written[fmt.Sprint("edition ", n)]; found {
			t.Errorf("edition %d is revision %d, and what was said was %v", n, got, err)
		}
	}
	for n, err := range s.unknown {
		var problem *api.Problem
		if !errors.As(err, &problem) || problem.Code != "not-acknowledged" {
			t.Errorf("edition %d: %v", n, err)
		}
	}
	t.Logf("%d changes acknowledged, %d failed, %d unknown; the slowest took %v", len(s.acked), len(s.failed), len(s.unknown), s.slowest.Round(time.Millisecond))
}

func (g *ledgerGateway) verification() api.Verification {
	g.t.Helper()
	var v api.Verification
	if err := g.ask("GET", "/v1/log/verification", nil, &v); err != nil {
		g.t.Fatal(g.name, err)
	}
	return v
}
