package main

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/google/go-cmp/cmp"

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
	gateways []*member
}

// A member is a gateway of a fleet.
type member struct {
	*machine
	name  string
	lines []*ledgertest.Link // to the nodes
	api   *http.Client       // over the socket
}

// newFleet starts a cluster and gateways, each of which serves by the first
// edition.
func newFleet(t *testing.T, size int) *fleet {
	t.Helper()
	f := &fleet{t: t}
	f.start(size)
	return f
}

// newTimedFleet starts a fleet with a clock that is set by the test.
func newTimedFleet(t *testing.T, size int, at time.Time) *fleet {
	t.Helper()
	f := &fleet{t: t, clock: filepath.Join(t.TempDir(), "clock")}
	f.sets(at)
	f.start(size)
	return f
}

func (f *fleet) start(size int) {
	f.t.Helper()
	f.nats = ledgertest.Start(f.t)
	f.grow(size)
	f.gateways[0].applies(edition(1), "edition 1")
	f.converges()
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

// sets sets the clock of all gateways.
func (f *fleet) sets(at time.Time) {
	f.t.Helper()
	testkit.ReplaceFile(f.t, f.clock, at.Format(time.RFC3339))
}

func (f *fleet) leader() *ledgertest.Node { return f.nats.Leader(stream) }

// follower is a node that isn't the leader.
func (f *fleet) follower() *ledgertest.Node {
	at := slices.Index(f.nats.Nodes, f.leader())
	return f.nats.Nodes[(at+1)%len(f.nats.Nodes)]
}

// goesDown kills all of NATS.
func (f *fleet) goesDown() {
	for _, n := range f.nats.Nodes {
		n.Kill()
	}
}

// comesUp starts all of NATS again.
func (f *fleet) comesUp() {
	for _, n := range f.nats.Nodes {
		n.Start()
	}
}

// newMember sets a gateway up, but doesn't start it.
func (f *fleet) newMember(name string) *member {
	f.t.Helper()
	g := alone(f.t)
	g.name, g.clock = name, f.clock
	urls := f.nats.URLs()
	if !f.direct {
		for i, url := range urls {
			line := ledgertest.NewLink(f.t, url)
			g.lines, urls[i] = append(g.lines, line), line.URL()
		}
	}
	g.source = fmt.Sprintf("{ledger: {nats: [%s], replicas: 3}}", strings.Join(urls, ", "))
	return g
}

// each does something with every gateway at the same time.
func (f *fleet) each(do func(*member)) {
	var running sync.WaitGroup
	for _, g := range f.gateways {
		running.Go(func() { do(g) })
	}
	running.Wait()
}

// cutOff cuts all lines of a gateway.
func (g *member) cutOff() {
	for _, line := range g.lines {
		line.Cut()
	}
}

func (g *member) silence() {
	for _, line := range g.lines {
		line.DropAll()
	}
}

func (g *member) mend() {
	for _, line := range g.lines {
		line.Restore()
	}
}

// ask asks the API over the socket. The error is an *api.Problem if the gateway
// says one.
func (g *member) ask(method, path string, in, out any, header ...string) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://exitgate"+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	res, err := g.api.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 300 {
		return json.NewDecoder(res.Body).Decode(out)
	}
	problem := new(api.Problem)
	if err := json.NewDecoder(res.Body).Decode(problem); err != nil {
		return fmt.Errorf("%s %s: %d, and no problem: %w", method, path, res.StatusCode, err)
	}
	return problem
}

// plans returns what a policy would do.
func (g *member) plans(policy string) (api.Plan, error) {
	var plan api.Plan
	return plan, g.ask("POST", "/v1/plan", api.Proposal{Policy: policy}, &plan)
}

// proposes brings a policy that was planned into force.
func (g *member) proposes(policy, because string, plan api.Plan) (api.Change, error) {
	var change api.Change
	err := g.ask("POST", "/v1/changes", api.Proposal{Policy: policy, Because: because, Plan: plan.Plan.Hash}, &change,
		fmt.Sprintf("If-Match: %q", fmt.Sprint(plan.Revision)))
	if err == nil && change.InForce == nil {
		err = fmt.Errorf("it isn't in force: %+v", change)
	}
	return change, err
}

// applies brings a policy into force, and returns its revision.
func (g *member) applies(policy, because string) uint64 {
	g.t.Helper()
	plan, err := g.plans(policy)
	var change api.Change
	if err == nil {
		change, err = g.proposes(policy, because, plan)
	}
	if err != nil {
		g.t.Fatalf("%s: %s: %v", g.name, because, err)
	}
	return change.InForce.Number
}

func (g *member) status() api.Status {
	g.t.Helper()
	var s api.Status
	if err := g.ask("GET", "/v1/status", nil, &s); err != nil {
		g.t.Fatal(g.name, err)
	}
	return s
}

// history is the whole log of a gateway, the oldest record first, when it can be
// read.
func (g *member) history() []api.Record {
	g.t.Helper()
	var all []api.Record
	for path := "/v1/log?limit=100"; path != ""; {
		var page api.Log
		testkit.Eventually(g.t, g.name+" can read "+path, func() bool {
			err := g.ask("GET", path, nil, &page)
			if problem := (*api.Problem)(nil); err != nil && (!errors.As(err, &problem) || problem.Code != "ledger-unavailable") {
				g.t.Fatal(g.name, err)
			}
			return err == nil
		})
		all, path = append(all, page.Records...), ""
		if page.Next != 0 {
			path = fmt.Sprint("/v1/log?limit=100&before=", page.Next)
		}
	}
	slices.Reverse(all)
	return all
}

func (g *member) verification() api.Verification {
	g.t.Helper()
	var v api.Verification
	if err := g.ask("GET", "/v1/log/verification", nil, &v); err != nil {
		g.t.Fatal(g.name, err)
	}
	return v
}

// isConnected waits until a gateway has noticed whether it can reach the
// ledger.
func (g *member) isConnected(want bool) {
	g.t.Helper()
	testkit.Eventually(g.t, fmt.Sprintf("%s knows that connected is %v", g.name, want), func() bool {
		s := g.status()
		return s.Ledger.Connected == want && s.Checks["ledger"].OK == want
	})
	if value := g.metric("exitgate_ledger_connected"); value != map[bool]string{true: "1", false: "0"}[want] {
		g.t.Errorf("%s: connected is %v, and the metric says %s", g.name, want, value)
	}
}

// converges waits until all gateways go by the same record, and holds their
// histories against each other. It returns the one that they have.
func (f *fleet) converges() []api.Record {
	f.t.Helper()
	f.agree(f.gateways...)
	first := f.gateways[0].history()
	for _, g := range f.gateways[1:] {
		if diff := cmp.Diff(first, g.history()); diff != "" {
			f.t.Errorf("%s has another history: %s", g.name, diff)
		}
	}
	return first
}

// agree waits until some gateways are connected and go by the same record.
func (f *fleet) agree(gateways ...*member) {
	f.t.Helper()
	testkit.Eventually(f.t, "the gateways agree", func() bool {
		first := gateways[0].status()
		return !slices.ContainsFunc(gateways, func(g *member) bool {
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

// decidesBy returns the edition that a gateway decides by, as its clients find
// out. An error is an answer that no edition gives.
func (g *member) decidesBy(ctx context.Context) (int, error) {
	for country, want := range map[string]int{"DE": http.StatusOK, "IT": http.StatusUnavailableForLegalReasons} {
		if status, _, err := g.answers(ctx, country); err != nil || status != want {
			return 0, fmt.Errorf("a client in %s gets %d, want %d (%w)", country, status, want, err)
		}
	}
	return g.sunset(ctx)
}

// sunset returns the edition by which a client in France is answered.
func (g *member) sunset(ctx context.Context) (int, error) {
	status, header, err := g.answers(ctx, "FR")
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("a client in FR gets %d (%w)", status, err)
	}
	at, err := http.ParseTime(header.Get("Sunset"))
	return int(at.Sub(firstDay) / (24 * time.Hour)), err
}

func (g *member) answers(ctx context.Context, country string) (int, http.Header, error) {
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

// serves holds what a gateway decides by against an edition.
func (g *member) serves(want int) {
	g.t.Helper()
	if got, err := g.decidesBy(g.t.Context()); err != nil || got != want {
		g.t.Errorf("%s decides by edition %d, %v, want %d", g.name, got, err, want)
	}
}

// A witness is a client that asks a gateway all the time.
type witness struct {
	gateway *member
	asked   int
	seen    []int // editions, each when it began
	wrong   []string
}

// witnessed has clients ask all gateways while something goes on, and holds
// what they got against the history that it came to: each answer must be by a
// revision, and none by an older one than the answer before.
func (f *fleet) witnessed(goesOn func()) {
	f.t.Helper()
	var running sync.WaitGroup
	witnesses := make([]*witness, len(f.gateways))
	stop := make(chan struct{})
	for i, g := range f.gateways {
		witnesses[i] = &witness{gateway: g}
		running.Go(func() { witnesses[i].watch(stop) })
	}
	func() {
		defer running.Wait() // also if the test fails
		defer close(stop)
		goesOn()
	}()
	order := []int{}
	for _, r := range f.converges() {
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
			w.gateway.serves(last)
		}
		f.t.Logf("%s: %d questions, editions %v", w.gateway.name, w.asked, w.seen)
	}
}

func (w *witness) watch(stop chan struct{}) {
	for pause := time.NewTicker(10 * time.Millisecond); ; <-pause.C {
		select {
		case <-stop:
			return
		default:
		}
		w.asked++
		n, err := w.gateway.decidesBy(context.Background())
		switch {
		case err != nil && len(w.wrong) < 5:
			w.wrong = append(w.wrong, err.Error())
		case err == nil && (len(w.seen) == 0 || w.seen[len(w.seen)-1] != n):
			w.seen = append(w.seen, n)
		}
	}
}

// A scribe applies one edition after the other, each on the next gateway, and
// keeps account of what it was told.
type scribe struct {
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

// write starts a scribe, with the edition after the first.
func (f *fleet) write() *scribe {
	s := &scribe{
		fleet: f, stop: make(chan struct{}), ended: make(chan struct{}), last: 1,
		acked: map[int]uint64{}, failed: map[int]error{}, unknown: map[int]error{},
	}
	go s.run()
	f.t.Cleanup(s.end)
	return s
}

func (s *scribe) run() {
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
		plan, err := g.plans(edition(s.last))
		var change api.Change
		if err == nil {
			change, err = g.proposes(edition(s.last), fmt.Sprint("edition ", s.last), plan)
		}
		s.note(change, err, time.Since(began))
	}
}

func (s *scribe) note(change api.Change, err error, took time.Duration) {
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

// goesOn waits until some more changes were acknowledged.
func (s *scribe) goesOn(more int) {
	s.fleet.t.Helper()
	acked := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.acked)
	}
	before := acked()
	testkit.Eventually(s.fleet.t, "changes go on", func() bool { return acked() >= before+more })
}

func (s *scribe) end() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.ended
}

// account holds what the scribe was told against the history.
func (s *scribe) account() {
	t := s.fleet.t
	t.Helper()
	s.end()
	written := map[string]uint64{}
	for _, r := range s.fleet.converges() {
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
