// Package problem writes answers that aren't what was asked for: the problem
// documents of RFC 9457. None of them is stored by caches.
package problem

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
)

// MediaType is that of a problem document.
const MediaType = "application/problem+json"

// Details are the members of a problem document.
type Details struct {
	Type   string `json:"type"`  // default: about:blank
	Title  string `json:"title"` // default: that of the status
	Status int    `json:"status"`
	Detail string `json:"detail"`           // what is wrong
	Reason string `json:"reason,omitempty"` // an extension: Detail, for programs
}

// Write answers with a problem document.
func Write(w http.ResponseWriter, r *http.Request, d Details) {
	d.Type = cmp.Or(d.Type, "about:blank")
	d.Title = cmp.Or(d.Title, http.StatusText(d.Status))
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	_ = e.Encode(d) // strings and a number
	WriteDocument(w, r, d.Status, body.Bytes())
}

// WriteDocument answers with a problem document that is encoded already.
func WriteDocument(w http.ResponseWriter, r *http.Request, status int, document []byte) {
	h := w.Header()
	h.Set("Content-Type", MediaType)
	h.Set("Content-Length", strconv.Itoa(len(document)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(document) // the client went away
	}
}
