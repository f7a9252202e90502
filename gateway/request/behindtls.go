package request

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/exitgate/exitgate/gateway/client"
)

// ServeBehindTLS answers on a plain listener that serves: what a trusted proxy, or one
// that speaks the PROXY protocol, has received over TLS is answered as on the HTTPS
// listener. A stranger's request, and what such a proxy says that it has received without
// TLS, is redirected.
func (h *Handler) ServeBehindTLS(w http.ResponseWriter, r *http.Request) {
	if h.isFromTLS(r) {
		h.ServeHTTP(w, r)
		return
	}
	h.Redirect(w, r, nil) // TLS is ended elsewhere, at the usual port
}

// isFromTLS reports whether a request has come over TLS to a proxy that is trusted. Of
// several in a row the last word of X-Forwarded-Proto is that of the one that is asked.
func (h *Handler) isFromTLS(r *http.Request) bool {
	if _, is := h.probes.of(r); is {
		return true
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	if !h.o.Trusts(peer.Addr()) {
		return r.Context().Value(proxied{}) != nil
	}
	lines := r.Header["X-Forwarded-Proto"]
	if len(lines) == 0 {
		return true
	}
	last := lines[len(lines)-1]
	proto := strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	return strings.EqualFold(proto, "https") || strings.EqualFold(proto, "wss")
}

type proxied struct{}

// NoteProxied is the ConnContext of a server whose handler is ServeBehindTLS.
func NoteProxied(ctx context.Context, conn net.Conn) context.Context {
	if client.IsProxied(conn) {
		return context.WithValue(ctx, proxied{}, true)
	}
	return ctx
}
