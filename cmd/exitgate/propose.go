package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

// proposalOptions are what the verbs have in common that change the policy: they
// plan, show the plan, and propose what it says.
type proposalOptions struct {
	writeOptions
	plan      string // hash of a plan that was agreed to before
	expected  uint64 // revision, if one was named
	change    uint64 // that is edited, if one was named
	emergency bool
	backdated bool
	yes       bool
	wait      bool // until it is seen to be so
}

// register adds the flags that all of them have.
func (o *proposalOptions) register(cmd *cobra.Command) {
	o.writeOptions.register(cmd)
	cmd.Flags().BoolVar(&o.yes, "yes", false, "don't ask before it is done, on a terminal")
}

func (o *proposalOptions) registerEmergency(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.emergency, "emergency", false, "withdraw at once, without the approvals that it needs; somebody else signs afterwards")
}

func (o *proposalOptions) registerChange(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&o.change, "change", 0, "`number` of a change that waits, to make this in: who has approved it has to do so again")
	_ = cmd.RegisterFlagCompletionFunc("change", o.completeChanges) // the flag exists
}

func registerBackdated(cmd *cobra.Command, backdated *bool) {
	cmd.Flags().BoolVar(backdated, "backdated", false, "steps are meant that begin in the past and aren't in the policy in force; since when it is so is by the log")
}

// propose plans a proposal, shows what it would do, and has it done.
func (o *proposalOptions) propose(cmd *cobra.Command, p api.Proposal, show func(planView, printer)) error {
	c, err := o.open()
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), newPrinter(cmd.OutOrStdout())
	if o.change != 0 {
		if _, err := c.get(ctx, changePath(o.change)); err != nil {
			return commandError(cmd, o.json, err)
		}
	}
	p.Because, p.Emergency, p.Backdated = o.because, o.emergency, o.backdated
	if p.Set != nil || p.Stage != nil {
		p.Change = o.change
	}
	plan, err := decode[api.Plan](planAsking(cmd, c, &p))
	if err == nil && plan.Plan.Before == plan.Plan.After && o.change == 0 {
		err = &changes.Error{Code: changes.NoChange, Message: fmt.Sprintf("it is so already, by %s: nothing is changed", currentRevision(plan))}
	}
	if outcomeUnknown(err) {
		err = fmt.Errorf("%w: nothing was changed", err)
	}
	if err != nil {
		return commandError(cmd, o.json, err)
	}
	p.Plan = cmp.Or(o.plan, plan.Plan.Hash)
	if p.Plan != plan.Plan.Hash && plan.Revision != 0 {
		return commandError(cmd, o.json, &changes.Error{
			Code:    changes.PlanChanged,
			Message: fmt.Sprintf("it would do something else now than in plan %.12s: the plan is %s", o.plan, plan.Plan.Hash),
			Advice:  "plan again, and see whether you still want it",
		})
	}
	if o.json {
		for _, text := range plan.Unsaid {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", sanitise(text))
		}
	}
	if !o.json && !o.willBeRefused(plan) {
		show(planView{Plan: plan, emergency: o.emergency}, out)
		if o.plan == "" && !o.yes {
			if err := confirm(cmd, "Do it?"); err != nil {
				return err
			}
		}
	}
	method, path := http.MethodPost, "/v1/changes"
	if o.change != 0 {
		method, path = http.MethodPut, changePath(o.change)
	}
	a, err := c.write(ctx, method, path, ifRevision(cmp.Or(o.expected, plan.Revision)), p)
	for range mostOvertaken {
		if !o.mayFollow(p, err) {
			break
		}
		later, failed := decode[api.Plan](c.post(ctx, "/v1/plan", p))
		if failed != nil || later.Plan.Content() != plan.Plan.Content() || later.Needs != plan.Needs {
			break // the conflict is said
		}
		p.Plan = later.Plan.Hash
		a, err = c.write(ctx, method, path, ifRevision(later.Revision), p)
	}
	var done api.Change
	if err == nil {
		done, err = decode[api.Change](a, nil)
	}
	err = printResponse(cmd, o.json, a, err, func(out printer, change api.Change) {
		fmt.Fprintln(out)
		printOutcome(out, change, plan.Plan.Moves)
	})
	if err != nil || !o.wait {
		return err
	}
	return o.waitUntilSeen(cmd, c, p.Set.Jurisdiction, done, plan.Plan.Moves)
}

// waitUntilSeen waits until all gateways have what came into force, and shows what clients
// in its market get.
func (o *proposalOptions) waitUntilSeen(cmd *cobra.Command, c *client, code policy.Code, done api.Change, moves []plan.Move) error {
	if done.InForce == nil || !earliestMove(moves).IsZero() {
		newPrinter(cmd.ErrOrStderr()).paragraph("", "There is nothing to see yet. Once it is so: exitgate probe %s", code)
		return nil
	}
	probes, err := c.probeFrom(cmd.Context(), code, done.InForce.Number)
	if err != nil {
		return commandError(cmd, o.json, err)
	}
	if !o.json {
		fmt.Fprintln(cmd.OutOrStdout())
	}
	return reportProbes(cmd, o.json, probes)
}

// mostOvertaken is how often what somebody else does at the same time is followed.
const mostOvertaken = 10

// mayFollow reports whether something that was refused as another revision came between
// may be planned anew, and done if that comes to the same: it changes one market or one
// demand, and nobody has named a revision or a plan that it is to follow.
func (o *proposalOptions) mayFollow(p api.Proposal, err error) bool {
	problem, ok := errors.AsType[*api.Problem](err)
	return ok && problem.Code == string(changes.Conflict) && (p.Set != nil || p.Stage != nil) && o.expected == 0 && o.plan == ""
}

// willBeRefused reports whether the gateway is going to refuse what is planned: then
// nothing is shown but the refusal.
func (o *proposalOptions) willBeRefused(plan api.Plan) bool {
	inFile := plan.Revision == 0
	overtaken := o.expected != 0 && o.expected != plan.Revision
	return inFile || overtaken || plan.Objection != "" || o.emergency && !plan.Emergency
}

// printOutcome says what became of a proposal, or of a change by an approval, and
// when it does something if that is later.
func printOutcome(out printer, c api.Change, moves []plan.Move) {
	if r := c.InForce; r != nil {
		urgent := r.Emergency && r.Signature == nil
		end := ""
		if urgent {
			end = ", as an emergency."
		}
		if earliestMove(moves).IsZero() {
			out.colouredParagraph(green, "", "It is in force: revision %d%s", r.Number, end)
		} else {
			out.colouredParagraph(green, "", "Revision %d is in force: %s%s", r.Number, formatStart(moves), end)
		}
		if urgent {
			out.colouredParagraph(yellow, "", "Somebody else must sign it by %s: exitgate approve %d", formatTime(r.SignBy), r.Number)
		}
		return
	}
	switch {
	case c.Status == changes.Pending:
		out.colouredParagraph(yellow, "", "It waits for %s: change %d; approve with: exitgate approve %d",
			plural(c.Needs-len(c.Approvals), "approval"), c.Number, c.Number)
	default:
		out.paragraph("", "Change %d is %s.", c.Number, c.Status)
	}
}

// formatStart says what moves do of which none is at once.
func formatStart(moves []plan.Move) string {
	m := moves[0]
	if len(moves) == 1 && len(m.Jurisdictions) == 1 && m.Effect == plan.WithdrawsMarket && m.Until.IsZero() && m.Routes == nil {
		return fmt.Sprintf("%s is %s from %s", m.Jurisdictions[0], m.After, formatTime(m.From))
	}
	return "no market gets anything else before " + formatTime(earliestMove(moves))
}

// confirm asks somebody at a terminal. Elsewhere what was called for is done.
func confirm(cmd *cobra.Command, question string) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok {
		return nil
	}
	if _, terminal := terminalWidth(in); !terminal {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "\n%s [y/N] ", question)
	answers := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr())
		}
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-cmd.Context().Done():
	case answer := <-answers:
		if answer == "y" || answer == "yes" {
			return nil
		}
	}
	return exitFailure(errors.New("nothing was done"))
}
