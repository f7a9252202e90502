// Package control is what operators see and do, by resource: status, policy,
// log, jurisdictions, plan, changes, principals, events and health. It knows
// nothing of HTTP: gateway/admin says who asks and what they may.
//
// All that its methods return is true of the requests that are being decided at
// that moment. No list in it is nil. Errors that a client can do something about
// are *changes.Error.
package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// An Engine has the policy that requests are decided by.
type Engine interface {
	// Snapshot returns it, and why nothing is served by it, "" if something is.
	Snapshot(now time.Time) (*policy.Snapshot, enforce.BlockedReason)
	AppliedAt() time.Time
	Failure() *enforce.Failure // of the newest policy; nil if it is in use
	Closed() bool              // no policy is known, and nothing is served
	StepsError() error         // why the steps that were taken weren't known from the disk, or aren't kept
}

// Flags is what is known of flags.
type Flags interface {
	Known() policy.Flags
	Status() flags.Status
}

// Options are what a Control is made of.
type Options struct {
	Version     string
	Engine      Engine
	Source      source.Source
	Flags       Flags
	FlagSources bool                                // there are providers of flags beside the policy
	FlagServer  func() (since time.Time, err error) // why the flag server fails, and since when; nil: there is none
	Traffic     func() traffic.Sums
	Describe    func(netip.Addr) geo.Description // where an address is, and by what
	// LocateHeld locates by databases that are held, if any are.
	LocateHeld func(netip.Addr) (place policy.Place, held bool)
	Databases  Databases
	Overdue    func(geo.Database) bool   // whether one is too old for what the policy restricts
	Capability func() *policy.Capability // what the databases can tell apart
	// Doubt returns why clients seem not to be located by their own addresses,
	// and since when; "" for no reason. It may be nil.
	Doubt func() (string, time.Time)
	// SettingsFailure returns why the settings that were read last are not in use,
	// and since when; nil if they are. It may be nil.
	SettingsFailure func() (since time.Time, err error)
	CertificateEnds func() map[string]time.Time // by what they are for; zero: there is none yet
	// CertificateFailures returns why certificates, and credentials of apps, are
	// not as they should be, by the name of the check.
	CertificateFailures func() map[string]certs.Failure
	Draining            func() bool
	Events              *Events
	// Copies returns until when caches may give out what was forwarded, shared
	// ones and clients' own, zero for nothing; and whether some of it didn't say so.
	// It may be nil.
	Copies func() api.Caches
	// UnderWay returns how many exchanges under way here a snapshot would forward, and how
	// many it would refuse, by market. It may be nil.
	UnderWay func(by *policy.Snapshot) (forwarded, refused map[policy.Code]int, drain time.Duration)
	// Probe returns what this gateway's clients get in a jurisdiction, as it has seen.
	Probe  func(context.Context, policy.Code) api.GatewayProbes
	Purges func() *Purges // of the caches in front; it may be nil, and return nil: there are none
	Now    func() time.Time
	Log    *slog.Logger
}

// Purges are how the operator's caches are purged.
type Purges struct {
	Pending string    // jurisdictions that no purge has succeeded for, "" for none
	Since   time.Time // when something began to be refused there
	Err     error     // of the last attempt
}

// A Control is safe for concurrent use.
type Control struct {
	o      Options
	engine Engine
	source source.Source
	now    func() time.Time
	recent trafficCache
	stood  changesCache
}

// New returns a Control.
func New(o Options) *Control {
	return &Control{o: o, engine: o.Engine, source: o.Source, now: o.Now}
}

// Unavailable returns why nothing is known yet of the ledger, nil if something
// is.
func (c *Control) Unavailable() error {
	if !c.engine.Closed() {
		return nil
	}
	return &changes.Error{
		Code:    changes.Unavailable,
		Message: fmt.Sprintf("no policy is known yet, and nothing is served: %s", c.source.Connection().Why),
		Advice:  "try again when the ledger can be reached: see exitgate status",
	}
}

// snapshot returns the policy that requests are decided by now.
func (c *Control) snapshot() *policy.Snapshot {
	snapshot, _ := c.engine.Snapshot(c.now())
	return snapshot
}

// State returns what all that the others return is true of, to be compared: as long as it is
// the same, that differs only in what time, counts and health come to.
func (c *Control) State() any {
	type state struct {
		record   uint64
		snapshot *policy.Snapshot
		blocked  enforce.BlockedReason
	}
	snapshot, blocked := c.engine.Snapshot(c.now())
	return state{c.source.State().Last(), snapshot, blocked}
}

// ByToken returns who has a token; false is nobody.
func (c *Control) ByToken(secret string) (changes.Actor, bool) {
	return c.source.State().ByToken(secret, c.now())
}

// ByCertificate returns who has a certificate with one of some names.
func (c *Control) ByCertificate(names []string) (changes.Actor, bool) {
	return c.source.State().ByCertificate(names)
}

// ByUser returns who a user of this machine is.
func (c *Control) ByUser(user string) changes.Actor { return c.source.State().ByUser(user) }

func notFound(advice, format string, args ...any) error {
	return &changes.Error{Code: changes.NotFound, Message: fmt.Sprintf(format, args...), Advice: advice}
}

func invalid(message, advice string) error {
	return &changes.Error{Code: changes.Invalid, Message: message, Advice: advice}
}

// orEmpty returns a list that JSON doesn't have as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
