package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// An operation is what the document says of an endpoint beyond what the
// endpoint itself tells.
type operation struct {
	id      string
	summary string
	text    string
	stream  bool // the answer is one of events
	missing bool // what the path names may not be there
	busy    bool // too many at a time are refused
	codes   []changes.ErrorCode
}

var operations = map[string]operation{
	"GET /v1/openapi.json": {id: "document", summary: "This document"},
	"GET /v1/status": {
		id: "status", summary: "What the gateway does now, and by which policy",
	},
	"GET /v1/policy": {
		id: "policy", summary: "The policy in force",
		text: "The ETag is the number of its revision, as If-Match takes it; where the policy comes from a file, its SHA-256.",
	},
	"GET /v1/revisions": {
		id: "revisions", summary: "The policies that came into force, the newest first",
	},
	"GET /v1/revisions/{number}": {
		id: "revision", summary: "A policy that came into force", missing: true,
	},
	"GET /v1/log": {
		id: "log", summary: "All records of the ledger, the newest first",
	},
	"GET /v1/log/verification": {
		id: "verify", summary: "Whether the ledger is whole and unchanged", busy: true,
		text: "The whole ledger is read, from its first record on. That may take a while: few of these run at a time.",
	},
	"GET /v1/evidence/{code}": {
		id: "evidence", summary: "What was in force in a jurisdiction in some time, and the records that prove it", missing: true, busy: true,
		text: "For a country or a part of one. The answer is read from the ledger while it is sent: one that is cut off isn't whole. It is checked " +
			"without a gateway: exitgate log --verify FILE.",
	},
	"GET /v1/jurisdictions": {
		id: "jurisdictions", summary: "What the jurisdictions get that the policy names",
	},
	"POST /v1/jurisdictions/{code}/probes": {
		id: "probe", summary: "What clients there get, as each gateway sees by asking its own public listener", missing: true,
		text: "Each gateway that answers makes requests of each route class as from an address there. What would be forwarded never reaches the app, " +
			"and nothing of it is counted. What could not be seen is said.",
	},
	"POST /v1/console/links": {
		id: "linkToConsole", summary: "Where you are signed in to the console, once",
		text: "Within a minute, as who asks, for as long as what you are known by is valid.",
	},
	"GET /v1/places": {
		id: "places", summary: "What every country and territory gets, with the requests of all gateways",
		text: "Also of those that the policy doesn't name. The requests are those of some seconds ago at most.",
	},
	"GET /v1/jurisdictions/{code}": {
		id: "jurisdiction", summary: "What a jurisdiction gets, and why", missing: true,
		text: "Also of a jurisdiction that the policy doesn't name.",
	},
	"POST /v1/explain": {
		id: "explain", summary: "What a request would get, and why",
	},
	"GET /v1/events": {
		id: "events", summary: "What happens, as it happens", stream: true, busy: true,
		text: "Server-sent events. The field event says of what type one is, data is an Event as JSON. A comment is sent when nothing " +
			"happens for 15 seconds. The stream ends when a client is too slow for it, and when its token has expired or was revoked: " +
			"what happened meanwhile is in the log.",
	},
	"POST /v1/plan": {
		id: "plan", summary: "What a policy would change, and whom it would have hit",
		codes: []changes.ErrorCode{changes.WrongPolicy, changes.UnsaidTerritories, changes.UnsaidPart}, missing: true,
		text: "Nothing is changed. The hash in the plan is what a proposal agrees to.",
	},
	"GET /v1/changes": {
		id: "changes", summary: "The changes that wait for approvals, and the last that ended",
	},
	"POST /v1/changes": {
		id: "propose", summary: "Change the policy", missing: true,
		codes: []changes.ErrorCode{changes.WrongPolicy, changes.UnsaidTerritories, changes.UnsaidPart, changes.Conflict, changes.PlanChanged, changes.NoChange},
		text: "The change comes into force at once if it needs no approvals, else it waits for them. When the answer comes, a change " +
			"in force is on disk, and decided by on the gateway that answers.",
	},
	"GET /v1/changes/{number}": {
		id: "change", summary: "A change, and what it would do now", missing: true,
	},
	"PUT /v1/changes/{number}": {
		id: "edit", summary: "Edit a change that waits", missing: true,
		codes: []changes.ErrorCode{changes.WrongPolicy, changes.UnsaidTerritories, changes.UnsaidPart, changes.Conflict, changes.PlanChanged, changes.NoChange, changes.Ended},
		text:  "Its approvals are void. No author of either may approve it.",
	},
	"POST /v1/changes/{number}/approvals": {
		id: "approve", summary: "Approve a change, or sign an emergency revision", missing: true,
		codes: []changes.ErrorCode{changes.FourEyes, changes.Conflict, changes.PlanChanged, changes.NoChange, changes.Ended, changes.WrongPolicy},
		text:  "The last approval that a change needs brings it into force.",
	},
	"POST /v1/changes/{number}/rejection": {
		id: "reject", summary: "Give a change up", missing: true,
		codes: []changes.ErrorCode{changes.Ended},
	},
	"GET /v1/geo": {
		id: "geo", summary: "The databases that clients are located by, and those that are held",
	},
	"POST /v1/geo/decisions": {
		id: "decide-geo", summary: "Take a database that is held into use, or go on with the one before",
		codes: []changes.ErrorCode{changes.NotFound},
	},
	"GET /v1/principals": {
		id: "principals", summary: "Who may use the API",
	},
	"PUT /v1/principals/{name}": {
		id: "set-principal", summary: "Add somebody who may use the API, or change what they may",
		codes: []changes.ErrorCode{changes.NoChange},
	},
	"DELETE /v1/principals/{name}": {
		id: "remove-principal", summary: "Remove somebody, and their tokens", missing: true,
	},
	"POST /v1/principals/{name}/tokens": {
		id: "add-token", summary: "Give somebody a token", missing: true,
		text: "The secret is shown in this answer, and never again.",
	},
	"DELETE /v1/principals/{name}/tokens/{id}": {
		id: "revoke-token", summary: "Take a token away", missing: true,
	},
}

// parameters are all there are, by name.
var parameters = map[string]object{
	"before":  {"in": "query", "description": "Only what has a lower number than this one: next of the page before.", "schema": object{"type": "integer", "minimum": 1}},
	"limit":   {"in": "query", "description": "How many there are on a page at most.", "schema": object{"type": "integer", "minimum": 1, "maximum": 200, "default": 50}},
	"from":    {"in": "query", "description": "The beginning of the time: that of the ledger if it is missing.", "schema": object{"type": "string", "format": "date-time"}},
	"to":      {"in": "query", "description": "Its end: now if it is missing, and never later.", "schema": object{"type": "string", "format": "date-time"}},
	"because": {"in": "query", "required": true, "description": "Why, for the ledger.", "schema": object{"type": "string", "minLength": 1}},
	"number":  {"in": "path", "required": true, "description": "The number of the record.", "schema": object{"type": "integer", "minimum": 1}},
	"code":    {"in": "path", "required": true, "description": "A jurisdiction: FR, US-MS, EU, unlocated.", "schema": object{"type": "string"}},
	"name":    {"in": "path", "required": true, "description": "The name of a principal.", "schema": object{"type": "string"}},
	"id":      {"in": "path", "required": true, "description": "The ID of a token.", "schema": object{"type": "string"}},
	"If-Match": {"in": "header", "required": true, "schema": object{"type": "string", "pattern": `^"[0-9]+"$`}, "example": `"42"`,
		"description": "The revision that the client has seen in force. If another one is by now, nothing is changed: 409 names it."},
	"Idempotency-Key": {"in": "header", "schema": object{"type": "string", "minLength": 1, "maxLength": 128, "pattern": `^[!-~]+$`},
		"description": "Chosen by the client. A request that is sent again with its key is done once."},
}

// meanings are those of the codes of problems.
var meanings = map[changes.ErrorCode]string{
	"invalid": "Something in the request can't be.", "body": "The body is not what this request takes.",
	"unauthenticated": "Nobody knows who asks.",
	"forbidden":       "The roles of who asks don't allow it.", "four-eyes": "An author can't approve.", "cross-site": "A web page from elsewhere asks.",
	"not-found": "What the path or the body names is not there.", "unknown-path": "Nothing ever is at this path.",
	"method":       "This can't be done to this path. Allow says what can.",
	"too-slow":     "The body took too long to arrive.",
	"conflict":     "Another revision is in force than If-Match says: winner is the one.",
	"plan-changed": "It would do something else than was agreed to.",
	"ended":        "The change is applied, rejected, expired or stale.",
	"no-change":    "It is so already.",
	"read-only":    "The policy comes from a file.",
	"too-large":    "The body is too long.",
	"media-type":   "The body is not said to be JSON.",
	"unknown-host": "The request is for another host.",
	"wrong-policy": "The policy doesn't parse or doesn't compile: errors is what is wrong with it.", "key-reused": "Another request had this Idempotency-Key.",
	"territories-unsaid":    "It isn't said which of the country's territories it reaches.",
	"unknown-part-unsaid":   "It isn't said what those get who may be in a part that a demand binds.",
	"precondition-required": "If-Match is missing.",
	"too-many-failures":     "There were too many tokens that are nobody's. A good one always works.",
	"internal":              "Something went wrong. The gateway's log says what.",
	"busy":                  "Too many do the same at the same time.", "ledger-unavailable": "The ledger can't be reached.",
	"not-acknowledged": "It isn't known whether the change was made: look before it is made again, or send the same Idempotency-Key.",
}

// statuses are those that an endpoint answers with when it doesn't do what was
// asked for.
func statuses(r admin.Route, o operation) []int {
	all := []int{400, 403, 421, 500}
	for status, may := range map[int]bool{
		401: !r.Public, 429: !r.Public,
		404: o.missing,
		408: r.Body > 0, 413: r.Body > 0, 415: r.Body > 0,
		409: r.Idempotent,
		422: r.Idempotent || slices.Contains(o.codes, changes.WrongPolicy),
		428: r.IfMatch,
		503: !r.Public,
		504: r.Idempotent,
	} {
		if may {
			all = append(all, status)
		}
	}
	slices.Sort(all)
	return all
}

// document is the OpenAPI document of what the handler answers.
func openAPI(t testing.TB) object {
	t.Helper()
	s := newSchemas(t)
	paths := object{}
	for _, r := range admin.Routes() {
		o, described := operations[r.Method+" "+r.Path]
		if !described {
			t.Fatalf("operations doesn't describe %s %s", r.Method, r.Path)
		}
		path, _ := paths[r.Path].(object)
		if path == nil {
			path = object{}
			paths[r.Path] = path
		}
		path[strings.ToLower(r.Method)] = s.operation(r, o)
	}
	responses := object{}
	byStatus := map[int][]string{}
	for code, status := range admin.Statuses {
		byStatus[status] = append(byStatus[status], string(code))
	}
	for status, codes := range byStatus {
		slices.Sort(codes)
		s.problem(responses, status, codes)
	}
	all := object{}
	for name, p := range parameters {
		p["name"] = name
		all[name] = p
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "exitgate", "version": "1",
			"description": "The API for the operators of a gateway. Whoever asks over the Unix socket in the gateway's data folder is known by " +
				"their user; others show a client certificate or a token. Bodies are strict: a member that isn't known, is there twice or is null " +
				"is an error. Lists are never null. New members may come to answers at any time.",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []any{object{"url": "http://127.0.0.1:8600"}},
		"security": []any{object{"token": []any{}}, object{"certificate": []any{}}, object{}},
		"paths":    paths,
		"components": object{
			"schemas": s.named, "parameters": all, "responses": responses,
			"securitySchemes": object{
				"token":       object{"type": "http", "scheme": "bearer", "description": "As exitgate principal makes them."},
				"certificate": object{"type": "mutualTLS", "description": "A client certificate with the name of a principal."},
			},
		},
	}
}

func (s *schemas) operation(r admin.Route, o operation) object {
	described := object{"operationId": o.id, "summary": o.summary}
	text := []string{o.text}
	switch {
	case r.Public:
		described["security"] = []any{}
	case r.Local:
		text = append(text, "Only over the socket.")
		described["security"] = []any{object{}}
	default:
		var roles []string
		for _, role := range r.Roles {
			roles = append(roles, string(role))
		}
		text = append(text, "For the roles "+strings.Join(roles, ", ")+".")
	}
	described["description"] = strings.TrimSpace(strings.Join(text, " "))

	var takes []any
	names := slices.Clone(r.Query)
	for _, part := range strings.Split(r.Path, "/") {
		if name, is := strings.CutPrefix(part, "{"); is {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	if r.IfMatch {
		names = append(names, "If-Match")
	}
	if r.Idempotent {
		names = append(names, "Idempotency-Key")
	}
	for _, name := range names {
		takes = append(takes, object{"$ref": "#/components/parameters/" + name})
	}
	if takes != nil {
		described["parameters"] = takes
	}
	if r.Request != nil {
		described["requestBody"] = object{
			"required":    true,
			"description": fmt.Sprintf("At most %d bytes.", r.Body),
			"content":     object{"application/json": object{"schema": s.request(r.Request)}},
		}
	}
	answers := object{}
	status, answer := "200", object{"description": "Done."}
	headers := object{}
	switch {
	case o.stream:
		s.of(reflect.TypeFor[api.Event]())
		answer["content"] = object{"text/event-stream": object{"schema": object{"type": "string"}}}
	case r.Response == nil:
		status = "204"
	default:
		content := object{"application/json": object{"schema": s.of(r.Response)}}
		if r.YAML {
			content["application/yaml"] = object{"schema": object{"type": "string"}}
		}
		answer["content"] = content
	}
	if r.Created {
		status = "201"
		headers["Location"] = object{"description": "Where what was made is.", "schema": object{"type": "string"}}
	}
	if r.ETag {
		headers["ETag"] = object{"description": "The number of the revision; of a file the SHA-256.", "schema": object{"type": "string"}}
	}
	if len(headers) > 0 {
		answer["headers"] = headers
	}
	answers[status] = answer
	for _, status := range statuses(r, o) {
		answers[strconv.Itoa(status)] = object{"$ref": "#/components/responses/" + strconv.Itoa(status)}
	}
	described["responses"] = answers
	return described
}

// problem describes the answers with one status.
func (s *schemas) problem(responses object, status int, codes []string) {
	var text strings.Builder
	text.WriteString(http.StatusText(status) + ".")
	for _, code := range codes {
		fmt.Fprintf(&text, " %s: %s", code, meanings[changes.ErrorCode(code)])
	}
	response := object{
		"description": text.String(),
		"content": object{"application/problem+json": object{"schema": object{
			"allOf": []any{
				s.of(reflect.TypeFor[api.Problem]()),
				object{"properties": object{"status": object{"const": status}, "code": object{"enum": codes}}},
			},
		}}},
	}
	header := map[int]string{401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After"}[status]
	if header != "" {
		response["headers"] = object{header: object{"required": true, "schema": object{"type": "string"}}}
	}
	if status == 503 {
		response["headers"] = object{"Retry-After": object{"description": "Of busy.", "schema": object{"type": "string"}}}
	}
	responses[strconv.Itoa(status)] = response
}

func TestOpenAPI(t *testing.T) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(openAPI(t)); err != nil {
		t.Fatal(err)
	}
	if testkit.Updating() {
		if err := os.WriteFile("openapi.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return // the new one is not in this binary yet
	}
	written, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(written)); diff != "" {
		t.Errorf("openapi.json is not by the types and endpoints (-want +got); write it anew: go generate ./gateway/admin\n%s", diff)
	}
	if len(operations) != len(admin.Routes()) {
		t.Errorf("%d operations are described, and there are %d", len(operations), len(admin.Routes()))
	}
	served := ask(t, newFixture(t), nobody, "GET", "/v1/openapi.json", nil)
	if served.body != string(written) {
		t.Error("another document is served")
	}
}

func TestOpenAPI_codes(t *testing.T) {
	for code := range admin.Statuses {
		if meanings[code] == "" {
			t.Errorf("nothing says what %s means", code)
		}
	}
	for _, code := range constantsOf(t, reflect.TypeFor[changes.ErrorCode]()) {
		if admin.Statuses[changes.ErrorCode(code)] == 0 {
			t.Errorf("%s has no status", code)
		}
	}
}
