package listen

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/exitgate/exitgate/internal/testkit"
)

// An http3Test is a server and a client of it.
type http3Test struct {
	Server
	t      *testing.T
	gauge  *gauge
	served chan error // what Serve returned
	tls    *tls.Config
}

func startHTTP3(t *testing.T, s *http.Server, o HTTP3Options) *http3Test {
	t.Helper()
	h := &http3Test{t: t, gauge: new(gauge), served: make(chan error, 1)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"app.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	h.tls = &tls.Config{InsecureSkipVerify: true, ServerName: "app.example", NextProtos: []string{http3.NextProtoH3}}
	socket, err := Sockets(nil).UDP("http3", "127.0.0.1:0", "listen.https")
	if err != nil {
		t.Fatal(err)
	}
	o.Active = h.gauge
	if h.Server, err = HTTP3(socket, s, o); err != nil {
		t.Fatal(err)
	}
	go func() { h.served <- h.Serve() }()
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// A gauge counts.
type gauge struct {
	prometheus.Gauge
	n atomic.Int64
}

func (g *gauge) Inc() { g.n.Add(1) }
func (g *gauge) Dec() { g.n.Add(-1) }

// dial returns a connection to the server, and what makes requests on it.
func (h *http3Test) dial() (*quic.Conn, *http3.ClientConn) {
	h.t.Helper()
	c, err := h.transport("127.0.0.1").Dial(h.t.Context(), h.Addr(), h.tls, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	return c, new(http3.Transport).NewClientConn(c)
}

// transport returns a client's socket, at an address of loopback.
func (h *http3Test) transport(from string) *quic.Transport {
	h.t.Helper()
	socket, err := net.ListenPacket("udp", from+":0")
	if err != nil {
		h.t.Fatal(err)
	}
	t := &quic.Transport{Conn: socket}
	h.t.Cleanup(func() {
		_ = t.Close()
		_ = socket.Close()
	})
	return t
}

// ask makes a request and returns the body of its answer.
func (h *http3Test) ask(c *http3.ClientConn, method string, body io.Reader, header http.Header) (string, error) {
	r, err := http.NewRequestWithContext(h.t.Context(), method, "https://app.example/", body)
	if err != nil {
		return "", err
	}
	if header != nil {
		r.Header = header
	}
	res, err := c.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// A client that moves to another network is located there, by its next request.
func TestARequestComesFromWhereItsConnectionIsNow(t *testing.T) {
	h := startHTTP3(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })}, HTTP3Options{})
	conn, c := h.dial()
	before, err := h.ask(c, http.MethodGet, nil, nil)
	if err != nil || before != conn.LocalAddr().String() {
		t.Fatalf("it comes from %s, %v", before, err)
	}
	path, err := conn.AddPath(h.transport("127.0.0.2"))
	if err != nil {
		t.Fatal(err)
	}
	if err := path.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := path.Switch(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it comes from where it has moved to", func() bool {
		after, err := h.ask(c, http.MethodGet, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(after, "127.0.0.2:")
	})
	if n := h.gauge.n.Load(); n != 1 {
		t.Errorf("%v connections are counted", n)
	}
}

func TestTheHandlerSeesWhetherThereIsABody(t *testing.T) {
	h := startHTTP3(t, &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength == 0 && r.Body != http.NoBody && r.Header.Get("Content-Length") == "" {
			t.Errorf("%d bytes, %v", r.ContentLength, err)
		}
		_, _ = io.WriteString(w, r.Proto+" ")
		if r.ContentLength != 0 {
			_, _ = w.Write(append(body, '.'))
		}
	})}, HTTP3Options{})
	_, c := h.dial()
	unknown := func(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) } // of no length
	for name, test := range map[string]struct {
		method string
		body   io.Reader
		header http.Header
		want   string
	}{
		"none":                                   {http.MethodGet, nil, nil, ""},
		"none that is sent":                      {http.MethodGet, unknown(""), nil, ""},
		"one of a method that seldom has one":    {http.MethodDelete, unknown("some"), nil, "some."},
		"one of known length":                    {http.MethodPost, strings.NewReader("some"), nil, "some."},
		"one of unknown length":                  {http.MethodPost, unknown("some"), nil, "some."},
		"one that waits until it is asked for":   {http.MethodPost, strings.NewReader("some"), http.Header{"Expect": {"100-continue"}}, "some."},
		"a long one, where it is read in pieces": {http.MethodGet, unknown(strings.Repeat("x", 1<<16)), nil, strings.Repeat("x", 1<<16) + "."},
	} {
		if got, err := h.ask(c, test.method, test.body, test.header); got != "HTTP/3.0 "+test.want || err != nil {
			t.Errorf("%s: it gets %.50q, %v", name, got, err)
		}
	}
}

// A connection on which nothing is asked doesn't keep the server from stopping, and one
// on which something is has it answered.
func TestShutdownWaitsForRequestsAndNotForConnections(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	h := startHTTP3(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			close(begun)
			<-end
		}
		_, _ = io.WriteString(w, "done")
	})}, HTTP3Options{})
	idle, c := h.dial()
	if got, err := h.ask(c, http.MethodGet, nil, nil); got != "done" {
		t.Fatal(got, err)
	}
	answered := make(chan string, 1)
	_, busy := h.dial()
	go func() {
		got, err := h.ask(busy, http.MethodPost, nil, nil)
		if err != nil {
			got = err.Error()
		}
		answered <- got
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- h.Shutdown(t.Context()) }()
	<-idle.Context().Done()
	if err := <-h.served; err != http.ErrServerClosed {
		t.Errorf("Serve returns %v", err)
	}
	close(end)
	if got := <-answered; got != "done" {
		t.Errorf("what was asked before gets %s", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
}

func TestRequestsEndWithTheContextOfTheServer(t *testing.T) {
	requests, cut := context.WithCancelCause(t.Context())
	begun, cause := make(chan struct{}), make(chan error, 1)
	h := startHTTP3(t, &http.Server{
		BaseContext: func(net.Listener) context.Context { return requests },
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
			panic(http.ErrAbortHandler)
		}),
	}, HTTP3Options{})
	_, c := h.dial()
	failed := make(chan error, 1)
	go func() {
		_, err := h.ask(c, http.MethodGet, nil, nil)
		failed <- err
	}()
	<-begun
	cut(io.ErrClosedPipe)
	if err := <-cause; err != io.ErrClosedPipe {
		t.Errorf("it ends for %v", err)
	}
	if <-failed == nil {
		t.Error("an answer that was cut looks whole")
	}
}

func TestConnectionsBeyondTheLimitAreRefused(t *testing.T) {
	h := startHTTP3(t, &http.Server{Handler: http.NotFoundHandler()}, HTTP3Options{Connections: 1})
	first, _ := h.dial()
	if c, err := quic.DialAddr(t.Context(), h.Addr().String(), h.tls, nil); err == nil {
		_ = c.CloseWithError(0, "")
		t.Error("there are two connections")
	}
	_ = first.CloseWithError(0, "")
	testkit.Eventually(t, "another one can be made", func() bool {
		c, err := quic.DialAddr(t.Context(), h.Addr().String(), h.tls, nil)
		if err == nil {
			_ = c.CloseWithError(0, "")
		}
		return err == nil
	})
}
