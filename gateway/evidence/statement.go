package evidence

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
)

// A Statement is what records say of a jurisdiction in some time. It follows from
// them alone.
type Statement struct {
	Revisions []Revision   `json:"revisions"`
	Phases    []Step       `json:"phases"`
	Demands   []Demand     `json:"demands"`
	Took      []Occurrence `json:"took"`
}

// A Revision is a policy that was in force, for everywhere. Its text is in its record.
type Revision struct {
	changes.Revision
	Until time.Time `json:"until,omitzero"` // zero: it was in force at the end
}

// A Step is what the jurisdiction got by a policy's text and its dates, from a
// moment on. What flags withheld beside is among what took place, as breaches.
type Step struct {
	From     time.Time    `json:"from"` // by a revision, or by a date in it
	Revision uint64       `json:"revision"`
	Phase    policy.Phase `json:"phase"`
	// Routes are the route classes that got something else.
	Routes map[string]policy.Phase `json:"routes,omitempty"`
}

// A Demand is what a policy said of a law or an order that concerns the jurisdiction,
// from one of its revisions on.
type Demand struct {
	ID       string    `json:"id"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until,omitzero"`
	Revision uint64    `json:"revision"`
	policy.Demand
}

// An Occurrence is what took place in the jurisdiction, by a record of it.
type Occurrence struct {
	Record   uint64       `json:"record"`
	Kind     changes.Kind `json:"kind"`
	Took     time.Time    `json:"took"`     // at the gateway that has recorded it
	Recorded time.Time    `json:"recorded"` // by that gateway's clock
	Gateway  string       `json:"gateway"`
	Summary  string       `json:"summary"`
}

// maxPhases is how many there may be of one revision.
const maxPhases = 1000

// A reading reads records, in their order.
type reading struct {
	Header
	says  Statement
	newer int

	waiting map[uint64][]changes.Approval // of changes that wait
	last    *Revision                     // in force
	policy  *policy.Policy                // of it
	begins  time.Time                     // when the first revision came into force
	oldest  uint64                        // of the changes that the revisions come from, 0 for none
	change  uint64                        // that the one in force comes from, 0 for none
}

func newReading(h Header) *reading {
	return &reading{Header: h, says: Statement{[]Revision{}, []Step{}, []Demand{}, []Occurrence{}}, waiting: map[uint64][]changes.Approval{}}
}

// add takes the next record.
func (s *reading) add(r ledger.Record) {
	record := recordOf(r)
	d, err := changes.Describe(record)
	switch {
	case err != nil:
		return // it is skipped by every gateway
	case r.Raw != nil || d.IsUnknown:
		s.newer++
	case d.Revision != nil:
		d.Revision.AddCredentials(s.waiting[d.Number])
		delete(s.waiting, d.Number)
		s.addRevision(*d.Revision, d.Policy, d.Number)
	case r.Kind == string(changes.ChangeEdited):
		delete(s.waiting, d.Number) // its approvals are void
	case r.Kind == string(changes.ChangeApproved):
		s.waiting[d.Number] = append(s.waiting[d.Number], record.Approval())
		if !r.Time.After(s.To) {
			s.addSignature(d.Number, record.Approval())
		}
	case d.Took != nil && !d.Took.Before(s.From) && !d.Took.After(s.To) && slices.ContainsFunc(d.Places, s.concerns):
		s.says.Took = append(s.says.Took, Occurrence{r.Number, record.Kind, *d.Took, r.Time, d.Gateway, d.Summary})
	}
}

// addRevision takes a policy that came into force, unless every gateway has skipped
// it: it has to follow from the one before, and be readable.
func (s *reading) addRevision(made changes.Revision, text []byte, change uint64) {
	if s.last != nil && made.Base != s.last.Number || made.Time.After(s.To) {
		return
	}
	p, err := document.Read("policy", text)
	if err != nil {
		return
	}
	s.endRevision(made.Time)
	if s.last == nil {
		s.begins = made.Time
	}
	s.last, s.policy, s.change = &Revision{Revision: made}, p, change
}

// addSignature takes the signature under an emergency, which is a record behind it; of
// a change that waits the number is no revision's.
func (s *reading) addSignature(number uint64, by changes.Approval) {
	signed := s.last
	if i := slices.IndexFunc(s.says.Revisions, func(r Revision) bool { return r.Number == number }); i >= 0 {
		signed = &s.says.Revisions[i]
	}
	if signed != nil && signed.Number == number {
		signed.Signature = &by
	}
}

// endRevision says what the revision in force has said, if it was so in the time.
func (s *reading) endRevision(until time.Time) {
	if s.last == nil || !until.After(s.From) {
		return
	}
	if s.change != 0 && (s.oldest == 0 || s.change < s.oldest) {
		s.oldest = s.change
	}
	if until.Before(s.To) {
		s.last.Until = until
	}
	s.says.Revisions = append(s.says.Revisions, *s.last)
	from := later(s.From, s.last.Time)
	s.addPhases(from, until)
	s.addDemands(from)
}

// addPhases says what the jurisdiction got by the policy in force.
func (s *reading) addPhases(from, until time.Time) {
	for range maxPhases {
		snapshot := policy.Compile(s.policy, nil, from)
		phase := phaseAt(snapshot, s.Jurisdiction)
		phase.From, phase.Revision = from, s.last.Number
		if n := len(s.says.Phases); n == 0 || s.says.Phases[n-1].Phase != phase.Phase || !maps.Equal(s.says.Phases[n-1].Routes, phase.Routes) {
			s.says.Phases = append(s.says.Phases, phase)
		}
		if from = snapshot.Until().UTC(); from.IsZero() || !from.Before(until) {
			return
		}
	}
}

// phaseAt returns what a place gets.
func phaseAt(snapshot *policy.Snapshot, code policy.Code) (p Step) {
	place := policy.PlaceOf(code)
	phaseOf := func(class string) policy.Phase {
		return snapshot.Decide(place, snapshot.Policy().Class(class)).Phase
	}
	p.Phase = phaseOf(policy.Other)
	for _, class := range snapshot.Policy().Classes() {
		if phase := phaseOf(class); phase != p.Phase {
			if p.Routes == nil {
				p.Routes = make(map[string]policy.Phase)
			}
			p.Routes[class] = phase
		}
	}
	return p
}

// addDemands says what the policy in force says of demands, as far as the one before
// didn't.
func (s *reading) addDemands(from time.Time) {
	all := s.policy.Demands()
	for i, d := range s.says.Demands {
		if now, stays := all[d.ID]; d.Until.IsZero() && (!stays || !reflect.DeepEqual(now, d.Demand)) {
			s.says.Demands[i].Until = from
		}
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		said := slices.ContainsFunc(s.says.Demands, func(d Demand) bool { return d.ID == id && d.Until.IsZero() })
		if d := all[id]; !said && s.isAbout(d) {
			s.says.Demands = append(s.says.Demands, Demand{ID: id, From: from, Revision: s.last.Number, Demand: d})
		}
	}
}

// isAbout reports whether a demand concerns the jurisdiction.
func (s *reading) isAbout(d policy.Demand) bool {
	return s.concerns(d.Jurisdiction) ||
		slices.ContainsFunc(s.policy.Reaches(d.Jurisdiction), s.concerns) ||
		slices.ContainsFunc(d.Territories.Of(d.Jurisdiction), s.concerns)
}

// concerns reports whether a jurisdiction is the file's, has it in it, or is in it.
func (s *reading) concerns(code policy.Code) bool {
	return Within(code, s.Jurisdiction) || Within(s.Jurisdiction, code)
}

// Within reports whether a jurisdiction is another one, or a part of it.
func Within(inner, outer policy.Code) bool {
	place := policy.PlaceOf(inner)
	return inner == outer || place.Country == outer || slices.Contains(place.Subdivisions[:], outer)
}

// end returns what all records say.
func (s *reading) end() Statement {
	s.endRevision(s.To.Add(1)) // To is part of the time
	return s.says
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func recordOf(r ledger.Record) changes.Record {
	return changes.Record{Number: r.Number, Time: r.Time, Draft: changes.Draft{Kind: changes.Kind(r.Kind), Author: r.Author, Reason: r.Reason, Body: r.Body}}
}
