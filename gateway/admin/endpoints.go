package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// An endpoint is what a request with one method to one path does.
type endpoint struct {
	may     permission
	public  bool     // for everybody
	always  bool     // also while nothing is known of the ledger
	query   []string // the parameters that it takes
	body    int64    // how long it may be at most; 0: there is none
	expects bool     // needs If-Match
	writes  bool     // takes an Idempotency-Key
	answer  func(*request) (reply, error)
}

// endpoints are all there are, by path and method.
func (h *handler) endpoints() map[string]map[string]endpoint {
	paged := []string{"before", "limit"}
	reason := []string{"because"}
	type methods = map[string]endpoint
	return map[string]methods{
		"/v1/openapi.json": {"GET": {public: true, always: true, answer: h.openAPI}},

		"/v1/status":             {"GET": {may: see, always: true, answer: h.status}},
		"/v1/policy":             {"GET": {may: see, answer: h.policy}},
		"/v1/revisions":          {"GET": {may: see, query: paged, answer: h.revisions}},
		"/v1/revisions/{number}": {"GET": {may: see, answer: h.revision}},
		"/v1/log":                {"GET": {may: see, query: paged, answer: h.records}},
		"/v1/log/verification":   {"GET": {may: see, answer: h.verify}},
		"/v1/jurisdictions":      {"GET": {may: see, answer: h.jurisdictions}},
		"/v1/jurisdictions/{code}": {
			"GET": {may: see, answer: h.jurisdiction},
		},
		"/v1/explain": {"POST": {may: see, body: smallBody, answer: h.explain}},
		"/v1/events":  {"GET": {may: see, always: true, answer: h.events}},

		"/v1/plan": {"POST": {may: see, body: policyBody, answer: h.plan}},
		"/v1/changes": {
			"GET":  {may: see, answer: h.changes},
			"POST": {may: propose, body: policyBody, expects: true, writes: true, answer: h.propose},
		},
		"/v1/changes/{number}": {
			"GET": {may: see, answer: h.change},
			"PUT": {may: propose, body: policyBody, expects: true, writes: true, answer: h.edit},
		},
		"/v1/changes/{number}/approvals": {
			"POST": {may: approve, body: smallBody, writes: true, answer: h.approve},
		},
		"/v1/changes/{number}/rejection": {
			"POST": {may: reject, body: smallBody, writes: true, answer: h.reject},
		},

		"/v1/principals": {"GET": {may: see, answer: h.principals}},
		"/v1/principals/{name}": {
			"PUT":    {may: admit, body: smallBody, writes: true, answer: h.setPrincipal},
			"DELETE": {may: admit, query: reason, writes: true, answer: h.removePrincipal},
		},
		"/v1/principals/{name}/tokens": {
			"POST": {may: admit, body: smallBody, writes: true, answer: h.addToken},
		},
		"/v1/principals/{name}/tokens/{id}": {
			"DELETE": {may: admit, query: reason, writes: true, answer: h.revokeToken},
		},
	}
}

// A permission is what an actor needs to be allowed something. The Service
// checks it again, with what depends on the change.
type permission struct {
	roles  []changes.Role // one of them
	local  bool           // or rather: over the socket
	detail string
	advice string
}

var (
	see = permission{
		roles:  []changes.Role{changes.Viewer, changes.Operator, changes.Approver},
		detail: "you have no role", advice: "ask for that of a viewer",
	}
	propose = permission{
		roles:  []changes.Role{changes.Operator},
		detail: "only an operator proposes changes", advice: "ask one to, or ask for the role",
	}
	approve = permission{
		roles:  []changes.Role{changes.Approver},
		detail: "only an approver approves changes", advice: "ask one to, or ask for the role",
	}
	reject = permission{
		roles:  []changes.Role{changes.Operator, changes.Approver},
		detail: "only an operator or an approver rejects changes", advice: "ask one to, or ask for the role",
	}
	admit = permission{
		local:  true,
		detail: "principals are only changed over the gateway's socket", advice: "use exitgate principal on the gateway's machine",
	}
)

func (p permission) check(by changes.Actor) error {
	has := func(role changes.Role) bool { return slices.Contains(by.Roles, role) }
	if p.local && by.Local || slices.ContainsFunc(p.roles, has) {
		return nil
	}
	return &api.Problem{Status: http.StatusForbidden, Code: string(changes.Forbidden), Detail: p.detail, Advice: p.advice}
}

func (h *handler) status(r *request) (reply, error) {
	s := h.service.Status(r.by)
	s.You.Roles = list(s.You.Roles)
	s.Pending = allChanges(s.Pending)
	s.Unsigned = list(s.Unsigned)
	s.Markets = list(s.Markets)
	return reply{etag: tag(s.Revision, s.SHA256), body: s}, nil
}

func (h *handler) policy(r *request) (reply, error) {
	return asPolicy(r, h.service.Policy()), nil
}

func (h *handler) revision(r *request) (reply, error) {
	number, err := r.number()
	if err != nil {
		return reply{}, err
	}
	p, err := h.service.Revision(r.Context(), number)
	if err != nil {
		return reply{}, err
	}
	return asPolicy(r, p), nil
}

func asPolicy(r *request, p api.Policy) reply {
	out := reply{etag: p.SHA256, body: p}
	if p.Revision != nil {
		out.etag = tag(p.Revision.Number, p.SHA256)
	}
	r.writer.Header().Set("Vary", "Accept")
	if r.wantsYAML() {
		out.policy = p.Policy
	}
	return out
}

// tag is what If-Match can say of a revision, or of a file that has none.
func tag(revision uint64, sha256 string) string {
	if revision == 0 {
		return sha256
	}
	return strconv.FormatUint(revision, 10)
}

func (h *handler) revisions(r *request) (reply, error) {
	before, limit, err := r.page()
	if err != nil {
		return reply{}, err
	}
	page, err := h.service.Revisions(r.Context(), before, limit)
	page.Revisions = list(page.Revisions)
	return reply{body: page}, err
}

func (h *handler) records(r *request) (reply, error) {
	before, limit, err := r.page()
	if err != nil {
		return reply{}, err
	}
	page, err := h.service.Log(r.Context(), before, limit)
	page.Records = list(page.Records)
	return reply{body: page}, err
}

func (h *handler) verify(r *request) (reply, error) {
	if !h.verifierSlots.try() {
		return reply{}, busy("the ledger is being verified for others")
	}
	defer h.verifierSlots.giveBack()
	v, err := h.service.Verify(r.Context())
	v.Wrong = list(v.Wrong)
	return reply{body: v}, err
}

func (h *handler) jurisdictions(*request) (reply, error) {
	all := h.service.Jurisdictions()
	all.Markets = list(all.Markets)
	return reply{body: all}, nil
}

func (h *handler) jurisdiction(r *request) (reply, error) {
	j, err := h.service.Jurisdiction(policy.Code(r.PathValue("code")))
	j.Explanation.Matches = list(j.Explanation.Matches)
	return reply{body: j}, err
}

func (h *handler) explain(r *request) (reply, error) {
	var q api.Question
	if err := read(r.body, &q); err != nil {
		return reply{}, err
	}
	x, err := h.service.Explain(q)
	x.Matches = list(x.Matches)
	return reply{body: x}, err
}

func (h *handler) plan(r *request) (reply, error) {
	var p api.Proposal
	if err := read(r.body, &p); err != nil {
		return reply{}, err
	}
	plan, err := h.service.Plan(r.Context(), r.by, p)
	return reply{body: plan}, err
}

func (h *handler) changes(*request) (reply, error) {
	return reply{body: api.Changes{Changes: allChanges(h.service.Changes().Changes)}}, nil
}

func (h *handler) change(r *request) (reply, error) {
	number, err := r.number()
	if err != nil {
		return reply{}, err
	}
	c, err := h.service.Change(r.Context(), number)
	return asChange(c), err
}

func (h *handler) propose(r *request) (reply, error) {
	var p api.Proposal
	if err := read(r.body, &p); err != nil {
		return reply{}, err
	}
	c, err := h.service.Propose(r.Context(), r.by, r.expected, p, r.repeat)
	out := asChange(c)
	out.status, out.location = http.StatusCreated, "/v1/changes/"+strconv.FormatUint(c.Number, 10)
	if c.InForce != nil {
		out.location = "/v1/revisions/" + strconv.FormatUint(c.InForce.Number, 10)
	}
	return out, err
}

func (h *handler) edit(r *request) (reply, error) {
	number, err := r.number()
	if err != nil {
		return reply{}, err
	}
	var p api.Proposal
	if err := read(r.body, &p); err != nil {
		return reply{}, err
	}
	c, err := h.service.Edit(r.Context(), r.by, number, r.expected, p, r.repeat)
	return asChange(c), err
}

func (h *handler) approve(r *request) (reply, error) {
	number, err := r.number()
	if err != nil {
		return reply{}, err
	}
	var a api.Approval
	if err := read(r.body, &a); err != nil {
		return reply{}, err
	}
	c, err := h.service.Approve(r.Context(), r.by, number, a, r.repeat)
	return asChange(c), err
}

func (h *handler) reject(r *request) (reply, error) {
	number, err := r.number()
	if err != nil {
		return reply{}, err
	}
	var no api.Rejection
	if err := read(r.body, &no); err != nil {
		return reply{}, err
	}
	c, err := h.service.Reject(r.Context(), r.by, number, no.Because, r.repeat)
	return asChange(c), err
}

func (h *handler) principals(*request) (reply, error) {
	all := h.service.Principals()
	all.Principals = list(all.Principals)
	return reply{body: all}, nil
}

func (h *handler) setPrincipal(r *request) (reply, error) {
	var p api.Principal
	if err := read(r.body, &p); err != nil {
		return reply{}, err
	}
	set, err := h.service.SetPrincipal(r.Context(), r.by, r.PathValue("name"), p, r.repeat)
	return reply{body: set}, err
}

func (h *handler) removePrincipal(r *request) (reply, error) {
	because, err := r.because()
	if err != nil {
		return reply{}, err
	}
	err = h.service.RemovePrincipal(r.Context(), r.by, r.PathValue("name"), because, r.repeat)
	return reply{status: http.StatusNoContent}, err
}

func (h *handler) addToken(r *request) (reply, error) {
	var t api.TokenRequest
	if err := read(r.body, &t); err != nil {
		return reply{}, err
	}
	name := r.PathValue("name")
	token, err := h.service.AddToken(r.Context(), r.by, name, t, r.repeat)
	location := "/v1/principals/" + url.PathEscape(name) + "/tokens/" + url.PathEscape(token.ID)
	return reply{status: http.StatusCreated, location: location, body: token}, err
}

func (h *handler) revokeToken(r *request) (reply, error) {
	because, err := r.because()
	if err != nil {
		return reply{}, err
	}
	err = h.service.RevokeToken(r.Context(), r.by, r.PathValue("name"), r.PathValue("id"), because, r.repeat)
	return reply{status: http.StatusNoContent}, err
}

// asChange answers with a change. One that was not proposed has not everything
// that a proposal has, and programs expect lists to be there.
func asChange(c api.Change) reply {
	c.Change = allChanges([]changes.Change{c.Change})[0]
	return reply{body: c}
}

func allChanges(all []changes.Change) []changes.Change {
	whole := make([]changes.Change, len(all))
	for i, c := range all {
		c.Authors, c.Effects, c.Approvals = list(c.Authors), list(c.Effects), list(c.Approvals)
		whole[i] = c
	}
	return whole
}

// list makes [] of what JSON would have as null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
