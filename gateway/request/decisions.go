package request

import (
	"net/http"
	"net/netip"

	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/internal/problem"
	"github.com/exitgate/exitgate/policy"
)

// Where a proxy that forwards requests itself asks what becomes of one.
const (
	// ForwardAuth is for Caddy's forward_auth and Traefik's forwardAuth: what isn't 2xx is
	// the client's answer.
	ForwardAuth = "/forward-auth"
	// AuthRequest is for nginx's auth_request, which knows 2xx, 401 and 403, and takes no
	// answer: what isn't 2xx at ForwardAuth is 403.
	AuthRequest = "/auth-request"
	// Answer is where nginx then gets the client's answer.
	Answer = "/answer"
)

// AnswerDecision tells a trusted proxy what becomes of a request that it has received: 204
// if it is to be forwarded, with the fields for the app; else what the client gets. The
// request is the one that X-Forwarded-Method, -Host and -Uri say, on behalf of whom it
// would be if the proxy had forwarded it here, and with the other fields of the question.
// It is decided and counted as any other; of those that nginx asks about twice the decision
// by the first question, and a rejection by the second.
func (h *Handler) AnswerDecision(w http.ResponseWriter, r *http.Request) {
	endpoint := r.URL.Path
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	asked, isSaid := askedFor(r)
	switch {
	case !h.o.Trusts(peer.Addr()):
		h.rejectQuestion(w, r, http.StatusForbidden, UntrustedProxy, "Only what trusted-proxies names may ask for decisions.")
		return
	case endpoint != ForwardAuth && endpoint != AuthRequest && endpoint != Answer:
		h.rejectQuestion(w, r, http.StatusNotFound, UnknownQuestion, "Ask at "+ForwardAuth+" or, with nginx, at "+AuthRequest+".")
		return
	case !isSaid:
		h.rejectQuestion(w, r, http.StatusBadRequest, UnknownQuestion, "The proxy has to say which request it is about: X-Forwarded-Method, X-Forwarded-Host and X-Forwarded-Uri, each once.")
		return
	case !h.o.SaysClient(r.Header):
		h.rejectQuestion(w, r, http.StatusBadRequest, UnknownQuestion, "The proxy has to say on whose behalf it asks: X-Forwarded-For, or what client-header names.")
		return
	}
	a := &answer{ResponseWriter: w}
	defer h.recoverPanic(a, asked)
	defer h.logExchange(a, asked)
	h.begin(a, asked)
	compiled := h.o.Policy(h.o.Now())
	verdict, facts, err := h.decideAsked(compiled, asked, endpoint != Answer)
	isRefused := err == nil && verdict.Decision.Action == policy.Refuse
	if err == nil {
		a.record.decided(verdict.App, verdict.Decision)
	}
	switch {
	case endpoint == AuthRequest && (err != nil || isRefused):
		if err != nil {
			a.record = nil // it is rejected once the answer is asked for
		}
		a.WriteHeader(http.StatusForbidden)
	case err != nil:
		h.reject(a, asked, err)
	case isRefused:
		if endpoint == Answer {
			a.record = nil
		}
		h.refuse(a, asked, compiled, verdict.Decision, verdict.Place, facts.Host)
	case endpoint == Answer:
		h.reject(a, asked, DecidedAnew)
	default:
		for _, field := range verdict.Outcome.ToApp() {
			a.Header()[field.Name] = []string{field.Value}
		}
		a.Header()["Cache-Control"] = []string{"no-store"}
		a.WriteHeader(http.StatusNoContent)
	}
}

// decideAsked decides on a request that a proxy asks about. An error is why it is rejected.
func (h *Handler) decideAsked(compiled *enforce.Compiled, asked *http.Request, counts bool) (v Verdict, f Facts, err error) {
	if reason := compiled.Blocked(); reason != "" {
		return v, f, reason
	}
	if f, err = h.readFacts(asked); err != nil {
		return v, f, err
	}
	if namesAnotherRequest(asked) {
		return v, f, AmbiguousPath
	}
	if counts {
		v, err = h.Decide(compiled, f)
		return v, f, err
	}
	app, known := h.o.Apps.Find(f.Host)
	if !known {
		return v, f, UnknownHost
	}
	address, err := h.o.Client(f.Peer, f.Header)
	if err != nil {
		return v, f, err
	}
	v, err = h.decideFrom(compiled, app, address, h.o.Locate(address), f)
	return v, f, err
}

// namesAnotherRequest reports whether a request has a field by which the app could read another
// path, host or method than is asked about. The gateway doesn't forward those; of one that
// forwards by itself, it can't be known.
func namesAnotherRequest(asked *http.Request) bool {
	for name, lines := range asked.Header {
		if !proxy.ChangesRequest(name) {
			continue
		}
		for _, said := range lines {
			if said != asked.RequestURI && said != asked.Host && said != asked.Method {
				return true
			}
		}
	}
	return false
}

// rejectQuestion answers a question that is about no request.
func (h *Handler) rejectQuestion(w http.ResponseWriter, r *http.Request, status int, why Rejection, detail string) {
	h.o.Metrics.Rejected(why.Error())
	httpbody.CloseUnread(w, r)
	problem.Write(w, r, problem.Details{Status: status, Reason: why.Error(), Detail: detail})
}

// askedFor returns the request that a question is about, false if it isn't said. It has no
// body, as that isn't sent along.
func askedFor(r *http.Request) (asked *http.Request, ok bool) {
	said := func(field string) string {
		if lines := r.Header[field]; len(lines) == 1 {
			return lines[0]
		}
		return ""
	}
	method, host, uri := said("X-Forwarded-Method"), said("X-Forwarded-Host"), said("X-Forwarded-Uri")
	if method == "" || host == "" || uri == "" {
		return nil, false
	}
	asked = new(http.Request)
	*asked = *r
	asked.Method, asked.Host, asked.RequestURI = method, host, uri
	asked.URL = nil // what is decided on is RequestURI
	asked.Body, asked.ContentLength, asked.TransferEncoding = http.NoBody, 0, nil
	return asked, true
}
