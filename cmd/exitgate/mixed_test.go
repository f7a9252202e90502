//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// earlier is the commit whose gateways share a ledger with those of today.
const earlier = "803cf21"

// buildEarlier builds the program of the earlier commit from the repository's
// history: its tests' binary, which is the command with a clock that is set.
func buildEarlier(t *testing.T) string {
	t.Helper()
	requireProgram(t, "git")
	root, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skip("this is no Git repository: the program of an earlier commit can't be built")
	}
	archive, err := exec.CommandContext(t.Context(), "git", "-C", strings.TrimSpace(string(root)), "archive", earlier).Output()
	if err != nil {
		t.Skipf("the repository's history doesn't have commit %s", earlier)
	}
	folder := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "-x", "-C", folder)
	unpack.Stdin = bytes.NewReader(archive)
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", "exitgate", "./cmd/exitgate")
	build.Dir = folder
	for _, cmd := range []*exec.Cmd{unpack, build} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	return filepath.Join(folder, "exitgate")
}

// TestAnEarlierGatewayAndThisOneShareALedger changes the policy at a gateway of
// an earlier commit and at one of today, which have one ledger in a NATS server:
// each applies what the other wrote, both verify all of it, and decide alike. In
// the end each takes over the other's data folder, as with an update, and one
// that is taken back.
func TestAnEarlierGatewayAndThisOneShareALedger(t *testing.T) {
	t.Parallel()
	program := buildEarlier(t)
	server := ledgertest.StartOn(t, t.TempDir())
	source := fmt.Sprintf("{ledger: {nats: [%q], replicas: 1}}", server.URL)
	oldData, newData := filepath.Join(shortFolder(t), "data"), filepath.Join(shortFolder(t), "data")
	before := startProgram(t, program, oldData, source, "")
	now := startProgram(t, "exitgate", newData, source, "")
	pair := &mixedPair{t: t, earlier: before, now: now, tokens: map[string]string{}}

	// Who may do what, and a policy that asks for approvals.
	for i, name := range []string{"ada", "bob", "cleo"} {
		g := pair.at(i)
		g.does("principal", "add", name, "--role", "operator,approver", "--because", "For "+name+".")
		pair.follows(g)
		pair.tokens[name] = filepath.Join(shortFolder(t), "token")
		testkit.WriteFile(t, pair.tokens[name], string(g.does("principal", "token", name, "--because", "For "+name+".")))
		pair.follows(g)
	}
	// Which territories a binding demand reaches must be said by now; what 803cf21
	// reads as well is true and false.
	document := strings.Replace(string(testkit.Written(t, "803cf21/policy.yaml")), "  gb-order:\n", "  gb-order:\n    territories: false\n", 1)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	testkit.WriteFile(t, file, document)
	before.does("apply", file, "--because", "All of it.")
	pair.alike(before)

	for i, code := range []string{"BR", "CH"} { // at one, approved at the other
		proposing, approving := pair.at(i), pair.at(i+1)
		number := pair.as("ada", proposing, ".number", "set", code, "withdrawn", "--because", "Both ways.")
		pair.follows(proposing)
		pair.as("bob", approving, "", "approve", number, "--yes")
		pair.alike(approving)

		number = pair.as("ada", proposing, ".number", "set", "PL", "withdrawn", "--because", "To be rejected.")
		pair.follows(proposing)
		pair.as("bob", approving, "", "reject", number, "--because", "No.")
		pair.alike(approving)

		number = pair.as("ada", proposing, ".in-force.number", "set", []string{"NO", "JP"}[i], "withdrawn", "--emergency", "--because", "At once.")
		pair.alike(proposing)
		pair.as("cleo", approving, "", "approve", number, "--yes")
		pair.alike(approving)

		testkit.WriteFile(t, file, document+fmt.Sprintf("# Edited %d times.\n", i))
		number = pair.as("ada", proposing, ".number", "set", "MX", "withdrawn", "--because", "To be edited.")
		pair.follows(proposing)
		pair.as("bob", approving, "", "apply", file, "--change", number, "--because", "This instead.")
		pair.follows(approving)
		pair.as("cleo", proposing, "", "approve", number, "--yes")
		pair.alike(proposing)
	}

	// Each is asked by the other what a change would have hit.
	for i := range 2 {
		g := pair.at(i)
		testkit.Eventually(t, g.program+" counts the requests of both", func() bool {
			var plan struct{ Hit struct{ Gateways int } }
			pair.decode(g.does("plan", "--set", "IT=withdrawn", "--json"), &plan)
			return plan.Hit.Gateways == 2
		})
	}

	// What the earlier one couldn't read isn't written while it is there.
	testkit.WriteFile(t, file, strings.Replace(document, "title: Retention of messages", "title: {en: Retention of messages}", 1))
	if out, err := now.command("apply", file, "--because", "Titles by language.").CombinedOutput(); err == nil || !strings.Contains(string(out), "upgrade all gateways first") {
		t.Errorf("a policy that the earlier gateway can't read: %v\n%s", err, out)
	}
	pair.alike(now)

	// An update, and one that is taken back.
	before.stop()
	now.stop()
	pair.now = startProgram(t, "exitgate", oldData, source, "")
	pair.earlier = startProgram(t, program, newData, source, "")
	pair.alike(pair.now)
	pair.earlier.does("set", "DE", "wind-down", "--because", "It goes on.", "--emergency")
	pair.alike(pair.earlier)
}

func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "mixed") // a socket will be in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // what is left is for the system to remove
	return folder
}

// A mixedPair is an earlier gateway and one of today.
type mixedPair struct {
	t            *testing.T
	earlier, now *writtenGateway
	tokens       map[string]string // files, by principal
}

// at returns the earlier gateway for even numbers, else the one of today.
func (p *mixedPair) at(i int) *writtenGateway {
	if i%2 == 0 {
		return p.earlier
	}
	return p.now
}

func (p *mixedPair) decode(text []byte, into any) {
	p.t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
}

// command returns one of the gateway's own program, on its machine.
func (g *writtenGateway) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(g.t.Context(), g.program, args...)
	cmd.Env = append(os.Environ(), "EXITGATE_DATA="+g.data, clockFile+"="+filepath.Join(filepath.Dir(g.data), "clock"))
	return cmd
}

// does runs a command of the gateway's own program, on its machine, and returns
// what it prints.
func (g *writtenGateway) does(args ...string) []byte {
	g.t.Helper()
	out, err := g.command(args...).Output()
	if failure := (*exec.ExitError)(nil); errors.As(err, &failure) {
		g.t.Fatalf("%s %s: %v\n%s%s", g.program, strings.Join(args, " "), err, out, failure.Stderr)
	} else if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// as runs a command by a principal's name, and returns a number in what it says.
func (p *mixedPair) as(name string, g *writtenGateway, path string, args ...string) string {
	p.t.Helper()
	var said map[string]any
	p.decode(g.does(append(args, "--json", "--api", "http://"+g.admin, "--token-file", p.tokens[name])...), &said)
	if path == "" {
		return ""
	}
	var value any = said
	for field := range strings.SplitSeq(path[1:], ".") {
		value = value.(map[string]any)[field]
	}
	return fmt.Sprint(value)
}

// follows waits until both have the last record that one has.
func (p *mixedPair) follows(first *writtenGateway) {
	p.t.Helper()
	last := func(g *writtenGateway) (status struct {
		Revision int
		Ledger   struct {
			Connected bool
			Last      int
		}
	}) {
		p.decode(g.does("status", "--json"), &status)
		return status
	}
	want := last(first)
	for _, g := range []*writtenGateway{p.earlier, p.now} {
		testkit.Eventually(p.t, fmt.Sprintf("%s has record %d", g.program, want.Ledger.Last), func() bool { return last(g) == want })
	}
}

// alike waits until both have what one has written, and holds what they say and
// decide against each other.
func (p *mixedPair) alike(first *writtenGateway) {
	p.t.Helper()
	p.follows(first)
	compare := func(args ...string) {
		p.t.Helper()
		var said [2]any
		for i := range said {
			p.decode(p.at(i).does(append(args, "--json")...), &said[i])
		}
		if diff := cmp.Diff(facts(said[0]), known(facts(said[0]), facts(said[1]))); diff != "" {
			p.t.Errorf("exitgate %s is answered otherwise (-earlier +now)\n%s", strings.Join(args, " "), diff)
		}
	}
	compare("log", "--limit", "200")
	compare("log", "--verify")
	compare("changes")
	compare("principal")
	for _, d := range testkit.WrittenJSON[writtenDecision](p.t, "803cf21/cluster/decisions.jsonl") {
		method, path, _ := strings.Cut(d.Request, " ")
		if a, b := p.earlier.status(method, path, d.Address), p.now.status(method, path, d.Address); a != b {
			p.t.Errorf("%s from %s is answered with %d by the earlier one, and %d now", d.Request, d.Address, a, b)
		}
	}
}
