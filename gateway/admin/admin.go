// Package admin answers the operators' side, metrics and health, and the app's
// questions about flags. It is served on loopback, never on the public
// listener.
package admin

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Readiness says whether the gateway can do its work, and what it does it
// with.
type Readiness struct {
	Ready  bool             `json:"ready"`
	Checks map[string]Check `json:"checks"`
}

// A Check is one thing that the gateway works with. One that is not OK but on
// its last good state doesn't make the gateway unready: it goes on serving.
type Check struct {
	OK     bool       `json:"ok"`
	Detail string     `json:"detail,omitempty"`
	Since  *time.Time `json:"since,omitempty"` // how long it has not been OK
}

// Handler answers /metrics, /healthz and /readyz, and lets flags answer what
// is below /ofrep/.
func Handler(metrics prometheus.Gatherer, readiness func() Readiness, flags http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]bool{"alive": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		state, status := readiness(), http.StatusOK
		if !state.Ready {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, state)
	})
	mux.Handle("/ofrep/", flags)
	return onlyLoopback(mux)
}

// onlyLoopback refuses requests for other hosts than loopback's: a web page
// whose name was made to point at 127.0.0.1 could otherwise read what is
// served here from its visitor's machine (DNS rebinding).
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			answer(w, http.StatusMisdirectedRequest, map[string]string{"error": "ask for localhost or a loopback address"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(body) // the reader went away
}
