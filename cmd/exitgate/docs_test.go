package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/policy"
)

var update = flag.Bool("update", false, "write what commands print into the documentation")

// TestTheDocumentationIsTrue runs what the documentation shows: a block of
// YAML with a file's name is that file, and must be right, or wrong if it is
// refused.yaml; in a block of console, each command after "$" must print the
// lines that follow it.
func TestTheDocumentationIsTrue(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md") {
		t.Run(filepath.Base(page), func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			now := block.ReplaceAllStringFunc(string(text), func(whole string) string {
				b := block.FindStringSubmatch(whole)
				switch language, name, body := b[1], b[2], b[3]; {
				case language == "yaml" && name != "":
					writeExample(t, folder, name, body)
				case language == "console":
					return "```console\n" + runExample(t, folder, body) + "```\n"
				}
				return whole
			})
			if now == string(text) {
				return
			}
			if !*update {
				t.Fatalf("the commands of %s print something else than it says; with -update it becomes:\n%s", page, now)
			}
			if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

var block = regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\\n(.*?)^```\\n")

// writeExample writes a file of the documentation, which must be what its name
// says.
func writeExample(t *testing.T, folder, name, body string) {
	t.Helper()
	var err error
	switch name {
	case "policy.yaml":
		_, err = policy.Parse(name, []byte(body))
	case "refused.yaml":
		if _, refused := policy.Parse(name, []byte(body)); refused == nil {
			err = fmt.Errorf("%s is a policy that is right", name)
		}
	case "exitgate.yaml":
		_, err = gateway.ParseConfig(name, []byte(body))
	default:
		err = fmt.Errorf("nobody knows what %s is", name)
	}
	if err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runExample runs the commands of a block, and returns the block with what
// they print.
func runExample(t *testing.T, folder, body string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(body) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		fmt.Fprintf(&b, "%s%s", line, out)
	}
	return b.String()
}

// TestTheDocumentationDescribesWhatProblemsPointTo holds the anchors that
// notices name as their problem types.
func TestTheDocumentationDescribesWhatProblemsPointTo(t *testing.T) {
	anchors := anchorsOf(t, "../../docs/policy.md")
	types := []string{"feature", policy.ByGuarantee.String()}
	for _, phase := range policy.Phases() {
		if phase >= policy.ClosedToNew {
			types = append(types, phase.String())
		}
	}
	for _, name := range types {
		if !anchors[name] {
			t.Errorf("docs/policy.md has no anchor #%s", name)
		}
	}
}

// TestTheDocumentationLinksToWhatThereIs looks at links within the repository.
func TestTheDocumentationLinksToWhatThereIs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	for _, pattern := range []string{"../../*.md", "../../docs/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range link.FindAllStringSubmatch(string(text), -1) {
				target, anchor := page, found[2]
				if found[1] != "" {
					target = filepath.Join(filepath.Dir(page), found[1])
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s links to %s: %v", page, found[1], err)
				} else if anchor != "" && !anchorsOf(t, target)[anchor] {
					t.Errorf("%s links to %s, which has no #%s", page, target, anchor)
				}
			}
		}
	}
}

var (
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	anchored  = regexp.MustCompile(`<a id="(.*?)"></a>`)
	unlinked  = regexp.MustCompile(`[^\pL\pN _-]`)
	monospace = regexp.MustCompile("(?ms)^```.*?^```$")
)

// anchorsOf returns what can be linked to in a page: its headings, as GitHub
// names them, and what it names itself.
func anchorsOf(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	for _, found := range anchored.FindAllSubmatch(text, -1) {
		anchors[string(found[1])] = true
	}
	for _, found := range heading.FindAllSubmatch(monospace.ReplaceAll(text, nil), -1) {
		name := anchored.ReplaceAllString(string(found[1]), "")
		name = unlinked.ReplaceAllString(strings.ToLower(name), "")
		anchors[strings.ReplaceAll(name, " ", "-")] = true
	}
	return anchors
}
