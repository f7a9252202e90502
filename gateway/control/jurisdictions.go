package control

import (
	"net/http"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
)

// Jurisdictions returns what the jurisdictions get that the policy names.
func (c *Control) Jurisdictions() api.Jurisdictions {
	return api.Jurisdictions{Markets: c.markets(c.snapshot())}
}

// markets returns what a snapshot says of each market, and its traffic.
func (c *Control) markets(snapshot *policy.Snapshot) []api.Market {
	hour, day := requestsByCode(c.o.Traffic())
	underWay, ending := c.underWay(snapshot)
	markets := []api.Market{}
	for _, m := range snapshot.Markets() {
		markets = append(markets, api.Market{Market: m, Hour: hour[m.Jurisdiction], Day: day[m.Jurisdiction], UnderWay: underWay[m.Jurisdiction], Ending: ending[m.Jurisdiction]})
	}
	return markets
}

// underWay returns how many exchanges are under way, and how many of these a snapshot would
// refuse, by market.
func (c *Control) underWay(by *policy.Snapshot) (all, ending map[policy.Code]int) {
	if c.o.UnderWay == nil {
		return nil, nil
	}
	all, ending, _ = c.o.UnderWay(by)
	for code, n := range ending {
		all[code] += n
	}
	return all, ending
}

// requestsByCode sums up requests by jurisdiction: those that its entry governs,
// or where it has none, that were made from it.
func requestsByCode(sums traffic.Sums) (hour, day map[policy.Code]api.Requests) {
	sum := func(counts map[traffic.Key]uint64) map[policy.Code]api.Requests {
		byCode := make(map[policy.Code]api.Requests)
		for key, n := range counts {
			code := key.Entry
			if code == policy.Default {
				code = key.Jurisdiction
			}
			r := byCode[code]
			if key.Refused {
				r.Refused += n
			} else {
				r.Forwarded += n
			}
			byCode[code] = r
		}
		return byCode
	}
	return sum(sums.Hour), sum(sums.Day)
}

// placeOf returns a place in a jurisdiction, as policy.PlaceOf, and an anonymous one.
func placeOf(code policy.Code) policy.Place {
	if code == policy.Anonymous {
		return policy.Place{Anonymous: true}
	}
	return policy.PlaceOf(code)
}

// Jurisdiction returns what a jurisdiction gets, and why: also one that the
// policy doesn't name.
func (c *Control) Jurisdiction(code policy.Code) (api.Jurisdiction, error) {
	snapshot := c.snapshot()
	if !policy.IsPlace(code) && !snapshot.Policy().HasEntry(code) {
		return api.Jurisdiction{}, notFound("write an ISO 3166-1 country as FR, an ISO 3166-2 subdivision as US-MS, or a group of the policy", "%q is no jurisdiction", code)
	}
	var why *policy.Explanation
	if place := placeOf(code); policy.IsPlace(code) || place.Anonymous {
		x := explain(snapshot, c.now(), place, http.MethodGet, "", "/")
		why = &x
	}
	hour, day := requestsByCode(c.o.Traffic())
	underWay, ending := c.underWay(snapshot)
	j := api.Jurisdiction{Explanation: why, Market: api.Market{Hour: hour[code], Day: day[code], UnderWay: underWay[code], Ending: ending[code]}}
	for _, m := range snapshot.Markets() {
		if m.Jurisdiction == code {
			j.Market.Market = m
			return j, nil
		}
	}
	if why == nil {
		return j, nil
	}
	d := why.Decision
	j.Market.Market = policy.Market{Jurisdiction: code, Name: policy.Name(code), Phase: d.Phase, Reason: d.Reason, Since: d.Since, Sunset: d.Sunset}
	return j, nil
}
