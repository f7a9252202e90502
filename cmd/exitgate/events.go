package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

func newEvents() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happens, as it happens",
		Long: `Print what happens from now on, a line each: revisions, changes that wait and what
becomes of them, steps of schedules, breaches, what was recorded, databases,
principals, purges of caches, and whether the ledger can be reached.

It ends when the gateway does; with --follow it goes on with the next one at that
address. What came meanwhile is in exitgate log. --json prints an object a line, as
the API's /v1/events has them.

Exit codes: 0 ended with Ctrl-C, 1 failed, 2 usage.`,
		Example: `  exitgate events --follow
  exitgate events --type revision,breach
  exitgate events --follow --json | jq -r 'select(.type == "revision") | .message'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, kind := range o.types {
				if !slices.Contains(eventTypes, kind) {
					return fmt.Errorf("there is no type %.80q: choose of %q", kind, eventTypes)
				}
			}
			c, err := o.open()
			if err != nil {
				return err
			}
			return commandError(cmd, false, o.run(cmd, c))
		},
	}
	o.register(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.follow, "follow", false, "go on when the gateway ends, or can't be reached for a while")
	f.StringSliceVar(&o.types, "type", nil, "only `types` of events: several with commas")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(eventTypes, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return cmd
}

// eventTypes are those of api.Event.
var eventTypes = []string{"revision", "change", "principal", "database", "recorded", "transition", "breach", "ledger", "purge"}

type eventsOptions struct {
	queryOptions
	follow bool
	types  []string
}

func (o *eventsOptions) run(cmd *cobra.Command, c *client) error {
	out, ctx := newPrinter(cmd.OutOrStdout()), cmd.Context()
	for first := true; ; first = false {
		var written error
		err := c.events(ctx, func(e api.Event) bool {
			if len(o.types) == 0 || slices.Contains(o.types, e.Type) {
				written = o.print(out, e)
			}
			return written == nil
		})
		_, answered := errors.AsType[*api.Problem](err)
		switch {
		case ctx.Err() != nil:
			return nil // that is how one stops following
		case written != nil || !o.follow || answered || first && isNotRunning(err):
			return errors.Join(written, err)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%v; trying again\n", err)
		pause(ctx, reconnectDelay)
	}
}

// print prints an event in a line.
func (o *eventsOptions) print(out printer, e api.Event) error {
	if o.json {
		return json.NewEncoder(out).Encode(e)
	}
	colour := map[string]string{"revision": bold, "breach": red, "transition": yellow}[e.Type]
	line := fmt.Sprintf("%s  %-10s  %s", formatTime(e.Time), sanitise(e.Type), sanitise(e.Message))
	if e.Author != "" {
		line += fmt.Sprintf(", by %s", sanitise(e.Author))
	}
	if e.Number != 0 {
		line += fmt.Sprintf(" (record %d)", e.Number)
	}
	_, err := fmt.Fprintln(out, out.inColour(colour, line))
	return err
}
