package control

import (
	"strings"
	"sync"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy/changes"
)

// Databases are those that locate clients.
type Databases interface {
	Databases() []geo.Database
	Holds() []geo.Hold
	Accept(path string) error
	Reject(path, because string) error
}

// geoDecisions are the decisions on databases that were held, since the start,
// the newest first.
type geoDecisions struct {
	mu  sync.Mutex
	all []api.GeoDecision
}

// maxGeoDecisions is how many decisions are shown; the log has all.
const maxGeoDecisions = 50

// Geo returns the databases that clients are located by.
func (c *Control) Geo() api.Geo {
	c.decided.mu.Lock()
	g := api.Geo{Databases: []api.Database{}, Held: []api.HeldDatabase{}, Decided: orEmpty(append([]api.GeoDecision(nil), c.decided.all...))}
	c.decided.mu.Unlock()
	for _, d := range c.o.Databases.Databases() {
		shown := api.Database{Path: d.Path, Type: d.Type, Build: d.Build, Role: d.Role.String()}
		if d.Err != nil {
			shown.Error = d.Err.Error()
		}
		g.Databases = append(g.Databases, shown)
	}
	for _, h := range c.o.Databases.Holds() {
		held := api.HeldDatabase{Path: h.Path, Against: h.Against, Build: h.Build, Since: h.Since}
		for _, loss := range h.Losses {
			held.Losses = append(held.Losses, api.GeoLoss(loss))
		}
		g.Held = append(g.Held, held)
	}
	return g
}

// DecideGeo takes a database that is held into use, or gives it up.
func (c *Control) DecideGeo(by changes.Actor, d api.GeoDecisionRequest) (api.Geo, error) {
	if strings.TrimSpace(d.Because) == "" {
		return api.Geo{}, invalid("there is no reason", "say why, for everybody who reads it")
	}
	decide := c.o.Databases.Accept
	if !d.Accept {
		decide = func(path string) error { return c.o.Databases.Reject(path, d.Because) }
	}
	if err := decide(d.Path); err != nil {
		return api.Geo{}, &changes.Error{Code: changes.NotFound, Message: err.Error(), Advice: "see exitgate geo diff for what is held"}
	}
	decision := api.GeoDecision{Path: d.Path, Accepted: d.Accept, By: by.Name, Because: d.Because, Time: c.now()}
	c.decided.mu.Lock()
	c.decided.all = append([]api.GeoDecision{decision}, c.decided.all[:min(len(c.decided.all), maxGeoDecisions-1)]...)
	c.decided.mu.Unlock()
	c.o.Log.Warn("geo database decided on", "path", d.Path, "accepted", d.Accept, "by", by.Name, "because", d.Because)
	return c.Geo(), nil
}
