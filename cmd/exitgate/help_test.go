package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// Whoever calls a command from a script reads in its help how it can end.
func TestEachHelpSaysTheExitCodes(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if n := strings.Count(cmd.Long, "Exit codes: "); n != 1 {
			t.Errorf("%s --help says the exit codes %d times", cmd.CommandPath(), n)
		}
		for _, verb := range cmd.Commands() {
			visit(verb)
		}
	}
	visit(newRoot(time.Now))
}
