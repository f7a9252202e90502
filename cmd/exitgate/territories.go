package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/policy"
)

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

// ask returns which territories of a country a phase is to reach, nil if nothing
// was said and nothing need be. Somebody at a terminal is asked where neither the
// flag nor the policy in force says it.
func (f *territoriesFlag) ask(cmd *cobra.Command, code policy.Code, phase policy.Phase, standing func(context.Context, policy.Code) policy.Territories) (policy.Territories, error) {
	all := policy.TerritoriesOf(code)
	in, ok := cmd.InOrStdin().(*os.File)
	if f.Said() || len(all) == 0 || phase == policy.Open || !ok {
		return f.Territories, nil
	}
	if _, terminal := terminalWidth(in); !terminal || standing(cmd.Context(), code).Said() {
		return nil, nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s has territories with codes of their own: %s.\nWhich of them does this reach? [all, none, or codes, as in %s] ", code, joinCodes(all), all[0])
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return nil, exitFailure(fmt.Errorf("nothing was done: say --territories all, none, or some of %s", joinCodes(all)))
	}
	answer, err := policy.ParseTerritories(strings.TrimSpace(line))
	if err != nil {
		return nil, exitFailure(fmt.Errorf("nothing was done: %w", err))
	}
	return answer, nil
}
