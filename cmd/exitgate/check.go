package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// A checkResult is what check prints.
type checkResult struct {
	File          string                   `json:"file"`
	OK            bool                     `json:"ok"`
	SHA256        string                   `json:"sha256"`
	Mode          policy.Mode              `json:"mode,omitempty"`
	Errors        strictyaml.Errors        `json:"errors,omitempty"`
	Warnings      []*strictyaml.Diagnostic `json:"warnings,omitempty"`
	At            time.Time                `json:"at"`
	Until         time.Time                `json:"until,omitzero"`
	Flags         []policy.Flag            `json:"flags,omitempty"`
	Demands       []policy.DemandStatus    `json:"demands,omitempty"`
	Jurisdictions []policy.Market          `json:"jurisdictions,omitempty"`
	// Unfindable are the jurisdictions that it restricts, and in which the
	// databases of --geo find no clients, or not all.
	Unfindable []policy.PoorlyFound `json:"unfindable,omitempty"`
	// Unkept are those that demands bind, and in which the service would be served
	// as no client can be found there: a gateway refuses to have it so.
	Unkept []policy.Code `json:"unkept,omitempty"`
}

func newCheck(now func() time.Time) *cobra.Command {
	var asJSON bool
	var at timeFlag
	var databases []string
	var settings string
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what a policy does, or what is wrong with it or with settings",
		Long: `Read a policy, say everything that is wrong with it, and otherwise what it does:
what is guaranteed, which demands would break that and how it is kept, who is in
which phase, until when, and whom groups and territories reach.

A policy by which the service would be served against a guarantee is wrong.

With --geo, say too where the policy can't be enforced, as these databases can't
find who is there.

With --config, say what is wrong with a gateway's settings, and with the files that
they name, as certificates, secrets and databases, on the machine where it runs; and
which hosts no certificate is for. It connects to nothing, and listens nowhere: whether
a port is free is seen at the start.

Exit codes: 0 it is valid, 3 it is not, or a gateway with the databases of --geo
would refuse it, as a demand binds a place that they can't find; 1 it could not be
read, or settings are wrong.`,
		Example: `  exitgate check policy.yaml
  exitgate check policy.yaml --at 2026-12-01T00:00:00Z
  exitgate check policy.yaml --geo GeoLite2-City.mmdb
  exitgate check policy.yaml --json | jq .jurisdictions
  exitgate check --config /etc/exitgate/exitgate.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if settings != "" {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		ValidArgsFunction: completeFiles("yaml", "yml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if settings != "" {
				return checkSettings(cmd.OutOrStdout(), cmd.ErrOrStderr(), settings, now(), asJSON)
			}
			file := args[0]
			source, err := readFile(file)
			if err != nil {
				return exitFailure(err)
			}
			var capability *policy.Capability
			if databases != nil {
				locator, err := geo.Open(geo.Options{Files: databases})
				if err != nil {
					return exitFailure(err)
				}
				capability = locator.Capability()
			}
			result := checkResult{File: file, SHA256: policy.Digest(source), At: at.or(now)}
			p, err := document.Parse(file, source)
			if err == nil {
				err = document.CheckDates(file, p, result.At)
			}
			if err == nil {
				err = document.CheckZones(file, p, zonedtime.Check, zonedtime.CheckName)
			}
			if err == nil {
				snapshot := policy.Compile(p, p.OwnFlags(), result.At)
				result.OK, result.Mode, result.Warnings = true, p.Mode(), document.Warnings(file, p, result.At)
				result.Flags, result.Demands = p.Flags(), p.DemandStatuses(result.At, capability)
				result.Jurisdictions, result.Until = snapshot.Markets(), snapshot.Until()
				result.Unkept = p.Unkept(capability)
				result.Unfindable = policy.Unfindable(p, p.OwnFlags(), result.At, capability)
			}
			if errors.As(err, &result.Errors) {
				err = &exitError{exitRefused, err}
			}
			switch {
			case asJSON:
				err = errors.Join(writeJSON(cmd.OutOrStdout(), result), exitSilently(err))
			case err == nil:
				result.write(cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if err == nil && result.Unkept != nil {
				err = result.objection(asJSON)
			}
			return exitFailure(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringSliceVar(&databases, "geo", nil, "`file` of a MaxMind DB database to enforce it with, or embedded; may be repeated")
	_ = cmd.MarkFlagFilename("geo", "mmdb") // the flag exists
	cmd.Flags().StringVar(&settings, "config", "", "`file` with settings to check instead of a policy")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	cmd.Flags().Var(&at, "at", "the `time` to say it for, as 2026-12-01T00:00:00Z (default now)")
	return cmd
}

// checkSettings says what is wrong with a file of settings.
func checkSettings(out, warn io.Writer, file string, now time.Time, asJSON bool) error {
	source, err := readFile(file)
	if err != nil {
		return exitFailure(fmt.Errorf("settings: %w", err))
	}
	result := struct {
		File     string                   `json:"file"`
		OK       bool                     `json:"ok"`
		Errors   strictyaml.Errors        `json:"errors,omitempty"`
		Warnings []*strictyaml.Diagnostic `json:"warnings,omitempty"`
	}{File: file}
	result.Warnings, err = config.Check(file, source, func(c config.Config) (wrong, warnings []config.Fault) {
		return gateway.CheckSettings(c, now)
	})
	result.OK, err = err == nil, exitFailure(err)
	if asJSON {
		errors.As(err, &result.Errors)
		return errors.Join(writeJSON(out, result), exitSilently(err))
	}
	for _, w := range result.Warnings {
		fmt.Fprintf(warn, "warning: %v\n\n", w)
	}
	if err == nil {
		fmt.Fprintf(out, "%s is valid\n", file)
	}
	return err
}

func (r checkResult) write(out, warnings io.Writer) {
	for _, w := range r.Warnings {
		fmt.Fprintf(warnings, "warning: %v\n\n", w)
	}
	writeUnfindable(warnings, r.Unfindable)
	fmt.Fprintf(out, "%s is valid (sha256:%s)\n", r.File, r.SHA256[:12])
	if r.Mode == policy.Observe {
		fmt.Fprintln(out, "It only observes: nobody is refused.")
	}
	r.writePromise(out)
	if len(r.Jurisdictions) == 0 {
		fmt.Fprintln(out, "\nEverything is served everywhere.")
		return
	}
	fmt.Fprintf(out, "\nOn %s:\n\n", formatTime(r.At))
	var rows [][]string
	for _, m := range r.Jurisdictions {
		rows = append(rows, []string{string(m.Jurisdiction), shorten(m.Name, 32), phaseSince(m), formatSteps(m.Next)})
		for _, f := range m.Features {
			part := policy.Market{Phase: f.Phase, Since: f.Since, Routes: f.Routes}
			rows = append(rows, []string{"", "", phaseSince(part), formatSteps(f.Next)})
		}
	}
	writeTable(out, rows)
	for _, m := range r.Jurisdictions {
		if len(m.Reaches) > 0 {
			fmt.Fprintf(out, "\n%s speaks also of %s\n", m.Jurisdiction, joinCodes(m.Reaches))
		}
	}
	if !r.Until.IsZero() {
		fmt.Fprintf(out, "\nThis holds until %s.\n", formatTime(r.Until))
	}
}

// objection is the error of a policy that a gateway with these databases refuses.
func (r checkResult) objection(shown bool) error {
	if shown {
		return &exitError{code: exitRefused}
	}
	return &exitError{exitRefused, fmt.Errorf("a gateway with these databases would refuse it, unless it is so already: a demand binds %s, and they can't tell who is there, who would be served: use databases that can, or withdraw the place around it, or write unknown-part: withhold in the entry", joinCodes(r.Unkept))}
}

// writeUnfindable warns of jurisdictions in which clients can't be found.
func writeUnfindable(out io.Writer, all []policy.PoorlyFound) {
	for _, f := range all {
		fmt.Fprintf(out, "warning: %v\n\n", f)
	}
}

// writePromise says what is guaranteed, and what is demanded against it.
func (r checkResult) writePromise(out io.Writer) {
	var guarantees, demands [][]string
	for _, f := range r.Flags {
		if f.Guarantee != nil {
			guarantees = append(guarantees, []string{f.Name, f.Guarantee.String(), f.Guarantee.Statement.String()})
		}
	}
	for _, d := range r.Demands {
		demands = append(demands, []string{d.Name, string(d.Jurisdiction), formatDemandStage(d), d.Summary})
	}
	writeSection(out, "Guaranteed wherever the service is served", guarantees)
	writeSection(out, "Demanded", demands)
}

// writeSection writes a table under a title, if it has rows.
func writeSection(out io.Writer, title string, rows [][]string) {
	if len(rows) > 0 {
		fmt.Fprintf(out, "\n%s:\n\n", title)
		writeTable(out, rows)
	}
}

// formatDemandStage says how far a demand has come: "adopted, from 2026-12-01".
func formatDemandStage(d policy.DemandStatus) string {
	text := string(d.Stage)
	for _, said := range d.Dates() {
		text += fmt.Sprintf(", %s %s", said.What, formatTime(said.Date))
	}
	return text
}

func phaseSince(m policy.Market) string {
	text := m.Phase.String()
	if len(m.Routes) > 0 {
		text += " (" + strings.Join(m.Routes, ", ") + " only)"
	}
	if !m.Since.IsZero() {
		text += " since " + formatTime(m.Since)
	}
	return text
}

// formatFeatures says what single features get: "news: withdrawn".
func formatFeatures(features []policy.MarketFeature) string {
	var texts []string
	for _, f := range features {
		phases := []string{f.Phase.String()}
		if len(f.Next) > 0 {
			phases = append(phases, formatSteps(f.Next))
		}
		texts = append(texts, strings.Join(f.Routes, ", ")+": "+strings.Join(phases, ", "))
	}
	return strings.Join(texts, "; ")
}

func formatSteps(steps []policy.Step) string {
	var texts []string
	for _, s := range steps {
		texts = append(texts, fmt.Sprintf("%s from %s", s.Phase, formatTime(s.From)))
	}
	return strings.Join(texts, ", ")
}

func joinCodes(codes []policy.Code) string {
	texts := make([]string, len(codes))
	for i, code := range codes {
		texts[i] = string(code)
	}
	return strings.Join(texts, ", ")
}

func shorten(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// exitSilently keeps an error's exit code but not its text, which was printed.
func exitSilently(err error) error {
	if err == nil {
		return nil
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		return &exitError{code: exit.code}
	}
	return &exitError{code: exitFailed}
}

// A timeFlag is a flag with a time.
type timeFlag struct{ time.Time }

// or returns the time that was given, else what the clock shows.
func (m *timeFlag) or(now func() time.Time) time.Time {
	if m.IsZero() {
		return now().UTC().Truncate(time.Second)
	}
	return m.Time
}

// String implements pflag.Value.
func (m *timeFlag) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

// Set implements pflag.Value.
func (m *timeFlag) Set(text string) error {
	t, err := zonedtime.Parse(text)
	if advice, wrong := zonedtime.Check(t); err == nil && wrong != nil {
		return fmt.Errorf("%w: %s", wrong, advice)
	}
	if err != nil {
		return fmt.Errorf("%q is not a time with a zone: write it as 2026-12-01T00:00:00Z, or 2026-12-01T00:00:00+01:00[Europe/Paris]", text)
	}
	m.Time = t
	return nil
}

// Type implements pflag.Value.
func (m *timeFlag) Type() string { return "time" }

// completeFiles completes one argument with files of these extensions.
func completeFiles(extensions ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}
