package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

// get asks the API for something, and reads the answer into a value.
func (v *visit) get(target string, answer any) error {
	return v.ask(http.MethodGet, target, nil, answer)
}

// post asks the API to do something. Headers come as name and value.
func (v *visit) post(target string, body, answer any, headers ...string) error {
	return v.ask(http.MethodPost, target, body, answer, headers...)
}

// ask asks the API in the name of who is signed in. An error is the API's.
func (v *visit) ask(method, target string, body, answer any, headers ...string) error {
	return v.console.ask(v.identified(), method, target, body, answer, headers...)
}

// ask asks the API in the name of a context's Identity. An error is the API's.
func (c *Console) ask(ctx context.Context, method, target string, body, answer any, headers ...string) error {
	response, err := c.send(ctx, method, target, body, headers...)
	if err != nil {
		return err
	}
	if answer == nil || response.status == http.StatusNoContent {
		return nil
	}
	return json.Unmarshal(response.body.Bytes(), answer)
}

func (c *Console) send(ctx context.Context, method, target string, body any, headers ...string) (*response, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(text))
	if err != nil {
		return nil, problem(http.StatusNotFound, "There is no such page.", "")
	}
	r.RequestURI = target
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := &response{header: http.Header{}, status: http.StatusOK}
	c.o.API.ServeHTTP(answer, r)
	if answer.status < 400 {
		return answer, nil
	}
	return nil, answer.problem()
}

// identified returns the visit's context, in the name of who is signed in.
func (v *visit) identified() context.Context {
	return context.WithValue(v.Context(), identityKey{}, v.session.identity)
}

// A response takes an answer of the API.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// problem returns what an answer says that isn't what was asked for.
func (r *response) problem() error {
	p := &api.Problem{}
	if err := json.Unmarshal(r.body.Bytes(), p); err != nil {
		return fmt.Errorf("the API answers %d: %w", r.status, err)
	}
	return p
}

func (r *response) Header() http.Header             { return r.header }
func (r *response) WriteHeader(status int)          { r.status = status }
func (r *response) Write(piece []byte) (int, error) { return r.body.Write(piece) }
func (r *response) FlushError() error               { return nil }

// download sends an answer of the API as a file, as it comes. An error is the API's, and
// then nothing was sent.
func (v *visit) download(target, name string) error {
	r, err := http.NewRequestWithContext(v.identified(), http.MethodGet, target, nil)
	if err != nil {
		return problem(http.StatusNotFound, "There is no such page.", "")
	}
	r.RequestURI = target
	d := &downloading{response: response{header: http.Header{}, status: http.StatusOK}, to: v.writer, name: name}
	v.console.o.API.ServeHTTP(d, r)
	if d.status < 400 {
		return nil
	}
	return d.problem()
}

// A downloading passes on an answer that is what was asked for, and takes one that isn't.
type downloading struct {
	response
	to    http.ResponseWriter
	name  string
	begun bool
}

func (d *downloading) Write(piece []byte) (int, error) {
	if d.status >= 400 {
		return d.body.Write(piece)
	}
	if !d.begun {
		d.begun = true
		d.to.Header().Set("Content-Type", d.header.Get("Content-Type"))
		d.to.Header().Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	}
	return d.to.Write(piece)
}

// Unwrap is for http.ResponseController: a slow client has time for each piece.
func (d *downloading) Unwrap() http.ResponseWriter { return d.to }
