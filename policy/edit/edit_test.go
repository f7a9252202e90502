package edit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

// TestApply runs the archives in testdata. A
// line of the comment that begins with "set" or "remove" says what to do to the
// file before; what comes of it is in the file after, or refused.
func TestApply(t *testing.T) {
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
			source := bytes.TrimSuffix(archive.Files[0].Data, []byte("\n"))
			if !bytes.Contains(archive.Comment, []byte("without a line feed at the end")) {
				source = archive.Files[0].Data
			}
			var refused error
			for line := range strings.Lines(string(archive.Comment)) {
				if change, ok := readChange(t, line); ok && refused == nil {
					var set []byte
					set, refused = edit.Apply(source, change)
					if refused == nil {
						again, err := edit.Apply(set, change)
						if err != nil || !bytes.Equal(again, set) {
							t.Errorf("the second time, it is %v:\n%s", err, again)
						}
						source = set
					}
				}
			}
			result := txtar.File{Name: "after", Data: source}
			if refused != nil {
				result = txtar.File{Name: "refused", Data: []byte(refused.Error() + "\n")}
			}
			if !bytes.HasSuffix(result.Data, []byte("\n")) {
				result.Data = append(slices.Clip(result.Data), '\n')
			}
			archive.Files = append(archive.Files[:1], result)
			testkit.Golden(t, file, string(txtar.Format(archive)))
		})
	}
}

// readChange reads "set FR withdrawn from TIME at TIME" and "remove FR".
func readChange(t *testing.T, line string) (c edit.PhaseChange, ok bool) {
	t.Helper()
	words := strings.Fields(line)
	switch {
	case len(words) == 2 && words[0] == "remove":
		return edit.PhaseChange{Jurisdiction: policy.Code(words[1]), Remove: true}, true
	case len(words) < 3 || words[0] != "set":
		return c, false
	}
	c.Jurisdiction = policy.Code(words[1])
	if err := c.Phase.UnmarshalText([]byte(words[2])); err != nil {
		t.Fatal(err)
	}
	for i := 3; i+1 < len(words); i += 2 {
		switch words[i] {
		case "from":
			c.From = policytest.Date(words[i+1])
		case "at":
			c.At = policytest.Date(words[i+1])
		case "unknown-part":
			c.UnknownPart = policy.UnknownPart(words[i+1])
		case "drain":
			drain, err := time.ParseDuration(words[i+1])
			if err != nil {
				t.Fatal(err)
			}
			c.Drain = &drain
		case "territories":
			var err error
			if c.Territories, err = policy.ParseTerritories(words[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c, true
}

// changes are drawn for a document with these entries.
func drawChange(t *rapid.T, entries []string) edit.PhaseChange {
	codes := append(slices.Clone(entries), "FR", "DE", "RE", "US-MS", "EU", "unlocated", "anonymous", "JP")
	c := edit.PhaseChange{
		Jurisdiction: policy.Code(rapid.SampledFrom(codes).Draw(t, "jurisdiction")),
		Phase:        policy.Phase(rapid.IntRange(0, 4).Draw(t, "phase")),
	}
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		c.Remove = true
	case 1, 2:
		c.From, c.At = policytest.Moments.Draw(t, "from"), policytest.Date("2026-01-15T00:00:00Z")
	}
	return c
}

// styled writes a document as somebody else would.
func styled(t *rapid.T, document string) []byte {
	if rapid.Bool().Draw(t, "wide") {
		document = strings.ReplaceAll(document, "  ", "    ")
	}
	var b strings.Builder
	for i, line := range strings.SplitAfter(document, "\n") {
		switch text := strings.TrimSuffix(line, "\n"); {
		case text == "":
			b.WriteString(line)
		case rapid.IntRange(0, 5).Draw(t, "comment") == 0:
			fmt.Fprintf(&b, "%s # remark %d: so be it\n", text, i)
		case rapid.IntRange(0, 5).Draw(t, "line") == 0:
			fmt.Fprintf(&b, "%s\n\n  # line %d: as it is\n", text, i)
		default:
			b.WriteString(line)
		}
	}
	document = b.String()
	if rapid.Bool().Draw(t, "flow") {
		document = inFlow.Replace(document)
	}
	if rapid.Bool().Draw(t, "carriage returns") {
		document = strings.ReplaceAll(document, "\n", "\r\n")
	}
	if rapid.Bool().Draw(t, "no line feed at the end") {
		document = strings.TrimRight(document, "\r\n")
	}
	if rapid.Bool().Draw(t, "byte order mark") {
		document = "\ufeff" + document
	}
	return []byte(document)
}

// inFlow puts some entries into braces.
var inFlow = strings.NewReplacer(
	"  FR: withdrawn\n", "  FR: {phase: withdrawn}\n",
	"  DE: withdrawn\n", "  \"DE\": {phase: 'withdrawn',}\n",
	"  EU: withdrawn\n", "  EU: {\n      # in braces\n      phase: withdrawn # for good\n    }\n",
	"  US: withdrawn\n", "  US:\n    withdrawn\n",
	"  GB: withdrawn\n", "  GB: >-\n    withdrawn\n",
)

func TestApplyLeavesAllElseAsItWas(t *testing.T) {
	sets := 0
	rapid.Check(t, func(t *rapid.T) {
		p := policytest.Promises.Draw(t, "promise")
		source := styled(t, p.Document())
		before, err := document.Read("policy", source)
		if err != nil {
			return
		}
		var entries []string
		for _, code := range before.Jurisdictions() {
			entries = append(entries, string(code))
		}
		c := drawChange(t, entries)
		set, err := edit.Apply(source, c)
		var problems strictyaml.Errors
		switch {
		case err != nil && strings.Contains(err.Error(), "only people can edit"):
			t.Fatalf("%+v: %v\n%s", c, err, source)
		case errors.As(err, &problems), err != nil && !c.From.IsZero():
			return
		case err != nil:
			t.Fatalf("%+v: %v\n%s", c, err, source)
		}
		sets++
		after, err := document.Read("policy", set)
		if err != nil {
			t.Fatalf("%v\n%s", err, set)
		}
		if again, err := edit.Apply(set, c); err != nil || !bytes.Equal(again, set) {
			t.Fatalf("the second time, it is %v:\n%s\n%s", err, set, again)
		}
		checkOnlyEntry(t, c, before, after)
		e, there := p.Entries[string(c.Jurisdiction)]
		if lost := lostLines(source, set); !there && lost != nil {
			t.Fatalf("%+v loses %q\n%s\n%s", c, lost, source, set)
		}
		if there && (c.Remove || e.Steps[0].From != "") {
			return // takes remarks along
		}
		if lost := lostLines([]byte(strings.Join(remarks.FindAllString(string(source), -1), "\n")), set); lost != nil {
			t.Fatalf("%+v loses %q\n%s\n%s", c, lost, source, set)
		}
	})
	if sets == 0 {
		t.Error("nothing was set")
	}
}

var remarks = regexp.MustCompile(`# (remark|line|in braces|for good).*`)

// checkOnlyEntry compares what two policies say of all entries.
func checkOnlyEntry(t *rapid.T, c edit.PhaseChange, before, after *policy.Policy) {
	for _, at := range append(slices.Clone(policytest.Times), "2030-01-01T00:00:00Z") {
		was, is := policy.Compile(before, nil, policytest.Date(at)).Markets(), policy.Compile(after, nil, policytest.Date(at)).Markets()
		named := func(markets []policy.Market) (rest []policy.Market, own *policy.Market) {
			for _, m := range markets {
				m.Reaches = nil // to territories with entries of their own
				if m.Jurisdiction == c.Jurisdiction {
					own = &m
				} else {
					rest = append(rest, m)
				}
			}
			return rest, own
		}
		old, _ := named(was)
		now, own := named(is)
		if diff := cmp.Diff(old, now); diff != "" {
			t.Fatal(diff)
		}
		switch {
		case c.Remove && own != nil, !c.Remove && own == nil:
			t.Fatalf("%+v: %v", c, own)
		case c.Remove:
		case c.From.IsZero() && own.Phase != c.Phase, !c.From.IsZero() && !policytest.Date(at).Before(c.From) && own.Phase < c.Phase:
			t.Fatalf("%+v: at %s it is %s", c, at, own.Phase)
		}
	}
}

// lostLines returns the lines of one text that aren't in the other, in order.
func lostLines(before, after []byte) (lost []string) {
	for _, line := range strings.SplitAfter(string(before), "\n") {
		line = strings.TrimRight(line, "\r\n")
		at := strings.Index(string(after), line)
		if at < 0 {
			lost = append(lost, line)
			continue
		}
		after = after[at+len(line):]
	}
	return lost
}

// FuzzApply: whatever the text, Set doesn't panic, and what it sets stays set.
func FuzzApply(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		f.Fatal("no archives", err)
	}
	for _, file := range archives {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data, "FR", uint8(4), int64(0), false)
		f.Add(archive.Files[0].Data, "FR", uint8(3), moment.Unix(), false)
		f.Add(archive.Files[0].Data, "DE", uint8(0), int64(0), true)
	}
	fixtures, err := filepath.Glob("../document/testdata/good/*.yaml")
	if err != nil || len(fixtures) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, file := range fixtures {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "US-MS", uint8(4), moment.Unix(), false)
	}
	f.Fuzz(func(t *testing.T, source []byte, code string, phase uint8, from int64, remove bool) {
		c := edit.PhaseChange{Jurisdiction: policy.Code(code), Phase: policy.Phase(phase), Remove: remove, At: moment.AddDate(0, -1, 0)}
		if from != 0 {
			c.From = time.Unix(from, 0)
		}
		set, err := edit.Apply(source, c)
		if err != nil {
			return
		}
		if again, err := edit.Apply(set, c); err != nil || !bytes.Equal(again, set) {
			t.Fatalf("%+v: the second time, it is %v:\n%q\n%q", c, err, set, again)
		}
	})
}

func TestApplyKeepsLineEnds(t *testing.T) {
	for name, test := range map[string]struct {
		source, want string
		change       edit.PhaseChange
	}{
		"carriage returns": {
			"version: 1\r\njurisdictions:\r\n  DE: open # so far\r\n",
			"version: 1\r\njurisdictions:\r\n  DE: open # so far\r\n  FR: withdrawn\r\n",
			edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn},
		},
		"carriage returns and a schedule": {
			"version: 1\r\njurisdictions:\r\n  FR: open # so far\r\nmode: observe",
			"version: 1\r\njurisdictions:\r\n  FR: # so far\r\n    schedule:\r\n      - {from: 2026-11-21T12:00:00Z, phase: withdrawn}\r\nmode: observe",
			edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn, From: moment},
		},
		"a byte order mark": {
			"\ufeffjurisdictions:\n    FR: open\nversion: 1\n",
			"\ufeffjurisdictions:\n    FR: open\n    DE: withdrawn\nversion: 1\n",
			edit.PhaseChange{Jurisdiction: "DE", Phase: policy.Withdrawn},
		},
		"a byte order mark and no section": {
			"\ufeffversion: 1",
			"\ufeffversion: 1\njurisdictions:\n  DE: withdrawn",
			edit.PhaseChange{Jurisdiction: "DE", Phase: policy.Withdrawn},
		},
		"the only entry, removed from the end": {
			"version: 1\njurisdictions:\n  FR: open",
			"version: 1\njurisdictions: {}\n",
			edit.PhaseChange{Jurisdiction: "FR", Remove: true},
		},
		"a schedule at the end": {
			"version: 1\njurisdictions:\n  FR:\n    schedule:\n    - {from: 2026-11-21T12:00:00Z, phase: withdrawn}",
			"version: 1\njurisdictions:\n  FR:\n    phase: open\n",
			edit.PhaseChange{Jurisdiction: "FR"},
		},
		"an indented document": {
			"  version: 1\n  mode: observe",
			"  version: 1\n  mode: observe\n  jurisdictions:\n    FR: open",
			edit.PhaseChange{Jurisdiction: "FR"},
		},
		"a fraction of a second": {
			"version: 1\njurisdictions: {}\n",
			"version: 1\njurisdictions: {FR: {schedule: [{from: 2026-11-21T13:00:00.000000001+01:00, phase: announced}]}}\n",
			edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Announced, From: moment.Add(1).In(time.FixedZone("", 3600))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := edit.Apply([]byte(test.source), test.change)
			if diff := cmp.Diff(test.want, string(set)); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestApply_refused(t *testing.T) {
	for name, test := range map[string]struct {
		source, want string
		change       edit.PhaseChange
	}{
		"a policy that is wrong": {
			"version: 2\n", "policy:1:10: version 2 is newer than this exitgate reads",
			edit.PhaseChange{Jurisdiction: "FR"},
		},
		"no phase": {
			"version: 1\n", "Phase(5) is not a phase",
			edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn + 1},
		},
		"lines in place of a code": {
			"version: 1\n", `"FR: open\n  DE" is not a jurisdiction`,
			edit.PhaseChange{Jurisdiction: "FR: open\n  DE"},
		},
		"a date before this one": {
			"version: 1\njurisdictions: {FR: announced}\n", "FR is announced now: set withdrawn without a date, or from a later one",
			edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn, From: moment, At: moment},
		},
		"a year that can't be meant": {
			"version: 1\n", "the year 2999 can't be meant",
			edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Withdrawn, From: moment.AddDate(973, 0, 0)},
		},
		"a removal that serves under a law": {
			"version: 1\nguarantees: {a: {require: true}}\ndemands: {law: {jurisdiction: FR, stage: in-force, requires: {a: false}}}\njurisdictions: {FR: withdrawn}\n",
			"the entry FR can't be removed: policy:3:11: law requires a: false",
			edit.PhaseChange{Jurisdiction: "FR", Remove: true},
		},
		"a text that a line feed would change": {
			"version: 1\nnotices:\n  default:\n    texts:\n      en:\n        title: |\n          Closed",
			"only people can edit",
			edit.PhaseChange{Jurisdiction: "FR"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := edit.Apply([]byte(test.source), test.change)
			if err == nil || set != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q, %v, want %s", set, err, test.want)
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	source := []byte(policytest.WithFlags(1000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := edit.Apply(source, edit.PhaseChange{Jurisdiction: "unlocated", Phase: policy.Withdrawn}); err != nil {
			b.Fatal(err)
		}
	}
}

// moment is when the tests take place.
var moment = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
