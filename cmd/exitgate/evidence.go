package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/internal/files"
)

func newEvidence() *cobra.Command {
	var o evidenceOptions
	cmd := &cobra.Command{
		Use:   "evidence JURISDICTION",
		Short: "Write a file that proves what was in force in a market, and when",
		Long: `Write a file of what was in force in a country, or a part of one, in some time: the
policies and their hashes, who proposed and approved them, the demands and their
stages, what each date did, and what took place. With it are the records of the
ledger that prove it, unchanged. exitgate log --verify FILE checks it, without a
gateway. --html makes a page of it, too, to read and to print.

Of clients it has how many requests were served and refused in the last day, if the
time lasts until now, and nothing else. It has the whole text of each policy: with
demands that may not be disclosed, and with other markets. Principals are in it, if they were changed meanwhile, with their names and
the hashes of their tokens.

Exit codes: 0 done, 1 failed, or there is no such place, 2 usage, 3 refused: it
takes the role counsel, or the time doesn't begin before it ends, or ends later than now.`,
		Example: `  exitgate evidence FR --from 2026-10-01T00:00:00Z --out france.json --html france.html
  exitgate log --verify france.json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeJurisdictions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			return commandError(cmd, false, o.run(cmd, c, args[0]))
		},
	}
	o.register(cmd)
	f := cmd.Flags()
	f.Var(&o.from, "from", "when the `time` begins (default: with the ledger)")
	f.Var(&o.to, "to", "when the `time` ends (default: now)")
	f.StringVar(&o.out, "out", "", "the `file` to write, which isn't there yet (default: standard output)")
	f.StringVar(&o.page, "html", "", "a `file` for a page to print, which isn't there yet")
	return cmd
}

type evidenceOptions struct {
	connection
	from, to  timeFlag
	out, page string
}

func (o *evidenceOptions) run(cmd *cobra.Command, c *client, code string) error {
	for _, name := range []string{o.out, o.page} {
		if _, err := os.Stat(name); name != "" && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already: evidence takes the place of nothing, name another file", name)
		}
	}
	query := url.Values{}
	for name, moment := range map[string]timeFlag{"from": o.from, "to": o.to} {
		if !moment.IsZero() {
			query.Set(name, moment.Format(time.RFC3339Nano))
		}
	}
	text, err := c.evidence(cmd.Context(), "/v1/evidence/"+url.PathEscape(code)+"?"+query.Encode())
	if err != nil {
		return err
	}
	f, err := evidence.Read(text)
	if err != nil {
		return fmt.Errorf("what the gateway sent can't be used: %w", err)
	}
	if report := f.Verify(f.Made.At); !report.OK() {
		return fmt.Errorf("what the gateway sent isn't valid: %w", evidenceError(report))
	}
	if o.page != "" {
		var page bytes.Buffer
		if err := f.WritePage(&page, sha256.Sum256(text)); err != nil {
			return err
		}
		if err := files.Replace(o.page, page.Bytes()); err != nil {
			return err
		}
	}
	if o.out == "" {
		_, err := cmd.OutOrStdout().Write(text)
		return err
	}
	if err := files.Replace(o.out, text); err != nil {
		return err
	}
	out := newPrinter(cmd.OutOrStdout())
	fmt.Fprintf(out, "%s: %s\n", sanitise(o.out), describeEvidence(f))
	printHead(out, f)
	return nil
}

// evidence asks for a file of evidence, which may be larger than other answers.
func (c *client) evidence(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	response, err := c.do(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := files.ReadAll(response.Body, evidence.MaxFile)
	switch {
	case errors.Is(err, files.ErrTooLarge):
		return nil, fmt.Errorf("the answer of %s is longer than %d MB: ask for less time at once", c.target, evidence.MaxFile>>20)
	case err != nil:
		return nil, c.noResponse(err)
	case response.StatusCode != http.StatusOK:
		return nil, c.problem(response, text)
	}
	return text, nil
}

func describeEvidence(f evidence.File) string {
	from := "the beginning of the ledger"
	if !f.From.IsZero() {
		from = formatTime(f.From)
	}
	return fmt.Sprintf("%s from %s to %s, %s in %s", sanitise(f.Name), from, formatTime(f.To), plural(len(f.Says.Revisions), "revision"), plural(len(f.Records), "record"))
}

// printHead shows the hash that all of a file hangs by.
func printHead(out printer, f evidence.File) {
	fmt.Fprintf(out, "The last is %d, with the hash %s\n", f.Head.Number, f.Head.Hash)
}

// verifyFile checks a file of evidence, without a gateway.
func (o *logOptions) verifyFile(cmd *cobra.Command, name string) error {
	text, err := files.Read(name, evidence.MaxFile)
	if err != nil {
		return err
	}
	f, err := evidence.Read(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	report := f.Verify(o.now())
	if o.json {
		err = writeJSON(cmd.OutOrStdout(), newEvidenceReport(f, report))
	} else {
		printEvidenceReport(newPrinter(cmd.OutOrStdout()), f, report)
	}
	if err == nil && !report.OK() {
		err = &exitError{code: exitFailed}
	}
	return err
}

func printEvidenceReport(out printer, f evidence.File, report evidence.Report) {
	for _, r := range report.Invalid {
		out.colouredParagraph(red, "", "record %d: %s", r.Number, sanitise(r.Err.Error()))
	}
	switch {
	case len(report.Invalid) > 0:
		out.paragraph("", "\nThe file is wrong: %s of %d. It was changed after it was made.", plural(len(report.Invalid), "record"), len(f.Records))
		return
	case report.Differs != nil:
		out.colouredParagraph(red, "", "The records are valid, but the file isn't: %s.", report.Differs)
		return
	}
	out.colouredParagraph(green, "", "The file is valid: %s.", describeEvidence(f))
	if report.Newer > 0 {
		out.colouredParagraph(yellow, "", "Only a newer exitgate knows what %s of them say: that they are in their place was checked, and no more.", strconv.Itoa(report.Newer))
	}
	if !report.Proposals {
		out.colouredParagraph(yellow, "", "The file says that it has the format %d, and in that the proposals may be missing of what came into force in its time: whether they do wasn't checked. Make a new one with a gateway of today.", f.Format)
	}
	printHead(out, f)
	out.paragraph("", `
This proves, if that hash is the ledger's: each record is as it was written, none between the first and the last is missing, and what the file says of policies, approvals, demands, dates and what took place is what they say. Compare the hash with one that was kept elsewhere, or with what exitgate log -v says of record %d on a gateway.

It doesn't prove: that the hash is the ledger's; that no record of that time comes behind the last; who was behind a name; what clients were answered, beside what the records say; when, by what machine and by what version the file was made.`, f.Head.Number)
}

// An evidenceReport is what log --verify FILE --json prints.
type evidenceReport struct {
	OK      bool                `json:"ok"`
	Records int                 `json:"records"` // that are good
	Last    uint64              `json:"last"`
	Hash    string              `json:"hash"` // of the last
	Wrong   []api.InvalidRecord `json:"wrong"`
	Differs string              `json:"differs,omitempty"` // why what the file says isn't what its records say
	Newer   int                 `json:"newer,omitempty"`
	// Proposals reports whether it was checked that the proposals are there of what came into
	// force in its time: files of before format 3 may be without them.
	Proposals bool `json:"proposals"`
}

func newEvidenceReport(f evidence.File, report evidence.Report) evidenceReport {
	r := evidenceReport{OK: report.OK(), Records: report.Records, Last: f.Head.Number, Hash: f.Head.Hash.String(), Wrong: []api.InvalidRecord{}, Newer: report.Newer, Proposals: report.Proposals}
	for _, invalid := range report.Invalid {
		r.Wrong = append(r.Wrong, api.InvalidRecord{Number: invalid.Number, Reason: invalid.Err.Error()})
	}
	if report.Differs != nil {
		r.Differs = report.Differs.Error()
	}
	return r
}

// evidenceError is the first thing that is wrong.
func evidenceError(report evidence.Report) error {
	if len(report.Invalid) > 0 {
		return report.Invalid[0]
	}
	return report.Differs
}
