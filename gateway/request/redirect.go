package request

import (
	"net"
	"net/http"
	"strings"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// RedirectTo returns the handler of the plain listener, which sends clients to
// the HTTPS one: at its own port if the client came to the plain listener's
// port, at the usual one if something in front has mapped the ports, or if it is nil.
func (h *Handler) RedirectTo(https net.Addr) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer h.recoverPanic(w, r)
		if isHealthCheck(r) {
			h.answerHealthCheck(w, r)
			return
		}
		facts, err := h.readFacts(r)
		if err == nil {
			if _, known := h.o.Apps.Find(facts.Host); !known {
				err = UnknownHost
			}
		}
		if err != nil {
			h.reject(w, r, err)
			return
		}
		host := facts.Host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if https != nil {
			_, mapped, _ := net.SplitHostPort(r.Host)
			if _, port, err := net.SplitHostPort(https.String()); err == nil && mapped != "" && port != "443" {
				host += ":" + port
			}
		}
		httpbody.CloseUnread(w, r)
		// A body is not sent in the clear twice.
		w.Header().Set("Connection", "close")
		w.Header().Set("Location", "https://"+host+r.URL.RequestURI())
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}
