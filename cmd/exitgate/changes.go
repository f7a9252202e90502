package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

func newChanges() *cobra.Command {
	var o queryOptions
	cmd := &cobra.Command{
		Use:   "changes [NUMBER]",
		Short: "Show the changes that wait for approvals",
		Long: `Show the changes that wait for approvals, and those that have ended lately; or
all of one: who wants it, why, who has approved, and what it would do now.`,
		Example: `  exitgate changes
  exitgate changes 43
  exitgate changes --json | jq '.changes[] | select(.status == "pending")'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeChanges,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return show(cmd, o, "/v1/changes", printChanges)
			}
			number, err := parseNumber(args[0])
			if err != nil {
				return err
			}
			return show(cmd, o, changePath(number), printChange)
		},
	}
	o.register(cmd)
	return cmd
}

// queryOptions are the flags of a verb that only shows something.
type queryOptions struct {
	connection
	json bool
}

func (o *queryOptions) register(cmd *cobra.Command) {
	o.connection.register(cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

// show asks for what is at a path, and prints it.
func show[T any](cmd *cobra.Command, o queryOptions, path string, print func(printer, T)) error {
	c, err := o.open()
	if err != nil {
		return err
	}
	a, err := c.get(cmd.Context(), path)
	return printResponse(cmd, o.json, a, err, print)
}

// printResponse prints what the API has said, as it came or for people.
func printResponse[T any](cmd *cobra.Command, asJSON bool, a apiResponse, err error, print func(printer, T)) error {
	if err == nil && asJSON {
		return exitFailure(a.writeIndented(cmd.OutOrStdout()))
	}
	v, err := decode[T](a, err)
	if err != nil {
		return commandError(cmd, asJSON, err)
	}
	print(newPrinter(cmd.OutOrStdout()), v)
	return nil
}

// printed prints that something is done, whatever the API says of it.
func printed(format string, args ...any) func(printer, json.RawMessage) {
	return func(out printer, _ json.RawMessage) { fmt.Fprintf(out, format+"\n", args...) }
}

// A writeOptions is a verb that changes something, and says why.
type writeOptions struct {
	queryOptions
	because string
}

func (o *writeOptions) register(cmd *cobra.Command) {
	o.queryOptions.register(cmd)
	cmd.Flags().StringVar(&o.because, "because", "", "`why`, for everybody who reads the log")
}

// withReason runs a verb if the reason is given.
func (o *writeOptions) withReason(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(o.because) != "" {
			return run(cmd, args)
		}
		words := append([]string{cmd.CommandPath()}, args...)
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				words = append(words, "--"+f.Name)
			}
		})
		return fmt.Errorf("say why, for everybody who reads the log: %s --because \"…\"", strings.Join(words, " "))
	}
}

func changePath(number uint64) string { return "/v1/changes/" + strconv.FormatUint(number, 10) }

func printChanges(out printer, all api.Changes) {
	var pending, ended []changes.Change
	for _, c := range all.Changes {
		if c.Status == changes.Pending || c.Status == changes.Stale {
			pending = append(pending, c)
		} else {
			ended = append(ended, c)
		}
	}
	if pending == nil {
		fmt.Fprintln(out, "No change waits for approvals.")
	} else {
		fmt.Fprintf(out, "Changes that wait (times are UTC):\n\n")
		printPending(out, pending)
		fmt.Fprintln(out, "\n  Look at one: exitgate changes NUMBER")
	}
	if ended == nil {
		return
	}
	fmt.Fprintf(out, "\nEnded lately:\n\n")
	var rows []row
	for _, c := range ended {
		rows = append(rows, row{cells: []cell{numberCell(c.Number), {text: formatNames(c.Authors)}, {text: formatStatus(c)}, {text: sanitise(c.Summary)}}})
	}
	out.table(rows, 3)
}

func numberCell(n uint64) cell {
	return cell{text: strconv.FormatUint(n, 10), colour: bold, right: true}
}

// printPending shows changes in a line or two each.
func printPending(out printer, pending []changes.Change) {
	var rows []row
	for _, c := range pending {
		state, until := cell{text: approvedBy(c), colour: yellow}, cell{text: "until " + formatMinute(c.Expires)}
		if c.Status == changes.Stale {
			state, until = cell{text: "stale", colour: red}, cell{text: "edit or reject it"}
		}
		rows = append(rows, row{
			cells: []cell{numberCell(c.Number), {text: "by " + formatNames(c.Authors)}, state, until},
			below: []string{sanitise(c.Summary), becausePrefix + sanitise(c.Because)},
		})
	}
	out.table(rows, 1)
}

const becausePrefix = "because: " // before a reason

// approvedBy says how many have approved: "1 of 2 approvals".
func approvedBy(c changes.Change) string {
	return fmt.Sprintf("%d of %s", len(c.Approvals), plural(c.Needs, "approval"))
}

// formatStatus says what came of a change.
func formatStatus(c changes.Change) string {
	if c.Status == changes.Applied {
		return fmt.Sprintf("applied as %d", c.Revision)
	}
	return string(c.Status)
}

// printChange shows all of a change.
func printChange(out printer, c api.Change) {
	fmt.Fprintf(out, "Change %d by %s at %s\n\n", c.Number, formatNames(c.Authors), formatTime(c.Time))
	out.colouredParagraph(bold, "  ", "%s", sanitise(c.Summary))
	printReason(out, c.Because)
	fmt.Fprintln(out)
	switch c.Status {
	case changes.Pending:
		out.colouredParagraph(yellow, "", "It waits: %s, until %s.", approvedBy(c.Change), formatTime(c.Expires))
	case changes.Applied:
		out.paragraph("", "It is applied: revision %d.", c.Revision)
	case changes.Rejected:
		if c.Rejected == nil {
			out.paragraph("", "It is rejected.")
			break
		}
		printApproval(out, red, "It is rejected", *c.Rejected)
	case changes.Stale:
		out.colouredParagraph(red, "", "It can't be approved any more: %s. To propose it anew: exitgate apply FILE --change %d --because \"…\"", sanitise(c.StaleBecause), c.Number)
	default:
		out.paragraph("", "It is %s.", c.Status)
	}
	if c.Rebased != 0 {
		out.paragraph("", "It was planned against revision %d; revision %d, which is about none of its markets, would stay beside it.", c.Base, c.Rebased)
	}
	printApprovals(out, c.Approvals)
	if c.Planned == nil || c.Status != changes.Pending {
		return
	}
	fmt.Fprintln(out)
	planView{Plan: *c.Planned, name: fmt.Sprintf("Change %d", c.Number), waits: true}.full(out)
}

func printReason(out printer, because string) {
	for line := range strings.Lines(sanitiseLines(because)) {
		out.paragraph("  ", "%s", strings.TrimSuffix(line, "\n"))
	}
}

func printApprovals(out printer, approvals []changes.Approval) {
	for _, a := range approvals {
		printApproval(out, green, "Approved", a)
	}
}

// printApproval shows one person's word for a change, or against it.
func printApproval(out printer, colour, verb string, a changes.Approval) {
	text := fmt.Sprintf("%s by %s at %s%s", verb, sanitise(a.By), formatTime(a.At), formatCredential(a.Credential))
	if a.Because != "" {
		text += ": " + sanitise(a.Because)
	}
	out.colouredParagraph(colour, "", "%s", text)
}

// formatCredential says what somebody was known by: ", by token 3f9a".
func formatCredential(credential string) string {
	kind, id, _ := strings.Cut(sanitise(credential), ":")
	switch kind {
	case "user":
		return ", as the local user " + id
	case "token":
		return ", by token " + id
	case "certificate":
		return fmt.Sprintf(", by certificate sha256:%.12s", id)
	}
	return ""
}

// completeChanges completes the number of a change that waits by asking the
// gateway.
func (o *connection) completeChanges(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 || cmd.Flags().Lookup("change") != nil {
		all, _ := decode[api.Changes](o.getForCompletion(cmd.Context(), "/v1/changes"))
		for _, c := range all.Changes {
			if c.Status == changes.Pending || c.Status == changes.Stale {
				words = append(words, fmt.Sprintf("%d\t%s: %s", c.Number, formatNames(c.Authors), sanitise(c.Because)))
			}
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// pathWithReason is for requests that have no body.
func pathWithReason(path, reason string) string {
	return path + "?" + url.Values{"because": {reason}}.Encode()
}
