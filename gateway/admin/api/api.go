// Package api is what the admin API says, in Go: the bodies of its requests and
// answers. Its OpenAPI document, openapi.json in the package above, is generated
// from these types and their comments.
package api

import (
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

// Status is the answer of GET /v1/status.
type Status struct {
	Version string           `json:"version"`
	Host    string           `json:"host"` // of the machine
	Time    time.Time        `json:"time"` // by the gateway's clock
	You     You              `json:"you"`
	Ready   bool             `json:"ready"`
	Checks  map[string]Check `json:"checks"`
	// Source is where the policy comes from: file, ledger (in the process)
	// or nats.
	Source   string            `json:"source"`
	File     string            `json:"file,omitempty"`     // the policy document, if Source is file
	Revision uint64            `json:"revision"`           // in force; 0 with a file, and if none is known
	InForce  *changes.Revision `json:"in-force,omitempty"` // that revision
	SHA256   string            `json:"sha256"`             // of the policy
	Mode     policy.Mode       `json:"mode"`
	// Waiting is what isn't known yet, so that nothing is served:
	// policy-unknown or flags-unknown. Checks say why.
	Waiting  string                `json:"waiting,omitempty"`
	Applied  time.Time             `json:"applied,omitzero"` // when this gateway took it into use
	Until    time.Time             `json:"until,omitzero"`   // the next scheduled change, by anybody
	Ledger   *Ledger               `json:"ledger,omitempty"`
	Pending  []changes.Change      `json:"pending"`  // changes that wait for approvals
	Unsigned []changes.Revision    `json:"unsigned"` // emergency revisions that wait for a second signature
	Markets  []Market              `json:"markets"`
	Demands  []policy.DemandStatus `json:"demands"` // how the policy stands to laws and orders
	// Unenforced are the jurisdictions that the policy restricts and whose
	// clients this gateway's databases can't find, so that they are served as
	// what is around them.
	Unenforced []policy.Code `json:"unenforced"`
}

// What a gateway may wait for, in Status.Waiting; it serves nothing until then.
const (
	PolicyUnknown = "policy-unknown"
	FlagsUnknown  = "flags-unknown"
)

// You is who asks.
type You struct {
	Name  string         `json:"name"`
	Roles []changes.Role `json:"roles"`
	Local bool           `json:"local"`
}

// Readiness is the answer of GET /readyz: whether the gateway can do its work,
// and what it does it with.
type Readiness struct {
	Ready  bool             `json:"ready"`
	Checks map[string]Check `json:"checks"`
}

// A Check is one thing that the gateway works with, as in /readyz. One that is
// not OK but on its last good state doesn't make the gateway unready: it goes on
// serving.
type Check struct {
	OK     bool       `json:"ok"`
	Detail string     `json:"detail,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
}

// Ledger is how well the ledger can be reached.
type Ledger struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
	Why       string    `json:"why,omitempty"` // if it can't be reached
	Last      uint64    `json:"last"`          // the number of the last record that is known
	// Format is the newest format of records that this gateway reads. What
	// has a newer one isn't written while it is there.
	Format int `json:"format,omitempty"`
	// LowestFormat is what all gateways read that were present when they were last
	// asked, within a minute; 0 if that isn't known.
	LowestFormat int `json:"lowest-format,omitempty"`
	// Unknown are the records that this gateway has skipped, as only a newer one
	// knows them.
	Unknown uint64 `json:"unknown,omitempty"`
	// Unrecorded is how much took place here that isn't in the ledger yet.
	Unrecorded int `json:"unrecorded,omitempty"`
}

// A Market is what a jurisdiction gets now, and the traffic it has had on this
// gateway.
type Market struct {
	policy.Market
	Hour Requests `json:"hour"`
	Day  Requests `json:"day"`
	// UnderWay is how many exchanges are under way there now: requests that aren't
	// answered yet, downloads, streams and WebSockets.
	UnderWay int `json:"under-way,omitempty"`
	// Ending is how many of these would be refused if they came now: they are in a drain,
	// and are cut by its end.
	Ending int `json:"ending,omitempty"`
}

// Requests are how many there were.
type Requests struct {
	Forwarded uint64 `json:"forwarded"`
	Refused   uint64 `json:"refused"`
}

// Jurisdictions is the answer of GET /v1/jurisdictions.
type Jurisdictions struct {
	Markets []Market `json:"markets"`
}

// Jurisdiction is the answer of GET /v1/jurisdictions/{code}: also of one that
// the policy doesn't name.
type Jurisdiction struct {
	Market
	// Explanation is of a request of the class other; none of a group, as nobody is in
	// one but by being in a member of it.
	Explanation *policy.Explanation `json:"explanation,omitempty"`
}

// Places is the answer of GET /v1/places: what each country and territory gets, sorted,
// and behind them each other jurisdiction that the policy names.
type Places struct {
	Gateways int       `json:"gateways"` // whose requests are counted
	Since    time.Time `json:"since"`    // when the oldest count began
	Places   []Place   `json:"places"`
}

// A Place is a Market, also one that the policy doesn't name. Its requests are those of
// all gateways, of who was there: a country's with those of its parts, a group's those
// that its entry decided. What is under way is on this gateway.
type Place struct {
	Market
	Entry      policy.Code `json:"entry"` // the one that governs requests of the class other
	Unenforced bool        `json:"unenforced,omitempty"`
}

// Policy is the answer of GET /v1/policy and GET /v1/revisions/{number}. Its
// ETag is the revision's number, or for a file the policy's SHA-256. With
// Accept: application/yaml the answer is the document alone.
type Policy struct {
	Revision *changes.Revision `json:"revision,omitempty"` // none with a file
	SHA256   string            `json:"sha256"`
	Policy   string            `json:"policy"`
}

// Revisions is the answer of GET /v1/revisions?before=N&limit=N: the newest
// first.
type Revisions struct {
	Revisions []changes.Revision `json:"revisions"`
	Next      uint64             `json:"next,omitempty"` // before= of the next page
}

// Log is the answer of GET /v1/log?before=N&limit=N: all records, the newest
// first.
type Log struct {
	Records []Record `json:"records"`
	Next    uint64   `json:"next,omitempty"`
}

// A Record is one of the ledger's.
type Record struct {
	Number uint64       `json:"number"`
	Time   time.Time    `json:"time"`
	Kind   changes.Kind `json:"kind"`   // a revision came into force; nothing else did
	Author string       `json:"author"` // of the record: of a revision that waited, who approved it last
	// Credential is what the author was known by: "user:" and the local user,
	// "token:" and the token's ID, "certificate:" and its SHA-256. It is missing of what a gateway wrote.
	Credential string `json:"credential,omitempty"`
	Because    string `json:"because"`
	Hash       string `json:"hash"`
	Summary    string `json:"summary"` // in a line of words: "FR open → withdrawn", "proposes FR open → withdrawn", "approves 41"
	// Change is what it is about: the number of a change that waits or waited,
	// or of the emergency revision that it signs.
	Change    uint64             `json:"change,omitempty"`
	Authors   []string           `json:"authors,omitempty"`   // of a revision: who proposed and edited it
	Approvers []string           `json:"approvers,omitempty"` // of a revision: who approved it
	Approvals []changes.Approval `json:"approvals,omitempty"` // the same, with when, why and by what they were known
	Emergency bool               `json:"emergency,omitempty"`
	Refused   string             `json:"refused,omitempty"` // why it is skipped
	// Took is of what took place, a step, a breach or an acknowledgement: when
	// it did at the gateway that has recorded it. Time is when that was.
	Took    *time.Time `json:"took,omitempty"`
	Gateway string     `json:"gateway,omitempty"`
	// Database is the geo database that is decided on, and what it lacked.
	Database *changes.Database `json:"database,omitempty"`
}

// Verification is the answer of GET /v1/log/verification: the whole ledger read
// from its first record.
type Verification struct {
	OK      bool            `json:"ok"`
	Records int             `json:"records"` // that are good
	Last    uint64          `json:"last"`
	Hash    string          `json:"hash"` // of the last
	Wrong   []InvalidRecord `json:"wrong"`
	// Newer are those of the good ones that only a newer exitgate knows: that they are
	// in their place was checked, not what they say.
	Newer int `json:"newer,omitempty"`
	// Unread is why the ledger can't be read: then the rest is of the gateway's
	// own copy of its records.
	Unread string `json:"unread,omitempty"`
}

// An InvalidRecord is missing, was changed, or doesn't follow from the record
// before it.
type InvalidRecord struct {
	Number uint64 `json:"number"`
	Reason string `json:"reason"`
}

// A Proposal is the body of POST /v1/plan, POST /v1/changes and PUT
// /v1/changes/{number}. One of policy, set, stage and rollback is given. For /v1/plan
// the rest may be missing, else because and plan are needed.
type Proposal struct {
	Policy string `json:"policy,omitempty"` // the whole document
	Set    *Set   `json:"set,omitempty"`
	Stage  *Stage `json:"stage,omitempty"`
	// Change is the number of a change that waits, which set or stage is made in, in
	// place of the policy in force; it is sent with PUT of that change.
	Change    uint64 `json:"change,omitempty"`
	Rollback  uint64 `json:"rollback,omitempty"`  // a revision whose policy is to be in force again
	Because   string `json:"because,omitempty"`   // why, for the ledger
	Plan      string `json:"plan,omitempty"`      // hash of the plan that is agreed to
	Emergency bool   `json:"emergency,omitempty"` // withdraw at once, and have somebody else sign later
	// Backdated says that steps in it are meant that begin more than an hour ago and
	// are not in the policy in force. Without it they are refused.
	Backdated bool `json:"backdated,omitempty"`
}

// A Stage says that a demand in the policy in force has come to another stage, and
// changes nothing else in it.
type Stage struct {
	Demand string `json:"demand"`
	policy.DatedStage
}

// A Set changes one jurisdiction's entry in the policy in force, and nothing
// else in it.
type Set struct {
	Jurisdiction policy.Code `json:"jurisdiction"`
	// Phase is what it gets. It is needed also where it means nothing, with
	// remove, so that one that was forgotten never opens a market.
	Phase  policy.Phase `json:"phase"`
	From   time.Time    `json:"from,omitzero"`    // when the phase begins, which can only restrict; at once if it is missing
	Remove bool         `json:"remove,omitempty"` // the entry, instead of setting a phase
	// Territories are which of a country's territories the entry reaches, from
	// now on: true, false or a list. It has to be said once of a country that has
	// some, if the phase isn't open.
	Territories policy.Territories `json:"territories,omitempty"`
	// UnknownPart is what those get who may be in the part of a country that the
	// entry is about, or not, from now on: serve or withhold. It has to be said once
	// where a demand binds the part.
	UnknownPart policy.UnknownPart `json:"unknown-part,omitempty"`
	// Drain is how long what is under way may go on that the entry refuses, from now
	// on: 0s to 1h, as 30s.
	Drain string `json:"drain,omitempty"`
}

// CutLater is how many exchanges that are under way now would be cut by the moment of a
// step, if they haven't ended.
type CutLater struct {
	By        time.Time `json:"by"`
	Exchanges int       `json:"exchanges"`
}

// Explanation is the answer of POST /v1/explain.
type Explanation struct {
	// Located is how the address was located, if one was asked about and no database
	// that is held made the difference.
	Located *Location `json:"located,omitempty"`
	policy.Explanation
}

// Location is how an address was located.
type Location struct {
	// Address is the one that was looked up, Form how it was found in the one asked
	// about: empty, or IPv4-mapped, 6to4, NAT64 or Teredo.
	Address string `json:"looked-up,omitempty"`
	Form    string `json:"form,omitempty"`
	// The files that these are from, of a correction with its line.
	Country      string `json:"country-from,omitempty"`
	Subdivisions string `json:"subdivisions-from,omitempty"`
	Anonymous    string `json:"anonymous-from,omitempty"`
	ASN          uint64 `json:"asn,omitempty"`
	Organisation string `json:"organisation,omitempty"`
}

// Plan is the answer of POST /v1/plan, and part of GET /v1/changes/{number}.
type Plan struct {
	Revision  uint64    `json:"revision"` // in force, that the plan starts from
	Policy    string    `json:"policy"`   // the whole document that would be in force
	Plan      plan.Plan `json:"plan"`
	Needs     int       `json:"needs"`     // approvals by others than the author
	Emergency bool      `json:"emergency"` // one person could do it at once, as it only withdraws
	Hit       *Impact   `json:"hit,omitempty"`
	// Cut is how many exchanges that are under way on this gateway would be cut: within
	// CutWithin, as 30s, or at once if it is missing.
	Cut       int    `json:"cut,omitempty"`
	CutWithin string `json:"cut-within,omitempty"`
	// CutLater are how many more of them the steps to come would cut.
	CutLater []CutLater `json:"cut-later,omitempty"`
	// Caches is what they may serve of what would be refused, if there is any.
	Caches *Caches `json:"caches,omitempty"`
	// Objection is why this gateway would refuse it, although nothing is wrong with
	// it by itself: a demand would bind a place that its databases can't find.
	Objection string `json:"objection,omitempty"`
	// Backdated are the steps that it newly says of the past.
	Backdated []string `json:"backdated,omitempty"`
	// Unsaid is what isn't said of whom it reaches, and what that comes to.
	Unsaid []string `json:"unsaid,omitempty"`
	// Unfindable are the jurisdictions that the policy would restrict, now or
	// later, and in which this gateway's databases find no clients, or not all.
	Unfindable []policy.PoorlyFound `json:"unfindable"`
}

// Caches are until when caches may serve what they have, by the answers that this
// gateway has forwarded since a moment: what would be refused among it, too.
type Caches struct {
	Since time.Time `json:"since"`
	// Shared is about caches that give one client what another one got; zero if
	// there are none, or they have nothing.
	Shared time.Time `json:"shared,omitzero"`
	// Private is about clients' own.
	Private time.Time `json:"private,omitzero"`
	// Unstated is that some answers didn't say how long they may be kept, so that
	// shared caches may serve them for longer.
	Unstated bool `json:"unstated"`
	// Purged is that the gateway has shared caches purged when something begins to
	// be refused.
	Purged bool `json:"purged"`
}

// Impact is how many of the requests of the last hour and day would have been
// decided otherwise.
type Impact struct {
	Gateways int         `json:"gateways"` // that have been counted
	Since    time.Time   `json:"since"`    // when the oldest count began
	Hour     plan.Impact `json:"hour"`
	Day      plan.Impact `json:"day"`
}

// Changes is the answer of GET /v1/changes.
type Changes struct {
	Changes []changes.Change `json:"changes"`
}

// Change is the answer of every request about one change: POST /v1/changes, GET,
// PUT /v1/changes/{number}, POST /v1/changes/{number}/approvals and …/rejection.
type Change struct {
	changes.Change
	// InForce is what came into force, if it did.
	InForce *changes.Revision `json:"in-force,omitempty"`
	// Planned is what it would do now, while it waits. Only GET has it.
	Planned *Plan `json:"planned,omitempty"`
}

// An Approval is the body of POST /v1/changes/{number}/approvals. The number may
// also be that of an emergency revision, which is signed by it.
type Approval struct {
	Plan    string `json:"plan"` // hash of the plan that is agreed to; of an emergency revision its sha256
	Because string `json:"because,omitempty"`
}

// A Rejection is the body of POST /v1/changes/{number}/rejection, and of other
// requests that only need a reason.
type Rejection struct {
	Because string `json:"because"`
}

// A Question is the body of POST /v1/explain: who asks for what. One of Address
// and Jurisdiction is given.
type Question struct {
	Address      string      `json:"address,omitempty"`
	Jurisdiction policy.Code `json:"jurisdiction,omitempty"`
	Method       string      `json:"method,omitempty"` // GET
	Host         string      `json:"host,omitempty"`   // one of the apps'
	Path         string      `json:"path,omitempty"`   // /
	At           time.Time   `json:"at,omitzero"`      // now
}

// Principals is the answer of GET /v1/principals.
type Principals struct {
	Principals []changes.Principal `json:"principals"`
}

// A Principal is the body of PUT /v1/principals/{name}.
type Principal struct {
	Roles       []changes.Role `json:"roles"`
	User        string         `json:"user,omitempty"`
	Certificate string         `json:"certificate,omitempty"`
	Because     string         `json:"because"`
}

// A TokenRequest is the body of POST /v1/principals/{name}/tokens.
type TokenRequest struct {
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Because string    `json:"because"`
}

// NewToken is the answer to it. The secret is shown once.
type NewToken struct {
	changes.Token
	Secret string `json:"secret"`
}

// An Event is what GET /v1/events tells of, as the data of a server-sent event
// whose event field is Type.
type Event struct {
	Type     string    `json:"type"` // revision, change, principal, database, recorded, transition, breach, ledger, purge
	Time     time.Time `json:"time"`
	Number   uint64    `json:"number,omitempty"` // of the record
	Author   string    `json:"author,omitempty"`
	Message  string    `json:"message"`            // in a line of words
	Revision uint64    `json:"revision,omitempty"` // in force from now on
}

// NotDisclosed stands in the place of a text that names a demand of which its reader
// may not know, such as a policy.
const NotDisclosed = "(not disclosed to you: it takes the role counsel)"

// A Problem is every answer that isn't what was asked for: RFC 9457.
type Problem struct {
	Type   string `json:"type"`  // "about:blank"
	Title  string `json:"title"` // of the status
	Status int    `json:"status"`
	// Code tells problems apart for programs: a changes.Code, or one of
	// unauthenticated, too-many-failures, cross-site, unknown-host,
	// media-type, too-large, too-slow, busy, method, unknown-path, body,
	// precondition-required, not-acknowledged, ledger-unavailable, read-only,
	// internal.
	Code   string `json:"code"`
	Detail string `json:"detail"`           // what is wrong
	Advice string `json:"advice,omitempty"` // what to do
	// Errors is what is wrong with a policy.
	Errors []*strictyaml.Diagnostic `json:"errors,omitempty"`
	// Winner is the revision in force, of a conflict.
	Winner *changes.Revision `json:"winner,omitempty"`
}

func (p *Problem) Error() string {
	if p.Advice == "" {
		return p.Detail
	}
	return p.Detail + "; " + p.Advice
}

// Probes are the answer of POST /v1/jurisdictions/{code}/probes: what clients there get,
// as each gateway that has answered has seen it by requests over its own public listener.
type Probes struct {
	Gateways []GatewayProbes `json:"gateways"`
}

// Count returns how many requests there were, and how many of them don't get what the
// policy wants.
func (p Probes) Count() (seen, unwanted int) {
	for _, g := range p.Gateways {
		for _, one := range g.Seen {
			seen++
			if one.Refused != one.Wanted {
				unwanted++
			}
		}
	}
	return seen, unwanted
}

// GatewayProbes are what one gateway has seen.
type GatewayProbes struct {
	Gateway  string        `json:"gateway"`            // host name
	Revision uint64        `json:"revision,omitempty"` // that is in force there
	Seen     []Probe       `json:"seen"`
	Unseen   []UnseenProbe `json:"unseen"`
}

// A Probe is a request as of a client from somewhere. What would be forwarded never
// reaches the app.
type Probe struct {
	Jurisdiction policy.Code  `json:"jurisdiction"` // where the databases locate the client
	Class        string       `json:"class"`
	Request      string       `json:"request"` // as in POST /signup
	Status       int          `json:"status"`  // of a refusal
	Refused      bool         `json:"refused"`
	Phase        policy.Phase `json:"phase"` // by the policy in use there
	// Wanted is whether that policy refuses it.
	Wanted bool `json:"wanted"`
}

// An UnseenProbe is what could not be seen, and why.
type UnseenProbe struct {
	Jurisdiction policy.Code `json:"jurisdiction"`
	Class        string      `json:"class,omitempty"` // none: of all
	Why          string      `json:"why"`
}

// ConsoleLink is the answer of POST /v1/console/links: where whoever asks is signed in to
// the console, once.
type ConsoleLink struct {
	Path    string    `json:"path"` // on the admin listener
	Expires time.Time `json:"expires"`
}

// Geo is the answer of GET /v1/geo: the databases that clients are located by.
type Geo struct {
	Databases []Database     `json:"databases"`
	Held      []HeldDatabase `json:"held"`
	// Decided are the last decisions on databases, the newest first. They hold for
	// all gateways of the ledger.
	Decided []changes.DatabaseDecision `json:"decided"`
}

// A Database locates clients.
type Database struct {
	Path  string    `json:"path"` // of the file, or embedded
	Type  string    `json:"type"` // GeoLite2-City
	Build time.Time `json:"build"`
	Role  string    `json:"role"`            // place, asn, anonymous, separated by +
	Error string    `json:"error,omitempty"` // why the file, as it is, isn't in use
}

// A HeldDatabase lacks much of what the one before had. Until somebody decides,
// clients are located by both, and get the stricter of both.
type HeldDatabase struct {
	changes.Database
	Since time.Time `json:"since"`
}

// A GeoDecisionRequest is the body of POST /v1/geo/decisions.
type GeoDecisionRequest struct {
	SHA256  string `json:"sha256"` // as GET /v1/geo has it
	Accept  bool   `json:"accept"` // take it into use; else go on with the one before
	Because string `json:"because"`
}
