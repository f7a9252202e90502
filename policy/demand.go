package policy

import "time"

// A Demand is a law or an order that requires flag values in a jurisdiction.
type Demand struct {
	Jurisdiction Code             `yaml:"jurisdiction" json:"jurisdiction" required:"true" doc:"Whose law it is: a country, a subdivision or a group, whose members it binds all."`
	Territories  Territories      `yaml:"territories" json:"territories,omitempty" doc:"Which of the country's territories that have codes of their own it binds, too: all, none or a list. It has to be said of one that binds, here or by the entry of the jurisdiction, which counts by default."`
	Routes       []string         `yaml:"routes" json:"routes,omitempty" doc:"The route classes that it is about. Default: the whole service."`
	Title        Words            `yaml:"title" json:"title,omitempty" doc:"What it is called, as notices show it: a text, or one by language (BCP 47)."`
	Authority    Words            `yaml:"authority" json:"authority,omitempty" doc:"Who demands it: a text, or one by language (BCP 47)."`
	Source       string           `yaml:"source" json:"source,omitempty" doc:"Where it can be read: http:// or https://."`
	Stage        Stage            `yaml:"stage" json:"stage" required:"true" doc:"How far it has come. From in-force on, one that is adopted or in-force binds."`
	InForce      time.Time        `yaml:"in-force" json:"in-force,omitzero" doc:"When it comes, or came, into force."`
	Requires     map[string]Value `yaml:"requires" json:"requires" required:"true" doc:"The flag values that it requires."`
	Disclose     *bool            `yaml:"disclose" json:"disclose,omitempty" default:"true" doc:"false where the law forbids to name it: then no notice and no page does."`
}

// Disclosed reports whether the demand may be named to the public.
func (d Demand) Disclosed() bool { return d.Disclose == nil || *d.Disclose }

// Binds reports whether the law requires what it demands, from InForce on.
func (d Demand) Binds() bool {
	return d.Stage == InForce || d.Stage == Adopted && !d.InForce.IsZero()
}

// A Stage is how far a demand has come.
type Stage string

const (
	Proposed  Stage = "proposed"
	Adopted   Stage = "adopted"   // binds from its date on
	InForce   Stage = "in-force"  // binds from its date on, without one since ever
	Suspended Stage = "suspended" // stayed by a court
	Rejected  Stage = "rejected"
	Repealed  Stage = "repealed"
)

var stages = []string{string(Proposed), string(Adopted), string(InForce), string(Suspended), string(Rejected), string(Repealed)}

// SchemaEnum lists the stages for the JSON Schema.
func (Stage) SchemaEnum() []string { return stages }

// A Cause is what the policy discloses of why a decision restricts.
type Cause struct {
	// Demands are those that the governing entry is the answer to, without
	// any that may not be disclosed.
	Demands []Demand
	// Statements are the guarantees that would be broken, in sentences for
	// people.
	Statements []Words
}
