package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

func newLog(now func() time.Time) *cobra.Command {
	o := logOptions{now: now}
	cmd := &cobra.Command{
		Use:   "log [NUMBER|FILE]",
		Short: "Show who changed what, when and why, and verify it",
		Long: `Show the records of the ledger, the newest first; or one revision with its policy.
Only what says "in force" came into force; what somebody proposes, approves or
rejects is a record of its own. So is what took place: a step of a schedule, a
breach of a guarantee, an acknowledgement that came into effect. Times are UTC.

With --verify, read the whole ledger from its first record, and say whether
anything in it was changed, removed or forged; or with a file, whether anything
in that was: it is one that exitgate evidence has written, and no gateway is needed.

Exit codes: 0 done, 1 failed, or the ledger is wrong, 2 usage, 3 refused: it takes
a role that you lack.`,
		Example: `  exitgate log
  exitgate log --limit 100 -v
  exitgate log 42
  exitgate log 42 --policy > policy.yaml
  exitgate log --verify
  exitgate log --verify france.json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeRevisions,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	o.register(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.verify, "verify", false, "verify all of the ledger, or a file of evidence")
	f.IntVar(&o.limit, "limit", 20, "how many `records`")
	f.Uint64Var(&o.before, "before", 0, "only those before a `number`")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "each reason in full, and the hashes")
	f.BoolVar(&o.policy, "policy", false, "of a revision, print the policy alone")
	cmd.MarkFlagsMutuallyExclusive("verify", "policy")
	cmd.MarkFlagsMutuallyExclusive("json", "policy")
	return cmd
}

type logOptions struct {
	queryOptions
	verify, verbose, policy bool
	limit                   int
	before                  uint64
	now                     func() time.Time
}

func (o *logOptions) run(cmd *cobra.Command, args []string) error {
	switch {
	case o.verify && (cmd.Flags().Changed("limit") || cmd.Flags().Changed("before")):
		return errors.New("--verify reads all records: leave out --limit and --before")
	case o.verify && len(args) > 0:
		return exitFailure(o.verifyFile(cmd, args[0]))
	case o.policy && len(args) == 0:
		return errors.New("the policy of which revision? as in: exitgate log 42 --policy")
	case len(args) > 0 && (cmd.Flags().Changed("limit") || cmd.Flags().Changed("before")):
		return errors.New("--limit and --before are for the list of records: leave out the number, or them")
	case o.limit < 1:
		return errors.New("--limit is how many records: at least 1")
	}
	c, err := o.open()
	if err != nil {
		return err
	}
	switch {
	case o.verify:
		err = o.runVerify(cmd, c)
	case len(args) == 0:
		err = o.list(cmd, c)
	default:
		number, wrong := parseNumber(args[0])
		if wrong != nil {
			return wrong
		}
		err = o.printOne(cmd, c, number)
	}
	return commandError(cmd, o.json, err)
}

func (o *logOptions) runVerify(cmd *cobra.Command, c *client) error {
	c.timeout = verifyTimeout
	a, err := c.get(cmd.Context(), "/v1/log/verification")
	v, err := decode[api.Verification](a, err)
	if err != nil {
		return err
	}
	out := newPrinter(cmd.OutOrStdout())
	if v.Unread != "" && !o.json {
		out.colouredParagraph(yellow, "", "The ledger can't be read: %s\nThis is of the gateway's own copy of its records.", sanitiseLines(v.Unread))
	}
	switch {
	case o.json:
		err = a.writeIndented(cmd.OutOrStdout())
	case v.OK || len(v.Wrong) == 0 && v.Unread != "":
		what := "ledger"
		if v.Unread != "" {
			what = "copy"
		}
		out.colouredParagraph(green, "", "The "+what+" is valid: %s, each as it was written and in its place.", plural(v.Records, "record"))
		if v.Newer > 0 {
			out.colouredParagraph(yellow, "", "Only a newer exitgate knows what %s of them say: that they are in their place was checked, and no more.", strconv.Itoa(v.Newer))
		}
		fmt.Fprintf(out, "The last is %d, with the hash %s\n", v.Last, sanitise(v.Hash))
		out.paragraph("", "\nThat says that since then none of them was changed, removed, or put between others. It doesn't say who wrote them: whoever may write to the ledger can add any. Nor does it say whether the last were cut off, or all were made anew: for that, hold the last number and hash against those that you noted elsewhere.")
	default:
		for _, w := range v.Wrong {
			out.colouredParagraph(red, "", "record %d: %s", w.Number, sanitise(w.Reason))
		}
		out.paragraph("", "\nThe ledger is wrong: %s of %d. Somebody or something has changed it. No gateway applies a record that is wrong; keep a copy of the ledger, and find out who can write to it.",
			plural(len(v.Wrong), "record"), v.Records+len(v.Wrong))
	}
	if err == nil && !v.OK {
		err = &exitError{code: exitFailed}
	}
	return err
}

const logPage = 100 // records in a request

// list shows records, as many pages of them as it takes.
func (o *logOptions) list(cmd *cobra.Command, c *client) error {
	var all api.Log
	before := o.before
	for len(all.Records) < o.limit {
		some, err := c.log(cmd.Context(), before, min(o.limit-len(all.Records), logPage))
		if err != nil {
			return err
		}
		all.Records, all.Next = append(all.Records, some.Records...), some.Next
		if before = some.Next; before == 0 {
			break
		}
	}
	if o.json {
		if all.Records == nil {
			all.Records = []api.Record{}
		}
		return writeJSON(cmd.OutOrStdout(), all)
	}
	out := newPrinter(cmd.OutOrStdout())
	if len(all.Records) == 0 {
		fmt.Fprintln(out, "There are no records.")
		return nil
	}
	if o.verbose {
		printRecordsVerbose(out, all.Records)
	} else {
		printRecords(out, all.Records)
	}
	if all.Next != 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "\nOlder ones: exitgate log --before %d\n", all.Next)
	}
	return nil
}

func (c *client) log(ctx context.Context, before uint64, limit int) (api.Log, error) {
	path := fmt.Sprintf("/v1/log?limit=%d", limit)
	if before != 0 {
		path += fmt.Sprintf("&before=%d", before)
	}
	return decode[api.Log](c.get(ctx, path))
}

const maxAuthorWidth = 16 // characters of a line

// printRecords shows each record in a line; what doesn't fit there goes below it.
func printRecords(out printer, records []api.Record) {
	const last = 3
	rows := []row{{cells: []cell{{}, {text: "UTC"}, {text: "by"}, {}}}}
	for _, r := range records {
		rows = append(rows, row{cells: []cell{numberCell(r.Number), {text: formatMinute(r.Time)}, {text: shorten(sanitise(r.Author), maxAuthorWidth)}, {}}})
	}
	widths := columnWidths(rows)
	fits, below := out.width-tableWidth(widths)-columnGap, out.width-len(indentation)-widths[0]-columnGap
	for i, r := range records {
		line := &rows[i+1] // behind the head
		text, colour := formatAction(r)
		if by := formatOrigin(r); by != "" {
			line.below = append(line.below, shorten(by, below))
		}
		switch because := sanitise(r.Because); {
		case because == "":
		case line.below == nil && utf8.RuneCountInString(text+reasonSeparator+because) <= fits:
			text += reasonSeparator + because
		default:
			line.below = append(line.below, shorten(because, below))
		}
		lines := wrap(text, fits)
		line.cells[last] = cell{text: lines[0], colour: colour}
		if len(lines) > 1 { // there is more room below
			line.below = slices.Insert(line.below, 0, strings.Join(lines[1:], " "))
		}
	}
	out.table(rows, last)
}

const reasonSeparator = " · " // what was done and why

// formatAction says what a record does, so that what only was proposed isn't taken for
// what came into force.
func formatAction(r api.Record) (text, colour string) {
	text = withPlaceTimes(sanitise(r.Summary))
	switch {
	case r.Refused != "":
		return "REFUSED, " + sanitise(r.Refused) + ": " + text, red
	case r.Emergency:
		return "EMERGENCY, in force: " + text, yellow
	case r.Kind == changes.RevisionMade:
		return "in force: " + text, ""
	}
	return text, ""
}

// formatOrigin says who brought a change into force that waited for others.
func formatOrigin(r api.Record) string {
	if r.Kind != changes.RevisionMade || r.Change == 0 {
		return ""
	}
	text := fmt.Sprintf("change %d, proposed by %s", r.Change, formatNames(r.Authors))
	if len(r.Approvals) > 0 {
		approvals := make([]string, len(r.Approvals))
		for i, a := range r.Approvals {
			approvals[i] = sanitise(a.By)
			if a.Because != "" {
				approvals[i] += " (" + sanitise(a.Because) + ")"
			}
		}
		text += ", approved by " + strings.Join(approvals, ", ")
	}
	return text
}

// printRecordsVerbose shows all that is known of each record.
func printRecordsVerbose(out printer, records []api.Record) {
	for i, r := range records {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s  %s by %s at %s%s\n", out.inColour(bold, fmt.Sprint(r.Number)), sanitise(string(r.Kind)), sanitise(r.Author), formatTime(r.Time), formatCredential(r.Credential))
		text, colour := formatAction(r)
		out.colouredParagraph(colour, "  ", "%s", text)
		if by := formatOrigin(r); by != "" {
			out.paragraph("  ", "%s", by)
		}
		if r.Took != nil {
			out.paragraph("  ", "took place at %s, by %s", formatTime(*r.Took), sanitise(r.Gateway))
		}
		printReason(out, r.Because)
		if r.Database != nil {
			fmt.Fprintf(out, "  sha256:%s\n", sanitise(r.Database.SHA256))
			printLosses(out, *r.Database)
		}
		fmt.Fprintf(out, "  %s\n", sanitise(r.Hash))
	}
}

// printOne shows a revision with its policy; of another record, what the log says.
func (o *logOptions) printOne(cmd *cobra.Command, c *client, number uint64) error {
	a, err := c.get(cmd.Context(), fmt.Sprintf("/v1/revisions/%d", number))
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status == http.StatusNotFound && !o.policy {
		some, failed := c.log(cmd.Context(), number+1, 1)
		if failed != nil || len(some.Records) == 0 || some.Records[0].Number != number {
			return err
		}
		if o.json {
			return writeJSON(cmd.OutOrStdout(), some.Records[0])
		}
		printRecordsVerbose(newPrinter(cmd.OutOrStdout()), some.Records)
		return nil
	}
	if err == nil && o.json {
		return a.writeIndented(cmd.OutOrStdout())
	}
	made, err := decode[api.Policy](a, err)
	if err != nil {
		return err
	}
	if o.policy && made.Policy == api.NotDisclosed {
		return commandError(cmd, o.json, &changes.Error{
			Code: changes.Forbidden, Message: fmt.Sprintf("the policy of revision %d names demands that you may not know of", number), Advice: "ask somebody who has the role counsel",
		})
	}
	if o.policy {
		_, err := io.WriteString(cmd.OutOrStdout(), made.Policy)
		return err
	}
	out := newPrinter(cmd.OutOrStdout())
	if made.Revision != nil {
		printRevision(out, *made.Revision)
	}
	fmt.Fprintf(out, "\nIts policy (sha256:%.12s):\n\n", made.SHA256)
	for line := range strings.Lines(made.Policy) {
		fmt.Fprintln(out, strings.TrimRight("  "+sanitiseLines(strings.TrimSuffix(line, "\n")), " "))
	}
	return nil
}

// printRevision shows who made a revision, and how.
func printRevision(out printer, r changes.Revision) {
	fmt.Fprintf(out, "Revision %d by %s at %s\n\n", r.Number, formatNames(r.Authors), formatTime(r.Time))
	out.colouredParagraph(bold, "  ", "%s", withPlaceTimes(sanitise(r.Summary)))
	printReason(out, r.Because)
	fmt.Fprintln(out)
	if r.Base != 0 {
		out.paragraph("", "It took the place of revision %d.", r.Base)
	}
	if r.Change != 0 {
		out.paragraph("", "It waited for approvals as change %d.", r.Change)
	}
	printApprovals(out, r.Approvals)
	if r.Emergency {
		out.colouredParagraph(yellow, "", "It was an emergency: in force at once, to be signed by somebody else by %s.", formatTime(r.SignBy))
	}
	if r.Signature != nil {
		printApproval(out, green, "Signed", *r.Signature)
	}
	if r.Plan != "" {
		fmt.Fprintf(out, "Plan %s\n", sanitise(r.Plan))
	}
}

// momentInSummary is a moment in a record's summary, as policy/changes writes it, and what
// stands before it may name the jurisdiction that it is about.
var momentInSummary = regexp.MustCompile(`\b\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?`)

// withPlaceTimes puts behind each moment of a summary what it is where that is about, or
// in UTC if it says its place's already: "FR
// open → withdrawn from 2026-11-30T23:00Z (2026-12-01 00:00 in Europe/Paris)".
func withPlaceTimes(summary string) string {
	parts := strings.Split(summary, "; ")
	for i, part := range parts {
		codes := codeInSummary.FindAllString(part, -1)
		j := slices.IndexFunc(codes, func(code string) bool { return policy.ZoneOf(policy.Code(code)) != "" })
		if j < 0 {
			continue
		}
		parts[i] = momentInSummary.ReplaceAllStringFunc(part, func(text string) string {
			for _, layout := range []string{time.DateOnly, "2006-01-02T15:04Z07:00", time.RFC3339} {
				t, err := time.Parse(layout, text)
				if err != nil {
					continue
				}
				if _, offset := t.Zone(); offset != 0 { // as the policy has it
					return fmt.Sprintf("%s (%s)", text, formatTime(t))
				}
				return strings.TrimSpace(text + " " + formatThere(t, policy.Code(codes[j]), ""))
			}
			return text
		})
	}
	return strings.Join(parts, "; ")
}

// codeInSummary finds what may be a jurisdiction's code.
var codeInSummary = regexp.MustCompile(`\b[A-Z]{2}(-[A-Z0-9]{1,3})?\b`)
