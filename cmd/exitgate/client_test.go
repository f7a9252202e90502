package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

// TestClientScripts runs the verbs that ask a gateway against one that says
// always the same: testdata/script/client shows what their users see.
func TestClientScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script/client",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:               withGateway(func() any { return &fakeGateway{} }),
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"gateway": commandFake},
		Condition: func(condition string) (bool, error) {
			if condition == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", condition)
		},
	})
}

// withGateway prepares a script that commands a gateway, with its data folder.
func withGateway(make func() any) func(*testscript.Env) error {
	return func(env *testscript.Env) error {
		// A socket's path must be short.
		folder, err := os.MkdirTemp("", "exg")
		if err != nil {
			return err
		}
		env.Defer(func() { os.RemoveAll(folder) })
		env.Setenv("EXITGATE_DATA", folder)
		passOn(env, clockAhead)
		env.Values["gateway"] = make()
		return nil
	}
}

// commandFake commands the fake gateway of a script:
//
//	gateway start [VARIABLE]                  listen on the socket, or on TCP and set a variable to the port
//	gateway says "METHOD PATH" STATUS FILE    answer so from now on
//	gateway loses "METHOD PATH" TIMES         break the connection that often after it has done what was asked for
//	gateway heard FILE                        write down what was asked for since the last time
func commandFake(ts *testscript.TestScript, neg bool, args []string) {
	g := ts.Value("gateway").(*fakeGateway)
	usage := func(want int) {
		if neg || len(args) != want {
			ts.Fatalf("see commandFake for how to use gateway")
		}
	}
	switch args[0] {
	case "start":
		var l net.Listener
		var err error
		if len(args) == 2 {
			l, err = net.Listen("tcp", "127.0.0.1:0")
			ts.Check(err)
			_, port, err := net.SplitHostPort(l.Addr().String())
			ts.Check(err)
			ts.Setenv(args[1], port)
		} else {
			l, err = net.Listen("unix", filepath.Join(ts.Getenv("EXITGATE_DATA"), "admin.sock"))
			ts.Check(err)
		}
		server := &http.Server{Handler: g}
		go func() { _ = server.Serve(l) }()
		ts.Defer(func() { server.Close() })
	case "says":
		usage(4)
		status, err := strconv.Atoi(args[2])
		ts.Check(err)
		g.respond(args[1], status, ts.ReadFile(args[3]))
	case "loses":
		usage(3)
		times, err := strconv.Atoi(args[2])
		ts.Check(err)
		g.dropResponses(args[1], times)
	case "heard":
		usage(2)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(g.requestLog()), 0o600))
	default:
		usage(-1)
	}
}

// A fakeGateway has the API of a gateway, and says always the same.
type fakeGateway struct {
	mu       sync.Mutex
	said     map[string]fakeResponse
	toLose   map[string]int
	requests []string
	keys     []string // of writes, as they came
}

type fakeResponse struct {
	status int
	body   string
}

func (g *fakeGateway) respond(request string, status int, body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.said == nil {
		g.said = make(map[string]fakeResponse)
	}
	g.said[request] = fakeResponse{status, body}
}

func (g *fakeGateway) dropResponses(request string, times int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.toLose = map[string]int{request: times}
}

// requestLog returns what was asked for: with "key 1" for the first key that was
// seen, and with the conditions and bodies of what changes something.
func (g *fakeGateway) requestLog() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := strings.Join(g.requests, "\n") + "\n"
	g.requests = nil
	return all
}

func (g *fakeGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	asked := r.Method + " " + r.URL.Path
	answer, lose := g.record(asked, r, body)
	switch {
	case lose:
		panic(http.ErrAbortHandler)
	case r.URL.Path == "/v1/events" && answer.status == 0:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ": here\n\nevent: revision\ndata: {\"type\":\"revision\"}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	case answer.status == 0:
		answer = g.defaultResponse(asked)
	}
	w.Header().Set("Content-Type", "application/json")
	if answer.status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	if strings.HasPrefix(answer.body, "<") {
		w.Header().Set("Content-Type", "text/html")
	}
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.body)
}

// record notes a request, and finds what a script wants it answered with.
func (g *fakeGateway) record(asked string, r *http.Request, body []byte) (answer fakeResponse, lose bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := r.Method + " " + r.URL.RequestURI()
	if match := r.Header.Get("If-Match"); match != "" {
		line += " if " + match
	}
	if token := r.Header.Get("Authorization"); token != "" {
		line += " " + token
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		if !slices.Contains(g.keys, key) {
			g.keys = append(g.keys, key)
		}
		line += fmt.Sprintf(" key %d", slices.Index(g.keys, key)+1)
	}
	if len(body) > 0 {
		line += " " + string(body)
	}
	g.requests = append(g.requests, line)
	if g.toLose[asked] > 0 {
		g.toLose[asked]--
		return fakeResponse{}, true
	}
	return g.said[asked], false
}

var numbers = regexp.MustCompile(`\d+$`)

// defaultResponse is what it says where a script doesn't want anything else.
func (g *fakeGateway) defaultResponse(asked string) fakeResponse {
	if answer, ok := usualAnswers[asked]; ok {
		text, err := json.Marshal(answer)
		if err != nil {
			panic(err)
		}
		return fakeResponse{http.StatusOK, string(text)}
	}
	what := strings.TrimPrefix(numbers.FindString(asked), "/")
	text, _ := json.Marshal(api.Problem{Title: "Not Found", Status: 404, Code: "not-found", Detail: "there is no " + what, Advice: "see exitgate changes and exitgate log for what there is"})
	return fakeResponse{http.StatusNotFound, string(text)}
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

const (
	oldPolicy = `version: 1
approvals: {open: 2, withdraw: 1}
jurisdictions:
  DE: announced
  FR: open
`
	newPolicy = `version: 1
approvals: {open: 2, withdraw: 1}
jurisdictions:
  DE: announced
  FR: withdrawn
`
)

// What the fake gateway knows: revision 41 is in force; change 43 waits, 42 was
// rejected; 40 was an emergency that is to be signed.
var (
	usualRevision = changes.Revision{
		Number: 41, Time: at("2026-11-20 11:02"), Authors: []string{"ada"}, Base: 40, SHA256: digestOf(oldPolicy),
		Because: "Law 8ter binds from December on.", Summary: "FR open → wind-down, withdrawn from 2026-12-01", Plan: strings.Repeat("4f", 32), Effects: []plan.Effect{plan.WithdrawsMarket},
		Change: 39, Approvals: []changes.Approval{{By: "bob", At: at("2026-11-20 11:02"), Because: "Checked with counsel."}},
	}
	usualEmergency = changes.Revision{
		Number: 40, Time: at("2026-11-19 03:12"), Authors: []string{"unix:root"}, Base: 37, SHA256: digestOf(newPolicy),
		Because: "Our office in Paris was searched.", Summary: "FR open → withdrawn", Effects: []plan.Effect{plan.WithdrawsMarket},
		Emergency: true, SignBy: at("2026-11-20 03:12"),
	}
	usualChange = changes.Change{
		Number: 43, Time: at("2026-11-21 16:40"), Authors: []string{"bob", "carol"}, SHA256: digestOf(newPolicy), Base: 41,
		Because: "The court has stayed the law.\nCounsel has read the ruling.", Summary: "FR wind-down → open", Plan: usualPlan.Plan.Hash, Effects: []plan.Effect{plan.OpensMarket}, Needs: 2,
		Approvals: []changes.Approval{{By: "ada", At: at("2026-11-21 17:00")}}, Expires: at("2026-11-24 16:40"), Status: changes.Pending,
	}
	rejectedChange = changes.Change{
		Number: 42, Time: at("2026-11-20 12:00"), Authors: []string{"carol"}, Because: "Wrong country.", Summary: "GL withdrawn → open", Effects: []plan.Effect{plan.OpensMarket},
		Needs: 2, Expires: at("2026-11-23 12:00"), Status: changes.Rejected,
		Rejected: &changes.Approval{By: "ada", At: at("2026-11-20 12:10"), Because: "It is GR, not GL."},
	}
	madeRevision = changes.Revision{Number: 44, Time: at("2026-11-22 04:30"), Authors: []string{"unix:root"}, Because: "Law 8ter.", Base: 41, SHA256: digestOf(newPolicy)}
	usualPlan    = planOf(oldPolicy, newPolicy)
	usualStatus  = api.Status{
		Version: "1.4.0", Host: "gw-1", Time: at("2026-11-22 04:30"), Ready: true, Source: "ledger",
		You:      api.You{Name: "grace", Roles: []changes.Role{changes.Viewer, changes.Operator, changes.Approver}, Local: true},
		Checks:   map[string]api.Check{"policy": {OK: true}, "geo /var/lib/GeoIP/GeoLite2-City.mmdb": {Detail: "it is 61 days old; renew it, as clients are located ever worse", Since: new(at("2026-11-01 00:00"))}},
		Revision: 41, SHA256: digestOf(oldPolicy), Mode: policy.Enforce, Applied: at("2026-11-20 11:02"), Until: at("2026-12-01 00:00"),
		Ledger:   &api.Ledger{Connected: true, Since: at("2026-11-18 08:00"), Last: 43},
		InForce:  &usualRevision,
		Pending:  []changes.Change{usualChange},
		Unsigned: []changes.Revision{usualEmergency},
		Markets: []api.Market{
			marketOf("DE", policy.Announced, at("2026-10-01 00:00"), 120345, 0),
			marketOf("FR", policy.WindDown, at("2026-11-15 00:00"), 1204, 31250, policy.Step{From: at("2026-12-01 00:00"), Phase: policy.Withdrawn}),
			withheld(marketOf("GB", policy.Withdrawn, at("2026-11-19 09:33"), 0, 48211)),
			featureOf(marketOf("US-MS", policy.Withdrawn, time.Time{}, 99, 3), "sign-up", "news"),
			marketOf("unlocated", policy.Open, time.Time{}, 12, 0),
		},
	}
	usualLog = api.Log{Next: 38, Records: []api.Record{
		{Number: 43, Time: at("2026-11-21 16:40"), Kind: changes.ChangeProposed, Author: "bob", Change: 43, Because: usualChange.Because, Hash: strings.Repeat("43", 32), Summary: "proposes FR wind-down → open"},
		{Number: 42, Time: at("2026-11-20 12:00"), Kind: changes.ChangeProposed, Author: "carol", Change: 42, Because: "Wrong country.", Hash: strings.Repeat("42", 32), Summary: "proposes GL withdrawn → open"},
		{Number: 41, Time: at("2026-11-20 11:02"), Kind: changes.RevisionMade, Author: "bob", Change: 39, Authors: []string{"ada"}, Credential: "token:3f9a", Approvals: []changes.Approval{{By: "bob", At: at("2026-11-20 11:02"), Because: "Checked with the lawyers.", Credential: "token:3f9a"}}, Because: usualRevision.Because, Hash: strings.Repeat("41", 32), Summary: "FR open → wind-down, from 2026-12-01 withdrawn"},
		{Number: 40, Time: at("2026-11-19 03:12"), Kind: changes.RevisionMade, Author: "unix:root", Because: usualEmergency.Because, Hash: strings.Repeat("40", 32), Summary: "FR open → withdrawn", Emergency: true},
		{Number: 39, Time: at("2026-11-18 22:00"), Kind: changes.RevisionMade, Author: "mallory\x1b[2J", Because: "", Hash: strings.Repeat("39", 32), Summary: "FR withdrawn → open", Refused: "its hash doesn't follow from record 38"},
		{Number: 38, Time: at("2026-11-18 09:15"), Kind: changes.PrincipalSet, Author: "unix:root", Because: "He is the lawyer on call.", Hash: strings.Repeat("38", 32), Summary: "bob is operator, approver"},
	}}
	usualPrincipals = []changes.Principal{
		{Name: "ada", Roles: []changes.Role{changes.Operator, changes.Approver}, User: "ada", Tokens: []changes.Token{
			{ID: "3f9a1c", Created: at("2026-11-18 09:15"), Expires: at("2126-12-18 09:15")},
			{ID: "77be02", Created: at("2024-11-18 09:15"), Expires: at("2025-01-18 09:15")},
		}},
		{Name: "ci", Roles: []changes.Role{changes.Operator}, Certificate: "ci.example.org"},
	}
)

var usualAnswers = map[string]any{
	"GET /v1/status":           usualStatus,
	"GET /v1/policy":           api.Policy{Revision: &usualRevision, SHA256: digestOf(oldPolicy), Policy: oldPolicy},
	"GET /v1/revisions":        api.Revisions{Revisions: []changes.Revision{usualRevision, usualEmergency}},
	"GET /v1/revisions/41":     api.Policy{Revision: &usualRevision, SHA256: digestOf(oldPolicy), Policy: oldPolicy},
	"GET /v1/revisions/40":     api.Policy{Revision: &usualEmergency, SHA256: digestOf(newPolicy), Policy: newPolicy},
	"GET /v1/log":              usualLog,
	"GET /v1/log/verification": api.Verification{OK: true, Records: 43, Last: 43, Hash: strings.Repeat("43", 32)},
	"GET /v1/jurisdictions":    api.Jurisdictions{Markets: usualStatus.Markets},
	"GET /v1/changes":          api.Changes{Changes: []changes.Change{rejectedChange, usualChange}},
	"GET /v1/changes/42":       api.Change{Change: rejectedChange},
	"GET /v1/changes/43":       api.Change{Change: usualChange, Planned: &usualPlan},
	"GET /v1/principals":       api.Principals{Principals: usualPrincipals},

	"POST /v1/plan":                 usualPlan,
	"POST /v1/explain":              policy.Compile(parsed(newPolicy), nil, at("2026-11-22 04:30")).Explain(policy.Place{Country: "FR"}, "GET", "", "/"),
	"POST /v1/changes":              api.Change{Change: changes.Change{Number: 44, Status: changes.Applied, Revision: 44}, InForce: &madeRevision},
	"PUT /v1/changes/43":            api.Change{Change: usualChange},
	"POST /v1/changes/43/approvals": api.Change{Change: changes.Change{Number: 43, Status: changes.Applied, Revision: 44}, InForce: &madeRevision},
	"POST /v1/changes/43/rejection": api.Change{Change: rejectedChange},
	"POST /v1/changes/40/approvals": api.Change{InForce: &usualEmergency},

	"PUT /v1/principals/ada":                  usualPrincipals[0],
	"PUT /v1/principals/dora":                 changes.Principal{Name: "dora", Roles: []changes.Role{changes.Viewer}},
	"DELETE /v1/principals/ada":               struct{}{},
	"POST /v1/principals/ada/tokens":          api.NewToken{Token: changes.Token{ID: "a1b2c3", Created: at("2026-11-22 04:30")}, Secret: "exg_a1b2c3_secret"},
	"DELETE /v1/principals/ada/tokens/3f9a1c": struct{}{},
}

func digestOf(source string) string { return policy.Digest([]byte(source)) }

func parsed(source string) *policy.Policy {
	p, err := document.Parse("policy", []byte(source))
	if err != nil {
		panic(err)
	}
	return p
}

func planOf(before, after string) api.Plan {
	now := at("2026-11-22 04:30")
	change := plan.New(parsed(before), parsed(after), nil, now)
	hour := map[plan.Traffic]uint64{{Jurisdiction: "FR", Class: policy.Other}: 31250, {Jurisdiction: "DE", Class: policy.Other}: 120345}
	day := maps.Clone(hour)
	for t := range day {
		day[t] *= 21
	}
	return api.Plan{Revision: 41, Policy: after, Plan: change, Needs: 1, Emergency: true, Hit: &api.Impact{
		Gateways: 3, Since: now.Add(-30 * time.Hour), Hour: change.Impact(hour), Day: change.Impact(day),
	}}
}

func marketOf(code policy.Code, phase policy.Phase, since time.Time, served, refused uint64, next ...policy.Step) api.Market {
	return api.Market{
		Market: policy.Market{Jurisdiction: code, Name: policy.Name(code), Phase: phase, Reason: policy.ByEntry, Since: since, Next: next},
		Hour:   api.Requests{Forwarded: served, Refused: refused},
	}
}

func withheld(m api.Market) api.Market {
	m.Reason = policy.ByGuarantee
	return m
}

func featureOf(m api.Market, routes ...string) api.Market {
	m.Routes = routes
	return m
}
