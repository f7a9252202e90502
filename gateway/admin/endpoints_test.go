package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// zoe has proposed what waits at the begin of a test.
var zoe = changes.Actor{Name: "zoe", Roles: []changes.Role{changes.Operator}}

// ifMatch names the revision in force.
func (g *fixture) ifMatch() headers {
	state, _ := g.known()
	return headers{"If-Match": fmt.Sprintf("%q", fmt.Sprint(state.Revision().Number))}
}

// withdraw is a proposal whose author has seen its plan.
func (g *fixture) withdraw(t testing.TB, code policy.Code) api.Proposal {
	t.Helper()
	p := api.Proposal{Set: withdraw(code), Because: "The law there."}
	plan, err := g.Plan(t.Context(), counsel, p)
	if err != nil {
		t.Fatal(err)
	}
	p.Plan = plan.Plan.Hash
	return p
}

// A call is a request to an endpoint that is as it should be.
type call struct {
	target string
	body   any
	header headers
}

// calls are one for each endpoint.
var calls = map[string]func(testing.TB, *fixture) call{
	"GET /v1/openapi.json":       get("/v1/openapi.json"),
	"GET /v1/status":             get("/v1/status"),
	"GET /v1/policy":             get("/v1/policy"),
	"GET /v1/revisions":          get("/v1/revisions"),
	"GET /v1/revisions/{number}": get("/v1/revisions/1"),
	"GET /v1/log":                get("/v1/log"),
	"GET /v1/log/verification":   get("/v1/log/verification"),
	"GET /v1/evidence/{code}":    get("/v1/evidence/BY"),
	"GET /v1/jurisdictions":      get("/v1/jurisdictions"),
	"GET /v1/places":             get("/v1/places"),
	"POST /v1/console/links":     func(testing.TB, *fixture) call { return call{target: "/v1/console/links"} },
	"GET /v1/jurisdictions/{code}": func(testing.TB, *fixture) call {
		return call{target: "/v1/jurisdictions/BY"}
	},
	"POST /v1/jurisdictions/{code}/probes": func(testing.TB, *fixture) call {
		return call{target: "/v1/jurisdictions/BY/probes"}
	},
	"POST /v1/explain": func(testing.TB, *fixture) call {
		return call{target: "/v1/explain", body: api.Question{Jurisdiction: "BY"}}
	},
	"GET /v1/events": func(_ testing.TB, g *fixture) call {
		g.happening.Close()
		return call{target: "/v1/events"}
	},
	"POST /v1/plan": func(testing.TB, *fixture) call {
		return call{target: "/v1/plan", body: api.Proposal{Set: withdraw("FR")}}
	},
	"GET /v1/changes": get("/v1/changes"),
	"POST /v1/changes": func(t testing.TB, g *fixture) call {
		return call{"/v1/changes", g.withdraw(t, "FR"), g.ifMatch()}
	},
	"GET /v1/changes/{number}": func(t testing.TB, g *fixture) call {
		return call{target: fmt.Sprint("/v1/changes/", g.pending(t, zoe, "RU").Number)}
	},
	"PUT /v1/changes/{number}": func(t testing.TB, g *fixture) call {
		return call{fmt.Sprint("/v1/changes/", g.pending(t, zoe, "RU").Number), g.withdraw(t, "FR"), g.ifMatch()}
	},
	"POST /v1/changes/{number}/approvals": func(t testing.TB, g *fixture) call {
		c := g.pending(t, zoe, "RU")
		return call{target: fmt.Sprintf("/v1/changes/%d/approvals", c.Number), body: api.Approval{Plan: c.Plan}}
	},
	"POST /v1/changes/{number}/rejection": func(t testing.TB, g *fixture) call {
		return call{target: fmt.Sprintf("/v1/changes/%d/rejection", g.pending(t, zoe, "RU").Number), body: api.Rejection{Because: "Not yet."}}
	},
	"GET /v1/geo": get("/v1/geo"),
	"POST /v1/geo/decisions": func(testing.TB, *fixture) call {
		return call{target: "/v1/geo/decisions", body: api.GeoDecisionRequest{SHA256: heldSHA256, Accept: true, Because: "It is meant."}}
	},
	"GET /v1/principals": get("/v1/principals"),
	"PUT /v1/principals/{name}": func(testing.TB, *fixture) call {
		return call{target: "/v1/principals/ada", body: api.Principal{Roles: []changes.Role{changes.Viewer}, Because: "She works here."}}
	},
	"DELETE /v1/principals/{name}": get("/v1/principals/viewer?because=She+left."),
	"POST /v1/principals/{name}/tokens": func(testing.TB, *fixture) call {
		return call{target: "/v1/principals/viewer/tokens", body: api.TokenRequest{Because: "For the dashboard."}}
	},
	"DELETE /v1/principals/{name}/tokens/{id}": func(t testing.TB, g *fixture) call {
		_, id := g.token(t, "ada", time.Time{}, changes.Viewer)
		return call{target: "/v1/principals/ada/tokens/" + id + "?because=It+was+lost."}
	},
}

func get(target string) func(testing.TB, *fixture) call {
	return func(testing.TB, *fixture) call { return call{target: target} }
}

func TestEndpoints_roles(t *testing.T) {
	const (
		no  = http.StatusUnauthorized
		not = http.StatusForbidden
	)
	for endpoint, wants := range map[string][6]int{ // nobody, viewer, operator, approver, operator+approver, socket
		"GET /v1/openapi.json":                     {200, 200, 200, 200, 200, 200},
		"GET /v1/status":                           {no, 200, 200, 200, 200, 200},
		"GET /v1/policy":                           {no, 200, 200, 200, 200, 200},
		"GET /v1/revisions":                        {no, 200, 200, 200, 200, 200},
		"GET /v1/revisions/{number}":               {no, 200, 200, 200, 200, 200},
		"GET /v1/log":                              {no, 200, 200, 200, 200, 200},
		"GET /v1/log/verification":                 {no, 200, 200, 200, 200, 200},
		"GET /v1/evidence/{code}":                  {no, 200, 200, 200, 200, 200},
		"GET /v1/jurisdictions":                    {no, 200, 200, 200, 200, 200},
		"GET /v1/places":                           {no, 200, 200, 200, 200, 200},
		"POST /v1/console/links":                   {no, 200, 200, 200, 200, 200},
		"GET /v1/jurisdictions/{code}":             {no, 200, 200, 200, 200, 200},
		"POST /v1/jurisdictions/{code}/probes":     {no, 200, 200, 200, 200, 200},
		"POST /v1/explain":                         {no, 200, 200, 200, 200, 200},
		"GET /v1/events":                           {no, 200, 200, 200, 200, 200},
		"POST /v1/plan":                            {no, 200, 200, 200, 200, 200},
		"GET /v1/changes":                          {no, 200, 200, 200, 200, 200},
		"POST /v1/changes":                         {no, not, 201, not, 201, 201},
		"GET /v1/changes/{number}":                 {no, 200, 200, 200, 200, 200},
		"PUT /v1/changes/{number}":                 {no, not, 200, not, 200, 200},
		"POST /v1/changes/{number}/approvals":      {no, not, not, 200, 200, 200},
		"POST /v1/changes/{number}/rejection":      {no, not, 200, 200, 200, 200},
		"GET /v1/geo":                              {no, 200, 200, 200, 200, 200},
		"POST /v1/geo/decisions":                   {no, not, 200, not, 200, 200},
		"GET /v1/principals":                       {no, 200, 200, 200, 200, 200},
		"PUT /v1/principals/{name}":                {no, not, not, not, not, 200},
		"DELETE /v1/principals/{name}":             {no, not, not, not, not, 204},
		"POST /v1/principals/{name}/tokens":        {no, not, not, not, not, 201},
		"DELETE /v1/principals/{name}/tokens/{id}": {no, not, not, not, not, 204},
	} {
		if calls[endpoint] == nil {
			t.Fatalf("nobody calls %s", endpoint)
		}
		for i, who := range actors {
			t.Run(endpoint+" by "+string(who), func(t *testing.T) {
				g := newFixture(t)
				method, _, _ := strings.Cut(endpoint, " ")
				c := calls[endpoint](t, g)
				before := g.count()
				got := ask(t, g, who, method, c.target, c.body, c.header)
				if got.status != wants[i] {
					t.Errorf("got %d, not %d\n%s", got.status, wants[i], got.body)
				}
				if changed, may := g.count() != before, method != "GET" && wants[i] < 300; changed != may && !slices.Contains([]string{"POST /v1/plan", "POST /v1/explain", "POST /v1/jurisdictions/{code}/probes", "POST /v1/console/links"}, endpoint) {
					t.Errorf("a record was written: %t", changed)
				}
				if log := g.log.String(); log != "" {
					t.Errorf("the log says %s", log)
				}
			})
		}
	}
}

func TestEndpoints_beforeTheLedgerIsKnown(t *testing.T) {
	for endpoint, make := range calls {
		for _, who := range actors {
			t.Run(endpoint+" by "+string(who), func(t *testing.T) {
				g := newFixture(t)
				method, _, _ := strings.Cut(endpoint, " ")
				c := make(t, g)
				before := g.count()
				g.closed = "It was never reached."
				want := http.StatusServiceUnavailable
				switch endpoint {
				case "GET /v1/openapi.json":
					want = http.StatusOK
				case "GET /v1/status", "GET /v1/events", "POST /v1/console/links":
					if who == socket { // tokens are in the ledger
						want = http.StatusOK
					}
				}
				got := ask(t, g, who, method, c.target, c.body, c.header)
				if got.status != want || want != http.StatusOK && !strings.Contains(got.body, "It was never reached.") {
					t.Errorf("got %d\n%s", got.status, got.body)
				}
				if g.count() != before {
					t.Error("a record was written")
				}
				if g.failures.Load() != 0 {
					t.Error("a good token counts as a wrong one")
				}
			})
		}
	}
}

func TestEndpoints_allAreCalled(t *testing.T) {
	for _, r := range admin.Routes() {
		if calls[r.Method+" "+r.Path] == nil {
			t.Errorf("%s %s isn't", r.Method, r.Path)
		}
	}
}

func TestEndpoints_HEAD(t *testing.T) {
	for endpoint, make := range calls {
		method, _, _ := strings.Cut(endpoint, " ")
		if method != "GET" {
			continue
		}
		g := newFixture(t)
		if got := ask(t, g, viewer, "HEAD", make(t, g).target, nil); got.status != http.StatusOK {
			t.Errorf("%s: got %d", endpoint, got.status)
		}
	}
}

func TestErrors_ofRequests(t *testing.T) {
	const number = "/v1/changes/18446744073709551615"
	changed := func(change func(*api.Proposal)) func(testing.TB, *fixture) any {
		return func(t testing.TB, g *fixture) any {
			p := g.withdraw(t, "FR")
			change(&p)
			return p
		}
	}
	as := func(body any) func(testing.TB, *fixture) any { return func(testing.TB, *fixture) any { return body } }
	fine := changed(func(*api.Proposal) {})
	for name, test := range map[string]struct {
		who    actor
		method string
		target string
		body   func(testing.TB, *fixture) any
		header headers // "" removes one
		status int
		code   string
		names  string // in the detail
	}{
		"a path that isn't there":             {who: viewer, target: "/v1/nothing", status: 404, code: "unknown-path"},
		"no path":                             {who: viewer, target: "/v1/", status: 404, code: "unknown-path"},
		"a path with more behind it":          {who: viewer, target: "/v1/status/", status: 404, code: "unknown-path"},
		"another method":                      {who: viewer, method: "POST", target: "/v1/status", status: 405, code: "method"},
		"a method that nobody knows":          {who: viewer, method: "BREW", target: "/v1/changes", status: 405, code: "method"},
		"OPTIONS, which asks for permissions": {who: viewer, method: "OPTIONS", target: "/v1/changes", status: 405, code: "method"},
		"a parameter that isn't known":        {who: viewer, target: "/v1/log?page=2", status: 400, code: "invalid", names: "page"},
		"a parameter where there is none":     {who: viewer, target: "/v1/status?limit=2", status: 400, code: "invalid", names: "limit"},
		"a parameter twice":                   {who: viewer, target: "/v1/log?limit=2&limit=3", status: 400, code: "invalid", names: "limit"},
		"a query that can't be read":          {who: viewer, target: "/v1/log?limit=%zz", status: 400, code: "invalid", names: "query"},
		"a page of none":                      {who: viewer, target: "/v1/log?limit=0", status: 400, code: "invalid", names: "limit"},
		"a page that is too long":             {who: viewer, target: "/v1/revisions?limit=201", status: 400, code: "invalid", names: "limit"},
		"a page before the first":             {who: viewer, target: "/v1/log?before=0", status: 400, code: "invalid", names: "before"},
		"a page before nothing":               {who: viewer, target: "/v1/log?before=-1", status: 400, code: "invalid", names: "before"},
		"a body where there is none":          {who: viewer, target: "/v1/status", body: as("{}"), status: 400, code: "body", names: "body"},
		"a number that is none":               {who: viewer, target: "/v1/changes/last", status: 404, code: "not-found"},
		"the number 0":                        {who: viewer, target: "/v1/revisions/0", status: 404, code: "not-found"},
		"a number that isn't there":           {who: viewer, target: number, status: 404, code: "not-found"},
		"a revision that isn't there":         {who: viewer, target: "/v1/revisions/99", status: 404, code: "not-found"},
		"a jurisdiction that isn't there":     {who: viewer, target: "/v1/jurisdictions/XX", status: 404, code: "not-found"},

		"no If-Match":                        {body: fine, header: headers{"If-Match": ""}, status: 428, code: "precondition-required"},
		"If-Match of any":                    {body: fine, header: headers{"If-Match": "*"}, status: 400, code: "invalid", names: "If-Match"},
		"If-Match that is weak":              {body: fine, header: headers{"If-Match": `W/"1"`}, status: 400, code: "invalid"},
		"If-Match without quotes":            {body: fine, header: headers{"If-Match": `1`}, status: 400, code: "invalid"},
		"If-Match of two":                    {body: fine, header: headers{"If-Match": `"1", "2"`}, status: 400, code: "invalid"},
		"If-Match of nothing":                {body: fine, header: headers{"If-Match": `""`}, status: 400, code: "invalid"},
		"If-Match of less than nothing":      {body: fine, header: headers{"If-Match": `"-1"`}, status: 400, code: "invalid"},
		"If-Match of a revision before":      {body: fine, header: headers{"If-Match": `"0"`}, status: 409, code: "conflict"},
		"a key that can't be seen":           {body: fine, header: headers{"Idempotency-Key": "a b"}, status: 400, code: "invalid", names: "Idempotency-Key"},
		"a key that is too long":             {body: fine, header: headers{"Idempotency-Key": strings.Repeat("k", 129)}, status: 400, code: "invalid"},
		"a body of a form":                   {body: fine, header: headers{"Content-Type": "application/x-www-form-urlencoded"}, status: 415, code: "media-type"},
		"a body of text":                     {body: fine, header: headers{"Content-Type": "text/plain"}, status: 415, code: "media-type"},
		"a body of no type":                  {body: fine, header: headers{"Content-Type": ""}, status: 415, code: "media-type"},
		"a body in Latin-1":                  {body: fine, header: headers{"Content-Type": "application/json; charset=iso-8859-1"}, status: 415, code: "media-type"},
		"a body that is compressed":          {body: fine, header: headers{"Content-Encoding": "gzip"}, status: 415, code: "media-type"},
		"no body":                            {body: as(nil), header: headers{"Content-Type": "application/json"}, status: 400, code: "body"},
		"a body that ends too early":         {body: as(`{"because"`), status: 400, code: "body"},
		"a body with more behind it":         {body: as(`{} {}`), status: 400, code: "body"},
		"a body that is a list":              {body: as(`[]`), status: 400, code: "body"},
		"a member that isn't known":          {body: as(`{"polcy": "x"}`), status: 400, code: "body", names: "polcy"},
		"a plan that isn't the one":          {body: changed(func(p *api.Proposal) { p.Plan = "0" }), status: 409, code: "plan-changed"},
		"no plan":                            {body: changed(func(p *api.Proposal) { p.Plan = "" }), status: 400, code: "invalid"},
		"no reason":                          {body: changed(func(p *api.Proposal) { p.Because = "" }), status: 400, code: "invalid"},
		"a policy that is none":              {body: changed(func(p *api.Proposal) { p.Set, p.Policy = nil, "version: 2\njurisdictions: {XX: open}" }), status: 422, code: "wrong-policy"},
		"the policy in force":                {body: changed(func(p *api.Proposal) { p.Set, p.Policy = nil, fourEyes }), status: 409, code: "no-change"},
		"no reason to remove somebody":       {who: socket, method: "DELETE", target: "/v1/principals/viewer", status: 400, code: "invalid", names: "reason"},
		"a reason that is none":              {who: socket, method: "DELETE", target: "/v1/principals/viewer?because=%20", status: 400, code: "invalid", names: "reason"},
		"somebody who isn't there":           {who: socket, method: "DELETE", target: "/v1/principals/eve?because=x", status: 404, code: "not-found"},
		"a token for somebody who isn't":     {who: socket, method: "POST", target: "/v1/principals/eve/tokens", body: as(`{"because": "x"}`), status: 404, code: "not-found"},
		"a name that can't be":               {who: socket, method: "PUT", target: "/v1/principals/a%2Fb", body: as(`{"roles": ["viewer"], "because": "x"}`), status: 400, code: "invalid"},
		"an approval of what isn't there":    {who: approver, method: "POST", target: number + "/approvals", body: as(`{"plan": "x"}`), status: 404, code: "not-found"},
		"an approval without a plan":         {who: approver, method: "POST", target: number + "/approvals", body: as(`{}`), status: 400, code: "body", names: "plan"},
		"a rejection of what isn't there":    {who: approver, method: "POST", target: number + "/rejection", body: as(`{"because": "x"}`), status: 404, code: "not-found"},
		"an edit of what isn't there":        {method: "PUT", target: number, body: fine, status: 404, code: "not-found"},
		"a question about nobody":            {who: viewer, method: "POST", target: "/v1/explain", body: as(`{}`), status: 400, code: "invalid"},
		"a plan of nothing":                  {who: viewer, method: "POST", target: "/v1/plan", body: as(`{}`), status: 400, code: "invalid"},
		"a proposal by who may not, no body": {who: viewer, method: "POST", body: as(nil), status: 403, code: "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newFixture(t)
			var body any
			if test.body != nil {
				body = test.body(t, g)
			}
			who, method, target := test.who, test.method, test.target
			fields := headers{}
			if who == "" {
				who = operator
			}
			if target == "" {
				target = "/v1/changes"
				method = "POST"
			}
			if method == "" {
				method = "GET"
			}
			if target == "/v1/changes" || method == "PUT" {
				fields = g.ifMatch()
			}
			for field, value := range test.header {
				fields[field] = value
			}
			r := request(t, g, who, method, target, body, fields)
			for field, value := range fields {
				if value == "" {
					r.Header.Del(field)
				}
			}
			before := g.count()
			got := serve(t, g, r)
			if got.status != test.status || got.code != test.code || !strings.Contains(got.detail, test.names) {
				t.Errorf("got %d %s: %s\nnot %d %s, about %q", got.status, got.code, got.detail, test.status, test.code, test.names)
			}
			if g.count() != before {
				t.Error("a record was written")
			}
			if log := g.log.String(); log != "" {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

func TestErrors_aConflictNamesTheRevisionInForce(t *testing.T) {
	g := newFixture(t)
	seen := g.ifMatch()
	p := g.withdraw(t, "FR")
	c := g.pending(t, zoe, "RU")
	if got := ask(t, g, approver, "POST", fmt.Sprintf("/v1/changes/%d/approvals", c.Number), api.Approval{Plan: c.Plan}); got.status != 200 {
		t.Fatalf("got %d\n%s", got.status, got.body)
	}
	got := ask(t, g, operator, "POST", "/v1/changes", p, seen)
	var problem api.Problem
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil {
		t.Fatal(err)
	}
	if got.status != 409 || problem.Winner == nil || !slices.Equal(problem.Winner.Authors, []string{"zoe"}) {
		t.Errorf("got %d\n%s", got.status, got.body)
	}
}

func TestApprove_ownChange(t *testing.T) {
	for _, who := range []actor{both, socket} {
		g := newFixture(t)
		got := ask(t, g, who, "POST", "/v1/changes", g.withdraw(t, "FR"), g.ifMatch())
		location := got.header.Get("Location")
		var c api.Change
		if err := json.Unmarshal([]byte(got.body), &c); err != nil || location != fmt.Sprintf("/v1/changes/%d", c.Number) {
			t.Fatalf("%v, Location: %s\n%s", err, location, got.body)
		}
		if got = ask(t, g, who, "POST", location+"/approvals", api.Approval{Plan: c.Plan}); got.status != 403 || got.code != "four-eyes" {
			t.Errorf("%s: got %d %s\n%s", who, got.status, got.code, got.body)
		}
		if got = ask(t, g, approver, "POST", location+"/approvals", api.Approval{Plan: c.Plan}); got.status != 200 {
			t.Errorf("got %d\n%s", got.status, got.body)
		}
		if got = ask(t, g, approver, "POST", location+"/approvals", api.Approval{Plan: c.Plan}); got.status != 409 || got.code != "ended" {
			t.Errorf("got %d %s\n%s", got.status, got.code, got.body)
		}
	}
}

func TestApprove_emergency(t *testing.T) {
	g := newFixture(t)
	p := g.withdraw(t, "FR")
	p.Emergency = true
	got := ask(t, g, operator, "POST", "/v1/changes", p, g.ifMatch())
	var c api.Change
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || c.InForce == nil || !c.InForce.Emergency {
		t.Fatalf("%v\n%s", err, got.body)
	}
	if location := got.header.Get("Location"); location != fmt.Sprint("/v1/revisions/", c.InForce.Number) {
		t.Errorf("Location: %s", location)
	}
	got = ask(t, g, approver, "POST", fmt.Sprintf("/v1/changes/%d/approvals", c.InForce.Number), api.Approval{Plan: c.InForce.SHA256})
	if got.status != 200 {
		t.Errorf("got %d\n%s", got.status, got.body)
	}
}

func TestLog_saysByWhatPeopleWereKnown(t *testing.T) {
	g := newFixture(t)
	c := g.pending(t, zoe, "RU")
	a := api.Approval{Plan: c.Plan, Because: "Read it."}
	if got := ask(t, g, approver, "POST", fmt.Sprintf("/v1/changes/%d/approvals", c.Number), a); got.status != 200 {
		t.Fatalf("got %d\n%s", got.status, got.body)
	}
	var log api.Log
	if err := json.Unmarshal([]byte(ask(t, g, viewer, "GET", "/v1/log?limit=1", nil).body), &log); err != nil {
		t.Fatal(err)
	}
	state, _ := g.known()
	var token string
	for _, p := range state.Principals() {
		if p.Name == "approver" {
			token = "token:" + p.Tokens[0].ID
		}
	}
	made := log.Records[0]
	if made.Credential != token || len(made.Approvals) != 1 || made.Approvals[0].Credential != token || made.Approvals[0].Because != a.Because {
		t.Errorf("with %s the log has %+v", token, made)
	}
}

func TestTokens_expiredRevokedRemoved(t *testing.T) {
	g := newFixture(t)
	expiring, _ := g.token(t, "ada", start.Add(time.Hour), changes.Viewer)
	revoked, id := g.token(t, "ben", time.Time{}, changes.Viewer)
	removed, _ := g.token(t, "cyd", time.Time{}, changes.Viewer)
	status := func(token string) int {
		return ask(t, g, nobody, "GET", "/v1/status", nil, headers{"Authorization": "Bearer " + token}).status
	}
	for _, token := range []string{expiring, revoked, removed} {
		if got := status(token); got != 200 {
			t.Errorf("got %d", got)
		}
	}
	ask(t, g, socket, "DELETE", "/v1/principals/ben/tokens/"+id+"?because=x", nil)
	ask(t, g, socket, "DELETE", "/v1/principals/cyd?because=x", nil)
	g.tick(time.Hour)
	for what, token := range map[string]string{"expired": expiring, "revoked": revoked, "of somebody who was removed": removed} {
		if got := status(token); got != 401 {
			t.Errorf("one that is %s: got %d", what, got)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	g := newFixture(t)
	fields := g.ifMatch()
	fields["Idempotency-Key"] = "0c1f"
	p := g.withdraw(t, "FR")
	first := ask(t, g, operator, "POST", "/v1/changes", p, fields)
	before := g.count()
	second := ask(t, g, operator, "POST", "/v1/changes", p, fields)
	if first.status != 201 || second.status != 201 || first.body != second.body || g.count() != before {
		t.Errorf("got %d, then %d\n%s", first.status, second.status, second.body)
	}
	p.Because = "Another one."
	if other := ask(t, g, operator, "POST", "/v1/changes", p, fields); other.status != 422 || other.code != "key-reused" {
		t.Errorf("another request with the key: got %d %s", other.status, other.code)
	}
	target := "/v1/principals/viewer/tokens"
	key := headers{"Idempotency-Key": "0c20"}
	ask(t, g, socket, "POST", target, api.TokenRequest{Because: "x"}, key)
	if other := ask(t, g, socket, "DELETE", "/v1/principals/viewer?because=x", nil, key); other.status != 422 || other.code != "key-reused" {
		t.Errorf("another method with the key: got %d %s", other.status, other.code)
	}
}

func TestLog_pages(t *testing.T) {
	g := newFixture(t)
	var seen []uint64
	for next := uint64(0); ; {
		target := "/v1/log?limit=3"
		if next > 0 {
			target += fmt.Sprint("&before=", next)
		}
		var page api.Log
		if err := json.Unmarshal([]byte(ask(t, g, viewer, "GET", target, nil).body), &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			seen = append(seen, r.Number)
		}
		if next = page.Next; next == 0 {
			break
		}
	}
	if want := []uint64{9, 8, 7, 6, 5, 4, 3, 2, 1}; !slices.Equal(seen, want) {
		t.Errorf("got %d, not %d", seen, want)
	}
}

func TestPolicy_asYAML(t *testing.T) {
	g := newFixture(t)
	for accept, yaml := range map[string]bool{
		"":                                   false,
		"*/*":                                false,
		"application/json":                   false,
		"application/yaml":                   true,
		"Application/YAML; charset=utf-8":    true,
		"application/yaml, */*":              true,
		"application/yaml, application/json": true,
		"application/json, application/yaml;q=.9": false,
		"application/yaml;q=0":                    false,
		"text/html;q=x, application/yaml;q=0.1":   true,
		"application/*;q=0.5,application/yaml":    true,
		"}{":                                      false,
	} {
		for _, target := range []string{"/v1/policy", "/v1/revisions/1"} {
			got := ask(t, g, viewer, "GET", target, nil, headers{"Accept": accept})
			if is := got.header.Get("Content-Type") == "application/yaml"; is != yaml || is && got.body != fourEyes {
				t.Errorf("Accept: %s: got %s\n%s", accept, got.header.Get("Content-Type"), got.body)
			}
			if tag := got.header.Get("ETag"); tag != `"1"` {
				t.Errorf("ETag: %s", tag)
			}
		}
	}
}

func TestErrors_ofTheService(t *testing.T) {
	revision := changes.Revision{Number: 7, Time: start, Authors: []string{"ada"}, Because: "x", SHA256: "x"}
	for name, test := range map[string]struct {
		err    error
		status int
		body   string // what is in it
		log    string
	}{
		"an error of the gateway":  {errors.New("disk full at /var/lib"), 500, `"something went wrong in the gateway"`, "disk full at /var/lib"},
		"an error within an error": {fmt.Errorf("x: %w", &changes.Error{Code: changes.NotAcknowledged, Message: "Who knows."}), 504, `"Who knows."`, ""},
		"a refusal":                {&changes.Error{Code: changes.Conflict, Message: "Too late.", Current: &revision}, 409, `"number": 7`, ""},
		"a refusal with its cause": {&changes.Error{Code: changes.WrongPolicy, Message: "It is wrong", Err: errors.New("very")}, 422, `"It is wrong: very"`, ""},
		"a refusal with errors":    {&changes.Error{Code: changes.WrongPolicy, Message: "It is wrong", Err: fmt.Errorf("x: %w", strictyaml.Errors{{File: "policy", Line: 3, Message: "Here."}})}, 422, `"message": "Here."`, ""},
		"a refusal nobody knows":   {&changes.Error{Code: "odd", Message: "x"}, 500, `"internal"`, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newFixture(t)
			g.fail = test.err
			got := ask(t, g, socket, "POST", "/v1/principals/viewer/tokens", api.TokenRequest{Because: "secret reason"})
			if got.status != test.status || !strings.Contains(got.body, test.body) {
				t.Errorf("got %d\n%s", got.status, got.body)
			}
			log := g.log.String()
			if test.log == "" && log != "" || !strings.Contains(log, test.log) || strings.Contains(log, "secret") {
				t.Errorf("the log says %s", log)
			}
			if test.log != "" && !strings.Contains(log, `request="POST /v1/principals/{name}/tokens"`) {
				t.Errorf("the log doesn't say where: %s", log)
			}
		})
	}
}

func TestHealthAndMetricsNeedNoToken(t *testing.T) {
	g := newFixture(t)
	for _, target := range []string{"/metrics", "/healthz", "/readyz"} {
		r := request(t, g, nobody, "GET", target, nil)
		if status := statusOf(g, r); status != 200 {
			t.Errorf("%s: got %d", target, status)
		}
	}
}
