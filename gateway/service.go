package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

// A service is what a gateway lets its operators see and do: admin.Service.
type service struct{ *Gateway }

func (s service) Known() error {
	if !s.engine.Closed() {
		return nil
	}
	return &changes.Error{
		Code:    changes.Unavailable,
		Message: fmt.Sprintf("no policy is known yet, and nothing is served: %s", s.source.Connection().Why),
		Advice:  "try again when the ledger can be reached: see exitgate status",
	}
}

func (s service) ByToken(secret string) (changes.Actor, bool) {
	return s.source.State().ByToken(secret, s.now())
}

func (s service) ByCertificate(names []string) (changes.Actor, bool) {
	return s.source.State().ByCertificate(names)
}

func (s service) ByUser(user string) changes.Actor { return s.source.State().ByUser(user) }

func (s service) Status(by changes.Actor) api.Status {
	now := s.now()
	ready, state, rule := s.readiness(), s.source.State(), s.engine.Current(now)
	host, _ := os.Hostname() // "" is shown as it is
	status := api.Status{
		Version: metrics.Version(), Host: host, Time: now,
		You:   api.You{Name: by.Name, Roles: by.Roles, Local: by.Local},
		Ready: ready.Ready, Checks: ready.Checks,
		Source:   string(s.source.Kind()),
		File:     s.source.File(),
		SHA256:   rule.Snapshot().Policy().Digest(),
		Mode:     rule.Snapshot().Policy().Mode(),
		Applied:  s.engine.AppliedAt(),
		Until:    rule.Snapshot().Until(),
		Waiting:  string(rule.Blocked()),
		Pending:  []changes.Change{},
		Unsigned: state.Unsigned(),
		Markets:  s.markets(rule.Snapshot()),
	}
	if revision := state.Revision(); revision.Number != 0 {
		status.Revision, status.InForce = revision.Number, &revision
	}
	if rule.Blocked() == enforce.PolicyUnknown { // what stands in its place is nobody's policy
		status.SHA256, status.Markets = "", []api.Market{}
	}
	if c := s.source.Connection(); c != nil {
		status.Ledger = (*api.Ledger)(c)
	}
	for _, c := range state.Changes(now) {
		if c.Status == changes.Pending || c.Status == changes.Stale {
			status.Pending = append(status.Pending, c)
		}
	}
	return status
}

func (s service) Policy() api.Policy {
	state := s.source.State()
	revision := state.Revision()
	if revision.Number == 0 { // it comes from a file
		p := s.engine.Current(s.now()).Snapshot().Policy()
		return api.Policy{SHA256: p.Digest(), Policy: string(p.Source())}
	}
	return api.Policy{Revision: &revision, SHA256: revision.SHA256, Policy: string(state.Source())}
}

func (s service) Revisions(ctx context.Context, before uint64, limit int) (api.Revisions, error) {
	page := api.Revisions{Revisions: []changes.Revision{}}
	signatures := make(map[uint64]*changes.Approval) // of emergencies, which are records of their own, behind them
	next, err := s.source.Records(ctx, before, func(r source.Record) bool {
		if len(page.Revisions) == limit {
			return false
		}
		switch d, valid := describe(r); {
		case !valid:
		case d.Revision != nil:
			d.Revision.Signature = signatures[r.Number]
			page.Revisions = append(page.Revisions, *d.Revision)
		case r.Kind == changes.ChangeApproved: // or a change that waits, whose number is no revision's
			signatures[d.Number] = approvalIn(r)
		}
		return true
	})
	page.Next = next
	return page, err
}

func (s service) Log(ctx context.Context, before uint64, limit int) (api.Log, error) {
	page := api.Log{Records: []api.Record{}}
	next, err := s.source.Records(ctx, before, func(r source.Record) bool {
		if len(page.Records) == limit {
			return false
		}
		shown := api.Record{
			Number: r.Number, Time: r.Time, Kind: r.Kind, Author: r.Author, Because: r.Reason,
			Hash: r.Hash, Refused: r.Invalid,
		}
		d, err := changes.Describe(r.Record)
		if err != nil {
			shown.Refused = err.Error()
		}
		shown.Summary, shown.Emergency, shown.Change = d.Summary, d.Emergency, d.Number
		if d.Revision != nil {
			shown.Authors = d.Revision.Authors
			for _, approval := range d.Revision.Approvals {
				shown.Approvers = append(shown.Approvers, approval.By)
			}
		}
		page.Records = append(page.Records, shown)
		return true
	})
	page.Next = next
	return page, err
}

func (s service) Revision(ctx context.Context, number uint64) (api.Policy, error) {
	r, err := s.source.Record(ctx, number)
	if err != nil {
		return api.Policy{}, err
	}
	d, valid := describe(r)
	if !valid || d.Revision == nil {
		return api.Policy{}, &changes.Error{
			Code:    changes.NotFound,
			Message: fmt.Sprintf("there is no revision %d", number),
			Advice:  "see exitgate log",
		}
	}
	if d.Revision.Emergency {
		if d.Revision.Signature, err = s.signature(ctx, number); err != nil {
			return api.Policy{}, err
		}
	}
	return api.Policy{Revision: d.Revision, SHA256: d.Revision.SHA256, Policy: string(d.Policy)}, nil
}

// signature finds out who has signed an emergency: that is a record of its own,
// behind it.
func (s service) signature(ctx context.Context, number uint64) (*changes.Approval, error) {
	for _, unsigned := range s.source.State().Unsigned() {
		if unsigned.Number == number {
			return nil, nil
		}
	}
	var found *changes.Approval
	_, err := s.source.Records(ctx, 0, func(r source.Record) bool {
		if d, valid := describe(r); valid && r.Kind == changes.ChangeApproved && d.Number == number {
			found = approvalIn(r)
		}
		return r.Number > number && found == nil
	})
	return found, err
}

// describe returns what is in a record, and whether it is valid.
func describe(r source.Record) (d changes.Description, valid bool) {
	d, err := changes.Describe(r.Record)
	return d, err == nil && r.Invalid == ""
}

// approvalIn returns the approval, or the signature, that a record is.
func approvalIn(r source.Record) *changes.Approval {
	return &changes.Approval{By: r.Author, At: r.Time, Because: r.Reason}
}

func (s service) Verify(ctx context.Context) (api.Verification, error) {
	found, err := s.source.Verify(ctx)
	if err != nil {
		return api.Verification{}, err
	}
	v := api.Verification{OK: len(found.Invalid) == 0, Records: found.Records, Last: found.Last, Hash: found.Hash, Wrong: []api.Wrong{}}
	for _, w := range found.Invalid {
		v.Wrong = append(v.Wrong, api.Wrong(w))
	}
	return v, nil
}

func (s service) Jurisdictions() api.Jurisdictions {
	return api.Jurisdictions{Markets: s.markets(s.engine.Current(s.now()).Snapshot())}
}

// markets returns what a snapshot says of each market, and its traffic.
func (s service) markets(snapshot *policy.Snapshot) []api.Market {
	hour, day := requestsBy(s.traffic.Sums(s.now()))
	markets := []api.Market{}
	for _, m := range snapshot.Markets() {
		markets = append(markets, api.Market{Market: m, Hour: hour(m.Jurisdiction), Day: day(m.Jurisdiction)})
	}
	return markets
}

// requestsBy sums up requests by jurisdiction: those that its entry governs, or
// where it has none, that were made from it.
func requestsBy(sums traffic.Sums) (hour, day func(policy.Code) api.Requests) {
	add := func(counts map[traffic.Key]uint64) func(policy.Code) api.Requests {
		byCode := make(map[policy.Code]api.Requests)
		for key, n := range counts {
			code := key.Entry
			if code == policy.Default {
				code = key.Jurisdiction
			}
			r := byCode[code]
			if key.Refused {
				r.Refused += n
			} else {
				r.Forwarded += n
			}
			byCode[code] = r
		}
		return func(code policy.Code) api.Requests { return byCode[code] }
	}
	return add(sums.Hour), add(sums.Day)
}

func (s service) Jurisdiction(code policy.Code) (api.Jurisdiction, error) {
	snapshot := s.engine.Current(s.now()).Snapshot()
	if !policy.IsPlace(code) && !snapshot.Policy().HasEntry(code) {
		return api.Jurisdiction{}, &changes.Error{
			Code:    changes.NotFound,
			Message: fmt.Sprintf("%q is no jurisdiction", code),
			Advice:  "write an ISO 3166-1 country as FR, an ISO 3166-2 subdivision as US-MS, or a group of the policy",
		}
	}
	explanation := snapshot.Explain(policy.PlaceOf(code), http.MethodGet, "", "/")
	hour, day := requestsBy(s.traffic.Sums(s.now()))
	answer := api.Jurisdiction{Explanation: explanation, Market: api.Market{Hour: hour(code), Day: day(code)}}
	for _, m := range snapshot.Markets() {
		if m.Jurisdiction == code {
			answer.Market.Market = m
			return answer, nil
		}
	}
	d := explanation.Decision
	answer.Market.Market = policy.Market{Jurisdiction: code, Name: policy.Name(code), Phase: d.Phase, Reason: d.Reason, Since: d.Since, Sunset: d.Sunset}
	return answer, nil
}

func (s service) Explain(q api.Question) (policy.Explanation, error) {
	invalid := func(message, advice string) (policy.Explanation, error) {
		return policy.Explanation{}, &changes.Error{Code: changes.Invalid, Message: message, Advice: advice}
	}
	var place policy.Place
	switch {
	case (q.Address == "") == (q.Jurisdiction == ""):
		return invalid("it isn't said who asks", "give an address or a jurisdiction, one of the two")
	case q.Address != "":
		address, err := netip.ParseAddr(q.Address)
		if err != nil {
			return invalid("the address is none", "write it as 90.0.0.1 or 2001:db8::1")
		}
		place = s.geo.Locate(address)
	case !policy.IsPlace(q.Jurisdiction):
		return invalid(fmt.Sprintf("%q is no jurisdiction that a client can be in", q.Jurisdiction), "write an ISO 3166-1 country as FR, or an ISO 3166-2 subdivision as US-MS")
	default:
		place = policy.PlaceOf(q.Jurisdiction)
	}
	method, path := q.Method, q.Path
	if method == "" {
		method = http.MethodGet
	}
	if path == "" {
		path = "/"
	}
	snapshot := s.engine.Current(s.now()).Snapshot()
	if !q.At.IsZero() {
		snapshot = policy.Compile(snapshot.Policy(), s.flags.Known(), q.At)
	}
	return snapshot.Explain(place, method, q.Host, path), nil
}

// proposal turns what the API says into what is proposed.
func (s service) proposal(ctx context.Context, expected uint64, p api.Proposal, r changes.Request) (changes.Proposal, error) {
	proposal := changes.Proposal{Expected: expected, Because: p.Because, Plan: p.Plan, Emergency: p.Emergency, Request: r}
	if p.Policy != "" {
		proposal.Policy = []byte(p.Policy)
	}
	if p.Set != nil {
		proposal.Set = &policy.SetChange{Jurisdiction: p.Set.Jurisdiction, Phase: p.Set.Phase, From: p.Set.From, Remove: p.Set.Remove}
	}
	if p.Rollback == 0 {
		return proposal, nil
	}
	if p.Policy != "" || p.Set != nil {
		return proposal, &changes.Error{Code: changes.Invalid, Message: "a rollback and something else at the same time", Advice: "give one of policy, set and rollback"}
	}
	before, err := s.Revision(ctx, p.Rollback)
	proposal.Policy = []byte(before.Policy)
	return proposal, err
}

func (s service) Plan(ctx context.Context, by changes.Actor, p api.Proposal) (api.Plan, error) {
	proposal, err := s.proposal(ctx, 0, p, changes.Request{})
	if err != nil {
		return api.Plan{}, err
	}
	return s.plan(ctx, proposal)
}

// plan says what would come of a proposal, and whom it would have hit.
func (s service) plan(ctx context.Context, p changes.Proposal) (api.Plan, error) {
	state, err := s.source.PlanState()
	if err != nil {
		return api.Plan{}, err
	}
	planned, err := state.Plan(p, s.flags.Known(), s.now())
	if err != nil {
		return api.Plan{}, err
	}
	return api.Plan{
		Revision: s.source.State().Revision().Number, Policy: string(planned.Policy), Plan: planned.Plan,
		Needs: planned.Needs, Emergency: planned.Emergency, Hit: s.hit(ctx, planned.Plan),
	}, nil
}

func (s service) Changes() api.Changes {
	return api.Changes{Changes: append([]changes.Change{}, s.source.State().Changes(s.now())...)}
}

func (s service) Change(ctx context.Context, number uint64) (api.Change, error) {
	c, source, found := s.source.State().Change(number, s.now())
	if !found {
		return api.Change{}, &changes.Error{Code: changes.NotFound, Message: fmt.Sprintf("there is no change %d", number), Advice: "see exitgate changes"}
	}
	answer := api.Change{Change: c}
	if source != nil {
		planned, err := s.plan(ctx, changes.Proposal{Policy: source})
		if err != nil {
			return api.Change{}, err
		}
		answer.Planned = &planned
	}
	return answer, nil
}

func (s service) Propose(ctx context.Context, by changes.Actor, expected uint64, p api.Proposal, r changes.Request) (api.Change, error) {
	proposal, err := s.proposal(ctx, expected, p, r)
	if err != nil {
		return api.Change{}, err
	}
	return s.change(ctx, func(state changes.State) (changes.Draft, error) {
		return state.Propose(by, proposal, s.flags.Known(), s.now())
	})
}

func (s service) Edit(ctx context.Context, by changes.Actor, number, expected uint64, p api.Proposal, r changes.Request) (api.Change, error) {
	proposal, err := s.proposal(ctx, expected, p, r)
	if err != nil {
		return api.Change{}, err
	}
	return s.change(ctx, func(state changes.State) (changes.Draft, error) {
		return state.Edit(by, number, proposal, s.flags.Known(), s.now())
	})
}

func (s service) Approve(ctx context.Context, by changes.Actor, number uint64, a api.Approval, r changes.Request) (api.Change, error) {
	return s.change(ctx, func(state changes.State) (changes.Draft, error) {
		return state.Approve(by, number, a.Plan, a.Because, r, s.flags.Known(), s.now())
	})
}

func (s service) Reject(ctx context.Context, by changes.Actor, number uint64, because string, r changes.Request) (api.Change, error) {
	return s.change(ctx, func(state changes.State) (changes.Draft, error) {
		return state.Reject(by, number, because, r, s.now())
	})
}

// change writes what concerns a change, and returns what has become of it.
func (s service) change(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (api.Change, error) {
	record, err := s.source.Write(ctx, decide)
	var repeated *changes.RepeatedError
	if errors.As(err, &repeated) {
		record, err = s.written(ctx, repeated.Number)
	}
	if err != nil {
		return api.Change{}, err
	}
	d, err := changes.Describe(record)
	if err != nil {
		return api.Change{}, err
	}
	answer := api.Change{InForce: d.Revision}
	if c, _, found := s.source.State().Change(d.Number, s.now()); found {
		answer.Change = c
	} else if d.Revision != nil {
		answer.Change = atOnce(*d.Revision)
	}
	return answer, nil
}

// atOnce is a change that came into force without having waited.
func atOnce(r changes.Revision) changes.Change {
	return changes.Change{
		Number: r.Number, Time: r.Time, Authors: r.Authors, Because: r.Because, Summary: r.Summary,
		SHA256: r.SHA256, Base: r.Base, Plan: r.Plan, Effects: r.Effects,
		Approvals: []changes.Approval{}, Status: changes.Applied, Revision: r.Number,
	}
}

// written returns a record that was written before.
func (s service) written(ctx context.Context, number uint64) (changes.Record, error) {
	r, err := s.source.Record(ctx, number)
	return r.Record, err
}

func (s service) Principals() api.Principals {
	all := api.Principals{Principals: []changes.Principal{}}
	for _, p := range s.source.State().Principals() {
		all.Principals = append(all.Principals, shown(p))
	}
	return all
}

// shown is a principal without the hashes of its tokens, which nobody needs.
func shown(p changes.Principal) changes.Principal {
	p.Tokens = slices.Clone(p.Tokens)
	for i := range p.Tokens {
		p.Tokens[i].SHA256 = ""
	}
	return p
}

// ofPrincipal writes what concerns a principal, once.
func (s service) ofPrincipal(ctx context.Context, decide func(changes.State) (changes.Draft, error)) error {
	_, err := s.source.Write(ctx, decide)
	var repeated *changes.RepeatedError
	if errors.As(err, &repeated) {
		return nil
	}
	return err
}

func (s service) SetPrincipal(ctx context.Context, by changes.Actor, name string, p api.Principal, r changes.Request) (changes.Principal, error) {
	err := s.ofPrincipal(ctx, func(state changes.State) (changes.Draft, error) {
		return state.SetPrincipal(by, changes.Principal{Name: name, Roles: p.Roles, User: p.User, Certificate: p.Certificate}, p.Because, r, s.now())
	})
	for _, known := range s.source.State().Principals() {
		if known.Name == name {
			return shown(known), err
		}
	}
	return changes.Principal{}, err
}

func (s service) RemovePrincipal(ctx context.Context, by changes.Actor, name, because string, r changes.Request) error {
	return s.ofPrincipal(ctx, func(state changes.State) (changes.Draft, error) {
		return state.RemovePrincipal(by, name, because, r, s.now())
	})
}

func (s service) AddToken(ctx context.Context, by changes.Actor, name string, t api.TokenRequest, r changes.Request) (api.NewToken, error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	token, secret := changes.NewToken(random, s.now(), t.Expires)
	// A secret that was made for the same request before can't be shown again.
	_, err := s.source.Write(ctx, func(state changes.State) (changes.Draft, error) {
		return state.AddToken(by, name, token, t.Because, r, s.now())
	})
	var repeated *changes.RepeatedError
	if errors.As(err, &repeated) {
		return api.NewToken{}, &changes.Error{
			Code:    changes.KeyReused,
			Message: "the token was made already, and its secret was shown then",
			Advice:  "revoke it if the secret was lost, and make another",
		}
	}
	if err != nil {
		return api.NewToken{}, err
	}
	token.SHA256 = ""
	return api.NewToken{Token: token, Secret: secret}, nil
}

func (s service) RevokeToken(ctx context.Context, by changes.Actor, name, id, because string, r changes.Request) error {
	return s.ofPrincipal(ctx, func(state changes.State) (changes.Draft, error) {
		return state.RevokeToken(by, name, id, because, r, s.now())
	})
}

func (s service) Events(ctx context.Context) <-chan api.Event { return s.events.listen(ctx) }

// sweepTraffic dates the counts of requests, until the context ends.
func (g *Gateway) sweepTraffic(ctx context.Context) {
	sweep := time.NewTicker(5 * time.Second)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			g.traffic.Sweep(g.now())
		}
	}
}

// countedHere returns this gateway's counts for another one.
func (g *Gateway) countedHere() []byte {
	text, err := json.Marshal(g.traffic.Sums(g.now()))
	if err != nil {
		g.log.Error("the counts of requests can't be told to other gateways", "error", err)
	}
	return text
}

// hit says how many requests a plan would have decided otherwise: those of all
// gateways that answer, else those of this one.
func (s service) hit(ctx context.Context, plan plan.Plan) *api.Hit {
	sums, gateways := s.traffic.Sums(s.now()), 1
	if all, n := s.countedElsewhere(ctx); n > 0 {
		sums, gateways = all, n
	}
	hour, day := sums.Traffic()
	return &api.Hit{Gateways: gateways, Since: sums.Since, Hour: plan.Impact(hour), Day: plan.Impact(day)}
}

// countedElsewhere adds up what all gateways have counted, this one among them.
func (s service) countedElsewhere(ctx context.Context) (sums traffic.Sums, gateways int) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answers, err := s.source.QueryTraffic(ctx)
	if err != nil {
		s.log.Warn("the other gateways' counts of requests are not known", "error", err)
	}
	for _, text := range answers {
		var one traffic.Sums
		if err := json.Unmarshal(text, &one); err != nil {
			s.log.Warn("a gateway's counts of requests can't be read", "error", err)
			continue
		}
		if gateways++; gateways == 1 {
			sums = one
		} else {
			sums = sums.Add(one)
		}
	}
	return sums, gateways
}
