package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy/changes"
)

func newGeo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "geo",
		Short: "Say which databases locate clients, and decide on one that is held",
		Long: `Say which databases the gateway locates clients by. A changed one that lacks much
of what the one before had is held: until somebody decides, clients are located
by both, and get the stricter of both. So are databases that lack much of what those
before a start had, whatever their files are named now.`,
		Example: `  exitgate geo diff
  exitgate geo accept sha256:6a1f09c2d7e4 --because "We only serve Europe."
  exitgate geo reject /var/lib/GeoIP/GeoLite2-City.mmdb --because "A broken download."`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGeoDiff(),
		newGeoDecision("accept", true, "Take a database that is held into use"),
		newGeoDecision("reject", false, "Go on with the database before, and never use this one"))
	return cmd
}

func newGeoDiff() *cobra.Command {
	var o queryOptions
	cmd := &cobra.Command{
		Use:     "diff",
		Short:   "Say what a database that is held lacks, and which databases are in use",
		Example: "  exitgate geo diff --json | jq .held",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return show(cmd, o, "/v1/geo", printGeo) },
	}
	o.register(cmd)
	return cmd
}

func printGeo(out printer, g api.Geo) {
	for _, d := range g.Databases {
		text := fmt.Sprintf("%s: %s (%s)", sanitise(d.Path), sanitise(d.Type), d.Role)
		if !d.Build.IsZero() {
			text += ", built " + d.Build.Format(time.DateOnly)
		}
		out.paragraph("", "%s", text)
		if d.Error != "" {
			out.colouredParagraph(red, "  ", "%s", sanitise(d.Error))
		}
	}
	if len(g.Held) == 0 {
		fmt.Fprintln(out, "\nNone is held.")
	}
	for _, h := range g.Held {
		what := fmt.Sprintf("%s, built %s, is held", sanitise(h.Path), h.Build.Format(time.DateOnly))
		if h.Against == geo.LastRun {
			what = "The databases, together, are held"
		}
		out.heading(red, fmt.Sprintf("%s since %s.", what, formatMinute(h.Since)))
		printLosses(out, h.Database)
		out.paragraph("", "\nUntil somebody decides, clients are located by both, and get the stricter of both:")
		fmt.Fprintf(out, "\n  exitgate geo accept sha256:%.12s --because \"…\"\n", h.SHA256)
		if h.Against == h.Path { // then there is one to go back to
			fmt.Fprintf(out, "  exitgate geo reject sha256:%.12s --because \"…\"\n", h.SHA256)
		}
	}
	for _, d := range g.Decided {
		printDatabaseDecision(out, d)
	}
}

// printLosses shows what a database lacks.
func printLosses(out printer, d changes.Database) {
	lacks := "It lacks what the one before has"
	switch d.Against {
	case geo.Embedded:
		lacks = "It lacks what the embedded one has"
	case geo.LastRun:
		lacks = "They lack what those before the start have"
	}
	if d.Losses == nil {
		return
	}
	fmt.Fprintf(out, "%s:\n\n", lacks)
	rows := []row{{cells: []cell{{text: "of"}, {}, {text: "before", right: true}, {text: "now", right: true}}}}
	for _, loss := range d.Losses {
		of, unit := string(loss.Jurisdiction), "IPv4 addresses"
		if of == "" {
			of = "all countries"
		}
		if loss.Family == "ipv6" {
			unit = "IPv6 networks (/48)"
		}
		rows = append(rows, row{cells: []cell{
			{text: sanitise(of), colour: bold}, {text: unit},
			{text: fmt.Sprintf("%.0f", loss.Before), right: true}, {text: fmt.Sprintf("%.0f", loss.After), right: true},
		}})
	}
	out.table(rows, 1)
}

// printDatabaseDecision says what was decided on a database, and who did.
func printDatabaseDecision(out printer, d changes.DatabaseDecision) {
	what := "accepted"
	who := d.Acceptances
	if d.Rejection != nil {
		what, who = "rejected", []changes.Approval{*d.Rejection}
	}
	var names []string
	for _, a := range who {
		names = append(names, a.By)
	}
	last := who[len(who)-1]
	text := fmt.Sprintf("%s: sha256:%.12s (%s) was %s by %s: %s", formatMinute(last.At), d.SHA256, sanitise(d.Path), what, formatNames(names), sanitise(last.Because))
	if d.Status == changes.Pending {
		text += fmt.Sprintf(" It needs %s.", plural(d.Needs-len(who), "more approver"))
	}
	out.paragraph("", "\n%s", text)
}

func newGeoDecision(verb string, accept bool, short string) *cobra.Command {
	var o writeOptions
	cmd := &cobra.Command{
		Use:   verb + " [FILE|sha256:HASH] --because WHY",
		Short: short,
		Long: short + `. See what it
lacks first: exitgate geo diff. The decision is about the file by its SHA-256: it is
recorded in the ledger, survives restarts, and holds for all gateways of the ledger,
whatever the file is named there. Where the policy is a file, it is kept in the data
folder, for this gateway.

To accept a database may open markets, and takes what that takes: an operator, and
as many approvers besides, by the same verb, as the policy says (approvals: {open: …}).
To reject one takes an operator or an approver. What was rejected can be accepted
later.

Without an argument it is the only database that is held. The beginning of a SHA-256
makes sure that it is the file that you have looked at.`,
		Example: fmt.Sprintf("  exitgate geo %s sha256:6a1f09c2d7e4 --because \"…\"", verb),
		Args:    cobra.MaximumNArgs(1),
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			g, err := decode[api.Geo](c.get(cmd.Context(), "/v1/geo"))
			if err != nil {
				return commandError(cmd, o.json, err)
			}
			sha256, err := findDatabase(g, strings.Join(args, ""))
			if err != nil {
				return exitFailure(err)
			}
			a, err := c.write(cmd.Context(), http.MethodPost, "/v1/geo/decisions", always, api.GeoDecisionRequest{SHA256: sha256, Accept: accept, Because: o.because})
			return printResponse(cmd, o.json, a, err, func(out printer, g api.Geo) {
				for _, d := range g.Decided {
					if d.SHA256 == sha256 {
						printDecided(out, d, g)
					}
				}
			})
		}),
	}
	o.register(cmd)
	return cmd
}

// printDecided says what has come of a decision.
func printDecided(out printer, d changes.DatabaseDecision, g api.Geo) {
	name := fmt.Sprintf("%s (sha256:%.12s)", sanitise(d.Path), d.SHA256)
	switch d.Status {
	case changes.Pending:
		out.paragraph("", "%s is still held: it needs %s.", name, plural(d.Needs-len(d.Acceptances), "more approver"))
	case changes.Rejected:
		out.paragraph("", "%s is rejected: what was in use before stays.", name)
	default:
		out.paragraph("", "%s is accepted.", name)
	}
	for _, h := range g.Held {
		if h.SHA256 != d.SHA256 {
			out.paragraph("", "Another one is held: %s (sha256:%.12s).", sanitise(h.Path), h.SHA256)
		}
	}
}

// findDatabase returns the SHA-256 of the database that is meant: one that is held,
// or was decided on, by its file or the beginning of its SHA-256; "" is the only one
// that is held.
func findDatabase(g api.Geo, named string) (string, error) {
	if named == "" {
		switch len(g.Held) {
		case 0:
			return "", errors.New("no database is held")
		case 1:
			return g.Held[0].SHA256, nil
		}
		return "", fmt.Errorf("%d databases are held: name one, see exitgate geo diff", len(g.Held))
	}
	hash, byHash := strings.CutPrefix(named, "sha256:")
	if byHash && len(hash) < 8 {
		return "", fmt.Errorf("%s is too short: give 8 digits at least, see exitgate geo diff", named)
	}
	for _, h := range g.Held {
		if byHash && strings.HasPrefix(h.SHA256, hash) || h.Path == named {
			return h.SHA256, nil
		}
	}
	for _, d := range g.Decided {
		if byHash && strings.HasPrefix(d.SHA256, hash) || d.Path == named {
			return d.SHA256, nil
		}
	}
	return "", fmt.Errorf("no database %s is held: see exitgate geo diff", sanitise(named))
}
