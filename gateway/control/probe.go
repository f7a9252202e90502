package control

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

// Probe returns what clients in a jurisdiction get, as each gateway that answers has seen
// it by asking its own public listener.
func (c *Control) Probe(ctx context.Context, code policy.Code) (api.Probes, error) {
	snapshot := c.snapshot()
	if code == policy.Unlocated || code == policy.Private || !policy.IsPlace(code) && code != policy.Anonymous && !snapshot.Policy().HasEntry(code) {
		return api.Probes{}, notFound("write an ISO 3166-1 country as FR, an ISO 3166-2 subdivision as US-MS, or a group of the policy", "%q is no jurisdiction in which a client can be asked as", code)
	}
	answers, err := c.source.QueryProbes(ctx, code)
	if err != nil {
		c.o.Log.Warn("the other gateways could not be asked what they serve", "error", err)
	}
	var all []api.GatewayProbes
	for _, text := range answers {
		var one api.GatewayProbes
		if err := json.Unmarshal(text, &one); err != nil {
			c.o.Log.Warn("invalid probes of a gateway, skipped", "error", err)
			continue
		}
		one.Seen, one.Unseen = orEmpty(one.Seen), orEmpty(one.Unseen)
		all = append(all, one)
	}
	if all == nil {
		all = []api.GatewayProbes{c.o.Probe(ctx, code)}
	}
	slices.SortStableFunc(all, func(a, b api.GatewayProbes) int { return strings.Compare(a.Gateway, b.Gateway) })
	return api.Probes{Gateways: all}, ctx.Err()
}
