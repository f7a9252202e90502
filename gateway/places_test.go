package gateway_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/config"
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
	var x policy.Explanation
	if g.operate(200, "POST", "/v1/explain", `{"jurisdiction": "anonymous"}`, &x); x.Decision.Entry != "anonymous" || x.Decision.Action != policy.Refuse {
		t.Errorf("who hides is explained as %+v", x)
	}
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

// Issue 10, A3: 1,404 bytes with one network, renamed over the database: it was
// taken into use, and France was served.
func TestAHollowDatabaseOpensNoMarket(t *testing.T) {
	g := start(t, setup{
		policy:    "version: 1\njurisdictions: {FR: withdrawn}\n",
		configure: func(c *config.Config) { c.Geo.Hold = config.Default().Geo.Hold },
	})
	c := g.client(1)
	decide := func(accept, because string) (after api.Geo) {
		t.Helper()
		var before api.Geo
		g.operate(200, "GET", "/v1/geo", "", &before)
		if len(before.Held) != 1 {
			t.Fatalf("held are %+v", before.Held)
		}
		g.operate(200, "POST", "/v1/geo/decisions", fmt.Sprintf(`{"sha256": %q, "accept": %s, "because": %q}`, before.Held[0].SHA256, accept, because), &after)
		return after
	}

	// A first start: it is compared with the embedded one, and is small.
	if g.metric(`exitgate_geo_database_held{database="`+g.geo+`"}`) != 1 {
		t.Error("a small database isn't held at a first start")
	}
	if after := decide("true", "It is all that the test needs."); len(after.Held) > 0 {
		t.Fatalf("accepted, there is still held %+v", after.Held)
	}

	hollow := geotest.City(t, geotest.Networks{"3.1.0.0/24": "US-MS"})
	geotest.Replace(t, g.geo, hollow)
	held := func() bool { return g.metric(`exitgate_geo_database_held{database="`+g.geo+`"}`) == 1 }
	testkit.Eventually(t, "the database is held", held)
	if got := g.request(c, "/", france); got.status != 451 {
		t.Errorf("France gets %d by a hollow database", got.status)
	}
	if got := g.request(c, "/", mississippi); got.status != 200 {
		t.Errorf("who isn't restricted by either gets %d", got.status)
	}
	if _, checks := g.ready(); checks["geo "+g.geo].OK {
		t.Error("/readyz doesn't say that it is held")
	}
	var x policy.Explanation
	g.operate(200, "POST", "/v1/explain", `{"address": "2.0.0.7"}`, &x)
	if x.Decision.Jurisdiction != "FR" {
		t.Errorf("explained as %s", x.Decision.Jurisdiction)
	}
	var shown api.Geo
	g.operate(200, "GET", "/v1/geo", "", &shown)
	if len(shown.Held) != 1 || len(shown.Held[0].Losses) == 0 || len(shown.Decided) != 1 {
		t.Errorf("shown are %+v", shown)
	}

	decide("false", "A broken download.")
	if held() || g.request(c, "/", france).status != 451 {
		t.Error("what was rejected is in use, or held")
	}

	// One in which France is somewhere else: either of them is enough.
	moved := geotest.Networks{}
	for prefix, place := range world {
		moved[prefix] = place
	}
	moved["2.0.0.0/16"], moved["2.1.0.0/16"], moved["5.1.0.0/20"] = "DE", "DE", "FR"
	geotest.Replace(t, g.geo, geotest.City(t, moved))
	testkit.Eventually(t, "the other database is held", held)
	for _, client := range []string{france, germany} {
		if got := g.request(c, "/", client); got.status != 451 {
			t.Errorf("%s gets %d", client, got.status)
		}
	}
	decide("true", "The blocks were sold.")
	if got := g.request(c, "/", france); got.status != 200 {
		t.Errorf("by what was accepted %s gets %d", france, got.status)
	}
	g.operate(404, "POST", "/v1/geo/decisions", fmt.Sprintf(`{"sha256": %q, "accept": true, "because": "another"}`, strings.Repeat("ab", 32)), new(any))
}

// Issue 10, A3: a database in another file at a restart, as dated names make it, was
// compared with none, and France was served; so was one for those who hide.
func TestARestartWithOtherFilesOpensNoMarket(t *testing.T) {
	moved := geotest.Networks{}
	for prefix, place := range world {
		moved[prefix] = place
	}
	moved["2.0.0.0/16"], moved["2.1.0.0/16"] = "DE", "DE"
	const hidden = "5.1.9.7"
	city, city2 := geotest.File(t, worldDatabase(t)), geotest.File(t, geotest.City(t, moved))
	anonymous := geotest.File(t, geotest.AnonymousIP(t, geotest.Networks{"5.1.9.0/24": "anonymous_vpn"}))
	anonymous2 := geotest.File(t, geotest.AnonymousIP(t, geotest.Networks{"5.1.8.0/30": "anonymous_vpn"}))
	var g *gate
	on := func(databases ...string) {
		t.Helper()
		s := setup{policy: "version: 1\njurisdictions: {FR: withdrawn, anonymous: withdrawn}\n", databases: databases}
		before := g
		s.configure = func(c *config.Config) {
			c.Geo.Hold = config.Default().Geo.Hold
			if before != nil {
				c.Data, c.Policy.File = before.data, before.policy
			}
		}
		if before != nil {
			s.policy = ""
			if err := before.stop(); err != nil {
				t.Fatal(err)
			}
		}
		g = start(t, s)
	}
	accept := func() {
		t.Helper()
		var held, after api.Geo
		g.operate(200, "GET", "/v1/geo", "", &held)
		if len(held.Held) != 1 {
			t.Fatalf("held are %+v", held.Held)
		}
		g.operate(200, "POST", "/v1/geo/decisions", fmt.Sprintf(`{"sha256": %q, "accept": true, "because": "It is meant."}`, held.Held[0].SHA256), &after)
		if len(after.Held) > 0 {
			t.Fatalf("accepted, there is still held %+v", after.Held)
		}
	}
	expect := func(what, address string, status int, held string) {
		t.Helper()
		if got := g.request(g.client(1), "/", address); got.status != status {
			t.Errorf("%s: %s gets %d", what, address, got.status)
		}
		if g.metric(`exitgate_geo_database_held{database="`+held+`"}`) != 1 {
			t.Errorf("%s: the metric doesn't say that %s is held", what, held)
		}
		if _, checks := g.ready(); checks["geo "+held].OK {
			t.Errorf("%s: /readyz doesn't say that %s is held", what, held)
		}
		if unenforced := g.status().Unenforced; len(unenforced) > 0 {
			t.Errorf("%s: %v are refused, and said not to be", what, unenforced)
		}
	}
	copied := func() {
		t.Helper()
		testkit.Eventually(t, "there are copies of what is in use", func() bool {
			copies, err := filepath.Glob(filepath.Join(g.data, "geo", "*.mmdb"))
			return err == nil && len(copies) == 2
		})
	}

	on(city, anonymous)
	accept() // the world of the tests is small
	copied()

	on(city2, anonymous)
	expect("another file", france, 451, city2)
	on(city2, anonymous)
	expect("after another restart", france, 451, city2)
	accept()
	if got := g.request(g.client(1), "/", france); got.status != 200 {
		t.Errorf("by what was accepted France gets %d", got.status)
	}

	on(city2, anonymous2)
	expect("another file for those who hide", hidden, 451, anonymous2)
	on(city2)
	expect("none for those who hide", hidden, 451, city2)
	var held api.Geo
	g.operate(200, "GET", "/v1/geo", "", &held)
	g.operate(409, "POST", "/v1/geo/decisions", fmt.Sprintf(`{"sha256": %q, "accept": false, "because": "there is none to go back to"}`, held.Held[0].SHA256), new(any))
	accept()
	if got := g.request(g.client(1), "/", hidden); got.status != 200 {
		t.Errorf("as was accepted, who hides gets %d", got.status)
	}
}

// Issue 10, A6: the gateway that is asked names the correction that an address is
// located by.
func TestExplainNamesTheCorrection(t *testing.T) {
	corrections := filepath.Join(t.TempDir(), "offices.csv")
	testkit.WriteFile(t, corrections, "# The office in Jackson.\n5.1.0.0/24,US,US-MS,,\n")
	g := start(t, setup{
		policy:    "version: 1\njurisdictions: {US-MS: withdrawn}\n",
		configure: func(c *config.Config) { c.Geo.Corrections = []string{corrections} },
	})
	for address, want := range map[string]api.Location{
		germany: {Address: germany, Country: corrections + ":2", Subdivisions: corrections + ":2"},
		france:  {Address: france, Country: g.geo},
	} {
		var x api.Explanation
		g.operate(200, "POST", "/v1/explain", fmt.Sprintf(`{"address": %q}`, address), &x)
		if x.Located == nil || *x.Located != want {
			t.Errorf("%s is located by %+v, want %+v", address, x.Located, want)
		}
	}
}

// Issue 10, F: a database that is too old, while a market is restricted. Whether that is
// because of a demand makes no difference: it may be one that may not be disclosed.
func TestADatabaseTooOldForAMarket(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	old := geotest.File(t, geotest.City(t, world, geotest.Built(now.AddDate(0, 0, -61))))
	const restricted = "jurisdictions: {DE: {phase: withdrawn}}\n"
	for policy, overdue := range map[string]float64{
		restricted: 1, "jurisdictions: {DE: {phase: open}}\n": 0,
		restricted + "guarantees: {e2ee: {require: true}}\nflags: {e2ee: true}\ndemands: {law: {jurisdiction: DE, stage: in-force, disclose: false, requires: {e2ee: false}}}\n": 1,
	} {
		g := start(t, setup{
			databases: []string{old},
			configure: func(c *config.Config) { c.Geo.MaxAge = 60 * 24 * time.Hour },
			now:       func() time.Time { return now },
			policy:    "version: 1\n" + policy,
		})
		if got := g.metric(`exitgate_geo_database_overdue{database="` + old + `"}`); got != overdue {
			t.Errorf("%q: overdue is %v, want %v", policy, got, overdue)
		}
		if _, checks := g.ready(); checks["geo "+old].OK == (overdue == 1) {
			t.Errorf("%q: /readyz says %+v", policy, checks["geo "+old])
		}
	}
}
