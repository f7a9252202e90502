package main

import (
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

// Issue 10, C13: plan and set say until when caches may serve what they have.
func TestPlanAndSetSayUntilWhenCachesMayServe(t *testing.T) {
	g := newLedgerGateway(t)
	g.start()
	plan := func(set api.Set) *api.Caches {
		t.Helper()
		var plan api.Plan
		if err := g.ask("POST", "/v1/plan", api.Proposal{Set: &set}, &plan); err != nil {
			t.Fatal(err)
		}
		return plan.Caches
	}
	withdraw := api.Set{Jurisdiction: "FR", Territories: policy.NoTerritories(), Phase: policy.Withdrawn}
	g.gets("DE")
	if c := plan(withdraw); c != nil {
		t.Errorf("of what nobody may keep it says %+v", c)
	}
	before := time.Now()
	g.request("DE", "GET /?cache=public,+max-age=60,+s-maxage=3600")
	after := time.Now()
	c := plan(withdraw)
	if c == nil || c.Shared.Before(before.Add(time.Hour)) || c.Shared.After(after.Add(time.Hour+2*time.Second)) ||
		c.Private.Before(before.Add(time.Minute)) || c.Private.After(after.Add(time.Minute+2*time.Second)) || c.Unstated || c.Purged || c.Since.IsZero() {
		t.Errorf("it says %+v", c)
	}
	if c := plan(api.Set{Jurisdiction: "FR", Territories: policy.NoTerritories(), Phase: policy.Announced}); c != nil {
		t.Errorf("of what refuses nobody it says %+v", c)
	}
	if c := plan(api.Set{Jurisdiction: "FR", Territories: policy.NoTerritories(), Phase: policy.Withdrawn, From: after.Add(30 * time.Minute)}); c == nil || c.Shared.IsZero() || !c.Private.IsZero() {
		t.Errorf("of a later step it says %+v", c)
	}
	if c := plan(api.Set{Jurisdiction: "FR", Territories: policy.NoTerritories(), Phase: policy.Withdrawn, From: after.Add(2 * time.Hour)}); c != nil {
		t.Errorf("of a step after all it says %+v", c)
	}
	text := g.mustRun("plan", "--set", "FR=withdrawn", "--territories", "none").out
	for _, want := range []string{"Caches may go on to serve", "shared ones until " + formatTime(c.Shared), "caches.purge"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("plan doesn't say %q:\n%s", want, text)
		}
	}
	g.request("DE", "GET /?cache=public")
	text = g.mustRun("set", "FR", "withdrawn", "--territories", "none", "--because", "It is law.").out
	if !strings.Contains(text, "shared ones until") || !strings.Contains(strings.Join(strings.Fields(text), " "), "didn't say for how long") {
		t.Errorf("set says\n%s", text)
	}
	if g.gets("FR") != 451 {
		t.Error("it isn't in force")
	}
}
