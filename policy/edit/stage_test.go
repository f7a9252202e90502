package edit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
)

// However a demand is written, a stage more is all that changes in its text.
func TestAddStage(t *testing.T) {
	paris := time.FixedZone("", 3600)
	adopted := policy.DatedStage{Stage: policy.Adopted, Date: "2026-10-10", InForce: time.Date(2026, 12, 1, 0, 0, 0, 0, paris), Source: "https://law.example/?a=1&b"}
	const head = "version: 1\ndemands:\n"
	const written = `{stage: adopted, date: 2026-10-10, in-force: 2026-12-01T00:00:00+01:00, source: "https://law.example/?a=1&b"}`
	for name, test := range map[string]struct{ before, after string }{
		"one stage in a line": {
			"  law: {jurisdiction: FR, stage: proposed, requires: {x: 1}} # the law\n",
			"  law: {jurisdiction: FR, stages: [{stage: proposed}, " + written + "], requires: {x: 1}} # the law\n"},
		"with its date behind it": {
			"  law: {stage: in-force, in-force: 2026-01-01T00:00:00+02:00, jurisdiction: FR, requires: {x: 1}}\n",
			"  law: {stages: [{stage: in-force, in-force: 2026-01-01T00:00:00+02:00}, " + written + "], jurisdiction: FR, requires: {x: 1}}\n"},
		"with a zone": {
			"  law:\n    stage: in-force\n    in-force: 2026-01-01T00:00:00+01:00[Europe/Rome]\n    jurisdiction: FR\n    requires: {x: 1}\n",
			"  law:\n    stages:\n      - {stage: in-force, in-force: \"2026-01-01T00:00:00+01:00[Europe/Rome]\"}\n      - " + written + "\n    jurisdiction: FR\n    requires: {x: 1}\n"},
		"with its date first": {
			"  law: {in-force: 2026-01-01T00:00:00Z, jurisdiction: FR, stage: suspended, requires: {x: 1}}\n",
			"  law: {jurisdiction: FR, stages: [{stage: suspended, in-force: 2026-01-01T00:00:00Z}, " + written + "], requires: {x: 1}}\n"},
		"one stage in lines": {
			"  law:\n    jurisdiction: FR\n    in-force: 2026-01-01T00:00:00Z # as of the journal\n    stage: adopted # at last\n    requires: {x: 1}\n",
			"  law:\n    jurisdiction: FR\n    # as of the journal\n    stages: # at last\n      - {stage: adopted, in-force: 2026-01-01T00:00:00Z}\n      - " + written + "\n    requires: {x: 1}\n"},
		"a list in a line": {
			"  law: {jurisdiction: FR, stages: [{stage: proposed, date: 2026-01-02}], requires: {x: 1}}\n",
			"  law: {jurisdiction: FR, stages: [{stage: proposed, date: 2026-01-02}, " + written + "], requires: {x: 1}}\n"},
		"a list in lines": {
			"  law:\n    stages:\n    - {stage: proposed}\n    # and then\n    - stage: rejected\n      date: 2026-03-20 # by the Assembly\n    jurisdiction: FR\n    requires: {x: 1}\n",
			"  law:\n    stages:\n    - {stage: proposed}\n    # and then\n    - stage: rejected\n      date: 2026-03-20 # by the Assembly\n    - " + written + "\n    jurisdiction: FR\n    requires: {x: 1}\n"},
		"a text with carriage returns": {
			"  law:\r\n    jurisdiction: FR\r\n    stage: proposed\r\n    requires: {x: 1}\r\n",
			"  law:\r\n    jurisdiction: FR\r\n    stages:\r\n      - {stage: proposed}\r\n      - " + written + "\r\n    requires: {x: 1}\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			source := head + test.before
			if strings.Contains(source, "\r") {
				source = strings.ReplaceAll(head, "\n", "\r\n") + test.before
			}
			c := edit.StageChange{Demand: "law", DatedStage: adopted}
			if strings.Contains(test.before, "stage: suspended") {
				c.InForce = time.Time{}
				c.Stage, test.after = policy.Repealed, strings.ReplaceAll(strings.ReplaceAll(test.after, "stage: adopted", "stage: repealed"), ", in-force: 2026-12-01T00:00:00+01:00", "")
			}
			got, err := edit.AddStage([]byte(source), c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSuffix(source, test.before)+test.after, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAddStage_refused(t *testing.T) {
	for name, test := range map[string]struct {
		source, says string
		change       edit.StageChange
	}{
		"there is no such demand": {"version: 1\n", "the policy has no demand of that name", edit.StageChange{Demand: "law", DatedStage: policy.DatedStage{Stage: policy.Repealed}}},
		"a rule":                  {"version: 1\ndemands:\n  law: {jurisdiction: FR, stage: proposed, requires: {x: 1}}\n", "doesn't end by itself", edit.StageChange{Demand: "law", DatedStage: policy.DatedStage{Stage: policy.Rejected, Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}}},
		"the promise": {
			"version: 1\nguarantees: {x: {require: true}}\ndemands:\n  law: {jurisdiction: DE, stage: proposed, requires: {x: false}}\n",
			"DE is open", edit.StageChange{Demand: "law", DatedStage: policy.DatedStage{Stage: policy.InForce}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := edit.AddStage([]byte(test.source), test.change); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it is %v, which isn't about %q", err, test.says)
			}
		})
	}
}

// A demand of one stage and the same one in a list of it are the same.
func TestOneStageIsAListOfOne(t *testing.T) {
	const text = "version: 1\ndemands:\n  law: {jurisdiction: DE, %s, requires: {x: 1}}\n"
	var demands [2]policy.Demand
	for i, stage := range []string{"stage: adopted, in-force: 2026-12-01T00:00:00Z", "stages: [{stage: adopted, in-force: 2026-12-01T00:00:00Z}]"} {
		p, err := document.Parse("policy", []byte(strings.Replace(text, "%s", stage, 1)))
		if err != nil {
			t.Fatal(err)
		}
		demands[i] = p.Demands()["law"]
		demands[i].Stages = nil
	}
	if diff := cmp.Diff(demands[0], demands[1]); diff != "" {
		t.Error(diff)
	}
}
