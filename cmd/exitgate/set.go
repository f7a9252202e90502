package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

func newSet() *cobra.Command {
	var o setOptions
	cmd := &cobra.Command{
		Use:   "set JURISDICTION PHASE --because WHY",
		Short: "Give a market another phase",
		Long: `Change what one jurisdiction gets: at once, or from a later time on. Say what
would change and how many requests it would hit, and do it; or, where the policy
asks for approvals, propose it.

The phases, in order of restriction: open, announced (all works, the end is
announced), closed-to-new (no new users), wind-down (only what people need to
leave), withdrawn (only the essential pages).

Without --from the phase takes the place of the market's whole schedule: what
was still to come is dropped, and said. With --from it is one step more.

A country that has territories with codes of their own, as FR has RE, is restricted
with those that --territories says, if the policy doesn't say it yet: it is asked
for at a terminal, and required elsewhere. So is --unknown-part, for a part of a
country that a demand binds. In an emergency nothing is asked: what is unsaid
reaches no territory and nobody whose part of the country isn't known, and is said.

What is under way when the market is restricted is cut at once; or, by --drain,
within as long, of which the entry says so from then on. By a step of a schedule
it is cut by its moment. See --drain 10m, and --drain 0s for at once.

Who may propose changes may withdraw a market in an emergency, at once and
without the approvals that the policy asks for. Somebody else is to sign that
within 24 hours.`,
		Example: `  exitgate set IT withdrawn --because "Law 12 is in force."
  exitgate set IT wind-down --from 2026-11-15T00:00:00Z --because "Law 12 is adopted."
  exitgate set FR withdrawn --territories GP,MQ,RE --because "It is law there, too."
  exitgate set US-MS withdrawn --unknown-part serve --because "HB 1126 is in force."
  exitgate set FR withdrawn --drain 10m --because "Calls may end."
  exitgate set FR withdrawn --emergency --because "Our office was searched."
  exitgate set FR --remove --because "The law is repealed."`,
		Args:              o.parse,
		ValidArgsFunction: o.completeSet,
	}
	cmd.RunE = o.withReason(func(cmd *cobra.Command, _ []string) error {
		set := api.Set{Jurisdiction: o.code, Phase: o.phase, From: o.from.Time, Remove: o.remove, Territories: o.reach.territories.Territories, UnknownPart: o.reach.unknownPart.UnknownPart, Drain: o.reach.drain.text}
		return o.propose(cmd, api.Proposal{Set: &set}, planView.brief)
	})
	o.register(cmd)
	o.registerEmergency(cmd)
	registerBackdated(cmd, &o.backdated)
	o.registerChange(cmd)
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until all gateways that answer have it, and show what clients there get: see exitgate probe")
	cmd.Flags().Var(&o.from, "from", "the `time` from which the phase holds, as 2026-12-01T00:00:00Z (default at once)")
	cmd.Flags().BoolVar(&o.remove, "remove", false, "remove the jurisdiction's entry, so that what else speaks of it governs")
	o.reach.register(cmd)
	cmd.MarkFlagsMutuallyExclusive("from", "remove")
	cmd.MarkFlagsMutuallyExclusive("territories", "remove")
	cmd.MarkFlagsMutuallyExclusive("unknown-part", "remove")
	cmd.MarkFlagsMutuallyExclusive("drain", "remove")
	return cmd
}

type setOptions struct {
	proposalOptions
	code   policy.Code
	phase  policy.Phase
	from   timeFlag
	remove bool
	reach  reachFlags
}

// parse reads what is to be set; without a mistake only when all is there.
func (o *setOptions) parse(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return fmt.Errorf("which market, and which phase? as in: exitgate set FR withdrawn --because \"…\"")
	case o.remove && len(args) > 1:
		return fmt.Errorf("--remove goes without a phase: exitgate set %s --remove --because \"…\"", args[0])
	case !o.remove && len(args) == 1:
		return fmt.Errorf("which phase? as in: exitgate set %s withdrawn --because \"…\"; the phases are %s", args[0], phaseNames())
	case len(args) > 2:
		return fmt.Errorf("one market and one phase at a time, as in: exitgate set %s %s; several at once are a policy to apply", args[0], args[1])
	}
	o.code = policy.Code(args[0])
	if o.remove {
		return nil
	}
	return parsePhase(args[1], &o.phase)
}

// parsePhase reads a phase, and says what phases there are.
func parsePhase(text string, phase *policy.Phase) error {
	if err := phase.UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("%w: the phases are %s", err, phaseNames())
	}
	return nil
}

func phaseNames() string {
	var names []string
	for _, p := range policy.Phases() {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// completeSet completes a jurisdiction, those first that the policy speaks of,
// and then a phase.
func (o *setOptions) completeSet(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return completePhases(), cobra.ShellCompDirectiveNoFileComp
	}
	countries, directive := completeJurisdictions(cmd, args, text)
	var words []string
	named := make(map[string]bool)
	if len(args) == 0 {
		known, _ := decode[api.Jurisdictions](o.getForCompletion(cmd.Context(), "/v1/jurisdictions"))
		for _, m := range known.Markets {
			named[string(m.Jurisdiction)] = true
			words = append(words, fmt.Sprintf("%s\t%s, %s", m.Jurisdiction, sanitise(m.Name), m.Phase))
		}
	}
	for _, country := range countries {
		if code, _, _ := strings.Cut(country, "\t"); !named[code] {
			words = append(words, country)
		}
	}
	return words, directive
}

func completePhases() []string {
	about := map[policy.Phase]string{
		policy.Open:        "everything is served",
		policy.Announced:   "everything is served, the end is announced",
		policy.ClosedToNew: "no new users",
		policy.WindDown:    "only what people need to leave",
		policy.Withdrawn:   "only the essential pages",
	}
	var words []string
	for _, p := range policy.Phases() {
		words = append(words, p.String()+"\t"+about[p])
	}
	return words
}
