package document_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

// Every rule has a document in testdata/bad that breaks it.
func TestParse_bad(t *testing.T) {
	var found strings.Builder
	policytest.EachFixture(t, "testdata/bad", func(t *testing.T, name, _ string, source []byte) {
		p, err := document.Parse(name, source)
		var problems strictyaml.Errors
		if p != nil || !errors.As(err, &problems) {
			t.Fatalf("Parse returned %v, %v: want strictyaml.Errors and no policy", p, err)
		}
		if _, again := document.Parse(name, source); again.Error() != err.Error() {
			t.Errorf("the second time, Parse says something else:\n%v", again)
		}
		writeProblems(&found, problems)
	})
	testkit.Golden(t, "testdata/bad.golden", found.String())
}

func TestWarnings(t *testing.T) {
	var found strings.Builder
	policytest.EachFixture(t, "testdata/warn", func(t *testing.T, name, _ string, source []byte) {
		p, err := document.Parse(name, source)
		if err != nil {
			t.Fatal(err)
		}
		writeProblems(&found, document.Warnings(name, p, moment))
	})
	testkit.Golden(t, "testdata/warn.golden", found.String())
}

// writeProblems writes where problems are and what they are; how they are
// printed is strictyaml's.
func writeProblems(b *strings.Builder, problems []*strictyaml.Diagnostic) {
	for _, p := range problems {
		fmt.Fprintf(b, "%s:%d:%d: %s\n  %s\n", p.File, p.Line, p.Column, p.Message, strings.ReplaceAll(p.Advice, "\n", "\n  "))
	}
}

func TestParse_good(t *testing.T) {
	policytest.EachFixture(t, "testdata/good", func(t *testing.T, name, goldenFile string, source []byte) {
		p, err := document.Parse(name, source)
		if err != nil {
			t.Fatal(err)
		}
		for _, warning := range document.Warnings(name, p, moment) {
			t.Error("warning:", warning)
		}
		if p.Digest() != policy.Digest(source) {
			t.Errorf("Digest is %s, that of the document is %s", p.Digest(), policy.Digest(source))
		}
		read, err := json.MarshalIndent(struct {
			Mode    policy.Mode
			Classes []string
			Flags   []policy.Flag            `json:",omitempty"`
			Demands map[string]policy.Demand `json:",omitempty"`
			Markets []policy.Market
		}{p.Mode(), p.Classes(), p.Flags(), p.Demands(), policy.Compile(p, p.OwnFlags(), moment).Markets()}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, goldenFile, string(read)+"\n")
	})
}

func TestParse_whatEditorsDo(t *testing.T) {
	source := "version: 1\njurisdictions:\n  FR: withdrawn\n"
	for name, text := range map[string]string{
		"byte order mark":     "\ufeff" + source,
		"carriage returns":    strings.ReplaceAll(source, "\n", "\r\n"),
		"no newline at end":   strings.TrimSuffix(source, "\n"),
		"document markers":    "---\n" + source + "...\n",
		"comments":            "# policy\n" + strings.ReplaceAll(source, "\n", " # so be it\n"),
		"a mapping in flow":   "{version: 1, jurisdictions: {FR: withdrawn}}",
		"everything quoted":   "version: 1\n\"jurisdictions\":\n  'FR': \"withdrawn\"\n",
		"the long form":       "version: 1\njurisdictions:\n  FR:\n    phase: withdrawn\n",
		"keys in any order":   "jurisdictions:\n  FR: withdrawn\nversion: 1\n",
		"trailing blank line": source + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := document.Parse("policy.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			want := policy.Compile(parse(t, source), nil, moment).Decisions()
			if diff := cmp.Diff(want, policy.Compile(p, nil, moment).Decisions()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParse_tooLarge(t *testing.T) {
	const limit = 8 << 20
	comment := func(size int) []byte {
		return []byte("version: 1\n" + "#" + strings.Repeat(" ", size-len("version: 1\n#")))
	}
	if _, err := document.Parse("policy.yaml", comment(limit)); err != nil {
		t.Error("a file as large as allowed:", err)
	}
	_, err := document.Parse("policy.yaml", comment(limit+1))
	want := "policy.yaml: the file has 8388609 bytes: the limit is 8388608 (8 MiB)\n      remove what is not needed"
	if err == nil || err.Error() != want {
		t.Errorf("a byte more: got %v, want %s", err, want)
	}
}

func TestParse_manyErrors(t *testing.T) {
	var source strings.Builder
	source.WriteString("version: 1\njurisdictions:\n")
	for i := range 30_000 {
		fmt.Fprintf(&source, "  Q-%d: withdrawn\n", i)
	}
	_, err := document.Parse("policy.yaml", []byte(source.String()))
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	if n := strings.Count(text, "is not a jurisdiction"); n != 50 {
		t.Errorf("%d errors are printed, want 50", n)
	}
	if want := "and 950 more\n\n1000 errors"; !strings.HasSuffix(text, want) {
		t.Errorf("ends with %q, want %q", text[len(text)-len(want):], want)
	}
}

// parse is Parse for documents that have to be good.
func parse(t testing.TB, source string) *policy.Policy {
	t.Helper()
	p, err := document.Parse("policy.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// moment is when the tests take place, unless they say otherwise.
var moment = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestProblemsPrintAsTheyWereSent(t *testing.T) {
	sources := map[string][]byte{
		"long-line.yaml":        []byte("version: 1\njurisdictions: {" + strings.Repeat("FR: wíthdrawn, ", 40) + "}\n"),
		"tab.yaml":              []byte("version: 1\nmode:\tobsérve\tx\n"),
		"unprintable.yaml":      []byte("version: \x80\xff\x01 1\n"),
		"begins-with-dots.yaml": []byte("… : 1\n"),
	}
	policytest.EachFixture(t, "testdata/bad", func(t *testing.T, name, _ string, source []byte) { sources[name] = source })
	for name, source := range sources {
		_, err := document.Parse(name, source)
		var problems strictyaml.Errors
		if !errors.As(err, &problems) {
			t.Fatalf("%s: %v", name, err)
		}
		if got := policytest.OverJSON(t, problems); got.Error() != err.Error() {
			t.Errorf("sent\n%v\ngot\n%v", err, got)
		}
	}
}
