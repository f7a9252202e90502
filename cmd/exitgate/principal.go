package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

func newPrincipal(now func() time.Time) *cobra.Command {
	var o queryOptions
	cmd := &cobra.Command{
		Use:   "principal",
		Short: "Show and change who may use the gateway's API",
		Long: `Show who may use the gateway's API, and as what. Without a subcommand, list all.

The roles: viewer (look at all that may be disclosed), operator (propose changes,
withdraw in an emergency), approver (approve and sign what others have done),
counsel (know of demands that may not be disclosed: for all others they are left
out).

They are changed only on the gateway's machine, over its socket. Whoever may open
that has all roles there; with --user, what a local user does is done by the
principal's name, so that nobody approves their own change by another door.`,
		Example: `  exitgate principal
  exitgate principal add ada --role operator,approver --user ada --because "She is on call."
  exitgate principal token ada --expires 720h --because "For her laptop." > token
  exitgate principal revoke ada 3f9a1c --because "The laptop is lost."
  exitgate principal remove ada --because "She has left."`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd, o, "/v1/principals", func(out printer, all api.Principals) { printPrincipals(out, all.Principals, now()) })
		},
	}
	o.register(cmd)
	cmd.AddCommand(newPrincipalSet(now, true), newPrincipalSet(now, false), newPrincipalRemove(now), newPrincipalToken(now), newPrincipalRevoke(now))
	return cmd
}

func printPrincipals(out printer, all []changes.Principal, now time.Time) {
	if len(all) == 0 {
		out.paragraph("", "There are no principals: only who may open the gateway's socket can do anything. Add one with: exitgate principal add NAME --role viewer --because \"…\"")
		return
	}
	rows := []row{{cells: []cell{{text: "name"}, {text: "roles"}, {text: "local user"}, {text: "certificate"}}}}
	for _, p := range all {
		r := row{cells: []cell{{text: sanitise(p.Name), colour: bold}, {text: formatRoles(p.Roles)}, {text: sanitise(p.User)}, {text: sanitise(p.Certificate)}}}
		for _, t := range p.Tokens {
			r.below = append(r.below, "token "+sanitise(t.ID)+", "+formatValidity(t, now))
		}
		rows = append(rows, r)
	}
	out.table(rows, 3)
}

func formatRoles(roles []changes.Role) string {
	var names []string
	for _, r := range roles {
		names = append(names, string(r))
	}
	return sanitise(strings.Join(names, ", "))
}

// formatValidity says how long a token is good for.
func formatValidity(t changes.Token, now time.Time) string {
	text := "made " + formatMinute(t.Created)
	switch {
	case t.Expires.IsZero():
		return text + ", never expires"
	case !t.Expires.After(now):
		return text + ", expired " + formatMinute(t.Expires)
	}
	return text + ", expires " + formatMinute(t.Expires)
}

// A principalOptions changes something of a principal.
type principalOptions struct {
	writeOptions
	now func() time.Time
}

func (o *principalOptions) register(cmd *cobra.Command) {
	o.writeOptions.register(cmd)
	cmd.ValidArgsFunction = o.completePrincipals
}

func principalPath(name string) string { return "/v1/principals/" + url.PathEscape(name) }

// delete has what is at a path deleted, and says in words what was done.
func (o *principalOptions) delete(cmd *cobra.Command, path, format string, args ...any) error {
	c, err := o.open()
	if err != nil {
		return err
	}
	a, err := c.write(cmd.Context(), http.MethodDelete, pathWithReason(path, o.because), always, nil)
	return printResponse(cmd, o.json, a, err, printed(format, args...))
}

// newPrincipalSet makes the verb that adds a principal, or that changes one.
func newPrincipalSet(now func() time.Time, adds bool) *cobra.Command {
	o := principalOptions{now: now}
	var roles []string
	var user, certificate string
	verb, short, example := "set", "Change a principal's roles, user or certificate", `  exitgate principal set ada --role viewer --because "She is not on call any more."`
	if adds {
		verb, short, example = "add", "Add a principal", `  exitgate principal add ada --role operator,approver --user ada --because "She is on call."
  exitgate principal add ci --role operator --certificate ci.example.org --because "It applies what was merged."`
	}
	cmd := &cobra.Command{
		Use:     verb + " NAME --because WHY",
		Short:   short,
		Example: example,
		Args:    cobra.ExactArgs(1),
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if adds && len(roles) == 0 {
				return fmt.Errorf("as what? give --role viewer, operator or approver, or several: exitgate principal add %s --role operator,approver --because \"…\"", name)
			}
			c, err := o.open()
			if err != nil {
				return err
			}
			known, there, err := c.principal(cmd.Context(), name)
			switch {
			case err != nil:
				return commandError(cmd, o.json, err)
			case there && adds:
				return exitFailure(fmt.Errorf("there is a principal %s already: change it with exitgate principal set %s", name, name))
			case !there && !adds:
				return exitFailure(fmt.Errorf("there is no principal %s: add it with exitgate principal add %s", name, name))
			}
			p := api.Principal{Roles: known.Roles, User: known.User, Certificate: known.Certificate, Because: o.because}
			set := cmd.Flags().Changed
			if set("role") {
				p.Roles = nil
				for _, r := range roles {
					if !slices.Contains(changes.Roles(), changes.Role(r)) {
						return fmt.Errorf("%.80q is not a role: the roles are %s", r, formatRoles(changes.Roles()))
					}
					p.Roles = append(p.Roles, changes.Role(r))
				}
			}
			if set("user") {
				if err := checkUser(user); err != nil {
					return exitFailure(err)
				}
				p.User = user
			}
			if set("certificate") {
				p.Certificate = certificate
			}
			a, err := c.write(cmd.Context(), http.MethodPut, principalPath(name), always, p)
			return printResponse(cmd, o.json, a, err, printed("%s is %s.", name, formatRoles(p.Roles)))
		}),
	}
	o.register(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&roles, "role", nil, "`roles`: viewer, operator, approver, counsel; several with commas")
	f.StringVar(&user, "user", "", "the local `user` that this is, over the socket")
	f.StringVar(&certificate, "certificate", "", "the `name` in client certificates that this is")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{
		string(changes.Viewer) + "\tlook at everything", string(changes.Operator) + "\tpropose changes", string(changes.Approver) + "\tapprove and sign",
		string(changes.Counsel) + "\tread of what may not be disclosed",
	}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return cmd
}

// checkUser reports a local user that this machine doesn't have. None is fine: then
// the principal is nobody's.
func checkUser(name string) error {
	if name == "" {
		return nil
	}
	if _, err := user.Lookup(name); err != nil {
		return fmt.Errorf("this machine has no user %q: write the name as in /etc/passwd", name)
	}
	return nil
}

// principal finds one by its name.
func (c *client) principal(ctx context.Context, name string) (changes.Principal, bool, error) {
	all, err := decode[api.Principals](c.get(ctx, "/v1/principals"))
	i := slices.IndexFunc(all.Principals, func(p changes.Principal) bool { return p.Name == name })
	if i < 0 {
		return changes.Principal{}, false, err
	}
	return all.Principals[i], true, err
}

func newPrincipalRemove(now func() time.Time) *cobra.Command {
	o := principalOptions{now: now}
	cmd := &cobra.Command{
		Use:     "remove NAME --because WHY",
		Short:   "Remove a principal and its tokens",
		Example: `  exitgate principal remove ada --because "She has left."`,
		Args:    cobra.ExactArgs(1),
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			return o.delete(cmd, principalPath(args[0]), "%s is removed, with all tokens.", args[0])
		}),
	}
	o.register(cmd)
	return cmd
}

func newPrincipalToken(now func() time.Time) *cobra.Command {
	o := principalOptions{now: now}
	var expires string
	cmd := &cobra.Command{
		Use:   "token NAME --because WHY",
		Short: "Make a token for a principal",
		Long: `Make a token by which a principal uses the API over TCP: in $EXITGATE_TOKEN or
in a file for --token-file. The token is printed alone, so that it can go into a
file, and it is shown this once: the gateway only keeps a hash of it.`,
		Example: `  exitgate principal token ada --expires 720h --because "For her laptop."
  (umask 077; exitgate principal token ci --expires 2027-01-01 --because "For the pipeline." > token)`,
		Args: cobra.ExactArgs(1),
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			until, err := parseExpiry(expires, now())
			if err != nil {
				return err
			}
			c, err := o.open()
			if err != nil {
				return err
			}
			a, err := c.write(cmd.Context(), http.MethodPost, principalPath(args[0])+"/tokens", always, api.TokenRequest{Expires: until, Because: o.because})
			return printResponse(cmd, o.json, a, err, func(out printer, made api.NewToken) {
				fmt.Fprintf(cmd.ErrOrStderr(), "Token %s of %s, %s. It is shown only this once:\n", sanitise(made.ID), args[0], formatValidity(made.Token, now()))
				fmt.Fprintln(out, sanitise(made.Secret))
			})
		}),
	}
	o.register(cmd)
	cmd.Flags().StringVar(&expires, "expires", "", "`when` it ends: after a time such as 720h, or on a date such as 2027-01-01 (default never)")
	return cmd
}

// parseExpiry reads a time from now on, a date, or a moment.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var until time.Time
	if d, err := time.ParseDuration(text); err == nil {
		until = now.Add(d).UTC().Truncate(time.Second)
	} else if t, err := time.Parse(time.DateOnly, text); err == nil {
		until = t
	} else if t, err := time.Parse(time.RFC3339, text); err == nil {
		until = t
	} else {
		return time.Time{}, fmt.Errorf("--expires: %q is neither a time such as 720h nor a date such as 2027-01-01", text)
	}
	if !until.After(now) {
		return time.Time{}, errors.New("--expires: that is over already")
	}
	return until, nil
}

func newPrincipalRevoke(now func() time.Time) *cobra.Command {
	o := principalOptions{now: now}
	cmd := &cobra.Command{
		Use:     "revoke NAME TOKEN --because WHY",
		Short:   "Take a token away",
		Example: `  exitgate principal revoke ada 3f9a1c --because "The laptop is lost."`,
		Args:    cobra.ExactArgs(2),
		RunE: o.withReason(func(cmd *cobra.Command, args []string) error {
			path := principalPath(args[0]) + "/tokens/" + url.PathEscape(args[1])
			return o.delete(cmd, path, "The token %s of %s is revoked.", args[1], args[0])
		}),
	}
	o.register(cmd)
	return cmd
}

// completePrincipals completes a name, and then one of its tokens.
func (o *principalOptions) completePrincipals(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	all, _ := decode[api.Principals](o.getForCompletion(cmd.Context(), "/v1/principals"))
	for _, p := range all.Principals {
		switch {
		case len(args) == 0 && cmd.Name() != "add":
			words = append(words, p.Name+"\t"+formatRoles(p.Roles))
		case len(args) == 1 && cmd.Name() == "revoke" && p.Name == args[0]:
			for _, t := range p.Tokens {
				words = append(words, t.ID+"\t"+formatValidity(t, o.now()))
			}
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
