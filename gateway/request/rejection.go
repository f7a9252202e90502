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
	DecidedAnew      Rejection = "decided-anew" // something restricted it in the moment that it was decided
)

// rejections are all of them that don't come from client.
var rejections = [...]error{
	AmbiguousPath, AmbiguousMethod, AmbiguousFraming, UnknownHost, MalformedHost, ConflictingHost, MethodNotAllowed, MalformedMethod, MalformedTarget, HeaderTooLarge, DecidedAnew,
	enforce.FlagsUnknown, enforce.PolicyUnknown,
}

// reject answers a request that no decision is made on.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request, why error) {
	d := problem.Details{Status: http.StatusBadRequest, Reason: why.Error(), Detail: "The request can be read in more than one way."}
	var unknownClient client.Rejection
	switch {
	case why == UnknownHost:
		d.Status, d.Detail = http.StatusMisdirectedRequest, "This host is not served here."
	case why == MethodNotAllowed:
		d.Status, d.Detail = http.StatusMethodNotAllowed, "The method is not served here."
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	case why == HeaderTooLarge:
		d.Status, d.Detail = http.StatusRequestHeaderFieldsTooLarge, "The header of the request is larger than this service accepts."
	case why == DecidedAnew:
		d.Status, d.Detail = http.StatusServiceUnavailable, "What is served here has just changed."
		w.Header().Set("Retry-After", "1")
	case why == enforce.FlagsUnknown, why == enforce.PolicyUnknown:
		d.Status, d.Detail = http.StatusServiceUnavailable, "The service is starting."
		w.Header().Set("Retry-After", "5")
	case errors.As(why, &unknownClient):
		d.Reason = string(unknownClient)
		d.Detail = "It can't be told for sure whom the proxy in front forwards this request for."
	}
	h.o.Metrics.Rejected(d.Reason)
	if h.serves(r.Host) {
		w.Header().Set("Vary", "Origin")
		allowOrigin(w, r)
	}
	httpbody.CloseUnread(w, r)
	problem.Write(w, r, d)
}

// serves reports whether a host is one of those that are served here.
func (h *Handler) serves(host string) bool {
	name, ok := Hostname(host)
	if ok {
		_, ok = h.o.Apps.Find(name)
	}
	return ok
}
