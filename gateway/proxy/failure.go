package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/exitgate/exitgate/internal/httpbody"
	"github.com/exitgate/exitgate/internal/problem"
)

// statusClientClosed is what is counted when the client left before there was
// an answer. It is never sent.
const statusClientClosed = 499

// failure is a class of errors. Errors of the net package carry the addresses of
// both ends, which may be a client's: what is logged is the class.
type failure struct {
	class  string
	status int
	detail string // for the client
	advice string // for the operator; empty if the operator can do nothing
}

const (
	detailTooLarge  = "The request is larger than this service accepts."
	detailNoAnswer  = "The service did not answer. Try again later."
	detailInvalid   = "The service gave no valid answer. Try again later."
	detailTooSlow   = "The service took too long to answer. Try again later."
	detailMalformed = "The request could not be read."
)

var (
	clientLeft    = failure{class: "client left", status: statusClientClosed}
	bodyTooLarge  = failure{class: "body too large", status: http.StatusRequestEntityTooLarge, detail: detailTooLarge}
	bodyTooSlow   = failure{class: "body too slow", status: http.StatusRequestTimeout, detail: "The request did not arrive in time."}
	bodyMalformed = failure{class: "body malformed", status: http.StatusBadRequest, detail: detailMalformed}

	connectFailed = failure{"connect", http.StatusBadGateway, detailNoAnswer,
		"start the app, or correct the upstream's address"}
	connectTimeout = failure{"connect timeout", http.StatusGatewayTimeout, detailTooSlow,
		"see whether the upstream's machine is up and a firewall lets the gateway through"}
	certificateRefused = failure{"certificate", http.StatusBadGateway, detailNoAnswer,
		"see whether the upstream's certificate is in date, names the upstream's host and is signed by a root CA that the gateway was given"}
	ownCertificateRefused = failure{"client certificate", http.StatusBadGateway, detailNoAnswer,
		"give cert and key in the app's settings, and see whether the upstream trusts who signed the certificate and whether it is in date"}
	handshakeFailed = failure{"TLS handshake", http.StatusBadGateway, detailNoAnswer,
		"see whether the upstream speaks TLS on this port"}
	responseTimeout = failure{"response timeout", http.StatusGatewayTimeout, detailTooSlow,
		"see what the app is busy with, or allow it more time"}
	connectionLost = failure{"connection lost", http.StatusBadGateway, detailNoAnswer,
		"see the app's log for why it closed the connection"}
	responseInvalid = failure{"invalid response", http.StatusBadGateway, detailInvalid,
		"see whether the upstream speaks the protocol that its address says"}
	responseStalled = failure{"response stalled", 0, "",
		"see what the app is busy with, or allow it more time"}
	responseBroken = failure{"response cut short", 0, "",
		"see the app's log for why it closed the connection within a response"}
)

// dialError is a failure to get a connection to an upstream. As no client has a
// part in it, its text may be logged.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// dialFailure returns err as a [dialError], unless it is the request that ended.
func dialFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &dialError{err}
}

// classify returns the class of an upstream's error.
func classify(err error) failure {
	var dial *dialError
	switch connecting := errors.As(err, &dial); {
	case connecting && isTimeout(err):
		return connectTimeout
	case connecting && isCertificate(err):
		return certificateRefused
	case isCertificateAlert(err):
		return ownCertificateRefused
	case connecting && isTLS(err):
		return handshakeFailed
	case connecting:
		return connectFailed
	case isTimeout(err):
		return responseTimeout
	case isConnectionLost(err):
		return connectionLost
	}
	return responseInvalid
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &verification) || errors.As(err, &hostname) || errors.As(err, &authority)
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var alert *net.OpError
	return errors.As(err, &record) || errors.As(err, &alert) && alert.Op == remoteAlert
}

// remoteAlert is the Op of a net.OpError that stands for an alert of TLS, which
// crypto/tls exports for QUIC only.
const remoteAlert = "remote error"

// isCertificateAlert reports whether the upstream doesn't accept the certificate
// that it was shown, or misses one: in TLS 1.3 that comes after the handshake
// (RFC 8446, section 6.2).
func isCertificateAlert(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == remoteAlert && strings.Contains(alert.Err.Error(), "certificate")
}

func isConnectionLost(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &op) ||
		err.Error() == "http: server closed idle connection" // net/http doesn't export it
}

// handleError answers a request that ReverseProxy got no response for.
func (x *exchange) handleError(_ http.ResponseWriter, _ *http.Request, err error) {
	switch {
	case x.hijacked: // a client that left during the handshake
	case x.upstream == nil: // it found fault with the request
		x.respond(http.StatusBadRequest, detailMalformed)
	default:
		x.fail(err)
	}
}

// fail answers a request that no upstream answered.
func (x *exchange) fail(err error) {
	f := x.classify(err)
	x.app.options.OnResponse(x.upstream.name, f.status)
	var dial *dialError
	if f.advice != "" && !errors.As(err, &dial) { // those are reported one by one
		x.report(f, nil)
	}
	switch {
	case f == clientLeft && x.f.Refuse != nil && errors.Is(context.Cause(x.in.Context()), ErrSevered):
		x.f.Refuse()
		return
	case f == clientLeft:
		panic(http.ErrAbortHandler)
	}
	x.respond(f.status, f.detail)
}

// classify returns the class of an error. It is the upstream's only if neither
// the client nor its body caused it.
func (x *exchange) classify(err error) failure {
	if read := x.body.failure(); read != nil {
		var large *http.MaxBytesError
		switch {
		case errors.As(read, &large):
			return bodyTooLarge
		case errors.Is(read, os.ErrDeadlineExceeded):
			return bodyTooSlow
		case x.in.Context().Err() != nil:
			return clientLeft
		}
		return bodyMalformed
	}
	if errors.Is(x.in.Context().Err(), context.Canceled) {
		return clientLeft
	}
	return classify(err)
}

// reportCutShort reports a response that an upstream began and didn't complete.
func (x *exchange) reportCutShort() {
	switch {
	case x.watchdog.stalled.Load():
		x.report(responseStalled, nil)
	case x.in.Context().Err() == nil && x.body.failure() == nil:
		x.report(responseBroken, nil)
	}
}

// report logs a failure of an upstream and what to do about it. cause may be
// nil, and must not name a client.
func (x *exchange) report(f failure, cause error) {
	suppressed, ok := x.upstream.log.allow(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("upstream", x.upstream.name),
		slog.String("class", f.class),
		slog.String("advice", f.advice),
	}
	if cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	if x.f.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", x.f.RequestID))
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int64("not_logged", suppressed))
	}
	x.app.log.LogAttrs(context.Background(), slog.LevelWarn, "upstream failed", attrs...)
}

// logLimiter keeps an upstream's failures from flooding the log: it lets one
// through a second and counts the others.
type logLimiter struct{ next, suppressed atomic.Int64 }

// allow reports whether to log now, and how many weren't logged since.
func (l *logLimiter) allow(now time.Time) (suppressed int64, ok bool) {
	next := l.next.Load()
	if now.UnixNano() < next || !l.next.CompareAndSwap(next, now.Add(time.Second).UnixNano()) {
		l.suppressed.Add(1)
		return 0, false
	}
	return l.suppressed.Swap(0), true
}

// reject answers a request that isn't forwarded, and whose body nobody reads.
func (x *exchange) reject(status int, detail string) {
	httpbody.CloseUnread(x.out, x.in)
	x.respond(status, detail)
}

// respond writes the gateway's own response in place of the app's.
func (x *exchange) respond(status int, detail string) {
	w, h := (*clientWriter)(x), x.out.Header()
	x.addResponseFields(h)
	if accept := x.in.Header.Get("Accept"); strings.Contains(accept, "json") && !strings.Contains(accept, "html") {
		problem.Write(w, x.in, problem.Details{Status: status, Detail: detail})
		return
	}
	body := fmt.Sprintf("%d %s\n%s\n", status, http.StatusText(status), detail)
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(status)
	if x.in.Method != http.MethodHead {
		io.WriteString(w, body)
	}
}
