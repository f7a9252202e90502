package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/iso3166"
)

func newExplain(now func() time.Time) *cobra.Command {
	o := explainOptions{now: now}
	cmd := &cobra.Command{
		Use:   "explain ADDRESS|JURISDICTION",
		Short: "Say what a client would get, and why",
		Long: `Say what a request from an address gets, which entries of the policy matched, and
why one of them won. In place of an address, name a jurisdiction: FR, US-MS,
unlocated, private or anonymous.

The gateway is asked, which knows its databases and flags. Where none is running,
or with --policy, --geo or --config, the address is located and decided on as a
gateway with these would; without any policy, it is only located. One person's IPv4
and IPv6 addresses may be located differently: ask about both.`,
		Example: `  exitgate explain 90.0.0.1
  exitgate explain 90.0.0.1 --policy policy.yaml
  exitgate explain FR --policy policy.yaml --method POST --path /signup
  exitgate explain US-MS --policy policy.yaml --at 2026-12-01T00:00:00Z --json
  exitgate explain 2001:db8::1 --config /etc/exitgate/exitgate.yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeJurisdictions,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.explain(cmd, args[0]) },
	}
	o.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "the gateway's `file` with settings, for its policy and databases")
	f.StringVar(&o.policy, "policy", "", "`file` with the policy (default: none, so that all is forwarded)")
	f.StringSliceVar(&o.geo, "geo", nil, "`file` of a MaxMind DB database; may be repeated (default: the embedded one)")
	f.StringVar(&o.method, "method", "GET", "`method` of the request")
	f.StringVar(&o.host, "host", "example.org", "`host` that is asked for (asking the gateway: one of its apps')")
	f.StringVar(&o.path, "path", "/", "`path` that is asked for")
	f.Var(&o.at, "at", "the `time` to say it for, as 2026-12-01T00:00:00Z (default now)")
	for _, file := range []string{"config", "policy", "geo"} {
		_ = cmd.MarkFlagFilename(file) // the flags exist
		cmd.MarkFlagsMutuallyExclusive("api", file)
	}
	return cmd
}

type explainOptions struct {
	queryOptions
	now                                func() time.Time
	config, policy, method, host, path string
	geo                                []string
	at                                 timeFlag
	flagServerNotAsked                 bool
}

// An explanation is what explain prints.
type explanation struct {
	Asked   string        `json:"asked"`
	Located *api.Location `json:"located,omitempty"`
	Request string        `json:"request"`
	// Revision is the one in force, if the gateway was asked and has one.
	Revision uint64      `json:"revision,omitempty"`
	SHA256   string      `json:"policy-sha256"`
	Mode     policy.Mode `json:"mode"`
	// Unasked says that the gateway asks a flag server, and explain doesn't.
	Unasked bool `json:"flag-server-not-asked,omitempty"`
	policy.Explanation

	// Waiting is what the gateway doesn't know yet, so that it serves nothing.
	Waiting string `json:"waiting,omitempty"`

	fromGateway bool // the gateway was asked
	noPolicy    bool // no policy was
}

func (o *explainOptions) explain(cmd *cobra.Command, asked string) error {
	if !strings.HasPrefix(o.path, "/") {
		return fmt.Errorf("--path begins with a slash, as in --path /signup")
	}
	x, err := o.ask(cmd, asked)
	switch {
	case err != nil:
		return err
	case o.json:
		return exitFailure(writeJSON(cmd.OutOrStdout(), x))
	}
	x.write(cmd.OutOrStdout())
	return nil
}

// ask asks the gateway, or does without.
func (o *explainOptions) ask(cmd *cobra.Command, asked string) (explanation, error) {
	set := cmd.Flags().Changed
	if set("config") || set("policy") || set("geo") {
		return o.decide(cmd, asked)
	}
	q, err := o.question(cmd, asked)
	if err != nil {
		return explanation{}, err
	}
	c, err := o.open()
	if err != nil {
		return explanation{}, err
	}
	x, err := c.explain(cmd.Context(), asked, q)
	if isNotRunning(err) {
		fmt.Fprintf(cmd.ErrOrStderr(), "No gateway is running here, with the socket %s: this is by no policy, and by the embedded database.\n\n", c.target)
		return o.decide(cmd, asked)
	}
	return x, commandError(cmd, o.json, err)
}

// question is what the gateway is asked.
func (o *explainOptions) question(cmd *cobra.Command, asked string) (api.Question, error) {
	q := api.Question{Method: o.method, Path: o.path, At: o.at.Time}
	if cmd.Flags().Changed("host") {
		q.Host = o.host
	}
	if _, err := netip.ParseAddr(asked); err == nil {
		q.Address = asked
		return q, nil
	}
	q.Jurisdiction = policy.Code(asked)
	_, err := placeOf(asked)
	return q, commandError(cmd, o.json, err)
}

// explain has the gateway explain.
func (c *client) explain(ctx context.Context, asked string, q api.Question) (explanation, error) {
	answered, err := decode[api.Explanation](c.post(ctx, "/v1/explain", q))
	if err != nil {
		return explanation{}, err
	}
	s, err := decode[api.Status](c.get(ctx, "/v1/status"))
	if err != nil {
		return explanation{}, err
	}
	return explanation{
		Asked:       asked,
		Request:     q.Method + " " + q.Host + q.Path,
		Revision:    s.Revision,
		SHA256:      s.SHA256,
		Mode:        s.Mode,
		Waiting:     s.Waiting,
		Located:     answered.Located,
		Explanation: answered.Explanation,
		fromGateway: true,
	}, nil
}

// decide locates and decides as a gateway would.
func (o *explainOptions) decide(cmd *cobra.Command, asked string) (explanation, error) {
	place, how, err := o.locate(cmd, asked)
	if err != nil {
		return explanation{}, err
	}
	p := policy.OpenEverywhere()
	if o.policy != "" {
		source, err := readFile(o.policy)
		if err != nil {
			return explanation{}, exitFailure(fmt.Errorf("policy: %w", err))
		}
		if p, err = document.Read(o.policy, source); err != nil {
			return explanation{}, exitFailure(err)
		}
	}
	path, _, _ := strings.Cut(o.path, "?")
	snapshot := policy.Compile(p, p.OwnFlags(), o.at.or(o.now))
	return explanation{
		Asked:       asked,
		Located:     how,
		Request:     o.method + " " + o.host + o.path,
		SHA256:      p.Digest(),
		Mode:        p.Mode(),
		Unasked:     o.flagServerNotAsked,
		noPolicy:    o.policy == "",
		Explanation: snapshot.Explain(place, o.method, strings.ToLower(o.host), path),
	}, nil
}

// locate finds the place of an address, or that of a jurisdiction.
func (o *explainOptions) locate(cmd *cobra.Command, asked string) (policy.Place, *api.Location, error) {
	options := geo.Options{Files: o.geo}
	if o.config != "" {
		c, _, err := readSettings(o.config)
		if err != nil {
			return policy.Place{}, nil, err
		}
		if o.policy == "" {
			o.policy = c.Policy.File
		}
		if !cmd.Flags().Changed("geo") {
			options.Files = c.Geo.Databases
		}
		options.RegisteredCountry, options.Corrections = c.Geo.RegisteredCountry, c.Geo.Corrections
		o.flagServerNotAsked = c.Flags.OFREP != (config.OFREP{})
	}
	address, err := netip.ParseAddr(asked)
	if err != nil {
		place, err := placeOf(asked)
		return place, nil, commandError(cmd, o.json, err)
	}
	locator, err := geo.Open(options)
	if err != nil {
		return policy.Place{}, nil, exitFailure(err)
	}
	d := locator.Describe(address)
	return d.Place, control.NewLocation(d), nil
}

// placeOf returns the place that a jurisdiction's code stands for.
func placeOf(code string) (policy.Place, error) {
	switch jurisdiction := policy.Code(code); {
	case jurisdiction == policy.Anonymous:
		return policy.Place{Anonymous: true}, nil
	case policy.IsPlace(jurisdiction):
		return policy.PlaceOf(jurisdiction), nil
	}
	unknown := changes.Error{Code: changes.NotFound, Message: fmt.Sprintf("%q is neither an address nor a country or subdivision", code)}
	if closest := iso3166.Closest(code); closest != "" {
		unknown.Message += ": did you mean " + closest + "?"
	}
	return policy.Place{}, &unknown
}

func (x explanation) write(out io.Writer) {
	d := x.Decision
	code := x.Place.Jurisdiction()
	fmt.Fprintf(out, "%s is %s\n", x.Asked, formatJurisdiction(code))
	if x.Located != nil {
		writeLocation(out, x.Located)
	}
	if x.Place.Anonymous {
		fmt.Fprintln(out, "  hides where it is")
	}
	fmt.Fprintf(out, "%s is of the class %s\n", x.Request, x.Class)
	if x.Ambiguous {
		fmt.Fprintln(out, "\n→ reject with 400: an app could read the request as one that is refused, or the other way around")
		return
	}
	if x.Waiting != "" {
		fmt.Fprintln(out, "\n→ reject with 503: nothing is served yet, to anybody: exitgate status says why")
		return
	}
	if x.noPolicy {
		fmt.Fprintln(out, "\n→ forward: neither a gateway nor a policy was asked, and without one all is forwarded")
		return
	}
	fmt.Fprintf(out, "\n→ %s: %s\n", formatDecision(d), formatReason(d))
	if x.Override != "" {
		fmt.Fprintf(out, "  %s\n", x.Override)
	}
	var matches, flags [][]string
	for _, m := range x.Matches {
		mark := " "
		if m.Wins {
			mark = "→"
		}
		phase := phaseSince(policy.Market{Phase: m.Phase, Since: m.Since, Routes: m.Routes})
		because := ""
		if len(m.Because) > 0 {
			because = "because of " + strings.Join(m.Because, ", ")
		}
		matches = append(matches, []string{mark + " " + string(m.Entry), m.How, phase, m.Why, because})
	}
	writeSection(out, "Entries of the policy that match", matches)
	for _, name := range slices.Sorted(maps.Keys(x.Flags)) {
		flags = append(flags, []string{name, x.Flags[name].String()})
	}
	by := ", by the policy's own table"
	if x.fromGateway {
		by = ""
	}
	writeSection(out, "Flags that the app is told"+by, flags)
	if x.Unasked {
		fmt.Fprintln(out, "\nThe flag server was not asked: the gateway's market status shows what its flags restrict.")
	}
	by = "the policy"
	if x.Revision != 0 {
		by = fmt.Sprintf("revision %d,", x.Revision)
	}
	fmt.Fprintf(out, "\nBy %s sha256:%.12s on %s", by, x.SHA256, formatTime(x.At))
	if !x.Next.IsZero() {
		fmt.Fprintf(out, "; this may change on %s", formatTime(x.Next))
	}
	fmt.Fprintln(out)
}

func writeLocation(out io.Writer, l *api.Location) {
	if l.Form != "" {
		fmt.Fprintf(out, "  looked up as %s (%s)\n", l.Address, l.Form)
	}
	for _, source := range []struct{ what, from string }{{"country", l.Country}, {"subdivisions", l.Subdivisions}, {"anonymity", l.Anonymous}} {
		if source.from != "" {
			fmt.Fprintf(out, "  %s from %s\n", source.what, source.from)
		}
	}
	if l.ASN != 0 {
		fmt.Fprintf(out, "  AS%d %s\n", l.ASN, l.Organisation)
	}
}

func formatJurisdiction(code policy.Code) string {
	if name := policy.Name(code); name != string(code) {
		return fmt.Sprintf("in %s (%s)", code, name)
	}
	return string(code)
}

func formatDecision(d policy.Decision) string {
	switch d.Action {
	case policy.Refuse:
		return "refuse"
	case policy.WouldRefuse:
		return "forward, as the policy only observes; else refuse"
	}
	return "forward"
}

func formatReason(d policy.Decision) string {
	switch {
	case d.Reason == policy.ByGuarantee || d.Reason == policy.ByFlag:
		return fmt.Sprintf("%s is %s by the flag %s", d.Jurisdiction, d.Phase, d.Flag)
	case d.Entry == policy.Default:
		return "no entry of the policy matches"
	}
	text := fmt.Sprintf("%s is %s by the entry %s", d.Jurisdiction, d.Phase, d.Entry)
	if d.Feature {
		text += " for the class " + d.Class
	}
	if !d.Sunset.IsZero() && d.Phase < policy.Withdrawn {
		text += ", withdrawn from " + formatTime(d.Sunset)
	}
	return text
}

func completeJurisdictions(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var codes []string
	for c := range iso3166.Countries() {
		codes = append(codes, c.Code+"\t"+c.Name)
	}
	return codes, cobra.ShellCompDirectiveNoFileComp
}
