package request

import (
	"errors"
	"net/http"

	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/internal/problem"
)

// A Rejection is why no decision is made on a request: it could be read in two
// ways, or is for somebody else. Its text is a label of a metric.
type Rejection string

func (r Rejection) Error() string { return string(r) }

// Why a request is rejected. Besides there are a client.Rejection, if it can't
// be told who asks, and an enforce.BlockedReason.
const (
	AmbiguousPath    Rejection = "ambiguous-path"
	AmbiguousMethod  Rejection = "ambiguous-method"
	AmbiguousFraming Rejection = "ambiguous-framing"
	UnknownHost      Rejection = "unknown-host"
	MalformedHost    Rejection = "malformed-host"
	ConflictingHost  Rejection = "conflicting-host"
	MethodNotAllowed Rejection = "method"
	MalformedMethod  Rejection = "malformed-method"
	MalformedTarget  Rejection = "malformed-target"
	HeaderTooLarge   Rejection = "header-too-large"
	UntrustedProxy   Rejection = "untrusted-proxy"  // asks for a decision
	UnknownQuestion  Rejection = "unknown-question" // of a proxy that asks for a decision
	DecidedAnew      Rejection = "decided-anew"     // something restricted it in the moment that it was decided
)

// rejections are all of them that don't come from client.
var rejections = [...]error{
	AmbiguousPath, AmbiguousMethod, AmbiguousFraming, UnknownHost, MalformedHost, ConflictingHost, MethodNotAllowed, MalformedMethod, MalformedTarget, HeaderTooLarge, UntrustedProxy, UnknownQuestion, DecidedAnew,
	enforce.FlagsUnknown, enforce.PolicyUnknown,
}

// reject answers a request that no decision is made on.
func (h *Handler) reject(a *answer, r *http.Request, why error) {
	d := problem.Details{Status: http.StatusBadRequest, Reason: why.Error(), Detail: "The request can be read in more than one way."}
	unknownClient, isUnknown := errors.AsType[client.Rejection](why)
	switch {
	case why == UnknownHost:
		d.Status, d.Detail = http.StatusMisdirectedRequest, "This host is not served here."
	case why == MethodNotAllowed:
		d.Status, d.Detail = http.StatusMethodNotAllowed, "The method is not served here."
		a.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	case why == HeaderTooLarge:
		d.Status, d.Detail = http.StatusRequestHeaderFieldsTooLarge, "The header of the request is larger than this service accepts."
	case why == DecidedAnew:
		d.Status, d.Detail = http.StatusServiceUnavailable, "What is served here has just changed."
		a.Header().Set("Retry-After", "1")
	case why == enforce.FlagsUnknown, why == enforce.PolicyUnknown:
		d.Status, d.Detail = http.StatusServiceUnavailable, "The service is starting."
		a.Header().Set("Retry-After", "5")
	case isUnknown:
		d.Reason = string(unknownClient)
		d.Detail = "It can't be told for sure whom the proxy in front forwards this request for."
	}
	h.o.Metrics.Rejected(d.Reason)
	app, served := h.appAt(r.Host)
	if served {
		a.Header().Set("Vary", "Origin")
		allowOrigin(a, r)
	}
	a.record.undecided(app.Name, rejected, d.Reason)
	httpbody.CloseUnread(a, r)
	problem.Write(a, r, d)
}

// appAt returns the app at a host, if it is one of those that are served here.
func (h *Handler) appAt(host string) (app App, served bool) {
	name, ok := Hostname(host)
	if !ok {
		return app, false
	}
	return h.o.Apps.Find(name)
}
