package changes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// Limits of what took place. What is beyond them is in the gateway's log alone.
const (
	MaxSteps    = 1000 // that are remembered as recorded
	MaxBreaches = 5000 // by jurisdiction and flag
)

// gatewayAuthor is the author of what a gateway writes by itself.
const gatewayAuthor = "exitgate"

// An Occurrence is what took place at a gateway, in contrast to what somebody did:
// a step of a schedule, a breach of a guarantee, an acknowledgement that came into
// effect, a market in which what was under way was cut. Each is recorded once, by the gateway that is first: a step by its
// revision and its date, a breach by its jurisdiction, its flag and the first
// revision that doesn't acknowledge it, so that one that comes and goes is one
// record; a cut by the revision and the market, with how many exchanges it was there.
type Occurrence struct {
	Kind     Kind      `json:"kind"`
	Revision uint64    `json:"revision"` // in force when it took place
	At       time.Time `json:"at"`       // from when on the gateway has decided by it
	// Of a step.
	Due     time.Time `json:"due,omitzero"`
	Changes []string  `json:"changes,omitempty"` // "wind-down → withdrawn: FR"
	// Of a breach, and of its acknowledgement.
	Breach Breach `json:"breach,omitzero"`
	// Of a cut.
	Severed Severed `json:"severed,omitzero"`
}

// Severed is how many exchanges were cut in a market at once.
type Severed struct {
	Jurisdiction policy.Code `json:"jurisdiction"`
	Exchanges    int         `json:"exchanges"`
}

// A Breach is a value of a flag below its guarantee, somewhere.
type Breach struct {
	Jurisdiction policy.Code `json:"jurisdiction"`
	Flag         string      `json:"flag"`
	Since        time.Time   `json:"since"`
}

// An occurrenceBody is of one step; or of breaches, or acknowledgements, that took
// place in the same revision.
type occurrenceBody struct {
	Format   int       `json:"format"`
	Gateway  string    `json:"gateway"` // that has recorded it
	Revision uint64    `json:"revision"`
	At       time.Time `json:"at"`
	Due      time.Time `json:"due,omitzero"`
	Changes  []string  `json:"changes,omitempty"`
	Breaches []Breach  `json:"breaches,omitempty"`
	Severed  []Severed `json:"severed,omitempty"`
}

// The formats of the ledger that have them.
const (
	occurrenceFormat = 3
	severedFormat    = 5
)

// MaxSevered is how many cuts are remembered as recorded.
const MaxSevered = 1000

// A recordedCut is a cut that is in the ledger.
type recordedCut struct {
	Revision     uint64      `json:"revision"`
	Jurisdiction policy.Code `json:"jurisdiction"`
}

// A recordedStep is a step that is in the ledger.
type recordedStep struct {
	Revision uint64    `json:"revision"`
	Due      time.Time `json:"due"`
}

// A recordedBreach is a breach that is in the ledger, the last one of its
// jurisdiction and flag.
type recordedBreach struct {
	Breach
	// AcknowledgedUntil is until when breaches are acknowledged by a revision
	// that came after it, zero if none is: one that is not later is the same.
	AcknowledgedUntil time.Time `json:"acknowledged-until,omitzero"`
	InEffect          bool      `json:"in-effect,omitempty"` // so is its acknowledgement
}

// RecordOccurrences returns the record of the first of some occurrences that aren't
// recorded, and of those that it says as well; an Error with the code NoChange if all are.
func (s State) RecordOccurrences(gateway string, all []Occurrence) (Draft, error) {
	var body occurrenceBody
	var kind Kind
	isCut := func(o Occurrence) bool { return o.Kind == MarketSevered }
	if slices.ContainsFunc(all, func(o Occurrence) bool { return !isCut(o) && !s.IsRecorded(o) }) {
		all = slices.DeleteFunc(slices.Clone(all), isCut) // earlier versions don't read these: nothing else waits for that
	}
	for _, o := range all {
		switch {
		case s.IsRecorded(o):
		case kind == "":
			kind = o.Kind
			body = occurrenceBody{Format: occurrenceFormat, Gateway: gateway, Revision: o.Revision, At: o.At.UTC().Round(0), Changes: o.Changes}
			switch kind {
			case StepTaken:
				body.Due = o.Due.UTC().Round(0)
			case MarketSevered:
				body.Format, body.Severed = severedFormat, []Severed{o.Severed}
			default:
				body.Breaches = []Breach{o.Breach.inUTC()}
			}
		case kind == o.Kind && kind == MarketSevered && o.Revision == body.Revision:
			body.Severed = append(body.Severed, o.Severed)
		case kind == o.Kind && kind != StepTaken && o.Revision == body.Revision && !slices.ContainsFunc(body.Breaches, o.Breach.HasSameFlag):
			body.Breaches = append(body.Breaches, o.Breach.inUTC())
		}
		if kind == StepTaken {
			break
		}
	}
	if kind == "" {
		return Draft{}, refuse(NoChange, "", "all of it is recorded already")
	}
	return newDraft(kind, Actor{Name: gatewayAuthor}, "", body, nil)
}

// IsRecorded reports whether an occurrence is in the ledger, or came too late to
// find that out.
func (s State) IsRecorded(o Occurrence) bool {
	switch o.Kind {
	case StepTaken:
		steps := s.saved.Steps
		return slices.ContainsFunc(steps, func(r recordedStep) bool { return r.Revision == o.Revision && r.Due.Equal(o.Due) }) ||
			len(steps) == MaxSteps && o.Revision < steps[0].Revision
	case MarketSevered:
		return slices.Contains(s.cuts, recordedCut{o.Revision, o.Severed.Jurisdiction})
	case GuaranteeBreached:
		b, known := s.recordedBreach(o.Breach)
		return known && (b.AcknowledgedUntil.IsZero() || !o.Breach.Since.After(b.AcknowledgedUntil)) ||
			!known && len(s.saved.Breaches) == MaxBreaches
	case BreachAcknowledged:
		b, known := s.recordedBreach(o.Breach)
		return known && (b.InEffect || b.AcknowledgedUntil.IsZero() && b.Since.After(o.Breach.Since)) ||
			!known && len(s.saved.Breaches) == MaxBreaches
	}
	return true
}

// HasStep reports whether a step of a date is recorded, of whatever revision.
func (s State) HasStep(due time.Time) bool {
	return slices.ContainsFunc(s.saved.Steps, func(r recordedStep) bool { return r.Due.Equal(due) })
}

// AcknowledgedWithoutEffect returns the breaches that a revision has acknowledged, and
// of which no record says that this came into effect.
func (s State) AcknowledgedWithoutEffect() (all []Breach) {
	for _, b := range s.saved.Breaches {
		if !b.AcknowledgedUntil.IsZero() && !b.InEffect {
			all = append(all, b.Breach)
		}
	}
	return all
}

// recordedBreach finds the breach that was recorded last of a jurisdiction and a flag.
func (s State) recordedBreach(b Breach) (recordedBreach, bool) {
	i := s.indexOfBreach(b)
	if i < 0 {
		return recordedBreach{}, false
	}
	return s.saved.Breaches[i], true
}

func (s State) indexOfBreach(b Breach) int {
	return slices.IndexFunc(s.saved.Breaches, func(r recordedBreach) bool { return r.HasSameFlag(b) })
}

// HasSameFlag reports whether two breaches are of one flag in one jurisdiction.
func (b Breach) HasSameFlag(other Breach) bool {
	return b.Jurisdiction == other.Jurisdiction && b.Flag == other.Flag
}

func (b Breach) inUTC() Breach {
	b.Since = b.Since.UTC().Round(0)
	return b
}

// occur takes a record of what took place. One that is there twice changes nothing
// more.
func (s State) occur(r Record) (State, error) {
	var b occurrenceBody
	if err := decodeBody(r.Body, &b); err != nil {
		return s, err
	}
	isBreach := r.Kind == GuaranteeBreached || r.Kind == BreachAcknowledged
	if (r.Kind == StepTaken) == b.Due.IsZero() || isBreach == (len(b.Breaches) == 0) || (r.Kind == MarketSevered) == (len(b.Severed) == 0) {
		return s, fmt.Errorf("it isn't one of a %s", r.Kind)
	}
	if r.Kind == MarketSevered {
		for _, cut := range b.Severed {
			if cut := (recordedCut{b.Revision, cut.Jurisdiction}); !slices.Contains(s.cuts, cut) {
				s.cuts = append(slices.Clone(s.cuts[max(0, len(s.cuts)-MaxSevered+1):]), cut)
			}
		}
		return s, nil
	}
	if r.Kind == StepTaken {
		if !s.IsRecorded(Occurrence{Kind: StepTaken, Revision: b.Revision, Due: b.Due}) {
			last := s.saved.Steps[max(0, len(s.saved.Steps)-MaxSteps+1):]
			s.saved.Steps = append(slices.Clone(last), recordedStep{b.Revision, b.Due})
		}
		return s, nil
	}
	s.saved.Breaches = slices.Clone(s.saved.Breaches)
	for _, breach := range b.Breaches {
		if s.IsRecorded(Occurrence{Kind: r.Kind, Revision: b.Revision, Breach: breach}) {
			continue
		}
		next := recordedBreach{Breach: breach}
		if r.Kind == BreachAcknowledged {
			next.AcknowledgedUntil, next.InEffect = breach.Since, true
		}
		if i := s.indexOfBreach(breach); i < 0 {
			s.saved.Breaches = append(s.saved.Breaches, next)
		} else {
			next.AcknowledgedUntil = later(next.AcknowledgedUntil, s.saved.Breaches[i].AcknowledgedUntil)
			if r.Kind == GuaranteeBreached { // a new one
				next.AcknowledgedUntil = time.Time{}
			}
			s.saved.Breaches[i] = next
		}
	}
	s.noteAcknowledged()
	return s, nil
}

// noteAcknowledged notes which breaches the policy in force acknowledges.
func (s *State) noteAcknowledged() {
	if s.inUse == nil || len(s.saved.Breaches) == 0 {
		return
	}
	s.saved.Breaches = slices.Clone(s.saved.Breaches)
	for i, b := range s.saved.Breaches {
		if until := s.inUse.AcknowledgedUntil(b.Flag, b.Jurisdiction).UTC(); !until.Before(b.Since) {
			s.saved.Breaches[i].AcknowledgedUntil = later(until, b.AcknowledgedUntil)
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// summary says in a line what took place.
func (b occurrenceBody) summary(kind Kind) string {
	if kind == StepTaken {
		return fmt.Sprintf("step of revision %d at %s: %s", b.Revision, b.Due.UTC().Format(time.RFC3339), shorten(cmp.Or(strings.Join(b.Changes, "; "), "nothing but dates")))
	}
	if kind == MarketSevered {
		var cuts []string
		for _, cut := range b.Severed {
			cuts = append(cuts, fmt.Sprintf("%d in %s", cut.Exchanges, cut.Jurisdiction))
		}
		return fmt.Sprintf("cut, at %s: %s that were under way by revision %d", b.At.UTC().Format(time.RFC3339), shorten(strings.Join(cuts, ", ")), b.Revision)
	}
	var places []string
	for _, breach := range b.Breaches {
		places = append(places, fmt.Sprintf("%s in %s", breach.Flag, breach.Jurisdiction))
	}
	what := "breach, at %s: %s below its guarantee"
	if kind == BreachAcknowledged {
		what = "acknowledged, at %s: the breach of %s"
	}
	const most = 3
	more := ""
	if n := len(places) - most; n > 0 {
		places, more = places[:most], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf(what, b.At.UTC().Format(time.RFC3339), shorten(strings.Join(places, ", "))+more)
}

// places returns where it took place.
func (b occurrenceBody) places() (codes []policy.Code) {
	for _, breach := range b.Breaches {
		codes = append(codes, breach.Jurisdiction)
	}
	for _, cut := range b.Severed {
		codes = append(codes, cut.Jurisdiction)
	}
	for _, line := range b.Changes { // as policy.FormatDifferences writes them
		list := line[strings.LastIndex(line, ": ")+len(": "):]
		for code := range strings.SplitSeq(list, ", ") {
			codes = append(codes, policy.Code(code))
		}
	}
	return codes
}

// StepsTaken returns the steps of a policy's schedules that were due after a moment
// and up to another, as by the given flags, the first MaxSteps.
func StepsTaken(p *policy.Policy, flags policy.Flags, revision uint64, after, until time.Time) (taken []Occurrence) {
	before := policy.Compile(p, flags, after)
	for due := before.Until(); !due.IsZero() && !due.After(until) && len(taken) < MaxSteps; {
		next := policy.Compile(p, flags, due)
		if changes := policy.FormatDifferences(policy.Differences(before, next)); len(changes) > 0 {
			taken = append(taken, Occurrence{Kind: StepTaken, Revision: revision, Due: due, At: due, Changes: changes})
		}
		before, due = next, next.Until()
	}
	return taken
}
