package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

func newRollback() *cobra.Command {
	var o proposalOptions
	cmd := &cobra.Command{
		Use:   "rollback REVISION --because WHY",
		Short: "Put the policy of an older revision into force again",
		Long: `Put the policy of an older revision into force again, as a new revision: say
what would change, and do it; or, where the policy in force asks for approvals,
propose it. The revisions: exitgate log.

With --emergency, what only withdraws is done at once; and whoever has withdrawn the
wrong market in an emergency can take that back alone, for ten minutes, if nothing
else has come into force. Both are then to be signed by somebody else.`,
		Example: `  exitgate rollback 41 --because "The wrong country."
  exitgate rollback 41 --emergency --because "A typo: it is GB."
  exitgate plan --rollback 41`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeRevisions,
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			number, err := parseNumber(args[0])
			if err != nil {
				return err
			}
			return o.propose(cmd, api.Proposal{Rollback: number}, planView.brief)
		}),
	}
	o.register(cmd)
	o.registerEmergency(cmd)
	return cmd
}

// parseNumber reads the number of a revision, a change or another record.
func parseNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a number from the log, such as 42", text)
	}
	return n, nil
}

// completeRevisions completes the number of a revision by asking the gateway.
func (o *connection) completeRevisions(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 {
		page, _ := decode[api.Revisions](o.getForCompletion(cmd.Context(), "/v1/revisions?limit=50"))
		for _, r := range page.Revisions {
			words = append(words, fmt.Sprintf("%d\t%s: %s", r.Number, formatNames(r.Authors), sanitise(r.Because)))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// getForCompletion asks for what completes a command line: quickly, or not at all.
func (o *connection) getForCompletion(ctx context.Context, path string) (apiResponse, error) {
	c, err := o.open()
	if err != nil {
		return nil, err
	}
	c.timeout = completionTimeout
	if ctx == nil {
		ctx = context.Background()
	}
	return c.get(ctx, path)
}
