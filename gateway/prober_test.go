package gateway_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/config"
)

const probed = `version: 1
routes: {sign-up: [POST /signup], news: [news.example/], shop: [/shop/]}
jurisdictions:
  FR: {territories: [RE, GP, BL], phase: withdrawn}
  US-MS: {phase: withdrawn, unknown-part: serve}
  DE: {features: {shop: withdrawn}}
`

// asProbed returns what a gateway has seen, a line for each request.
func asProbed(p api.GatewayProbes) (lines []string) {
	for _, s := range p.Seen {
		outcome := "served"
		if s.Refused {
			outcome = fmt.Sprint("refused ", s.Status)
		}
		lines = append(lines, fmt.Sprintf("%s %s (%s): %s", s.Jurisdiction, s.Request, s.Class, outcome))
		if s.Refused != s.Wanted {
			lines = append(lines, "not as the policy wants it")
		}
	}
	for _, u := range p.Unseen {
		lines = append(lines, fmt.Sprintf("%s %s unseen: %s", u.Jurisdiction, u.Class, u.Why))
	}
	return lines
}

// Issue 13: the gateway asks its own listener, as clients would; the app doesn't hear of it,
// and nothing is counted.
func TestAGatewaySeesWhatItRefuses(t *testing.T) {
	const essential = " (essential): served"
	for name, configure := range map[string]func(*config.Config){
		"over HTTPS": func(*config.Config) {},
		"behind what ends TLS": func(c *config.Config) {
			c.Listen = config.Listen{HTTP: config.Plain{Address: "127.0.0.1:0", Serve: true}}
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: probed, configure: configure})
			for code, want := range map[string][]string{
				"FR": {
					"FR GET / (other): refused 451", "FR POST /signup (sign-up): refused 451", "FR GET /shop/ (shop): refused 451", "FR news unseen: no request of this class is known that an app here would get",
					"GP GET / (other): refused 451", "RE GET / (other): refused 451", "BL  unseen: the databases here know no address there",
				},
				"US-MS": {"US-MS GET / (other): refused 451", "US-MS POST /signup (sign-up): refused 451"},
				"DE":    {"DE GET / (other): served", "DE GET /shop/ (shop): refused 451", "DE POST /signup (sign-up): served"},
				"IE":    {"IE GET / (other): served"},
			} {
				var got api.Probes
				g.operate(200, "POST", "/v1/jurisdictions/"+code+"/probes", "", &got)
				if len(got.Gateways) != 1 || got.Gateways[0].Gateway == "" {
					t.Fatalf("%s: %+v", code, got)
				}
				lines := asProbed(got.Gateways[0])
				for _, line := range want {
					if !slices.Contains(lines, line) {
						t.Errorf("%s: there is no %q in\n%s", code, line, strings.Join(lines, "\n"))
					}
				}
				if slices.Contains(lines, "not as the policy wants it") || !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, essential) }) {
					t.Errorf("%s:\n%s", code, strings.Join(lines, "\n"))
				}
			}
			if seen := g.app.asked(); len(seen) != 0 {
				t.Errorf("the app was asked %v", seen)
			}
			_, metrics := g.admin("/metrics")
			for line := range strings.Lines(metrics) {
				if (strings.HasPrefix(line, "exitgate_decisions_total{") || strings.HasPrefix(line, "exitgate_lookups_total{")) && !strings.HasSuffix(line, " 0\n") {
					t.Errorf("it was counted: %s", line)
				}
			}
		})
	}
	g := start(t, setup{policy: probed})
	for _, code := range []string{"XX", "private", "unlocated", "nowhere"} {
		g.operate(404, "POST", "/v1/jurisdictions/"+code+"/probes", "", new(any))
	}
}
