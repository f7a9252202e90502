package control

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// Places returns what each country and territory gets, and each other jurisdiction
// that the policy names, with the requests of all gateways.
func (c *Control) Places(ctx context.Context) api.Places {
	snapshot := c.snapshot()
	sums, gateways := c.recentTraffic(ctx)
	hour, day := requestsFrom(sums)
	underWay, ending := c.underWay(snapshot)
	unenforced := snapshot.Unenforced(c.o.Capability())
	markets := snapshot.Markets()
	named := make(map[policy.Code]policy.Market, len(markets))
	for _, m := range markets {
		named[m.Jurisdiction] = m
	}
	places := api.Places{Gateways: gateways, Since: sums.Since, Places: []api.Place{}}
	add := func(m policy.Market, entry policy.Code) {
		code := m.Jurisdiction
		places.Places = append(places.Places, api.Place{
			Market: api.Market{Market: m, Hour: hour[code], Day: day[code], UnderWay: underWay[code], Ending: ending[code]},
			Entry:  entry, Unenforced: slices.Contains(unenforced, code),
		})
	}
	for country := range iso3166.Countries() {
		code := policy.Code(country.Code)
		d := snapshot.Decide(policy.PlaceOf(code), snapshot.Policy().Class(policy.Other))
		m, isNamed := named[code]
		if !isNamed { // it goes by another entry, if by any
			m = named[d.Entry]
			m.Jurisdiction, m.Name, m.Reaches, m.Zone = code, policy.Name(code), nil, policy.ZoneOf(code)
			m.Reason = d.Reason
			if m.Routes == nil { // else all of it is about these
				m.Phase, m.Since, m.Sunset = d.Phase, d.Since, d.Sunset
			}
		}
		add(m, d.Entry)
		delete(named, code)
	}
	for _, m := range markets {
		if _, left := named[m.Jurisdiction]; left {
			add(m, m.Jurisdiction)
		}
	}
	return places
}

// requestsFrom sums up requests by where they came from, and by the group or the like
// whose entry decided on them.
func requestsFrom(sums traffic.Sums) (hour, day map[policy.Code]api.Requests) {
	sum := func(counts map[traffic.Key]uint64) map[policy.Code]api.Requests {
		byCode := make(map[policy.Code]api.Requests)
		for key, n := range counts {
			of := []policy.Code{key.Jurisdiction}
			if place := policy.PlaceOf(key.Jurisdiction); place.Country != "" && place.Country != key.Jurisdiction {
				of = append(of, place.Country)
			}
			if !slices.Contains(of, key.Entry) {
				of = append(of, key.Entry)
			}
			for _, code := range of {
				r := byCode[code]
				if key.Refused {
					r.Refused += n
				} else {
					r.Forwarded += n
				}
				byCode[code] = r
			}
		}
		return byCode
	}
	return sum(sums.Hour), sum(sums.Day)
}

// trafficAge is for how long what all gateways have counted is taken for new: however
// many people look, the gateways are asked no more often.
const trafficAge = 5 * time.Second

// A trafficCache has what all gateways had counted when they were last asked.
type trafficCache struct {
	mu       sync.Mutex
	asked    time.Time
	sums     traffic.Sums
	gateways int
}

// recentTraffic returns what all gateways have counted, some seconds ago at most.
func (c *Control) recentTraffic(ctx context.Context) (traffic.Sums, int) {
	c.recent.mu.Lock()
	defer c.recent.mu.Unlock()
	if now := time.Now(); c.recent.asked.IsZero() || now.Sub(c.recent.asked) > trafficAge {
		c.recent.sums, c.recent.gateways = c.trafficOnce(ctx)()
		c.recent.asked = now
	}
	return c.recent.sums, c.recent.gateways
}
