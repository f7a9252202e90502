package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/strict"
)

// A checkResult is what check prints.
type checkResult struct {
	File          string            `json:"file"`
	OK            bool              `json:"ok"`
	SHA256        string            `json:"sha256"`
	Mode          policy.Mode       `json:"mode,omitempty"`
	Errors        strict.Errors     `json:"errors,omitempty"`
	Warnings      []*strict.Problem `json:"warnings,omitempty"`
	At            time.Time         `json:"at"`
	Until         time.Time         `json:"until,omitzero"`
	Jurisdictions []policy.Market   `json:"jurisdictions,omitempty"`
}

func newCheck() *cobra.Command {
	var asJSON bool
	var at moment
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what a policy does, or what is wrong with it",
		Long: `Read a policy, say everything that is wrong with it, and otherwise what it does:
who is in which phase, until when, and whom groups and territories reach.

Exit codes: 0 the policy is right, 1 it is wrong.`,
		Example: `  exitgate check policy.yaml
  exitgate check policy.yaml --at 2026-12-01T00:00:00Z
  exitgate check policy.yaml --json | jq .jurisdictions`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFiles("yaml", "yml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := args[0]
			source, err := readFile(file)
			if err != nil {
				return failed(err)
			}
			result := checkResult{File: file, SHA256: policy.Digest(source), At: at.orNow()}
			p, err := policy.Parse(file, source)
			if err == nil {
				err = notice.Check(p.Notices())
			}
			if err == nil {
				snapshot := policy.Compile(p, nil, result.At)
				result.OK, result.Mode, result.Warnings = true, p.Mode(), p.Warnings()
				result.Jurisdictions, result.Until = snapshot.Markets(), snapshot.Until()
			}
			_ = errors.As(err, &result.Errors)
			switch {
			case asJSON:
				err = errors.Join(writeJSON(cmd.OutOrStdout(), result), quiet(err))
			case err == nil:
				err = result.write(cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return failed(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().Var(&at, "at", "the `time` to say it for, as 2026-12-01T00:00:00Z (default now)")
	return cmd
}

func (r checkResult) write(out, warnings io.Writer) error {
	for _, w := range r.Warnings {
		fmt.Fprintf(warnings, "warning: %v\n\n", w)
	}
	fmt.Fprintf(out, "%s is right (sha256:%s)\n", r.File, r.SHA256[:12])
	if r.Mode == policy.Observe {
		fmt.Fprintln(out, "It only observes: nobody is refused.")
	}
	if len(r.Jurisdictions) == 0 {
		fmt.Fprintln(out, "Everything is served everywhere.")
		return nil
	}
	fmt.Fprintf(out, "\nOn %s:\n\n", day(r.At))
	var rows [][]string
	for _, m := range r.Jurisdictions {
		rows = append(rows, []string{string(m.Jurisdiction), shorten(m.Name, 32), phaseSince(m), nextSteps(m.Next)})
	}
	if err := writeTable(out, rows); err != nil {
		return err
	}
	for _, m := range r.Jurisdictions {
		if len(m.Reaches) > 0 {
			fmt.Fprintf(out, "\n%s speaks also of %s\n", m.Jurisdiction, join(m.Reaches))
		}
	}
	if !r.Until.IsZero() {
		fmt.Fprintf(out, "\nThis holds until %s.\n", day(r.Until))
	}
	return nil
}

func phaseSince(m policy.Market) string {
	text := m.Phase.String()
	if len(m.Routes) > 0 {
		text += " (" + strings.Join(m.Routes, ", ") + " only)"
	}
	if !m.Since.IsZero() {
		text += " since " + day(m.Since)
	}
	return text
}

func nextSteps(steps []policy.Step) string {
	var texts []string
	for _, s := range steps {
		texts = append(texts, fmt.Sprintf("%s from %s", s.Phase, day(s.From)))
	}
	return strings.Join(texts, ", ")
}

func join(codes []policy.Code) string {
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

// quiet keeps an error's exit code but not its text, which was printed.
func quiet(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: exitFailed}
}

// A moment is a flag with a time.
type moment struct{ time.Time }

func (m *moment) orNow() time.Time {
	if m.IsZero() {
		return time.Now().UTC().Truncate(time.Second)
	}
	return m.Time
}

// String implements pflag.Value.
func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

// Set implements pflag.Value.
func (m *moment) Set(text string) error {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("%q is not a time with a zone: write it as 2026-12-01T00:00:00Z", text)
	}
	m.Time = t
	return nil
}

// Type implements pflag.Value.
func (m *moment) Type() string { return "time" }

// completeFiles completes one argument with files of these extensions.
func completeFiles(extensions ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}
