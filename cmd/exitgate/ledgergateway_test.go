package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// A ledgerGateway is a gateway of a fleet.
type ledgerGateway struct {
	*gatewayProcess
	name string
	api  *http.Client // over the socket
}

// newLedgerGateway sets a machine up whose ledger is in its own process, but starts
// nothing.
func newLedgerGateway(t *testing.T) *ledgerGateway {
	t.Helper()
	m := &ledgerGateway{gatewayProcess: newGatewayProcess(t, ""), name: "gateway"}
	// The path of a socket may have hardly more than a hundred bytes.
	folder, err := os.MkdirTemp("", "gate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // what is left is for the system to remove
	m.folder, m.source = folder, "{}"
	socket := m.data("admin.sock")
	m.api = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	t.Cleanup(m.api.CloseIdleConnections)
	return m
}

// data is the path of something in the data folder.
func (g *ledgerGateway) data(name string) string { return filepath.Join(g.file("data"), name) }

// A commandResult is what came of a command.
type commandResult struct {
	out, err string
	code     int
}

// text is what somebody at a terminal sees of it.
func (s commandResult) text() string { return s.out + s.err }

// runCommand runs a command on the machine of a gateway.
func (g *ledgerGateway) runCommand(args ...string) commandResult {
	g.t.Helper()
	var out, errOut strings.Builder
	cmd := exec.CommandContext(g.t.Context(), "exitgate", args...)
	cmd.Env = append(os.Environ(), "EXITGATE_DATA="+g.file("data"))
	if g.clock != "" {
		cmd.Env = append(cmd.Env, clockFile+"="+g.clock)
	}
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		g.t.Fatal(err)
	}
	return commandResult{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// mustRun runs a command that must be done.
func (g *ledgerGateway) mustRun(args ...string) commandResult {
	g.t.Helper()
	s := g.runCommand(args...)
	if s.code != exitDone {
		g.t.Fatalf("exitgate %s: %d: %s", strings.Join(args, " "), s.code, s.text())
	}
	return s
}

// stop ends the gateway as the system does when it goes down.
func (g *ledgerGateway) stop() {
	g.t.Helper()
	g.client.CloseIdleConnections()
	g.api.CloseIdleConnections()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	<-g.ended
	if code := g.cmd.ProcessState.ExitCode(); code != exitDone {
		g.t.Fatalf("the gateway ended with %d:\n%s", code, g.log)
	}
}

// restart starts the gateway, to be stopped or killed by the test, and at the
// latest when it ends.
func (g *ledgerGateway) restart() {
	g.t.Helper()
	g.t.Cleanup(func() {
		g.kill()
		if g.t.Failed() {
			g.t.Logf("the log of the gateway:\n%s", g.log)
		}
	})
	if !g.run() {
		g.t.Fatalf("the gateway didn't start:\n%s", g.log)
	}
}

// A toggle gives one market another phase.
type toggle struct {
	country policy.Code
	phase   policy.Phase
	because string
	key     string
	plan    api.Plan
}

// set is what is asked for: of a country's territories it reaches none.
func (c *toggle) set() api.Set {
	set := api.Set{Jurisdiction: c.country, Phase: c.phase}
	if policy.TerritoriesOf(c.country) != nil {
		set.Territories = policy.NoTerritories()
	}
	return set
}

func (g *ledgerGateway) planToggle(c *toggle) error {
	set := c.set()
	return g.ask("POST", "/v1/plan", api.Proposal{Set: &set}, &c.plan)
}

func (g *ledgerGateway) toggleMarket(c toggle) (api.Change, error) {
	set := c.set()
	var change api.Change
	err := g.ask("POST", "/v1/changes", api.Proposal{Set: &set, Because: c.because, Plan: c.plan.Plan.Hash}, &change,
		fmt.Sprintf("If-Match: %q", fmt.Sprint(c.plan.Revision)), "Idempotency-Key: "+c.key)
	if err == nil && change.InForce == nil {
		err = fmt.Errorf("it isn't in force: %+v", change)
	}
	return change, err
}

// setPhase gives a market another phase, and returns the revision.
func (g *ledgerGateway) setPhase(country policy.Code, phase policy.Phase, because string) uint64 {
	g.t.Helper()
	c := toggle{country: country, phase: phase, because: because, key: strings.Join(strings.Fields(because), "-")}
	err := g.planToggle(&c)
	var change api.Change
	if err == nil {
		change, err = g.toggleMarket(c)
	}
	if err != nil {
		g.t.Fatalf("%s: %v", because, err)
	}
	return change.InForce.Number
}

// ask asks the API over the socket. The error is an *api.Problem if the gateway
// says one.
func (g *ledgerGateway) ask(method, path string, in, out any, header ...string) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://exitgate"+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	res, err := g.api.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 300 {
		return json.NewDecoder(res.Body).Decode(out)
	}
	problem := new(api.Problem)
	if err := json.NewDecoder(res.Body).Decode(problem); err != nil {
		return fmt.Errorf("%s %s: %d, and no problem: %w", method, path, res.StatusCode, err)
	}
	return problem
}

// plan returns what a policy would do.
func (g *ledgerGateway) plan(policy string) (api.Plan, error) {
	var plan api.Plan
	return plan, g.ask("POST", "/v1/plan", api.Proposal{Policy: policy, Backdated: true}, &plan)
}

// propose brings a policy that was planned into force.
func (g *ledgerGateway) propose(policy, because string, plan api.Plan) (api.Change, error) {
	var change api.Change
	err := g.ask("POST", "/v1/changes", api.Proposal{Policy: policy, Because: because, Plan: plan.Plan.Hash, Backdated: true}, &change,
		fmt.Sprintf("If-Match: %q", fmt.Sprint(plan.Revision)))
	if err == nil && change.InForce == nil {
		err = fmt.Errorf("it isn't in force: %+v", change)
	}
	return change, err
}

// apply brings a policy into force, and returns its revision.
func (g *ledgerGateway) apply(policy, because string) uint64 {
	g.t.Helper()
	plan, err := g.plan(policy)
	var change api.Change
	if err == nil {
		change, err = g.propose(policy, because, plan)
	}
	if err != nil {
		g.t.Fatalf("%s: %s: %v", g.name, because, err)
	}
	return change.InForce.Number
}

func (g *ledgerGateway) status() api.Status {
	g.t.Helper()
	var s api.Status
	if err := g.ask("GET", "/v1/status", nil, &s); err != nil {
		g.t.Fatal(g.name, err)
	}
	return s
}

// history is the whole log of a gateway, the oldest record first, when it can be
// read.
func (g *ledgerGateway) history() []api.Record {
	g.t.Helper()
	var all []api.Record
	for path := "/v1/log?limit=100"; path != ""; {
		var page api.Log
		testkit.Eventually(g.t, g.name+" can read "+path, func() bool {
			err := g.ask("GET", path, nil, &page)
			if problem := (*api.Problem)(nil); err != nil && (!errors.As(err, &problem) || problem.Code != "ledger-unavailable") {
				g.t.Fatal(g.name, err)
			}
			return err == nil
		})
		all, path = append(all, page.Records...), ""
		if page.Next != 0 {
			path = fmt.Sprint("/v1/log?limit=100&before=", page.Next)
		}
	}
	slices.Reverse(all)
	return all
}

// expectVerified wants a log that is right.
func (g *ledgerGateway) expectVerified(records int) {
	g.t.Helper()
	if out := g.mustRun("log", "--verify").out; !strings.Contains(out, "The ledger is valid: "+plural(records, "record")+", ") {
		g.t.Errorf("of %d records the log says: %s", records, out)
	}
}

// openConsole runs exitgate console until the context ends, and returns the link that it
// prints.
func (g *ledgerGateway) openConsole(ctx context.Context) string {
	g.t.Helper()
	cmd := exec.CommandContext(ctx, "exitgate", "console", "--no-browser")
	cmd.Env = append(os.Environ(), "EXITGATE_DATA="+g.file("data"))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	link, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = cmd.Wait() }) // it was cancelled
	return strings.TrimSpace(link)
}
