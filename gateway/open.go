package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/accesslog"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/request"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/internal/loopback"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// openApps returns the apps by their names, which are their hosts as they are listed, and
// by each host. One that the service before has just so is that one.
func (g *Gateway) openApps(c config.Config, before *service) (map[string]*proxy.App, *request.Hosts[request.App], error) {
	apps, byHost := make(map[string]*proxy.App), make(map[string]request.App)
	var wrong []error
	for _, a := range c.Apps {
		name := strings.Join(a.Hosts, ", ")
		app := before.sameApp(name, a, c.Limits)
		if app == nil {
			var err error
			if app, err = g.openApp(a, c.Limits); err != nil {
				wrong = append(wrong, fmt.Errorf("app %s: %w", name, err))
				continue
			}
		}
		apps[name] = app
		if a.SecretFile != "" && slices.ContainsFunc(a.Upstreams, isPlain) {
			g.log.Warn("the secret of an app is sent in the clear over the network; use https upstreams", "app", name)
		}
		for _, host := range a.Hosts {
			byHost[host] = request.App{App: app, Name: name, Durations: g.metrics.Durations(name)}
		}
	}
	return apps, request.NewHosts(byHost), errors.Join(wrong...)
}

// sameApp returns the app of a service if it is made of these settings, else nil.
func (s *service) sameApp(name string, a config.App, limits config.Limits) *proxy.App {
	if s == nil || s.config.Limits != limits {
		return nil
	}
	if !slices.ContainsFunc(s.config.Apps, func(other config.App) bool { return reflect.DeepEqual(other, a) }) {
		return nil
	}
	return s.apps[name]
}

// openApp returns an app that connects to nothing yet.
func (g *Gateway) openApp(a config.App, limits config.Limits) (*proxy.App, error) {
	return proxy.New(proxy.Options{
		Upstreams:             a.Upstreams,
		Credentials:           g.credentials(a),
		ServerName:            a.ServerName,
		DialTimeout:           limits.ConnectTimeout,
		ResponseHeaderTimeout: limits.UpstreamTimeout,
		BodyIdle:              limits.StallTimeout,
		MaxBody:               limits.Body,
		MaxBodies:             limits.Bodies,
		BodyRate:              cmp.Or(limits.BodyRate, -1),
		OnBusy:                func() { g.metrics.Rejected(tooManyBodies) },
		Forwarded:             a.Forwarded,
		Logger:                g.log,
		OnResponse:            g.metrics.Upstream,
	})
}

// isPlain reports whether an upstream is elsewhere and isn't spoken to over TLS.
func isPlain(upstream string) bool {
	u, err := url.Parse(upstream)
	return err == nil && (u.Scheme == "http" || u.Scheme == "h2c") && !loopback.IsHost(u.Hostname())
}

// credentials returns what an app's upstreams are shown, and go by.
func (g *Gateway) credentials(a config.App) proxy.CredentialSource {
	names := []string{a.SecretFile, a.CA, a.Cert, a.Key}
	return proxy.CredentialSource{
		Load: func() (c proxy.Credentials, err error) {
			var secretErr, tlsErr error
			c.Secret, secretErr = proxy.ReadSecret(a.SecretFile)
			c.TLS, tlsErr = certs.ClientTLS(a.CA, certs.Pair{Cert: a.Cert, Key: a.Key})
			return c, errors.Join(secretErr, tlsErr)
		},
		Files:     slices.DeleteFunc(names, func(name string) bool { return name == "" }),
		OnFailure: g.metrics.CredentialFailures.Inc,
	}
}

// certificateFailures returns why certificates, and credentials of apps, are not
// as they should be, by what they are of.
func (g *Gateway) certificateFailures() map[string]certs.Failure {
	s := g.service.Load()
	failures := s.certs.Failures()
	for hosts, app := range s.apps {
		if f := app.CredentialFailure(); f != nil {
			failures["credentials for "+hosts] = certs.Failure{Err: fmt.Errorf("%w; the previous ones stay in use", f.Err), Since: f.Since}
		}
	}
	return failures
}

// certificateEnds returns when certificates end that clients are shown, by host,
// and those that upstreams are.
func (g *Gateway) certificateEnds() map[string]time.Time {
	s := g.service.Load()
	ends := s.certs.Expiry()
	for hosts, app := range s.apps {
		if end := app.CertificateEnd(); !end.IsZero() {
			ends[hosts+" (shown to upstreams)"] = end
		}
	}
	return ends
}

// openCertificates reads the certificates of the public listener, and what others
// are obtained with, unless the service before has that. Without either it makes one.
func (g *Gateway) openCertificates(c config.Config, before *service) (of certs.Certificates, err error) {
	if c.Listen.HTTPS == "" {
		return of, nil
	}
	options := certs.Options{Logger: g.log, Now: g.now, OnFailure: g.metrics.CertificateFailures.Inc}
	switch settings := c.TLS; {
	case len(settings.Files) > 0:
		var pairs []certs.Pair
		for _, f := range settings.Files {
			pairs = append(pairs, certs.Pair(f))
		}
		if of.Files, err = certs.Load(pairs, options); err != nil {
			return of, err
		}
	case !settings.ACME.IsSet():
		names := slices.DeleteFunc(uncovered(c, nil), func(host string) bool { return host == "*" })
		if of.Files, err = certs.SelfSigned(string(g.data), names, options); err == nil && (before == nil || len(before.config.TLS.Files) > 0) {
			g.log.Warn("the certificate is self-signed, for development: clients will not trust it; set tls.acme, or tls.files, for others")
		}
		return of, err
	}
	hosts := uncovered(c, of.Files)
	if c.TLS.ACME.IsSet() {
		if before == nil {
			of.ACME, err = g.openACME(c.TLS.ACME, hosts)
			return of, err
		}
		of.ACME = before.certs.ACME
		if !slices.Equal(hosts, uncovered(before.config, before.certs.Files)) {
			return of, needsRestart([]string{"the hosts that tls.acme obtains certificates for"})
		}
		return of, nil
	}
	for _, host := range hosts {
		if host != "*" {
			g.log.Warn("no certificate is for a host of an app: clients will not trust the one that they are shown", "host", host)
		}
	}
	return of, nil
}

// uncovered returns the hosts of all apps that no certificate of these files is for, in
// order; nil are no files.
func uncovered(c config.Config, files *certs.Files) (hosts []string) {
	for _, app := range c.Apps {
		hosts = append(hosts, app.Hosts...)
	}
	if files != nil {
		hosts = slices.DeleteFunc(hosts, files.Covers)
	}
	slices.Sort(hosts)
	return hosts
}

// openACME reads what certificates for hosts are obtained with.
func (g *Gateway) openACME(settings config.ACME, hosts []string) (*certs.ACME, error) {
	for _, host := range hosts {
		if advice, message := config.Unobtainable(host, len(settings.DNS.Command) > 0); message != "" {
			return nil, fmt.Errorf("%s; %s", message, advice)
		}
	}
	if len(hosts) == 0 {
		return nil, nil
	}
	o := certs.ACMEOptions{
		Hosts: hosts, Email: settings.Email, DNS: certs.DNSHook(settings.DNS), Folder: g.data.Certificates(),
		Options: certs.Options{Logger: g.log, Now: g.now, OnFailure: g.metrics.ObtainFailures.Inc},
	}
	for _, i := range settings.Issuers() {
		o.Issuers = append(o.Issuers, certs.Issuer{
			Directory: cmp.Or(i.Directory, certs.LetsEncrypt), Roots: i.Roots, EABKeyID: i.EAB.KeyID, EABKey: i.EAB.KeyFile,
		})
	}
	a, err := certs.NewACME(o)
	if err != nil {
		return nil, fmt.Errorf("tls.acme: %w", err)
	}
	return a, nil
}

// openAdminTLS reads what the admin listener shows, and whom it lets in.
func openAdminTLS(c config.AdminTLS) (*tls.Config, error) {
	if c == (config.AdminTLS{}) {
		return nil, nil
	}
	t, err := certs.ServerTLS(certs.Pair{Cert: c.Cert, Key: c.Key}, c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("admin.tls: %w", err)
	}
	return t, nil
}

// openAccessLog opens the access log, if there is to be one.
func (g *Gateway) openAccessLog() (*accesslog.Log, error) {
	if g.config.AccessLog.File == "" {
		return nil, nil
	}
	l, err := accesslog.Open(accesslog.Options{
		File: g.config.AccessLog.File, OnLost: func(lines int) { g.metrics.AccessLogLost.Add(float64(lines)) }, Logger: g.log,
	})
	if err != nil {
		return nil, err
	}
	g.onClose(l.Close)
	return l, nil
}

// logExchange returns what logs an exchange, nil if nothing does.
func (g *Gateway) logExchange() func(*accesslog.Exchange) {
	if g.access == nil {
		return nil
	}
	return g.access.Record
}

// ReopenAccessLog has the access log, if there is one, go on in the file that has its name
// now. It doesn't wait for that.
func (g *Gateway) ReopenAccessLog() {
	if g.access != nil {
		g.access.Reopen()
	}
}

// openDatabases opens the databases that locate clients.
func (g *Gateway) openDatabases() (*geo.Locator, error) {
	locator, err := geo.Open(geo.Options{
		Files:             g.config.Geo.Databases,
		Corrections:       g.config.Geo.Corrections,
		RegisteredCountry: g.config.Geo.RegisteredCountry,
		AllowOlder:        g.config.Geo.AllowOlder,
		CopyFolder:        g.data.Databases(),
		Hold:              geo.Limits(g.config.Geo.Hold),
		Restricted:        func() []policy.Code { return policy.Restricted(g.policyInUse(), g.flags.Known(), g.now()) },
		Decided:           g.decidedOnDatabase,
		Logger:            g.log,
		Now:               g.now,
		OnReload: func(path string, err error) {
			if err != nil {
				g.metrics.DatabaseFailed(path)
			}
			g.reviewSessions()
		},
	})
	if err != nil {
		return nil, err
	}
	for _, d := range locator.Databases() {
		g.metrics.InitDatabase(d.Path)
		if d.Path == geo.Embedded {
			g.log.Warn("clients are located by the embedded country database, for trying out; set geo.databases for production", "built", d.Build.Format(time.DateOnly))
		}
	}
	return locator, nil
}

// decidedOnDatabase returns what was decided on a geo database.
func (g *Gateway) decidedOnDatabase(sha256 string) geo.Decision {
	d, _ := g.source.State().Database(sha256)
	decision := geo.Decision{Accepted: d.Status == changes.Accepted}
	if d.Status == changes.Rejected {
		decision.Rejected = d.Rejection.By + ": " + d.Rejection.Because
	}
	return decision
}

// newEngine returns the engine that the source applies policies to.
func (g *Gateway) newEngine() *enforce.Engine {
	return enforce.New(enforce.Options{
		File: g.config.Policy.File, Store: g.data, Flags: g.flags, Metrics: g.metrics, Traffic: g.traffic, Log: g.log, Now: g.now,
		OnTransition: g.transition, OnSnapshot: g.followSnapshot, Capability: g.geo.Capability,
	})
}

// openSource applies the policy: that of the file, if one is set, else that of
// the ledger.
func (g *Gateway) openSource() (s source.Source, err error) {
	if file := g.config.Policy.File; file != "" {
		s, err = source.OpenFile(source.FileOptions{
			Name: file, Dir: g.data, Engine: g.engine, InUse: g.policyInUse, Log: g.log, Now: g.now,
		})
	} else {
		s, err = g.openReplica()
	}
	if err != nil {
		return nil, err
	}
	g.onClose(s.Close)
	return s, nil
}

func (g *Gateway) snapshot() *policy.Snapshot { return g.engine.Current(g.now()).Snapshot() }

func (g *Gateway) policyInUse() *policy.Policy { return g.snapshot().Policy() }

// openReplica opens the ledger, in the process or the operator's.
func (g *Gateway) openReplica() (source.Source, error) {
	settings := g.config.Policy.Ledger
	cluster, err := clusterOf(settings)
	if err != nil {
		return nil, err
	}
	return source.OpenReplica(context.Background(), source.ReplicaOptions{
		Open: func(ctx context.Context, known ledger.Point, onInvalid func(ledger.InvalidRecord)) (source.Ledger, error) {
			return ledger.Open(ctx, ledger.Options{
				Name: settings.Name, Folder: g.data.Ledger(), Cluster: cluster, Known: known, Log: g.log, Now: g.now,
				OnStatus: func(s ledger.Status) { g.events.PublishConnection(s.Connected, s.Why) }, OnInvalid: onInvalid,
			})
		},
		Remote: cluster != nil,
		Dir:    g.data, Engine: g.engine, Flags: g.flags.Known, Traffic: g.encodeTraffic, Probe: g.encodeProbes,
		Outbox: g.outbox, Breaches: g.breaches, Name: hostname(),
		OnRecord: func(r changes.Record, revision uint64) {
			g.events.PublishRecord(r, revision)
			if r.EndsAtOnce() {
				g.cutAtOnce.Store(true) // looked at below
			}
			for _, look := range []chan struct{}{g.recorded, g.untold} {
				select {
				case look <- struct{}{}:
				default: // it is looked at soon
				}
			}
		},
		Log: g.log, Now: g.now,
		OnInvalid: func(r ledger.InvalidRecord) {
			g.metrics.InvalidRecords.Inc()
			g.events.PublishInvalid(r.Number, r)
		},
	})
}

// hostname returns the name of this machine, "" if it has none.
func hostname() string {
	name, _ := os.Hostname()
	return name
}

// clusterOf returns the operator's NATS, nil if there is none.
func clusterOf(l config.Ledger) (_ *ledger.Cluster, err error) {
	if len(l.NATS) == 0 {
		return nil, nil
	}
	c := &ledger.Cluster{URLs: l.NATS, Credentials: l.Credentials, Domain: l.Domain, Replicas: l.Replicas, Mirror: l.Mirror}
	if l.TLS == (config.ClientCert{}) {
		return c, nil
	}
	if c.TLS, err = certs.ClientTLS(l.TLS.CA, certs.Pair{Cert: l.TLS.Cert, Key: l.TLS.Key}); err != nil {
		return nil, fmt.Errorf("policy.ledger.tls: %w", err)
	}
	return c, nil
}

// encodeTraffic returns this gateway's traffic for another one.
func (g *Gateway) encodeTraffic() []byte {
	text, err := json.Marshal(g.traffic.Sums(g.elapsed()))
	if err != nil {
		g.log.Error("traffic could not be encoded", "error", err)
	}
	return text
}

// newControl returns what operators see and do.
func (g *Gateway) newControl() *control.Control {
	o := control.Options{
		Version: metrics.Version(), Engine: g.engine, Source: g.source, Flags: g.flags, FlagSources: len(g.flagSources) > 0,
		Traffic:  func() traffic.Sums { return g.traffic.Sums(g.elapsed()) },
		Describe: g.geo.Describe, LocateHeld: g.geo.LocateHeld, Databases: g.geo, Overdue: g.databaseOverdue, Capability: g.geo.Capability, CertificateEnds: g.certificateEnds, CertificateFailures: g.certificateFailures, Draining: g.draining.Load,
		Doubt:  func() (string, time.Time) { d := g.doubt(); return d.Reason.String(), d.Since },
		Probe:  g.probe,
		Events: g.events, Purges: g.purges, UnderWay: g.sessions.Count, Copies: g.copies, SettingsFailure: g.settingsFailure, Now: g.now, Log: g.log,
	}
	if g.ofrep != nil {
		o.FlagServer = func() (time.Time, error) {
			s := g.ofrep.Status()
			return s.Since, s.Err
		}
	}
	return control.New(o)
}
