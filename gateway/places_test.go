package gateway_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// Issue 10, A1: a place that no database here can find was shown as withdrawn by
// all that is shown, and served.
func TestWhatCannotBeFoundIsNotEnforcedHere(t *testing.T) {
	countries := geotest.File(t, geotest.Country(t, geotest.Networks{"3.0.0.0/8": "US", "2.0.0.0/16": "FR"}))
	g := start(t, setup{
		policy:    "version: 1\njurisdictions: {US-MS: withdrawn, FR: withdrawn, anonymous: withdrawn}\n",
		databases: []string{countries},
	})
	c := g.client(1)
	if got := g.request(c, "/", mississippi); got.status != 200 {
		t.Fatalf("who can't be found gets %d", got.status)
	}
	want := []policy.Code{"US-MS", "anonymous"}
	if got := g.status().Unenforced; !cmp.Equal(got, want) {
		t.Errorf("status says that %v are not enforced, want %v", got, want)
	}
	for _, code := range want {
		if g.metric(`exitgate_jurisdiction_unenforced{jurisdiction="`+string(code)+`"}`) != 1 {
			t.Errorf("the metric doesn't say that %s isn't enforced", code)
		}
		_, checks := g.ready()
		if check := checks["not enforced here: "+string(code)]; check.OK || check.Detail == "" {
			t.Errorf("/readyz doesn't say that %s isn't enforced: %+v", code, check)
		}
	}
	public := g.request(c, "/.well-known/market-status", germany).body
	if strings.Contains(public, "US-MS") || strings.Contains(public, "anonymous") || !strings.Contains(public, "FR") {
		t.Errorf("the public is told\n%s", public)
	}

	// A database that has it: it is enforced, and said to be.
	geotest.Replace(t, countries, worldDatabase(t))
	testkit.Eventually(t, "the database in use", func() bool { return g.request(c, "/", mississippi).status == 451 })
	if got, want := g.status().Unenforced, []policy.Code{"anonymous"}; !cmp.Equal(got, want) {
		t.Errorf("status says that %v are not enforced, want %v", got, want)
	}
	if public := g.request(c, "/.well-known/market-status", germany).body; !strings.Contains(public, "US-MS") {
		t.Errorf("the public is told\n%s", public)
	}
}

// status asks for /v1/status.
func (g *gate) status() (s api.Status) {
	g.t.Helper()
	g.operate(200, "GET", "/v1/status", "", &s)
	return s
}
