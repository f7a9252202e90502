package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

func newPlan(now func() time.Time) *cobra.Command {
	o := planOptions{now: now}
	cmd := &cobra.Command{
		Use:   "plan FILE | --set JURISDICTION=PHASE | --rollback REVISION",
		Short: "Say what would change if a policy took the place of the one in force",
		Long: `Compare a policy with the one in force, and say what would change: who gets
which phase when, at once and at each later date, what the documents say
differently, how many requests of the last hour and day would have been decided
otherwise, and whose approval it needs. Markets that would be opened come first,
also where that is only for the time until a later step.

The gateway is asked. Where none is running, or with --at, the policy that it
has kept in its data folder is compared with, by the flags that it has kept
there; then nobody has counted requests. With --against it is the policy in
another file, and only if --data names the folder these flags.

Exit codes: 0 done, 1 failed, 2 usage, 3 the policy is wrong, or the gateway would
refuse it, as its databases can't find a place that a demand would bind.`,
		Example: `  exitgate plan policy.yaml
  exitgate plan --set FR=withdrawn
  exitgate plan --rollback 41
  exitgate plan policy.yaml --against policy.yaml.orig
  exitgate plan policy.yaml --at 2026-12-01T00:00:00Z
  exitgate plan policy.yaml --json | jq .plan.effects`,
		Args:              o.parse,
		ValidArgsFunction: completeFiles("yaml", "yml"),
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.set, "set", "", "`JURISDICTION=PHASE`, in place of a file: what exitgate set would do")
	o.reach.register(cmd)
	f.Var(&o.from, "from", "the `time` from which the phase of --set holds (default at once)")
	f.Uint64Var(&o.rollback, "rollback", 0, "`number` of a revision, in place of a file: what exitgate rollback would do")
	f.StringVar(&o.against, "against", "", "`file` with the policy to compare with (default: the one in force)")
	f.Var(&o.at, "at", "the `time` of the change, as 2026-12-01T00:00:00Z (default now)")
	registerBackdated(cmd, &o.proposal.Backdated)
	cmd.MarkFlagsMutuallyExclusive("set", "rollback")
	for _, flag := range []string{"against", "at"} {
		cmd.MarkFlagsMutuallyExclusive("set", flag)
		cmd.MarkFlagsMutuallyExclusive("rollback", flag)
		cmd.MarkFlagsMutuallyExclusive("api", flag)
	}
	_ = cmd.MarkFlagFilename("against") // the flags exist
	_ = cmd.RegisterFlagCompletionFunc("rollback", o.completeRevisions)
	_ = cmd.RegisterFlagCompletionFunc("set", completeSetting)
	return cmd
}

type planOptions struct {
	queryOptions
	now      func() time.Time
	against  string
	set      string
	from, at timeFlag

	reach    reachFlags
	rollback uint64

	file     string
	proposal api.Proposal
}

// parse reads what is to be planned.
func (o *planOptions) parse(_ *cobra.Command, args []string) error {
	var ways int
	for _, way := range []bool{len(args) > 0, o.set != "", o.rollback != 0} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1 || len(args) > 1:
		return errors.New("plan what? one file, or --set, or --rollback, as in: exitgate plan policy.yaml")
	case o.set == "" && (o.reach.territories.Said() || o.reach.unknownPart.UnknownPart != ""):
		return errors.New("--territories and --unknown-part say whom the phase of --set reaches: give --set too")
	case o.set == "" && o.reach.drain.text != "":
		return errors.New("--drain is of the market of --set: give --set too")
	case o.set == "" && !o.from.IsZero():
		return errors.New("--from says when the phase of --set begins: give --set too")
	case o.rollback != 0:
		o.proposal.Rollback = o.rollback
	case o.set != "":
		code, text, ok := strings.Cut(o.set, "=")
		if !ok {
			return errors.New("--set is a jurisdiction and a phase, as in --set FR=withdrawn")
		}
		o.proposal.Set = &api.Set{Jurisdiction: policy.Code(code), From: o.from.Time, Territories: o.reach.territories.Territories, UnknownPart: o.reach.unknownPart.UnknownPart, Drain: o.reach.drain.text}
		return parsePhase(text, &o.proposal.Set.Phase)
	default:
		o.file = args[0]
	}
	return nil
}

// name says what is planned.
func (o *planOptions) name() string {
	switch {
	case o.set != "":
		return o.set
	case o.rollback != 0:
		return fmt.Sprintf("revision %d", o.rollback)
	}
	return o.file
}

func (o *planOptions) run(cmd *cobra.Command) error {
	var after *policy.Policy
	if o.file != "" {
		var source []byte
		var err error
		if source, after, err = readPolicy(cmd.OutOrStdout(), o.json, o.at.or(o.now), o.file, document.Parse); err != nil {
			return o.withChoices(cmd, source, after, err)
		}
		o.proposal.Policy = string(source)
	}
	if o.against != "" || !o.at.IsZero() {
		return o.compare(cmd, after)
	}
	c, err := o.open()
	if err != nil {
		return err
	}
	err = o.ask(cmd, c, after)
	if after != nil && isNotRunning(err) {
		fmt.Fprint(cmd.ErrOrStderr(), "No gateway is running here: this compares with the policy that it has kept.\n\n")
		return o.compare(cmd, after)
	}
	return commandError(cmd, o.json, err)
}

// ask has the gateway plan.
func (o *planOptions) ask(cmd *cobra.Command, c *client, after *policy.Policy) error {
	ctx := cmd.Context()
	a, err := planAsking(cmd, c, &o.proposal)
	plan, decodeErr := decode[api.Plan](a, err)
	if err == nil && o.json {
		return errors.Join(a.writeIndented(cmd.OutOrStdout()), objection(plan, true))
	}
	if err = decodeErr; err != nil {
		return err
	}
	if after != nil {
		plan.Plan.Warnings = document.Warnings(o.file, after, o.at.or(o.now)) // which know the file
	}
	var before string
	if plan.Plan.Before != plan.Plan.After {
		was, err := decode[api.Policy](c.get(ctx, "/v1/policy"))
		if err != nil {
			return err
		}
		before = was.Policy
	}
	for _, w := range plan.Plan.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n\n", formatDocumentProblem(w))
	}
	writeUnfindable(cmd.ErrOrStderr(), plan.Unfindable)
	planView{Plan: plan, name: o.name(), before: before}.full(newPrinter(cmd.OutOrStdout()))
	return objection(plan, false)
}

// objection returns an error if the gateway would refuse what is planned.
func objection(plan api.Plan, shown bool) error {
	switch {
	case plan.Objection == "":
		return nil
	case shown:
		return &exitError{code: exitRefused}
	}
	return &exitError{exitRefused, fmt.Errorf("it would be refused: %s", sanitise(plan.Objection))}
}

// compare plans without a gateway.
func (o *planOptions) compare(cmd *cobra.Command, after *policy.Policy) error {
	before, flags, err := o.inUse()
	if err != nil {
		return exitFailure(err)
	}
	change := plan.New(before, after, flags, o.at.or(o.now))
	change.Warnings = document.Warnings(o.file, after, o.at.or(o.now))
	if o.json {
		return exitFailure(writeJSON(cmd.OutOrStdout(), offlinePlan{o.proposal.Policy, change}))
	}
	for _, w := range change.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\n\n", w)
	}
	out := newPrinter(cmd.OutOrStdout())
	fmt.Fprintf(out, "%s (sha256:%s) in place of sha256:%s on %s\n", o.file, change.After[:12], change.Before[:12], formatTime(change.At))
	if change.Before == change.After {
		fmt.Fprintln(out, "\nThey are the same: nothing would change.")
		return nil
	}
	movesTable{change.Moves, nil}.write(out)
	printAmendments(out, change)
	fmt.Fprintf(out, "\nPlan %s\n", change.Hash)
	return nil
}

// An offlinePlan has as much of an api.Plan as can be told without a gateway.
type offlinePlan struct {
	Policy string    `json:"policy"`
	Plan   plan.Plan `json:"plan"`
}

// readPolicy reads a policy by document.Parse or document.Read, and says what is
// wrong with it as check does. With the error of what could stand and not be newly
// proposed it returns what it has read.
func readPolicy(out io.Writer, asJSON bool, at time.Time, file string, parse func(string, []byte) (*policy.Policy, error)) ([]byte, *policy.Policy, error) {
	source, err := readFile(file)
	if err != nil {
		return nil, nil, exitFailure(err)
	}
	p, err := parse(file, source)
	if err == nil {
		return source, p, nil
	}
	stood, _ := document.Read(file, source)
	result := checkResult{File: file, SHA256: policy.Digest(source), At: at}
	if !asJSON || !errors.As(err, &result.Errors) {
		return source, stood, &exitError{exitRefused, err}
	}
	if err := writeJSON(out, result); err != nil {
		return nil, nil, exitFailure(err)
	}
	return source, stood, &exitError{code: exitRefused}
}

// withChoices adds to the error of a policy what the gateway, if one is running, has
// to say of the choices in it: whom each would hit.
func (o *queryOptions) withChoices(cmd *cobra.Command, source []byte, stood *policy.Policy, err error) error {
	if stood == nil || o.json {
		return err
	}
	c, unusable := o.open()
	if unusable != nil {
		return err
	}
	_, refused := c.post(cmd.Context(), "/v1/plan", api.Proposal{Policy: string(source)})
	if problem, ok := errors.AsType[*api.Problem](refused); ok && len(problem.Errors) > 0 && problem.Advice != "" {
		return &exitError{exitRefused, fmt.Errorf("%w\n\n%s", err, sanitiseLines(problem.Advice))}
	}
	return err
}

// inUse returns the policy to compare with, and the flags as they are known.
func (o *planOptions) inUse() (*policy.Policy, policy.Flags, error) {
	folder, file := o.data, o.against
	if file == "" {
		var err error
		if folder, err = dataFolder(o.data); err != nil {
			return nil, nil, err
		}
		file = filepath.Join(folder, "last-good-policy.yaml")
	}
	source, err := readFile(file)
	if errors.Is(err, fs.ErrNotExist) && o.against == "" {
		return nil, nil, fmt.Errorf("no gateway has kept a policy in %s: name the folder of one with --data, or a policy to compare with by --against", folder)
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := document.Read(file, source)
	if err != nil {
		return nil, nil, fmt.Errorf("the policy to compare with is wrong:\n%w", err)
	}
	flags, err := savedFlags(folder)
	if err == nil && flags == nil {
		flags = p.OwnFlags()
	}
	return p, flags, err
}

// dataFolder returns the folder that the gateway keeps things in.
func dataFolder(named string) (string, error) {
	return statedir.Find(cmp.Or(named, os.Getenv("EXITGATE_DATA")))
}

// savedFlags returns the flags that a gateway has saved in a folder, nil if it
// has saved none.
func savedFlags(folder string) (policy.Flags, error) {
	if folder == "" {
		return nil, nil
	}
	dir := statedir.Dir(folder)
	text, err := dir.ReadFlags()
	if text == nil || err != nil {
		return nil, err
	}
	var flags policy.Flags
	if err := json.Unmarshal(text, &flags); err != nil {
		return nil, fmt.Errorf("the flags in %s can't be read: %w", dir.Flags(), err)
	}
	return flags, nil
}

// A planView is a plan that the gateway has made, for people to read.
type planView struct {
	api.Plan
	name      string // of what would come into force
	before    string // the policy in force, if its text is to be compared
	emergency bool   // it is to be done at once
	waits     bool   // for approvals, as is said elsewhere
}

// currentRevision names what a plan starts from.
func currentRevision(plan api.Plan) string {
	if plan.Revision == 0 {
		return "the policy file in use"
	}
	return fmt.Sprintf("revision %d", plan.Revision)
}

// full shows all of the plan.
func (s planView) full(out printer) {
	p := s.Plan.Plan
	fmt.Fprintf(out, "%s (sha256:%.12s) in place of %s (sha256:%.12s) on %s\n", s.name, p.After, currentRevision(s.Plan), p.Before, formatTime(p.At))
	if p.Before == p.After {
		fmt.Fprintln(out, "\nThey are the same: nothing would change.")
		return
	}
	movesTable{p.Moves, s.Hit}.write(out)
	if p.Moves != nil {
		printHit(out, s.Hit, p.At)
	}
	printCaches(out, s.Caches)
	printAmendments(out, p)
	printDiff(out, s.before, s.Policy)
	s.printUnsaid(out)
	if !s.waits {
		s.printNeeds(out)
	}
	fmt.Fprintf(out, "\nPlan %s\n", p.Hash)
}

// brief shows who would get what, and how many would notice.
func (s planView) brief(out printer) {
	p := s.Plan.Plan
	fmt.Fprintf(out, "In place of %s:\n", currentRevision(s.Plan))
	movesTable{p.Moves, s.Hit}.write(out)
	if p.Moves == nil {
		fmt.Fprintln(out, "\nNobody would get anything else.")
	} else {
		printHit(out, s.Hit, p.At)
	}
	printCaches(out, s.Caches)
	for _, a := range p.Amendments {
		var steps []string
		for _, step := range a.Dropped {
			steps = append(steps, fmt.Sprintf("%s from %s", step.Phase, formatTime(step.From)))
		}
		if steps != nil {
			out.colouredParagraph(yellow, "", "\nNo longer scheduled: %s %s", sanitise(a.Name), strings.Join(steps, ", "))
		}
	}
	for _, x := range p.Expansions {
		out.paragraph("", "\n%s speaks also of %s", x.Jurisdiction, joinCodes(x.Reaches))
	}
	for _, w := range p.Warnings {
		out.colouredParagraph(yellow, "", "\nwarning: %s", sanitise(w.Message))
	}
	s.printUnsaid(out)
	for _, f := range s.Unfindable {
		out.colouredParagraph(yellow, "", "\nwarning: %s", sanitise(f.String()))
	}
	s.printNeeds(out)
}

// printUnsaid says what would be cut, what isn't said of whom it reaches, and what is
// said of the past.
func (s planView) printUnsaid(out printer) {
	if s.Cut > 0 {
		when := "at once"
		if s.CutWithin != "" {
			when = "within " + sanitise(s.CutWithin)
		}
		out.colouredParagraph(red, "", "\nWould be cut %s: %s under way on this gateway.", when, plural(s.Cut, "exchange"))
	}
	for _, later := range s.CutLater {
		out.colouredParagraph(red, "", "\nWould be cut by %s, if still under way: %s of now, on this gateway.", formatTime(later.By), plural(later.Exchanges, "exchange"))
	}
	if s.Backdated != nil {
		out.colouredParagraph(yellow, "", "\nBackdated: %s; it is so since this comes into force, and so it is published.", sanitise(strings.Join(s.Backdated, ", ")))
	}
	for _, text := range s.Unsaid {
		out.colouredParagraph(yellow, "", "\n%s.", capitalise(text))
	}
}

// earliestMove returns when the first of some moves is, zero for at once.
func earliestMove(moves []plan.Move) time.Time {
	if len(moves) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(moves, func(a, b plan.Move) int { return a.From.Compare(b.From) }).From
}

// printNeeds says what moves don't tell, and who must agree.
func (s planView) printNeeds(out printer) {
	fmt.Fprintln(out)
	for _, grave := range []struct {
		effect plan.Effect
		words  string
	}{
		{plan.WeakensApprovals, "It weakens the rules of approval: some changes would need fewer others than before."},
		{plan.WeakensGuarantee, "It weakens a guarantee."},
		{plan.WeakensDemand, "It weakens a demand: says that a law binds less."},
		{plan.AcknowledgesBreach, "It acknowledges the breach of a guarantee."},
	} {
		if s.Plan.Plan.HasEffect(grave.effect) {
			out.colouredParagraph(yellow, "", "%s", grave.words)
		}
	}
	approvals, hours := plural(s.Needs, "approval"), int(changes.SignWithin.Hours())
	switch {
	case s.Needs == 0:
		out.paragraph("", "It needs no approval.")
	case s.emergency && s.Emergency:
		out.colouredParagraph(yellow, "", "It needs %s by others. As an emergency it is done at once, and somebody else signs it within %d hours.", approvals, hours)
	case s.Emergency:
		out.paragraph("", "It needs %s by others. With --emergency it would be done at once, and somebody else would sign it within %d hours.", approvals, hours)
	default:
		out.paragraph("", "It needs %s by others.", approvals)
	}
}

// printHit shows how many requests would have been decided otherwise.
func printHit(out printer, hit *api.Impact, now time.Time) {
	if hit == nil {
		return
	}
	fmt.Fprintln(out)
	where := "on this gateway"
	if hit.Gateways != 1 {
		where = fmt.Sprintf("on %d gateways", hit.Gateways)
	}
	if hit.Hour.Requests == 0 && hit.Day.Requests == 0 {
		out.paragraph("", "No request was counted %s since %s: whom it would hit isn't known.", where, formatMinute(hit.Since))
		return
	}
	if day := 24 * time.Hour; now.Sub(hit.Since) < day {
		where += ", counted since " + formatMinute(hit.Since)
	}
	out.paragraph("", "Of the requests of the last hour and day %s:", where)
	fmt.Fprintln(out)
	cells := func(name string, of plan.Impact) row {
		r := row{cells: []cell{{text: name}, countCell(of.Requests, ""), countCell(of.Refused, red), countCell(of.Served, green)}}
		if hit.Hour.Perhaps+hit.Day.Perhaps > 0 {
			r.cells = append(r.cells, countCell(of.Perhaps, yellow))
		}
		return r
	}
	head := row{cells: []cell{{}, {text: "counted", right: true}, {text: "would be refused", right: true}, {text: "would be served", right: true}}}
	if hit.Hour.Perhaps+hit.Day.Perhaps > 0 {
		head.cells = append(head.cells, cell{text: "perhaps either", right: true})
	}
	out.table([]row{head, cells("hour", hit.Hour), cells("day", hit.Day)}, 0)
}

// printCaches says until when caches may serve what would be refused.
func printCaches(out printer, c *api.Caches) {
	if c == nil {
		return
	}
	var ends []string
	if !c.Shared.IsZero() {
		ends = append(ends, "shared ones until "+formatTime(c.Shared))
	}
	if !c.Private.IsZero() {
		ends = append(ends, "clients' own until "+formatTime(c.Private))
	}
	since := fmt.Sprintf("by the answers of this gateway since %s", formatMinute(c.Since))
	switch {
	case ends != nil:
		out.colouredParagraph(yellow, "", "\nCaches may go on to serve what they have, %s: %s.", since, strings.Join(ends, ", "))
		if c.Unstated {
			out.colouredParagraph(yellow, "", "Some of it didn't say for how long: shared caches may serve that for longer.")
		}
	default:
		out.colouredParagraph(yellow, "", "\nShared caches may go on to serve what they have, for as long as they see fit: %s, some didn't say for how long.", since)
	}
	switch shared := !c.Shared.IsZero() || c.Unstated; {
	case shared && c.Purged:
		out.paragraph("", "The gateway has shared ones purged when it is refused.")
	case shared:
		out.colouredParagraph(yellow, "", "Nothing purges them: see caches.purge in the settings.")
	}
}

// countCell is a cell with how many; none are nothing to look at.
func countCell(n uint64, colour string) cell {
	if n == 0 {
		colour = ""
	}
	return cell{text: formatCount(n), colour: colour, right: true}
}

// printAmendments shows what documents say differently.
func printAmendments(out printer, p plan.Plan) {
	if p.Empty() {
		fmt.Fprintln(out, "\nNothing would change but the text.")
	}
	if len(p.Exceptions) > 0 {
		out.paragraph("", "\nNot along with what they lie in, but as above or not at all: %s", joinCodes(p.Exceptions))
	}
	if len(p.UnknownParts) > 0 {
		out.paragraph("", "\nWhose part of it isn't known, not along with it, but as above or not at all: %s", joinCodes(p.UnknownParts))
	}
	if len(p.Amendments) > 0 {
		fmt.Fprintf(out, "\nThe documents differ in:\n")
	}
	for _, a := range p.Amendments {
		fmt.Fprintf(out, "\n  %s%s\n", strings.TrimSpace(a.Section+" "+sanitise(a.Name)), formatEffect(a.Effect))
		before, after := a.InWords()
		if before != "" {
			fmt.Fprintln(out, out.inColour(red, "  - "+sanitise(before)))
		}
		if after != "" {
			fmt.Fprintln(out, out.inColour(green, "  + "+sanitise(after)))
		}
	}
	for _, x := range p.Expansions {
		out.paragraph("", "\n%s speaks also of %s", x.Jurisdiction, joinCodes(x.Reaches))
	}
}

// printDiff shows which lines of the text are others.
func printDiff(out printer, before, after string) {
	lines := strings.Split(string(diff.Diff("before", []byte(before), "after", []byte(after))), "\n")
	if before == "" || before == api.NotDisclosed || len(lines) < 4 {
		return
	}
	fmt.Fprintf(out, "\nLine by line:\n\n")
	for _, line := range lines[3 : len(lines)-1] { // the rest names files
		colour := ""
		switch {
		case strings.HasPrefix(line, "+"):
			colour = green
		case strings.HasPrefix(line, "-"):
			colour = red
		case strings.HasPrefix(line, "@"):
			colour = bold
		}
		fmt.Fprintln(out, strings.TrimRight("  "+out.inColour(colour, sanitiseLines(line)), " "))
	}
}

// formatEffect says of an amendment what its effect is, where that isn't told by
// moves.
func formatEffect(effect plan.Effect) string {
	switch effect {
	case plan.WeakensApprovals:
		return ": weakens the rules of approval"
	case plan.OpensMarket:
		return ": can open a market"
	case plan.WithdrawsMarket:
		return ": can restrict a market"
	case plan.WeakensGuarantee:
		return ": weakens the guarantee"
	case plan.WeakensDemand:
		return ": weakens the demand"
	case plan.AcknowledgesBreach:
		return ": acknowledges breaches"
	}
	return ""
}

// movesTable are the moves of a plan, and how many requests each would hit if
// that was counted.
type movesTable struct {
	moves []plan.Move
	hit   *api.Impact
}

// write shows first what would be opened.
func (s movesTable) write(out printer) {
	s.writePart(out, plan.OpensMarket, "Would be opened:", green)
	s.writePart(out, plan.WithdrawsMarket, "Would be restricted:", red)
}

const minCodesWidth = 16 // characters in a line of jurisdictions

func (s movesTable) writePart(out printer, effect plan.Effect, title, colour string) {
	var rows []row
	for i, m := range s.moves {
		if m.Effect == effect {
			r := row{cells: []cell{{text: formatPeriod(m), colour: colour}, {text: formatMove(m), colour: colour}, {text: s.formatHits(i)}, {text: formatWho(m), colour: colour}}}
			if there := formatThere(m.From, m.Jurisdictions[0], m.Zone); there != "" {
				r.below = []string{there}
			}
			rows = append(rows, r)
		}
	}
	if rows == nil {
		return
	}
	fmt.Fprintf(out, "\n%s\n\n", title)
	const last = 3
	widths := columnWidths(rows)
	fits := out.width - tableWidth(widths[:last]) - columnGap
	var broken []row
	for _, r := range rows {
		codes := r.cells[last].text
		if tableWidth(widths[:last]) > out.width { // what becomes of them isn't shortened
			moved := strings.TrimSpace(r.cells[1].text + "  " + r.cells[2].text)
			broken = append(broken, row{cells: []cell{{text: moved, colour: colour}}, below: append([]string{r.cells[0].text, codes}, r.below...)})
			continue
		}
		if fits < minCodesWidth {
			broken = append(broken, row{cells: r.cells[:last], below: append([]string{codes}, r.below...)})
			continue
		}
		for _, line := range wrap(codes, fits) {
			r.cells[last].text = line
			broken = append(broken, row{cells: r.cells})
			r.cells = []cell{{}, {}, {}, {colour: colour}}
		}
		broken[len(broken)-1].below = r.below
	}
	out.table(broken, 0)
}

// formatWho says whom a move concerns.
func formatWho(m plan.Move) string {
	if m.UnknownPart {
		return "whose part of " + joinCodes(m.Jurisdictions) + " isn't known"
	}
	return joinCodes(m.Jurisdictions)
}

func formatPeriod(m plan.Move) string {
	text := "at once"
	if !m.From.IsZero() {
		text = "from " + formatTime(m.From)
	}
	if !m.Until.IsZero() {
		text += " until " + formatTime(m.Until)
	}
	return text
}

func formatMove(m plan.Move) string {
	text := fmt.Sprintf("%s → %s", m.Before, m.After)
	if m.Routes != nil {
		text += " (" + sanitise(strings.Join(m.Routes, ", ")) + " only)"
	}
	return text
}

// formatHits says how many requests of the last hour a move would decide otherwise.
func (s movesTable) formatHits(move int) string {
	if s.hit == nil || move >= len(s.hit.Hour.Moves) {
		return ""
	}
	return formatCount(s.hit.Hour.Moves[move]) + "/h"
}

// completeSetting completes JURISDICTION=PHASE.
func completeSetting(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	code, _, chosen := strings.Cut(text, "=")
	var words []string
	if chosen {
		for _, phase := range completePhases() {
			words = append(words, code+"="+phase)
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	codes, _ := completeJurisdictions(cmd, nil, text)
	for _, c := range codes {
		words = append(words, strings.Replace(c, "\t", "=\t", 1))
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
