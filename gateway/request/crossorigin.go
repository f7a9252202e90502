package request

import (
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// requestedMethod returns the method of the request that a browser asks
// permission for, "" if this is no preflight
// (https://fetch.spec.whatwg.org/#cors-preflight-fetch).
func requestedMethod(r *http.Request) string {
	if r.Method != http.MethodOptions || len(r.Header["Origin"]) != 1 || len(r.Header["Access-Control-Request-Method"]) != 1 {
		return ""
	}
	method := r.Header["Access-Control-Request-Method"][0]
	if !httpguts.ValidHeaderFieldName(method) { // a token, as methods are
		return ""
	}
	return method
}

// allowOrigin lets a page from elsewhere read a refusal or a rejection. What it
// says is no secret: whoever sends such a request gets it. Of a host that isn't
// served here nothing is said, and a preflight that is rejected is no permission:
// what is wrong may be right a moment later, and the app hasn't been asked.
func allowOrigin(w http.ResponseWriter, r *http.Request) {
	if len(r.Header["Origin"]) != 1 {
		return
	}
	h := w.Header()
	h["Access-Control-Allow-Origin"] = r.Header["Origin"]
	h["Access-Control-Allow-Credentials"] = []string{"true"}
	h["Access-Control-Expose-Headers"] = []string{"Link, Sunset, Deprecation, Retry-After, X-Request-Id, Grpc-Status, Grpc-Message"}
}

// allowRefusedRequest answers a preflight for a request that will be refused: by
// a permission, which ends with it, so that the page can read the refusal.
func allowRefusedRequest(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Access-Control-Allow-Origin"] = r.Header["Origin"]
	h["Access-Control-Allow-Credentials"] = []string{"true"}
	h["Access-Control-Allow-Methods"] = r.Header["Access-Control-Request-Method"]
	if fields := r.Header["Access-Control-Request-Headers"]; len(fields) > 0 {
		h["Access-Control-Allow-Headers"] = fields
	}
	h["Access-Control-Max-Age"] = []string{"0"}
	h["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	h["Cache-Control"] = []string{"no-store"}
	w.WriteHeader(http.StatusNoContent)
}
