package request

import (
	"net/http"
	"net/netip"
	"strings"
)

// readFacts returns what a request is decided on, or why that can't be told.
func readFacts(r *http.Request) (f Facts, err error) {
	if r.Method == http.MethodConnect {
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
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // absolute-form, forwarded in origin-form
		if u := r.URL; r.ProtoMajor != 1 || u.Scheme != "http" && u.Scheme != "https" || u.Host != r.Host || u.User != nil {
			return f, MalformedTarget
		}
		path = r.URL.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero one is rejected
	return Facts{Method: r.Method, Host: host, Path: path, Peer: peer.Addr(), Header: r.Header}, nil
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
