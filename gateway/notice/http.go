package notice

import "net/http"

// Write sends the answer over net/http. It keeps the header fields that are
// set on w already, save those of its own names. A HEAD gets the header that a
// GET would have got, Content-Length included, and no body.
func (a *Answer) Write(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for _, l := range a.lines {
		header[l.name] = l.values
	}
	w.WriteHeader(a.Status)
	if len(a.Body) > 0 && r.Method != http.MethodHead {
		// The client is gone if this fails, and nobody is left to tell.
		_, _ = w.Write(a.Body)
	}
}
