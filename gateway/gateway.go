// Package gateway is the daemon: it stands in front of an app, finds out where
// its clients are, decides by the policy what they get, and forwards or
// refuses. It puts together the packages below it, and does nothing else.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/flags"
	ofrepclient "github.com/exitgate/exitgate/flags/ofrep/client"
	"github.com/exitgate/exitgate/gateway/accesslog"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/listen"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/notify"
	"github.com/exitgate/exitgate/gateway/purge"
	"github.com/exitgate/exitgate/gateway/session"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/gateway/traffic"
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
	// Sockets are bound already, in place of the addresses in the settings: of the listeners
	// https, http3, http, decisions and probes.
	Sockets listen.Sockets
}

// A Gateway serves apps behind it where the policy allows. New makes one;
// Listen and Serve run it.
type Gateway struct {
	config   config.Config // of what takes a restart: see service
	data     statedir.Dir
	log      *slog.Logger
	now      func() time.Time // the wall clock: what schedules, records and expiries are about
	elapsed  func() time.Time // with monotonic readings: for how long something took, whatever the wall clock does
	registry *prometheus.Registry
	metrics  *metrics.Metrics
	traffic  *traffic.Counts
	events   *control.Events

	sockets  listen.Sockets
	adminTLS *tls.Config // nil: the admin listener speaks plain HTTP, on loopback
	geo      *geo.Locator
	flags    *flags.Table
	ofrep    *ofrepclient.Provider // nil: there is none
	access   *accesslog.Log        // nil: exchanges aren't logged
	engine   *enforce.Engine
	source   source.Source
	outbox   *source.Outbox // nil: the policy is a file, and there is no ledger
	sessions *session.Registry
	service  atomic.Pointer[service] // of the requests that come now
	control  *control.Control
	purger   *purge.Purger    // nil: nothing purges caches
	notifier *notify.Notifier // nil: nobody is told
	untold   chan struct{}    // there may be something to tell
	started  time.Time

	flagSources []string // the names of the providers, but for the policy's own

	changed   chan struct{} // something by which is decided
	recorded  chan struct{} // there are records that weren't looked at for decisions on databases
	endpoints []listen.Endpoint
	cutOff    func() // ends requests that are under way
	// webSockets ends when closeWebSockets is called, once the gateway is being stopped.
	webSockets      context.Context
	closeWebSockets func()
	draining        atomic.Bool
	cutAtOnce       atomic.Bool // what is under way and refused has no drain, as there was an emergency
	public          net.Addr    // of the listener that clients come to
	probing         sync.Mutex  // held while the gateway asks itself

	reloading     sync.Mutex     // held while a service takes another's place
	follow        func(*service) // follows its files; nil: the gateway doesn't serve yet
	ended         bool           // and serves no more: no service takes another's place
	reloadFailure atomic.Pointer[reloadFailure]

	closers []func()
}

// New makes a Gateway: it reads databases, certificates and the policy, but
// doesn't listen yet. The error says everything that is wrong with them.
func New(o Options) (_ *Gateway, err error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	g := &Gateway{config: o.Config, sockets: o.Sockets, log: o.Logger, elapsed: o.Now, registry: prometheus.NewRegistry(), changed: make(chan struct{}, 1), recorded: make(chan struct{}, 1), untold: make(chan struct{}, 1)}
	g.webSockets, g.closeWebSockets = context.WithCancel(context.Background())
	// With a monotonic reading, times compare as if no clock were ever set.
	g.now = func() time.Time { return o.Now().Round(0) }
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	g.started = g.now().UTC()
	g.metrics = metrics.New(g.registry)
	g.traffic = traffic.New(g.elapsed())
	g.events = control.NewEvents(g.now)
	g.sessions = session.New(g.metrics.Connections("websocket"))
	if g.data, err = statedir.Open(g.config.Data); err != nil {
		return nil, err
	}
	if g.adminTLS, err = openAdminTLS(g.config.Admin.TLS); err != nil {
		return nil, err
	}

	if g.config.Policy.File == "" {
		g.outbox = source.OpenOutbox(g.data, g.log)
	}
	first, serviceErr := g.openService(g.config, nil)
	var geoErr, flagsErr, accessErr error
	g.geo, geoErr = g.openDatabases()
	g.flags, flagsErr = g.openFlags(o.Flags)
	g.access, accessErr = g.openAccessLog()
	if err := errors.Join(serviceErr, geoErr, flagsErr, accessErr); err != nil {
		return nil, err
	}
	if g.purger, err = g.openPurger(); err != nil {
		return nil, err
	}
	if g.notifier, err = g.openNotifier(); err != nil {
		return nil, err
	}
	g.engine = g.newEngine()
	g.beginService(first)
	g.onClose(func() { g.service.Load().close(nil) })
	if g.source, err = g.openSource(); err != nil {
		return nil, err
	}
	if g.notifier != nil {
		g.notifier.Begin(g.source.State().Last())
	}
	g.geo.Review()
	g.control = g.newControl()
	g.metrics.Reloaded(g.started, nil)
	metrics.RegisterState(g.registry, g.state)
	return g, nil
}

// onClose has close call a function, too.
func (g *Gateway) onClose(f func()) { g.closers = append(g.closers, f) }

// close gives up what New has opened.
func (g *Gateway) close() {
	for _, closer := range g.closers {
		closer()
	}
}
