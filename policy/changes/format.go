package changes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

// Format is the newest format of records that this package reads. It is raised
// with each kind of record, each field of one, and each version of the policy
// document that is added; what has the new one is written with its number.
//
// What is in a ledger stays readable for ever. A record that only a newer
// exitgate knows is counted and skipped (see State.Unknown), so that an older
// gateway goes on. But it would not do what the record says: therefore nobody
// writes a format that some gateway present doesn't read.
const Format = 6

// byLanguageFormat is the first that has policies with titles and statements by
// language.
const byLanguageFormat = 4

// stagesFormat is the first that has policies with demands of several stages or
// dates, or of a kind, and with time zones.
const stagesFormat = 5

// drainFormat is the first that has policies that say how long what is under way may go on.
const drainFormat = 6

// CheckFormat returns why a record can't be written while gateways are present
// that read the given formats, nil if it can. A gateway that doesn't say what it
// reads, as before there were numbers, is given as 0 and reads format 1.
func CheckFormat(d Draft, present []int) error {
	needs := d.Format()
	for _, reads := range present {
		if max(reads, 1) < needs {
			return &Error{
				Code:    Conflict,
				Message: fmt.Sprintf("this needs format %d of the ledger, and a gateway is present that reads %d", needs, max(reads, 1)),
				Advice:  "upgrade all gateways first: exitgate status shows which formats they read",
			}
		}
	}
	return nil
}

// errUnknown is of a record that this package doesn't know.
var errUnknown = errors.New("its kind isn't known")

// isUnknown reports whether only a newer exitgate can know a record: by its kind
// or its format.
func (d Draft) isUnknown() bool {
	switch d.Kind {
	case RevisionMade, ChangeProposed, ChangeEdited, ChangeApproved, ChangeRejected, PrincipalSet, PrincipalRemoved,
		DatabaseDecided, StepTaken, GuaranteeBreached, BreachAcknowledged, MarketSevered:
		return d.Format() > Format
	}
	return true
}

// policyFormat returns the format that a policy's text needs, 0 if every gateway
// reads it.
func policyFormat(text []byte) int {
	read := document.Decode("policy", text)
	switch d := read.Definition; {
	case d.HasDrains():
		return drainFormat
	case d.HasStages(), d.HasZones(), read.YAML.HasZones():
		return stagesFormat
	case d.SaysByLanguage():
		return byLanguageFormat
	}
	return 0
}

// OnlyWithdraws reports whether the draft is of a revision that does nothing but
// withdraw, in an emergency or not.
func (d Draft) OnlyWithdraws() bool {
	var body revisionBody
	line, _, _ := bytes.Cut(d.Body, []byte("\n"))
	return d.Kind == RevisionMade && json.Unmarshal(line, &body) == nil && slices.Equal(body.Effects, []plan.Effect{plan.WithdrawsMarket})
}

// EndsAtOnce reports whether the draft is of a revision that was made in an emergency: what
// is under way and refused by then has no drain.
func (d Draft) EndsAtOnce() bool {
	var body revisionBody
	line, _, _ := bytes.Cut(d.Body, []byte("\n"))
	return d.Kind == RevisionMade && json.Unmarshal(line, &body) == nil && body.AtOnce
}

// Credential returns what the author of a record was known by, "" if it doesn't say so.
func (d Draft) Credential() string {
	var body struct {
		Request Request `json:"request"`
	}
	line, _, _ := bytes.Cut(d.Body, []byte("\n"))
	if err := json.Unmarshal(line, &body); err != nil {
		return "" // and it can't be read
	}
	return body.Request.credential()
}

// Format returns the format that the body of a record says, 1 if it says none.
func (d Draft) Format() int {
	var body struct {
		Format int `json:"format"`
	}
	line, _, _ := bytes.Cut(d.Body, []byte("\n"))
	if err := json.Unmarshal(line, &body); err != nil {
		return 1 // and it can't be read
	}
	return max(body.Format, 1)
}
