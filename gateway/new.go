package gateway

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/policy"
)

// Options are what a Gateway is made of beside its settings.
type Options struct {
	Config Config
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
	}
	g.counters = newCounters(g.metrics)

	data, err := dataFolder(g.config.Data)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(g.useClients(), g.useApps(), g.useCerts(data), g.useGeo(data), g.useFlags(data, options.Flags)); err != nil {
		return nil, err
	}
	if err := g.usePolicy(data); err != nil {
		return nil, err
	}
	metrics.ShowState(registry, g.state)
	return g, nil
}

// dataFolder returns the folder for what the gateway keeps, and makes it.
func dataFolder(folder string) (string, error) {
	for _, candidate := range []struct{ root, below string }{
		{folder, ""},
		{os.Getenv("STATE_DIRECTORY"), ""},
		{os.Getenv("XDG_STATE_HOME"), "exitgate"},
		{os.Getenv("HOME"), ".local/state/exitgate"},
	} {
		if candidate.root == "" {
			continue
		}
		folder := filepath.Join(candidate.root, candidate.below)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", fmt.Errorf("data folder: %w; choose another with --data", err)
		}
		return folder, nil
	}
	return "", errors.New("there is no place for the data folder, as HOME is not set; choose one with --data")
}

func (g *Gateway) useClients() (err error) {
	g.clients, err = client.NewFinder(client.Trust{Proxies: g.config.TrustedProxies, Header: g.config.ClientHeader})
	return err
}

func (g *Gateway) useApps() error {
	for _, a := range g.config.Apps {
		authorities, err := loadAuthorities(a.CA)
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

func loadAuthorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := readLimited(file, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities: there is no certificate in %s", file)
	}
	return pool, nil
}

func (g *Gateway) useCerts(data string) (err error) {
	if len(g.config.TLS.Files) == 0 {
		var names []string
		for _, app := range g.config.Apps {
			for _, host := range app.Hosts {
				if host != "*" {
					names = append(names, host)
				}
			}
		}
		g.certs, err = certs.SelfSigned(data, names, g.now())
		if err == nil {
			g.log.Warn("the certificate is self-signed, for development: clients will not trust it; set tls.files for others")
		}
		return err
	}
	var pairs []certs.Pair
	for _, f := range g.config.TLS.Files {
		pairs = append(pairs, certs.Pair(f))
	}
	g.certs, err = certs.Load(pairs)
	return err
}

func (g *Gateway) useGeo(data string) (err error) {
	g.geo, err = geo.Open(geo.Options{
		Files:             g.config.Geo.Databases,
		RegisteredCountry: g.config.Geo.RegisteredCountry,
		AllowOlder:        g.config.Geo.AllowOlder,
		Keep:              filepath.Join(data, "geo"),
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
		g.metrics.DatabaseKnown(d.Path)
		if d.Path == geo.Embedded {
			g.log.Warn("clients are located by the embedded country database, for trying out; set geo.databases for production", "built", d.Build.Format(time.DateOnly))
		}
	}
	return nil
}

func (g *Gateway) usePolicy(data string) (err error) {
	g.rules, err = newRules(g.config.Policy.File, keptPolicy(data), g.flags, g.now, g.log, g.metrics)
	if err != nil {
		return err
	}
	if g.rules.current.Load().snapshot.Policy().Names(policy.Anonymous) && !g.locatesAnonymous() {
		g.log.Warn("the policy speaks of anonymous clients, but no database tells who they are; add an anonymous-IP database to geo.databases")
	}
	return nil
}

func (g *Gateway) locatesAnonymous() bool {
	for _, d := range g.geo.Databases() {
		if d.Role&geo.RoleAnonymous != 0 {
			return true
		}
	}
	return false
}
