package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

func TestBodiesThatAreRead(t *testing.T) {
	for body, want := range map[string]any{
		`{}`: &api.Proposal{},
		" \n{\t\"because\" : \"x\" , \"rollback\":12}\r\n":                                                       &api.Proposal{Because: "x", Rollback: 12},
		`{"policy": "a\n\"b\"\\", "emergency": true, "plan": ""}`:                                                &api.Proposal{Policy: "a\n\"b\"\\", Emergency: true},
		`{"set": {"jurisdiction": "FR", "phase": "wind-down", "from": "2026-12-01T00:00:00Z", "remove": false}}`: &api.Proposal{Set: &api.Set{Jurisdiction: "FR", Phase: policy.WindDown, From: start.AddDate(0, 0, 9).Add(-12 * 3600e9)}},
		`{"because": "\ud83d\ude00 \ufffd 😀 \u0000"}`:                                                            &api.Rejection{Because: "😀 \ufffd 😀 \x00"},
		`{"roles": ["viewer", "approver"], "because": "x"}`:                                                      &api.Principal{Roles: []changes.Role{changes.Viewer, changes.Approver}, Because: "x"},
		`{"roles": [ ], "because": "x"}`:                                                                         &api.Principal{Roles: []changes.Role{}, Because: "x"},
	} {
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		if err := admin.Read([]byte(body), got); err != nil {
			t.Errorf("%s: %v", body, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestBodiesThatAreNot(t *testing.T) {
	for body, fault := range map[string]string{
		``:                                      "the body is not JSON: unexpected end of JSON input, at byte 0",
		`{"because": "x"`:                       "the body is not JSON: unexpected end of JSON input, at byte 15",
		`{"because": 'x'}`:                      `the body is not JSON: invalid character '\'' looking for beginning of value, at byte 13`,
		"{\"because\": \"a\nb\"}":               `the body is not JSON: invalid character '\n' in string literal, at byte 15`,
		`{"because": "x",}`:                     "the body is not JSON: invalid character '}' looking for beginning of object key string, at byte 17",
		`{"because": "x"}]`:                     "the body is not JSON: invalid character ']' after top-level value, at byte 17",
		strings.Repeat("[", 20000):              "the body is not JSON: invalid character '[' exceeded max depth, at byte 10001",
		"{\"because\": \"\xff\"}":               "the body is not UTF-8",
		"\ufeff{}":                              "the body is not JSON: invalid character 'ï' looking for beginning of value, at byte 1",
		`null`:                                  "the body is not a JSON object",
		`"x"`:                                   "the body is not a JSON object",
		`[{}]`:                                  "the body is not a JSON object",
		`{"becuase": "x"}`:                      "becuase is nothing that is known",
		`{"Because": "x"}`:                      "Because is nothing that is known",
		`{"": "x"}`:                             " is nothing that is known",
		`{"because": "x", "because": 1}`:        "because is there twice",
		`{"because": "x", "\u0062ecause": "y"}`: "because is there twice",
		`{"because": null}`:                     "because is null: leave it out",
		`{"because": 1}`:                        "because is not a string",
		`{"because": ["x"]}`:                    "because is not a string",
		`{"because": "\ud800"}`:                 `because has half of a character: of \ud800 to \udfff two come together`,
		`{"because": "\\\udc00\ud800"}`:         `because has half of a character: of \ud800 to \udfff two come together`,
		`{"because": "\ud83d\u0041"}`:           `because has half of a character: of \ud800 to \udfff two come together`,
		`{"\ud800": "x"}`:                       `the name of a member of the body has half of a character: of \ud800 to \udfff two come together`,
		`{"rollback": -1}`:                      "rollback is not a whole number from 0 to 18446744073709551615",
		`{"rollback": 1.5}`:                     "rollback is not a whole number from 0 to 18446744073709551615",
		`{"rollback": 1e3}`:                     "rollback is not a whole number from 0 to 18446744073709551615",
		`{"rollback": 18446744073709551616}`:    "rollback is not a whole number from 0 to 18446744073709551615",
		`{"rollback": "1"}`:                     "rollback is not a whole number from 0 to 18446744073709551615",
		`{"emergency": "true"}`:                 "emergency is not true or false",
		`{"emergency": 1}`:                      "emergency is not true or false",
		`{"set": []}`:                           "set is not an object",
		`{"set": {}}`:                           "set.jurisdiction is missing",
		`{"set": {"jurisdiction": "FR"}}`:       "set.phase is missing",
		`{"set": {"jurisdiction": "FR", "phase": "shut"}}`:       `set.phase: "shut" is not a phase`,
		`{"set": {"jurisdiction": "FR", "phase": 4}}`:            "set.phase is not a string",
		`{"set": {"from": "tomorrow"}}`:                          "set.from is not a time with a zone, as in 2026-12-01T00:00:00Z",
		`{"set": {"from": "2026-12-01T00:00:00"}}`:               "set.from is not a time with a zone, as in 2026-12-01T00:00:00Z",
		`{"set": {"from": 1796083200}}`:                          "set.from is not a time with a zone, as in 2026-12-01T00:00:00Z",
		`{"set": {"form": {"a": {}}}}`:                           "set.form is nothing that is known",
		`{"set": {"phase": "` + strings.Repeat("é", 300) + `"}}`: `set.phase: "` + strings.Repeat("é", 99) + "…",
		`{"` + strings.Repeat("k", 1000) + `": 1}`:               strings.Repeat("k", 64) + "… is nothing that is known",
	} {
		var p api.Proposal
		wrong(t, body, admin.Read([]byte(body), &p), fault)
	}
	for body, fault := range map[string]string{
		`{"because": "x"}`:                      "roles is missing",
		`{"roles": "viewer", "because": "x"}`:   "roles is not a list",
		`{"roles": ["viewer", 2]}`:              "roles[1] is not a string",
		`{"roles": ["viewer", null]}`:           "roles[1] is null: leave it out",
		`{"roles": [["viewer"]]}`:               "roles[0] is not a string",
		`{"roles": ["viewer"], "user": "root"}`: "because is missing",
	} {
		var p api.Principal
		wrong(t, body, admin.Read([]byte(body), &p), fault)
	}
}

func wrong(t *testing.T, body string, err error, fault string) {
	t.Helper()
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || problem.Status != 400 || problem.Code != "body" || problem.Detail != fault {
		t.Errorf("%.100s: got %v, not %s", body, err, fault)
	}
}

// What is read is what encoding/json reads, where that is not too kind; and
// nothing makes the reader fall over.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"because":"x"}`, `{"set":{"jurisdiction":"FR","phase":"open","from":"2026-12-01T00:00:00Z","remove":true}}`,
		`{"policy":"version: 1\n","rollback":1,"plan":"\ud83d\ude00","emergency":false}`, `{"rollback":1 , "set" : { } }`,
		`{"because":"\\"}`, `{"because":"\ud800"}`, `{"because":"\\ud800"}`, `{"set":{"set":{"set":{}}}}`, `[[[[`, `{"because":null}`, `{"a":1,"a":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var strictly, kindly api.Proposal
		err := admin.Read(body, &strictly)
		if err != nil {
			problem, ok := errors.AsType[*api.Problem](err)
			if !ok || problem.Code != "body" || len(problem.Detail) > 1000 || !utf8.ValidString(problem.Detail) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if err := json.Unmarshal(body, &kindly); err != nil {
			t.Fatalf("%q is read, but %v", body, err)
		}
		if diff := cmp.Diff(kindly, strictly); diff != "" {
			t.Errorf("%q (-encoding/json +read):\n%s", body, diff)
		}
	})
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
	g := newGate(f)
	before := g.count()
	f.Fuzz(func(t *testing.T, method, target, ifMatch, key, media string, body []byte) {
		r, ok := fuzzed(method, target, body)
		if !ok || r.URL.Path == "/v1/events" {
			t.Skip()
		}
		r = r.WithContext(t.Context())
		for name, value := range map[string]string{"If-Match": ifMatch, "Idempotency-Key": key, "Content-Type": media, "Authorization": "Bearer " + g.tokens[both]} {
			r.Header.Set(name, value)
		}
		if status := plainly(g, r); status >= 500 {
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

// fuzzed makes a request as a server would have read it.
func fuzzed(method, target string, body []byte) (*http.Request, bool) {
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
