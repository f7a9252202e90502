package control

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// Readiness returns whether the gateway can serve, and what it is serving by.
func (c *Control) Readiness() api.Readiness {
	now := c.now()
	snapshot, blocked := c.engine.Snapshot(now)
	draining := c.o.Draining()
	r := api.Readiness{Ready: !draining && blocked == "", Checks: map[string]api.Check{"policy": c.checkPolicy(snapshot, blocked)}}
	if draining {
		r.Checks["listener"] = api.Check{Detail: "stopping: finishing what is under way"}
	}
	if err := c.engine.StepsError(); err != nil {
		r.Checks["steps kept"] = api.Check{
			Detail: fmt.Sprintf("%v\n\nwhat says besides which steps of schedules were taken is schedule.json, of the policy that was last in use: nothing opens by this unless the clock is set back while that is lost, too. See that the clock is right, and that the data folder has room and can be written", err),
		}
	}
	c.checkLedger(now, r.Checks)
	c.checkFlags(now, r.Checks)
	c.checkDatabases(r.Checks)
	c.checkClients(r.Checks)
	c.checkPlaces(snapshot, r.Checks)
	c.checkCertificates(now, r.Checks)
	c.checkCaches(r.Checks)
	c.checkSettings(r.Checks)
	return r
}

func (c *Control) checkPolicy(snapshot *policy.Snapshot, blocked enforce.BlockedReason) api.Check {
	digest, until := "sha256:"+snapshot.Policy().Digest()[:12], "changed"
	if end := snapshot.NextStep(); !end.IsZero() {
		until = end.Format(time.RFC3339)
	}
	if blocked == enforce.PolicyUnknown {
		return api.Check{Detail: "no policy is known yet: nothing is served until the ledger can be reached"}
	}
	if failure := c.engine.Failure(); failure != nil {
		return api.Check{Since: &failure.Since, Detail: fmt.Sprintf("%s\n\n%s stays in use", c.describeFailure(failure.Err), digest)}
	}
	return api.Check{OK: true, Detail: fmt.Sprintf("%s holds until %s", digest, until)}
}

// describeFailure says what is wrong with a policy, unless it speaks of what may not be
// disclosed: which of its demands are, isn't known of one that is wrong.
func (c *Control) describeFailure(err error) string {
	if wrong, ok := errors.AsType[*source.PolicyError](err); ok && (wrong.Undisclosed || len(c.Undisclosed(changes.Actor{})) > 0) {
		return "the policy is wrong; why isn't said here, as it has what may not be disclosed: see the gateway's log, or exitgate check"
	}
	return err.Error()
}

// checkLedger says how well the ledger is followed. That it is lost changes no
// decision, and so doesn't make the gateway unready.
func (c *Control) checkLedger(now time.Time, checks map[string]api.Check) {
	connection := c.source.Connection()
	if connection == nil {
		return
	}
	check := api.Check{OK: connection.Connected, Detail: fmt.Sprintf("record %d", connection.Last)}
	if !connection.Connected {
		check.Since = &connection.Since
		check.Detail = connection.Why + "\n\nnothing can be changed"
		if connection.Last > 0 {
			check.Detail += fmt.Sprintf("; what is known up to record %d stays in use", connection.Last)
		}
	}
	checks["ledger"] = check
	if err := c.source.SaveError(); err != nil {
		checks["ledger kept"] = api.Check{
			Detail: fmt.Sprintf("%v\n\nthe next start would need the ledger: make room in the data folder, and let the gateway write to it", err),
		}
	}
	if connection.Clock != "" {
		checks["clock"] = api.Check{
			Since:  &connection.ClockOffSince,
			Detail: connection.Clock + "\n\nnothing can be changed here, but markets withdrawn: set the clock, as with NTP; clients get what they got before",
		}
	}
	if connection.Reserve != nil {
		checks["disk"] = api.Check{Detail: fmt.Sprintf("%v\n\nmake room in the data folder: the reserve is made again by itself", connection.Reserve)}
	}
	if connection.Differing > 0 {
		checks["ledger records"] = api.Check{
			Detail: fmt.Sprintf("%d records of the ledger differ from this gateway's copy of them: one of the two was changed\n\nkeep both: see docs/operations.md, Records differ", connection.Differing),
		}
	}
	for _, revision := range c.source.State().Unsigned() {
		if now.After(revision.SignBy) {
			checks[fmt.Sprintf("emergency %d", revision.Number)] = api.Check{
				Since:  &revision.SignBy,
				Detail: fmt.Sprintf("%s; nobody has signed it within 24 hours: look into it, and exitgate approve %d", revision.Because, revision.Number),
			}
		}
	}
}

// checkFlags says how the gateway knows what flags are. That a source is lost
// changes nothing, and so doesn't make the gateway unready.
func (c *Control) checkFlags(now time.Time, checks map[string]api.Check) {
	status := c.o.Flags.Status()
	if c.o.FlagSources || len(status.Breaches) > 0 {
		check := api.Check{OK: true, Detail: "answered " + formatAge(status.LastSuccess, now)}
		var wrong []string
		if c.o.FlagServer != nil {
			if since, err := c.o.FlagServer(); err != nil {
				wrong, check.Since = append(wrong, err.Error()), &since
			}
		}
		for _, rejected := range status.Rejected {
			wrong = append(wrong, rejected.String())
			if check.Since == nil {
				check.Since = &status.Since
			}
		}
		if wrong != nil {
			check.OK = false
			check.Detail = strings.Join(wrong, "\n") + "\n\n"
			if status.Answered {
				check.Detail += "what was known stays in use, all of it last answered " + formatAge(status.LastSuccess, now)
			} else {
				check.Detail += "no guaranteed flag is known yet: nothing is served until the source answers"
			}
		}
		checks["flags"] = check
	}
	if status.SaveError != nil {
		checks["flags kept"] = api.Check{
			Detail: fmt.Sprintf("%v\n\nthe next start would forget the guarantees that were broken: make room in the data folder, and let the gateway write to it", status.SaveError),
		}
	}
	for _, b := range status.Breaches {
		checks[fmt.Sprintf("guarantee %s in %s", b.Flag, b.Jurisdiction)] = api.Check{
			Since:  &b.Since,
			Detail: "was below what is guaranteed; the service is withheld there until the policy acknowledges it: see acknowledge: in docs/policy.md",
		}
	}
}

func (c *Control) checkDatabases(checks map[string]api.Check) {
	for _, d := range c.o.Databases.Databases() {
		check := api.Check{OK: true, Detail: fmt.Sprintf("%s, built %s", d.Type, d.Build.Format(time.DateOnly))}
		if d.Build.IsZero() {
			check.Detail = d.Type
		}
		if d.Err != nil && d.Build.IsZero() {
			check = api.Check{Since: &d.Since, Detail: fmt.Sprintf("%v; what it had before stays in use", d.Err)}
		} else if d.Err != nil {
			check = api.Check{Since: &d.Since, Detail: fmt.Sprintf("%v; the one built %s stays in use", d.Err, d.Build.Format(time.DateOnly))}
		}
		if check.OK && c.o.Overdue(d) {
			check = api.Check{Detail: fmt.Sprintf("built %s: too old, as a market is restricted and clients are located ever worse: put a newer one in its place", d.Build.Format(time.DateOnly))}
		}
		checks["geo "+d.Path] = check
	}
	for _, h := range c.o.Databases.Holds() {
		checks["geo "+h.Path] = api.Check{Since: &h.Since, Detail: formatHold(h) + ". Until somebody decides, clients get the stricter of both: see exitgate geo diff, then exitgate geo accept or reject"}
	}
}

// checkPlaces says where the policy isn't enforced here, as the databases can't
// find who is there.
func (c *Control) checkPlaces(snapshot *policy.Snapshot, checks map[string]api.Check) {
	capability := c.o.Capability()
	for _, code := range snapshot.Unenforced(capability) {
		checks["not enforced here: "+string(code)] = api.Check{Detail: policy.DescribeUnenforced(code, capability)}
	}
}

// formatHold says what is held, and why.
func formatHold(h geo.Hold) string {
	built := fmt.Sprintf("the one built %s is held", h.Build.Format(time.DateOnly))
	switch {
	case h.Losses == nil:
		return built + ": it was rejected, and there is none before it"
	case h.Against == geo.LastRun:
		return "the databases are held: together they lack much of what those before the start have"
	}
	return built + ": it has lost much of what " + formatAgainst(h) + " has"
}

func formatAgainst(h geo.Hold) string {
	switch h.Against {
	case geo.Embedded:
		return "the embedded one"
	case geo.LastRun:
		return "those before the start"
	}
	return "the one before"
}

// checkClients says why they seem not to be located by their own addresses.
func (c *Control) checkClients(checks map[string]api.Check) {
	if c.o.Doubt == nil {
		return
	}
	if doubt, since := c.o.Doubt(); doubt != "" {
		checks["clients"] = api.Check{Since: &since, Detail: doubt}
	}
}

func (c *Control) checkCertificates(now time.Time, checks map[string]api.Check) {
	for host, end := range c.o.CertificateEnds() {
		switch {
		case end.IsZero():
			checks["certificate "+host] = api.Check{Detail: "none was obtained yet"}
		case !now.Before(end):
			checks["certificate "+host] = api.Check{Since: &end, Detail: "has ended"}
		}
	}
	for name, failure := range c.o.CertificateFailures() {
		checks[name] = api.Check{Since: &failure.Since, Detail: failure.Err.Error()}
	}
}

// checkCaches says that caches may serve what is refused, as they can't be purged.
func (c *Control) checkCaches(checks map[string]api.Check) {
	if c.o.Purges == nil {
		return
	}
	if p := c.o.Purges(); p != nil && p.Err != nil {
		checks["caches"] = api.Check{
			Since:  &p.Since,
			Detail: fmt.Sprintf("%v\n\nthe caches in front may serve what is refused now in %s: it is tried again; see caches.purge in the settings", p.Err, p.Pending),
		}
	}
}

// checkSettings says why those that were read last are not in use.
func (c *Control) checkSettings(checks map[string]api.Check) {
	if c.o.SettingsFailure == nil {
		return
	}
	if since, err := c.o.SettingsFailure(); err != nil {
		checks["settings"] = api.Check{Since: &since, Detail: describeSettings(err) + "\n\nthe previous ones stay in use; mend what is wrong, then reload"}
	}
}

// describeSettings says what is wrong with settings, without the lines of their file: an
// address may have a password in it, and readiness is for everybody here.
func describeSettings(err error) string {
	wrong, ok := errors.AsType[strictyaml.Errors](err)
	if !ok {
		return err.Error()
	}
	var all []string
	for _, d := range wrong {
		at := d.File
		if d.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Column)
		}
		all = append(all, at+": "+d.Message)
	}
	return strings.Join(all, "\n")
}

// formatAge says how long ago something was.
func formatAge(then, now time.Time) string {
	if then.IsZero() {
		return "before the start"
	}
	return fmt.Sprintf("%s ago (%s)", now.Sub(then).Round(time.Second), then.UTC().Format(time.RFC3339))
}
