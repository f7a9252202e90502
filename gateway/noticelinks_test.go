package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
)

// Issue 11, 2: a notice names only what this client gets now.
func TestANoticeOffersOnlyWhatIsServed(t *testing.T) {
	g := start(t, setup{
		configure: func(c *config.Config) { c.Apps[0].Hosts = append(c.Apps[0].Hosts, "*.pages.example") },
		policy: `version: 1
routes:
  export: [/account/export]
  essential: [/appeal]
jurisdictions:
  FR: withdrawn
  DE: wind-down
  anonymous: withdrawn
notices:
  default:
    appeal: https://app.example/appeal
    export: https://app.example/account/export
    sign-in: https://app.example/sign-in
    refunds: https://a.pages.example/refunds
    delete-account: https://elsewhere.example/delete
`})
	c := g.client(1)
	for _, test := range []struct{ from, named, unnamed string }{
		// The export of a market that is withdrawn is refused; a host that isn't behind
		// the gateway may serve what it likes.
		{france, "/appeal https://elsewhere.example/delete", "/account/export /sign-in /refunds"},
		{germany, "/appeal https://elsewhere.example/delete /account/export", "/sign-in /refunds"},
	} {
		got := g.request(c, "/", test.from)
		for path := range strings.FieldsSeq(test.named) {
			if !strings.Contains(got.body, path) {
				t.Errorf("from %s, %s is not named:\n%s", test.from, path, got.body)
			}
			if strings.HasPrefix(path, "/") && g.request(c, path, test.from).status != http.StatusOK {
				t.Errorf("from %s, %s is named and refused", test.from, path)
			}
		}
		for path := range strings.FieldsSeq(test.unnamed) {
			if strings.Contains(got.body, path) {
				t.Errorf("from %s, %s is named:\n%s", test.from, path, got.body)
			}
		}
	}
}

// Issue 11, 7: what begins at midnight in Paris begins on that day, whoever reads it
// and in whatever zone the policy was written.
func TestPublicDatesAreThoseOfThePlace(t *testing.T) {
	clock := time.Date(2026, 12, 10, 0, 0, 0, 0, time.UTC)
	for _, from := range []string{"2026-12-01T00:00:00+01:00", "2026-11-30T23:00:00Z"} {
		g := start(t, setup{now: func() time.Time { return clock }, policy: "version: 1\njurisdictions:\n  FR: {schedule: [{from: " + from + ", phase: withdrawn}]}\n"})
		if a := g.request(g.client(1), "/", france); !strings.Contains(a.body, "1er décembre 2026") || a.header.Get("Sunset") != "Mon, 30 Nov 2026 23:00:00 GMT" {
			t.Errorf("from %s: Sunset %s\n%s", from, a.header.Get("Sunset"), a.body)
		}
	}
}
