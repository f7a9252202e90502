package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/open-feature/go-sdk/openfeature"
	"golang.org/x/net/http/httpguts"

	"github.com/exitgate/exitgate/internal/files"
)

// maxBackOff bounds for how long a server is left alone because it says so: one
// whose clock is wrong would be forgotten otherwise.
const maxBackOff = 5 * time.Minute

// newClient returns a client that speaks HTTP/1.1, of which a connection that
// hangs harms one request only. It follows no redirect, as that would carry
// the credentials elsewhere, and unpacks nothing: an answer is as large as it
// is.
func newClient(options Options, connections int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			// Both outlive the request that they are for, if it ends first.
			DialContext:         (&net.Dialer{Timeout: options.Timeout}).DialContext,
			TLSHandshakeTimeout: options.Timeout,

			TLSClientConfig:        &tls.Config{RootCAs: options.RootCAs, MinVersion: tls.VersionTLS12},
			Protocols:              protocols,
			MaxConnsPerHost:        connections,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        max(90*time.Second, 2*options.Poll), // a round finds those of the last
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
	}
}

// A serverError is why there is no answer, and what to do about it.
type serverError struct {
	code   openfeature.ErrorCode
	text   string
	reason string // the words, but for what is another each time; "": they are it
	// ofContext says that another context may well be answered.
	ofContext bool
}

func (f *serverError) Error() string { return f.text }

func (p *Provider) newError(format string, args ...any) *serverError {
	return &serverError{code: openfeature.GeneralCode, text: "the flag server at " + p.options.URL + " " + fmt.Sprintf(format, args...)}
}

// backOffError is the fault of a server that wants to be left alone for a while.
func (p *Provider) backOffError(words string, until time.Time) *serverError {
	f := p.newError("%s no request before %s: ask it less often (flags.ofrep.poll), or raise its limit", words, until.UTC().Format(time.RFC3339))
	f.reason = "wants no request"
	return f
}

// reasonOf returns what stays the same of an error while the cause does.
func reasonOf(err error) string {
	f, ok := errors.AsType[*serverError](err)
	switch {
	case !ok:
		return err.Error()
	case f.reason == "":
		return f.text
	}
	return f.reason
}

// badAnswerError is the error for an answer that can't be used.
func (p *Provider) badAnswerError(err error) *serverError {
	f := p.newError("sent an answer that can't be used: %v: look into its log and for a newer version of it", err)
	f.ofContext = true
	return f
}

// A serverResponse is what the server answered with a status of 200, 400 or 404, or of
// 304 to a request with an etag. The others are faults.
type serverResponse struct {
	status int
	etag   string
	body   []byte
}

// post asks the server. The error is a *fault, or that of the context if it
// has ended.
func (p *Provider) post(ctx context.Context, client *http.Client, to string, body []byte, etag string) (serverResponse, error) {
	if p.holdLeft() > 0 {
		return serverResponse{}, p.backOffError("wants", time.Unix(0, p.hold.Load()))
	}
	limited, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return serverResponse{}, p.newError("has a URL that can't be asked: check flags.ofrep.url")
	}
	if err := p.addHeaders(request.Header); err != nil {
		return serverResponse{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	response, err := client.Do(request)
	if err != nil {
		return serverResponse{}, p.connectionError(ctx, err)
	}
	defer response.Body.Close()
	if err := p.statusError(response, etag != ""); err != nil {
		return serverResponse{}, err
	}
	answer, err := files.ReadAll(response.Body, maxAnswer)
	if errors.Is(err, files.ErrTooLarge) {
		tooLarge := p.newError("sent more than %d bytes: give this client fewer flags", maxAnswer)
		tooLarge.ofContext = true
		return serverResponse{}, tooLarge
	}
	if err != nil {
		return serverResponse{}, p.connectionError(ctx, err)
	}
	return serverResponse{response.StatusCode, response.Header.Get("ETag"), answer}, nil
}

func (p *Provider) addHeaders(to http.Header) error {
	headers, err := p.options.Headers()
	if err != nil {
		return p.newError("was not asked, as there are no credentials: %v", err)
	}
	for name, values := range headers {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }) {
			return p.newError("was not asked, as its credentials have a line break or the like in them: check flags.ofrep.token-file and flags.ofrep.api-key-file")
		}
	}
	maps.Copy(to, headers.Clone())
	return nil
}

// connectionError returns the fault for a request that got no answer, or only a
// part of one. It repeats what the network and TLS say, but not what the
// server wrote instead of HTTP.
func (p *Provider) connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		untrusted *tls.CertificateVerificationError
		noTLS     tls.RecordHeaderError
		network   *net.OpError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return p.newError("did not answer within %v: look at its load, and check flags.ofrep.url", p.options.Timeout)
	case errors.As(err, &untrusted):
		return p.newError("has a certificate that is not trusted: %s: check flags.ofrep.ca", truncate(untrusted.Err))
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return p.newError("does not speak TLS: write http:// in flags.ofrep.url, or turn TLS on there")
	case errors.As(err, &network):
		f := p.newError("can't be reached: %s: check flags.ofrep.url and whether it runs", truncate(network))
		f.reason = "can't be reached" // by whichever port of ours
		return f
	default:
		return p.newError("broke off, or does not speak HTTP: check flags.ofrep.url and look into its log")
	}
}

// truncate cuts short what can be as long as a certificate.
func truncate(err error) string {
	const most = 300
	text := err.Error()
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// statusError returns the fault for all answers but those that OFREP has a body
// or a meaning for.
func (p *Provider) statusError(response *http.Response, conditional bool) error {
	switch status := response.StatusCode; {
	case status == http.StatusNotModified && conditional, status == http.StatusBadRequest, status == http.StatusNotFound:
		return nil
	case status == http.StatusOK:
		media := response.Header.Get("Content-Type")
		if name, _, _ := mime.ParseMediaType(media); media != "" && name != "application/json" && !strings.HasSuffix(name, "+json") {
			return p.newError("answered with something else than JSON: check flags.ofrep.url, it is what comes before /ofrep")
		}
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return p.newError("answered %d: check flags.ofrep.token-file or flags.ofrep.api-key-file", status)
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		if until, found := retryAfter(response.Header, p.options.Now()); found {
			p.hold.Store(until.UnixNano())
			return p.backOffError(fmt.Sprintf("answered %d and wants", status), until)
		}
		return p.newError("answered %d: ask it less often (flags.ofrep.poll), or look at its load", status)
	case status == http.StatusNotModified:
		return p.newError("answered 304 to what was not asked conditionally: look into its log")
	case 300 <= status && status < 400:
		return p.newError("answered %d, a redirect, and none is followed, as it would take the credentials along: write its target into flags.ofrep.url", status)
	case status >= 500:
		return p.newError("answered %d: look into its log", status)
	default:
		return p.newError("answered %d, which OFREP does not have: check flags.ofrep.url, it is what comes before /ofrep", status)
	}
}

// retryAfter returns until when the server wants to be left alone, at most
// maxHold. It takes the seconds and the date of RFC 9110 section 10.2.3, and
// the date-time that openapi.yaml shows; up to 0.1.0, that called the header
// Retry-Later.
func retryAfter(header http.Header, now time.Time) (time.Time, bool) {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		text = strings.TrimSpace(header.Get("Retry-Later"))
	}
	var until time.Time
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil {
		until = now.Add(time.Duration(min(seconds, uint64(maxBackOff/time.Second))) * time.Second)
	} else if date, err := http.ParseTime(text); err == nil {
		until = date
	} else if date, err := time.Parse(time.RFC3339, text); err == nil {
		until = date
	}
	if latest := now.Add(maxBackOff); until.After(latest) {
		until = latest
	}
	return until, until.After(now)
}

// evaluationError interprets the answers 400 and 404: bulkEvaluationFailure is about
// the context, and anything else about the server.
func (p *Provider) evaluationError(answer serverResponse) *serverError {
	code, ok := readFailure(answer.body)
	if !ok {
		return p.newError("answered %d without an error code: check flags.ofrep.url, it is what comes before /ofrep", answer.status)
	}
	of := errorOutcome(code)
	return &serverError{code: of.code, text: of.words, ofContext: true}
}

// call evaluates one flag by a request, as the guideline "Creating an OFREP
// server provider" describes it in its section Evaluation.
func (p *Provider) call(ctx context.Context, flag string, flat openfeature.FlattenedContext) outcome {
	// The first would ask for all flags, and the others leave the path.
	if flag == "" || flag == "." || flag == ".." || len(flag) > maxWord || !utf8.ValidString(flag) {
		return notFound
	}
	body, err := requestBody(flat)
	if err != nil {
		return unsendable
	}
	answer, err := p.post(ctx, p.calls, p.bulk+"/"+url.PathEscape(flag), body, "")
	if err != nil {
		return outcomeOf(err)
	}
	if answer.status != http.StatusOK {
		return outcomeOf(p.evaluationError(answer))
	}
	of, err := readSingle(answer.body, flag)
	if err != nil {
		return outcomeOf(p.badAnswerError(err))
	}
	return of
}

// unsendable repeats nothing of the context.
var unsendable = failedOutcome(openfeature.InvalidContextCode, "the context can't be sent as JSON: use booleans, strings and finite numbers")

func outcomeOf(err error) outcome {
	if f, ok := errors.AsType[*serverError](err); ok {
		return failedOutcome(f.code, "%s", f.text)
	}
	return failedOutcome(openfeature.GeneralCode, "the flag server had not answered when the caller stopped waiting")
}

type prefetchKey struct{ of *Provider }

type prefetched struct {
	context openfeature.FlattenedContext
	flags   map[string]outcome
}

// Prefetch asks for all flags for a context at once, and returns the keys of
// those that the server has, in its order. With the context.Context that it
// returns, evaluations for the same context are answered from memory. The
// context may not be modified meanwhile.
func (p *Provider) Prefetch(ctx context.Context, flat openfeature.FlattenedContext) (context.Context, []string, error) {
	body, err := requestBody(flat)
	if err != nil {
		return ctx, nil, errors.New(unsendable.words)
	}
	answer, err := p.post(ctx, p.calls, p.bulk, body, "")
	if err != nil {
		return ctx, nil, err
	}
	if answer.status != http.StatusOK {
		return ctx, nil, p.evaluationError(answer)
	}
	flags, keys, err := readBulk(answer.body, nil)
	if err != nil {
		return ctx, nil, p.badAnswerError(err)
	}
	return context.WithValue(ctx, prefetchKey{p}, &prefetched{flat, flags}), keys, nil
}
