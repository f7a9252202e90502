package changes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// The body of a record is one line of JSON, and after that line the policy, as
// it is, if the record has one. What the ledger itself knows of a record isn't
// said again: who wrote it is its author, why is its reason.

// terms are what is said of a policy, whether it comes into force or waits.
type terms struct {
	Base    uint64        `json:"base,omitempty"`
	Authors []string      `json:"authors"`
	Plan    string        `json:"plan,omitempty"`
	Effects []plan.Effect `json:"effects,omitempty"`
	Needs   int           `json:"needs,omitempty"`
	Summary string        `json:"summary"`
	Request Request       `json:"request,omitzero"`
	Format  int           `json:"format,omitempty"` // that the policy needs
}

// A revisionBody has a policy. The author of the record is who has brought it
// into force, by the last approval if it needed any.
type revisionBody struct {
	terms
	Change    uint64     `json:"change,omitempty"`
	Approvals []Approval `json:"approvals,omitempty"`
	Emergency bool       `json:"emergency,omitempty"`
	SignBy    time.Time  `json:"sign-by,omitzero"`
	// AtOnce is that what is under way has no drain, as this was made in an emergency, be
	// it that it needed no approval. It is there where the policy has drains; see
	// drainFormat.
	AtOnce bool `json:"at-once,omitempty"`
}

// A changeBody has a policy. It is of a proposal, or of an edit of one.
type changeBody struct {
	terms
	Change  uint64    `json:"change,omitempty"` // that is edited
	Expires time.Time `json:"expires"`
}

// An approvalBody is about a change, or about the revision that is signed.
type approvalBody struct {
	Change   uint64  `json:"change,omitempty"`
	Revision uint64  `json:"revision,omitempty"`
	Plan     string  `json:"plan,omitempty"`   // of the change
	SHA256   string  `json:"sha256,omitempty"` // of the revision
	Request  Request `json:"request,omitzero"`
}

type rejectionBody struct {
	Change  uint64  `json:"change"`
	Request Request `json:"request,omitzero"`
}

// A principalBody is all of a principal, whatever of it has changed.
type principalBody struct {
	Principal Principal `json:"principal"`
	Summary   string    `json:"summary"` // what has
	Request   Request   `json:"request,omitzero"`
}

type removalBody struct {
	Name    string  `json:"name"`
	Request Request `json:"request,omitzero"`
}

// newDraft writes a body. A record that has a policy gets it, others nil.
func newDraft(kind Kind, by Actor, because string, body any, text []byte) (Draft, error) {
	line, err := json.Marshal(body)
	if err != nil {
		return Draft{}, fmt.Errorf("the record can't be written: %w", err)
	}
	if text != nil {
		line = append(append(line, '\n'), text...)
	}
	return Draft{kind, by.Name, because, line}, nil
}

// decodeBody reads a body without a policy. There is one way only to write one,
// so that nothing in it can be overlooked.
func decodeBody(line []byte, body any) error {
	if err := json.Unmarshal(line, body); err != nil {
		return fmt.Errorf("its body can't be read: %w", err)
	}
	if again, err := json.Marshal(body); err != nil || !bytes.Equal(again, line) {
		return errors.New("its body can't be read: it isn't written as exitgate writes it")
	}
	return nil
}

// decodeBodyWithPolicy reads a body, and returns the policy in it.
func decodeBodyWithPolicy(text []byte, body any) ([]byte, error) {
	line, text, found := bytes.Cut(text, []byte("\n"))
	if err := decodeBody(line, body); err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("it has no policy")
	}
	return text, nil
}

// revision is what a record says of the policy that it brings into force.
func (b revisionBody) revision(r Record, sha256 string) Revision {
	approvals := slices.Clone(b.Approvals)
	if last := len(approvals) - 1; last >= 0 { // by which it came into force
		approvals[last].Credential = b.Request.credential()
	}
	return Revision{
		Number: r.Number, Time: r.Time, Authors: b.Authors, Because: r.Reason, Summary: b.Summary, SHA256: sha256,
		Base: b.Base, Change: b.Change, Plan: b.Plan, Effects: b.Effects, Needs: b.Needs, Approvals: approvals,
		Emergency: b.Emergency, SignBy: b.SignBy,
	}
}

// AddCredentials adds to the approvals of a revision what they were given by, from
// those that the change had while it waited: its own record says it of the last one.
func (r *Revision) AddCredentials(waiting []Approval) {
	for i, given := range waiting[:min(len(waiting), len(r.Approvals))] {
		if a := &r.Approvals[i]; a.By == given.By && a.Credential == "" {
			a.Credential = given.Credential
		}
	}
}

// change is what a record says of the policy that waits from then on.
func (b changeBody) change(r Record, sha256 string) Change {
	c := Change{
		Number: r.Number, Time: r.Time, Authors: b.Authors, Because: r.Reason, Summary: b.Summary, SHA256: sha256,
		Base: b.Base, Plan: b.Plan, Effects: b.Effects, Needs: b.Needs, Approvals: []Approval{}, Expires: b.Expires,
		Status: Pending,
	}
	if b.Change != 0 {
		c.Number = b.Change
	}
	return c
}

// A Description is what a record says, for people who read the log.
type Description struct {
	Summary   string // in a line of words
	Number    uint64 // of the change that it is about, or of the revision that it signs
	Emergency bool
	SHA256    string // of its policy, if it has one
	Policy    []byte
	Revision  *Revision // what comes into force by it
	// Took is when it took place, nil of what somebody did; Gateway has
	// recorded it.
	Took    *time.Time
	Gateway string
	Places  []policy.Code // where
	// IsUnknown is that only a newer exitgate knows what is in it.
	IsUnknown bool
	Database  *Database // that is decided on
}

// Describe returns what is in a record. Whether it is valid is for State.With to
// say. Of one that only a newer exitgate knows, it says that.
func Describe(r Record) (Description, error) {
	d, err := describe(r)
	if err != nil && r.isUnknown() {
		return Description{Summary: "skipped: only a newer exitgate knows this kind of record", IsUnknown: true}, nil
	}
	return d, err
}

func describe(r Record) (Description, error) {
	switch r.Kind {
	case RevisionMade:
		var b revisionBody
		text, err := decodeBodyWithPolicy(r.Body, &b)
		if err != nil {
			return Description{}, err
		}
		revision := b.revision(r, policy.Digest(text))
		return Description{Summary: b.Summary, Number: b.Change, Emergency: b.Emergency, SHA256: revision.SHA256, Policy: text, Revision: &revision}, nil
	case ChangeProposed, ChangeEdited:
		var b changeBody
		text, err := decodeBodyWithPolicy(r.Body, &b)
		if err != nil {
			return Description{}, err
		}
		d := Description{Summary: "proposes " + b.Summary, Number: r.Number, SHA256: policy.Digest(text), Policy: text}
		if r.Kind == ChangeEdited {
			d.Summary, d.Number = fmt.Sprintf("edits %d: %s", b.Change, b.Summary), b.Change
		}
		return d, nil
	case ChangeApproved:
		var b approvalBody
		err := decodeBody(r.Body, &b)
		if b.Revision != 0 {
			return Description{Summary: fmt.Sprintf("signs %d", b.Revision), Number: b.Revision}, err
		}
		return Description{Summary: fmt.Sprintf("approves %d", b.Change), Number: b.Change}, err
	case ChangeRejected:
		var b rejectionBody
		err := decodeBody(r.Body, &b)
		return Description{Summary: fmt.Sprintf("rejects %d", b.Change), Number: b.Change}, err
	case PrincipalSet:
		var b principalBody
		err := decodeBody(r.Body, &b)
		return Description{Summary: b.Summary}, err
	case PrincipalRemoved:
		var b removalBody
		err := decodeBody(r.Body, &b)
		return Description{Summary: "removes " + b.Name}, err
	case StepTaken, GuaranteeBreached, BreachAcknowledged, MarketSevered:
		var b occurrenceBody
		err := decodeBody(r.Body, &b)
		return Description{Summary: b.summary(r.Kind), Took: &b.At, Gateway: b.Gateway, Places: b.places()}, err
	case DatabaseDecided:
		var b databaseBody
		err := decodeBody(r.Body, &b)
		return Description{Summary: b.describe(), Database: &b.Database}, err
	}
	return Description{}, errUnknown
}
