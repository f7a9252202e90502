package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/policy"
)

// A rejection is why a request is refused before any decision: whoever reads
// it could read it in two ways, it is for somebody else, or it isn't known yet
// what the policy is, or whether what is guaranteed holds. Its text is a label of a metric.
type rejection string

func (r rejection) Error() string { return string(r) }

const (
	errAmbiguousPath   rejection = "ambiguous-path"
	errAmbiguousMethod rejection = "ambiguous-method"
	errUnknownHost     rejection = "unknown-host"
	errHost            rejection = "malformed-host"
	errTwoHosts        rejection = "conflicting-host"
	errMethod          rejection = "method"
	errTarget          rejection = "malformed-target"
)

// wellFormed returns the host that a request is for and the path as it is
// forwarded, or why they can't be told.
func wellFormed(r *http.Request) (host, path string, err error) {
	if r.Method == http.MethodConnect {
		return "", "", errMethod
	}
	host, ok := hostname(r.Host)
	if !ok {
		return "", "", errHost
	}
	// HTTP/2 has :authority, and net/http leaves a Host field beside it.
	if fields := r.Header["Host"]; len(fields) > 0 {
		if len(fields) > 1 || !strings.EqualFold(fields[0], r.Host) {
			return "", "", errTwoHosts
		}
	}
	// A fragment has no place in a request (RFC 9112 section 3.2), nor has a
	// space: who reads on behind them, and who stops there, see two paths.
	for i := range len(r.RequestURI) {
		if c := r.RequestURI[i]; c <= ' ' || c == '#' || c == 0x7f {
			return "", "", errAmbiguousPath
		}
	}
	path, _, _ = strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // absolute-form, forwarded in origin-form
		if u := r.URL; r.ProtoMajor != 1 || u.Scheme != "http" && u.Scheme != "https" || u.Host != r.Host || u.User != nil {
			return "", "", errTarget
		}
		path = r.URL.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	return host, path, nil
}

// closeBehindChunks lets a request with chunks be the last of its connection.
// If it had a Content-Length as well, net/http has dropped that unseen; someone
// in front may have gone by it, and take what follows for another request than
// we would (RFC 9112 sections 6.1 and 11.2).
func closeBehindChunks(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
}

// reject answers a request that no decision is made on.
func (g *Gateway) reject(w http.ResponseWriter, r *http.Request, why error) {
	status, reason, detail := http.StatusBadRequest, why.Error(), "The request can be read in more than one way."
	var refusal client.Rejection
	switch {
	case why == errUnknownHost:
		status, detail = http.StatusMisdirectedRequest, "This host is not served here."
	case why == errMethod:
		status, detail = http.StatusMethodNotAllowed, "The method is not served here."
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	case why == enforce.FlagsUnknown, why == enforce.PolicyUnknown:
		status, detail = http.StatusServiceUnavailable, "The service is starting."
		w.Header().Set("Retry-After", "5")
	case errors.As(why, &refusal):
		reason = string(refusal)
		detail = "It can't be told for sure whom the proxy in front forwards this request for."
	}
	g.metrics.Rejected(reason)
	httpbody.CloseUnread(w, r)
	writeProblem(w, r, status, reason, detail)
}

// writeProblem writes a small problem document (RFC 9457).
func writeProblem(w http.ResponseWriter, r *http.Request, status int, reason, detail string) {
	body := `{"type":"about:blank","title":` + strconv.Quote(http.StatusText(status)) +
		`,"status":` + strconv.Itoa(status) +
		`,"detail":` + strconv.Quote(detail) +
		`,"reason":` + strconv.Quote(reason) + "}\n"
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body)) // the client went away
	}
}

// methodOverrides are the fields by which frameworks (Rails, Laravel, Express
// and others with a module for it) let a request name another method than its
// own.
var methodOverrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// classify finds the class of a request, or why an app could see another one.
func classify(s *policy.Snapshot, r *http.Request, host, path string) (policy.Class, error) {
	class, ambiguous := s.Classify(r.Method, host, path)
	if ambiguous {
		return class, errAmbiguousPath
	}
	for _, field := range methodOverrides {
		for _, method := range r.Header[field] {
			if other, _ := s.Classify(strings.ToUpper(method), host, path); other != class {
				return class, errAmbiguousMethod
			}
		}
	}
	return class, nil
}
