package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/internal/strictjson"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// A spec is what can be said of an endpoint without its types. The API's
// document is generated from it.
type spec struct {
	method, path string
	access       access
	anytime      bool     // also while nothing is known of the ledger
	query        []string // the parameters that it takes
	limit        int64    // of the body's length; 0: there is none
	ifMatch      bool     // needs If-Match
	idempotent   bool     // takes an Idempotency-Key, as it changes something
	created      bool     // answers 201, with a Location
	etag         bool     // answers with an ETag
	yaml         bool     // answers with YAML if the client prefers that
}

// An endpoint is what a request with one method to one path does.
type endpoint struct {
	spec
	request, response reflect.Type
	serve             func(c *call, body []byte) error
}

// none is the request of an endpoint that takes no body, and the response of
// one that answers 204.
type none struct{}

// newEndpoint makes an endpoint of a function that takes what a body says, and
// returns what the answer is.
func newEndpoint[Request, Response any](s spec, handle func(*call, Request) (Response, error)) endpoint {
	e := endpoint{spec: s, request: reflect.TypeFor[Request](), response: reflect.TypeFor[Response]()}
	e.serve = func(c *call, body []byte) error {
		var request Request
		if s.limit > 0 {
			if err := read(body, &request); err != nil {
				return err
			}
		}
		if s.created {
			c.status = http.StatusCreated
		}
		response, err := handle(c, request)
		if err != nil {
			return err
		}
		if _, empty := any(response).(none); empty {
			c.writer.Header().Set("Cache-Control", "no-store")
			c.writer.WriteHeader(http.StatusNoContent)
			return nil
		}
		return c.send(response)
	}
	return e
}

// read reads the JSON object of a body.
func read(body []byte, request any) error {
	err := strictjson.Options{Complete: true}.Unmarshal(body, request)
	if err == nil {
		return nil
	}
	message, advice := err.Error(), "see /v1/openapi.json for what this request takes"
	if e, ok := errors.AsType[*strictjson.Error](err); ok && (e.Path == "" || e.Kind == strictjson.Syntax) {
		message, advice = "the body can't be read: "+message, "send one JSON object, in UTF-8"
	}
	return refuse(wrongBody, message, advice)
}

// endpoints returns all there are.
func (h *handler) endpoints() []endpoint {
	s := h.service
	page, because := []string{"before", "limit"}, []string{"because"}
	return []endpoint{
		{spec: spec{method: "GET", path: "/v1/openapi.json", access: public, anytime: true}, response: reflect.TypeFor[map[string]any](), serve: sendDocument},
		newEndpoint(spec{method: "GET", path: "/v1/status", access: view, anytime: true, etag: true},
			func(c *call, _ none) (api.Status, error) {
				status := s.Status(c.by)
				c.etag = tag(status.Revision, status.SHA256)
				return status, nil
			}),
		newEndpoint(spec{method: "GET", path: "/v1/policy", access: view, etag: true, yaml: true},
			func(c *call, _ none) (api.Policy, error) {
				p := s.Policy()
				c.setPolicy(p)
				return p, nil
			}),
		newEndpoint(spec{method: "GET", path: "/v1/revisions", access: view, query: page},
			func(c *call, _ none) (api.Revisions, error) { return s.Revisions(c.Context(), c.before, c.limit) }),
		newEndpoint(spec{method: "GET", path: "/v1/revisions/{number}", access: view, etag: true, yaml: true},
			func(c *call, _ none) (api.Policy, error) {
				p, err := s.Revision(c.Context(), c.number)
				if err == nil {
					c.setPolicy(p)
				}
				return p, err
			}),
		newEndpoint(spec{method: "GET", path: "/v1/log", access: view, query: page},
			func(c *call, _ none) (api.Log, error) { return s.Log(c.Context(), c.before, c.limit) }),
		newEndpoint(spec{method: "GET", path: "/v1/log/verification", access: view},
			func(c *call, _ none) (api.Verification, error) {
				if !h.verifierSlots.try() {
					return api.Verification{}, refuseBusy("the ledger is being verified for others")
				}
				defer h.verifierSlots.release()
				return s.Verify(c.Context())
			}),
		{spec: spec{method: "GET", path: "/v1/evidence/{code}", access: view, query: []string{"from", "to"}}, response: reflect.TypeFor[evidence.File](), serve: h.streamEvidence},
		newEndpoint(spec{method: "GET", path: "/v1/jurisdictions", access: view},
			func(*call, none) (api.Jurisdictions, error) { return s.Jurisdictions(), nil }),
		newEndpoint(spec{method: "GET", path: "/v1/places", access: view},
			func(c *call, _ none) (api.Places, error) { return s.Places(c.Context()), nil }),
		newEndpoint(spec{method: "GET", path: "/v1/jurisdictions/{code}", access: view},
			func(c *call, _ none) (api.Jurisdiction, error) {
				return s.Jurisdiction(policy.Code(c.PathValue("code")))
			}),
		newEndpoint(spec{method: "POST", path: "/v1/jurisdictions/{code}/probes", access: view},
			func(c *call, _ none) (api.Probes, error) {
				return s.Probe(c.Context(), policy.Code(c.PathValue("code")))
			}),
		newEndpoint(spec{method: "POST", path: "/v1/explain", access: view, limit: smallBody},
			func(_ *call, q api.Question) (api.Explanation, error) { return s.Explain(q) }),
		newEndpoint(spec{method: "GET", path: "/v1/geo", access: view},
			func(*call, none) (api.Geo, error) { return s.Geo(), nil }),
		newEndpoint(spec{method: "POST", path: "/v1/geo/decisions", access: decideGeo, limit: smallBody, idempotent: true},
			func(c *call, d api.GeoDecisionRequest) (api.Geo, error) {
				return s.DecideGeo(c.Context(), c.by, d, c.request)
			}),
		{spec: spec{method: "GET", path: "/v1/events", access: view, anytime: true}, serve: h.streamEvents},

		newEndpoint(spec{method: "POST", path: "/v1/plan", access: view, limit: policyBody},
			func(c *call, p api.Proposal) (api.Plan, error) { return s.Plan(c.Context(), c.by, p) }),
		newEndpoint(spec{method: "GET", path: "/v1/changes", access: view},
			func(*call, none) (api.Changes, error) { return s.Changes(), nil }),
		newEndpoint(spec{method: "POST", path: "/v1/changes", access: propose, limit: policyBody, ifMatch: true, idempotent: true, created: true},
			func(c *call, p api.Proposal) (api.Change, error) {
				change, err := s.Propose(c.Context(), c.by, c.expected, p, c.request)
				c.location = fmt.Sprint("/v1/changes/", change.Number)
				if change.InForce != nil {
					c.location = fmt.Sprint("/v1/revisions/", change.InForce.Number)
				}
				return change, err
			}),
		newEndpoint(spec{method: "GET", path: "/v1/changes/{number}", access: view},
			func(c *call, _ none) (api.Change, error) { return s.Change(c.Context(), c.number) }),
		newEndpoint(spec{method: "PUT", path: "/v1/changes/{number}", access: propose, limit: policyBody, ifMatch: true, idempotent: true},
			func(c *call, p api.Proposal) (api.Change, error) {
				return s.Edit(c.Context(), c.by, c.number, c.expected, p, c.request)
			}),
		newEndpoint(spec{method: "POST", path: "/v1/changes/{number}/approvals", access: approve, limit: smallBody, idempotent: true},
			func(c *call, a api.Approval) (api.Change, error) {
				return s.Approve(c.Context(), c.by, c.number, a, c.request)
			}),
		newEndpoint(spec{method: "POST", path: "/v1/changes/{number}/rejection", access: reject, limit: smallBody, idempotent: true},
			func(c *call, r api.Rejection) (api.Change, error) {
				return s.Reject(c.Context(), c.by, c.number, r.Because, c.request)
			}),

		newEndpoint(spec{method: "POST", path: "/v1/console/links", access: view, anytime: true}, h.linkToConsole),

		newEndpoint(spec{method: "GET", path: "/v1/principals", access: view},
			func(*call, none) (api.Principals, error) { return s.Principals(), nil }),
		newEndpoint(spec{method: "PUT", path: "/v1/principals/{name}", access: managePrincipals, limit: smallBody, idempotent: true},
			func(c *call, p api.Principal) (changes.Principal, error) {
				return s.SetPrincipal(c.Context(), c.by, c.PathValue("name"), p, c.request)
			}),
		newEndpoint(spec{method: "DELETE", path: "/v1/principals/{name}", access: managePrincipals, query: because, idempotent: true},
			func(c *call, _ none) (none, error) {
				return none{}, s.RemovePrincipal(c.Context(), c.by, c.PathValue("name"), c.because, c.request)
			}),
		newEndpoint(spec{method: "POST", path: "/v1/principals/{name}/tokens", access: managePrincipals, limit: smallBody, idempotent: true, created: true},
			func(c *call, t api.TokenRequest) (api.NewToken, error) {
				name := c.PathValue("name")
				token, err := s.AddToken(c.Context(), c.by, name, t, c.request)
				c.location = "/v1/principals/" + url.PathEscape(name) + "/tokens/" + url.PathEscape(token.ID)
				return token, err
			}),
		newEndpoint(spec{method: "DELETE", path: "/v1/principals/{name}/tokens/{id}", access: managePrincipals, query: because, idempotent: true},
			func(c *call, _ none) (none, error) {
				return none{}, s.RevokeToken(c.Context(), c.by, c.PathValue("name"), c.PathValue("id"), c.because, c.request)
			}),
	}
}

// setPolicy prepares an answer with a policy.
func (c *call) setPolicy(p api.Policy) {
	c.etag = p.SHA256
	if p.Revision != nil {
		c.etag = tag(p.Revision.Number, p.SHA256)
	}
	c.writer.Header().Set("Vary", "Accept")
	if c.wantsYAML() {
		c.yaml = p.Policy
	}
}

// tag returns what If-Match can say of a revision, or of a file that has none.
func tag(revision uint64, sha256 string) string {
	if revision == 0 {
		return sha256
	}
	return strconv.FormatUint(revision, 10)
}
