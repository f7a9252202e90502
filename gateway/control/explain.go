package control

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy"
)

// Explain returns what a request would get, and why.
func (c *Control) Explain(q api.Question) (api.Explanation, error) {
	var place, other policy.Place // other: by databases that are held
	var held bool
	var located *api.Location
	switch {
	case (q.Address == "") == (q.Jurisdiction == ""):
		return api.Explanation{}, invalid("not one of address and jurisdiction is given", "give one of the two")
	case q.Address != "":
		address, err := netip.ParseAddr(q.Address)
		if err != nil {
			return api.Explanation{}, invalid("address is not an IP address", "write it as 90.0.0.1 or 2001:db8::1")
		}
		d := c.o.Describe(address)
		place, located = d.Place, NewLocation(d)
		other, held = c.o.LocateHeld(address)
	case q.Jurisdiction != policy.Anonymous && !policy.IsPlace(q.Jurisdiction):
		return api.Explanation{}, invalid(fmt.Sprintf("%q is no jurisdiction that a client can be in", q.Jurisdiction), "write an ISO 3166-1 country as FR, or an ISO 3166-2 subdivision as US-MS")
	default:
		place = placeOf(q.Jurisdiction)
	}
	snapshot := c.snapshot()
	if !q.At.IsZero() {
		snapshot = policy.Compile(snapshot.Policy(), c.o.Flags.Known(), q.At)
	}
	method, path := cmp.Or(q.Method, http.MethodGet), cmp.Or(q.Path, "/")
	at := q.At
	if at.IsZero() {
		at = c.now()
	}
	x := explain(snapshot, at, place, method, q.Host, path)
	if held && other != place {
		if byHeld := explain(snapshot, at, other, method, q.Host, path); policy.Stricter(&x.Decision, &byHeld.Decision) == &byHeld.Decision {
			return api.Explanation{Explanation: byHeld}, nil
		}
	}
	return api.Explanation{Explanation: x, Located: located}, nil
}

// NewLocation returns how an address was located, as it is shown.
func NewLocation(d geo.Description) *api.Location {
	l := &api.Location{
		Form: d.Form, Country: d.CountryFrom, Subdivisions: d.SubdivisionsFrom, Anonymous: d.AnonymousFrom,
		ASN: uint64(d.ASN), Organisation: d.Organisation,
	}
	if d.Address.IsValid() {
		l.Address = d.Address.String()
	}
	return l
}

// explain explains a snapshot at a moment for which it holds: since when it does may be when a
// demand has come into force that may not be disclosed.
func explain(snapshot *policy.Snapshot, at time.Time, place policy.Place, method, host, path string) policy.Explanation {
	x := snapshot.Explain(place, method, host, path)
	x.At = at
	x.Matches = orEmpty(x.Matches)
	return x
}
