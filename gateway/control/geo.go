package control

import (
	"context"
	"errors"
	"slices"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy/changes"
)

// Databases are those that locate clients.
type Databases interface {
	Databases() []geo.Database
	Holds() []geo.Hold
	Reconsider() // by what was decided on them
}

// Geo returns the databases that clients are located by.
func (c *Control) Geo() api.Geo {
	decided := c.source.State().Databases()
	slices.Reverse(decided)
	g := api.Geo{Databases: []api.Database{}, Held: []api.HeldDatabase{}, Decided: orEmpty(decided)}
	for _, d := range c.o.Databases.Databases() {
		shown := api.Database{Path: d.Path, Type: d.Type, Build: d.Build, Role: d.Role.String()}
		if d.Err != nil {
			shown.Error = d.Err.Error()
		}
		g.Databases = append(g.Databases, shown)
	}
	for _, h := range c.o.Databases.Holds() {
		g.Held = append(g.Held, api.HeldDatabase{Database: heldDatabase(h), Since: h.Since})
	}
	return g
}

// heldDatabase returns what is decided on.
func heldDatabase(h geo.Hold) changes.Database {
	d := changes.Database{SHA256: h.SHA256, Path: h.Path, Build: h.Build, Against: h.Against}
	for _, loss := range h.Losses {
		d.Losses = append(d.Losses, changes.Loss(loss))
	}
	return d
}

// DecideGeo accepts a database that is held or was rejected, or rejects one that
// is held.
func (c *Control) DecideGeo(ctx context.Context, by changes.Actor, d api.GeoDecisionRequest, r changes.Request) (api.Geo, error) {
	_, err := c.source.WriteDecision(ctx, func(state changes.State) (changes.Draft, error) {
		database, err := c.decidable(state, d)
		if err != nil {
			return changes.Draft{}, err
		}
		return state.DecideDatabase(by, database, d.Accept, d.Because, r)
	})
	if _, repeated := errors.AsType[*changes.RepeatedError](err); err != nil && !repeated {
		return api.Geo{}, err
	}
	c.o.Databases.Reconsider()
	return c.Geo(), nil
}

// decidable returns the database that a decision is about, or why it can't be
// decided on here.
func (c *Control) decidable(state changes.State, d api.GeoDecisionRequest) (changes.Database, error) {
	known, decided := state.Database(d.SHA256)
	for _, h := range c.o.Databases.Holds() {
		switch {
		case h.SHA256 != d.SHA256:
		case !h.Rejectable() && !d.Accept:
			return changes.Database{}, &changes.Error{
				Code: changes.Conflict, Message: "there is no database before this one to go on with", Advice: "start with better ones, or accept it; until then clients get the stricter of it and " + formatAgainst(h),
			}
		default:
			return heldDatabase(h), nil
		}
	}
	if decided { // here or at another gateway: that it is so already, or was rejected, the State says
		return known.Database, nil
	}
	return changes.Database{}, notFound("see exitgate geo diff for what is held", "no database sha256:%.12s is held here", d.SHA256)
}
