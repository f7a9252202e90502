package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// A Demand is a law, an order or a request that requires flag values in a
// jurisdiction.
type Demand struct {
	Jurisdiction Code         `yaml:"jurisdiction" json:"jurisdiction" required:"true" doc:"Whose law it is: a country, a subdivision or a group, whose members it binds all."`
	Territories  Territories  `yaml:"territories" json:"territories,omitempty" doc:"Which of the country's territories that have codes of their own it binds, too: all, none or a list. It has to be said of one that binds, here or by the entry of the jurisdiction, which counts by default."`
	Routes       []string     `yaml:"routes" json:"routes,omitempty" doc:"The route classes that it is about. Default: the whole service."`
	Kind         Instrument   `yaml:"kind" json:"kind,omitempty" doc:"What it is: statute, regulation, court-order, notice (an order by an authority), or informal (a letter, a call), which never binds."`
	Title        Words        `yaml:"title" json:"title,omitempty" doc:"What it is called, as notices show it: a text, or one by language (BCP 47)."`
	Authority    Words        `yaml:"authority" json:"authority,omitempty" doc:"Who demands it: a text, or one by language (BCP 47)."`
	Source       string       `yaml:"source" json:"source,omitempty" doc:"Where it can be read: http:// or https://."`
	Stage        Stage        `yaml:"stage" json:"stage" doc:"How far it has come. From in-force on, one that is adopted or in-force binds. Or give stages."`
	InForce      time.Time    `yaml:"in-force" json:"in-force,omitzero" doc:"When it comes, or came, into force."`
	Stages       []DatedStage `yaml:"stages" json:"stages,omitempty" doc:"How it has come so far, in order, in place of stage and in-force. The last one counts."`
	Requires     Requirements `yaml:"requires" json:"requires" required:"true" doc:"The flag values that it requires: by flag, or where some come later than others a list by date."`
	Disclose     *bool        `yaml:"disclose" json:"disclose,omitempty" default:"true" doc:"false where the law forbids to name it: then no notice and no page does."`
}

// An Instrument is what a demand is.
type Instrument string

const (
	Statute    Instrument = "statute"
	Regulation Instrument = "regulation"
	CourtOrder Instrument = "court-order"
	AnOrder    Instrument = "notice"   // by an authority
	Informal   Instrument = "informal" // a letter, a call: it never binds
)

// SchemaEnum lists the instruments for the JSON Schema.
func (Instrument) SchemaEnum() []string {
	return []string{string(Statute), string(Regulation), string(CourtOrder), string(AnOrder), string(Informal)}
}

// A Stage is how far a demand has come.
type Stage string

const (
	Proposed  Stage = "proposed"
	Passed    Stage = "passed"    // by one chamber of several
	Adopted   Stage = "adopted"   // binds from its date on
	InForce   Stage = "in-force"  // binds from its date on, without one since ever
	Suspended Stage = "suspended" // stayed by a court; with an end, it binds again from then on
	Appealed  Stage = "appealed"  // which changes nothing by itself
	Rejected  Stage = "rejected"
	Revived   Stage = "revived" // after it was rejected: proposed again
	Repealed  Stage = "repealed"
)

// SchemaEnum lists the stages for the JSON Schema.
func (Stage) SchemaEnum() []string {
	return []string{string(Proposed), string(Passed), string(Adopted), string(InForce), string(Suspended), string(Appealed), string(Rejected), string(Revived), string(Repealed)}
}

// IsOver reports whether nothing is demanded any more.
func (s Stage) IsOver() bool { return s == Rejected || s == Repealed }

// A DatedStage is a stage that a demand has come to.
type DatedStage struct {
	Stage    Stage     `yaml:"stage" json:"stage" required:"true" doc:"What it came to."`
	Date     string    `yaml:"date" json:"date,omitempty" doc:"On which day, as 2026-12-01. It has no effect."`
	InForce  time.Time `yaml:"in-force" json:"in-force,omitzero" doc:"When it comes, or came, into force by that. Where a stage doesn't say it, an earlier one does."`
	Until    time.Time `yaml:"until" json:"until,omitzero" doc:"Of suspended: until when. From then on it binds again."`
	Source   string    `yaml:"source" json:"source,omitempty" doc:"Where that can be read: http:// or https://."`
	Evidence string    `yaml:"evidence" json:"evidence,omitempty" doc:"The SHA-256 of the document that shows it, as sha256:…"`
}

// A Requirement is what a demand requires from a moment on.
type Requirement struct {
	From   time.Time        `yaml:"from" json:"from,omitzero" doc:"From when on. Default: as soon as the demand binds."`
	Routes []string         `yaml:"routes" json:"routes,omitempty" doc:"The route classes that it is about. Default: the demand's."`
	Flags  map[string]Value `yaml:"flags" json:"flags" required:"true" doc:"The flag values."`
}

// Requirements are what a demand requires. Flags alone are short for one
// Requirement without a date.
type Requirements []Requirement

// ForMapping returns where a mapping is decoded into: the flags of a Requirement.
func (r *Requirements) ForMapping() any {
	*r = Requirements{{}}
	return &(*r)[0].Flags
}

// isPlain reports whether flags alone say all of it.
func (r Requirements) isPlain() bool { return len(r) == 1 && r[0].From.IsZero() && r[0].Routes == nil }

// MarshalJSON writes an object of flags, or a list where there is more.
func (r Requirements) MarshalJSON() ([]byte, error) {
	if r.isPlain() {
		return json.Marshal(r[0].Flags)
	}
	return json.Marshal([]Requirement(r))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Requirements) UnmarshalJSON(text []byte) error {
	var flags map[string]Value
	if err := json.Unmarshal(text, &flags); err == nil {
		*r = Requirements{{Flags: flags}}
		return nil
	}
	return json.Unmarshal(text, (*[]Requirement)(r))
}

// Flags returns the names of all flags that something is required of, sorted.
func (r Requirements) Flags() []string {
	all := make(map[string]bool)
	for _, one := range r {
		for name := range one.Flags {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Disclosed reports whether the demand may be named to the public.
func (d Demand) Disclosed() bool { return d.Disclose == nil || *d.Disclose }

// Binds reports whether the law requires what it demands, from InForce on or, where
// it is suspended, from the end of that.
func (d Demand) Binds() bool {
	return slices.ContainsFunc(d.Duties(), Duty.Binds)
}

// SuspendedUntil returns until when the demand is suspended, zero if it isn't or no end
// is known.
func (d Demand) SuspendedUntil() time.Time {
	if i := d.lastStage(); i >= 0 && d.Stage == Suspended {
		return d.Stages[i].Until
	}
	return time.Time{}
}

// At returns the demand as it stands at a moment. While it is suspended, it has no date.
// Where that has ended, it is as its own date has it: adopted until then, and from then
// on in force. InForce is then when it came into force for the first time, which is the
// end of the suspension if it was suspended before its date, and zero if that isn't known.
func (d Demand) At(moment time.Time) Demand {
	if d.Stage != Suspended {
		return d
	}
	own, date := d.InForce, d.ownDate()
	d.InForce = time.Time{}
	switch until := d.SuspendedUntil(); {
	case until.IsZero() || until.After(moment):
	case date.After(moment):
		d.Stage, d.InForce = Adopted, own
	default:
		d.Stage, d.InForce = InForce, d.cameIntoForce(date)
	}
	return d
}

// ownDate returns when the demand comes, or came, into force if it weren't suspended: if
// it doesn't say it as a whole, the first date of what it requires. Zero if there is none.
func (d Demand) ownDate() time.Time {
	if !d.InForce.IsZero() {
		return d.InForce
	}
	return d.Requires.begin()
}

// begin returns the first date of what is required; zero if something has none.
func (all Requirements) begin() (first time.Time) {
	for _, r := range all {
		if r.From.IsZero() {
			return time.Time{}
		}
		first = earliest(first, r.From)
	}
	return first
}

// cameIntoForce returns when the demand, or what it requires from a date on, came into
// force, or comes, if its suspensions end as they say; zero if that isn't known.
func (d Demand) cameIntoForce(date time.Time) time.Time {
	suspensions, before := d.lastSuspensions()
	if before == InForce {
		return date
	}
	for _, s := range suspensions {
		// A day has begun everywhere, and nowhere, as long after and before it has in UTC.
		latest, first := date.UTC().Add(14*time.Hour).Format(time.DateOnly), date.UTC().Add(-12*time.Hour).Format(time.DateOnly)
		switch {
		case date.IsZero():
			date = s.Until
		case !date.Before(s.Until): // it was over by then
		case s.Date == "":
			return time.Time{}
		case latest <= s.Date:
			return date
		case first > s.Date:
			date = s.Until
		default:
			return time.Time{}
		}
	}
	return date
}

// notBeforeEnd returns the end of the demand's suspension in place of a date before it.
func (d Demand) notBeforeEnd(date time.Time) time.Time {
	if until := d.SuspendedUntil(); until.After(date) {
		return until
	}
	return date
}

// lastSuspensions returns the suspensions that a demand has come to, one by one, those
// that were prolonged as one, and what it had come to before.
func (d Demand) lastSuspensions() (all []DatedStage, before Stage) {
	for _, s := range d.Stages {
		switch {
		case s.Stage == Appealed:
			continue
		case s.Stage != Suspended:
			all, before = nil, s.Stage
			continue
		}
		if last := len(all) - 1; last >= 0 && !(s.Date > all[last].Until.UTC().Format(time.DateOnly) && !all[last].Until.IsZero()) {
			if s.Date == "" && !all[last].Until.IsZero() {
				all[last].Date = "" // it isn't known whether there was a time between
			}
			all[last].Until = s.Until
			continue
		}
		all = append(all, s)
	}
	return all, before
}

// lastStage returns which of Stages counts: the last that changes anything, -1 if none
// does.
func (d Demand) lastStage() int {
	for i := len(d.Stages) - 1; i >= 0; i-- {
		if d.Stages[i].Stage != Appealed {
			return i
		}
	}
	return -1
}

// withStage returns the demand with Stage and InForce as its Stages say.
func (d Demand) withStage() Demand {
	if d.Stages == nil {
		return d
	}
	d.Stage, d.InForce = Proposed, time.Time{}
	if i := d.lastStage(); i >= 0 {
		d.Stage = d.Stages[i].Stage
	}
	over := false
	for _, s := range d.Stages {
		if over && !s.Stage.IsOver() && s.Stage != Appealed {
			d.InForce = time.Time{} // what comes back has no date yet
		}
		over = s.Stage.IsOver() || over && s.Stage == Appealed
		if !s.InForce.IsZero() {
			d.InForce = s.InForce
		}
	}
	return d
}

// A Duty is a Demand as one of its Requirements has it: that alone is in Requires,
// its classes are Routes, and it binds from InForce on if it does. Its Stage tells no
// more than whether it does.
type Duty struct{ Demand }

// Binds reports whether the law requires it, from InForce on.
func (d Duty) Binds() bool {
	return d.Stage == InForce || d.Stage == Adopted && !d.InForce.IsZero()
}

// Flags returns the values that are required.
func (d Duty) Flags() map[string]Value {
	if len(d.Requires) == 0 {
		return nil // the document is wrong
	}
	return d.Requires[0].Flags
}

// Duties returns what the demand requires, one for each date.
func (d Demand) Duties() []Duty {
	until := d.SuspendedUntil()
	stage := d.Stage
	switch {
	case d.Kind == Informal && (stage == Adopted || stage == InForce || stage == Suspended):
		stage = Proposed
	case !until.IsZero():
		stage = InForce
	}
	duties := make([]Duty, len(d.Requires))
	for i, r := range d.Requires {
		duty := d
		duty.Stage, duty.Stages, duty.Requires = stage, nil, Requirements{{Flags: r.Flags}}
		if !r.From.IsZero() {
			duty.InForce = r.From
		}
		duty.InForce = d.notBeforeEnd(duty.InForce)
		if r.Routes != nil {
			duty.Routes = r.Routes
		}
		duties[i] = Duty{duty}
	}
	return duties
}

// A Cause is what the policy discloses of why a decision restricts.
type Cause struct {
	// Demands are those that the governing entry is the answer to, without
	// any that may not be disclosed.
	Demands []Demand
	// Statements are the guarantees that would be broken, in sentences for
	// people.
	Statements []Words
}
