package changes

import (
	"time"

	"github.com/exitgate/exitgate/policy"
)

// A State is what the records of a ledger come to. It is immutable and safe for
// concurrent use. As JSON it can be kept, and restored by Restore.
type State struct {
	parse Parser
	inUse *policy.Policy // of revision

	last       uint64 // the number of the last record
	revision   Revision
	source     []byte
	changes    []Change // all that are known, by number
	unsigned   []Revision
	principals []Principal
	keys       []key
}

type key struct {
	Author, Key, Fingerprint string
	Number                   uint64
}

// New returns the State of an empty ledger: there is no revision yet.
func New(parse Parser) State { panic("TODO") }

// Restore returns a State that was kept. Its policy is read again.
func Restore(kept []byte, parse Parser) (State, error) { panic("TODO") }

// MarshalJSON writes all of the State, to be kept.
func (s State) MarshalJSON() ([]byte, error) { panic("TODO") }

// With returns the State after one more record. An error says why the record is
// not believed; the State that is returned is then as before but for Last.
// Records of a kind that isn't known are errors, too.
func (s State) With(r Record) (State, error) { panic("TODO") }

// Last is the number of the last record that the State knows.
func (s State) Last() uint64 { return s.last }

// Revision is the one in force; its Number is 0 if there is none.
func (s State) Revision() Revision { return s.revision }

// Source is the policy document in force, as it was written. Don't change it.
func (s State) Source() []byte { return s.source }

// Policy is the policy in force, nil if there is none.
func (s State) Policy() *policy.Policy { return s.inUse }

// Changes returns the changes that wait, and the last ones that have ended, by
// number, as they stand at a moment.
func (s State) Changes(now time.Time) []Change { panic("TODO") }

// Change returns one change, and its policy while it is Pending or Stale.
func (s State) Change(number uint64, now time.Time) (Change, []byte, bool) { panic("TODO") }

// Unsigned returns the emergency revisions that somebody else has still to
// sign.
func (s State) Unsigned() []Revision { panic("TODO") }

// Principals returns all, by name.
func (s State) Principals() []Principal { panic("TODO") }

// ByToken returns the actor that a secret is of, false if it is nobody's or has
// expired.
func (s State) ByToken(secret string, now time.Time) (Actor, bool) { panic("TODO") }

// ByCertificate returns the actor of the first of some names that is a
// principal's.
func (s State) ByCertificate(names []string) (Actor, bool) { panic("TODO") }

// ByUser returns the actor that a local user is: with all roles, as who may
// open the socket may operate, and by the name of the principal whose User it
// is, if there is one.
func (s State) ByUser(user string) Actor { panic("TODO") }
