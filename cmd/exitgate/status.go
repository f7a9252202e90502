package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

func newStatus() *cobra.Command {
	var o queryOptions
	var watch, ready bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what is in force, and what needs somebody",
		Long: `Say which revision is in force, since when and by whom; what each market gets,
its next step, and the requests of the last hour on this gateway; what laws and
orders demand, and what keeps the promise or is missing for it; which changes
wait for approvals, which emergencies for a signature; and what isn't well.`,
		Example: `  exitgate status
  exitgate status --watch
  exitgate status --ready && echo "It serves."
  exitgate status --json | jq '.markets[] | {jurisdiction, phase}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			if ready {
				return commandError(cmd, o.json, checkReady(cmd.Context(), c))
			}
			v := statusView{c, cmd, o.json}
			if watch {
				return commandError(cmd, o.json, v.watch(cmd.Context()))
			}
			return commandError(cmd, o.json, v.show(cmd.Context()))
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&watch, "watch", false, "stay, and show it again whenever something happens")
	cmd.Flags().BoolVar(&ready, "ready", false, "say nothing, and end with 0 if the gateway is ready to serve, else with 1")
	cmd.MarkFlagsMutuallyExclusive("watch", "ready")
	return cmd
}

// checkReady returns why a gateway isn't ready to serve.
func checkReady(ctx context.Context, c *client) error {
	s, err := decode[api.Status](c.get(ctx, "/v1/status"))
	if err == nil && !s.Ready {
		err = errors.New("the gateway isn't ready to serve: exitgate status says why")
	}
	return err
}

// A statusView shows the status of a gateway.
type statusView struct {
	client *client
	cmd    *cobra.Command
	json   bool
}

func (v statusView) show(ctx context.Context) error {
	a, err := v.client.get(ctx, "/v1/status")
	if err == nil && v.json {
		return a.writeIndented(v.cmd.OutOrStdout())
	}
	s, err := decode[api.Status](a, err)
	if err != nil {
		return err
	}
	v.clear()
	statusText{s}.write(newPrinter(v.cmd.OutOrStdout()))
	return nil
}

// clear makes room on a terminal, if this is to be shown again and again.
func (v statusView) clear() {
	if watched := v.cmd.Flags().Changed("watch"); watched && newPrinter(v.cmd.OutOrStdout()).hasColour {
		fmt.Fprint(v.cmd.OutOrStdout(), "\x1b[H\x1b[2J")
	}
}

const (
	refreshInterval = 10 * time.Second // how old the counts of requests become
	reconnectDelay  = 2 * time.Second
)

// watch shows the status again and again, until the context ends.
func (v statusView) watch(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	happened := make(chan struct{}, 1)
	following := make(chan struct{})
	go func() {
		defer close(following)
		for ctx.Err() == nil {
			_ = v.client.events(ctx, func(api.Event) bool { // what is wrong, asking for the status says
				select {
				case happened <- struct{}{}:
				default:
				}
				return true
			})
			pause(ctx, reconnectDelay)
		}
	}()
	defer func() { stop(); <-following }()
	for first := true; ; first = false {
		err := v.show(ctx)
		_, answered := errors.AsType[*api.Problem](err)
		switch {
		case ctx.Err() != nil:
			return nil // that is how one stops watching
		case err != nil && (first || answered):
			return err
		case err != nil:
			fmt.Fprintf(v.cmd.ErrOrStderr(), "%v; trying again\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-happened:
		case <-time.After(refreshInterval):
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A statusText is a status for people to read.
type statusText struct{ api.Status }

func (s statusText) write(out printer) {
	out.paragraph("", "exitgate %s on %s, %s UTC", sanitise(s.Version), sanitise(s.Host), formatMinute(s.Time))
	fmt.Fprintln(out)
	s.writeInForce(out)
	if s.Mode == policy.Observe {
		out.colouredParagraph(yellow, "", "It only observes: nobody is refused.")
	}
	if !s.Ready && s.Waiting == "" {
		out.colouredParagraph(red, "", "The gateway isn't ready to serve: see below.")
	}
	s.writeMarkets(out)
	s.writeDemands(out)
	s.writeUnsigned(out)
	if len(s.Pending) > 0 {
		out.heading(yellow, "Changes that wait:")
		printPending(out, s.Pending)
		if slices.ContainsFunc(s.Pending, func(c changes.Change) bool { return c.Status != changes.Stale }) {
			fmt.Fprintln(out, "\n  Look at one, and approve it: exitgate approve NUMBER")
		} else {
			fmt.Fprintln(out, "\n  None can be approved as it is. Look at one: exitgate changes NUMBER")
		}
	}
	s.writeFailedChecks(out)
}

func (s statusText) writeInForce(out printer) {
	switch r := s.InForce; {
	case s.Waiting == api.PolicyUnknown:
		out.colouredParagraph(red, "", "NO POLICY IS KNOWN YET, AND NOTHING IS SERVED: every request is answered with 503. This gateway has never reached its ledger; as soon as it does, it goes by the revision that it finds there.")
		return
	case s.Source == "file":
		out.colouredParagraph(bold, "", "The policy is a file, in use since %s:", formatMinute(s.Applied))
		out.paragraph("  ", "%s (sha256:%.12s)", sanitise(s.File), s.SHA256)
	case r == nil:
		out.paragraph("", "Revision %d is in force, in use here since %s.", s.Revision, formatMinute(s.Applied))
	default:
		out.colouredParagraph(bold, "", "Revision %d is in force, since %s, by %s:", r.Number, formatMinute(r.Time), formatNames(r.Authors))
		out.paragraph("  ", "%s", sanitise(r.Because))
	}
	if s.Waiting == api.FlagsUnknown {
		out.colouredParagraph(red, "", "NOTHING IS SERVED: it isn't known yet what the guaranteed flags are. See below.")
	}
	if !s.Until.IsZero() {
		out.paragraph("", "The next scheduled change is on %s.", formatMinute(s.Until))
	}
}

func (s statusText) writeMarkets(out printer) {
	if len(s.Markets) == 0 {
		if s.Waiting == "" {
			fmt.Fprintln(out, "\nEverything is served everywhere.")
		}
		return
	}
	fmt.Fprintf(out, "\nMarkets, with the requests of the last hour on this gateway:\n\n")
	const name, begin, next = 1, 3, 4
	isEmpty := func(column int) bool {
		return !slices.ContainsFunc(s.Markets, func(m api.Market) bool {
			return column == next && m.Next != nil || column == begin && !m.Since.IsZero()
		})
	}
	head := row{cells: []cell{{text: "market"}, {}, {text: "phase"}, {text: "since"}, {text: "next"}, {text: "served", right: true}, {text: "refused", right: true}}}
	rows := []row{head}
	var changed time.Time
	for _, m := range s.Markets {
		served, refused := formatShortCount(m.Hour.Forwarded), formatShortCount(m.Hour.Refused)
		if at := s.changed(m); !at.IsZero() {
			if m.Phase >= policy.ClosedToNew {
				served = hiddenCount
			} else {
				refused = hiddenCount
			}
			if at.After(changed) {
				changed = at
			}
		}
		r := row{cells: []cell{
			{text: sanitise(string(m.Jurisdiction)), colour: bold},
			{text: marketName(m)},
			{text: m.Phase.String(), colour: phaseColour(m.Phase)},
			{text: formatSince(m.Since)},
			{text: formatNextStep(m.Next)},
			{text: served, right: true},
			{text: refused, right: true},
		}}
		r.below = marketRemarks(m)
		if slices.Contains(s.Unenforced, m.Jurisdiction) {
			r.below = slices.Insert(r.below, 0, "NOT ENFORCED HERE: the databases can't find it, see below")
		}
		rows = append(rows, r)
	}
	for _, column := range []int{begin, next} {
		if isEmpty(column) {
			rows[0].cells[column] = cell{} // then it takes no room
		}
	}
	if tableWidth(columnWidths(rows)) > out.width { // the next step goes below
		for i := range rows {
			r := &rows[i]
			if step := r.cells[next].text; i > 0 && step != "" {
				r.below = slices.Insert(r.below, 0, "→ "+step)
			}
			r.cells = slices.Delete(r.cells, next, next+1)
		}
	}
	if widths := columnWidths(rows); tableWidth(widths)-widths[name] > out.width {
		for i := range rows {
			rows[i].cells[begin].text, _, _ = strings.Cut(rows[i].cells[begin].text, " ") // the date will do
		}
	}
	out.table(rows, name)
	if !changed.IsZero() {
		out.paragraph("", "\nWhere there is a %s, requests from before the change at %s would still be counted: look again an hour after it.", hiddenCount, formatMinute(changed))
	}
}

const (
	hiddenCount = "–"                       // in place of a count that would be misread
	countWindow = time.Hour + 5*time.Minute // for so long a request is, at most, in the counts of the last hour
)

// changed is when the policy or a market's phase has, if requests from before
// that are still counted: those that were served seem to say that it didn't
// work. It is zero if they are not.
func (s statusText) changed(m api.Market) time.Time {
	at := s.Applied
	if s.InForce != nil {
		at = s.InForce.Time
	}
	if m.Since.After(at) {
		at = m.Since
	}
	if s.Mode == policy.Observe || s.Time.Sub(at) > countWindow {
		return time.Time{}
	}
	return at
}

const maxNameWidth = 28 // characters of a line

// marketName is a market's name, if that says more than its code.
func marketName(m api.Market) string {
	if m.Name == string(m.Jurisdiction) {
		return ""
	}
	return shorten(sanitise(m.Name), maxNameWidth)
}

// marketRemarks say of a market what its phase doesn't.
func marketRemarks(m api.Market) []string {
	var all []string
	if len(m.Next) > 0 {
		if there := formatThere(m.Next[0].From, m.Jurisdiction, m.Zone); there != "" {
			all = append(all, m.Next[0].Phase.String()+" "+there)
		}
	}
	if len(m.Next) > 1 {
		all = append(all, "then "+formatSteps(m.Next[1:]))
	}
	if m.UnderWay > 0 {
		all = append(all, formatCount(uint64(m.UnderWay))+" under way")
	}
	if m.Ending > 0 {
		all = append(all, formatCount(uint64(m.Ending))+" of these in a drain, to be cut by its end")
	}
	if len(m.Routes) > 0 {
		all = append(all, "only "+sanitise(strings.Join(m.Routes, ", ")))
	}
	if len(m.Features) > 0 {
		all = append(all, sanitise(formatFeatures(m.Features)))
	}
	switch m.Reason {
	case policy.ByGuarantee:
		all = append(all, "by a flag that is, or was, below its guarantee")
	case policy.ByFlag:
		all = append(all, "by the flag exitgate.phase")
	}
	return all
}

func phaseColour(p policy.Phase) string {
	switch p {
	case policy.Open:
		return green
	case policy.Withdrawn:
		return red
	}
	return yellow
}

// formatSince writes when a phase began, in few letters.
func formatSince(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.UTC().Format(time.DateOnly)
	}
	return formatMinute(t)
}

func formatNextStep(steps []policy.Step) string {
	if len(steps) == 0 {
		return ""
	}
	return steps[0].Phase.String() + " " + formatSince(steps[0].From)
}

// writeDemands says what laws and orders require, and what keeps the promise.
func (s statusText) writeDemands(out printer) {
	if len(s.Demands) == 0 {
		return
	}
	out.heading(bold, "Demanded:")
	printDemandTable(out, s.Demands)
}

func printDemandTable(out printer, demands []policy.DemandStatus) {
	var rows []row
	for _, d := range demands {
		stage, below := formatDemandDates(d)
		r := row{
			cells: []cell{{text: sanitise(string(d.Jurisdiction)), colour: bold}, {text: sanitise(d.Name)}, {text: stage, colour: demandColour(d)}},
			below: below,
		}
		r.below = append(r.below, sanitise(d.Summary))
		if d.Missing != "" {
			r.below = append(r.below, "MISSING: "+sanitise(d.Missing))
		}
		if d.Unenforced != nil {
			r.below = append(r.below, "NOT ENFORCED HERE: the databases can't find "+joinCodes(d.Unenforced)+", see below")
		}
		if !d.Disclosed() {
			r.below = append(r.below, "it may not be named to the public")
		}
		rows = append(rows, r)
	}
	out.table(rows, 1)
}

// formatDemandDates says how far a demand has come, with its first date, and in lines below
// its other dates, and what time that is there. The days left are until the last.
func formatDemandDates(d policy.DemandStatus) (stage string, below []string) {
	stage = string(d.Stage)
	dates := d.Dates()
	for i, said := range dates {
		text := said.What + " " + formatTime(said.Date)
		switch {
		case i < len(dates)-1 || d.DaysLeft == nil:
		case *d.DaysLeft > 0:
			text += ", in " + plural(*d.DaysLeft, "day")
		default:
			text += ", within a day"
		}
		there := formatThere(said.Date, d.Jurisdiction, "")
		switch {
		case i > 0:
			below = append(below, strings.TrimSpace(text+" "+there))
			continue
		case there != "" && len(dates) > 1:
			there = said.What + " " + there
		}
		stage += ", " + text
		if there != "" {
			below = append(below, there)
		}
	}
	return stage, below
}

func demandColour(d policy.DemandStatus) string {
	switch {
	case d.Outcome == policy.DemandUnmet && d.Stage == policy.Adopted, d.Unenforced != nil:
		return red
	case d.Outcome == policy.DemandUnmet:
		return yellow
	case d.Outcome == policy.DemandKept:
		return green
	}
	return ""
}

func (s statusText) writeUnsigned(out printer) {
	if len(s.Unsigned) == 0 {
		return
	}
	out.heading(red, "Emergencies that wait for a signature:")
	var rows []row
	for _, r := range s.Unsigned {
		due := cell{text: "sign by " + formatMinute(r.SignBy), colour: yellow}
		if s.Time.After(r.SignBy) {
			due = cell{text: "OVERDUE since " + formatMinute(r.SignBy), colour: red}
		}
		rows = append(rows, row{
			cells: []cell{numberCell(r.Number), {text: "by " + formatNames(r.Authors)}, due},
			below: []string{sanitise(r.Summary), becausePrefix + sanitise(r.Because)},
		})
	}
	out.table(rows, 1)
	fmt.Fprintln(out, "\n  Look at one, and sign it: exitgate approve NUMBER")
}

// writeFailedChecks says what isn't well.
func (s statusText) writeFailedChecks(out printer) {
	titled := false
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		check := s.Checks[name]
		if check.OK || name == "ledger" && s.Ledger != nil { // of which below
			continue
		}
		if !titled {
			out.heading(red, "Not well:")
			titled = true
		}
		out.colouredParagraph(red, "  ", "%s", sanitise(name))
		text := sanitiseLines(check.Detail)
		if check.Since != nil {
			text = "since " + formatMinute(*check.Since) + ": " + text
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				out.paragraph("    ", "%s", line)
			}
		}
	}
	if l := s.Ledger; l != nil {
		fmt.Fprintln(out)
		if l.LowestFormat > 0 && l.LowestFormat < l.Format {
			out.colouredParagraph(yellow, "", "A gateway is present that reads format %d of the ledger, this one reads %d: what is newer isn't written until all are upgraded.", l.LowestFormat, l.Format)
		}
		if l.Unknown > 0 {
			out.colouredParagraph(yellow, "", "%s skipped, as only a newer exitgate knows them: upgrade this one.", plural(int(l.Unknown), "record"))
		}
		if l.Unrecorded > 0 {
			out.colouredParagraph(yellow, "", "What took place here %s isn't in the ledger yet: see the log of the gateway.", plural(l.Unrecorded, "time"))
		}
		if l.Connected {
			out.paragraph("", "The ledger can be reached, since %s. Its last record is %s.", formatMinute(l.Since), strconv.FormatUint(l.Last, 10))
		} else {
			stays := "What is in force stays; nothing can be changed."
			if s.Waiting == api.PolicyUnknown {
				stays = "Until it can, nothing is served, and nothing can be changed."
			}
			out.colouredParagraph(red, "", "The ledger can't be reached, since %s: %s. %s", formatMinute(l.Since), strings.TrimSuffix(sanitise(l.Why), "."), stays)
		}
	}
}
