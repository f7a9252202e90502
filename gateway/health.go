package gateway

import (
	"fmt"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/metrics"
)

// state is what the metrics show of what the gateway works with.
func (g *Gateway) state() metrics.State {
	s := metrics.State{
		Snapshot:     g.rules.at(g.now()).snapshot,
		PolicyFailed: g.rules.failure() != nil,
		Certificates: g.certs.Expiry(),
	}
	for _, d := range g.geo.Databases() {
		s.Databases = append(s.Databases, metrics.Database{Name: d.Path, Build: d.Build, Embedded: d.Path == geo.Embedded})
	}
	return s
}

// readiness says whether the gateway can serve, and what it is serving by.
func (g *Gateway) readiness() admin.Readiness {
	now := g.now()
	r := admin.Readiness{Ready: !g.servers.draining.Load(), Checks: map[string]admin.Check{}}
	if !r.Ready {
		r.Checks["listener"] = admin.Check{Detail: "stopping: finishing what is under way"}
	}

	rule := g.rules.at(now)
	p := rule.snapshot.Policy()
	check := admin.Check{OK: true, Detail: fmt.Sprintf("%s holds until %s", short(p.Digest()), until(rule))}
	if failure := g.rules.failure(); failure != nil {
		check = admin.Check{Since: &failure.since, Detail: fmt.Sprintf("%v\n\n%s stays in use", failure.err, short(p.Digest()))}
	}
	r.Checks["policy"] = check

	for _, d := range g.geo.Databases() {
		check := admin.Check{OK: true, Detail: fmt.Sprintf("%s, built %s", d.Type, d.Build.Format(time.DateOnly))}
		if d.Err != nil {
			check = admin.Check{Since: &d.Since, Detail: fmt.Sprintf("%v; the one built %s stays in use", d.Err, d.Build.Format(time.DateOnly))}
		}
		r.Checks["geo "+d.Path] = check
	}
	if wrong := g.certsWrong.Load(); wrong != nil {
		r.Checks["certificates"] = admin.Check{Since: &wrong.since, Detail: fmt.Sprintf("%v; the ones before stay in use", wrong.err)}
	}
	for host, end := range g.certs.Expiry() {
		if !now.Before(end) {
			r.Checks["certificate "+host] = admin.Check{Since: &end, Detail: "has ended"}
		}
	}
	return r
}

// A failure is why something new could not be taken into use, and since when.
type failure struct {
	err   error
	since time.Time
}

func short(digest string) string { return "sha256:" + digest[:12] }
