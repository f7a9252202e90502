package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/console"
	"github.com/exitgate/exitgate/internal/accept"
	"github.com/exitgate/exitgate/policy/changes"
)

// A call is a request by somebody who may make it, read as far as HTTP goes; and
// what its answer has beside its body.
type call struct {
	*http.Request
	writer   http.ResponseWriter
	by       changes.Actor
	redact   func(answer []byte) []byte // as who asks may know it
	number   uint64                     // in the path
	before   uint64                     // the page of a list
	limit    int
	from, to time.Time
	because  string // the reason of a request that has no body
	expected uint64 // the revision in If-Match
	request  changes.Request

	status   int    // 200 if it is zero
	etag     string // without quotes
	location string
	yaml     string // sent in place of the body
}

// parseURL reads the number in the path and the parameters, as far as the
// endpoint has them.
func (c *call) parseURL(e endpoint) error {
	query, err := parseQuery(c.URL.RawQuery, e.query)
	if err != nil {
		return err
	}
	if strings.Contains(e.path, "{number}") {
		if c.number, err = strconv.ParseUint(c.PathValue("number"), 10, 64); err != nil || c.number == 0 {
			return refuse(changes.NotFound, "the number in the path is none that a record can have", "send a whole number from 1 on")
		}
	}
	const usual, most = 50, 200
	if text := query.Get("before"); text != "" {
		if c.before, err = strconv.ParseUint(text, 10, 64); err != nil || c.before == 0 {
			return refuse(changes.Invalid, "before is not a number from 1 on", "send next of the page before, or leave it out")
		}
	}
	c.limit = usual
	if text := query.Get("limit"); text != "" {
		if c.limit, err = strconv.Atoi(text); err != nil || c.limit < 1 || c.limit > most {
			return refuse(changes.Invalid, fmt.Sprintf("limit is not a number from 1 to %d", most), "send one that is, or leave it out")
		}
	}
	for name, moment := range map[string]*time.Time{"from": &c.from, "to": &c.to} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		if *moment, err = time.Parse(time.RFC3339, text); err != nil {
			return refuse(changes.Invalid, name+" is not a time with a zone", "write it as 2026-12-01T00:00:00Z")
		}
	}
	c.because = query.Get("because")
	if slices.Contains(e.query, "because") && strings.TrimSpace(c.because) == "" {
		return refuse(changes.Invalid, "there is no reason", "add ?because= and why")
	}
	return nil
}

// wantsYAML reports whether a client prefers a policy as it was written.
func (c *call) wantsYAML() bool {
	var yaml, json int
	accept.Each(c.Header.Values("Accept"), func(media string, quality int) bool {
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

// parseIfMatch reads the revision that a client has seen in force.
func parseIfMatch(fields []string) (uint64, error) {
	const advice = `send the number of the revision in force, as in If-Match: "42"`
	switch len(fields) {
	case 0:
		return 0, refuse(preconditionRequired, "the request doesn't say which revision it is meant to follow", advice)
	case 1:
		number, quoted := strings.CutPrefix(fields[0], `"`)
		number, ended := strings.CutSuffix(number, `"`)
		n, err := strconv.ParseUint(number, 10, 64)
		if quoted && ended && err == nil {
			return n, nil
		}
	}
	return 0, refuse(changes.Invalid, "If-Match is not one revision", advice)
}

// parseIdempotencyKey reads by what a client recognizes its own request when it
// sends it again.
func parseIdempotencyKey(fields []string) (string, error) {
	const most = 128
	if len(fields) == 0 {
		return "", nil
	}
	invisible := func(c rune) bool { return c <= ' ' || c > '~' }
	if k := fields[0]; len(fields) > 1 || k == "" || len(k) > most || strings.ContainsFunc(k, invisible) {
		return "", refuse(changes.Invalid, "Idempotency-Key is not one key", fmt.Sprintf("send 1 to %d letters, digits and other visible characters of ASCII, once", most))
	}
	return fields[0], nil
}

// hashRequest returns what is the same for two requests only if they ask for
// the same.
func hashRequest(r *http.Request, body []byte) string {
	h := sha256.New()
	for _, part := range []string{r.Method, r.URL.RequestURI(), r.Header.Get("If-Match")} {
		fmt.Fprintf(h, "%d %s", len(part), part)
	}
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// send sends the answer.
func (c *call) send(body any) error {
	header := c.writer.Header()
	if c.etag != "" {
		header.Set("ETag", `"`+c.etag+`"`)
	}
	if c.location != "" {
		header.Set("Location", c.location)
	}
	status := c.status
	if status == 0 {
		status = http.StatusOK
	}
	indent := "  "
	if console.IdentityOf(c.Context()) != nil {
		indent = "" // no people read it
	}
	text, err := encodeWith(indent, body)
	if err != nil {
		return err
	}
	known := c.redact(text)
	switch {
	case c.yaml == "":
		write(c.writer, status, "application/json", known)
	case bytes.Equal(known, text):
		write(c.writer, status, "application/yaml", []byte(c.yaml))
	default:
		return refuse(changes.Forbidden, "the policy names demands that you may not know of", "ask somebody who has the role counsel; without Accept: application/yaml the rest of the answer is sent")
	}
	return nil
}
