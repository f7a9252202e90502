// Package changes is how one policy takes the place of another: who proposes,
// who approves, what comes into force, and who may do what.
//
// It is pure. A State is what a ledger's records come to, one after the other.
// A command, such as State.Propose, says what record would be written next, or
// why none is: whoever appends that record right after the last one that the
// State knows may rely on all that was checked. Records are therefore not
// checked again when they are taken, but for what every gateway must be able
// to live by: that they can be read, follow from the revision in force, and
// have a valid policy.
package changes

import (
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/plan"
)

// A Kind is what a record is about.
type Kind string

const (
	RevisionMade     Kind = "revision"          // a policy comes into force
	ChangeProposed   Kind = "change"            // a policy waits for approvals
	ChangeEdited     Kind = "edit"              // another policy, or reason, for a change that waits; its approvals are void
	ChangeApproved   Kind = "approval"          // one of several that a change needs, or the second signature under an emergency
	ChangeRejected   Kind = "rejection"         // a change that waits is given up
	PrincipalSet     Kind = "principal"         // who may use the API, all that is known of one
	PrincipalRemoved Kind = "principal-removed" // who may no longer
	DatabaseDecided  Kind = "database"          // a geo database that is held is accepted or rejected; format 2

	// What took place, in contrast to what somebody did: see Occurrence.
	StepTaken          Kind = "step"            // a step of a schedule
	GuaranteeBreached  Kind = "breach"          // flags below their guarantees
	BreachAcknowledged Kind = "acknowledgement" // came into effect
	MarketSevered      Kind = "severed"         // what was under way in markets was cut; format 5
)

// A Draft is what is to be written into the ledger.
type Draft struct {
	Kind   Kind
	Author string
	Reason string
	Body   []byte
}

// A Record is a Draft that was written.
type Record struct {
	Number uint64
	Time   time.Time
	Draft
}

// Approval returns the record as somebody's word for something, or against it.
func (r Record) Approval() Approval { return Approval{r.Author, r.Time, r.Reason, r.Credential()} }

// A Parser reads a policy and says all that is wrong with it.
type Parser func(source []byte) (*policy.Policy, error)

// Parsers read policies: one that is proposed now may be refused by a newer
// rule, one that stands in a record never.
type Parsers struct {
	Proposed Parser // as document.Parse
	Recorded Parser // as document.Read
}

// A Role is what somebody may do.
type Role string

const (
	Viewer   Role = "viewer"   // look at everything
	Operator Role = "operator" // propose changes, withdraw in an emergency, reject
	Approver Role = "approver" // approve and sign what others have done, reject
	Counsel  Role = "counsel"  // know of demands that may not be disclosed
)

// An Actor is who does something.
type Actor struct {
	Name  string // of a principal, or "unix:" and the name of a local user
	Roles []Role
	// Local says that the actor came through the gateway's socket: only such
	// a one may change principals.
	Local bool
	// Credential is what the actor was known by: "user:" and the local user,
	// "token:" and the token's ID, or "certificate:" and its SHA-256.
	Credential string
}

// A Revision is a policy that came into force.
type Revision struct {
	Number    uint64        `json:"number"` // of its record
	Time      time.Time     `json:"time"`
	Authors   []string      `json:"authors"` // who proposed it and who edited it
	Because   string        `json:"because"`
	Summary   string        `json:"summary"`          // what it does, in a line of words
	SHA256    string        `json:"sha256"`           // of the policy
	Base      uint64        `json:"base,omitempty"`   // the revision that it took the place of; 0 for the first
	Change    uint64        `json:"change,omitempty"` // the change that it was, if it waited for approvals
	Plan      string        `json:"plan,omitempty"`   // hash of the plan that was agreed to
	Effects   []plan.Effect `json:"effects,omitempty"`
	Needs     int           `json:"needs,omitempty"` // approvals, by the policy that was in force before
	Approvals []Approval    `json:"approvals,omitempty"`
	// Emergency says that it withdrew without the approvals that it needed.
	// Then SignBy is until when somebody else is to have signed it, and
	// Signature who has.
	Emergency bool      `json:"emergency,omitempty"`
	SignBy    time.Time `json:"sign-by,omitzero"`
	Signature *Approval `json:"signature,omitempty"`
}

// An Approval is one person's word for a change.
type Approval struct {
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Because string    `json:"because,omitempty"`
	// Credential is what they were known by, as in Actor; "" if it isn't known.
	Credential string `json:"credential,omitempty"`
}

// A Change is a policy that is proposed and needs approvals.
type Change struct {
	Number    uint64        `json:"number"` // of the record by which it was proposed; edits don't change it
	Time      time.Time     `json:"time"`   // of the proposal, or its last edit
	Authors   []string      `json:"authors"`
	Because   string        `json:"because"`
	Summary   string        `json:"summary"` // what it would do, in a line of words
	SHA256    string        `json:"sha256"`
	Base      uint64        `json:"base"` // the revision in force that it was planned against
	Plan      string        `json:"plan"` // hash
	Effects   []plan.Effect `json:"effects"`
	Needs     int           `json:"needs"` // approvals, in all
	Approvals []Approval    `json:"approvals"`
	Expires   time.Time     `json:"expires,omitzero"` // zero: it didn't wait
	Status    Status        `json:"status"`
	// Jurisdictions are those that it is about, while it waits: what some of them get, or
	// their entries, would be others.
	Jurisdictions []policy.Code `json:"jurisdictions,omitempty"`
	// Rebased is the revision that it would follow, if another than Base is in force by
	// now that is about none of its jurisdictions. Its approvals stay.
	Rebased uint64 `json:"rebased,omitempty"`
	// StaleBecause is why it can't be approved as it is, if it is Stale.
	StaleBecause string `json:"stale-because,omitempty"`
	// Revision is what came of it once it is Applied.
	Revision uint64 `json:"revision,omitempty"`
	// Rejected is who gave it up, if it is Rejected.
	Rejected *Approval `json:"rejected,omitempty"`
}

// A Status is how far a change has come.
type Status string

const (
	Pending  Status = "pending"
	Applied  Status = "applied"
	Rejected Status = "rejected"
	Expired  Status = "expired"
	Stale    Status = "stale" // it would do something else by now, or can't be put on top of the revision in force: edit it to propose it anew
)

// A Principal is somebody, or something, that may use the API.
type Principal struct {
	Name  string `json:"name"` // lower-case letters, digits, and any of . _ - @
	Roles []Role `json:"roles"`
	// User is the local user that is this principal: what that user does over
	// the socket is done by the principal's name, so that nobody approves
	// their own change by another door.
	User string `json:"user,omitempty"`
	// Certificate is a name in client certificates that are this principal's:
	// a subject alternative name (URI, e-mail address or DNS name), else the
	// common name.
	Certificate string  `json:"certificate,omitempty"`
	Tokens      []Token `json:"tokens,omitempty"`
}

// A Token is a secret that a principal shows. Only its hash is known.
type Token struct {
	ID      string    `json:"id"`
	SHA256  string    `json:"sha256,omitempty"` // of the whole secret, in hexadecimal; not told by the API
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// A Proposal is a policy that is to come into force.
type Proposal struct {
	// Expected is the revision in force that the author has seen.
	Expected uint64
	// Policy is the document; or Set or Stage is what is changed in the one in force.
	// A Rollback is a Proposal with the Policy of an older revision, and its
	// number.
	Policy []byte
	Set    *edit.PhaseChange
	Stage  *edit.StageChange
	// Of is the change that waits that Set or Stage is made in, in place of the policy in
	// force; 0 for that one.
	Of       uint64
	Rollback uint64
	// Because is why. Nothing is changed without.
	Because string
	// Plan is the hash of the plan that the author has agreed to.
	Plan string
	// Emergency withdraws at once, also what needs approvals.
	Emergency bool
	// Backdated says that steps are meant that begin in the past and aren't in the
	// policy in force.
	Backdated bool
	Request
	// Waits: it is planned what a change does that waits. It was checked when it was
	// proposed.
	Waits bool
}

// A Request is by what a record was written. With a Key it makes a command that is
// sent twice do once what it does.
type Request struct {
	Key string `json:"key"` // chosen by the client, "" for none
	// Fingerprint is of all that the request asks for, and behind a space what its
	// actor was known by: so records say it that all versions read.
	Fingerprint string `json:"fingerprint"`
}

// NewRequest returns the Request of an actor, with the hash of what is asked for.
func NewRequest(key, hash string, by Actor) Request {
	if by.Credential == "" {
		return Request{key, hash}
	}
	return Request{key, hash + " " + by.Credential}
}

// hash is the same for two requests only if they ask for the same.
func (r Request) hash() string {
	hash, _, _ := strings.Cut(r.Fingerprint, " ")
	return hash
}

// credential returns what its actor was known by, "" if the record doesn't say so.
func (r Request) credential() string {
	_, credential, _ := strings.Cut(r.Fingerprint, " ")
	return credential
}

// A Planned is what would come of a Proposal.
type Planned struct {
	Policy []byte // the whole document
	Plan   plan.Plan
	Needs  int // approvals by others than the author
	// Emergency is whether it could be done at once by one person, as it
	// only withdraws, or takes back what that person has just withdrawn.
	Emergency bool
	takesBack bool
	// Backdated are the steps that it newly says of the past.
	Backdated []string
}

// summary says what is planned in a line of words.
func (p Planned) summary() string {
	if len(p.Backdated) > 0 {
		return summarise(p.Plan) + " (backdated)"
	}
	return summarise(p.Plan)
}

// An ErrorCode is why something isn't done, for programs.
type ErrorCode string

const (
	Invalid     ErrorCode = "invalid"      // something in the request can't be
	WrongPolicy ErrorCode = "wrong-policy" // the policy doesn't parse or doesn't compile
	// It isn't said which of a country's territories a change reaches, or what those
	// get who may be in a part that a demand binds.
	UnsaidTerritories ErrorCode = "territories-unsaid"
	UnsaidPart        ErrorCode = "unknown-part-unsaid"

	Forbidden   ErrorCode = "forbidden" // the actor's roles don't allow it
	FourEyes    ErrorCode = "four-eyes" // the author can't approve
	NotFound    ErrorCode = "not-found"
	Conflict    ErrorCode = "conflict"     // another revision is in force than expected
	PlanChanged ErrorCode = "plan-changed" // it would do something else than was agreed to
	Ended       ErrorCode = "ended"        // the change is applied, rejected, expired or stale
	NoChange    ErrorCode = "no-change"    // it is so already
	KeyReused   ErrorCode = "key-reused"   // another request had this key

	// Of the ledger that commands are written into.
	ReadOnly        ErrorCode = "read-only"          // there is none: the policy comes from a file
	Unavailable     ErrorCode = "ledger-unavailable" // it can't be reached
	NotAcknowledged ErrorCode = "not-acknowledged"   // it isn't known whether the record was written
)

// An Error is why something isn't done. Nothing is written then, unless its Code
// is NotAcknowledged. It is the one error with a Code, whatever package it comes
// from; the admin API maps the Code to a status.
type Error struct {
	Code    ErrorCode
	Message string // what is wrong
	Advice  string // what to do
	Err     error  // of WrongPolicy, the parser's
	// Current is the revision in force, of a Conflict.
	Current *Revision
}

func (e *Error) Error() string {
	switch {
	case e.Err != nil:
		return e.Message + ":\n" + e.Err.Error()
	case e.Advice == "":
		return e.Message
	}
	return e.Message + "; " + e.Advice
}

func (e *Error) Unwrap() error { return e.Err }

// A RepeatedError is the error of a command that was done already, by a Request
// with the same key and fingerprint.
type RepeatedError struct {
	Number uint64 // of the record that was written then
}

func (r *RepeatedError) Error() string { return "this was done already" }

// How long, and how much.
const (
	MaxBecause     = 4096                // bytes
	MaxPending     = 100                 // changes that wait at the same time
	MaxPrincipals  = 1000                //
	MaxTokens      = 20                  // of a principal
	MaxKeys        = 256                 // requests that are known to be repeated
	MaxEnded       = 100                 // changes that ended and are still shown
	MaxUser        = 256                 // bytes of a local user's name
	MaxCertificate = 1024                // bytes of a name in certificates
	MaxKey         = 256                 // bytes of a request's key, and of its fingerprint
	SignWithin     = 24 * time.Hour      // for the second signature under an emergency
	TakeBackWithin = 10 * time.Minute    // for the author of an emergency to take it back alone
	ForgetAfter    = 30 * 24 * time.Hour // a change that is expired or stale
	ExpireAfter    = 72 * time.Hour      // a change that waits, where the policy doesn't say
)
