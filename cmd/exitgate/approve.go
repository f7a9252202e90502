package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

func newApprove() *cobra.Command {
	var o approveOptions
	cmd := &cobra.Command{
		Use:   "approve NUMBER",
		Short: "Approve a change that somebody else has proposed, or sign an emergency",
		Long: `Show a change that waits, what it would do now, who wants it and why; and approve
just that. The last approval that it needs puts it into force. The number of an
emergency revision signs it.

Nobody approves what they have proposed or edited themselves.`,
		Example: `  exitgate changes 43                    look at it first
  exitgate approve 43
  exitgate approve 43 --because "Checked with counsel." --yes`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeWaiting,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.approve(cmd, args[0]) },
	}
	o.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.because, "because", "", "`why`, if there is something to say")
	f.StringVar(&o.plan, "plan", "", "`hash` of the plan that you have read: of an emergency revision, the SHA-256 of its policy")
	f.BoolVar(&o.yes, "yes", false, "don't ask before it is done, on a terminal")
	return cmd
}

type approveOptions struct {
	queryOptions
	because, plan string
	yes           bool
}

func (o *approveOptions) approve(cmd *cobra.Command, text string) error {
	number, err := parseNumber(text)
	if err != nil {
		return err
	}
	c, err := o.open()
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), newPrinter(cmd.OutOrStdout())
	shown, emergency, err := c.pendingChange(ctx, number)
	waits := emergency != nil || shown.Status == changes.Pending
	if err == nil && waits && !o.json {
		err = c.checkApproval(ctx, number, shown, emergency)
	}
	if err != nil {
		return commandError(cmd, o.json, err)
	}
	// Of a change that has ended nothing is shown: the answer says how it did.
	if waits && !o.json {
		question := fmt.Sprintf("Approve change %d?", number)
		if emergency != nil {
			question = fmt.Sprintf("Sign revision %d?", number)
			printEmergency(out, *emergency)
		} else {
			printChange(out, shown)
		}
		if !o.yes && o.plan == "" {
			if err := confirm(cmd, question); err != nil {
				return err
			}
		}
	}
	agreed := shown.Plan
	var moves []plan.Move
	switch {
	case emergency != nil:
		agreed = emergency.SHA256
	case shown.Planned != nil:
		agreed, moves = shown.Planned.Plan.Hash, shown.Planned.Plan.Moves
	}
	a, err := c.write(ctx, http.MethodPost, changePath(number)+"/approvals", always, api.Approval{Plan: cmp.Or(o.plan, agreed), Because: o.because})
	return printResponse(cmd, o.json, a, err, func(out printer, change api.Change) {
		fmt.Fprintln(out)
		if emergency != nil {
			out.colouredParagraph(green, "", "Revision %d is signed.", number)
			return
		}
		out.paragraph("", "Change %d is approved.", number)
		printOutcome(out, change, moves)
	})
}

// checkApproval returns why the gateway would not let whoever asks approve, as
// far as that is known before they have read what they approve.
func (c *client) checkApproval(ctx context.Context, number uint64, change api.Change, emergency *changes.Revision) error {
	s, err := decode[api.Status](c.get(ctx, "/v1/status"))
	if err != nil {
		return err
	}
	you := changes.Actor{Name: s.You.Name, Roles: s.You.Roles}
	if emergency != nil {
		err = changes.CheckApprover(you, "sign", fmt.Sprintf("revision %d", number), emergency.Authors, nil)
	} else {
		err = changes.CheckApprover(you, "approve", fmt.Sprintf("change %d", number), change.Authors, changes.Approvers(change.Approvals))
	}
	return err
}

// pendingChange returns a change; or the emergency revision of that number.
func (c *client) pendingChange(ctx context.Context, number uint64) (api.Change, *changes.Revision, error) {
	change, err := decode[api.Change](c.get(ctx, changePath(number)))
	if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != string(changes.NotFound) {
		return change, nil, err
	}
	s, unknown := decode[api.Status](c.get(ctx, "/v1/status"))
	if i := slices.IndexFunc(s.Unsigned, func(r changes.Revision) bool { return r.Number == number }); unknown == nil && i >= 0 {
		return api.Change{}, &s.Unsigned[i], nil
	}
	return api.Change{}, nil, err
}

// printEmergency shows a revision that withdrew before anybody had approved, for
// who is to sign it.
func printEmergency(out printer, r changes.Revision) {
	fmt.Fprintf(out, "Revision %d by %s at %s: an emergency, in force at once\n\n", r.Number, formatNames(r.Authors), formatTime(r.Time))
	out.colouredParagraph(bold, "  ", "%s", sanitise(r.Summary))
	printReason(out, r.Because)
	out.colouredParagraph(yellow, "", "\nSomebody else is to sign it by %s. Its policy: exitgate log %d", formatTime(r.SignBy), r.Number)
}

// completeWaiting completes changes and emergencies that wait for somebody.
func (o *approveOptions) completeWaiting(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 {
		s, _ := decode[api.Status](o.getForCompletion(cmd.Context(), "/v1/status"))
		for _, c := range s.Pending {
			words = append(words, fmt.Sprintf("%d\t%s: %s", c.Number, formatNames(c.Authors), sanitise(c.Because)))
		}
		for _, r := range s.Unsigned {
			words = append(words, fmt.Sprintf("%d\temergency by %s: %s", r.Number, formatNames(r.Authors), sanitise(r.Because)))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func newReject() *cobra.Command {
	var o writeOptions
	cmd := &cobra.Command{
		Use:   "reject NUMBER --because WHY",
		Short: "Give up a change that waits",
		Long: `Give up a change that waits for approvals, one's own or somebody else's. It
stays in the log.`,
		Example:           `  exitgate reject 43 --because "The court has stayed the law."`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeChanges,
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			number, err := parseNumber(args[0])
			if err != nil {
				return err
			}
			c, err := o.open()
			if err != nil {
				return err
			}
			a, err := c.write(cmd.Context(), http.MethodPost, changePath(number)+"/rejection", always, api.Rejection{Because: o.because})
			return printResponse(cmd, o.json, a, err, printed("Change %d is rejected.", number))
		}),
	}
	o.register(cmd)
	return cmd
}
