package admin

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// A handler answers what is below /v1/.
type handler struct {
	limits
	service   Service
	log       *slog.Logger
	now       func() time.Time
	onFailure func()

	failures      *failures
	largeSlots    slots
	streamSlots   slots
	verifierSlots slots
}

// newAPI returns the API. Each request passes what is cheapest first, and
// nothing of it is read before it is known who asks, and that they may.
func newAPI(o Options, l limits) http.Handler {
	h := &handler{
		limits: l, service: o.Service, log: o.Log, now: o.Now, onFailure: o.OnFailure,
		failures:      newFailures(),
		largeSlots:    make(slots, l.largeBodies),
		streamSlots:   make(slots, l.streams),
		verifierSlots: make(slots, l.verifications),
	}
	mux := http.NewServeMux()
	for path, methods := range h.endpoints() {
		mux.Handle(path, h.resource(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, &api.Problem{
			Status: http.StatusNotFound, Code: "unknown-path",
			Detail: "there is nothing at this path",
			Advice: "see /v1/openapi.json for what there is",
		})
	})
	return fromThisSite(mux)
}

// resource answers for one path.
func (h *handler) resource(methods map[string]endpoint) http.Handler {
	allow := slices.Collect(maps.Keys(methods))
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // the server leaves the body out
		}
		e, found := methods[method]
		if !found {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			fail(w, r, &api.Problem{
				Status: http.StatusMethodNotAllowed, Code: "method",
				Detail: "this can't be done to this path",
				Advice: "use " + strings.Join(allow, ", "),
			})
			return
		}
		if err := h.serve(e, w, r); err != nil {
			h.fail(w, r, err)
		}
	})
}

// serve answers one request.
func (h *handler) serve(e endpoint, w http.ResponseWriter, r *http.Request) error {
	in := &request{Request: r, writer: w}
	var err error
	if !e.public {
		if in.by, err = h.who(r); err != nil {
			return err
		}
		if err := e.may.check(in.by); err != nil {
			return err
		}
	}
	if !e.always {
		if err := h.service.Known(); err != nil {
			return err
		}
	}
	if in.query, err = query(r.URL.RawQuery, e.query); err != nil {
		return err
	}
	if e.expects {
		if in.expected, err = expected(r.Header.Values("If-Match")); err != nil {
			return err
		}
	}
	if e.writes {
		if in.repeat.Key, err = key(r.Header.Values("Idempotency-Key")); err != nil {
			return err
		}
	}
	switch {
	case e.body > 0:
		if err := checkMedia(r.Header); err != nil {
			return err
		}
		body, release, err := h.body(w, r, e.body)
		defer release()
		if err != nil {
			return err
		}
		in.body = body
	case r.ContentLength != 0:
		return wrongBody("this request takes no body", "send it without")
	default:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // as in body
	}
	in.repeat.Fingerprint = fingerprint(r, in.body)
	out, err := e.answer(in)
	if err != nil {
		return err
	}
	return out.send(w, r)
}

// fail sends what a client is told of an error. What it isn't told, the log is.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, told := problem(err)
	if !told && r.Context().Err() == nil {
		h.log.Error("the admin API failed", "request", r.Method+" "+r.Pattern, "error", err)
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="exitgate"`)
	}
	if over, ok := errors.AsType[*passing](err); ok {
		w.Header().Set("Retry-After", over.retryAfter())
	}
	fail(w, r, &p)
}

// query reads the parameters of a request, each of them known and there once.
func query(raw string, known []string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("the query can't be read", "escape what is in it: RFC 3986, section 2.1")
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			return nil, invalid("the parameter "+shortened(strings.ToValidUTF8(name, ""), 64)+" is nothing that is known", "see /v1/openapi.json")
		}
		if len(all) > 1 {
			return nil, invalid("the parameter "+name+" is there twice", "send it once")
		}
	}
	return values, nil
}

func invalid(detail, advice string) error {
	return &api.Problem{Status: http.StatusBadRequest, Code: string(changes.Invalid), Detail: detail, Advice: advice}
}
