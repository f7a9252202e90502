package request

import (
	"cmp"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// readFacts returns what a request is decided on, or why it is rejected whatever
// is decided. It changes a target in absolute form to what is forwarded.
func (h *Handler) readFacts(r *http.Request) (f Facts, err error) {
	if headerSize(r) > h.o.MaxHeader {
		return f, HeaderTooLarge
	}
	// net/http's HTTP/2 lets anything pass for a method, also "POST /x".
	if !httpguts.ValidHeaderFieldName(r.Method) { // a token, as methods are
		return f, MalformedMethod
	}
	// The answer to TRACE is the request as it has come to the app (RFC 9110
	// section 9.3.8), with what is for the app only.
	if r.Method == http.MethodConnect || strings.EqualFold(r.Method, http.MethodTrace) {
		return f, MethodNotAllowed
	}
	host, ok := Hostname(r.Host)
	if !ok {
		return f, MalformedHost
	}
	// HTTP/2 has :authority, and net/http leaves a Host field beside it.
	if fields := r.Header["Host"]; len(fields) > 0 {
		if len(fields) > 1 || !strings.EqualFold(fields[0], r.Host) {
			return f, ConflictingHost
		}
	}
	// A fragment has no place in a request (RFC 9112 section 3.2), nor has a
	// space: who reads on behind them, and who stops there, see two paths.
	for i := range len(r.RequestURI) {
		if c := r.RequestURI[i]; c <= ' ' || c == '#' || c == 0x7f {
			return f, AmbiguousPath
		}
	}
	r.RequestURI = originForm(r)
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return f, MalformedTarget
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero one is rejected
	return Facts{Method: cmp.Or(requestedMethod(r), r.Method), Host: host, Path: path, Query: query, Peer: peer.Addr(), Header: r.Header}, nil
}

// originForm returns the target of a request, without scheme and host if it is in
// absolute form (RFC 9112 section 3.2.2). The host in it is the request's, as
// net/http has it too, whatever the Host field beside it says, which is not
// forwarded. A target that isn't for sure such a one is returned as it is.
func originForm(r *http.Request) string {
	scheme, rest, isAbsolute := strings.Cut(r.RequestURI, "://")
	if !isAbsolute || r.ProtoMajor != 1 || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return r.RequestURI
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	switch authority, target := rest[:end], rest[end:]; {
	case authority != r.Host, // it has a user, or escapes
		target == "" && r.Method == http.MethodOptions: // about the whole server
		return r.RequestURI
	case strings.HasPrefix(target, "/"):
		return target
	default:
		return "/" + target
	}
}

// headerSize returns about how many bytes the header of a request is long, as
// HTTP/1.1 has it.
func headerSize(r *http.Request) int64 {
	size := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return int64(size)
}
