package policy

import (
	"time"
)

// An Action is what the gateway does with a request.
type Action uint8

const (
	Forward     Action = iota // to the app
	Refuse                    // with a notice
	WouldRefuse               // forward, as the policy only observes
)

var actionNames = [...]string{"forward", "refuse", "would-refuse"}

func (a Action) String() string { return nameOf(actionNames[:], a, "Action") }

// MarshalText writes the action's name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an action's name.
func (a *Action) UnmarshalText(text []byte) error {
	return parseName(actionNames[:], a, text, "an action")
}

// A Reason says which rule of the policy a decision came from.
type Reason uint8

const (
	ByDefault     Reason = iota // no entry matches the place but default
	ByEntry                     // the entry of the place itself: subdivision, country, unlocated, private
	ByTerritory                 // the entry of a country whose territory the place is
	ByGroup                     // the entry of a group, the operator's or a built-in one
	ByAnonymity                 // the entry anonymous, more restrictive than that of the place
	ByGuarantee                 // a flag that is, or was, below what is guaranteed: withdrawn
	ByFlag                      // the flag exitgate.phase, more restrictive than any entry
	ByUnknownPart               // the entry of a part of the place, which withholds from those who may be there or not
)

var reasonNames = [...]string{"default", "entry", "territory", "group", "anonymous", "guarantee", "flag", "unknown-part"}

func (r Reason) String() string { return nameOf(reasonNames[:], r, "Reason") }

// MarshalText writes the reason's name.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a reason's name.
func (r *Reason) UnmarshalText(text []byte) error {
	return parseName(reasonNames[:], r, text, "a reason")
}

// A Decision is what a request gets and why. Decisions are made when the
// policy is compiled, one for each place that the policy distinguishes and each
// route class, and shared by all requests that they apply to: read them, don't
// change them.
type Decision struct {
	// ID numbers the decisions of one Snapshot from 0, without gaps. Outside
	// of it, it means nothing, so that JSON doesn't have it.
	ID int `json:"-"`
	// Action is what happens.
	Action Action `json:"action"`
	// Jurisdiction is the client's: the most specific one that the policy
	// distinguishes, else the country, Unlocated or Private.
	Jurisdiction Code `json:"jurisdiction"`
	// Phase is what the jurisdiction gets for this class of requests.
	Phase Phase `json:"phase"`
	// Reason is the kind of rule that won.
	Reason Reason `json:"reason"`
	// Entry is the jurisdiction that the policy names and that governs,
	// Default where none does.
	Entry Code `json:"entry"`
	// Class is the request's route class, Other if it has none.
	Class string `json:"class"`
	// Feature says that only some route classes are withdrawn by the Entry,
	// and that Class is one of them.
	Feature bool `json:"feature,omitempty"`
	// Since is when Phase began, zero if the policy gives no date.
	Since time.Time `json:"since,omitzero"`
	// Announced is when the end was announced: the start of the first phase
	// of the Entry that is not open. Zero if the policy gives no date.
	Announced time.Time `json:"announced,omitzero"`
	// Sunset is when the service is, or was, withdrawn. Zero if the policy
	// gives no date, or one that isn't public yet.
	Sunset time.Time `json:"sunset,omitzero"`
	// Flag is the flag that withdraws, for ByGuarantee: the first one by name.
	Flag string `json:"flag,omitempty"`
}

// Market returns what the decision is counted for: the entry that governs, or where that
// is the default the place.
func (d *Decision) Market() Code {
	if d.Entry == Default {
		return d.Jurisdiction
	}
	return d.Entry
}
