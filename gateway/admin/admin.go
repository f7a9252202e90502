// Package admin answers the operators' side: metrics and health, the app's
// questions about flags, the API below /v1/ by which people see and change
// what the gateway does, and the console, which does the same with pages. It is served over a Unix socket and on loopback, never
// on the public listener.
package admin

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/exitgate/exitgate/gateway/console"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/policy/changes"
)

// Options are what the admin side answers from. All functions are called from
// many goroutines at once.
type Options struct {
	Metrics prometheus.Gatherer
	Flags   http.Handler     // answers what is below /ofrep/
	Service *control.Control // what /readyz and the API below /v1/ are about
	Log     *slog.Logger
	Now     func() time.Time
	// Hosts are names that a TCP listener may be asked for beside loopback's:
	// those of its certificate, if it has one.
	Hosts []string
	// OnFailure is called for every request with a token that is nobody's.
	OnFailure func()
}

// New answers /metrics, /healthz, /readyz, /ofrep/, the API below /v1/, and with the
// console all else. The
// server that it runs under needs ConnContext to know who is at a Unix socket,
// and a ReadHeaderTimeout; the rest of a request has limits of its own here.
func New(o Options) http.Handler { return newHandler(o, defaults) }

func newHandler(o Options, l limits) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", answerMetrics(o.Metrics))
	mux.HandleFunc("GET /healthz", answerAlive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		state, status := o.Service.Readiness(), http.StatusOK
		if !state.Ready {
			status = http.StatusServiceUnavailable
		}
		text, err := encode(state)
		if err != nil {
			status = http.StatusInternalServerError // only a time behind the year 9999 can't be encoded
		}
		write(w, status, "application/json", o.Service.Redact(changes.Actor{}, text)) // anybody asks
	})
	mux.Handle("/ofrep/", o.Flags)
	h := newHandlerOfAPI(o, l)
	answers := h.mux()
	h.console = console.New(console.Options{API: answers, SignIn: h.signIn, Events: o.Service.Events, State: o.Service.State, Now: o.Now, Log: o.Log})
	mux.Handle("/v1/", answers)
	mux.Handle("/", h.console)
	return onlyKnownHosts(o.Hosts, fromThisSite(mux))
}

func answerAlive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
}

func answerMetrics(from prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(from, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// NewProbes answers /healthz and /readyz, for any host and without saying why: what
// an orchestrator wants to know, on a listener that may have any address. It answers
// /metrics, too, if some are given.
func NewProbes(service *control.Control, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	if metrics != nil {
		mux.Handle("GET /metrics", answerMetrics(metrics))
	}
	mux.HandleFunc("GET /healthz", answerAlive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, status := service.Readiness().Ready, http.StatusOK
		if !ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, map[string]bool{"ready": ready})
	})
	return mux
}

// writeJSON answers with a body as JSON.
func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := encode(body)
	if err != nil {
		status = http.StatusInternalServerError // only a time behind the year 9999 can't be encoded
	}
	write(w, status, "application/json", text)
}

// write sends a whole answer. Nobody stores it: it is about now.
func write(w http.ResponseWriter, status int, media string, body []byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away
}

// encode writes JSON that people can read, too.
func encode(body any) ([]byte, error) { return encodeWith("  ", body) }

func encodeWith(indent string, body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(body)
	return b.Bytes(), err
}
