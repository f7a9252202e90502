package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
)

// Options are what a Gateway is made of beside its settings.
type Options struct {
	Config config.Config
	Logger *slog.Logger     // default: discards
	Now    func() time.Time // the clock; default: time.Now
	// Flags are providers that are asked for flags, in this order, before
	// the flag server of the settings and the policy's own table. Each
	// needs a name of its own.
	Flags []openfeature.FeatureProvider
}

// New makes a Gateway: it reads databases, certificates and the policy, but
// doesn't listen yet. The error says everything that is wrong with them.
func New(options Options) (*Gateway, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if err := options.Config.Validate(); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	g := &Gateway{
		config:   options.Config,
		log:      options.Logger,
		now:      options.Now,
		registry: registry,
		metrics:  metrics.New(registry),
		traffic:  traffic.New(options.Now()),
		events:   control.NewEvents(options.Now),
	}
	g.counters = newCounters(g.metrics)

	data, err := statedir.Open(g.config.Data)
	if err != nil {
		return nil, err
	}
	g.data = data
	if g.adminTLS, err = loadAdminTLS(g.config.Admin.TLS); err != nil {
		return nil, err
	}
	if err := errors.Join(g.useClients(), g.useApps(), g.useCerts(data), g.useGeo(data), g.useFlags(data, options.Flags)); err != nil {
		return nil, err
	}
	if err := g.usePolicy(data); err != nil {
		g.close()
		return nil, err
	}
	metrics.RegisterState(registry, g.state)
	return g, nil
}

// close gives up what New has opened.
func (g *Gateway) close() {
	for _, closer := range g.closers {
		closer()
	}
}

func (g *Gateway) useClients() (err error) {
	g.clients, err = client.NewResolver(client.Trust{Proxies: g.config.TrustedProxies, Header: g.config.ClientHeader})
	return err
}

func (g *Gateway) useApps() error {
	for _, a := range g.config.Apps {
		authorities, err := certs.LoadPool(a.CA)
		if err != nil {
			return err
		}
		app, err := proxy.New(proxy.Options{
			Upstreams:             a.Upstreams,
			RootCAs:               authorities,
			DialTimeout:           g.config.Limits.ConnectTimeout,
			ResponseHeaderTimeout: g.config.Limits.UpstreamTimeout,
			BodyIdle:              g.config.Limits.StallTimeout,
			MaxBody:               g.config.Limits.Body,
			Forwarded:             a.Forwarded,
			Logger:                g.log,
			OnResponse:            g.metrics.Upstream,
		})
		if err != nil {
			return fmt.Errorf("app %s: %w", strings.Join(a.Hosts, ", "), err)
		}
		for _, host := range a.Hosts {
			g.apps.add(host, app)
		}
		g.closers = append(g.closers, app.Close)
	}
	return nil
}

func (g *Gateway) useCerts(data statedir.Dir) (err error) {
	options := certs.Options{Logger: g.log, Now: g.now, OnFailure: g.metrics.CertificatesFailed}
	if len(g.config.TLS.Files) == 0 {
		var names []string
		for _, app := range g.config.Apps {
			for _, host := range app.Hosts {
				if host != "*" {
					names = append(names, host)
				}
			}
		}
		g.certs, err = certs.SelfSigned(string(data), names, options)
		if err == nil {
			g.log.Warn("the certificate is self-signed, for development: clients will not trust it; set tls.files for others")
		}
		return err
	}
	var pairs []certs.Pair
	for _, f := range g.config.TLS.Files {
		pairs = append(pairs, certs.Pair(f))
	}
	g.certs, err = certs.Load(pairs, options)
	return err
}

func (g *Gateway) useGeo(data statedir.Dir) (err error) {
	g.geo, err = geo.Open(geo.Options{
		Files:             g.config.Geo.Databases,
		RegisteredCountry: g.config.Geo.RegisteredCountry,
		AllowOlder:        g.config.Geo.AllowOlder,
		CopyFolder:        data.Databases(),
		Logger:            g.log,
		Now:               g.now,
		OnReload: func(path string, err error) {
			if err != nil {
				g.metrics.DatabaseFailed(path)
			}
		},
	})
	if err != nil {
		return err
	}
	for _, d := range g.geo.Databases() {
		g.metrics.InitDatabase(d.Path)
		if d.Path == geo.Embedded {
			g.log.Warn("clients are located by the embedded country database, for trying out; set geo.databases for production", "built", d.Build.Format(time.DateOnly))
		}
	}
	return nil
}

// usePolicy takes the policy into use: that of the file, if one is set, else
// that of the ledger.
func (g *Gateway) usePolicy(data statedir.Dir) (err error) {
	file := g.config.Policy.File
	g.engine = enforce.New(enforce.Options{
		File: file, Store: data, Flags: g.flags, Metrics: g.metrics, Traffic: g.traffic, Log: g.log, Now: g.now,
		OnTransition: g.events.PublishTransition,
	})
	if file != "" {
		g.source, err = source.OpenFile(source.FileOptions{
			Name: file, Dir: data, Engine: g.engine, Parse: enforce.ParsePolicy, Log: g.log, Now: g.now,
			InUse: func() *policy.Policy { return g.engine.Current(g.now()).Snapshot().Policy() },
		})
	} else {
		g.source, err = g.openReplica(data)
	}
	if err != nil {
		return err
	}
	g.closers = append(g.closers, g.source.Close)
	if g.engine.Current(g.now()).Snapshot().Policy().HasEntry(policy.Anonymous) && !g.locatesAnonymous() {
		g.log.Warn("the policy speaks of anonymous clients, but no database tells who they are; add an anonymous-IP database to geo.databases")
	}
	return nil
}

// openReplica opens the ledger, in the process or the operator's.
func (g *Gateway) openReplica(data statedir.Dir) (source.Source, error) {
	settings := g.config.Policy.Ledger
	cluster, err := clusterOf(settings)
	if err != nil {
		return nil, err
	}
	return source.OpenReplica(context.Background(), source.ReplicaOptions{
		Open: func(ctx context.Context, known ledger.Point, onInvalid func(ledger.InvalidRecord)) (source.Ledger, error) {
			return ledger.Open(ctx, ledger.Options{
				Name: settings.Name, Folder: data.Ledger(), Cluster: cluster, Known: known, Log: g.log, Now: g.now,
				OnStatus: func(s ledger.Status) { g.events.PublishConnection(s.Connected, s.Why) }, OnInvalid: onInvalid,
			})
		},
		Remote: cluster != nil,
		Dir:    data, Engine: g.engine, Parse: enforce.ParsePolicy, Flags: g.flags.Known, Traffic: g.encodeTraffic,
		OnRecord: g.events.PublishRecord, Log: g.log, Now: g.now,
		OnInvalid: func(r ledger.InvalidRecord) {
			g.metrics.InvalidRecord()
			g.events.PublishInvalid(r.Number, r)
		},
	})
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

func (g *Gateway) locatesAnonymous() bool {
	for _, d := range g.geo.Databases() {
		if d.Role&geo.RoleAnonymous != 0 {
			return true
		}
	}
	return false
}

// encodeTraffic returns this gateway's traffic for another one.
func (g *Gateway) encodeTraffic() []byte {
	text, err := json.Marshal(g.traffic.Sums(g.now()))
	if err != nil {
		g.log.Error("traffic could not be encoded", "error", err)
	}
	return text
}

// newControl returns what operators see and do.
func (g *Gateway) newControl() *control.Control {
	o := control.Options{
		Version: metrics.Version(), Engine: controlEngine{g.engine}, Source: g.source, Flags: g.flags, FlagSources: len(g.flagSources) > 0,
		Traffic: func() traffic.Sums { return g.traffic.Sums(g.now()) },
		Locate:  g.geo.Locate, Databases: g.geo.Databases, Certificates: g.certs, Draining: g.servers.draining.Load,
		Events: g.events, Now: g.now, Log: g.log,
	}
	if g.ofrep != nil {
		o.FlagServer = func() (time.Time, error) {
			s := g.ofrep.Status()
			return s.Since, s.Err
		}
	}
	return control.New(o)
}

// A controlEngine shows of an Engine what operators see.
type controlEngine struct{ *enforce.Engine }

func (e controlEngine) Current(now time.Time) (*policy.Snapshot, enforce.BlockedReason) {
	current := e.Engine.Current(now)
	return current.Snapshot(), current.Blocked()
}
