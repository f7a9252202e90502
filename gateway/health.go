package gateway

import (
	"fmt"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/policy/changes"
)

// state is what the metrics show of what the gateway works with.
func (g *Gateway) state() metrics.State {
	s := metrics.State{
		Snapshot:     g.engine.Current(g.now()).Snapshot(),
		PolicyFailed: g.engine.Failure() != nil,
		Certificates: g.certs.Expiry(),
		Flags:        g.flagState(),
	}
	if c := g.source.Connection(); c != nil {
		s.Ledger = g.ledgerState(c)
	}
	for _, d := range g.geo.Databases() {
		s.Databases = append(s.Databases, metrics.Database{Name: d.Path, Build: d.Build, Embedded: d.Path == geo.Embedded})
	}
	return s
}

// ledgerState is what the metrics show of the ledger.
func (g *Gateway) ledgerState(c *source.Connection) *metrics.Ledger {
	state, now := g.source.State(), g.now()
	l := &metrics.Ledger{Connected: c.Connected}
	for _, c := range state.Changes(now) {
		if c.Status == changes.Pending {
			l.Pending++
		}
	}
	for _, revision := range state.Unsigned() {
		l.SignatureDue = append(l.SignatureDue, revision.SignBy)
	}
	return l
}

// readiness says whether the gateway can serve, and what it is serving by.
func (g *Gateway) readiness() admin.Readiness {
	now := g.now()
	r := admin.Readiness{Ready: !g.servers.draining.Load(), Checks: map[string]admin.Check{}}
	if !r.Ready {
		r.Checks["listener"] = admin.Check{Detail: "stopping: finishing what is under way"}
	}

	rule := g.engine.Current(now)
	p := rule.Snapshot().Policy()
	check := admin.Check{OK: true, Detail: fmt.Sprintf("%s holds until %s", short(p.Digest()), rule.Until())}
	if failure := g.engine.Failure(); failure != nil {
		check = admin.Check{Since: &failure.Since, Detail: fmt.Sprintf("%v\n\n%s stays in use", failure.Err, short(p.Digest()))}
	}
	if rule.Blocked() == enforce.PolicyUnknown {
		check = admin.Check{Detail: "no policy is known yet: nothing is served until the ledger can be reached"}
	}
	r.Checks["policy"] = check

	r.Ready = r.Ready && rule.Blocked() == ""
	if c := g.source.Connection(); c != nil {
		g.checkLedger(c, now, &r)
	}
	g.checkFlags(now, &r)

	for _, d := range g.geo.Databases() {
		check := admin.Check{OK: true, Detail: fmt.Sprintf("%s, built %s", d.Type, d.Build.Format(time.DateOnly))}
		if d.Err != nil {
			check = admin.Check{Since: &d.Since, Detail: fmt.Sprintf("%v; the one built %s stays in use", d.Err, d.Build.Format(time.DateOnly))}
		}
		r.Checks["geo "+d.Path] = check
	}
	if failure := g.certs.Failure(); failure != nil {
		r.Checks["certificates"] = admin.Check{Since: &failure.Since, Detail: fmt.Sprintf("%v; the previous ones stay in use", failure.Err)}
	}
	for host, end := range g.certs.Expiry() {
		if !now.Before(end) {
			r.Checks["certificate "+host] = admin.Check{Since: &end, Detail: "has ended"}
		}
	}
	return r
}

// checkLedger says how well the ledger is followed. That it is lost changes no
// decision, and so doesn't make the gateway unready.
func (g *Gateway) checkLedger(reach *source.Connection, now time.Time, r *admin.Readiness) {
	check := admin.Check{OK: reach.Connected, Detail: fmt.Sprintf("record %d", reach.Last)}
	if !reach.Connected {
		check.Since = &reach.Since
		check.Detail = reach.Why + "\n\nnothing can be changed"
		if reach.Last > 0 {
			check.Detail += fmt.Sprintf("; what is known up to record %d stays in use", reach.Last)
		}
	}
	r.Checks["ledger"] = check
	if err := g.source.SaveError(); err != nil {
		r.Checks["ledger kept"] = admin.Check{
			Detail: fmt.Sprintf("%v\n\nthe next start would need the ledger: make room in the data folder, and let the gateway write to it", err),
		}
	}
	for _, revision := range g.source.State().Unsigned() {
		if now.After(revision.SignBy) {
			r.Checks[fmt.Sprintf("emergency %d", revision.Number)] = admin.Check{
				Since:  &revision.SignBy,
				Detail: fmt.Sprintf("%s; nobody has signed it within 24 hours: look into it, and exitgate approve %d", revision.Because, revision.Number),
			}
		}
	}
}

// checkFlags says how the gateway knows what flags are. That a source is lost
// changes nothing, and so doesn't make the gateway unready.
func (g *Gateway) checkFlags(now time.Time, r *admin.Readiness) {
	status := g.flags.Status()
	if len(g.flagSources) > 0 || len(status.Breaches) > 0 {
		check := admin.Check{OK: true, Detail: "answered " + ago(status.LastSuccess, now)}
		var wrong []string
		if g.ofrep != nil {
			if s := g.ofrep.Status(); s.Err != nil {
				wrong, check.Since = append(wrong, s.Err.Error()), &s.Since
			}
		}
		for _, refusal := range status.Rejected {
			wrong = append(wrong, refusal.String())
			if check.Since == nil {
				check.Since = &status.Since
			}
		}
		if wrong != nil {
			check.OK = false
			check.Detail = strings.Join(wrong, "\n") + "\n\n"
			if status.Answered {
				check.Detail += "what was known stays in use, all of it last answered " + ago(status.LastSuccess, now)
			} else {
				check.Detail += "no guaranteed flag is known yet: nothing is served until the source answers"
			}
		}
		r.Checks["flags"] = check
	}
	if status.SaveError != nil {
		r.Checks["flags kept"] = admin.Check{
			Detail: fmt.Sprintf("%v\n\nthe next start would forget the guarantees that were broken: make room in the data folder, and let the gateway write to it", status.SaveError),
		}
	}
	for _, b := range status.Breaches {
		r.Checks[fmt.Sprintf("guarantee %s in %s", b.Flag, b.Jurisdiction)] = admin.Check{
			Since:  &b.Since,
			Detail: "was below what is guaranteed; the service is withheld there until the policy acknowledges it: see acknowledge: in docs/policy.md",
		}
	}
}

// ago says how long ago something was.
func ago(then, now time.Time) string {
	if then.IsZero() {
		return "before the start"
	}
	return fmt.Sprintf("%s ago (%s)", now.Sub(then).Round(time.Second), then.UTC().Format(time.RFC3339))
}

func short(digest string) string { return "sha256:" + digest[:12] }
