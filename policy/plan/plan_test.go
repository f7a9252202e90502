package plan_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
	"github.com/exitgate/exitgate/policy/plan"
)

// TestNew runs the archives in testdata: the policy in
// use, the one to take its place, flags if they matter, and what is planned on
// 20 November 2026.
func TestNew(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no archives", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var policies []*policy.Policy
			var flags policy.Flags
			given := archive.Files[:0:0]
			for _, f := range archive.Files {
				switch f.Name {
				case "plan":
					continue
				case "flags":
					if err := json.Unmarshal(f.Data, &flags); err != nil {
						t.Fatal(err)
					}
				default:
					policies = append(policies, parse(t, string(f.Data)))
				}
				given = append(given, f)
			}
			change := plan.New(policies[0], policies[1], flags, planned)
			change.Warnings = document.Warnings("policy.yaml", policies[1], planned)
			archive.Files = append(given, txtar.File{Name: "plan", Data: []byte(inWords(change))})
			testkit.Golden(t, file, string(txtar.Format(archive)))
		})
	}
}

// parse returns the policy of a document that has to be good.
func parse(t testing.TB, source string) *policy.Policy {
	t.Helper()
	p, err := document.Read("policy.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var planned = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// inWords writes a plan, a line for each thing.
func inWords(p plan.Plan) string {
	var b strings.Builder
	fmt.Fprintln(&b, "effects:", p.Effects)
	for _, m := range p.Moves {
		fmt.Fprintf(&b, "%s: %s → %s", m.Effect, m.Before, m.After)
		if m.Routes != nil {
			fmt.Fprintf(&b, " (%s only)", strings.Join(m.Routes, ", "))
		}
		if !m.From.IsZero() {
			fmt.Fprintf(&b, " from %s", m.From.Format(time.RFC3339))
		}
		if !m.Until.IsZero() {
			fmt.Fprintf(&b, " until %s", m.Until.Format(time.RFC3339))
		}
		fmt.Fprintln(&b, ":", m.Jurisdictions)
	}
	if p.Exceptions != nil {
		fmt.Fprintln(&b, "apart:", p.Exceptions)
	}
	for _, a := range p.Amendments {
		fmt.Fprintf(&b, "%s %s [%s]\n  - %s\n  + %s\n", a.Section, a.Name, a.Effect, a.Before, a.After)
	}
	for _, x := range p.Expansions {
		fmt.Fprintln(&b, x.Jurisdiction, "speaks of", x.Reaches)
	}
	for _, w := range p.Warnings {
		fmt.Fprintln(&b, "warning:", w.Message)
	}
	return b.String()
}

func TestNew_weakenedGuarantee(t *testing.T) {
	for change, weaker := range map[string]bool{
		"require: true > require: true, statement: Yes.":        false,
		"require: true > require: false":                        true,
		"require: 1 > at-least: 1, at-most: 1":                  false,
		"require: 1 > at-least: 1":                              true,
		"require: a > one-of: [a]":                              false,
		"require: a > one-of: [a, b]":                           true,
		"one-of: [a, b] > require: b":                           false,
		"one-of: [a, b] > one-of: [b]":                          false,
		"one-of: [1, 2] > at-least: 1, at-most: 2":              true, // of floats it allows more
		"at-least: 1 > at-least: 2":                             false,
		"at-least: 1 > at-least: 2, at-most: 3":                 false,
		"at-least: 1 > at-least: 0":                             true,
		"at-least: 1 > at-most: 3":                              true,
		"at-least: 1, at-most: 3 > at-least: 2":                 true,
		"at-most: 3 > at-most: 2.5":                             false,
		"at-most: 3 > at-most: 3.5":                             true,
		"at-most: 3 > require: 3":                               false,
		"at-most: 3 > one-of: [2, 4]":                           true,
		"require: true > ":                                      true,
		" > require: true":                                      false,
		"one-of: [a] > require: a, statement: That is the one.": false,
	} {
		t.Run(change, func(t *testing.T) {
			was, is, _ := strings.Cut(change, " > ")
			parsed := func(guarantee string) *policy.Policy {
				if guarantee == "" {
					return policy.OpenEverywhere()
				}
				return parse(t, "version: 1\nguarantees: {a-flag: {"+guarantee+"}}\n")
			}
			change := plan.New(parsed(was), parsed(is), nil, planned)
			if got := change.HasEffect(plan.WeakensGuarantee); got != weaker {
				t.Errorf("weaker: %t, %+v", got, change.Amendments)
			}
		})
	}
}

func TestNew_weakenedDemand(t *testing.T) {
	const bound = "jurisdiction: FR, stage: in-force, in-force: 2026-12-01T00:00:00Z, requires: {a: 1, b: true}"
	for name, test := range map[string]struct {
		was, is string
		weaker  bool
	}{
		"the same":               {bound, bound, false},
		"later":                  {bound, strings.Replace(bound, "2026-12", "2027-12", 1), true},
		"earlier":                {bound, strings.Replace(bound, "2026-12", "2025-12", 1), false},
		"without a date":         {bound, strings.Replace(bound, ", in-force: 2026-12-01T00:00:00Z", "", 1), false},
		"the same in other zone": {bound, strings.Replace(bound, "2026-12-01T00:00:00Z", "2026-12-01T01:00:00+01:00", 1), false},
		"back to adopted":        {bound, strings.Replace(bound, "stage: in-force", "stage: adopted", 1), true},
		"stayed":                 {bound, strings.Replace(bound, "stage: in-force", "stage: suspended", 1), true},
		"repealed":               {bound, strings.Replace(bound, "stage: in-force", "stage: repealed", 1), true},
		"gone":                   {bound, "", true},
		"new":                    {"", bound, false},
		"requires less":          {bound, strings.Replace(bound, ", b: true", "", 1), true},
		"requires more":          {bound, strings.Replace(bound, "b: true", "b: true, c: 0", 1), false},
		"requires other":         {bound, strings.Replace(bound, "b: true", "b: false", 1), true},
		"for some routes":        {bound, bound + ", routes: [news]", true},
		"for all routes":         {bound + ", routes: [news]", bound, false},
		"elsewhere":              {bound, strings.Replace(bound, "FR", "DE", 1), true},
		"in a part":              {bound, strings.Replace(bound, "FR", "FR-IDF", 1), true},
		"in more":                {bound, strings.Replace(bound, "FR", "EU", 1), false},
		"not in territories":     {bound + ", territories: true", bound, true},
		"in territories":         {bound, bound + ", territories: true", false},
		"another title":          {bound, bound + ", title: A law", false},
		"rejected as proposed": {
			strings.Replace(bound, "stage: in-force", "stage: proposed", 1),
			strings.Replace(bound, "stage: in-force", "stage: rejected", 1), true,
		},
		"proposed otherwise": {
			strings.Replace(bound, "stage: in-force", "stage: proposed", 1),
			strings.Replace(strings.Replace(bound, "stage: in-force", "stage: proposed", 1), "b: true", "b: false", 1), false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			parsed := func(demand string) *policy.Policy {
				text := "version: 1\nroutes: {news: [/news/]}\n"
				if demand != "" {
					text += "demands: {law: {" + demand + "}}\n"
				}
				return parse(t, text)
			}
			change := plan.New(parsed(test.was), parsed(test.is), nil, planned)
			if got := change.HasEffect(plan.WeakensDemand); got != test.weaker {
				t.Errorf("weaker: %t, %+v", got, change.Amendments)
			}
			if same := name == "the same" || name == "the same in other zone"; same != change.Empty() {
				t.Errorf("empty: %t, %+v", change.Empty(), change.Amendments)
			}
		})
	}
}

func TestOnlyRestricts(t *testing.T) {
	const before = `
version: 1
groups: {ours: [CH, NO]}
routes: {news: [/news/]}
guarantees: {e2ee: {require: true}}
demands: {law: {jurisdiction: FR, stage: proposed, requires: {e2ee: false}}}
jurisdictions:
  EU: announced
  DE: {schedule: [{from: 2026-12-01T00:00:00Z, phase: wind-down}]}
  US-MS: closed-to-new
  BR: withdrawn
  ours: announced
approvals: {withdraw: 1}
`
	const entries = "jurisdictions:\n"
	withheld := policy.Flags{"BR": {Phase: policy.Withdrawn}, "IT": {Phase: policy.Withdrawn}}
	for name, test := range map[string]struct {
		old, new string
		flags    policy.Flags
		want     bool
	}{
		"a market is withdrawn":                         {old: entries, new: entries + "  FR: withdrawn\n", want: true},
		"several are":                                   {old: entries, new: entries + "  FR: withdrawn\n  US: withdrawn\n  anonymous: wind-down\n", want: true},
		"one is withdrawn later":                        {old: entries, new: entries + "  FR: {schedule: [{from: 2027-01-01T00:00:00Z, phase: withdrawn}]}\n", want: false}, // announced by EU till then
		"a schedule begins earlier":                     {old: "from: 2026-12-01", new: "from: 2026-11-25", want: true},
		"a schedule begins later":                       {old: "from: 2026-12-01", new: "from: 2026-12-02", want: false},
		"a schedule gives way to more":                  {old: "DE: {schedule: [{from: 2026-12-01T00:00:00Z, phase: wind-down}]}", new: "DE: withdrawn", want: true},
		"a schedule gives way to more, then to less":    {old: "DE: {schedule: [{from: 2026-12-01T00:00:00Z, phase: wind-down}]}", new: "DE: closed-to-new", want: false},
		"a feature is withdrawn":                        {old: entries, new: entries + "  US: {phase: withdrawn, routes: [news]}\n", want: true},
		"a feature is, where all was announced":         {old: entries, new: entries + "  FR: {phase: withdrawn, routes: [news]}\n", want: false},
		"one is withdrawn while another opens":          {old: "EU: announced", new: "EU: withdrawn\n  FR: open", want: false},
		"one opens":                                     {old: "BR: withdrawn", new: "BR: wind-down", want: false},
		"nothing changes":                               {old: entries, new: entries, want: false},
		"a comment changes":                             {old: entries, new: "# why?\n" + entries, want: false},
		"a notice changes, too":                         {old: entries, new: "notices: {default: {status: 403}}\n" + entries + "  FR: withdrawn\n", want: false},
		"the rules of approval change, too":             {old: "approvals: {withdraw: 1}\n", new: "approvals: {withdraw: 2}\n", want: false},
		"the rules of approval go, too":                 {old: "BR: withdrawn\n  ours: announced\napprovals: {withdraw: 1}\n", new: "BR: withdrawn\n  ours: withdrawn\n", want: false},
		"a route class gets more requests, too":         {old: "[/news/]}", new: "[/news/, /feed/]}", want: false},
		"a group gets more members":                     {old: "[CH, NO]", new: "[CH, NO, IS]", want: false},
		"a demand advances, too":                        {old: "stage: proposed", new: "stage: adopted", want: false},
		"it is because of something else":               {old: "US-MS: closed-to-new", new: "US-MS: {phase: closed-to-new, because: [law]}", want: false},
		"one opens behind a flag":                       {old: "BR: withdrawn", new: "BR: open", flags: withheld, want: false},
		"one opens behind a flag, another is withdrawn": {old: "BR: withdrawn\n", new: "BR: open\n  FR: withdrawn\n", flags: withheld, want: false},
		"one is withdrawn behind a flag":                {old: entries, new: entries + "  IT: withdrawn\n", flags: withheld, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(before, test.old) {
				t.Fatalf("there is no %q", test.old)
			}
			after := strings.Replace(before, test.old, test.new, 1)
			change := plan.New(parse(t, before), parse(t, after), test.flags, planned)
			if got := change.OnlyRestricts(); got != test.want {
				t.Errorf("only restricts: %t, %+v", got, change)
			}
		})
	}
	observed := parse(t, "version: 1\nmode: observe\njurisdictions: {FR: withdrawn}\n")
	enforced := parse(t, "version: 1\njurisdictions: {FR: withdrawn}\n")
	if !plan.New(observed, enforced, nil, planned).OnlyRestricts() {
		t.Error("to enforce what was only observed doesn't only restrict")
	}
	if plan.New(enforced, observed, nil, planned).OnlyRestricts() {
		t.Error("to only observe what was enforced only restricts")
	}
}

func TestNew_comments(t *testing.T) {
	was, is := parse(t, "version: 1\n"), parse(t, "version: 1 # the first\n")
	change := plan.New(was, is, nil, planned)
	if !change.Empty() || !cmp.Equal(change.Effects, []plan.Effect{plan.ChangesOther}) {
		t.Errorf("%+v", change)
	}
	if change.Hash == plan.New(was, was, nil, planned).Hash {
		t.Error("the hash is that of another plan")
	}
}

func TestImpact(t *testing.T) {
	was := parse(t, "version: 1\njurisdictions: {DE: withdrawn, anonymous: open}\n")
	is := parse(t, `
version: 1
jurisdictions:
  DE: open
  FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: announced}, {from: 2027-01-01T00:00:00Z, phase: withdrawn}]}
  IT: withdrawn
  US-MS: withdrawn
  anonymous: wind-down
`)
	hit := plan.New(was, is, nil, planned).Impact(map[plan.Traffic]uint64{
		{Jurisdiction: "DE", Class: "other"}:                  1,
		{Jurisdiction: "DE", Class: "essential"}:              2,
		{Jurisdiction: "DE", Class: "other", Anonymous: true}: 4,
		{Jurisdiction: "FR", Class: "other"}:                  8,
		{Jurisdiction: "FR", Class: "other", Anonymous: true}: 16,
		{Jurisdiction: "IT", Class: "other"}:                  32,
		{Jurisdiction: "IT", Class: "other", Anonymous: true}: 64,
		{Jurisdiction: "US", Class: "other"}:                  128,
		{Jurisdiction: "JP", Class: "other", Anonymous: true}: 256,
		{Jurisdiction: "JP", Class: "other"}:                  512,
	})
	want := plan.Impact{
		Requests: 1023,
		Served:   1,
		Refused:  16 + 32 + 64 + 256,
		Perhaps:  128,
		Moves: []uint64{
			1,             // DE is opened, but not to who hides
			16 + 64 + 256, // anonymous
			32 + 64,       // IT, and US-MS that nobody has counted
			16,            // FR is announced, but withheld from who hides
			8 + 16,        // FR is withdrawn
		},
	}
	if diff := cmp.Diff(want, hit); diff != "" {
		t.Error(diff)
	}
}

func TestPredictFlags(t *testing.T) {
	was := parse(t, "version: 1\nguarantees: {a: {require: true}, b: {at-most: 7}}\nflags: {a: true, b: {value: 7, in: {FR: 5}}, c: {value: x, in: {FR: y}}}\n")
	is := parse(t, `
version: 1
guarantees: {a: {require: true}, b: {at-most: 7}}
flags: {a: true, b: {value: 3, in: {IT: 2}}}
acknowledge:
  - {flag: a, jurisdiction: FR, at: 2026-11-19T00:00:00Z, by: Marie, because: It was a slip.}
`)
	known := was.OwnFlags()
	then := time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)
	for _, code := range []policy.Code{"FR", "DE"} {
		s := known[code]
		s.Breached = map[string]time.Time{"a": then}
		known[code] = s
	}
	known["ES"].Values["b"], _ = policy.ValueOf(6) // by a source
	before, err := json.Marshal(known)
	if err != nil {
		t.Fatal(err)
	}
	predicted := plan.PredictFlags(was, is, known)
	for code, want := range map[policy.Code]string{
		"FR": `{"values":{"a":true,"b":3}}`,
		"DE": `{"values":{"a":true,"b":3},"breached":{"a":"2026-11-18T00:00:00Z"}}`,
		"IT": `{"values":{"a":true,"b":2}}`,
		"ES": `{"values":{"a":true,"b":6}}`,
	} {
		if got, _ := json.Marshal(predicted[code]); string(got) != want {
			t.Errorf("in %s %s is predicted, want %s", code, got, want)
		}
	}
	if after, _ := json.Marshal(known); string(after) != string(before) {
		t.Error("what was known has changed")
	}
}

func TestPlanJSON(t *testing.T) {
	was := parse(t, "version: 1\nroutes: {news: [/news/]}\njurisdictions: {DE: withdrawn}\n")
	is := parse(t, `
version: 1
mode: observe
routes: {news: [/news/]}
jurisdictions:
  DE: withdrawn
  FR:
    territories: true
    routes: [news]
    schedule:
      - {from: 2026-12-01T00:00:00Z, phase: announced}
      - {from: 2027-01-01T00:00:00Z, phase: withdrawn}
  FR-IDF: open
notices: {JP: {status: 403}}
`)
	change := plan.New(was, is, nil, planned)
	change.Warnings = document.Warnings("policy.yaml", is, planned)
	text, err := json.MarshalIndent(change, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/plan.json", string(text)+"\n")
}

func BenchmarkPlan(b *testing.B) {
	was := parse(b, policytest.WithFlags(1000))
	is := parse(b, strings.ReplaceAll(policytest.WithFlags(1000), "from: 2026-12-01", "from: 2026-12-02"))
	flags := was.OwnFlags()
	b.ReportAllocs()
	for b.Loop() {
		plan.New(was, is, flags, planned)
	}
}

// Issue 10, E: a demand of a region that no longer binds a department with an entry
// of its own.
func TestNew_aRegionsDemandThatLeavesADepartmentOut(t *testing.T) {
	const rest = "version: 1\njurisdictions: {FR-IDF: withdrawn, FR-75C: withdrawn}\n"
	before := parse(t, rest+"demands: {law: {jurisdiction: FR-IDF, stage: in-force, requires: {a: 1}}}\n")
	for name, test := range map[string]struct {
		demand string
		weaker bool
	}{
		"another department of it": {"{jurisdiction: FR-77, stage: in-force, requires: {a: 1}}", true},
		"the department alone":     {"{jurisdiction: FR-75C, stage: in-force, requires: {a: 1}}", true},
		"the country":              {"{jurisdiction: FR, territories: none, stage: in-force, requires: {a: 1}}", false},
		"the same":                 {"{jurisdiction: FR-IDF, stage: in-force, requires: {a: 1}, title: The same}", false},
	} {
		change := plan.New(before, parse(t, rest+"demands: {law: "+test.demand+"}\n"), nil, planned)
		if got := change.HasEffect(plan.WeakensDemand); got != test.weaker {
			t.Errorf("%s: weaker: %t", name, got)
		}
	}
}

// A plan is about whoever moves, be it along with a country, and about the entries that it amends.
func TestJurisdictions(t *testing.T) {
	const before = `version: 1
groups: {iberia: [ES, PT]}
jurisdictions:
  US: announced
  US-MS: announced
  US-TX: withdrawn
  BY: withdrawn
`
	for after, want := range map[string]string{
		before: "",
		strings.Replace(before, "US: announced\n  US-MS: announced", "US: withdrawn\n  US-MS: withdrawn", 1): "US US-MS",
		strings.Replace(before, "US: announced\n", "US: withdrawn\n", 1):                                     "US",
		before + "  iberia: withdrawn\n":                                                                     "ES PT iberia",
		before + "  FR: {territories: [GF], phase: withdrawn}\n":                                             "FR GF",
		before + "notices: {BY: {status: 403}}\n":                                                            "",
		strings.Replace(before, "BY: withdrawn", "BY: {phase: withdrawn, features: {sign-up: withdrawn}}", 1) + "routes: {sign-up: [/signup]}\n": "BY",
	} {
		var got []string
		for _, code := range plan.New(parse(t, before), parse(t, after), nil, planned).Jurisdictions() {
			got = append(got, string(code))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("it is about %q, and not %q, with\n%s", got, want, after)
		}
	}
}

// Issue 12: how long what is under way may go on is an amendment, and moves nobody.
func TestAnotherDrainIsAnAmendment(t *testing.T) {
	const before = "version: 1\njurisdictions: {FR: withdrawn}\n"
	for after, want := range map[string]plan.Amendment{
		"version: 1\nwithdrawal: {drain: 30s}\njurisdictions: {FR: withdrawn}\n": {Effect: plan.ChangesOther, Section: "withdrawal", Name: "drain", Before: "0s", After: "30s"},
		"version: 1\njurisdictions: {FR: {phase: withdrawn, drain: 10m}}\n":      {Effect: plan.ChangesOther, Section: "jurisdictions", Name: "FR", Before: "withdrawn", After: "withdrawn, drain 10m"},
	} {
		change := plan.New(parse(t, before), parse(t, after), nil, planned)
		if len(change.Moves) != 0 || len(change.Amendments) != 1 || !reflect.DeepEqual(change.Amendments[0], want) || change.OnlyRestricts() {
			t.Errorf("%s: %v, %v", after, change.Moves, change.Amendments)
		}
	}
}
