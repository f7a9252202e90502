// Package document reads policy documents: strict YAML, in which everything that
// is wrong is named with its line, its column and what would be right.
package document

import (
	"errors"
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
)

// Parse returns the policy of a document that somebody has written and that is
// checked, planned or proposed now. The name is for messages. The error, a
// strictyaml.Errors, says all that is wrong.
func Parse(name string, text []byte) (*policy.Policy, error) { return Decode(name, text).NewPolicy() }

// CheckZones returns what is wrong with the time zones that a policy says, a
// strictyaml.Errors, nil if nothing is. What a zone is, the functions say: of a moment
// that says one, and of a name.
func CheckZones(name string, p *policy.Policy, check func(time.Time) (advice string, err error), checkName func(string) error) error {
	d := Decode(name, p.Source())
	d.YAML.CheckZones(check)
	for code, notice := range d.Definition.Notices {
		if notice.Zone == "" {
			continue
		}
		if err := checkName(notice.Zone); err != nil {
			d.YAML.Errorf("use a name of the tz database, as Europe/Paris", []any{"notices", code, "zone"}, "%v", err)
		}
	}
	return d.YAML.Err()
}

// CheckDates returns what is wrong with dates in the policy of a document that is
// proposed at a moment, a strictyaml.Errors, nil if nothing is.
func CheckDates(name string, p *policy.Policy, now time.Time) error {
	d := Decode(name, p.Source())
	d.locate(p.CheckDates(now), d.YAML.Errorf)
	return d.YAML.Err()
}

// Read returns the policy of a document that stands: in a ledger, or on disk as
// the last good one. It was valid by the rules of its time, and a newer gateway
// goes on by it. No rule can be waived that the promise depends on: also a
// document that stands is served against no guarantee.
func Read(name string, text []byte) (*policy.Policy, error) { return Decode(name, text).Policy() }

// A Document is the text of a policy as it was read: what it says, and where.
type Document struct {
	Definition policy.Definition
	YAML       *strictyaml.Document

	text []byte
}

// Decode reads a document, and checks nothing of it but its form.
func Decode(name string, text []byte) *Document {
	d := &Document{Definition: policy.DefaultDefinition(), text: text}
	d.Definition.Version = 0 // a document has to say it
	d.YAML = strictyaml.Decode(name, text, &d.Definition)
	return d
}

// NewPolicy returns the policy that the document makes, by the rules for new
// ones. A rule that refuses what was allowed before is one of policy.NewProposed,
// and not of policy.New.
func (d *Document) NewPolicy() (*policy.Policy, error) { return d.policy(policy.NewProposed) }

// Policy returns the policy that the document makes, by the rules for those that
// stand already.
func (d *Document) Policy() (*policy.Policy, error) { return d.policy(policy.New) }

func (d *Document) policy(make func(policy.Definition, []byte) (*policy.Policy, error)) (*policy.Policy, error) {
	if d.YAML.Err() != nil {
		d.locate(policy.CheckParts(d.Definition), d.YAML.Errorf)
		return nil, d.YAML.Err()
	}
	p, err := make(d.Definition, d.text)
	var problems policy.Problems
	if errors.As(err, &problems) {
		d.locate(problems, d.YAML.Errorf)
		if d.YAML.Err() != nil {
			return nil, d.YAML.Err()
		}
	}
	return p, err
}

// Warnings returns what is allowed in the document of a policy but probably not
// meant, as of a moment.
func Warnings(name string, p *policy.Policy, at time.Time) []*strictyaml.Diagnostic {
	d := Decode(name, p.Source())
	d.locate(p.Warnings(at), d.YAML.Warnf)
	return d.YAML.Warnings()
}

// locate reports problems where they are in the text.
func (d *Document) locate(problems []policy.Problem, report func(advice string, path []any, format string, args ...any)) {
	for _, p := range problems {
		path := p.Path
		if last := len(path) - 1; last >= 0 {
			if key, isKey := path[last].(policy.Key); isKey {
				path = append(path[:last:last], strictyaml.Key(key))
			}
		}
		report(p.Advice, path, "%s", p.Message)
	}
}

// Schema returns the JSON Schema of policy documents, for editors.
func Schema() []byte {
	return strictyaml.Schema(policy.Definition{}, "https://exitgate.example/policy.schema.json", "exitgate policy")
}
