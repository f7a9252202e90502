package gateway

import (
	"fmt"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/purge"
	"github.com/exitgate/exitgate/policy"
)

// openPurger returns who has the operator's caches purged, nil if nothing is set.
func (g *Gateway) openPurger() (*purge.Purger, error) {
	set := g.config.Caches.Purge
	if !set.IsSet() {
		// Who sets one later must not rely on purges of today.
		if err := g.data.RemovePurges(); err != nil {
			g.log.Warn("what caches were purged for once can't be removed", "error", err)
		}
		return nil, nil
	}
	authorities, err := certs.LoadPool(set.CA)
	if err != nil {
		return nil, fmt.Errorf("caches.purge: %w", err)
	}
	hook := purge.Hook{Command: set.Command, URL: set.URL, TokenFile: set.TokenFile, RootCAs: authorities, Timeout: set.Timeout}
	g.metrics.InitPurges()
	return purge.New(purge.Options{
		Do: hook.Do, Read: g.data.ReadPurges, Write: g.data.WritePurges, Settle: time.Second, Log: g.log, Now: g.now,
		OnResult: func(o purge.Order, err error) {
			g.metrics.Purged(err)
			g.events.PublishPurge(o.Jurisdictions(), err)
		},
	}), nil
}

// followSnapshot tells of a snapshot that is in use.
func (g *Gateway) followSnapshot(s *policy.Snapshot) {
	g.reviewSessions()
	if g.purger != nil {
		g.purger.Follow(s)
	}
}

// purges returns how purges go; nil: nothing is purged.
func (g *Gateway) purges() *control.Purges {
	if g.purger == nil {
		return nil
	}
	s := g.purger.Status()
	return &control.Purges{Pending: purge.Order{Markets: s.Pending}.Jurisdictions(), Since: s.Since, Err: s.Err}
}

// copies returns until when caches may give out what was forwarded since the start.
// A shared cache can only be in front where something is named that is, or was
// since the start; elsewhere all its clients would be where it is.
func (g *Gateway) copies() api.Caches {
	s := g.service.Load()
	c := s.requests.Copies()
	of := api.Caches{Since: g.started, Private: c.Private, Purged: g.purger != nil}
	if s.proxied {
		of.Shared, of.Unstated = c.Shared, c.Unstated
	}
	return of
}

// purgeState is what the metrics show of purges.
func (g *Gateway) purgeState() *metrics.Purge {
	if g.purger == nil {
		return nil
	}
	return &metrics.Purge{Pending: g.purger.Status().Pending != nil}
}
