package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	chain "github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

// start is when the tests' clock begins.
var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fourEyes is the policy that is in force at first: what opens or withdraws a
// market needs somebody else's approval.
const fourEyes = `version: 1
approvals: {open: 1, withdraw: 1}
jurisdictions:
  BY: withdrawn
`

// A memory is a Control over a ledger that is gone when the test is.
type memory struct {
	*control.Control

	mu      sync.Mutex
	now     time.Time
	state   changes.State
	records []changes.Record
	random  byte
	// compiled is the policy in force, as of the last record and moment that it was asked for.
	compiled    *policy.Snapshot
	compiledFor uint64
	compiledAt  time.Time
	// fail is the error of everything that the ledger is asked for.
	fail error
	// closed is why nothing is known.
	closed string
	// verifying is called by Verify.
	verifying func(context.Context)
	happening *control.Events
	// capability is what the databases can tell apart.
	capability *policy.Capability
}

func newLedgerFixture(t testing.TB, source string) *memory {
	t.Helper()
	m := &memory{now: start, state: changes.New(parsers)}
	m.happening = control.NewEvents(func() time.Time { _, now := m.known(); return now })
	ledger := ledger{m}
	m.Control = control.New(control.Options{
		Version: "v1.2.3", Engine: ledger, Source: ledger, Flags: noFlags{}, CertificateEnds: func() map[string]time.Time { return nil }, CertificateFailures: func() map[string]certs.Failure { return nil },
		Traffic: func() traffic.Sums {
			key := traffic.Key{Traffic: plan.Traffic{Jurisdiction: "FR", Class: "other"}, Entry: policy.Default}
			return traffic.Sums{Since: start, Hour: map[traffic.Key]uint64{key: 7}, Day: map[traffic.Key]uint64{key: 7}}
		},
		Describe: func(netip.Addr) geo.Description {
			return geo.Description{Place: policy.PlaceOf("FR"), CountryFrom: heldFile}
		},
		LocateHeld: func(netip.Addr) (policy.Place, bool) { return policy.Place{}, false },
		Databases:  databases{},
		Overdue:    func(geo.Database) bool { return false },
		Doubt:      func() (string, time.Time) { return "", time.Time{} },
		Log:        slog.New(slog.DiscardHandler),
		Capability: func() *policy.Capability { return m.capability },
		Draining:   func() bool { return false },
		Events:     m.happening,
		Probe: func(_ context.Context, code policy.Code) api.GatewayProbes {
			return api.GatewayProbes{Gateway: "gateway-1", Seen: []api.Probe{{Jurisdiction: code, Class: "other", Request: "GET /"}}, Unseen: []api.UnseenProbe{}}
		},
		Now: func() time.Time { _, now := m.known(); return now },
	})
	m.append(t, changes.FirstRevision([]byte(source)))
	return m
}

// heldFile is the database that is held in tests.
const heldFile = "/var/lib/GeoIP/GeoLite2-City.mmdb"

var heldSHA256 = strings.Repeat("ab", 32)

// databases has one, which is held.
type databases struct{}

func (databases) Databases() []geo.Database {
	return []geo.Database{{Path: heldFile, Type: "GeoLite2-City", Build: start, Role: geo.RolePlace}}
}

func (databases) Holds() []geo.Hold {
	return []geo.Hold{{Path: heldFile, Against: heldFile, Build: start, Since: start, SHA256: heldSHA256, Losses: []geo.Loss{{Jurisdiction: "FR", Family: "ipv4", Before: 80_000_000}}}}
}

func (databases) Reconsider() {}

func parse(source []byte) (*policy.Policy, error) { return document.Parse("policy", source) }

var parsers = changes.Parsers{Proposed: parse, Recorded: func(source []byte) (*policy.Policy, error) { return document.Read("policy", source) }}

func (m *memory) append(t testing.TB, e changes.Draft) changes.Record {
	t.Helper()
	r, err := m.take(e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (m *memory) take(e changes.Draft) (changes.Record, error) {
	r := changes.Record{Number: m.state.Last() + 1, Time: m.now, Draft: e}
	next, err := m.state.With(r)
	if err != nil {
		return changes.Record{}, err
	}
	m.state, m.records = next, append(m.records, r)
	return r, nil
}

func (m *memory) known() (changes.State, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.now
}

// tick moves the clock.
func (m *memory) tick(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

// local is who the tests' set-up is done by.
var local = changes.Actor{Name: "unix:root", Roles: []changes.Role{changes.Viewer, changes.Operator, changes.Approver}, Local: true}

// token adds a principal, and a token of it.
func (m *memory) token(t testing.TB, name string, expires time.Time, roles ...changes.Role) (secret, id string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.state.SetPrincipal(local, changes.Principal{Name: name, Roles: roles, Certificate: "spiffe://example.org/" + name}, "They work here.", changes.Request{}, m.now)
	if err != nil {
		t.Fatal(err)
	}
	m.append(t, e)
	m.random++
	made, secret := changes.NewToken([32]byte{m.random}, m.now, expires)
	if e, err = m.state.AddToken(local, name, made, "They need one.", changes.Request{}, m.now); err != nil {
		t.Fatal(err)
	}
	m.append(t, e)
	return secret, made.ID
}

// pending proposes to withdraw a jurisdiction.
func (m *memory) pending(t testing.TB, by changes.Actor, code policy.Code) changes.Change {
	t.Helper()
	p := api.Proposal{Set: withdraw(code), Because: "The law there."}
	plan, err := m.Plan(t.Context(), counsel, p)
	if err != nil {
		t.Fatal(err)
	}
	p.Plan = plan.Plan.Hash
	c, err := m.Propose(t.Context(), by, plan.Revision, p, changes.Request{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Change
}

// A ledger is what a memory remembers, as an engine and a source.
type ledger struct{ *memory }

func (l ledger) Snapshot(now time.Time) (*policy.Snapshot, enforce.BlockedReason) {
	if l.Closed() {
		return policy.Compile(policy.OpenEverywhere(), nil, now), enforce.PolicyUnknown
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.state.Last(); l.compiled == nil || l.compiledFor != last || !l.compiledAt.Equal(now) {
		l.compiled, l.compiledFor, l.compiledAt = policy.Compile(l.state.Policy(), nil, now), last, now
	}
	return l.compiled, ""
}

func (l ledger) AppliedAt() time.Time      { return start }
func (l ledger) Failure() *enforce.Failure { return nil }
func (l ledger) Closed() bool              { return l.closed != "" }
func (l ledger) StepsError() error         { return nil }

func (l ledger) Run(context.Context) {}
func (l ledger) Close()              {}

func (l ledger) Kind() source.Kind { return source.KindLedger }
func (l ledger) File() string      { return "" }

func (l ledger) State() changes.State {
	if l.Closed() {
		return changes.New(parsers)
	}
	state, _ := l.known()
	return state
}

func (l ledger) PlanState() (changes.State, error) { return l.State(), nil }

func (l ledger) Write(_ context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	if l.fail != nil {
		return changes.Record{}, l.fail
	}
	draft, err := decide(l.State())
	if err != nil {
		return changes.Record{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.take(draft)
}

func (l ledger) WriteDecision(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	return l.Write(ctx, decide)
}

func (l ledger) Record(_ context.Context, number uint64) (source.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number > uint64(len(l.records)) {
		return source.Record{}, &changes.Error{Code: changes.NotFound, Message: fmt.Sprintf("there is no record %d", number)}
	}
	var last chain.Record
	for _, r := range l.records[:number] {
		last = chain.Record{Version: 1, Number: r.Number, Previous: last.Hash, Time: r.Time,
			Content: chain.Content{Kind: string(r.Kind), Author: r.Author, Reason: r.Reason, Body: r.Body}}
		data, err := last.Encode()
		if err == nil {
			last, err = chain.Decode(data)
		}
		if err != nil {
			return source.Record{}, err
		}
	}
	return source.Record{Record: l.records[number-1], Hash: last.Hash.String(), InLedger: last}, l.fail
}

func (l ledger) Records(ctx context.Context, before uint64, take func(source.Record) bool) (next uint64, err error) {
	last := l.State().Last()
	if before == 0 || before > last {
		before = last + 1
	}
	for ; before > 1; before-- {
		r, err := l.Record(ctx, before-1)
		if err != nil {
			return 0, err
		}
		if !take(r) {
			return before, nil
		}
	}
	return 0, nil
}

func (l ledger) Verify(ctx context.Context) (source.Verification, error) {
	if l.verifying != nil {
		l.verifying(ctx)
	}
	last := l.State().Last()
	return source.Verification{Report: chain.Report{Records: int(last), Last: chain.Point{Number: last}}}, l.fail
}

func (l ledger) Connection() *source.Connection {
	return &source.Connection{Connected: !l.Closed(), Since: start, Why: l.closed, Last: l.State().Last()}
}

func (l ledger) SaveError() error                                           { return nil }
func (l ledger) QueryProbes(context.Context, policy.Code) ([][]byte, error) { return nil, nil }
func (l ledger) QueryTraffic(context.Context) ([][]byte, error)             { return nil, nil }

type noFlags struct{}

func (noFlags) Known() policy.Flags  { return nil }
func (noFlags) Status() flags.Status { return flags.Status{Answered: true} }

// withdraw withdraws a market, without the territories that it may have.
func withdraw(code policy.Code) *api.Set {
	set := &api.Set{Jurisdiction: code, Phase: policy.Withdrawn}
	if policy.TerritoriesOf(code) != nil {
		set.Territories = policy.NoTerritories()
	}
	return set
}
