package request

import (
	"net"
	"net/http"
	"strings"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// Redirect answers on the plain listener, and sends clients to the HTTPS one: at its
// own port if the client came to the plain listener's port, at the usual one if
// something in front has mapped the ports, or if it is nil.
func (h *Handler) Redirect(w http.ResponseWriter, r *http.Request, https net.Addr) {
	a := &answer{ResponseWriter: w}
	defer h.recoverPanic(a, r)
	defer h.logExchange(a, r)
	h.begin(a, r)
	if h.answerOwn(a, r) {
		return
	}
	facts, err := h.readFacts(r)
	if err != nil {
		h.reject(a, r, err)
		return
	}
	app, known := h.o.Apps.Find(facts.Host)
	if !known {
		h.reject(a, r, UnknownHost)
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
	a.record.undecided(app.Name, own, ownRedirect)
	httpbody.CloseUnread(a, r)
	// A body is not sent in the clear twice.
	a.Header().Set("Connection", "close")
	a.Header().Set("Location", "https://"+host+r.URL.RequestURI())
	a.WriteHeader(http.StatusPermanentRedirect)
}
