package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// Policies of these tests.
const (
	open      = "version: 1\n"
	withdrawn = "version: 1\njurisdictions: {FR: withdrawn}\n"
	wider     = "version: 1\njurisdictions: {FR: withdrawn, DE: withdrawn}\n"
)

var moment = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// A stream is what gateways have a ledger in: in memory, and out of reach while
// it has an error.
type stream struct {
	mu      sync.Mutex
	records []ledger.Record
	changed chan struct{} // closed when there is another record
	err     error
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// fail puts the stream out of reach, or with nil within.
func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// append writes a record, whatever is in it.
func (s *stream) append(c ledger.Content) ledger.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := ledger.Record{Number: uint64(len(s.records) + 1), Time: moment, Content: c}
	if r.Number > 1 {
		r.Previous = s.records[r.Number-2].Hash
	}
	data, err := r.Encode()
	if err != nil {
		panic(err) // a test's own record
	}
	r.Version, r.Hash = 1, sha256.Sum256(data)
	s.records = append(s.records, r)
	close(s.changed)
	s.changed = make(chan struct{})
	return r
}

// after returns the records behind a point, and a channel that is closed when
// there are others.
func (s *stream) after(p ledger.Point) ([]ledger.Record, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Number > 0 && (p.Number > uint64(len(s.records)) || s.records[p.Number-1].Hash != p.Hash) {
		return nil, nil, ledger.ErrHistory
	}
	return slices.Clone(s.records[p.Number:]), s.changed, s.err
}

// A client is a Ledger on a stream.
type client struct {
	*stream
	*peers
	offset    atomic.Int64 // of this machine's clock
	appends   int          // that were tried
	closed    bool
	responses map[string]func(context.Context, []byte) []byte // of this gateway, by topic
}

// Peers are what other gateways on a stream do.
type peers struct {
	mu           sync.Mutex
	answers      map[string][][]byte // by topic; once a replica runs, by setAnswers
	queryErr     error
	respondErr   error
	expected     uint64       // what the ledger was told to have at the least
	beforeAppend func()       // may be nil
	historyErr   error        // after the first record
	known        ledger.Point // what the ledger was opened with
	onInvalid    func(ledger.InvalidRecord)
	openErr      error
	pause        time.Duration // before each record of the history
}

func (c *client) Append(_ context.Context, after ledger.Point, content ledger.Content) (ledger.Record, error) {
	c.appends++
	if before := c.beforeAppend; before != nil {
		c.beforeAppend = nil
		before()
	}
	between, _, err := c.after(after)
	switch {
	case err != nil:
		return ledger.Record{}, err
	case len(between) > 0:
		return ledger.Record{}, &ledger.Conflict{Winner: between[0]}
	}
	return c.append(content), nil
}

func (c *client) History(ctx context.Context, after ledger.Point) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		records, _, err := c.after(after)
		if err != nil {
			yield(ledger.Record{}, err)
			return
		}
		for _, r := range records {
			select {
			case <-ctx.Done():
				yield(ledger.Record{}, context.Cause(ctx))
				return
			case <-time.After(c.pause):
			}
			if !yield(r, nil) {
				return
			}
			if c.historyErr != nil {
				yield(ledger.Record{}, c.historyErr)
				return
			}
		}
	}
}

func (c *client) Follow(ctx context.Context, after ledger.Point, deliver func(ledger.Record), settled func()) error {
	for {
		records, changed, err := c.after(after)
		if err != nil {
			return err
		}
		for _, r := range records {
			deliver(r)
			after = r.Point()
		}
		settled()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (c *client) Record(_ context.Context, number uint64) (ledger.Record, error) {
	records, _, err := c.after(ledger.Point{})
	if err != nil {
		return ledger.Record{}, err
	}
	if number == 0 || number > uint64(len(records)) {
		return ledger.Record{}, ledger.ErrNoRecord
	}
	return records[number-1], nil
}

func (c *client) Verify(_ context.Context, check func(ledger.Record) error) (report ledger.Report, err error) {
	records, _, err := c.after(ledger.Point{})
	for _, r := range records {
		report.Last = r.Point()
		if err := check(r); err != nil {
			report.Invalid = append(report.Invalid, ledger.InvalidRecord{Number: r.Number, Err: err})
		} else {
			report.Records++
		}
	}
	return report, err
}

func (c *client) Fill(_ context.Context, a *ledger.Archive) error {
	records, _, err := c.after(a.Last())
	for _, r := range records {
		err = errors.Join(err, a.Append(r))
	}
	return err
}

func (c *client) Compare(_ context.Context, a *ledger.Archive) (differing []uint64, err error) {
	records, _, err := c.after(ledger.Point{})
	for _, r := range records {
		if kept, err := a.Record(r.Number); err == nil && kept.Hash != r.Hash {
			differing = append(differing, r.Number)
		}
	}
	return differing, err
}

func (c *client) Query(_ context.Context, topic ledger.Topic, _ []byte) ([][]byte, error) {
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	return c.answers[topic.Name], c.queryErr
}

func (p *peers) setAnswers(answers map[string][][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = answers
}

func (c *client) Respond(topic ledger.Topic, answer func(context.Context, []byte) []byte) error {
	if c.responses == nil {
		c.responses = make(map[string]func(context.Context, []byte) []byte)
	}
	c.responses[topic.Name] = answer
	return c.respondErr
}

func (c *client) ExpectAtLeast(number uint64) { c.expected = number }

func (c *client) Status() ledger.Status {
	if _, _, err := c.after(ledger.Point{}); err != nil {
		return ledger.Status{Since: moment.Add(-time.Hour), Why: err.Error()}
	}
	return ledger.Status{Connected: true, Since: moment}
}

func (c *client) ClockOffset(context.Context) (time.Duration, error) {
	return time.Duration(c.offset.Load()), nil
}

func (c *client) setOffset(offset time.Duration) { c.offset.Store(int64(offset)) }

func (c *client) Close() error { c.closed = true; return nil }

// An engine remembers what was applied to it.
type engine struct {
	mu       sync.Mutex
	applied  []string // documents
	passed   []string
	made     time.Time // of the last one
	failures []error
	closed   bool

	takenBefore time.Time
}

func (e *engine) Apply(p *policy.Policy, _ []byte, _ uint64, made time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.applied, e.closed, e.made = append(e.applied, string(p.Source())), false, made
	return nil
}

func (e *engine) RecordFailure(_ string, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = append(e.failures, err)
	return err
}

func (e *engine) StartClosed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

func (e *engine) Taken() policy.TakenSteps { return nil }

func (e *engine) Pass(p *policy.Policy) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.passed = append(e.passed, string(p.Source()))
}

func (e *engine) TakenBefore() time.Time { return e.takenBefore }

func (e *engine) Decides() bool { return len(e.policies()) > 0 }

func (e *engine) policies() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.applied)
}

// A machine is a data folder with a gateway on it.
type machine struct {
	t      *testing.T
	dir    statedir.Dir
	stream *stream
	remote bool
	engine *engine // of the gateway that was started last
	client *client
	peers  *peers
	news   []uint64 // numbers of the records that OnRecord was told of
	onNews func(number, revision uint64)
	now    time.Time
	told   []uint64 // numbers that OnInvalid was told of

	waiting  *Outbox // of the gateway that was started last
	breaches []changes.Breach
}

func (m *machine) outbox() *Outbox {
	m.waiting = OpenOutbox(m.dir, slog.New(slog.DiscardHandler))
	return m.waiting
}

func newMachine(t *testing.T, s *stream) *machine {
	return &machine{t: t, dir: statedir.Dir(t.TempDir()), stream: s, peers: new(peers), now: moment}
}

// start opens the replica of a gateway that starts.
func (m *machine) start() (*Replica, error) {
	m.engine = new(engine)
	return OpenReplica(m.t.Context(), ReplicaOptions{
		Open: func(_ context.Context, known ledger.Point, onInvalid func(ledger.InvalidRecord)) (Ledger, error) {
			m.peers.known, m.peers.onInvalid = known, onInvalid
			if m.peers.openErr != nil {
				return nil, m.peers.openErr
			}
			if _, _, err := m.stream.after(ledger.Point{}); err != nil && !m.remote {
				return nil, err
			}
			m.client = &client{stream: m.stream, peers: m.peers}
			return m.client, nil
		},
		Remote: m.remote, Dir: m.dir, Engine: m.engine,
		Flags:  func() policy.Flags { return nil },
		Outbox: m.outbox(), Breaches: func() []changes.Breach { return m.breaches }, Name: "machine",
		Traffic: func() []byte { return []byte("traffic") },
		OnRecord: func(r changes.Record, revision uint64) {
			m.news = append(m.news, r.Number)
			if m.onNews != nil {
				m.onNews(r.Number, revision)
			}
		},
		OnInvalid: func(i ledger.InvalidRecord) { m.told = append(m.told, i.Number) },
		Log:       slog.New(slog.DiscardHandler),
		Now:       func() time.Time { return m.now },
	})
}

func (m *machine) mustStart() *Replica {
	m.t.Helper()
	r, err := m.start()
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// run follows the ledger until stop is called, or the test ends.
func (m *machine) run(r *Replica) (stop func()) {
	ctx, cancel := context.WithCancel(m.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	m.t.Cleanup(stop)
	return stop
}

// expectApplied fails the test unless the gateway that was started last has
// applied these policies.
func (m *machine) expectApplied(want ...string) {
	m.t.Helper()
	testkit.Eventually(m.t, fmt.Sprintf("%d policies are applied", len(want)), func() bool { return len(m.engine.policies()) >= len(want) })
	if got := m.engine.policies(); !slices.Equal(got, want) {
		m.t.Errorf("applied are %q, want %q", got, want)
	}
}

// propose returns what applies a policy.
func propose(source string) func(changes.State) (changes.Draft, error) {
	return func(s changes.State) (changes.Draft, error) {
		p := changes.Proposal{Policy: []byte(source), Because: "A test."}
		planned, err := s.Plan(p, nil, moment)
		if err != nil {
			return changes.Draft{}, err
		}
		p.Expected, p.Plan = s.Revision().Number, planned.Plan.Hash
		return s.Propose(s.ByUser("root"), p, nil, moment)
	}
}

// write applies a policy by a replica that is run.
func (m *machine) write(r *Replica, source string) changes.Record {
	m.t.Helper()
	record, err := r.Write(m.t.Context(), propose(source))
	if err != nil {
		m.t.Fatal(err)
	}
	return record
}

// expectCode fails the test unless an error has a code.
func expectCode(t *testing.T, err error, want changes.ErrorCode) {
	t.Helper()
	var coded *changes.Error
	if !errors.As(err, &coded) || coded.Code != want {
		t.Errorf("the error is %v, want one with the code %s", err, want)
	}
}
