// Command exitgate puts a gateway in front of an app that withdraws the app
// from a market instead of downgrading it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() { os.Exit(process(time.Now)) }

// process runs the command line of this process by the clock now, and returns
// its exit code.
func process(now func() time.Time) int {
	// net/http's transport writes to the standard logger what an upstream
	// sent unasked, which may quote clients.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, now, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// Exit codes, for scripts.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3 // the policy, or a conflict, forbids it
)

// run runs the command line by the clock now, and returns the exit code.
func run(ctx context.Context, now func() time.Time, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot(now)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if status, ok := errors.AsType[*exitError](err); ok {
		if status.err != nil {
			fmt.Fprintln(errOut, status.err)
		}
		return status.code
	}
	fmt.Fprintf(errOut, "%v\nsee %s --help\n", err, ran.CommandPath())
	return exitUsage
}

// An exitError ends the command with a code other than that for wrong usage.
type exitError struct {
	code int
	err  error // nil: all is said already
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }

func (e *exitError) Unwrap() error { return e.err }

// exitFailure is an error that is not about how the command was called.
func exitFailure(err error) error {
	if _, ok := errors.AsType[*exitError](err); ok || err == nil {
		return err
	}
	return &exitError{exitFailed, err}
}

func newRoot(now func() time.Time) *cobra.Command {
	root := &cobra.Command{
		Use:   "exitgate",
		Short: "A gateway that withdraws a service from a market instead of downgrading it",
		Long: `exitgate is an HTTPS reverse proxy that finds out which jurisdiction a client
is in, decides by a policy what that jurisdiction gets, and forwards or refuses.

The verbs that look at a running gateway, or change what it does, ask its API:
over the socket in its data folder, or with --api and a token from another
machine.`,
		Example: `  exitgate demo                                  see it work, with a sample app
  exitgate serve --to http://127.0.0.1:3000      put it in front of an app
  exitgate check policy.yaml                     say what a policy does
  exitgate explain 90.0.0.1                      say what a client gets, and why
  exitgate status                                say what is in force now
  exitgate set IT withdrawn --because "…"        withdraw a market
  exitgate log                                   say who changed what, and why`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, group := range []struct {
		title string
		verbs []*cobra.Command
	}{
		{"Run it:", []*cobra.Command{newServe(now), newDemo(), newBackup(now), newRestore(now)}},
		{"See what a policy does:", []*cobra.Command{newCheck(now), newPlan(now), newExplain(now), newSchema()}},
		{"See what a gateway does, and change it:", []*cobra.Command{
			newStatus(), newDoctor(now), newProbe(), newConsole(), newEvents(), newSet(), newApply(now), newRollback(), newDemand(now), newChanges(), newApprove(), newReject(), newLog(now), newEvidence(), newLedger(), newPrincipal(now), newGeo(),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, verb := range group.verbs {
			verb.GroupID = group.title
			root.AddCommand(verb)
		}
	}
	root.AddCommand(newVersion())
	describeExitCodes(root)
	return root
}

// describeExitCodes adds the exit codes to the help of all verbs that don't say theirs.
func describeExitCodes(cmd *cobra.Command) {
	const begin = "Exit codes: "
	if cmd.Long == "" {
		cmd.Long = cmd.Short + "."
	}
	switch {
	case strings.Contains(cmd.Long, begin):
	case cmd.Flag("api") == nil && !cmd.HasSubCommands(): // it asks no gateway
		cmd.Long += "\n\n" + begin + "0 done, 1 failed, or there is no such thing, 2 usage."
	default:
		cmd.Long += "\n\n" + begin + "0 done, or waits for approvals, 1 failed, or there is no such\nthing, 2 usage, 3 refused by policy or conflict."
	}
	for _, verb := range cmd.Commands() {
		describeExitCodes(verb)
	}
}
