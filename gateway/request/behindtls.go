package request

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/exitgate/exitgate/gateway/client"
)

// BehindTLS returns the handler of a plain listener that serves: what a trusted proxy, or
// one that speaks the PROXY protocol, has received over TLS is answered as on the HTTPS
// listener. A stranger's request, and what such a proxy says that it has received without
// TLS, is redirected.
func (h *Handler) BehindTLS() http.Handler {
	redirect := h.RedirectTo(nil) // TLS is ended elsewhere, at the usual port
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.isFromTLS(r) {
			h.ServeHTTP(w, r)
			return
		}
		redirect.ServeHTTP(w, r)
	})
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

// NoteProxied is the ConnContext of a server whose handler is that of BehindTLS.
func NoteProxied(ctx context.Context, conn net.Conn) context.Context {
	if client.IsProxied(conn) {
		return context.WithValue(ctx, proxied{}, true)
	}
	return ctx
}
