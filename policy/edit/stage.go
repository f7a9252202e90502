package edit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// A StageChange is what AddStage does: a demand has come to another stage.
type StageChange struct {
	Demand string
	policy.DatedStage
}

// AddStage returns the text of a policy with one stage more of a demand, and all else
// as it is, to the byte. Of a demand with one stage alone, that becomes the first of
// its stages.
//
// The result is a policy that document.Read accepts. An error that wraps
// strictyaml.Errors comes from there: by what was asked for, a rule or a promise
// would be broken.
func AddStage(source []byte, c StageChange) ([]byte, error) {
	const name = "policy"
	before := document.Decode(name, source)
	if _, err := before.Policy(); err != nil {
		return nil, err
	}
	was, exists := before.Definition.Demands[c.Demand]
	if !exists {
		return nil, ErrUnknownDemand
	}
	wanted := was
	if was.Stages == nil {
		wanted.Stages = []policy.DatedStage{{Stage: was.Stage, InForce: was.InForce}}
		if was.Stage.IsOver() {
			wanted.Stages[0].InForce = time.Time{} // a stage that is over has none
		}
		wanted.Stage, wanted.InForce = "", time.Time{}
	}
	wanted.Stages = append(slices.Clip(wanted.Stages), c.DatedStage)

	e := editor{source: source, doc: before.YAML}
	if was.Stages != nil {
		e.addStage(c, len(was.Stages)-1)
	} else {
		e.makeStages(c.Demand, wanted.Stages)
	}
	result := e.result()
	after := document.Decode(name, result)
	if after.YAML.Err() == nil && !isOnlyDemand(c.Demand, before.Definition, after.Definition, wanted) {
		return nil, fmt.Errorf("%s: %w", c.Demand, errUneditable)
	}
	if _, err := after.Policy(); err != nil {
		return nil, fmt.Errorf("%s can't be %s: %w", c.Demand, c.Stage, err)
	}
	return result, nil
}

// ErrUnknownDemand is that a policy has no demand of a name. It doesn't say which name, nor
// which there are: it is said of one that may not be disclosed, too.
var ErrUnknownDemand error = &UnknownError{"the policy has no demand of that name: see exitgate demand; a new one is written into the policy, to apply that"}

// isOnlyDemand reports whether a demand is all that differs between two documents, and
// is as it is wanted.
func isOnlyDemand(name string, before, after policy.Definition, wanted policy.Demand) bool {
	before.Demands = maps.Clone(before.Demands)
	before.Demands[name] = wanted
	return reflect.DeepEqual(before, after)
}

const demandsSection = "demands"

// addStage writes a stage behind the last of a list.
func (e *editor) addStage(c StageChange, last int) {
	path := []any{demandsSection, c.Demand, "stages"}
	_, end := e.span(append(slices.Clip(path), last)...)
	if e.isFlow(path...) {
		e.splice(end, end, ", "+flowStage(c.DatedStage))
		return
	}
	list, _ := e.span(path...)
	e.below(end, e.column(list), "- "+flowStage(c.DatedStage))
}

// makeStages writes stages in the place of a demand's one stage and its date.
func (e *editor) makeStages(demand string, stages []policy.DatedStage) {
	path := func(last any) []any { return []any{demandsSection, demand, last} }
	written := make([]string, len(stages))
	for i, s := range stages {
		written[i] = flowStage(s)
	}
	start, keyEnd := e.span(path(strictyaml.Key("stage"))...)
	_, end := e.span(path("stage")...)
	if e.isFlow(demandsSection, demand) {
		e.splice(start, end, "stages: ["+strings.Join(written, ", ")+"]")
	} else {
		e.splice(start, e.colon(keyEnd), "stages:")
		e.splice(e.colon(keyEnd), end, "")
		for _, text := range written {
			e.below(end, e.column(start)+usualIndent, "- "+text)
		}
	}
	keys := e.doc.Keys(demandsSection, demand)
	i := slices.Index(keys, "in-force")
	if i < 0 {
		return
	}
	start, _ = e.span(path(strictyaml.Key("in-force"))...)
	_, end = e.span(path("in-force")...)
	switch {
	case !e.isFlow(demandsSection, demand):
		if n := bytes.IndexByte(e.source[end:e.lineEnd(end)], '#'); n >= 0 {
			e.splice(start, end+n, "") // what is beside it stays
			break
		}
		e.splice(e.lineStart(start), e.nextLine(end), "")
	case i > 0:
		_, before := e.span(path(keys[i-1])...)
		e.splice(before, end, "")
	default:
		next, _ := e.span(path(strictyaml.Key(keys[1]))...)
		e.splice(start, next, "")
	}
}

// flowStage writes a stage in one line.
func flowStage(s policy.DatedStage) string {
	parts := []string{"stage: " + string(s.Stage)}
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+": "+value)
		}
	}
	add("date", s.Date)
	if !s.InForce.IsZero() {
		add("in-force", flowTime(s.InForce))
	}
	if !s.Until.IsZero() {
		add("until", flowTime(s.Until))
	}
	if s.Source != "" {
		add("source", fmt.Sprintf("%q", s.Source))
	}
	if s.Evidence != "" {
		add("evidence", fmt.Sprintf("%q", s.Evidence))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Check returns why something can't be a stage, before any text is changed.
func (c StageChange) Check() error {
	if c.Stage == "" {
		return errors.New("it isn't said what it has come to")
	}
	if !slices.Contains(c.Stage.SchemaEnum(), string(c.Stage)) {
		return fmt.Errorf("%.80q is not a stage: the stages are %s", c.Stage, strings.Join(c.Stage.SchemaEnum(), ", "))
	}
	return nil
}
