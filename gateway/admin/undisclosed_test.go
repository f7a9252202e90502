package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// secretWords are in the policies below, and nobody but counsel is to read them.
var secretWords = []string{"gb-order", "fr-order", "An order that is secret", "orders.example"}

// spellings are of a policy's demands, as YAML has them.
var spellings = map[string]func(demands ...string) string{
	"in lines":    func(demands ...string) string { return "\n  " + strings.Join(demands, "\n  ") },
	"in braces":   func(demands ...string) string { return " {\n" + strings.Join(demands, ",\n") + "}" },
	"behind tabs": func(demands ...string) string { return " {\t" + strings.Join(demands, ",\t") + "}" },
	"with an escape": func(demands ...string) string {
		return "\n  " + strings.NewReplacer("gb-order", `"gb\x2dorder"`, "fr-order", `"fr\x2dorder"`).Replace(strings.Join(demands, "\n  "))
	},
}

// counsel may know of everything.
var counsel = changes.Actor{Name: "eve", Roles: []changes.Role{changes.Approver, changes.Counsel}}

// withSecrets applies policies with demands that may not be disclosed: one stands, one
// was taken out again, and a change of one waits.
func withSecrets(t *testing.T, spelling string) (g *fixture, waits api.Change) {
	t.Helper()
	g = newFixture(t)
	order := func(name string, code policy.Code, stage policy.Stage) string {
		return fmt.Sprintf(`%s: {jurisdiction: %s, territories: none, stage: %s, disclose: false, title: An order that is secret, source: https://orders.example/, requires: {e2ee: false}}`, name, code, stage)
	}
	document := func(demands ...string) string {
		return fourEyes + "  GB: {territories: none, phase: withdrawn, because: [gb-order]}\nguarantees: {e2ee: {require: true}}\ndemands:" + spellings[spelling](demands...) + "\n"
	}
	gb, fr := order("gb-order", "GB", policy.InForce), order("fr-order", "FR", policy.Proposed)
	apply := func(document string) (c api.Change) {
		t.Helper()
		p := api.Proposal{Policy: document, Because: "As ordered."}
		plan, err := g.Plan(t.Context(), counsel, p)
		if err != nil {
			t.Fatal(err)
		}
		p.Plan = plan.Plan.Hash
		got := ask(t, g, socket, "POST", "/v1/changes", p, g.ifMatch())
		if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status >= 300 {
			t.Fatalf("%v: %d\n%s", err, got.status, got.body)
		}
		if c.Status == changes.Pending {
			state, now := g.known()
			draft, err := state.Approve(counsel, c.Number, c.Plan, "", changes.Request{}, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			g.append(t, draft)
		}
		return c
	}
	apply(document(gb, fr))
	apply(document(gb))
	p := api.Proposal{Policy: strings.Replace(document(gb, fr), "GB: {", "RU: withdrawn\n  GB: {", 1), Because: "As ordered."}
	plan, err := g.Plan(t.Context(), counsel, p)
	if err != nil {
		t.Fatal(err)
	}
	p.Plan = plan.Plan.Hash
	got := ask(t, g, socket, "POST", "/v1/changes", p, g.ifMatch())
	if err := json.Unmarshal([]byte(got.body), &waits); err != nil || waits.Status != changes.Pending {
		t.Fatalf("%v\n%s", err, got.body)
	}
	return g, waits
}

// checkWhoReads asks everybody, and finds out who reads of the secrets.
func checkWhoReads(t *testing.T, g *fixture, method, target string, body any, more ...headers) {
	t.Helper()
	for _, who := range []actor{viewer, operator, approver, both} {
		got := ask(t, g, who, method, target, body, more...)
		for _, word := range secretWords {
			if strings.Contains(got.body, word) {
				t.Errorf("%s, who is %s, reads of %s:\n%s", target, who, word, got.body)
			}
		}
		for _, hint := range []string{`"weaken-demand"`, "suspended (stayed by a court)", "withdraw GB"} {
			if strings.Contains(got.body, hint) && target != "/v1/openapi.json" {
				t.Errorf("%s, who is %s, reads %s:\n%s", target, who, hint, got.body)
			}
		}
		if got.status >= 500 {
			t.Errorf("%s: %d\n%s", target, got.status, got.body)
		}
	}
}

// What may not be disclosed is read by counsel alone, wherever it stands.
func TestNobodyButCounselReadsOfUndisclosedDemands(t *testing.T) {
	for spelling := range spellings {
		t.Run(spelling, func(t *testing.T) { testUndisclosed(t, spelling) })
	}
}

func testUndisclosed(t *testing.T, spelling string) {
	g, waits := withSecrets(t, spelling)
	targets := []string{fmt.Sprint("/v1/changes/", waits.Number), "/v1/revisions/2", "/v1/jurisdictions/GB"}
	for endpoint := range calls {
		if target, get := strings.CutPrefix(endpoint, "GET "); get && !strings.Contains(target, "{") && target != "/v1/events" {
			targets = append(targets, target)
		}
	}
	for _, target := range targets {
		checkWhoReads(t, g, "GET", target, nil)
		checkWhoReads(t, g, "GET", target, nil, headers{"Accept": "application/yaml"})
	}
	checkWhoReads(t, g, "GET", "/v1/evidence/GB", nil)
	for _, jurisdiction := range []policy.Code{"GB", "FR", "DE"} {
		checkWhoReads(t, g, "POST", "/v1/explain", api.Question{Jurisdiction: jurisdiction, At: start.Add(time.Hour)})
		checkWhoReads(t, g, "POST", "/v1/plan", api.Proposal{Set: &api.Set{Jurisdiction: jurisdiction, Phase: policy.Open, Territories: policy.NoTerritories()}})
	}
	checkWhoReads(t, g, "POST", "/v1/plan", api.Proposal{Rollback: 2})
	var told []string // of one that there is, and of one that there isn't
	for _, name := range []string{"gb-order", "zz-order"} {
		got := ask(t, g, viewer, "POST", "/v1/plan", api.Proposal{Stage: &api.Stage{Demand: name, DatedStage: policy.DatedStage{Stage: policy.Repealed}}})
		told = append(told, fmt.Sprint(got.status, got.body))
	}
	if told[0] != told[1] {
		t.Errorf("it tells which demands there are:\n%s", strings.Join(told, "\n"))
	}
	if got := ask(t, g, viewer, "POST", "/v1/explain", api.Question{Jurisdiction: "GB"}); strings.Contains(got.body, "because") {
		t.Errorf("it tells that there is one:\n%s", got.body)
	}
	if got := ask(t, g, viewer, "POST", "/v1/plan", api.Proposal{Rollback: 1}); got.status != http.StatusForbidden {
		t.Errorf("what changes a demand is planned for who may not know of it: %d\n%s", got.status, got.body)
	}

	status := ask(t, g, socket, "GET", "/v1/status", nil)
	if !strings.Contains(status.body, "gb-order") || !strings.Contains(status.body, "An order that is secret") {
		t.Errorf("counsel doesn't read of it:\n%s", status.body)
	}
	if log := ask(t, g, socket, "GET", "/v1/log", nil).body; !strings.Contains(log, "fr-order") {
		t.Errorf("counsel doesn't read of what was:\n%s", log)
	}
}

// Nobody changes, drops or approves what they may not know of; all else they may.
func TestNobodyButCounselDecidesOnUndisclosedDemands(t *testing.T) {
	g, waits := withSecrets(t, "in lines")
	if got := ask(t, g, approver, "POST", fmt.Sprintf("/v1/changes/%d/approvals", waits.Number), api.Approval{Plan: waits.Plan}); got.status != http.StatusForbidden {
		t.Errorf("it is approved: %d\n%s", got.status, got.body)
	}
	propose := func(who actor, p api.Proposal) answer {
		t.Helper()
		plan, err := g.Plan(t.Context(), counsel, p)
		if err != nil {
			t.Fatal(err)
		}
		p.Plan, p.Because = plan.Plan.Hash, "A try."
		return ask(t, g, who, "POST", "/v1/changes", p, g.ifMatch())
	}
	for what, p := range map[string]api.Proposal{
		"a document without it": {Policy: fourEyes + "  GB: {territories: none, phase: withdrawn}\nguarantees: {e2ee: {require: true}}\n"},
		"a rollback":            {Rollback: 1},
		"a stage":               {Stage: &api.Stage{Demand: "gb-order", DatedStage: policy.DatedStage{Stage: policy.Repealed}}},
	} {
		if got := propose(both, p); got.status < 400 || strings.Contains(got.body, "gb-order") {
			t.Errorf("%s: %d\n%s", what, got.status, got.body)
		}
	}
	if got := propose(both, api.Proposal{Set: withdraw("DE")}); got.status != http.StatusCreated {
		t.Errorf("another market: %d\n%s", got.status, got.body)
	}
	if got := propose(socket, api.Proposal{Stage: &api.Stage{Demand: "gb-order", DatedStage: policy.DatedStage{Stage: policy.Repealed}}}); got.status != http.StatusCreated {
		t.Errorf("counsel: %d\n%s", got.status, got.body)
	}
}

func TestAStateKnowsWhatWasNeverDisclosed(t *testing.T) {
	g, _ := withSecrets(t, "in lines")
	state, _ := g.known()
	kept, err := state.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := changes.Restore(kept, state.Supplement(), parsers)
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]changes.State{"from its records": state, "kept": restored} {
		if names := s.Undisclosed(); !slices.Equal(names, []string{"fr-order", "gb-order"}) {
			t.Errorf("%s it knows %q", what, names)
		}
	}
}

func TestEvents_ofUndisclosedDemands(t *testing.T) {
	g, _ := withSecrets(t, "in lines")
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	f := follow(t, g, server, g.tokens[viewer])
	g.happening.Publish(api.Event{Type: "revision", Number: 14, Message: "demand gb-order: in-force → repealed", Revision: 14})
	if text := f.event(t); strings.Contains(text, "gb-order") || !strings.Contains(text, `"number":14`) {
		t.Errorf("the event is %s", text)
	}
}

// How many there are that may not be disclosed isn't told either.
func TestNobodyButCounselCountsUndisclosedDemands(t *testing.T) {
	g := newFixture(t)
	withOrders := func(n int) {
		t.Helper()
		document := fourEyes + "  GB: {territories: none, phase: withdrawn}\nguarantees: {e2ee: {require: true}}\ndemands:"
		for i := range n {
			document += fmt.Sprintf("\n  gb-order-%02d: {jurisdiction: GB, territories: none, stage: in-force, disclose: false, requires: {e2ee: false}}", i)
		}
		p := api.Proposal{Policy: document + "\n", Because: "As ordered."}
		plan, err := g.Plan(t.Context(), counsel, p)
		if err != nil {
			t.Fatal(err)
		}
		p.Plan = plan.Plan.Hash
		if got := ask(t, g, socket, "POST", "/v1/changes", p, g.ifMatch()); got.status != http.StatusCreated {
			t.Fatalf("%d\n%s", got.status, got.body)
		}
	}
	var told []string
	for _, n := range []int{1, 20} {
		withOrders(n)
		got := ask(t, g, operator, "POST", "/v1/plan", api.Proposal{Set: &api.Set{Jurisdiction: "GB", Phase: policy.Open, Territories: policy.NoTerritories()}})
		told = append(told, fmt.Sprint(got.status, got.body))
	}
	if told[0] != told[1] {
		t.Errorf("a refusal tells how many there are:\n%s", strings.Join(told, "\n"))
	}

	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	f := follow(t, g, server, g.tokens[viewer])
	g.happening.Publish(api.Event{Type: "revision", Number: 14, Message: "RU open → withdrawn (20 more)", Revision: 14})
	if text := f.event(t); !strings.Contains(text, "RU open") || strings.Contains(text, "20 more") {
		t.Errorf("the event is %s", text)
	}
}
