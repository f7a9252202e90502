package server

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/flags/ofrep"
)

// Options say how flags are evaluated. Both functions are called from
// many goroutines at once. What they return goes to the client: it has to have
// passed the guard, and its texts may name neither secrets nor users.
type Options struct {
	// Evaluate answers for one flag. The handler fills in the key.
	Evaluate func(ctx context.Context, key string, context map[string]any) ofrep.Evaluation

	// EvaluateAll answers for all flags, in any order. What fails for one
	// flag belongs into its Evaluation. An error is for all of them, and
	// then the client gets its text and no flag.
	EvaluateAll func(ctx context.Context, context map[string]any) ([]ofrep.Evaluation, error)
}

// New returns the server's side of OFREP 0.3:
//
//	POST /ofrep/v1/evaluate/flags/{key}   one flag
//	POST /ofrep/v1/evaluate/flags         all flags
//
// It belongs on a listener for the app and not for the public: it asks for no
// credentials, and the server's ReadTimeout is what bounds the wait for a body.
// It writes no log, as contexts say who somebody is.
//
// A request that can't be read as one is answered with PARSE_ERROR or
// INVALID_CONTEXT and what to do about it, and nothing is evaluated.
func New(options Options) http.Handler {
	h := &handler{options}
	mux := http.NewServeMux()
	mux.HandleFunc("/ofrep/v1/evaluate/flags", post(h.evaluateAll))
	// Clients are to escape slashes in keys. OpenFeature's own for
	// JavaScript has learnt it only with version 1 of its core.
	mux.HandleFunc("/ofrep/v1/evaluate/flags/{key...}", post(h.evaluateOne))
	mux.HandleFunc("/", notFound)

	// An app's server sends neither Origin nor Sec-Fetch-Site. A browser
	// does, and a page from elsewhere must not ask from its visitor's machine.
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(crossOrigin))
	return origins.Handler(mux)
}

type handler struct{ Options }

func (h *handler) evaluateOne(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	if err := checkKey(key); err != nil {
		writeFailure(w, truncateKey(key), err)
		return
	}
	context, err := readContext(w, r)
	if err != nil {
		writeFailure(w, key, err)
		return
	}
	evaluation, status := conforming(h.Evaluate(r.Context(), key, context))
	evaluation.Key = key
	write(w, status, encode(evaluation))
}

func (h *handler) evaluateAll(w http.ResponseWriter, r *http.Request) {
	context, err := readContext(w, r)
	if err != nil {
		writeBulkFailure(w, http.StatusBadRequest, err)
		return
	}
	evaluations, err := h.EvaluateAll(r.Context(), context)
	if err != nil {
		writeBulkFailure(w, http.StatusInternalServerError, err)
		return
	}
	bulk := ofrep.Bulk{Flags: make([]ofrep.Evaluation, len(evaluations))}
	for i, evaluation := range evaluations {
		bulk.Flags[i], _ = conforming(evaluation)
	}
	slices.SortStableFunc(bulk.Flags, func(a, b ofrep.Evaluation) int { return strings.Compare(a.Key, b.Key) })

	body := encode(bulk)
	tag := entityTag(body)
	w.Header().Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		// RFC 9110 has 304 for GET and HEAD only. OFREP wants it for its POST.
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	write(w, http.StatusOK, body)
}

// notFound answers for all other paths. It names no error code: with a key and
// FLAG_NOT_FOUND, clients would take a wrong base URL for a flag that is missing.
func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, "this is not a path of OFREP 0.3: POST to /ofrep/v1/evaluate/flags/{key} or /ofrep/v1/evaluate/flags")
}

func crossOrigin(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusForbidden, "web pages of other origins may not ask: evaluate flags on the app's server")
}
