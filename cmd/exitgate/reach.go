package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// reachFlags say whom a phase reaches beside the jurisdiction that it is set for, and how
// fast.
type reachFlags struct {
	territories territoriesFlag
	unknownPart unknownPartFlag
	drain       drainFlag
}

func (f *reachFlags) register(cmd *cobra.Command) {
	cmd.Flags().Var(&f.territories, "territories", "`which` of a country's territories that have codes of their own it reaches: all, none, or as GP,RE (default: as the market's entry says)")
	cmd.Flags().Var(&f.unknownPart, "unknown-part", "`what` those get who may be in the part of a country that it is about, or not: serve or withhold (default: as the market's entry says)")
	cmd.Flags().Var(&f.drain, "drain", "`how long` what is under way may go on when it is refused: 0s to 1h (default: as the policy says)")
}

// A drainFlag is a flag with a drain.
type drainFlag struct{ text string }

// String implements pflag.Value.
func (f *drainFlag) String() string { return f.text }

// Set implements pflag.Value.
func (f *drainFlag) Set(text string) error {
	drain, err := time.ParseDuration(text)
	if err != nil || policy.CheckDrain(drain) != nil {
		return errors.New("it is a time from 0s to 1h, as 30s")
	}
	f.text = policy.FormatDrain(drain)
	return nil
}

// Type implements pflag.Value.
func (f *drainFlag) Type() string { return "how long" }

// A territoriesFlag is a flag with territories of a country.
type territoriesFlag struct{ policy.Territories }

// String implements pflag.Value.
func (f *territoriesFlag) String() string { return f.Territories.String() }

// Set implements pflag.Value.
func (f *territoriesFlag) Set(text string) (err error) {
	f.Territories, err = policy.ParseTerritories(text)
	return err
}

// Type implements pflag.Value.
func (f *territoriesFlag) Type() string { return "which" }

// An unknownPartFlag is a flag with what those get who may be in a part.
type unknownPartFlag struct{ policy.UnknownPart }

// String implements pflag.Value.
func (f *unknownPartFlag) String() string { return string(f.UnknownPart) }

// Set implements pflag.Value.
func (f *unknownPartFlag) Set(text string) error {
	if f.UnknownPart = policy.UnknownPart(text); !f.IsKnown() {
		return errors.New("it is serve or withhold")
	}
	return nil
}

// Type implements pflag.Value.
func (f *unknownPartFlag) Type() string { return "what" }

// planAsking has the gateway plan a proposal. What is unsaid of whom it reaches is
// asked for at a terminal, and put into it.
func planAsking(cmd *cobra.Command, c *client, p *api.Proposal) (apiResponse, error) {
	for {
		a, err := c.post(cmd.Context(), "/v1/plan", *p)
		problem, ok := errors.AsType[*api.Problem](err)
		if !ok || p.Set == nil || !isMissingReach(problem) {
			return a, err
		}
		if err := askReach(cmd, problem, p.Set); err != nil {
			return a, err
		}
	}
}

// isMissingReach reports whether a problem is that something is missing which a flag says.
func isMissingReach(p *api.Problem) bool {
	return exitCode(p) == exitUsage
}

// askReach asks somebody at a terminal for what is missing; elsewhere it returns
// the problem.
func askReach(cmd *cobra.Command, problem *api.Problem, set *api.Set) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok {
		return problem
	}
	if _, terminal := terminalWidth(in); !terminal {
		return problem
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s.\n%s? ", capitalise(problem.Detail), capitalise(problem.Advice))
	line, err := bufio.NewReader(in).ReadString('\n')
	if err == nil {
		answer := strings.TrimSpace(line)
		if problem.Code == string(changes.UnsaidPart) {
			f := unknownPartFlag{}
			err = f.Set(answer)
			set.UnknownPart = f.UnknownPart
		} else {
			set.Territories, err = policy.ParseTerritories(answer)
		}
	}
	if err != nil {
		return exitFailure(fmt.Errorf("nothing was done: %w", err))
	}
	return nil
}
