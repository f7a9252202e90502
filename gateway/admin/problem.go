package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy/changes"
)

// statuses are those of refusals.
var statuses = map[changes.ErrorCode]int{
	changes.Invalid:     http.StatusBadRequest,
	changes.WrongPolicy: http.StatusUnprocessableEntity,
	changes.Forbidden:   http.StatusForbidden,
	changes.FourEyes:    http.StatusForbidden,
	changes.NotFound:    http.StatusNotFound,
	changes.Conflict:    http.StatusConflict,
	changes.PlanChanged: http.StatusConflict,
	changes.Ended:       http.StatusConflict,
	changes.NoChange:    http.StatusConflict,
	changes.KeyReused:   http.StatusUnprocessableEntity,

	changes.ReadOnly:        http.StatusConflict,
	changes.Unavailable:     http.StatusServiceUnavailable,
	changes.NotAcknowledged: http.StatusGatewayTimeout,
}

// A passing problem is over after a while.
type passing struct {
	wait time.Duration
	*api.Problem
}

func (p *passing) Unwrap() error { return p.Problem }

// retryAfter writes the wait in seconds (RFC 9110, section 10.2.3).
func (p *passing) retryAfter() string {
	return strconv.Itoa(int((p.wait + time.Second - 1) / time.Second))
}

// problem returns what a client is told of an error; false if that is nothing
// but that there was one.
func problem(err error) (api.Problem, bool) {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return *p, true
	}
	refusal, ok := errors.AsType[*changes.Error](err)
	if !ok || statuses[refusal.Code] == 0 {
		return api.Problem{
			Status: http.StatusInternalServerError, Code: "internal",
			Detail: "something went wrong in the gateway",
			Advice: "look into the gateway's log",
		}, false
	}
	p := api.Problem{
		Status: statuses[refusal.Code], Code: string(refusal.Code),
		Detail: refusal.Message, Advice: refusal.Advice, Winner: refusal.Current,
	}
	if wrong, ok := errors.AsType[strictyaml.Errors](err); ok {
		p.Errors = wrong
	} else if refusal.Err != nil {
		p.Detail = fmt.Sprintf("%s: %v", p.Detail, refusal.Err)
	}
	return p, true
}

// fail sends a problem. What is left of the request's body is not waited for, or
// a slow client would get its answer late, and keep a connection for longer.
func fail(w http.ResponseWriter, r *http.Request, p *api.Problem) {
	httpbody.CloseUnread(w, r)
	told := *p
	told.Type, told.Title = "about:blank", http.StatusText(p.Status)
	answer(w, p.Status, "application/problem+json", told)
}
