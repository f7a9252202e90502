package admin_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
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

// A memory is an admin.Service whose ledger is gone when the test is.
type memory struct {
	mu      sync.Mutex
	now     time.Time
	state   changes.State
	records []changes.Record
	random  byte
	// fail is the error that all methods return that can, but Known.
	fail error
	// unknown is why nothing is known.
	unknown error
	// verifying is called by Verify.
	verifying func(context.Context)
	happening chan api.Event
	following chan struct{} // told of every call of Events
}

func newMemory(t testing.TB, source string) *memory {
	t.Helper()
	m := &memory{
		now:       start,
		state:     changes.New(func(source []byte) (*policy.Policy, error) { return policy.Parse("policy", source) }),
		happening: make(chan api.Event, 100),
		following: make(chan struct{}, 1000),
	}
	m.append(t, changes.FirstRevision([]byte(source)))
	return m
}

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

// write does what a gateway does, without a ledger.
func (m *memory) write(decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return changes.Record{}, m.fail
	}
	e, err := decide(m.state)
	var repeated *changes.RepeatedError
	switch {
	case errors.As(err, &repeated):
		return m.records[repeated.Number-1], nil
	case err != nil:
		return changes.Record{}, err
	}
	return m.take(e)
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
	p := api.Proposal{Set: &api.Set{Jurisdiction: code, Phase: policy.Withdrawn}, Because: "The law there."}
	plan, err := m.Plan(t.Context(), p)
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

func (m *memory) ByToken(secret string) (changes.Actor, bool) {
	state, now := m.known()
	by, known := state.ByToken(secret, now)
	return by, known && m.unknown == nil
}

func (m *memory) ByCertificate(names []string) (changes.Actor, bool) {
	state, _ := m.known()
	return state.ByCertificate(names)
}

func (m *memory) ByUser(user string) changes.Actor {
	state, _ := m.known()
	return state.ByUser(user)
}

func (m *memory) Status(by changes.Actor) api.Status {
	state, now := m.known()
	revision := state.Revision()
	return api.Status{
		Version: "v1.2.3", Host: "gate-1", Time: now,
		You:    api.You{Name: by.Name, Roles: by.Roles, Local: by.Local},
		Ready:  true,
		Checks: map[string]api.Check{"policy": {OK: true, Detail: "holds"}, "flags": {Since: &now}},
		Source: "ledger", Revision: revision.Number, InForce: &revision, SHA256: revision.SHA256, Mode: policy.Enforce,
		Applied: now, Ledger: &api.Ledger{Connected: true, Since: now, Last: state.Last()},
		Pending: state.Changes(now), Unsigned: state.Unsigned(), Markets: m.Jurisdictions().Markets,
	}
}

func (m *memory) Ready() error { return m.unknown }

func (m *memory) Policy() api.Policy {
	state, _ := m.known()
	revision := state.Revision()
	return api.Policy{Revision: &revision, SHA256: revision.SHA256, Policy: string(state.Source())}
}

func (m *memory) Revisions(_ context.Context, before uint64, limit int) (api.Revisions, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page api.Revisions
	for i := len(m.records) - 1; i >= 0; i-- {
		r := m.records[i]
		d, err := changes.Describe(r)
		switch {
		case err != nil || d.Revision == nil || before > 0 && r.Number >= before:
		case len(page.Revisions) == limit:
			page.Next = r.Number + 1
			return page, m.fail
		default:
			page.Revisions = append(page.Revisions, *d.Revision)
		}
	}
	return page, m.fail
}

func (m *memory) Revision(_ context.Context, number uint64) (api.Policy, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if number <= uint64(len(m.records)) {
		if d, err := changes.Describe(m.records[number-1]); err == nil && d.Revision != nil {
			return api.Policy{Revision: d.Revision, SHA256: d.SHA256, Policy: string(d.Policy)}, m.fail
		}
	}
	return api.Policy{}, &changes.Error{Code: changes.NotFound, Message: fmt.Sprintf("there is no revision %d", number)}
}

func (m *memory) Log(_ context.Context, before uint64, limit int) (api.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page api.Log
	for i := len(m.records) - 1; i >= 0; i-- {
		r := m.records[i]
		if before > 0 && r.Number >= before {
			continue
		}
		if len(page.Records) == limit {
			page.Next = r.Number + 1
			break
		}
		d, _ := changes.Describe(r)
		page.Records = append(page.Records, api.Record{
			Number: r.Number, Time: r.Time, Kind: r.Kind, Author: r.Author, Because: r.Reason, Hash: "ab", Summary: d.Summary,
		})
	}
	return page, m.fail
}

func (m *memory) Verify(ctx context.Context) (api.Verification, error) {
	if m.verifying != nil {
		m.verifying(ctx)
	}
	state, _ := m.known()
	return api.Verification{OK: true, Records: len(m.records), Last: state.Last(), Hash: "ab"}, m.fail
}

func (m *memory) snapshot() *policy.Snapshot {
	state, now := m.known()
	return policy.Compile(state.Policy(), nil, now)
}

func (m *memory) Jurisdictions() api.Jurisdictions {
	var all api.Jurisdictions
	for _, market := range m.snapshot().Markets() {
		all.Markets = append(all.Markets, api.Market{Market: market, Hour: api.Requests{Forwarded: 7}})
	}
	return all
}

func (m *memory) Jurisdiction(code policy.Code) (api.Jurisdiction, error) {
	for _, market := range m.Jurisdictions().Markets {
		if market.Jurisdiction == code {
			return api.Jurisdiction{Market: market, Explanation: m.snapshot().Explain(policy.PlaceOf(code), "GET", "", "/")}, nil
		}
	}
	return api.Jurisdiction{}, &changes.Error{Code: changes.NotFound, Message: "that is no jurisdiction"}
}

func (m *memory) Explain(q api.Question) (policy.Explanation, error) {
	if q.Jurisdiction == "" {
		return policy.Explanation{}, &changes.Error{Code: changes.Invalid, Message: "it isn't said who asks"}
	}
	return m.snapshot().Explain(policy.PlaceOf(q.Jurisdiction), q.Method, q.Host, q.Path), nil
}

func (m *memory) proposal(expected uint64, p api.Proposal, r changes.Request) changes.Proposal {
	proposal := changes.Proposal{Expected: expected, Policy: []byte(p.Policy), Because: p.Because, Plan: p.Plan, Emergency: p.Emergency, Request: r}
	if p.Set != nil {
		proposal.Set = &policy.SetChange{Jurisdiction: p.Set.Jurisdiction, Phase: p.Set.Phase, From: p.Set.From, Remove: p.Set.Remove}
	}
	return proposal
}

func (m *memory) Plan(_ context.Context, p api.Proposal) (api.Plan, error) {
	state, now := m.known()
	planned, err := state.Plan(m.proposal(0, p, changes.Request{}), nil, now)
	return api.Plan{
		Revision: state.Revision().Number, Policy: string(planned.Policy), Plan: planned.Plan, Needs: planned.Needs,
		Emergency: planned.Emergency, Hit: &api.Hit{Gateways: 1, Since: now, Hour: plan.Impact{Requests: 7, Moves: []uint64{7}}},
	}, err
}

func (m *memory) Changes() api.Changes {
	state, now := m.known()
	return api.Changes{Changes: state.Changes(now)}
}

func (m *memory) Change(ctx context.Context, number uint64) (api.Change, error) {
	state, now := m.known()
	c, source, found := state.Change(number, now)
	if !found {
		return api.Change{}, &changes.Error{Code: changes.NotFound, Message: fmt.Sprintf("there is no change %d", number)}
	}
	plan, err := m.Plan(ctx, api.Proposal{Policy: string(source)})
	return api.Change{Change: c, Planned: &plan}, err
}

// change writes what concerns one.
func (m *memory) change(decide func(changes.State) (changes.Draft, error)) (api.Change, error) {
	r, err := m.write(decide)
	if err != nil {
		return api.Change{}, err
	}
	d, err := changes.Describe(r)
	if err != nil {
		return api.Change{}, err
	}
	state, now := m.known()
	c, _, found := state.Change(d.Number, now)
	if !found && d.Revision != nil {
		c = changes.Change{Number: r.Number, Time: r.Time, Because: r.Reason, Expires: r.Time, Status: changes.Applied, Revision: r.Number}
	}
	return api.Change{Change: c, InForce: d.Revision}, nil
}

func (m *memory) Propose(_ context.Context, by changes.Actor, expected uint64, p api.Proposal, r changes.Request) (api.Change, error) {
	return m.change(func(s changes.State) (changes.Draft, error) {
		return s.Propose(by, m.proposal(expected, p, r), nil, m.now)
	})
}

func (m *memory) Edit(_ context.Context, by changes.Actor, number, expected uint64, p api.Proposal, r changes.Request) (api.Change, error) {
	return m.change(func(s changes.State) (changes.Draft, error) {
		return s.Edit(by, number, m.proposal(expected, p, r), nil, m.now)
	})
}

func (m *memory) Approve(_ context.Context, by changes.Actor, number uint64, a api.Approval, r changes.Request) (api.Change, error) {
	return m.change(func(s changes.State) (changes.Draft, error) {
		return s.Approve(by, number, a.Plan, a.Because, r, nil, m.now)
	})
}

func (m *memory) Reject(_ context.Context, by changes.Actor, number uint64, because string, r changes.Request) (api.Change, error) {
	return m.change(func(s changes.State) (changes.Draft, error) { return s.Reject(by, number, because, r, m.now) })
}

func (m *memory) Principals() api.Principals {
	state, _ := m.known()
	return api.Principals{Principals: state.Principals()}
}

func (m *memory) SetPrincipal(_ context.Context, by changes.Actor, name string, p api.Principal, r changes.Request) (changes.Principal, error) {
	set := changes.Principal{Name: name, Roles: p.Roles, User: p.User, Certificate: p.Certificate}
	_, err := m.write(func(s changes.State) (changes.Draft, error) { return s.SetPrincipal(by, set, p.Because, r, m.now) })
	return set, err
}

func (m *memory) RemovePrincipal(_ context.Context, by changes.Actor, name, because string, r changes.Request) error {
	_, err := m.write(func(s changes.State) (changes.Draft, error) { return s.RemovePrincipal(by, name, because, r, m.now) })
	return err
}

func (m *memory) AddToken(_ context.Context, by changes.Actor, name string, t api.TokenRequest, r changes.Request) (api.NewToken, error) {
	token, secret := changes.NewToken([32]byte{99}, m.now, t.Expires)
	_, err := m.write(func(s changes.State) (changes.Draft, error) { return s.AddToken(by, name, token, t.Because, r, m.now) })
	return api.NewToken{Token: token, Secret: secret}, err
}

func (m *memory) RevokeToken(_ context.Context, by changes.Actor, name, id, because string, r changes.Request) error {
	_, err := m.write(func(s changes.State) (changes.Draft, error) { return s.RevokeToken(by, name, id, because, r, m.now) })
	return err
}

func (m *memory) Events(ctx context.Context) <-chan api.Event {
	m.following <- struct{}{}
	return m.happening
}
