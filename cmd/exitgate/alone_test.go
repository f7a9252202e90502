package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

// alone sets a machine up whose ledger is in its own process, but starts
// nothing.
func alone(t *testing.T) *member {
	t.Helper()
	m := &member{machine: newMachine(t, ""), name: "gateway"}
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
func (g *member) data(name string) string { return filepath.Join(g.file("data"), name) }

// A said is what came of a command.
type said struct {
	out, err string
	code     int
}

// all is what somebody at a terminal sees of it.
func (s said) all() string { return s.out + s.err }

// command runs a command on the machine of a gateway.
func (g *member) command(args ...string) said {
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
	return said{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// commands runs a command that must be done.
func (g *member) commands(args ...string) said {
	g.t.Helper()
	s := g.command(args...)
	if s.code != exitDone {
		g.t.Fatalf("exitgate %s: %d: %s", strings.Join(args, " "), s.code, s.all())
	}
	return s
}

// stop ends the gateway as the system does when it goes down.
func (g *member) stop() {
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
func (g *member) restart() {
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

func (g *member) plansToggle(c *toggle) error {
	set := api.Set{Jurisdiction: c.country, Phase: c.phase}
	return g.ask("POST", "/v1/plan", api.Proposal{Set: &set}, &c.plan)
}

func (g *member) toggles(c toggle) (api.Change, error) {
	set := api.Set{Jurisdiction: c.country, Phase: c.phase}
	var change api.Change
	err := g.ask("POST", "/v1/changes", api.Proposal{Set: &set, Because: c.because, Plan: c.plan.Plan.Hash}, &change,
		fmt.Sprintf("If-Match: %q", fmt.Sprint(c.plan.Revision)), "Idempotency-Key: "+c.key)
	if err == nil && change.InForce == nil {
		err = fmt.Errorf("it isn't in force: %+v", change)
	}
	return change, err
}

// sets gives a market another phase, and returns the revision.
func (g *member) sets(country policy.Code, phase policy.Phase, because string) uint64 {
	g.t.Helper()
	c := toggle{country: country, phase: phase, because: because, key: strings.Join(strings.Fields(because), "-")}
	err := g.plansToggle(&c)
	var change api.Change
	if err == nil {
		change, err = g.toggles(c)
	}
	if err != nil {
		g.t.Fatalf("%s: %v", because, err)
	}
	return change.InForce.Number
}
