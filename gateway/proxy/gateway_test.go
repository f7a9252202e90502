package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/internal/testkit"
)

// gateway is an app behind a server, as the daemon would have it.
type gateway struct {
	*httptest.Server
	t   *testing.T
	app *proxy.App
	log *testkit.Buffer
	cut context.CancelCauseFunc // ends all that is under way

	mu    sync.Mutex
	codes []string // what OnResponse heard
}

var forwarding = proxy.Forwarding{
	Client:    netip.MustParseAddr("192.0.2.7"),
	RequestID: "request-1",
	Headers: []proxy.Field{
		{Name: "Market-Jurisdiction", Value: "FR"},
		{Name: "Market-Phase", Value: "announced"},
	},
}

func newGateway(t *testing.T, o proxy.Options) *gateway { return newGatewayWith(t, o, forwarding) }

func newGatewayWith(t *testing.T, o proxy.Options, f proxy.Forwarding) *gateway {
	t.Helper()
	requests, cut := context.WithCancelCause(context.Background())
	g := &gateway{t: t, log: new(testkit.Buffer), cut: cut}
	o.Logger = slog.New(slog.NewTextHandler(g.log, nil))
	o.OnResponse = func(upstream string, code int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.codes = append(g.codes, fmt.Sprint(upstream, " ", code))
	}
	app, err := proxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.app = app
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app.Forward(w, r, f)
	}))
	g.Config.BaseContext = func(net.Listener) context.Context { return requests }
	g.EnableHTTP2 = true
	g.Config.ErrorLog = log.New(g.log, "", 0)
	g.StartTLS()
	t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
		app.Close()
	})
	return g
}

// heard returns what OnResponse heard, once it has heard n times.
func (g *gateway) heard(n int) []string {
	g.t.Helper()
	var codes []string
	testkit.Eventually(g.t, "n answers", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		codes = append([]string(nil), g.codes...)
		return len(codes) >= n
	})
	return codes
}

// client returns a client that speaks HTTP/1.1 or HTTP/2 only.
func (g *gateway) client(major int) *http.Client {
	t := g.Client().Transport.(*http.Transport).Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(major == 1)
	t.Protocols.SetHTTP2(major == 2)
	if major == 1 {
		t.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	t.DisableCompression = true
	g.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tlsConfig returns what a client needs to trust the gateway.
func (g *gateway) tlsConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(g.Certificate())
	return &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

// dial returns a TLS connection for HTTP/1.1 as it is on the wire.
func (g *gateway) dial() (*tls.Conn, *bufio.Reader) {
	g.t.Helper()
	c, err := tls.Dial("tcp", g.Listener.Addr().String(), g.tlsConfig())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

// raw sends a request as it is written and returns the answer.
func (g *gateway) raw(request string) *http.Response {
	g.t.Helper()
	c, r := g.dial()
	io.WriteString(c, request)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return res
}

// each runs a test for clients of both protocols.
func each(t *testing.T, test func(t *testing.T, major int)) {
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprintf("over HTTP/%d", major), func(t *testing.T) { test(t, major) })
	}
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// send sends a request and returns the response, whose body is closed at the end
// of the test.
func send(t *testing.T, c *http.Client, r *http.Request) *http.Response {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func get(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	return send(t, c, request(t, "GET", url, nil))
}

func post(t *testing.T, c *http.Client, url string, body io.Reader) *http.Response {
	t.Helper()
	return send(t, c, request(t, "POST", url, body))
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serve starts an app and returns its address as an upstream of the given kind,
// with the options that the kind needs.
func serve(t *testing.T, kind string, h http.Handler) proxy.Options {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	unencrypted := new(http.Protocols)
	unencrypted.SetHTTP1(true)
	unencrypted.SetUnencryptedHTTP2(true)
	switch kind {
	case "http":
		s.Config.Protocols = unencrypted
		s.Start()
		return proxy.Options{Upstreams: []string{s.URL}}
	case "h2c":
		s.Config.Protocols = unencrypted
		s.Start()
		return proxy.Options{Upstreams: []string{"h2c" + strings.TrimPrefix(s.URL, "http")}}
	case "unix", "unix+h2c":
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s.Listener.Close()
		s.Listener = l
		s.Config.Protocols = unencrypted
		s.Start()
		return proxy.Options{Upstreams: []string{kind + ":" + path}}
	case "https", "https with HTTP/1.1 only":
		s.EnableHTTP2 = kind == "https"
		s.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		return proxy.Options{Upstreams: []string{s.URL}, Credentials: fixed(proxy.Credentials{TLS: &tls.Config{RootCAs: roots}})}
	}
	t.Fatal(kind)
	return proxy.Options{}
}

// fixed is a source of credentials that don't change.
func fixed(c proxy.Credentials) proxy.CredentialSource {
	return proxy.CredentialSource{Load: func() (proxy.Credentials, error) { return c, nil }}
}

var kinds = []string{"http", "h2c", "unix", "unix+h2c", "https", "https with HTTP/1.1 only"}

// listen starts an upstream that does with each connection what it is told.
func listen(t *testing.T, handle func(c net.Conn, r *bufio.Reader)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// head reads a request's head as it is on the wire.
func head(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return b.String(), err
		}
		if line == "\r\n" {
			return b.String(), nil
		}
		b.WriteString(line)
	}
}
