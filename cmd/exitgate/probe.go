package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

func newProbe() *cobra.Command {
	var o queryOptions
	cmd := &cobra.Command{
		Use:   "probe JURISDICTION",
		Short: "See what clients in a market get, by asking as one of them",
		Long: `Have each gateway that answers ask its own public listener, for each class of
routes, as a client with an address in a market would, and say what it got. So a
withdrawal is seen to refuse, not only said to. What would be forwarded never reaches
the app, and nothing of it is counted. What can't be seen is said: a place that the
databases know no address in, say.

It is seen on the gateway itself: not what a cache in front still has, nor what
comes to the app past the gateway.

Exit codes: 0 it is as the policy wants it, 1 it isn't, or it could not be seen at
all, 2 usage.`,
		Example: `  exitgate probe FR
  exitgate set FR withdrawn --territories all --because "It is law." --wait`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeJurisdictions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			probes, err := c.probe(cmd.Context(), policy.Code(args[0]))
			if err != nil {
				return commandError(cmd, o.json, err)
			}
			return reportProbes(cmd, o.json, probes)
		},
	}
	o.register(cmd)
	return cmd
}

// probe asks what clients in a jurisdiction get.
func (c *client) probe(ctx context.Context, code policy.Code) (api.Probes, error) {
	return decode[api.Probes](c.send(ctx, request{method: http.MethodPost, path: "/v1/jurisdictions/" + url.PathEscape(string(code)) + "/probes"}))
}

// Limits of waiting for gateways to have a revision.
const (
	probeWait  = 30 * time.Second
	probePause = 500 * time.Millisecond
)

// probeFrom asks until all gateways that answer have a revision.
func (c *client) probeFrom(ctx context.Context, code policy.Code, revision uint64) (api.Probes, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	for {
		probes, err := c.probe(ctx, code)
		if err != nil {
			return probes, err
		}
		behind := 0
		for _, g := range probes.Gateways {
			if g.Revision < revision {
				behind++
			}
		}
		if behind == 0 {
			return probes, nil
		}
		select {
		case <-ctx.Done():
			return probes, fmt.Errorf("%d of %s that answer don't have revision %d yet", behind, plural(len(probes.Gateways), "gateway"), revision)
		case <-time.After(probePause):
		}
	}
}

// reportProbes prints what was seen; it is an error if that isn't what the policy wants, or
// nothing was seen.
func reportProbes(cmd *cobra.Command, asJSON bool, probes api.Probes) error {
	if asJSON {
		if err := writeJSON(cmd.OutOrStdout(), probes); err != nil {
			return exitFailure(err)
		}
	} else {
		printProbes(newPrinter(cmd.OutOrStdout()), probes)
	}
	switch seen, unwanted := probes.Count(); {
	case seen == 0:
		return exitFailure(errors.New("nothing could be seen"))
	case unwanted > 0:
		return exitFailure(fmt.Errorf("%d of %s don't get what the policy wants", unwanted, plural(seen, "request")))
	}
	return nil
}

// printProbes shows what each gateway has seen.
func printProbes(out printer, probes api.Probes) {
	for i, g := range probes.Gateways {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "Seen by %s", sanitise(g.Gateway))
		if g.Revision > 0 {
			fmt.Fprintf(out, ", by revision %d", g.Revision)
		}
		fmt.Fprint(out, ":\n\n")
		var rows []row
		for _, p := range g.Seen {
			rows = append(rows, row{cells: []cell{{text: string(p.Jurisdiction), colour: bold}, {text: sanitise(p.Request)}, {text: sanitise(p.Class)}, probeCell(p)}})
		}
		out.table(rows, 3)
		for _, u := range g.Unseen {
			what := string(u.Jurisdiction)
			if u.Class != "" {
				what += ", " + sanitise(u.Class)
			}
			out.colouredParagraph(yellow, "  ", "NOT SEEN: %s: %s", what, sanitise(u.Why))
		}
	}
}

// probeCell says what a request got.
func probeCell(p api.Probe) cell {
	switch {
	case p.Refused && p.Wanted:
		return cell{text: fmt.Sprintf("refused, %d", p.Status), colour: green}
	case p.Refused:
		return cell{text: fmt.Sprintf("REFUSED with %d, and the policy serves it", p.Status), colour: red}
	case p.Wanted:
		return cell{text: "SERVED, and the policy refuses it", colour: red}
	}
	return cell{text: "served"}
}
