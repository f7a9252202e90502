package policy

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Version is the format of the documents that this package reads.
const Version = 1

// A Definition is a policy as its author writes it. Its tags say how it is read
// from YAML, and what the JSON Schema is generated from.
type Definition struct {
	Version       int                  `yaml:"version" required:"true" doc:"Format of this document: 1."`
	Mode          Mode                 `yaml:"mode" default:"enforce" doc:"enforce, or observe: decide and count, but refuse nobody."`
	Guarantees    map[string]Guarantee `yaml:"guarantees" doc:"What must hold of a flag, by its name, wherever the service is served."`
	Groups        map[string][]string  `yaml:"groups" doc:"The operator's own groups of countries and subdivisions, by name. EU, EEA and others that treaties define are built in."`
	Routes        map[string][]string  `yaml:"routes" doc:"Route classes: named sets of requests, each a list of patterns in the syntax of Go's net/http.ServeMux: [METHOD ][HOST]/PATH. The phases know sign-up, export and essential."`
	Demands       map[string]Demand    `yaml:"demands" doc:"Laws and orders that require flag values, by a name of the operator's."`
	Flags         map[string]Setting   `yaml:"flags" doc:"Values of flags, by their names, everywhere or by jurisdiction. A value below a guarantee is possible only where the service is withdrawn."`
	Jurisdictions map[string]Entry     `yaml:"jurisdictions" doc:"What each jurisdiction gets: by ISO 3166-1 country (FR), ISO 3166-2 subdivision (US-MS), group (EU), or unlocated, private, anonymous. What isn't named gets what default does, and is open without that."`
	Withdrawal    Withdrawal           `yaml:"withdrawal" doc:"How markets are left."`
	Notices       map[string]Notice    `yaml:"notices" doc:"What refused clients are told, by jurisdiction, or default."`
	Acknowledge   []Acknowledgement    `yaml:"acknowledge" doc:"Breaches of guarantees that somebody has looked into, so that the service may be offered again. Until then a jurisdiction stays withdrawn, whatever the flag is now."`
	Approvals     Approvals            `yaml:"approvals" doc:"How many others must approve a change of this document before it comes into force, by what it does. It needs none by default, and never one of its author."`
}

// DefaultDefinition returns what holds where a document says nothing.
func DefaultDefinition() Definition {
	return Definition{Version: Version, Mode: Enforce, Approvals: Approvals{Expire: usualExpiry}}
}

// A Setting is what a flag is set to. A value alone, as in
// "end-to-end-encryption: true", is short for a Setting with it as Value.
type Setting struct {
	Value *Value           `yaml:"value" doc:"The flag's value wherever in: doesn't say another."`
	In    map[string]Value `yaml:"in" doc:"Its value by jurisdiction: of several that a place is in, the most specific counts."`
}

// UnmarshalScalar reads the shorthand: a value.
func (s *Setting) UnmarshalScalar(scalar any) error {
	var v Value
	if err := v.UnmarshalScalar(scalar); err != nil {
		return err
	}
	*s = Setting{Value: &v}
	return nil
}

// An Acknowledgement is somebody's word that the breaches of a guarantee up to
// a moment have been looked into.
type Acknowledgement struct {
	Flag         string    `yaml:"flag" doc:"The flag that was below its guarantee. Or name a demand."`
	Demand       string    `yaml:"demand" doc:"A demand, to mean all flags that it requires something of."`
	Jurisdiction Code      `yaml:"jurisdiction" doc:"Where it was. Default: the demand's."`
	At           time.Time `yaml:"at" required:"true" doc:"When it was looked into: breaches that are seen later are not covered."`
	By           string    `yaml:"by" required:"true" doc:"Who has looked into it."`
	Because      string    `yaml:"because" required:"true" doc:"Why the service may be offered again."`
}

// Scope returns which flags are acknowledged, and where, "" being everywhere:
// what a demand requires in its jurisdiction, where nothing else is said.
func (a Acknowledgement) Scope(demands map[string]Demand) (flags []string, jurisdiction Code) {
	if a.Demand == "" {
		return []string{a.Flag}, a.Jurisdiction
	}
	demand := demands[a.Demand]
	return demand.Requires.Flags(), cmp.Or(a.Jurisdiction, demand.Jurisdiction)
}

// An Entry is what a policy says of one jurisdiction. A phase alone, as in
// "US-MS: withdrawn", is short for an Entry with that phase from now on.
type Entry struct {
	Because     []string    `yaml:"because" doc:"The demands that this is the answer to. Notices name those that may be disclosed."`
	Phase       *Phase      `yaml:"phase" doc:"What the market gets from now on. Or give a schedule."`
	Schedule    []Step      `yaml:"schedule" doc:"Phases by date, each more restrictive than the one before; open until the first."`
	Territories Territories `yaml:"territories" doc:"Which of the country's territories that have ISO 3166-1 codes of their own it reaches, too: all, none or a list; an entry for one of them overrides."`
	// Drain is in place of Withdrawal's; nil: as that.
	Drain *time.Duration `yaml:"drain" doc:"How long what is under way may go on when this entry refuses it, in place of what withdrawal says: 0s to 1h."`
	// UnknownPart is for entries about parts of a country.
	UnknownPart UnknownPart `yaml:"unknown-part" doc:"For a subdivision: what clients get of whom only the country is known, who may be there or not: serve, as the country, or withhold, as the subdivision. It has to be said under a demand that binds."`
	// Features are what single route classes get, where that is stricter than
	// what the whole service gets.
	Features map[string]Feature `yaml:"features" doc:"What single features of the service get, by their route classes: announced or withdrawn, where that is more than what the whole service gets."`
	Routes   []string           `yaml:"routes" doc:"The older way to write features: only these route classes get the phase or the schedule."`
}

// A Feature is what a policy says of one route class in one jurisdiction. A phase
// alone, as in "news: withdrawn", is short for a Feature with that phase from now
// on.
type Feature struct {
	Phase    *Phase `yaml:"phase" doc:"announced or withdrawn, from now on. Or give a schedule."`
	Schedule []Step `yaml:"schedule" doc:"announced and withdrawn by date; as the whole service until the first."`
}

// UnmarshalText reads the shorthand: a phase.
func (f *Feature) UnmarshalText(text []byte) error {
	var phase Phase
	if err := phase.UnmarshalText(text); err != nil {
		return err
	}
	*f = Feature{Phase: &phase}
	return nil
}

// SchemaEnum lists what the shorthand may say.
func (Feature) SchemaEnum() []string { return []string{Announced.String(), Withdrawn.String()} }

// String writes the feature as a policy has it, in one line.
func (f Feature) String() string {
	if f.Phase != nil {
		return f.Phase.String()
	}
	var steps []string
	for _, s := range f.Schedule {
		steps = append(steps, fmt.Sprintf("{from: %s, phase: %s}", s.From.UTC().Format(time.RFC3339Nano), s.Phase))
	}
	return "{schedule: [" + strings.Join(steps, ", ") + "]}"
}

// WithFeatures returns the entry with its routes, if it has any, written as
// features: the whole service gets nothing of the phases then, and of the classes
// those are withdrawn that they refused.
func (e Entry) WithFeatures() Entry {
	if e.Routes == nil {
		return e
	}
	features := make(map[string]Feature, len(e.Routes))
	for _, class := range e.Routes {
		features[class] = e.featureOf(class)
	}
	e.Features, e.Routes, e.Phase, e.Schedule = features, nil, nil, nil
	return e
}

func (e Entry) featureOf(class string) Feature {
	as := func(phase Phase) Phase {
		switch {
		case phase.Refuses(class):
			return Withdrawn
		case phase > Open:
			return Announced
		}
		return Open
	}
	if e.Phase != nil {
		phase := as(*e.Phase)
		return Feature{Phase: &phase}
	}
	var f Feature
	for _, step := range e.Schedule {
		step.Phase = as(step.Phase)
		if last := len(f.Schedule) - 1; step.Phase > Open && (last < 0 || f.Schedule[last].Phase < step.Phase) {
			f.Schedule = append(f.Schedule, step)
		}
	}
	if f.Schedule == nil {
		open := Open
		f.Phase = &open
	}
	return f
}

// A Step is one line of a schedule.
type Step struct {
	From  time.Time `yaml:"from" json:"from" required:"true" doc:"When the phase begins."`
	Phase Phase     `yaml:"phase" json:"phase" required:"true" doc:"What the market gets from then on."`
}

// Equal reports whether two steps are the same, whatever zone their times are in.
func (s Step) Equal(other Step) bool { return s.Phase == other.Phase && s.From.Equal(other.From) }

// UnmarshalText reads the shorthand: a phase.
func (e *Entry) UnmarshalText(text []byte) error {
	var phase Phase
	if err := phase.UnmarshalText(text); err != nil {
		return err
	}
	*e = Entry{Phase: &phase}
	return nil
}

// SchemaEnum lists what the shorthand may say.
func (Entry) SchemaEnum() []string { return phaseNames[:] }

// A Mode is whether a policy is applied or only counted.
type Mode string

const (
	Enforce Mode = "enforce"
	Observe Mode = "observe"
)

// SchemaEnum lists the modes for the JSON Schema.
func (Mode) SchemaEnum() []string { return []string{string(Enforce), string(Observe)} }
