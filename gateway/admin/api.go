package admin

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/console"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/policy/changes"
)

// A handler answers what is below /v1/.
type handler struct {
	limits
	service   *control.Control
	log       *slog.Logger
	now       func() time.Time
	onFailure func()

	console       *console.Console
	failures      *failures
	largeSlots    slots
	streamSlots   slots
	verifierSlots slots
}

func newHandlerOfAPI(o Options, l limits) *handler {
	return &handler{
		limits: l, service: o.Service, log: o.Log, now: o.Now, onFailure: o.OnFailure,
		failures:      newFailures(),
		largeSlots:    make(slots, l.largeBodies),
		streamSlots:   make(slots, l.streams),
		verifierSlots: make(slots, l.verifications),
	}
}

// mux returns the API. Each request passes what is cheapest first, and nothing of it
// is read before it is known who asks, and that they may.
func (h *handler) mux() http.Handler {
	paths := map[string][]endpoint{}
	for _, e := range h.endpoints() {
		paths[e.path] = append(paths[e.path], e)
	}
	mux := http.NewServeMux()
	for path, endpoints := range paths {
		mux.Handle(path, h.resource(endpoints))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, r, refuse(unknownPath, "there is nothing at this path", "see /v1/openapi.json for what there is"))
	})
	return mux
}

// resource answers for one path.
func (h *handler) resource(endpoints []endpoint) http.Handler {
	methods := map[string]endpoint{}
	var allowed []string
	for _, e := range endpoints {
		methods[e.method] = e
		allowed = append(allowed, e.method)
		if e.method == http.MethodGet {
			methods[http.MethodHead] = e // the server leaves the body out
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, found := methods[r.Method]
		if !found {
			w.Header().Set("Allow", allow)
			writeError(w, r, refuse(wrongMethod, "this method is not for this path", "use "+allow))
			return
		}
		c := &call{Request: r, writer: w}
		c.redact = func(text []byte) []byte { return h.service.Redact(c.by, text) }
		err := h.serve(e, c)
		if err != nil && !writeRedactedError(w, r, err, c.redact) && r.Context().Err() == nil {
			h.log.Error("the admin API failed", "request", r.Method+" "+r.Pattern, "error", err)
		}
	})
}

// serve answers one request.
func (h *handler) serve(e endpoint, c *call) error {
	r, w := c.Request, c.writer
	var err error
	if !e.access.public {
		if c.by, err = h.authenticate(r); err != nil {
			return err
		}
		if err := e.access.check(c.by); err != nil {
			return err
		}
	}
	if !e.anytime {
		if err := h.service.Unavailable(); err != nil {
			return err
		}
	}
	if err := c.parseURL(e); err != nil {
		return err
	}
	if e.ifMatch {
		if c.expected, err = parseIfMatch(r.Header.Values("If-Match")); err != nil {
			return err
		}
	}
	var key string
	if e.idempotent {
		if key, err = parseIdempotencyKey(r.Header.Values("Idempotency-Key")); err != nil {
			return err
		}
	}
	body, release, err := h.body(w, r, e.limit)
	defer release()
	if err != nil {
		return err
	}
	c.request = changes.NewRequest(key, hashRequest(r, body), c.by)
	return e.serve(c, body)
}

// parseQuery reads the parameters of a request, each of them known and there
// once.
func parseQuery(raw string, known []string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse(changes.Invalid, "the query can't be read", "escape what is in it: RFC 3986, section 2.1")
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			name = strings.ToValidUTF8(name[:min(len(name), 64)], "")
			return nil, refuse(changes.Invalid, "the parameter "+name+" is unknown", "see /v1/openapi.json")
		}
		if len(all) > 1 {
			return nil, refuse(changes.Invalid, "the parameter "+name+" is there twice", "send it once")
		}
	}
	return values, nil
}
