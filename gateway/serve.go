package gateway

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/listen"
	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/policy"
)

// Why requests are rejected, beside what request and client say.
const (
	proxyProtocol = "proxy-protocol-" // and why a connection is
	tooManyBodies = "too-many-bodies"
)

// headerRoom is how many times the limit of headers net/http accepts, so that the
// request is answered that breaks it. net/http ends a connection of HTTP/2, with
// all other requests on it, as soon as a header is too large for it.
const headerRoom = 4

// Serve serves until the context ends. Then it accepts nothing more, lets what
// is under way finish within the drain, cuts off the rest and returns nil. Call
// Listen before; call it once.
func (g *Gateway) Serve(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	tasks := []func(context.Context){
		g.engine.FollowSchedule, g.engine.FollowFlags, g.source.Run, g.geo.Watch, g.followDecisions, g.cutRefused, g.sweepTraffic, freeStartupMemory,
	}
	if g.purger != nil {
		tasks = append(tasks, g.purger.Run)
	}
	if g.notifier != nil {
		tasks = append(tasks, g.notifier.Run, g.tellReceivers)
	}
	if acme := g.service.Load().certs.ACME; acme != nil { // all services have the same
		tasks = append(tasks, acme.Watch)
	}
	for _, run := range tasks {
		running.Go(func() { run(background) })
	}
	g.beginFollowing(func(s *service) { s.follow(background, &running) })
	err := listen.Serve(ctx, g.endpoints, listen.Shutdown{
		Drain: g.config.Drain, Delay: g.config.DrainDelay,
		Begin: func() {
			g.events.Close()
			g.draining.Store(true)
		},
		BeginDrain: g.closeWebSockets,
		Wait:       g.sessions.Wait, CutOff: g.cutOff, Log: g.log,
	})
	g.endReloads() // nothing else is to be waited for from now on
	stop()         // nothing follows what is closed now
	g.close()
	running.Wait()
	return err
}

// beginFollowing has the files of the service followed, and of each that takes its place.
func (g *Gateway) beginFollowing(follow func(*service)) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	g.follow = follow
	follow(g.service.Load())
}

// endReloads has no service take the place of the one that there is any more.
func (g *Gateway) endReloads() {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	g.ended = true
}

// followDecisions has databases go by what was decided on them, here or at another
// gateway, until the context ends.
func (g *Gateway) followDecisions(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.recorded:
			g.geo.Reconsider()
			g.reviewSessions()
		}
	}
}

// doubt returns why clients seem not to be located by their own addresses, and
// warns of it.
func (g *Gateway) doubt() client.Doubt {
	doubt, warn := g.service.Load().sources.Review(g.now(), g.policyInUse().HasEntry(policy.Private))
	if warn {
		g.log.Warn("clients may be located by other addresses than their own", "reason", string(doubt.Reason), "advice", doubt.Reason.String())
	}
	return doubt
}

// sweepTraffic dates the counts of requests and reviews where they come from,
// until the context ends.
func (g *Gateway) sweepTraffic(ctx context.Context) {
	watch.Every(ctx, 5*time.Second, func() {
		g.traffic.Sweep(g.elapsed())
		g.doubt()
	})
}

// freeStartupMemory gives back what only the start has needed: databases and a
// ledger are read through, and NATS holds what it has read for ten seconds. Else
// it would take Go minutes.
func freeStartupMemory(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(15 * time.Second):
		runtime.GC() // what is in pools outlives one
		debug.FreeOSMemory()
	}
}
