package proxy

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// What of a request's header is forwarded is said here once, by forwards and
// addFields, for both ways to an upstream (see exchange).

// forwards reports whether a field of the client's request is forwarded. What it
// drops is either between the client and the gateway only, or for the gateway to
// set.
func (x *exchange) forwards(name string) bool {
	return !isHopByHop(name) && name != "Content-Length" && name != "Host" && !isReserved(name) &&
		!(x.connection != nil && httpguts.HeaderValuesContainsToken(x.connection, name)) && !x.setsField(name)
}

// connectionOptions returns the Connection fields that name other fields: those
// are hop-by-hop.
func connectionOptions(h http.Header) []string {
	options := h["Connection"]
	if len(options) == 1 && strings.EqualFold(options[0], "keep-alive") {
		return nil
	}
	return options
}

// setsField reports whether the caller of Forward sets a field of this name.
func (x *exchange) setsField(name string) bool {
	for i := range x.f.Headers {
		if strings.EqualFold(x.f.Headers[i].Name, name) {
			return true
		}
	}
	return false
}

// addFields calls add with the fields that the gateway adds to what is
// forwarded. Whatever the client sent under these names must be gone by then.
func (x *exchange) addFields(add func(name, value string)) {
	if httpguts.HeaderValuesContainsToken(x.in.Header["Te"], "trailers") {
		add("Te", "trailers")
	}
	if x.kind == upgrade {
		// Nothing but a WebSocket is let through. An upgrade to h2c, say,
		// would be a tunnel past every decision.
		add("Connection", "Upgrade")
		add("Upgrade", x.in.Header["Upgrade"][0])
	}
	proto := x.f.Proto
	if proto == "" {
		proto = "http"
		if x.in.TLS != nil {
			proto = "https"
		}
	}
	client := x.f.Client.WithZone("").Unmap()
	if client.IsValid() {
		add("X-Forwarded-For", client.String())
	}
	add("X-Forwarded-Proto", proto)
	add("X-Forwarded-Host", x.in.Host)
	add("X-Forwarded-Port", portOf(x.in.Host, proto))
	if x.f.RequestID != "" {
		add("X-Request-Id", x.f.RequestID)
	}
	if secret := x.app.credentials.Load().Secret; secret != "" {
		add(SecretField, secret)
	}
	if x.app.options.Forwarded {
		add("Forwarded", forwarded(client, x.in.Host, proto))
	}
	for _, f := range x.f.Headers {
		add(f.Name, f.Value)
	}
}

// portOf returns the port that a client has asked at, by the Host that it sent.
func portOf(host, proto string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i+1 < len(host) && !strings.HasSuffix(host, "]") {
		return host[i+1:]
	}
	if proto == "http" {
		return "80"
	}
	return "443"
}

// forwarded returns the value of a Forwarded field (RFC 7239, section 4).
func forwarded(client netip.Addr, host, proto string) string {
	node := "unknown"
	switch {
	case client.Is4():
		node = client.String()
	case client.Is6():
		node = `"[` + client.String() + `]"`
	}
	return "for=" + node + `;host="` + quoted.Replace(host) + `";proto=` + proto
}

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// isReserved reports whether a field is one by which a client could tell the app
// what only the gateway knows: who and where the client is, what it asked for
// and over what. CGI and its kin fold all but letters and digits to "_", so
// Market_Jurisdiction and market.jurisdiction are spellings of
// Market-Jurisdiction.
func isReserved(name string) bool {
	var space [64]byte
	folded := fold(&space, name)
	switch {
	case bytes.HasPrefix(folded, []byte("market-")), bytes.HasPrefix(folded, []byte("x-forwarded-")):
		return true
	case len(name) > len(folded):
		return false
	case changesRequest(name, folded):
		return true
	}
	switch string(folded) {
	case "forwarded", // RFC 7239
		"x-request-id",

		// Addresses, as sent by proxies and content delivery networks.
		"x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-originating-ip", "x-remote-ip", "x-remote-addr",
		"x-original-forwarded-for", "x-envoy-external-address", "x-azure-clientip", "x-azure-socketip",
		"client-ip", "true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4",
		"fastly-client-ip", "fly-client-ip", "cloudfront-viewer-address",

		// Places, as sent by the same.
		"cf-ipcountry", "cf-region-code", "cloudfront-viewer-country", "cloudfront-viewer-country-region",
		"x-appengine-country", "x-appengine-region", "x-vercel-ip-country", "x-vercel-ip-country-region",
		"x-country-code",

		// To CGI, it is where the app's own requests go (CVE-2016-5385).
		"proxy",
		// Half of an upgrade to h2c, which isn't forwarded.
		"http2-settings":
		return true
	}
	return false
}

// fold returns a field's name as CGI has it, but in lower case and with "-" for "_"; of a
// long name its beginning.
func fold(space *[64]byte, name string) []byte {
	folded := space[:copy(space[:], name)]
	for i, c := range folded {
		switch {
		case 'A' <= c && c <= 'Z':
			folded[i] = c + ('a' - 'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			folded[i] = '-'
		}
	}
	return folded
}

// ChangesRequest reports whether apps, or what is before them, may read another path, host
// or method in a field than those of its request, and it isn't forwarded for that.
func ChangesRequest(name string) bool {
	var space [64]byte
	return len(name) <= len(space) && changesRequest(name, fold(&space, name))
}

func changesRequest(name string, folded []byte) bool {
	switch string(folded) {
	case "x-http-method-override", "x-http-method", "x-method-override":
		// The gateway decides by these. Another spelling would reach the app
		// as the same: Rack and PHP read X_HTTP_Method_Override.
		return strings.Count(name, "-") != bytes.Count(folded, []byte("-"))
	case
		// Another path: to frameworks that expect to run behind IIS; to gunicorn, and
		// apps that read it as that does, which subtracts it from the path; to those
		// behind Envoy.
		"x-original-url", "x-rewrite-url", "x-original-uri", "x-envoy-original-path",
		"script-name", "x-script-name", "path-info", "x-path-info", "request-uri",
		// Another host.
		"x-host", "x-original-host", "x-http-host-override", "x-envoy-original-host":
		return true
	}
	return false
}

// isHopByHop reports whether a field is for a connection and not for a message
// (RFC 9110, section 7.6.1, and what the wild adds).
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func removeHopByHop(h http.Header) {
	for _, options := range h["Connection"] {
		for name := range strings.SplitSeq(options, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for name := range h {
		if isHopByHop(name) {
			delete(h, name)
		}
	}
}

// target returns the URL of which a transport makes the same request target,
// byte for byte, as the one that came in. url.URL's own escaping would change
// some.
func target(in *http.Request) *url.URL {
	raw := in.RequestURI
	if strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") {
		return &url.URL{Opaque: raw}
	}
	// In an opaque URL "//" would start a host. And of "http://host/path"
	// only the path is for the app.
	return &url.URL{
		Path: in.URL.Path, RawPath: in.URL.RawPath,
		RawQuery: in.URL.RawQuery, ForceQuery: in.URL.ForceQuery,
	}
}
