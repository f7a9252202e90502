package strictyaml_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/testkit"
)

// document has a field for each thing that Decode knows.
type document struct {
	Version       int               `yaml:"version" required:"true" doc:"Version of the format." default:"1"`
	Mode          mode              `yaml:"mode" doc:"Whether anything is refused." default:"enforce"`
	Status        int               `yaml:"status" default:"451"`
	Ratio         float64           `yaml:"ratio"`
	Forward       bool              `yaml:"forward" default:"true"`
	Drain         time.Duration     `yaml:"drain" doc:"How long what is under way may take." default:"30s"`
	Groups        map[string][]code `yaml:"groups"`
	Flags         map[string]any    `yaml:"flags"`
	Proxies       []network         `yaml:"proxies" default:"[]"`
	Jurisdictions map[string]entry  `yaml:"jurisdictions"`
	Notice        *notice           `yaml:"notice"`
	Limits        struct {
		Header int   `yaml:"header"`
		Offset int64 `yaml:"offset"`
	} `yaml:"limits"`

	Compiled string // has no tag: not settable
	Hidden   string `yaml:"-"`
}

type notice struct {
	Title string `yaml:"title"`
	Body  string `yaml:"body"`
	Link  string `yaml:"link"`
}

// An entry is a mapping, or for short a phase.
type entry struct {
	Phase    phase  `yaml:"phase"`
	Schedule []step `yaml:"schedule"`
}

func (e *entry) UnmarshalText(text []byte) error { return e.Phase.UnmarshalText(text) }
func (entry) SchemaEnum() []string               { return phase("").SchemaEnum() }

type step struct {
	From  time.Time `yaml:"from" required:"true" doc:"When the phase begins."`
	Phase phase     `yaml:"phase" required:"true"`
}

type mode string

func (mode) SchemaEnum() []string { return []string{"enforce", "observe"} }

type phase string

func (phase) SchemaEnum() []string { return []string{"open", "announced", "withdrawn"} }

func (p *phase) UnmarshalText(text []byte) error {
	for _, word := range p.SchemaEnum() {
		if string(text) == word {
			*p = phase(text)
			return nil
		}
	}
	return fmt.Errorf("%q is not a phase", text)
}

type code string

func (c *code) UnmarshalText(text []byte) error {
	if len(text) != 2 {
		return fmt.Errorf("%q is not a country", text)
	}
	*c = code(text)
	return nil
}

// A network is a struct that can only be written as text.
type network struct{ text string }

func (n *network) UnmarshalText(text []byte) error {
	n.text = string(text)
	return nil
}

func TestDecode_mistakes(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(fixtures) == 0 {
		t.Fatal("no fixtures", err)
	}
	var all strings.Builder
	for _, fixture := range fixtures {
		source, err := os.ReadFile(fixture)
		if err != nil {
			t.Fatal(err)
		}
		var v document
		mistakes := strictyaml.Decode(filepath.Base(fixture), source, &v).Err()
		if mistakes == nil {
			t.Errorf("%s: no error, got %+v", fixture, v)
			continue
		}
		fmt.Fprintf(&all, "%s\n\n\n", mistakes)
	}
	testkit.Golden(t, "testdata/bad.golden", all.String())
}

// decode decodes a document that has to be right.
func decode(t *testing.T, source string) document {
	t.Helper()
	var v document
	d := strictyaml.Decode("policy.yaml", []byte(source), &v)
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDecode_everyType(t *testing.T) {
	got := decode(t, `# the policy
---
version: 1
mode: observe
status: -451   # a comment
ratio: 2
forward: true
drain: 1h30m
groups:
  benelux: [BE, "NL", 'LU']
  nordic:
  - NO
  - SE
flags: {a: true, b: 3, c: 0.5, d: word, "e": "3", f: 0x1F, g: 0o17}
proxies: [
  10.0.0.0/8, ::1/128,
]
jurisdictions:
  FR:
    schedule:
      - {from: 2026-12-01T00:00:00Z, phase: withdrawn}
      - from: 2027-12-01T00:00:00+01:00

        phase: open
  DE: withdrawn
notice:
  title: It's gone#1:"gone"
  body: |
    First.
      Indented.

    Last.
  link: https://example.org/#top
limits: {header: 65535, offset: -128}
`)
	want := document{
		Version: 1, Mode: "observe", Status: -451, Ratio: 2, Forward: true, Drain: 90 * time.Minute,
		Groups:  map[string][]code{"benelux": {"BE", "NL", "LU"}, "nordic": {"NO", "SE"}},
		Flags:   map[string]any{"a": true, "b": int64(3), "c": 0.5, "d": "word", "e": "3", "f": int64(31), "g": int64(15)},
		Proxies: []network{{"10.0.0.0/8"}, {"::1/128"}},
		Jurisdictions: map[string]entry{
			"FR": {Schedule: []step{
				{time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), "withdrawn"},
				{time.Date(2027, 11, 30, 23, 0, 0, 0, time.UTC), "open"},
			}},
			"DE": {Phase: "withdrawn"},
		},
		Notice: &notice{
			Title: `It's gone#1:"gone"`,
			Body:  "First.\n  Indented.\n\nLast.\n",
			Link:  "https://example.org/#top",
		},
	}
	want.Limits.Header, want.Limits.Offset = 65535, -128
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(network{}), cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecode_wordsThatYAML11TookForBooleans(t *testing.T) {
	got := decode(t, "version: 1\njurisdictions: {NO: withdrawn}\ngroups: {no: [NO, DE], on: [NO], yes: [NO], y: [NO], off: [NO]}\nnotice: {title: no, body: on}\nflags: {yes: NO, off: no}\n")
	want := document{
		Version:       1,
		Jurisdictions: map[string]entry{"NO": {Phase: "withdrawn"}},
		Groups:        map[string][]code{"no": {"NO", "DE"}, "on": {"NO"}, "yes": {"NO"}, "y": {"NO"}, "off": {"NO"}},
		Notice:        &notice{Title: "no", Body: "on"},
		Flags:         map[string]any{"yes": "NO", "off": "no"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(network{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is legal YAML, if seldom seen, is read.
func TestDecode_spellings(t *testing.T) {
	want := document{Version: 1, Notice: &notice{Title: "a b", Body: "c"}}
	for name, source := range map[string]string{
		"a key of its own line":        "? version\n: 1\nnotice:\n  ? title\n  : a b\n  ? body\n  : c\n",
		"a key of its own in braces":   "version: 1\nnotice: {? title : a b, body: c}\n",
		"in the line of the marker":    "--- {version: 1, notice: {title: a b, body: c}}\n",
		"between markers":              "# a comment\n---\nversion: 1\nnotice: {title: a b, body: c}\n...\n# the end\n",
		"brackets that end further up": "version: 1\nnotice: {\ntitle: a\nb,\nbody: c,\n}\n",
		"a colon after a quote":        `{"version":1,"notice":{"title":"a b","body":"c"}}`,
		"text below its key":           "version: 1\nnotice:\n  title:\n  >-\n   a\n   b\n  body:\n    c\n",
		"text of several lines":        "version: 1\nnotice:\n  title: a\n    b\n  body: 'c'\n",
		"a tab before a comment":       "version: 1\t# one\nnotice: {title: \ta b,\tbody: c}\n\t\n",
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, decode(t, source), cmp.AllowUnexported(network{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// YAML 1.1 took NEL, LS and PS for line ends; JSON writes some characters as two
// escapes.
func TestDecode_characters(t *testing.T) {
	got := decode(t, "version: 1 # \u0085 \u2028\nnotice:\n  title: a\u2028b\u0085\n  body: \"\u2029\\ud83d\\ude00\\N\\L\\u00e9\"\n  link: https://example.org/\n")
	if want := (notice{Title: "a\u2028b\u0085", Body: "\u2029😀\u0085\u2028é", Link: "https://example.org/"}); *got.Notice != want {
		t.Errorf("got %+q, want %+q", *got.Notice, want)
	}
}

func TestDecode_keepsWhatTheDocumentLacks(t *testing.T) {
	v := document{
		Mode: "enforce", Status: 451, Drain: 30 * time.Second, Groups: map[string][]code{"a": {"FR"}},
		Flags: map[string]any{"a": true}, Notice: &notice{Title: "Hello", Body: "there"}, Compiled: "kept",
	}
	v.Limits.Header = 7
	d := strictyaml.Decode("policy.yaml", []byte("version: 1\nstatus: 404\nflags: {b: 1}\nnotice: {body: you}\nlimits: {offset: 1}\n"), &v)
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	want := document{
		Version: 1, Mode: "enforce", Status: 404, Drain: 30 * time.Second, Groups: map[string][]code{"a": {"FR"}},
		Flags: map[string]any{"b": int64(1)}, Notice: &notice{Title: "Hello", Body: "you"}, Compiled: "kept",
	}
	want.Limits.Header, want.Limits.Offset = 7, 1
	if diff := cmp.Diff(want, v, cmp.AllowUnexported(network{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecode_keepsValuesWithAnError(t *testing.T) {
	v := document{Status: 451, Mode: "enforce", Notice: &notice{Title: "Hello"}}
	d := strictyaml.Decode("policy.yaml", []byte("version: 1\nstatus: x\nmode: y\nnotice: []\n"), &v)
	if d.Err() == nil {
		t.Error("no error")
	}
	want := document{Version: 1, Status: 451, Mode: "enforce", Notice: &notice{Title: "Hello"}}
	if diff := cmp.Diff(want, v, cmp.AllowUnexported(network{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecode_tooLarge(t *testing.T) {
	var v document
	err := strictyaml.Decode("policy.yaml", make([]byte, strictyaml.Limit+1), &v).Err()
	if err == nil {
		t.Fatal("no error")
	}
	if want := "policy.yaml: the file has 8388609 bytes: the limit is 8388608 (8 MiB)\n      remove what is not needed"; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}

	full := append([]byte("version: 1\n#"), bytes.Repeat([]byte("x"), strictyaml.Limit-12)...)
	if err := strictyaml.Decode("policy.yaml", full, &v).Err(); err != nil || v.Version != 1 {
		t.Errorf("a file of exactly the limit: %v", err)
	}
}

func TestDecode_manyErrors(t *testing.T) {
	var v document
	err := strictyaml.Decode("policy.yaml", []byte("version: 1\nflags: {}\n"+strings.Repeat("version: 1\n", 5000)), &v).Err()
	if errs := err.(strictyaml.Errors); len(errs) != 1000 {
		t.Errorf("%d errors", len(errs))
	}
	if text := err.Error(); !strings.HasSuffix(text, "\n\nand 950 more\n\n1000 errors") {
		t.Errorf("ends with %q", text[len(text)-100:])
	}
}

func TestDecode_tooManyValues(t *testing.T) {
	for name, values := range map[string]string{"in lines": "- a\n", "in brackets": "[a],", "keys": "a:\n", "comments": "#\n", "quotes": `""`} {
		var v document
		err := strictyaml.Decode("policy.yaml", []byte("version: 1\nproxies:\n"+strings.Repeat(values, 600_000)), &v).Err()
		if errs, ok := err.(strictyaml.Errors); !ok || len(errs) != 1 || errs[0].Message != "more than 524288 keys, values and comments" {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

const checked = `version: 1
jurisdictions:
  FR:
    schedule:
      - from: 2026-12-01T00:00:00Z
        phase: open
      - {from: 2026-11-01T00:00:00Z, phase: withdrawn}
  DE: withdrawn
  XX: {schedule: [{from: 2026-12-01, phase: open}, {phase: open}]}
groups:
  benelux: [BE, NL, UK]
`

func TestErrorf_position(t *testing.T) {
	tests := map[string]struct {
		path []any
		want string // position; empty if the error is to be dropped
	}{
		"a scalar":                            {[]any{"version"}, "1:10"},
		"a key":                               {[]any{strictyaml.Key("version")}, "1:1"},
		"a key further down":                  {[]any{"jurisdictions", strictyaml.Key("DE")}, "8:3"},
		"a value below a key":                 {[]any{"jurisdictions", "DE"}, "8:7"},
		"a path of other strings":             {[]any{"jurisdictions", code("DE")}, "8:7"},
		"a block mapping is at its key":       {[]any{"jurisdictions", "FR"}, "3:3"},
		"a block list is at its key":          {[]any{"jurisdictions", "FR", "schedule"}, "4:5"},
		"a mapping in a list is at its dash":  {[]any{"jurisdictions", "FR", "schedule", 0}, "5:7"},
		"a mapping in braces is at its brace": {[]any{"jurisdictions", "FR", "schedule", 1}, "7:9"},
		"a value in a list":                   {[]any{"jurisdictions", "FR", "schedule", 1, "from"}, "7:16"},
		"a key in a list":                     {[]any{"jurisdictions", "FR", "schedule", 1, strictyaml.Key("from")}, "7:10"},
		"an item":                             {[]any{"groups", "benelux", 2}, "11:21"},
		"a value that is not there":           {[]any{"jurisdictions", "FR", "phase"}, "3:3"},
		"a key that is not there":             {[]any{"jurisdictions", strictyaml.Key("IT")}, "2:1"},
		"an item that is not there":           {[]any{"groups", "benelux", 3}, "11:12"},
		"below a scalar":                      {[]any{"jurisdictions", "DE", "phase"}, "8:7"},
		"below nothing":                       {[]any{"notice", "title"}, "1:1"},
		"the root":                            {nil, "1:1"},
		"a value with an error":               {[]any{"jurisdictions", "XX", "schedule", 0, "from"}, ""},
		"below a value with an error":         {[]any{"jurisdictions", "XX", "schedule", 0, "from", "x"}, ""},
		"a key that is reported as missing":   {[]any{"jurisdictions", "XX", "schedule", 1, "from"}, ""},
		"above a value with an error":         {[]any{"jurisdictions", "XX", "schedule"}, "9:18"},
		"beside a value with an error":        {[]any{"jurisdictions", "XX", "schedule", 0, "phase"}, "9:45"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var v document
			d := strictyaml.Decode("policy.yaml", []byte(checked), &v)
			d.Errorf("do better", test.path, "%s is wrong", "it")
			d.Warnf("do better", test.path, "%s is doubtful", "it")
			var errs strictyaml.Errors
			if !errors.As(d.Err(), &errs) {
				t.Fatal("the document's own errors are lost")
			}
			got := ""
			for _, p := range errs {
				if p.Message == "it is wrong" {
					got = fmt.Sprintf("%d:%d", p.Line, p.Column)
				}
			}
			if got != test.want {
				t.Errorf("error at %q, want %q", got, test.want)
			}
			got = ""
			for _, p := range d.Warnings() {
				got = fmt.Sprintf("%d:%d", p.Line, p.Column)
			}
			if got != test.want {
				t.Errorf("warning at %q, want %q", got, test.want)
			}
		})
	}
}

func TestErr_sortedWithoutRepeats(t *testing.T) {
	var v document
	d := strictyaml.Decode("policy.yaml", []byte("version: 1\ngroups: {a: [FR], b: [DE]}\n"), &v)
	d.Errorf("", []any{"groups", "b"}, "third")
	d.Errorf("", []any{"groups", "a"}, "second")
	d.Errorf("", []any{"groups", "b"}, "third")
	d.Errorf("", []any{"version"}, "first")
	var got []string
	for _, p := range d.Err().(strictyaml.Errors) {
		got = append(got, p.Message)
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestErrorf_afterASyntaxError(t *testing.T) {
	var v document
	d := strictyaml.Decode("policy.yaml", []byte("version: [\n"), &v)
	d.Errorf("", []any{"groups"}, "no groups")
	if errs := d.Err().(strictyaml.Errors); len(errs) != 1 || errs[0].Line != 1 || errs[0].Column != 10 {
		t.Errorf("got %v", errs)
	}
}

func TestDiagnostic_json(t *testing.T) {
	var v document
	d := strictyaml.Decode("policy.yaml", []byte("version: 1\nmode: enfroce\n"), &v)
	got, err := json.Marshal(d.Err())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"file":"policy.yaml","line":2,"column":7,"message":"\"enfroce\" is not possible here","advice":"did you mean \"enforce\"?","source":"mode: enfroce","caret":6}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecode_panics(t *testing.T) {
	for name, v := range map[string]any{
		"no pointer": document{},
		"no struct":  new(int),
		"a channel": &struct {
			A chan int `yaml:"a"`
		}{},
		"keys that are ints": &struct {
			A map[int]int `yaml:"a"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			strictyaml.Decode("policy.yaml", []byte("a: {b: 1}\n"), v)
		})
	}
}

func TestSchema(t *testing.T) {
	got := strictyaml.Schema(document{}, "https://example.org/policy.schema.json", "A policy")
	testkit.Golden(t, "testdata/schema.golden.json", string(got))
	for range 10 {
		if again := strictyaml.Schema(document{}, "https://example.org/policy.schema.json", "A policy"); !bytes.Equal(got, again) {
			t.Fatal("not stable")
		}
	}
}

func FuzzDecode(f *testing.F) {
	fixtures, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, fixture := range fixtures {
		source, err := os.ReadFile(fixture)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Add([]byte(checked))
	f.Fuzz(func(t *testing.T, source []byte) {
		var v document
		d := strictyaml.Decode("f", source, &v)
		d.Errorf("", []any{"jurisdictions", "FR", "schedule", 0, strictyaml.Key("from")}, "wrong")
		d.Warnf("", nil, "doubtful")
		before := 0
		for _, key := range d.Keys() {
			for _, step := range []any{strictyaml.Key(key), key} {
				start, end, ok := d.Span(step)
				if !ok || start < before || end < start || end > len(source) {
					t.Errorf("%q is from %d to %d", key, start, end)
				}
			}
			before, _, _ = d.Span(strictyaml.Key(key))
		}
		problems := d.Warnings()
		if err := d.Err(); err != nil {
			_ = err.Error()
			problems = append(problems, err.(strictyaml.Errors)...)
		}
		lines := strings.Split(strings.TrimPrefix(string(source), "\ufeff"), "\n")
		for _, p := range problems {
			if p.Line == 0 && p.Column == 0 {
				continue
			}
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(lines[p.Line-1]))+1 {
				t.Errorf("%d:%d is outside of the file: %s", p.Line, p.Column, p.Message)
			}
		}
	})
}

// BenchmarkDecode decodes 10,000 jurisdictions and 10,000 patterns, 700 KB.
func BenchmarkDecode(b *testing.B) {
	var source bytes.Buffer
	source.WriteString("version: 1\ngroups:\n  all:\n")
	for i := range 10_000 {
		fmt.Fprintf(&source, "    - %c%c # %d\n", 'A'+i/26%26, 'A'+i%26, i)
	}
	source.WriteString("places:\n")
	for i := range 10_000 {
		fmt.Fprintf(&source, "  P%d: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}\n", i)
	}
	b.SetBytes(int64(source.Len()))
	b.ReportAllocs()
	for b.Loop() {
		var v struct {
			Version int               `yaml:"version"`
			Groups  map[string][]code `yaml:"groups"`
			Places  map[string]entry  `yaml:"places"`
		}
		if err := strictyaml.Decode("policy.yaml", source.Bytes(), &v).Err(); err != nil {
			b.Fatal(err)
		}
	}
}
