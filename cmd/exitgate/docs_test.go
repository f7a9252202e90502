package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// TestTheDocumentationIsTrue runs what the documentation shows: a block with a
// file's name is that file, and must be right, or wrong if it is refused.yaml;
// in a block of console, each command after "$" must print the lines that
// follow it. Where the block is "console gateway", the commands talk to the
// page's gateway.
func TestTheDocumentationIsTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a hundred processes")
	}
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
			run := func(command string) string { return shell(t, folder, nil, command) }
			var gateway *documentedGateway
			now := block.ReplaceAllStringFunc(string(text), func(whole string) string {
				b := block.FindStringSubmatch(whole)
				switch language, name, body := b[1], b[2], b[3]; {
				case language == "console" && name == "gateway":
					if gateway == nil {
						gateway = startShownGateway(t, folder)
					}
					return "```console gateway\n" + runExample(body, gateway.run) + "```\n"
				case language == "console":
					return "```console\n" + runExample(body, run) + "```\n"
				case name != "" && (language == "yaml" || language == "conf"):
					writeExample(t, folder, name, body)
				}
				return whole
			})
			if sameButWidths(now, string(text)) {
				return
			}
			if !testkit.Updating() {
				t.Fatalf("the commands of %s print something else than it says; UPDATE_GOLDEN=1 go test writes it anew (-written +printed):\n%s", page, cmp.Diff(strings.Split(string(text), "\n"), strings.Split(now, "\n")))
			}
			if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// sameButWidths reports whether two texts only differ in the widths of columns,
// which depend on how long a machine's names are.
func sameButWidths(a, b string) bool {
	return columns.ReplaceAllString(a, "  ") == columns.ReplaceAllString(b, "  ")
}

var columns = regexp.MustCompile(" {2,}")

// block has a language, perhaps another word, and a text.
var block = regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\\n(.*?)^```\\n")

// writeExample writes a file of the documentation, which must be what its name
// says.
func writeExample(t *testing.T, folder, name, body string) {
	t.Helper()
	file := filepath.Join(folder, name)
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	switch name {
	case "policy.yaml", "stages.yaml":
		_, err = document.Parse(name, []byte(body))
	case "refused.yaml":
		if _, refused := document.Parse(name, []byte(body)); refused == nil {
			err = fmt.Errorf("%s is a valid policy", name)
		}
	case "exitgate.yaml":
		_, err = config.Parse(name, []byte(body))
	case "nats.conf":
		t.Setenv("EXITGATE_PASSWORD", "sesame")
		_, err = server.ProcessConfigFile(file)
	case "logrotate.conf": // TestLogrotateRotatesTheAccessLog
	default:
		err = fmt.Errorf("nobody knows what %s is", name)
	}
	if err != nil {
		t.Error(err)
	}
}

// runExample runs the commands of a block, and returns the block with what
// they print. A command goes on behind a backslash at the end of a line.
func runExample(body string, run func(command string) string) string {
	var b strings.Builder
	command := ""
	for line := range strings.Lines(body) {
		if command == "" && !strings.HasPrefix(line, "$ ") {
			continue
		}
		if command += line; strings.HasSuffix(line, "\\\n") {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(command + run(strings.TrimPrefix(command, "$ ")))
		command = ""
	}
	return b.String()
}

// shell runs a command and returns what it prints.
func shell(t *testing.T, folder string, env []string, command string) string {
	t.Helper()
	if strings.Contains(command, "curl ") {
		requireProgram(t, "curl")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// A documentedGateway is the gateway of a page. It begins with an empty ledger on a
// day in November, after some requests, and each command is a minute later than
// the one before.
type documentedGateway struct {
	*ledgerGateway
	folder     string // of the commands
	now        time.Time
	real, page *strings.Replacer // what the page shows by what it is here, and back
}

// startShownGateway starts the gateway that the commands of a page talk to. On
// the page its names are the same wherever the test runs.
func startShownGateway(t *testing.T, folder string) *documentedGateway {
	t.Helper()
	g := &documentedGateway{ledgerGateway: newLedgerGateway(t), folder: folder, now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	g.clock = g.file("clock")
	g.tick()
	g.start()
	for country, requests := range map[string]int{"FR": 120, "GF": 8, "DE": 310, "ES": 54} {
		for range requests {
			g.gets(country)
		}
	}
	var s api.Status
	if err := g.ask("GET", "/v1/status", nil, &s); err != nil {
		t.Fatal(err)
	}
	user := strings.TrimPrefix(s.You.Name, "unix:")
	names := [][2]string{ // on the page, and here
		{"unix:anna", "unix:" + user},
		{"user anna", "user " + user},
		{"exitgate 1.0.0 on gateway-1,", fmt.Sprintf("exitgate %s on %s,", s.Version, s.Host)},
		{"Seen by gateway-1,", fmt.Sprintf("Seen by %s,", s.Host)},
		{"/var/lib/exitgate", g.file("data")},
		{"127.0.0.1:8600", g.admin},
	}
	var there, back []string
	for _, n := range names {
		there, back = append(there, n[0], n[1]), append(back, n[1], n[0])
	}
	g.real, g.page = strings.NewReplacer(there...), strings.NewReplacer(back...)
	return g
}

// run runs a command of the page, and returns what it prints as the page shows
// it.
func (g *documentedGateway) run(command string) string {
	g.t.Helper()
	g.now = g.now.Add(time.Minute)
	g.tick()
	env := []string{"EXITGATE_DATA=" + g.file("data"), "EXITGATE_API=", "EXITGATE_TOKEN=", "COLUMNS=110"}
	out := g.page.Replace(shell(g.t, g.folder, env, g.real.Replace(command)))
	for _, v := range random {
		out = v.pattern.ReplaceAllString(out, v.shown)
	}
	return out
}

// tick sets the gateway's clock.
func (g *documentedGateway) tick() {
	g.t.Helper()
	g.write("clock", g.now.Format(time.RFC3339))
}

// random is what is another each time, and what the page shows in its place.
var random = []struct {
	pattern *regexp.Regexp
	shown   string
}{
	{regexp.MustCompile(`([Tt]oken )[a-z2-7]{8}( of| for|,)`), "${1}k4tq7zma${2}"},
	{regexp.MustCompile(`("credential": "token:)[a-z2-7]{8}`), "${1}k4tq7zma"},
	{regexp.MustCompile(`(expires )\d{4}-\d\d-\d\d \d\d:\d\d`), "${1}2026-12-20 08:12"},
	{regexp.MustCompile(`(for \w+ until )\d{4}-\d\d-\d\d`), "${1}2026-12-20"},
	{regexp.MustCompile(`((\d)\d*, with the hash )[0-9a-f]{64}`), "${1}${2}0bb7cfdf861e6d2158c92ee0fb76c329740d7f9e04896fd793adc7755d9fa5a"}, // each record another
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

// TestTheDocumentationNamesAllOfTheAPI looks for each path and each code of the
// OpenAPI document.
func TestTheDocumentationNamesAllOfTheAPI(t *testing.T) {
	text, err := os.ReadFile("../../gateway/admin/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths      map[string]any
		Components struct {
			Responses map[string]struct {
				Content map[string]struct {
					Schema struct {
						AllOf []struct {
							Properties struct{ Code struct{ Enum []string } }
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	names := slices.Collect(maps.Keys(document.Paths))
	for _, response := range document.Components.Responses {
		for _, part := range response.Content["application/problem+json"].Schema.AllOf {
			names = append(names, part.Properties.Code.Enum...)
		}
	}
	if len(names) < 40 {
		t.Errorf("the OpenAPI document has only %q", names)
	}
	page, err := os.ReadFile("../../docs/changes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/changes.md doesn't name %s", name)
		}
	}
}

// TestTheDocumentationLinksToWhatThereIs looks at links within the repository.
func TestTheDocumentationLinksToWhatThereIs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	known := make(map[string]map[string]bool) // anchors by page: many link to the same
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
				} else if anchor != "" {
					if known[target] == nil {
						known[target] = anchorsOf(t, target)
					}
					if !known[target][anchor] {
						t.Errorf("%s links to %s, which has no #%s", page, target, anchor)
					}
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
