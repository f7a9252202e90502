package wire

import (
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// newRequest returns the request of a field block, as net/http's HTTP/2 has it, without
// body and context. An error is why it is none (RFC 9113, section 8.3.1).
func (c *conn) newRequest(f *http2.MetaHeadersFrame) (*http.Request, error) {
	malformed := http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
	var method, scheme, authority, path string
	for _, field := range f.PseudoFields() {
		switch field.Name {
		case ":method":
			method = field.Value
		case ":scheme":
			scheme = field.Value
		case ":authority":
			authority = field.Value
		case ":path":
			path = field.Value
		default: // :protocol, as the settings don't offer extended CONNECT
			return nil, malformed
		}
	}
	header := c.header(f.RegularFields())
	if hasConnectionFields(header) {
		return nil, malformed
	}
	if authority == "" {
		authority = header.Get("Host")
	}
	if strings.Contains(authority, "@") && (scheme == "http" || scheme == "https") {
		return nil, malformed
	}
	r := &http.Request{
		Method: method, RequestURI: path, Host: authority, Header: header, RemoteAddr: c.remote,
		Proto: "HTTP/2.0", ProtoMajor: 2, Body: http.NoBody, Trailer: announcedTrailers(header),
	}
	if scheme == "https" {
		r.TLS = c.tls
	}
	switch {
	case method == http.MethodConnect:
		if path != "" || scheme != "" || authority == "" {
			return nil, malformed
		}
		r.RequestURI, r.URL = authority, &url.URL{Host: authority}
	case method == "", path == "", scheme != "https" && scheme != "http":
		return nil, malformed
	case path[0] != '/' && path != "*":
		return nil, malformed
	default:
		var err error
		if r.URL, err = url.ParseRequestURI(path); err != nil {
			return nil, malformed
		}
	}
	if !f.StreamEnded() {
		r.ContentLength = declaredLength(header)
	}
	return r, nil
}

// header returns fields as net/http has them.
func (c *conn) header(fields []hpack.HeaderField) http.Header {
	h := make(http.Header, len(fields))
	values := make([]string, len(fields)) // one allocation for all that come once
	for i, field := range fields {
		name := c.canonicalName(field.Name)
		if before := h[name]; before != nil {
			h[name] = append(before, field.Value)
			continue
		}
		values[i] = field.Value
		h[name] = values[i : i+1 : i+1]
	}
	if cookies := h["Cookie"]; len(cookies) > 1 { // RFC 9113, section 8.2.3
		h["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	return h
}

// maxNames is how many names of fields a connection remembers.
const maxNames = 64

// canonicalName returns a field's name in the canonical form of net/http.
func (c *conn) canonicalName(name string) string {
	if known, ok := c.names[name]; ok {
		return known
	}
	canonical := http.CanonicalHeaderKey(name)
	if len(c.names) < maxNames && len(name) <= maxNames {
		c.names[name] = canonical
	}
	return canonical
}

// declaredLength returns a request's Content-Length, -1 if it has none.
func declaredLength(h http.Header) int64 {
	values := h["Content-Length"]
	if len(values) == 0 {
		return -1
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}

// announcedTrailers returns the trailers that a request says it has, and removes the field
// that says so.
func announcedTrailers(h http.Header) (trailers http.Header) {
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			switch name {
			case "Transfer-Encoding", "Trailer", "Content-Length":
				continue
			}
			if trailers == nil {
				trailers = make(http.Header)
			}
			trailers[name] = nil
		}
	}
	delete(h, "Trailer")
	return trailers
}

// takeExpectation reports whether the client waits for a 100 before it sends a body, and
// removes the field that says so: it is for this connection alone.
func takeExpectation(h http.Header) bool {
	if !httpguts.HeaderValuesContainsToken(h["Expect"], "100-continue") {
		return false
	}
	delete(h, "Expect")
	return true
}

// hasConnectionFields reports whether a request has fields that only HTTP/1.1 has (RFC 9113,
// section 8.2.2).
func hasConnectionFields(h http.Header) bool {
	for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		if _, there := h[name]; there {
			return true
		}
	}
	te := h["Te"]
	return len(te) > 1 || len(te) == 1 && te[0] != "trailers" && te[0] != ""
}

// mayBeTrailer reports whether a field has a meaning behind a body (RFC 9110, section 6.5.1).
func mayBeTrailer(name string) bool { return httpguts.ValidTrailerHeader(name) }

// answerTooLarge answers a request whose fields are more than the server takes.
func answerTooLarge(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
	_, _ = io.WriteString(w, "<h1>HTTP Error 431</h1><p>Request Header Field(s) Too Large</p>")
}
