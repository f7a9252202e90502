package admin

import (
	"context"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// A Service is what the API lets people see and do, and what /readyz says. Its methods check what the
// actor may do to the policy and to principals; that somebody is an actor at
// all, and that a reader has a role, is checked here. All may be called
// concurrently, and no list that they return is nil.
//
// Errors are *changes.Error where the client can do something about them; any
// other is internal, and told to nobody but the log.
type Service interface {
	// Unavailable returns why nothing is known yet of the ledger, nil if something
	// is: until then only Status, Events and who somebody is are asked for.
	Unavailable() error

	// Who somebody is; false is nobody.
	ByToken(secret string) (changes.Actor, bool)
	ByCertificate(names []string) (changes.Actor, bool)
	ByUser(user string) changes.Actor

	Readiness() api.Readiness
	Status(by changes.Actor) api.Status
	Policy() api.Policy
	// Revisions and Log return a page of at most limit, the newest before a
	// number first; 0 is from the newest of all on.
	Revisions(ctx context.Context, before uint64, limit int) (api.Revisions, error)
	Revision(ctx context.Context, number uint64) (api.Policy, error)
	Log(ctx context.Context, before uint64, limit int) (api.Log, error)
	Verify(ctx context.Context) (api.Verification, error)

	Jurisdictions() api.Jurisdictions
	Jurisdiction(code policy.Code) (api.Jurisdiction, error)
	Explain(q api.Question) (policy.Explanation, error)

	// Geo returns the databases that clients are located by; DecideGeo decides on
	// one that is held.
	Geo() api.Geo
	DecideGeo(by changes.Actor, d api.GeoDecisionRequest) (api.Geo, error)

	Plan(ctx context.Context, p api.Proposal) (api.Plan, error)
	Changes() api.Changes
	Change(ctx context.Context, number uint64) (api.Change, error)
	// What follows is done, on disk and decided by on this gateway, when it
	// returns. expected is the revision in force that the client has seen.
	Propose(ctx context.Context, by changes.Actor, expected uint64, p api.Proposal, r changes.Request) (api.Change, error)
	Edit(ctx context.Context, by changes.Actor, number, expected uint64, p api.Proposal, r changes.Request) (api.Change, error)
	Approve(ctx context.Context, by changes.Actor, number uint64, a api.Approval, r changes.Request) (api.Change, error)
	Reject(ctx context.Context, by changes.Actor, number uint64, because string, r changes.Request) (api.Change, error)

	Principals() api.Principals
	SetPrincipal(ctx context.Context, by changes.Actor, name string, p api.Principal, r changes.Request) (changes.Principal, error)
	RemovePrincipal(ctx context.Context, by changes.Actor, name, because string, r changes.Request) error
	AddToken(ctx context.Context, by changes.Actor, name string, t api.TokenRequest, r changes.Request) (api.NewToken, error)
	RevokeToken(ctx context.Context, by changes.Actor, name, id, because string, r changes.Request) error

	// Events returns what happens from now on, until the context ends. It
	// closes the channel when the gateway stops, or when the client is too
	// slow and would miss something.
	Events(ctx context.Context) <-chan api.Event
}
