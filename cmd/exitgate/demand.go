package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

func newDemand(now func() time.Time) *cobra.Command {
	var o demandOptions
	cmd := &cobra.Command{
		Use:   "demand [NAME]",
		Short: "Show what laws and orders demand, and record how far one has come",
		Long: `Show the demands of the policy in force, or one of them with its stages. With
--stage, write down that it has come to another: what follows from that is planned
and shown first, as of any change, and may need approvals.

The stages: proposed, passed (by one chamber), adopted, in-force, suspended (stayed
by a court; with --until it binds again from then on), appealed (which changes
nothing by itself), rejected, revived, repealed.

A demand that is adopted with a date, or in force, and that would break a
guarantee can only be written down where the market is withdrawn by then:
withdraw it first.

A new demand is written into the policy, see exitgate apply.`,
		Example: `  exitgate demand
  exitgate demand fr-narcotrafic-8ter
  exitgate demand fr-narcotrafic-8ter --stage adopted --in-force 2026-12-01T00:00:00+01:00 \
      --source https://www.legifrance.example/8ter --evidence journal-officiel.pdf --because "Published today."
  exitgate demand fr-narcotrafic-8ter --stage suspended --until 2027-02-01 --because "Ordered by the Conseil d'État."`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeDemands,
	}
	record := o.withReason(func(cmd *cobra.Command, args []string) error { return o.record(cmd, args[0], now()) })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case o.stage == "" && slices.ContainsFunc([]string{"because", "date", "in-force", "until", "source", "evidence"}, cmd.Flags().Changed):
			return errors.New("what has it come to? as in: exitgate demand NAME --stage adopted --because \"…\"")
		case o.stage == "" && len(args) == 0:
			return show(cmd, o.queryOptions, "/v1/status", printDemands)
		case o.stage == "":
			return o.print(cmd, args[0])
		case len(args) == 0:
			return errors.New("which demand? as in: exitgate demand fr-narcotrafic-8ter --stage adopted --because \"…\"")
		case !slices.Contains(stageNames, o.stage):
			return fmt.Errorf("%.80q is not a stage: the stages are %s", o.stage, strings.Join(stageNames, ", "))
		}
		return record(cmd, args)
	}
	o.register(cmd)
	o.registerChange(cmd)
	f := cmd.Flags()
	f.StringVar(&o.stage, "stage", "", "what it has come to: `one` of the stages")
	f.StringVar(&o.date, "date", "", "on which `day`, as 2026-12-01 (default today there)")
	f.Var(&o.inForce, "in-force", "when it comes into force: a `time` as 2026-12-01T00:00:00+01:00, or a day, which begins at 00:00 where the demand is made, if that is a country")
	f.Var(&o.until, "until", "of suspended: until when, as above")
	f.StringVar(&o.source, "source", "", "the `address` where that can be read")
	f.StringVar(&o.evidence, "evidence", "", "a `file` with the document that shows it: its SHA-256 is written down")
	_ = cmd.RegisterFlagCompletionFunc("stage", cobra.FixedCompletions(stageNames, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return cmd
}

var stageNames = policy.Stage("").SchemaEnum()

type demandOptions struct {
	proposalOptions
	stage, date, source, evidence string
	inForce, until                dayFlag
}

// A dayFlag is a flag with a time, or with a day, which begins where the demand is made.
type dayFlag struct {
	timeFlag
	isDay bool
}

// in returns the time, of a day its beginning in a zone.
func (f dayFlag) in(zone *time.Location) time.Time {
	if !f.isDay {
		return f.Time
	}
	return zonedtime.StartOfDay(f.Year(), f.Month(), f.Day(), zone)
}

// Set implements pflag.Value.
func (f *dayFlag) Set(text string) error {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		f.Time, f.isDay = day, true
		return nil
	}
	f.isDay = false
	return f.timeFlag.Set(text)
}

// record writes down that a demand has come to another stage.
func (o *demandOptions) record(cmd *cobra.Command, name string, now time.Time) error {
	if _, err := time.Parse(time.DateOnly, o.date); o.date != "" && err != nil {
		return fmt.Errorf("--date %.40q is no day: write it as 2026-12-01", o.date)
	}
	zone, code := o.zoneOf(cmd, name)
	if (o.inForce.isDay || o.until.isDay) && code != "" && policy.DayZone(code) == "" {
		return fmt.Errorf("in which time zone %s is isn't known here: write the moment, as in 2027-03-01T00:00:00+12:00[Asia/Kamchatka]", code)
	}
	s := policy.DatedStage{Stage: policy.Stage(o.stage), Date: o.date, InForce: o.inForce.in(zone), Until: o.until.in(zone), Source: o.source}
	if s.Date == "" {
		s.Date = now.In(zone).Format(time.DateOnly)
	}
	if o.evidence != "" {
		sum, err := hashFile(o.evidence)
		if err != nil {
			return exitFailure(err)
		}
		s.Evidence = sum
	}
	return o.propose(cmd, api.Proposal{Stage: &api.Stage{Demand: name, DatedStage: s}}, func(s planView, out printer) {
		s.brief(out)
		printAmendments(out, s.Plan.Plan)
	})
}

// zoneOf returns the time zone of where a demand is made, and where that is; UTC if the
// gateway, or whoever asks it, knows of none.
func (o *demandOptions) zoneOf(cmd *cobra.Command, name string) (*time.Location, policy.Code) {
	c, err := o.open()
	if err != nil {
		return time.UTC, "" // recording says why it can't be asked
	}
	status, _ := decode[api.Status](c.get(cmd.Context(), "/v1/status"))
	for _, d := range status.Demands {
		if d.Name == name {
			return zonedtime.In(time.Now(), policy.ZoneOf(d.Jurisdiction)).Location(), d.Jurisdiction
		}
	}
	return time.UTC, ""
}

// maxDocument is how long a document may be that shows what a law has come to, in bytes.
const maxDocument = 1 << 30

// hashFile returns the SHA-256 of a file as a policy has it.
func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file with a document", name)
	case info.Size() == 0 || info.Size() > maxDocument:
		return "", fmt.Errorf("%s has %d bytes: a document has 1 to %d MB", name, info.Size(), maxDocument>>20)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxDocument)); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}

// print shows one demand.
func (o *demandOptions) print(cmd *cobra.Command, name string) error {
	c, err := o.open()
	if err != nil {
		return err
	}
	status, err := decode[api.Status](c.get(cmd.Context(), "/v1/status"))
	if err != nil {
		return commandError(cmd, o.json, err)
	}
	for _, d := range status.Demands {
		if d.Name != name {
			continue
		}
		if o.json {
			return exitFailure(writeJSON(cmd.OutOrStdout(), d))
		}
		printDemand(newPrinter(cmd.OutOrStdout()), d)
		return nil
	}
	return commandError(cmd, o.json, &changes.Error{Code: changes.NotFound, Message: fmt.Sprintf("there is no demand %.80q in the policy in force", name), Advice: "see exitgate demand"})
}

// printDemands shows all demands.
func printDemands(out printer, s api.Status) {
	if len(s.Demands) == 0 {
		if slices.Contains(s.You.Roles, changes.Counsel) {
			fmt.Fprintln(out, "The policy names no demands.")
		} else {
			fmt.Fprintln(out, "The policy names no demands that may be disclosed.")
		}
		return
	}
	printDemandTable(out, s.Demands)
}

// printDemand shows all that is known of a demand.
func printDemand(out printer, d policy.DemandStatus) {
	fmt.Fprintf(out, "%s, of %s\n", out.inColour(bold, sanitise(d.Name)), d.Jurisdiction)
	facts := [][2]string{{"title", d.Title.String()}, {"authority", d.Authority.String()}, {"kind", string(d.Kind)}, {"source", d.Source}, {"routes", strings.Join(d.Routes, ", ")}}
	if !d.Disclosed() {
		facts = append(facts, [2]string{"disclosed", "no: it may not be named to the public"})
	}
	for _, r := range d.Requires {
		var values []string
		for _, flag := range (policy.Requirements{r}).Flags() {
			values = append(values, fmt.Sprintf("%s: %s", flag, r.Flags[flag]))
		}
		text := strings.Join(values, ", ")
		if !r.From.IsZero() {
			text += " from " + formatTime(r.From)
		}
		if r.Routes != nil {
			text += ", of " + strings.Join(r.Routes, ", ")
		}
		facts = append(facts, [2]string{"requires", text})
	}
	for _, f := range facts {
		if f[1] != "" {
			fmt.Fprintf(out, "  %-10s %s\n", f[0], sanitise(f[1]))
		}
	}
	fmt.Fprintln(out)
	stages := d.Stages
	if stages == nil {
		stages = []policy.DatedStage{{Stage: d.Stage, InForce: d.InForce}}
	}
	for _, s := range stages {
		fmt.Fprintf(out, "  %-10s  %s\n", s.Date, sanitise(formatStage(s, d.Jurisdiction)))
		for _, more := range []string{s.Source, s.Evidence} {
			if more != "" {
				fmt.Fprintf(out, "  %-10s  %s\n", "", sanitise(more))
			}
		}
	}
	fmt.Fprintln(out)
	out.colouredParagraph(demandColour(d), "  ", "%s", sanitise(d.Summary))
	if d.Missing != "" {
		out.colouredParagraph(red, "  ", "MISSING: %s", sanitise(d.Missing))
	}
}

// formatStage says what a demand has come to: "adopted, in force from 2026-12-01".
func formatStage(s policy.DatedStage, code policy.Code) string {
	text := string(s.Stage)
	for _, date := range []struct {
		word string
		at   time.Time
	}{{", in force from ", s.InForce}, {" until ", s.Until}} {
		if !date.at.IsZero() {
			text += strings.TrimSuffix(date.word+formatTime(date.at)+" "+formatThere(date.at, code, ""), " ")
		}
	}
	return text
}

// completeDemands completes the name of a demand by asking the gateway.
func (o *demandOptions) completeDemands(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 {
		status, _ := decode[api.Status](o.getForCompletion(cmd.Context(), "/v1/status"))
		for _, d := range status.Demands {
			words = append(words, fmt.Sprintf("%s\t%s, %s", sanitise(d.Name), d.Jurisdiction, d.Stage))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
