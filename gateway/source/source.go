// Package source is where policies come from: a policy file, or the ledger, of
// which a gateway keeps a replica. Both apply each new policy to the engine that
// decides by it, and both answer what operators ask of their history.
package source

import (
	"context"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
)

// A Source is where policies come from. Its errors are *changes.Error where
// somebody can do something about them. All methods are safe for concurrent use.
type Source interface {
	// Run applies what is new, until the context ends. Close comes after it.
	Run(context.Context)
	Close()

	// Kind returns which source it is.
	Kind() Kind
	// File returns the name of the policy file, "" for a ledger.
	File() string

	// State returns what the records of the ledger lead to: of a file no more than
	// what was decided on geo databases.
	State() changes.State
	// PlanState returns the State that a proposal is planned against: of a
	// file as if its policy were the first revision of a ledger.
	PlanState() (changes.State, error)
	// Write appends a record that is decided by the newest State, and returns
	// when this gateway decides by it.
	Write(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error)

	// WriteDecision is Write for what is decided on a geo database: that can be
	// kept without a ledger, too.
	WriteDecision(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error)

	// Record returns a record by its number.
	Record(ctx context.Context, number uint64) (Record, error)
	// Records passes the records before a number, the newest first, until it
	// has passed all or some 2000, or take returns false; 0 is from the newest
	// on. It returns the number to go on with, 0 if there is none.
	Records(ctx context.Context, before uint64, take func(Record) bool) (next uint64, err error)
	// Verify reads all of the ledger and returns what is wrong in it.
	Verify(context.Context) (Verification, error)

	// Connection returns how well the ledger can be reached, nil for a file.
	Connection() *Connection
	// SaveError returns why the replica isn't on disk, nil if it is.
	SaveError() error
	// QueryTraffic asks all gateways of the ledger, this one among them, how
	// many requests they have had. A source that knows no others asks nobody.
	QueryTraffic(context.Context) (answers [][]byte, err error)
	// QueryProbes asks all gateways of the ledger, this one among them, what their clients
	// get in a jurisdiction. There are no answers where nobody else can be asked.
	QueryProbes(context.Context, policy.Code) (answers [][]byte, err error)
}

// A Kind is one of the sources.
type Kind string

// The sources, as the API names them.
const (
	KindFile   Kind = "file"
	KindLedger Kind = "ledger" // in the process
	KindNATS   Kind = "nats"   // the operator's
)

// A Record is one record of the ledger.
type Record struct {
	changes.Record
	Hash     string
	Invalid  string        // why it is skipped, "" if it isn't
	InLedger ledger.Record // as the ledger has it
}

// A Verification is what Verify found.
type Verification struct {
	ledger.Report
	Unread  error // why it is of this gateway's copy, and not of the ledger
	Damaged bool  // the ledger isn't out of reach, but lost or damaged
	Skipped int   // valid records of a kind that only a newer exitgate knows
}

// A Connection is how well the ledger can be reached.
type Connection struct {
	Connected bool
	Since     time.Time
	Why       string // it can't be reached
	Last      uint64 // record that is known
	// ClockOffset is how far this machine's clock is ahead of that of the NATS
	// servers; Clock says so if that is too far, since when.
	ClockOffset   time.Duration
	Clock         string
	ClockOffSince time.Time
	Reserve       error // why there is no room reserved for a withdrawal; nil: there is
	Differing     int   // records that the ledger has otherwise than this gateway's copy
	Format        int   // the newest format of records that all gateways read that are present; 0: not known
	Unrecorded    int   // what took place and isn't in the ledger yet
}

// An Engine decides by the policies that a Source applies to it.
type Engine interface {
	Apply(p *policy.Policy, source []byte, number uint64, made time.Time) error
	// Pass notes a policy that was in force before the one that is applied next.
	Pass(*policy.Policy)
	RecordFailure(digest string, err error) error
	StartClosed()
	Decides() bool
	// Taken returns the steps of schedules that were taken.
	Taken() policy.TakenSteps
	// TakenBefore returns the date of the latest that was taken before this start.
	TakenBefore() time.Time
}

// parseProposed reads a policy that is proposed. Its time zones are checked here: a
// policy that stands is read whatever zones a machine knows.
func parseProposed(source []byte) (*policy.Policy, error) {
	proposed, err := document.Parse("policy", source)
	if err == nil {
		err = document.CheckZones("policy", proposed, zonedtime.Check, zonedtime.CheckName)
	}
	return proposed, err
}

// parsers read policies in records.
func parsers() changes.Parsers {
	return changes.Parsers{
		Proposed: parseProposed,
		Recorded: func(source []byte) (*policy.Policy, error) { return document.Read("policy", source) },
	}
}
