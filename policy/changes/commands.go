package changes

import (
	"time"

	"github.com/exitgate/exitgate/policy"
)

// First is what the first gateway writes into an empty ledger: a policy that
// serves everywhere.
func First(source []byte) Entry { panic("TODO") }

// Plan says what would come of a Proposal; its Expected, Because, Plan, and
// Emergency may be missing.
func (s State) Plan(p Proposal, flags policy.Flags, now time.Time) (Planned, error) { panic("TODO") }

// Propose returns the entry by which a Proposal comes into force, or, if it
// needs approvals, waits for them.
func (s State) Propose(by Actor, p Proposal, flags policy.Flags, now time.Time) (Entry, error) {
	panic("TODO")
}

// Edit returns the entry by which another Proposal takes the place of a change
// that is Pending or Stale. Approvals are void; neither author may approve it.
func (s State) Edit(by Actor, number uint64, p Proposal, flags policy.Flags, now time.Time) (Entry, error) {
	panic("TODO")
}

// Approve returns the entry by which a change is approved, which may bring it
// into force; or by which an emergency revision is signed. plan is the hash of
// the plan that is agreed to, of a revision its SHA256.
func (s State) Approve(by Actor, number uint64, plan, because string, request Request, flags policy.Flags, now time.Time) (Entry, error) {
	panic("TODO")
}

// Reject returns the entry by which a change is given up.
func (s State) Reject(by Actor, number uint64, because string, request Request, now time.Time) (Entry, error) {
	panic("TODO")
}

// SetPrincipal returns the entry that adds a principal, or changes who it is.
// Its tokens stay; those in p are ignored.
func (s State) SetPrincipal(by Actor, p Principal, because string, request Request, now time.Time) (Entry, error) {
	panic("TODO")
}

// RemovePrincipal returns the entry that removes a principal and its tokens.
func (s State) RemovePrincipal(by Actor, name, because string, request Request, now time.Time) (Entry, error) {
	panic("TODO")
}

// AddToken returns the entry that gives a principal a token. The secret is made
// by the caller (NewSecret) and never part of an entry.
func (s State) AddToken(by Actor, name string, t Token, because string, request Request, now time.Time) (Entry, error) {
	panic("TODO")
}

// RevokeToken returns the entry that takes one away.
func (s State) RevokeToken(by Actor, name, id, because string, request Request, now time.Time) (Entry, error) {
	panic("TODO")
}

// NewToken makes a token from 32 random bytes. The secret, "exg_<id>_<…>", is
// shown once and not kept.
func NewToken(random [32]byte, now, expires time.Time) (t Token, secret string) { panic("TODO") }
