package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

func TestRead_names(t *testing.T) {
	for body, message := range map[string]string{
		``:                                      "the body can't be read: unexpected end at byte 0",
		`{"because": "x",}`:                     "the body can't be read: not one JSON value at byte 15",
		`{"because": 'x'}`:                      "the body can't be read: not one JSON value at byte 12",
		`[{}]`:                                  "the body can't be read: not an object",
		"{\"because\": \"\xff\"}":               "the body can't be read: not UTF-8",
		`{"Because": "x"}`:                      "Because: unknown member",
		`{"because": "x", "because": 1}`:        "because: duplicate member",
		`{"because": null}`:                     "because: null: leave it out",
		`{"rollback": -1}`:                      "rollback: not a whole number from 0 to 18446744073709551615",
		`{"set": {"jurisdiction": "FR"}}`:       "set.phase: missing",
		`{"set": {"phase": "shut"}}`:            `set.phase: "shut" is not a phase`,
		`{"set": {"from": "2026-12-01T00:00"}}`: "set.from: not a time with a zone, as in 2026-12-01T00:00:00Z",
	} {
		var p api.Proposal
		e, ok := errors.AsType[*changes.Error](admin.Read([]byte(body), &p))
		if !ok || e.Code != "body" || e.Message != message || e.Advice == "" {
			t.Errorf("%s: got %+v, not %s", body, e, message)
		}
	}
}

// No request, whatever is in it, changes anything by itself or makes the handler
// fall over: the ones that change something know the plan's hash.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "/v1/changes", `"1"`, "k", "application/json", []byte(`{"set":{"jurisdiction":"FR","phase":"open"},"because":"x","plan":"x"}`))
	f.Add("PUT", "/v1/changes/9", `"1"`, "", "application/json", []byte(`{}`))
	f.Add("POST", "/v1/plan", "", "", "application/json", []byte(`{"policy":"version: 1\n"}`))
	f.Add("GET", "/v1/log?limit=1&before=3", "", "", "", []byte(nil))
	f.Add("GET", "/v1/jurisdictions/US-MS", "", "", "", []byte(nil))
	f.Add("POST", "/v1/changes/9/approvals", "", "", "application/json", []byte(`{"plan":"x"}`))
	f.Add("DELETE", "/v1/principals/%2e%2e?because=x", "", "", "", []byte(nil))
	f.Add("HEAD", "/v1/../v1//status", "", "", "", []byte(nil))
	g := newFixture(f)
	before := g.count()
	f.Fuzz(func(t *testing.T, method, target, ifMatch, key, media string, body []byte) {
		r, ok := parseRequest(method, target, body)
		if !ok || r.URL.Path == "/v1/events" {
			t.Skip()
		}
		r = r.WithContext(t.Context())
		for name, value := range map[string]string{"If-Match": ifMatch, "Idempotency-Key": key, "Content-Type": media, "Authorization": "Bearer " + g.tokens[both]} {
			r.Header.Set(name, value)
		}
		if status := statusOf(g, r); status >= 500 {
			t.Errorf("%s %s: got %d", method, target, status)
		}
		if g.count() != before {
			t.Errorf("%s %s: a record was written", method, target)
		}
		if log := g.log.String(); log != "" {
			t.Errorf("the log says %s", log)
		}
	})
}

// parseRequest makes a request as a server would have read it.
func parseRequest(method, target string, body []byte) (*http.Request, bool) {
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Host != "" || !strings.HasPrefix(target, "/") {
		return nil, false
	}
	r, err := http.NewRequest(method, "http://localhost", bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	r.URL, r.RequestURI, r.RemoteAddr = u, target, "127.0.0.1:55555"
	return r, true
}

// Changes are planned once for a state, and yet shown as they stand: until a date comes.
func TestChangesStandAsTheyDoAtThatTime(t *testing.T) {
	g := newFixture(t)
	set := withdraw("DE")
	set.From = start.Add(2 * time.Hour)
	p := api.Proposal{Set: set, Because: "The law there."}
	planned, err := g.Plan(t.Context(), counsel, p)
	if err != nil {
		t.Fatal(err)
	}
	p.Plan = planned.Plan.Hash
	waits, err := g.Propose(t.Context(), zoe, planned.Revision, p, changes.Request{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		passes time.Duration
		want   changes.Status
	}{{0, changes.Pending}, {time.Hour, changes.Pending}, {time.Hour, changes.Stale}, {-time.Hour, changes.Pending}, {100 * time.Hour, changes.Expired}} {
		g.tick(step.passes)
		var all api.Changes
		decode(t, ask(t, g, viewer, "GET", "/v1/changes", nil).body, &all)
		var one api.Change
		decode(t, ask(t, g, viewer, "GET", fmt.Sprint("/v1/changes/", waits.Number), nil).body, &one)
		if all.Changes[0].Status != step.want || one.Status != step.want {
			t.Errorf("after %s it is %s in the list, and %s by itself, not %s", step.passes, all.Changes[0].Status, one.Status, step.want)
		}
	}
}
