package request

import (
	"io"
	"net/http"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// HealthPath is what load balancers ask for, written exactly so, for any host and from
// anywhere: whether requests should be sent to this gateway.
const HealthPath = "/.well-known/exitgate/health"

func isHealthCheck(r *http.Request) bool {
	return r.URL.Path == HealthPath && r.URL.RawPath == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// answerOwn answers what the gateway itself is asked, in every phase and from everywhere:
// whether it serves, and the challenges of certificate authorities. It reports whether the
// request was one of those.
func (h *Handler) answerOwn(a *answer, r *http.Request) bool {
	switch {
	case isHealthCheck(r):
		a.record.undecided("", own, ownHealth)
		h.answerHealthCheck(a, r)
	case h.o.AnswerChallenge(a, r):
		a.record.undecided("", own, ownChallenge)
	default:
		return false
	}
	return true
}

// answerHealthCheck answers 200, or 503 while the gateway is being stopped or serves
// nothing, as no policy or no guaranteed flag is known. It says no more.
func (h *Handler) answerHealthCheck(w http.ResponseWriter, r *http.Request) {
	httpbody.CloseUnread(w, r)
	status, text := http.StatusOK, "ok\n"
	if h.o.Draining() || h.o.Policy(h.o.Now()).Blocked() != "" {
		status, text = http.StatusServiceUnavailable, "unavailable\n"
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, text) // nobody is left to tell if it fails
	}
}
