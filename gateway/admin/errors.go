package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/internal/problem"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy/changes"
)

// The codes of what is wrong with a request before anything is asked of the
// Control.
const (
	unauthenticated      changes.ErrorCode = "unauthenticated"
	tooManyFailures      changes.ErrorCode = "too-many-failures"
	crossSite            changes.ErrorCode = "cross-site"
	unknownHost          changes.ErrorCode = "unknown-host"
	unknownPath          changes.ErrorCode = "unknown-path"
	wrongMethod          changes.ErrorCode = "method"
	wrongMediaType       changes.ErrorCode = "media-type"
	wrongBody            changes.ErrorCode = "body"
	tooLarge             changes.ErrorCode = "too-large"
	tooSlow              changes.ErrorCode = "too-slow"
	busy                 changes.ErrorCode = "busy"
	preconditionRequired changes.ErrorCode = "precondition-required"
	internal             changes.ErrorCode = "internal"
)

// statuses maps all codes to HTTP.
var statuses = map[changes.ErrorCode]int{
	changes.Invalid:           http.StatusBadRequest,
	changes.WrongPolicy:       http.StatusUnprocessableEntity,
	changes.UnsaidTerritories: http.StatusUnprocessableEntity,
	changes.UnsaidPart:        http.StatusUnprocessableEntity,
	changes.Forbidden:         http.StatusForbidden,
	changes.FourEyes:          http.StatusForbidden,
	changes.NotFound:          http.StatusNotFound,
	changes.Conflict:          http.StatusConflict,
	changes.PlanChanged:       http.StatusConflict,
	changes.Ended:             http.StatusConflict,
	changes.NoChange:          http.StatusConflict,
	changes.KeyReused:         http.StatusUnprocessableEntity,
	changes.ReadOnly:          http.StatusConflict,
	changes.Unavailable:       http.StatusServiceUnavailable,
	changes.NotAcknowledged:   http.StatusGatewayTimeout,

	unauthenticated:      http.StatusUnauthorized,
	tooManyFailures:      http.StatusTooManyRequests,
	crossSite:            http.StatusForbidden,
	unknownHost:          http.StatusMisdirectedRequest,
	unknownPath:          http.StatusNotFound,
	wrongMethod:          http.StatusMethodNotAllowed,
	wrongMediaType:       http.StatusUnsupportedMediaType,
	wrongBody:            http.StatusBadRequest,
	tooLarge:             http.StatusRequestEntityTooLarge,
	tooSlow:              http.StatusRequestTimeout,
	busy:                 http.StatusServiceUnavailable,
	preconditionRequired: http.StatusPreconditionRequired,
	internal:             http.StatusInternalServerError,
}

func refuse(code changes.ErrorCode, message, advice string) error {
	return &changes.Error{Code: code, Message: message, Advice: advice}
}

// A retryError is over after a while.
type retryError struct {
	error
	after time.Duration
}

func (e *retryError) Unwrap() error { return e.error }

func refuseBusy(message string) error {
	return &retryError{refuse(busy, message, "try again in a few seconds"), 5 * time.Second}
}

// ProblemOf returns what a client is told about an error, and whether that is
// more than that there was one.
func ProblemOf(err error) (p api.Problem, explained bool) {
	e, ok := errors.AsType[*changes.Error](err)
	if !ok || statuses[e.Code] == 0 {
		e = &changes.Error{Code: internal, Message: "something went wrong in the gateway", Advice: "look into the gateway's log"}
		ok = false
	}
	p = api.Problem{
		Type: "about:blank", Status: statuses[e.Code], Code: string(e.Code),
		Detail: e.Message, Advice: e.Advice, Winner: e.Current,
	}
	p.Title = http.StatusText(p.Status)
	if wrong, ok := errors.AsType[strictyaml.Errors](e.Err); ok {
		p.Errors = wrong
	} else if e.Err != nil {
		p.Detail = fmt.Sprintf("%s: %v", p.Detail, e.Err)
	}
	return p, ok
}

// writeError answers with a problem, and reports whether the client is told what
// it is. What is left of the request's body is not waited for, or a slow client
// would get its answer late, and keep a connection for longer.
func writeError(w http.ResponseWriter, r *http.Request, err error) (explained bool) {
	return writeRedactedError(w, r, err, func(text []byte) []byte { return text })
}

// writeRedactedError is writeError, with the problem as who asks may know it.
func writeRedactedError(w http.ResponseWriter, r *http.Request, err error, redact func([]byte) []byte) (explained bool) {
	p, explained := ProblemOf(err)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="exitgate"`)
	}
	if retry, ok := errors.AsType[*retryError](err); ok {
		seconds := (retry.after + time.Second - 1) / time.Second // RFC 9110, section 10.2.3
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	httpbody.CloseUnread(w, r)
	body, err := encode(p)
	if err != nil {
		body = nil // only a time behind the year 9999 can't be encoded
	}
	problem.WriteDocument(w, r, p.Status, redact(body))
	return explained
}
