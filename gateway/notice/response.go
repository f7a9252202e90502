package notice

import (
	"net/http"
	"strconv"
)

// A Field is one header field of a Response. Its name is in the canonical form
// of net/http; HTTP/2 and HTTP/3 want it in lower case.
type Field = struct{ Name, Value string }

// A Response is ready to be sent. Responses are shared by all
// requests that get them: read them, don't change them.
type Response struct {
	// Status is the HTTP status: for gRPC 200, as its protocol wants.
	Status int
	// Header lists the fields in the order in which to send them. Fields of
	// one name (Link) follow each other.
	Header []Field
	// Body is empty for gRPC (Trailers-Only) and for 304.
	Body []byte

	// fields is Header again, as net/http wants it, so that a Write doesn't
	// allocate.
	fields []field
}

type field struct {
	name   string
	values []string
}

func newResponse(status int, header []Field, body []byte) *Response {
	if len(body) > 0 {
		header = append(header, Field{"Content-Length", strconv.Itoa(len(body))})
	}
	r := &Response{Status: status, Header: header, Body: body}
	for i, f := range header {
		if i > 0 && header[i-1].Name == f.Name {
			last := &r.fields[len(r.fields)-1]
			last.values = append(last.values, f.Value)
			continue
		}
		r.fields = append(r.fields, field{f.Name, []string{f.Value}})
	}
	for i := range r.fields {
		// Without spare capacity: who adds a value to a response's header
		// gets a copy, and doesn't write into what all requests share.
		v := r.fields[i].values
		r.fields[i].values = v[:len(v):len(v)]
	}
	return r
}

// Write sends the response over net/http. It keeps the header fields that are
// set on w already, save those of its own names. A HEAD gets the header that a
// GET would have got, Content-Length included, and no body.
func (r *Response) Write(w http.ResponseWriter, request *http.Request) {
	header := w.Header()
	for _, f := range r.fields {
		header[f.name] = f.values
	}
	w.WriteHeader(r.Status)
	if len(r.Body) > 0 && request.Method != http.MethodHead {
		// The client is gone if this fails, and nobody is left to tell.
		_, _ = w.Write(r.Body)
	}
}

// size returns about how many bytes the response takes in memory.
func (r *Response) size() int {
	n := len(r.Body)
	for _, f := range r.Header {
		n += 2*len(f.Name) + len(f.Value) + 128
	}
	return n
}
