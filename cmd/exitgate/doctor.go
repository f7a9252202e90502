package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
)

func newDoctor(now func() time.Time) *cobra.Command {
	o := doctorOptions{now: now}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at the gateway and its machine, and say what to mend",
		Long: `Look at all that a gateway needs, and say of each thing whether it is well, and else
what to mend.

It asks the gateway, over the socket in its data folder, what isn't well, and has it
verify the ledger; a gateway that doesn't run is a failure. Of this machine it looks at the data
folder, its permissions and the disk, and at the ledger's records if no gateway can
be asked.

With --config, the settings that serve would read, also at these and the policy, as
check does; at ports, certificates, the permissions of files with secrets, databases
and their age; and it asks each upstream of the apps with HEAD /, and compares its
clock with this machine's. Without, of these only what the gateway itself says.

With --api, it asks a gateway on another machine, and looks at nothing of this one.

Exit codes: 0 nothing has failed, but there may be warnings, 1 something has, or could
not be looked at, 2 usage.`,
		Example: `  exitgate doctor
  exitgate doctor --config /etc/exitgate/exitgate.yaml
  exitgate doctor --config /etc/exitgate/exitgate.yaml --json | jq '.findings[] | select(.status != "ok")'
  exitgate doctor --api https://gateway.example.org:8601 --token-file token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.register(cmd)
	cmd.Flags().StringVar(&o.config, "config", "", "`file` with the gateway's settings")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // the flag exists
	return cmd
}

type doctorOptions struct {
	queryOptions
	config string
	now    func() time.Time
}

// A diagnosis is what doctor prints.
type diagnosis struct {
	OK       bool              `json:"ok"` // nothing has failed
	Time     time.Time         `json:"time"`
	Findings []gateway.Finding `json:"findings"`
}

func (d *diagnosis) add(s gateway.Severity, check, mend, format string, args ...any) {
	d.Findings = append(d.Findings, gateway.Finding{Check: check, Status: s, Detail: fmt.Sprintf(format, args...), Mend: mend})
}

func (o *doctorOptions) run(cmd *cobra.Command) error {
	if o.api != "" && (o.config != "" || o.data != "") {
		return errors.New("--config and --data are of a gateway on this machine, and --api is of one on another: leave out which you don't mean")
	}
	remote := o.config == "" && o.address() != ""
	d := &diagnosis{Time: o.now().UTC()}
	var settings config.Config
	known := false
	if !remote {
		settings, known = o.checkSettings(d)
		folder, err := dataFolder(cmp.Or(o.data, settings.Data))
		if err != nil {
			return exitFailure(err)
		}
		o.data, settings.Data = folder, folder
	}
	c, err := o.open()
	if err != nil {
		return err
	}
	running := o.checkGateway(cmd.Context(), d, c)
	if !remote {
		d.Findings = append(d.Findings, gateway.Examine(cmd.Context(), gateway.Examination{Settings: settings, Known: known, Running: running, Now: o.now})...)
	}
	d.OK = !slices.ContainsFunc(d.Findings, func(f gateway.Finding) bool { return f.Status == gateway.Failure })
	if o.json {
		err = writeJSON(cmd.OutOrStdout(), d)
	} else {
		d.write(newPrinter(cmd.OutOrStdout()))
	}
	if err == nil && !d.OK {
		err = &exitError{code: exitFailed}
	}
	return err
}

// checkSettings reads the settings as check does. known says whether there are any.
func (o *doctorOptions) checkSettings(d *diagnosis) (c config.Config, known bool) {
	const check = "settings"
	if o.config == "" {
		d.add(gateway.Warning, check, "name the file that serve reads with --config", "no settings were given: ports, certificates, apps, secrets and databases are looked at only as the gateway itself does")
		return config.Default(), false
	}
	source, err := readFile(o.config)
	if err != nil {
		d.add(gateway.Failure, check, "name the file that serve reads with --config", "%v", err)
		return config.Default(), false
	}
	warnings, err := config.Check(o.config, source, func(read config.Config) (wrong, warnings []config.Fault) {
		c = read
		return gateway.CheckSettings(read, o.now())
	})
	if all, ok := errors.AsType[strictyaml.Errors](err); ok {
		for _, w := range all {
			addDiagnostic(d, gateway.Failure, w)
		}
	} else if err != nil {
		d.add(gateway.Failure, check, "", "%v", err)
	}
	for _, w := range warnings {
		addDiagnostic(d, gateway.Warning, w)
	}
	if err == nil && len(warnings) == 0 {
		d.add(gateway.OK, check, "", "%s and what it names are valid, the policy among it if it is in a file", o.config)
	}
	return c, true
}

// addDiagnostic says what is wrong in a document, without its line: that may have a secret.
func addDiagnostic(d *diagnosis, s gateway.Severity, w *strictyaml.Diagnostic) {
	at := w.File
	if w.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column)
	}
	d.add(s, "settings", w.Advice, "%s: %s", at, w.Message)
}

// checkGateway asks the gateway what isn't well, and reports whether it runs.
func (o *doctorOptions) checkGateway(ctx context.Context, d *diagnosis, c *client) (running bool) {
	const check = "gateway"
	s, err := decode[api.Status](c.get(ctx, "/v1/status"))
	if isNotRunning(err) {
		d.add(gateway.Failure, check, "start it: exitgate serve, or systemctl start exitgate; its log says why it doesn't. If one runs, name its data folder with --data", "none runs with the data folder: there is nobody at %s", c.socket)
		return false
	}
	if err != nil {
		d.add(gateway.Failure, check, "", "%v", err)
		return true
	}
	if s.Ready {
		d.add(gateway.OK, check, "", "version %s on %s is ready to serve", s.Version, s.Host)
	} else {
		d.add(gateway.Failure, check, "mend what has failed below", "version %s on %s isn't ready to serve", s.Version, s.Host)
	}
	if own := metrics.Version(); own != s.Version {
		d.add(gateway.Warning, "version", "restart the gateway after an upgrade, or use the command of its version", "the gateway is %s, and this command is %s", s.Version, own)
	}
	if s.Mode == policy.Observe {
		d.add(gateway.Warning, "policy mode", "write mode: enforce into the policy when you are done", "it only observes: nobody is refused")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		detail, mend, _ := strings.Cut(s.Checks[name].Detail, "\n\n")
		severity := gateway.Failure
		if s.Checks[name].OK {
			severity = gateway.OK
		} else if since := s.Checks[name].Since; since != nil {
			detail = "since " + formatMinute(*since) + ": " + detail
		}
		d.add(severity, name, mend, "%s", detail)
	}
	if _, seen := s.Checks["clients"]; !seen {
		d.add(gateway.OK, "clients", "", "nothing seen says that they aren't located by their own addresses")
	}
	if l := s.Ledger; l != nil {
		if l.LowestFormat > 0 && l.LowestFormat < l.Format {
			d.add(gateway.Warning, "other gateways", "upgrade all", "one reads format %d of the ledger, this one %d: what is newer isn't written until then", l.LowestFormat, l.Format)
		}
		if l.Unknown > 0 {
			d.add(gateway.Warning, "ledger format", "upgrade this gateway", "%s skipped, as only a newer exitgate knows them", plural(int(l.Unknown), "record"))
		}
		if l.Unrecorded > 0 {
			d.add(gateway.Warning, "ledger entries", "see the log of the gateway", "what took place here %s isn't in the ledger yet", plural(l.Unrecorded, "time"))
		}
		o.verifyLedger(ctx, d, c)
	}
	return true
}

// verifyLedger has the gateway verify the ledger, as log --verify does.
func (o *doctorOptions) verifyLedger(ctx context.Context, d *diagnosis, c *client) {
	const check = "ledger verification"
	c.timeout = verifyTimeout
	v, err := decode[api.Verification](c.get(ctx, "/v1/log/verification"))
	switch {
	case err != nil:
		d.add(gateway.Failure, check, "try exitgate log --verify", "%v", err)
	case !v.OK && len(v.Wrong) > 0:
		d.add(gateway.Failure, check, "keep a copy, and see exitgate log --verify, and docs/operations.md, A record was refused", "%s of %d wrong, the first of them %d: %s", plural(len(v.Wrong), "record"), v.Records+len(v.Wrong), v.Wrong[0].Number, v.Wrong[0].Reason)
	case v.Unread != "":
		d.add(gateway.Failure, check, "see docs/operations.md, The ledger can't be reached", "the ledger can't be read: %s; the gateway's copy is valid up to record %d", v.Unread, v.Last)
	default:
		d.add(gateway.OK, check, "", "valid, %s, the last of them %d", plural(v.Records, "record"), v.Last)
	}
}

// write shows what was found, the worst first.
func (d *diagnosis) write(out printer) {
	colours := map[gateway.Severity]string{gateway.Failure: red, gateway.Warning: yellow, gateway.OK: green}
	counts := make(map[gateway.Severity]int)
	for _, severity := range []gateway.Severity{gateway.Failure, gateway.Warning, gateway.OK} {
		for _, f := range d.Findings {
			if f.Status != severity {
				continue
			}
			counts[severity]++
			fmt.Fprintf(out, "%s  %s\n", out.inColour(colours[severity], fmt.Sprintf("%-7s", severity)), sanitise(f.Check))
			for line := range strings.Lines(sanitiseLines(f.Detail)) {
				out.paragraph("         ", "%s", strings.TrimSpace(line))
			}
			if f.Mend != "" {
				out.paragraph("         ", "mend: %s", sanitise(f.Mend))
			}
		}
	}
	fmt.Fprintf(out, "\n%s, %s, %d ok\n", plural(counts[gateway.Failure], "failure"), plural(counts[gateway.Warning], "warning"), counts[gateway.OK])
}
