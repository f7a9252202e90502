package request

import (
	"bufio"
	"net"
	"net/http"
)

// An answer is what a client gets. Whoever gives it, it has the request's id, and says what
// browsers are to be told of HTTPS. It remembers its status and, where exchanges are logged, what becomes of the request.
type answer struct {
	http.ResponseWriter
	status int       // 0 while there is none
	id     [1]string // as the values of a field, as is
	hsts   []string  // nil: none of the gateway's own
	altSvc []string  // nil: none
	record *record   // nil: it isn't logged
}

// begin gives a request its id, and begins its record if exchanges are logged.
func (h *Handler) begin(a *answer, r *http.Request) {
	a.id[0] = h.requestID(r)
	if h.o.LogExchange != nil {
		a.record = newRecord(r, h.o.Now())
	}
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK && a.status == 0 { // else more is to come, or came before
		a.status = status
	}
	a.setFields()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
		a.setFields()
	}
	n, err := a.ResponseWriter.Write(p)
	if a.record != nil {
		a.record.sent.Add(int64(n))
	}
	return n, err
}

// Hijack is how a connection becomes a WebSocket's.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.setFields()
	c, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		return c, rw, err
	}
	a.status = http.StatusSwitchingProtocols
	if a.record != nil {
		c = &measuredConn{c, a.record}
	}
	return c, rw, nil
}

// setFields puts the gateway's fields into the header, in place of the app's. It is called
// whenever one is written: httputil.ReverseProxy empties it after a 1xx answer.
func (a *answer) setFields() {
	header := a.Header()
	header["X-Request-Id"] = a.id[:]
	if a.hsts != nil {
		header["Strict-Transport-Security"] = a.hsts
	}
	if a.altSvc != nil {
		header["Alt-Svc"] = a.altSvc
	}
}
