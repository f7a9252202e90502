package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/document"
)

func newApply(now func() time.Time) *cobra.Command {
	var o proposalOptions
	cmd := &cobra.Command{
		Use:   "apply FILE --because WHY",
		Short: "Put a policy into force",
		Long: `Put a policy in the place of the one in force: say what would change, as plan
does, and do it; or, where the policy in force asks for approvals, propose it.

In a pipeline, plan first, let people read the plan, and give its hash: then
nothing but what they have read is done. If another change came between, the
exit code is 3, and nothing is changed.`,
		Example: `  exitgate apply policy.yaml --because "Law 8ter is adopted."
  exitgate apply policy.yaml --because "As reviewed." --plan "$(exitgate plan policy.yaml --json | jq -r .plan.hash)"
  exitgate apply policy.yaml --because "With the territories." --change 43`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFiles("yaml", "yml"),
		RunE:              o.withReason(func(cmd *cobra.Command, args []string) error { return o.apply(cmd, args[0], now) }),
	}
	o.register(cmd)
	o.registerEmergency(cmd)
	registerBackdated(cmd, &o.backdated)
	f := cmd.Flags()
	f.StringVar(&o.plan, "plan", "", "`hash` of the plan that was agreed to")
	f.Uint64Var(&o.change, "change", 0, "`number` of a change that waits, or is stale, to propose this policy in its place")
	f.Uint64Var(&o.expected, "expect", 0, "`number` of the revision that must be in force (default: the one that is)")
	_ = cmd.RegisterFlagCompletionFunc("change", o.completeChanges)
	return cmd
}

func (o *proposalOptions) apply(cmd *cobra.Command, file string, now func() time.Time) error {
	parse := document.Parse
	if o.emergency { // in one, what could stand is good enough
		parse = document.Read
	}
	source, p, err := readPolicy(cmd.OutOrStdout(), o.json, new(timeFlag).or(now), file, parse)
	if err != nil {
		return o.withChoices(cmd, source, p, err)
	}
	return o.propose(cmd, api.Proposal{Policy: string(source)}, func(s planView, out printer) {
		for _, w := range document.Warnings(file, p, now()) {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\n\n", w)
		}
		s.name = file
		s.full(out)
	})
}
