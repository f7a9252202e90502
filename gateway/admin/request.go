package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/accept"
	"github.com/exitgate/exitgate/policy/changes"
)

// A request is one by somebody who may make it, read as far as HTTP goes.
type request struct {
	*http.Request
	writer   http.ResponseWriter
	by       changes.Actor
	query    url.Values
	expected uint64 // the revision in If-Match
	repeat   changes.Request
	body     []byte
}

// number reads a number in the path.
func (r *request) number() (uint64, error) {
	n, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil || n == 0 {
		return 0, &api.Problem{
			Status: http.StatusNotFound, Code: string(changes.NotFound),
			Detail: "the number in the path is none that a record can have",
			Advice: "send a whole number from 1 on",
		}
	}
	return n, nil
}

// page reads which page of a list is asked for.
func (r *request) page() (before uint64, limit int, err error) {
	const usual, most = 50, 200
	if text := r.query.Get("before"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 64); err != nil || before == 0 {
			return 0, 0, invalid("before is not a number from 1 on", "send what next said in the answer before, or leave it out")
		}
	}
	limit = usual
	if text := r.query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > most {
			return 0, 0, invalid(fmt.Sprintf("limit is not a number from 1 to %d", most), "send one that is, or leave it out")
		}
	}
	return before, limit, nil
}

// because reads the reason of a request that has no body.
func (r *request) because() (string, error) {
	because := r.query.Get("because")
	if strings.TrimSpace(because) == "" {
		return "", invalid("there is no reason", "add ?because= and why")
	}
	return because, nil
}

// wantsYAML reports whether a client prefers a policy as it was written.
func (r *request) wantsYAML() bool {
	var yaml, json int
	accept.Each(r.Header.Values("Accept"), func(media string, quality int) bool {
		switch strings.ToLower(media) {
		case "application/yaml": // RFC 9512
			yaml = max(yaml, quality)
		case "application/json", "application/*", "*/*":
			json = max(json, quality)
		}
		return true
	})
	return yaml > 0 && yaml >= json
}

// expected reads the revision that a client has seen in force.
func expected(ifMatch []string) (uint64, error) {
	const advice = `send the number of the revision in force, as in If-Match: "42"`
	switch len(ifMatch) {
	case 0:
		return 0, &api.Problem{
			Status: http.StatusPreconditionRequired, Code: "precondition-required",
			Detail: "the request doesn't say which revision it is meant to follow",
			Advice: advice,
		}
	case 1:
		number, quoted := strings.CutPrefix(ifMatch[0], `"`)
		number, ended := strings.CutSuffix(number, `"`)
		n, err := strconv.ParseUint(number, 10, 64)
		if quoted && ended && err == nil {
			return n, nil
		}
	}
	return 0, invalid("If-Match is not one revision", advice)
}

// key reads by what a client knows its own request when it sends it again.
func key(fields []string) (string, error) {
	const most = 128
	if len(fields) == 0 {
		return "", nil
	}
	invisible := func(c rune) bool { return c <= ' ' || c > '~' }
	if k := fields[0]; len(fields) > 1 || k == "" || len(k) > most || strings.ContainsFunc(k, invisible) {
		return "", invalid("Idempotency-Key is not one key", fmt.Sprintf("send 1 to %d letters, digits and other visible characters of ASCII, once", most))
	}
	return fields[0], nil
}

// fingerprint is the same for two requests only if they ask for the same.
func fingerprint(r *http.Request, body []byte) string {
	h := sha256.New()
	for _, part := range []string{r.Method, r.URL.RequestURI(), r.Header.Get("If-Match")} {
		fmt.Fprintf(h, "%d %s", len(part), part)
	}
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// A reply is an answer that is what was asked for.
type reply struct {
	status   int    // 200 if it is zero
	etag     string // without quotes
	location string
	policy   string // sent in place of the body
	body     any    // nil: there is none, or it was sent already
}

func (o reply) send(w http.ResponseWriter, r *http.Request) error {
	header := w.Header()
	if o.etag != "" {
		header.Set("ETag", `"`+o.etag+`"`)
	}
	if o.location != "" {
		header.Set("Location", o.location)
	}
	status := o.status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case o.policy != "":
		write(w, status, "application/yaml", []byte(o.policy))
	case status == http.StatusNoContent:
		header.Set("Cache-Control", "no-store")
		w.WriteHeader(status)
	case o.body != nil:
		text, err := encode(o.body)
		if err != nil {
			return err
		}
		write(w, status, "application/json", text)
	}
	return nil
}
