package proxy

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// isClaim reports whether a field is one by which a client could tell the app
// what only the gateway knows: who and where the client is, what it asked for
// and over what. CGI and its kin fold all but letters and digits to "_", so
// Market_Jurisdiction and market.jurisdiction are spellings of
// Market-Jurisdiction.
func isClaim(name string) bool {
	var space [64]byte
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
	switch {
	case bytes.HasPrefix(folded, []byte("market-")), bytes.HasPrefix(folded, []byte("x-forwarded-")):
		return true
	case len(name) > len(folded):
		return false
	}
	switch string(folded) {
	case "forwarded", // RFC 7239
		"x-request-id",

		// Addresses, as told by proxies and content delivery networks.
		"x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-originating-ip", "x-remote-ip", "x-remote-addr",
		"x-original-forwarded-for", "x-envoy-external-address", "x-azure-clientip", "x-azure-socketip",
		"client-ip", "true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4",
		"fastly-client-ip", "fly-client-ip", "cloudfront-viewer-address",

		// Places, as told by the same.
		"cf-ipcountry", "cf-region-code", "cloudfront-viewer-country", "cloudfront-viewer-country-region",
		"x-appengine-country", "x-appengine-region", "x-vercel-ip-country", "x-vercel-ip-country-region",
		"x-country-code",

		// Another path than the one that was decided on, to frameworks
		// that expect to run behind IIS.
		"x-original-url", "x-rewrite-url",

		// To CGI, it is where the app's own requests go (CVE-2016-5385).
		"proxy",
		// Half of an upgrade to h2c, which isn't forwarded.
		"http2-settings":
		return true
	}
	return false
}

// stripClaims removes what is the gateway's to say.
func (x *exchange) stripClaims(h http.Header) {
	for name := range h {
		if isClaim(name) || x.tells(name) {
			delete(h, name)
		}
	}
}

// tells reports whether the gateway sets a field of this name for this request.
func (x *exchange) tells(name string) bool {
	for i := range x.f.Headers {
		if strings.EqualFold(x.f.Headers[i].Name, name) {
			return true
		}
	}
	return false
}

// tell passes what the gateway has to say to the app to add. Whatever a client
// said under these names must be gone by then.
func (x *exchange) tell(add func(name, value string)) {
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
	if x.f.RequestID != "" {
		add("X-Request-Id", x.f.RequestID)
	}
	if x.app.options.Forwarded {
		add("Forwarded", forwarded(client, x.in.Host, proto))
	}
	for _, f := range x.f.Headers {
		add(f.Name, f.Value)
	}
}

// forwarded returns the value of a Forwarded field (RFC 7239, section 4).
func forwarded(client netip.Addr, host, proto string) string {
	by := "unknown"
	switch {
	case client.Is4():
		by = client.String()
	case client.Is6():
		by = `"[` + client.String() + `]"`
	}
	return "for=" + by + `;host="` + quoted.Replace(host) + `";proto=` + proto
}

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

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
