package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// statusClientClosed is what is counted when the client left before there was
// an answer. It is never sent.
const statusClientClosed = 499

// failure is a kind of mishap. Errors of the net package carry the addresses of
// both ends, which may be a client's: what is logged is the kind.
type failure struct {
	class  string
	status int
	said   string // to the client
	advice string // to the operator; empty if it isn't the operator's business
}

const (
	tooLarge      = "The request is larger than this service accepts."
	didNotAnswer  = "The service did not answer. Try again later."
	answeredWrong = "The service gave no valid answer. Try again later."
	tookTooLong   = "The service took too long to answer. Try again later."
)

var (
	clientLeft    = failure{class: "client left", status: statusClientClosed}
	bodyTooLarge  = failure{class: "body too large", status: http.StatusRequestEntityTooLarge, said: tooLarge}
	bodyTooSlow   = failure{class: "body too slow", status: http.StatusRequestTimeout, said: "The request did not arrive in time."}
	bodyMalformed = failure{class: "body malformed", status: http.StatusBadRequest, said: "The request could not be read."}

	connectFailed = failure{"connect", http.StatusBadGateway, didNotAnswer,
		"start the app, or correct the upstream's address"}
	connectTimeout = failure{"connect timeout", http.StatusGatewayTimeout, tookTooLong,
		"see whether the upstream's machine is up and a firewall lets the gateway through"}
	certificateRefused = failure{"certificate", http.StatusBadGateway, didNotAnswer,
		"see whether the upstream's certificate is in date, names the upstream's host and is signed by a root CA that the gateway was given"}
	handshakeFailed = failure{"TLS handshake", http.StatusBadGateway, didNotAnswer,
		"see whether the upstream speaks TLS on this port"}
	answerTimeout = failure{"no answer in time", http.StatusGatewayTimeout, tookTooLong,
		"see what the app is busy with, or allow it more time"}
	connectionLost = failure{"connection lost", http.StatusBadGateway, didNotAnswer,
		"see the app's log for why it closed the connection"}
	answerInvalid = failure{"invalid answer", http.StatusBadGateway, answeredWrong,
		"see whether the upstream speaks the protocol that its address says"}
	answerStalled = failure{"answer stalled", 0, "",
		"see what the app is busy with, or allow it more time"}
	answerBroken = failure{"answer cut short", 0, "",
		"see the app's log for why it closed the connection within an answer"}
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

// classify says what kind of failure an upstream's err is.
func classify(err error) failure {
	var dial *dialError
	switch connecting := errors.As(err, &dial); {
	case connecting && isTimeout(err):
		return connectTimeout
	case connecting && isCertificate(err):
		return certificateRefused
	case connecting && isTLS(err):
		return handshakeFailed
	case connecting:
		return connectFailed
	case isTimeout(err):
		return answerTimeout
	case isLost(err):
		return connectionLost
	}
	return answerInvalid
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
	var alert tls.AlertError
	return errors.As(err, &record) || errors.As(err, &alert)
}

func isLost(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &op) ||
		err.Error() == "http: server closed idle connection" // net/http doesn't export it
}

// quiet keeps an upstream's failures from flooding the log: it lets one through
// a second and counts the others.
type quiet struct {
	next, suppressed atomic.Int64
}

// speak reports whether to log now, and how many weren't logged since.
func (q *quiet) speak(now time.Time) (suppressed int64, ok bool) {
	next := q.next.Load()
	if now.UnixNano() < next || !q.next.CompareAndSwap(next, now.Add(time.Second).UnixNano()) {
		q.suppressed.Add(1)
		return 0, false
	}
	return q.suppressed.Swap(0), true
}
