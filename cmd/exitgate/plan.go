package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/policy"
)

func newPlan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Say what would change if a policy took the place of the one in use",
		Long: `Compare a policy with the one in use, and say what would change: who gets which
phase when, at once and at each later date, and what the documents say
differently. Markets that would be opened come first, also where that is only
for the time until a later step.

The policy in use is the one that the gateway keeps in its data folder; name
another one with --against. The flags are those that the gateway keeps there,
too; with --against, only if --data names the folder.

Exit codes: 0 done, 1 failed, 2 usage, 3 the policy in FILE is wrong.`,
		Example: `  exitgate plan policy.yaml
  exitgate plan policy.yaml --against policy.yaml.orig
  exitgate plan policy.yaml --at 2026-12-01T00:00:00Z
  exitgate plan policy.yaml --json | jq .effects`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFiles("yaml", "yml"),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.plan(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.against, "against", "", "`file` with the policy to compare with (default: the one in use)")
	f.StringVar(&o.data, "data", "", "`folder` in which the gateway keeps the policy in use")
	f.Var(&o.at, "at", "the `time` of the change, as 2026-12-01T00:00:00Z (default now)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	_ = cmd.MarkFlagFilename("against") // the flags exist
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

type planOptions struct {
	against, data string
	at            moment
	json          bool
}

func (o *planOptions) plan(cmd *cobra.Command, file string) error {
	source, err := readFile(file)
	if err != nil {
		return failed(err)
	}
	after, err := parsePolicy(file, source)
	if err != nil {
		return o.refused(cmd.OutOrStdout(), file, source, err)
	}
	before, flags, err := o.inUse()
	if err != nil {
		return failed(err)
	}
	plan := policy.NewPlan(before, after, flags, o.at.orNow())
	if o.json {
		return failed(writeJSON(cmd.OutOrStdout(), plan))
	}
	for _, w := range plan.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\n\n", w)
	}
	return failed(writePlan(cmd.OutOrStdout(), plan, file))
}

// parsePolicy reads a policy as the gateway would take it into use.
func parsePolicy(file string, source []byte) (*policy.Policy, error) {
	p, err := policy.Parse(file, source)
	if err == nil {
		err = notice.Check(p.Notices())
	}
	return p, err
}

// refused says what is wrong with a policy, as check does.
func (o *planOptions) refused(out io.Writer, file string, source []byte, err error) error {
	if !o.json {
		return &exitError{exitRefused, err}
	}
	result := checkResult{File: file, SHA256: policy.Digest(source), At: o.at.orNow()}
	if !errors.As(err, &result.Errors) {
		return &exitError{exitRefused, err}
	}
	if err := writeJSON(out, result); err != nil {
		return failed(err)
	}
	return &exitError{code: exitRefused}
}

// inUse returns the policy to compare with, and the flags as they are known.
func (o *planOptions) inUse() (*policy.Policy, policy.Flags, error) {
	folder, file := o.data, o.against
	if file == "" {
		folder = keptFolder(o.data)
		file = filepath.Join(folder, "last-good-policy.yaml")
	}
	source, err := readFile(file)
	if errors.Is(err, fs.ErrNotExist) && o.against == "" {
		return nil, nil, fmt.Errorf("no gateway has kept a policy in %s: name the folder of one with --data, or a policy to compare with by --against", folder)
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := policy.Parse(file, source)
	if err != nil {
		return nil, nil, fmt.Errorf("the policy to compare with is wrong:\n%w", err)
	}
	flags, err := keptFlags(folder)
	if err == nil && flags == nil {
		flags = p.OwnFlags()
	}
	return p, flags, err
}

// keptFolder returns the folder that the gateway keeps things in, as far as
// one can tell from here.
func keptFolder(named string) string {
	for _, candidate := range []struct{ root, below string }{
		{named, ""},
		{os.Getenv("EXITGATE_DATA"), ""},
		{os.Getenv("STATE_DIRECTORY"), ""},
		{os.Getenv("XDG_STATE_HOME"), "exitgate"},
		{os.Getenv("HOME"), ".local/state/exitgate"},
	} {
		if candidate.root != "" {
			return filepath.Join(candidate.root, candidate.below)
		}
	}
	return "."
}

// keptFlags returns the flags that a gateway has kept in a folder, nil if it
// has kept none.
func keptFlags(folder string) (policy.Flags, error) {
	if folder == "" {
		return nil, nil
	}
	file := filepath.Join(folder, "flags.json")
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var flags policy.Flags
	if err := json.Unmarshal(text, &flags); err != nil {
		return nil, fmt.Errorf("the flags in %s can't be read: %w", file, err)
	}
	return flags, nil
}

// The parts of a plan in the order in which they are printed, with the colour
// of their moves on a terminal.
var planParts = []struct {
	effect policy.Effect
	title  string
	colour string
}{
	{policy.OpensMarket, "Would be opened", green},
	{policy.WithdrawsMarket, "Would be restricted", red},
}

const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

// writePlan writes a plan for people.
func writePlan(out io.Writer, p policy.Plan, file string) error {
	paint := func(_, text string) string { return text }
	if isTerminal(out) && os.Getenv("NO_COLOR") == "" {
		paint = func(colour, text string) string { return colour + text + plain }
	}
	fmt.Fprintf(out, "%s (sha256:%s) in place of sha256:%s on %s\n", file, p.After[:12], p.Before[:12], day(p.At))
	switch {
	case p.Before == p.After:
		fmt.Fprintln(out, "\nThey are the same: nothing would change.")
		return nil
	case p.Empty():
		fmt.Fprintln(out, "\nNothing would change but the text.")
	}
	for _, part := range planParts {
		if err := writeMoves(out, part.title, p.Moves, part.effect, func(line string) string { return paint(part.colour, line) }); err != nil {
			return err
		}
	}
	if len(p.Apart) > 0 {
		fmt.Fprintf(out, "\nNot along with what they lie in, but as above or not at all: %s\n", join(p.Apart))
	}
	if len(p.Amendments) > 0 {
		fmt.Fprintf(out, "\nThe documents differ in:\n")
	}
	for _, a := range p.Amendments {
		fmt.Fprintf(out, "\n  %s%s\n", strings.TrimSpace(a.Section+" "+a.Name), remark(a.Effect))
		if a.Before != "" {
			fmt.Fprintln(out, paint(red, "  - "+a.Before))
		}
		if a.After != "" {
			fmt.Fprintln(out, paint(green, "  + "+a.After))
		}
	}
	for _, x := range p.Expansions {
		fmt.Fprintf(out, "\n%s speaks also of %s\n", x.Jurisdiction, join(x.Reaches))
	}
	fmt.Fprintf(out, "\nPlan %s\n", p.Hash)
	return nil
}

// remark says of an amendment what its effect is, where that isn't told by
// moves.
func remark(effect policy.Effect) string {
	switch effect {
	case policy.OpensMarket:
		return ": can open a market"
	case policy.WithdrawsMarket:
		return ": can restrict a market"
	case policy.WeakensGuarantee:
		return ": weakens the guarantee"
	case policy.WeakensDemand:
		return ": weakens the demand"
	case policy.AcknowledgesBreach:
		return ": acknowledges breaches"
	}
	return ""
}

// writeMoves writes the moves that have an effect, if there are any.
func writeMoves(out io.Writer, title string, moves []policy.Move, effect policy.Effect, paint func(string) string) error {
	var rows [][]string
	for _, m := range moves {
		if m.Effect == effect {
			rows = append(rows, rowsOf(m)...)
		}
	}
	if rows == nil {
		return nil
	}
	fmt.Fprintf(out, "\n%s:\n\n", title)
	var table strings.Builder
	if err := writeTable(&table, rows); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		fmt.Fprintln(out, paint(strings.TrimSuffix(line, "\n")))
	}
	return nil
}

// rowsOf writes a move in as many lines as its jurisdictions need.
func rowsOf(m policy.Move) [][]string {
	const inLine = 12
	when := "at once"
	if !m.From.IsZero() {
		when = "from " + day(m.From)
	}
	if !m.Until.IsZero() {
		when += " until " + day(m.Until)
	}
	what := fmt.Sprintf("%s → %s", m.Before, m.After)
	if m.Routes != nil {
		what += " (" + strings.Join(m.Routes, ", ") + " only)"
	}
	var rows [][]string
	for codes := range slices.Chunk(m.Jurisdictions, inLine) {
		rows = append(rows, []string{when, what, join(codes)})
		when, what = "", ""
	}
	return rows
}
