package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

func newLog() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "log [NUMBER]",
		Short: "Show who changed what, when and why, and verify it",
		Long: `Show the records of the ledger, the newest first; or one revision with its policy.
Only what says "in force" came into force; what somebody proposes, approves or
rejects is a record of its own. Times are UTC.

With --verify, read the whole ledger from its first record, and say whether
anything in it was changed, removed or forged.

Exit codes: 0 done, 1 failed, or the ledger is wrong, 2 usage.`,
		Example: `  exitgate log
  exitgate log --limit 100 -v
  exitgate log 42
  exitgate log 42 --policy > policy.yaml
  exitgate log --verify`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeRevisions,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	o.register(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.verify, "verify", false, "verify all of the ledger")
	f.IntVar(&o.limit, "limit", 20, "how many `records`")
	f.Uint64Var(&o.before, "before", 0, "only those before a `number`")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "each reason in full, and the hashes")
	f.BoolVar(&o.policy, "policy", false, "of a revision, print the policy alone")
	cmd.MarkFlagsMutuallyExclusive("verify", "policy")
	cmd.MarkFlagsMutuallyExclusive("json", "policy")
	return cmd
}

type logOptions struct {
	asking
	verify, verbose, policy bool
	limit                   int
	before                  uint64
}

func (o *logOptions) run(cmd *cobra.Command, args []string) error {
	switch {
	case o.verify && len(args) > 0:
		return errors.New("--verify verifies all of the ledger: exitgate log --verify")
	case o.policy && len(args) == 0:
		return errors.New("the policy of which revision? as in: exitgate log 42 --policy")
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
		err = o.one(cmd, c, number)
	}
	return ended(cmd, o.json, err)
}

func (o *logOptions) runVerify(cmd *cobra.Command, c *client) error {
	c.limit = verifyLimit
	a, err := c.get(cmd.Context(), "/v1/log/verification")
	v, err := decode[api.Verification](a, err)
	if err != nil {
		return err
	}
	out := newPage(cmd.OutOrStdout())
	switch {
	case o.json:
		err = a.print(cmd.OutOrStdout())
	case v.OK:
		out.sayIn(green, "", "The ledger is right: %s, each as it was written and in its place.", several(v.Records, "record"))
		fmt.Fprintf(out, "The last is %d, with the hash %s\n", v.Last, clean(v.Hash))
	default:
		for _, w := range v.Wrong {
			out.sayIn(red, "", "record %d: %s", w.Number, clean(w.Reason))
		}
		out.say("", "\nThe ledger is wrong: %s of %d. Somebody or something has changed it. No gateway applies a record that is wrong; keep a copy of the ledger, and find out who can write to it.",
			several(len(v.Wrong), "record"), v.Records+len(v.Wrong))
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
	out := newPage(cmd.OutOrStdout())
	if len(all.Records) == 0 {
		fmt.Fprintln(out, "There are no records.")
		return nil
	}
	if o.verbose {
		showRecordsInFull(out, all.Records)
	} else {
		showRecords(out, all.Records)
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

const authorFits = 16 // characters of a line

// showRecords shows each record in a line; what doesn't fit there goes below it.
func showRecords(out page, records []api.Record) {
	const last = 3
	rows := []row{{cells: []cell{{}, {text: "UTC"}, {text: "by"}, {}}}}
	for _, r := range records {
		rows = append(rows, row{cells: []cell{numbered(r.Number), {text: minute(r.Time)}, {text: shorten(clean(r.Author), authorFits)}, {}}})
	}
	widths := widthsOf(rows)
	fits, below := out.width-total(widths)-gap, out.width-len(indentation)-widths[0]-gap
	for i, r := range records {
		line := &rows[i+1] // behind the head
		text, colour := does(r)
		if by := broughtBy(r); by != "" {
			line.below = append(line.below, by)
		}
		switch because := clean(r.Because); {
		case because == "":
		case line.below == nil && utf8.RuneCountInString(text+between+because) <= fits:
			text += between + because
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

const between = " · " // what was done and why

// does says what a record does, so that what only was proposed isn't taken for
// what came into force.
func does(r api.Record) (text, colour string) {
	text = clean(r.Summary)
	switch {
	case r.Refused != "":
		return "REFUSED, " + clean(r.Refused) + ": " + text, red
	case r.Emergency:
		return "EMERGENCY, in force: " + text, yellow
	case r.Kind == changes.RevisionMade:
		return "in force: " + text, ""
	}
	return text, ""
}

// broughtBy says who brought a change into force that waited for others.
func broughtBy(r api.Record) string {
	if r.Kind != changes.RevisionMade || r.Change == 0 {
		return ""
	}
	text := fmt.Sprintf("change %d, proposed by %s", r.Change, people(r.Authors))
	if len(r.Approvers) > 0 {
		text += ", approved by " + people(r.Approvers)
	}
	return text
}

// showRecordsInFull shows all that is known of each record.
func showRecordsInFull(out page, records []api.Record) {
	for i, r := range records {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s  %s by %s at %s\n", out.paint(bold, fmt.Sprint(r.Number)), clean(string(r.Kind)), clean(r.Author), day(r.Time))
		text, colour := does(r)
		out.sayIn(colour, "  ", "%s", text)
		if by := broughtBy(r); by != "" {
			out.say("  ", "%s", by)
		}
		sayReason(out, r.Because)
		fmt.Fprintf(out, "  %s\n", clean(r.Hash))
	}
}

// one shows a revision with its policy; of another record, what the log says.
func (o *logOptions) one(cmd *cobra.Command, c *client, number uint64) error {
	a, err := c.get(cmd.Context(), fmt.Sprintf("/v1/revisions/%d", number))
	var p *api.Problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound && !o.policy {
		some, failed := c.log(cmd.Context(), number+1, 1)
		if failed != nil || len(some.Records) == 0 || some.Records[0].Number != number {
			return err
		}
		if o.json {
			return writeJSON(cmd.OutOrStdout(), some.Records[0])
		}
		showRecordsInFull(newPage(cmd.OutOrStdout()), some.Records)
		return nil
	}
	if err == nil && o.json {
		return a.print(cmd.OutOrStdout())
	}
	made, err := decode[api.Policy](a, err)
	if err != nil {
		return err
	}
	if o.policy {
		_, err := io.WriteString(cmd.OutOrStdout(), made.Policy)
		return err
	}
	out := newPage(cmd.OutOrStdout())
	if made.Revision != nil {
		showRevision(out, *made.Revision)
	}
	fmt.Fprintf(out, "\nIts policy (sha256:%.12s):\n\n", made.SHA256)
	for line := range strings.Lines(made.Policy) {
		fmt.Fprintln(out, strings.TrimRight("  "+cleanLines(strings.TrimSuffix(line, "\n")), " "))
	}
	return nil
}

// showRevision shows who made a revision, and how.
func showRevision(out page, r changes.Revision) {
	fmt.Fprintf(out, "Revision %d by %s at %s\n\n", r.Number, people(r.Authors), day(r.Time))
	out.sayIn(bold, "  ", "%s", clean(r.Summary))
	sayReason(out, r.Because)
	fmt.Fprintln(out)
	if r.Base != 0 {
		out.say("", "It took the place of revision %d.", r.Base)
	}
	if r.Change != 0 {
		out.say("", "It waited for approvals as change %d.", r.Change)
	}
	sayApprovals(out, r.Approvals)
	if r.Emergency {
		out.sayIn(yellow, "", "It was an emergency: in force at once, to be signed by somebody else by %s.", day(r.SignBy))
	}
	if r.Signature != nil {
		out.sayIn(green, "", "Signed by %s at %s.", clean(r.Signature.By), day(r.Signature.At))
	}
	if r.Plan != "" {
		fmt.Fprintf(out, "Plan %s\n", clean(r.Plan))
	}
}
