package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/request"
)

// A service is what is made of the settings that can change while the gateway runs:
// another takes its place then. A request that is under way goes on with the one that
// it began with.
type service struct {
	config   config.Config
	apps     map[string]*proxy.App // by their hosts, as they are listed
	hosts    *request.Hosts[request.App]
	clients  *client.Resolver
	sources  *client.Sources
	proxied  bool // something in front of the gateway is named, or was by a service before
	certs    certs.Certificates
	requests *request.Handler
	unfollow context.CancelFunc // its files are not followed any more
}

// openService opens what settings say of a service that is to take the place of the one
// before, nil if it is the first. What they say alike is kept, and so is what obtains
// certificates.
func (g *Gateway) openService(c config.Config, before *service) (*service, error) {
	s := &service{config: c, proxied: len(c.TrustedProxies)+len(c.ProxyProtocol) > 0, unfollow: func() {}}
	var clientsErr, appsErr, certsErr error
	if before != nil && slices.Equal(c.TrustedProxies, before.config.TrustedProxies) && c.ClientHeader == before.config.ClientHeader {
		s.clients, s.sources = before.clients, before.sources
	} else if s.clients, clientsErr = client.NewResolver(client.Trust{Proxies: c.TrustedProxies, Header: c.ClientHeader}); clientsErr == nil {
		s.sources = client.NewSources(s.clients)
	}
	s.apps, s.hosts, appsErr = g.openApps(c, before)
	s.certs, certsErr = g.openCertificates(c, before)
	if before != nil {
		s.proxied = s.proxied || before.proxied
	}
	return s, errors.Join(clientsErr, client.CheckNetworks("proxy-protocol", c.ProxyProtocol), appsErr, certsErr)
}

// beginService has requests served by a service from now on.
func (g *Gateway) beginService(s *service) {
	o := request.Options{
		Policy: g.engine.Current, Client: s.clients.Address, SaysClient: s.clients.SaysClient, Locate: g.geo.Locate, LocateHeld: g.geo.LocateHeld, Apps: s.hosts,
		Sessions: g.sessions, Metrics: g.metrics, Sources: s.sources, Draining: g.draining.Load, WebSockets: g.webSockets, MaxHeader: s.config.Limits.Header, HSTS: s.config.TLS.HSTS.Header(), Log: g.log, Now: g.elapsed,
		AnswerChallenge: s.certs.AnswerChallenge, LogExchange: g.logExchange(),
		CacheKey: http.CanonicalHeaderKey(s.config.Caches.KeyHeader), Trusts: s.clients.Trusts,
	}
	if port := s.config.Listen.HTTP3; port > 0 {
		o.AltSvc = fmt.Sprintf(`h3=":%d"; ma=86400`, port)
	}
	if g.purger != nil {
		o.BeginStorable = g.purger.Begin
	}
	if before := g.service.Load(); before != nil {
		s.requests = before.requests.With(o)
	} else {
		s.requests = request.NewHandler(o)
	}
	g.service.Store(s)
}

// serve returns a handler of requests that are answered by the service that there is
// when they come.
func (g *Gateway) serve(answer func(*request.Handler, http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(g.service.Load().requests, w, r) })
}

// close gives up the connections that no request uses, but for those of apps that
// another service has, too. Nil is no other one.
func (s *service) close(other *service) {
	for name, app := range s.apps {
		if other == nil || other.apps[name] != app {
			app.Close()
		}
	}
}

// follow reads the files of a service again when they change, until the context ends or
// unfollow is called.
func (s *service) follow(ctx context.Context, running *sync.WaitGroup) {
	ctx, s.unfollow = context.WithCancel(ctx)
	for _, app := range s.apps {
		running.Go(func() { app.Watch(ctx) })
	}
	if s.certs.Files != nil {
		running.Go(func() { s.certs.Files.Watch(ctx) })
	}
}

// A reloadFailure is why the settings were not taken into use when they were last read,
// and since when that is so.
type reloadFailure struct {
	err   error
	since time.Time
}

// settingsFailure returns it; nil: those in use are those that were read last.
func (g *Gateway) settingsFailure() (since time.Time, err error) {
	if f := g.reloadFailure.Load(); f != nil {
		return f.since, f.err
	}
	return since, nil
}

// Reload reads settings and goes by them from now on; no request fails by that. It is all
// or nothing: where anything is wrong, or takes a restart, those of before stay, and the
// error says why, as do readiness and metrics until a later Reload succeeds. It may be
// called concurrently.
func (g *Gateway) Reload(read func() (config.Config, error)) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	if g.ended {
		return errors.New("the gateway has stopped")
	}
	c, err := read()
	var changed []string
	if err == nil {
		changed, err = g.reload(c)
	}
	now := g.now()
	g.metrics.Reloaded(now, err)
	if err != nil {
		failure := &reloadFailure{err, now}
		if earlier := g.reloadFailure.Load(); earlier != nil {
			failure.since = earlier.since
		}
		g.reloadFailure.Store(failure)
		g.log.Error("settings not reloaded, the previous ones stay in use", "error", err)
		return err
	}
	if mended := g.reloadFailure.Swap(nil) != nil; mended || len(changed) > 0 {
		g.log.Info("settings reloaded", "changed", changed)
	}
	return nil
}

// reload goes by other settings, and returns which of them are others.
func (g *Gateway) reload(c config.Config) (changed []string, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	before := g.service.Load()
	changed, restart := config.Changes(before.config, c)
	if len(restart) > 0 {
		return nil, needsRestart(restart)
	}
	if len(changed) == 0 {
		return nil, nil
	}
	s, err := g.openService(c, before)
	if err != nil {
		return nil, err
	}
	g.beginService(s)
	before.unfollow()
	before.close(s)
	if g.follow != nil {
		g.follow(s)
	}
	g.reviewSessions() // whom it trusts has changed, maybe
	return changed, nil
}

// needsRestart is the error of settings that can't change while the gateway runs.
func needsRestart(settings []string) error {
	return fmt.Errorf("what has changed takes a restart: %s; restart the gateway, or put it back", strings.Join(settings, ", "))
}
