package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

func newGeo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "geo",
		Short: "Say which databases locate clients, and decide on one that is held",
		Long: `Say which databases the gateway locates clients by. A changed one that lacks much
of what the one before had is held: until somebody decides, clients are located
by both, and get the stricter of both.`,
		Example: `  exitgate geo diff
  exitgate geo accept /var/lib/GeoIP/GeoLite2-City.mmdb --because "We only serve Europe."
  exitgate geo reject /var/lib/GeoIP/GeoLite2-City.mmdb --because "A broken download."`,
	}
	cmd.AddCommand(newGeoDiff(),
		newGeoDecision("accept", true, "Take a database that is held into use", "is in use"),
		newGeoDecision("reject", false, "Go on with the database before, until the file changes", "is not used"))
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
		against := "the one before has"
		if h.Against == "embedded" {
			against = "the embedded one has"
		}
		out.heading(red, fmt.Sprintf("%s is held since %s. It lacks what %s:", sanitise(h.Path), formatMinute(h.Since), against))
		rows := []row{{cells: []cell{{text: "of"}, {}, {text: "before", right: true}, {text: "now", right: true}}}}
		for _, loss := range h.Losses {
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
		out.paragraph("", "\nUntil somebody decides, clients are located by both, and get the stricter of both: exitgate geo accept or reject.")
	}
	for _, d := range g.Decided {
		what := "rejected"
		if d.Accepted {
			what = "accepted"
		}
		out.paragraph("", "\n%s: %s was %s by %s: %s", formatMinute(d.Time), sanitise(d.Path), what, sanitise(d.By), sanitise(d.Because))
	}
}

func newGeoDecision(verb string, accept bool, short, outcome string) *cobra.Command {
	var o writeOptions
	cmd := &cobra.Command{
		Use:   verb + " [FILE] --because WHY",
		Short: short,
		Long: short + `. See what it
lacks first: exitgate geo diff. Without FILE it is the only one that is held.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by policy or conflict.`,
		Example: fmt.Sprintf("  exitgate geo %s --because \"…\"", verb),
		Args:    cobra.MaximumNArgs(1),
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			path := ""
			if len(args) > 0 {
				path = args[0]
			} else {
				g, err := decode[api.Geo](c.get(cmd.Context(), "/v1/geo"))
				if err != nil {
					return commandError(cmd, o.json, err)
				}
				if len(g.Held) != 1 {
					return exitFailure(errors.New("there isn't exactly one database that is held: name one, see exitgate geo diff"))
				}
				path = g.Held[0].Path
			}
			a, err := c.write(cmd.Context(), http.MethodPost, "/v1/geo/decisions", always, api.GeoDecisionRequest{Path: path, Accept: accept, Because: o.because})
			return printResponse(cmd, o.json, a, err, printed("%s %s.", path, outcome))
		}),
	}
	o.register(cmd)
	return cmd
}
