package admin

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/internal/loopback"
)

// onlyKnownHosts refuses requests for hosts that the listener isn't: a web page
// whose name was made to point at 127.0.0.1 could otherwise read, from its
// visitor's machine, what is served here (DNS rebinding). No name leads to a
// socket, so there it doesn't matter which one is asked for.
func onlyKnownHosts(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, local := peerOf(r.Context()); !local && !knownHost(hosts, r.Host) {
			writeError(w, r, refuse(unknownHost, "this is not a host that is served here", "ask for localhost or a loopback address"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knownHost reports whether a Host field, with or without a port, is loopback or
// one of the hosts.
func knownHost(hosts []string, field string) bool {
	host, _, err := net.SplitHostPort(field)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(field, "["), "]")
	}
	return loopback.IsHost(host) || slices.ContainsFunc(hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// fromThisSite refuses what a browser sends on behalf of a page from elsewhere:
// another host, another port, a file. Unlike http.CrossOriginProtection it
// refuses GETs, too: only this site's own pages have business here. A link to a page of
// the console, as in an alert, may stand anywhere.
func fromThisSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !sameSite(r) && !followsLink(r) {
			writeError(w, r, refuse(crossSite, "web pages of other origins may not ask",
				"ask from the gateway's own pages, or by a program that is not a browser"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// followsLink reports whether a browser opens what is asked for as a page of its own, as
// people see it (Fetch Metadata, sections 2.1 and 2.2): then no other page reads it.
func followsLink(r *http.Request) bool {
	return r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/v1/") &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && len(r.Header.Values("Origin")) == 0
}

func sameSite(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return false
		}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	for _, origin := range r.Header.Values("Origin") {
		if o, err := url.Parse(origin); err != nil || o.Scheme != scheme || !strings.EqualFold(o.Host, r.Host) {
			return false
		}
	}
	return true
}
