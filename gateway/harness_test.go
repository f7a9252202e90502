package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once. No verdict
// depends on how long it took.
const patience = 30 * time.Second

// A setup is what a gate is started with. The zero setup has an app that
// answers 200, a City database of world, no policy, and loopback for a trusted
// proxy, so that a test can be a client from anywhere.
type setup struct {
	policy    string                      // text of the policy; "" is none
	databases []string                    // files; nil is one City database of world
	now       func() time.Time            // nil is time.Now
	upstreams []string                    // nil is the app of the gate
	handler   http.Handler                // what the app does; nil answers 200
	level     slog.Level                  // of the log
	format    string                      // of the log: "json", else text
	flags     openfeature.FeatureProvider // nil: none but the policy's own
	configure func(*config.Config)        // the rest
}

// world is where the addresses of most tests are.
var world = geotest.Networks{
	"2.0.0.0/16":     "FR",
	"2.1.0.0/16":     "FR-IDF FR-75C",
	"3.1.0.0/16":     "US-MS",
	"3.2.0.0/16":     "US-CA",
	"3.3.0.0/16":     "US",
	"5.1.0.0/16":     "DE",
	"83.0.0.0/16":    "IE",
	"90.0.0.0/16":    "RE",
	"91.0.0.0/16":    "GP",
	"95.0.0.0/16":    "RU",
	"95.1.0.0/16":    "UA-43",
	"95.2.0.0/16":    "UA",
	"2a01:cb00::/32": "FR",
	"2a02:8100::/32": "DE",
}

// Clients from these places.
const (
	france      = "2.0.0.7"
	paris       = "2.1.0.7"
	mississippi = "3.1.0.7"
	california  = "3.2.0.7"
	america     = "3.3.0.7"
	germany     = "5.1.0.7"
	ireland     = "83.0.0.7"
	reunion     = "90.0.0.7"
	guadeloupe  = "91.0.0.7"
	russia      = "95.0.0.7"
	crimea      = "95.1.0.7"
	ukraine     = "95.2.0.7"
	nowhere     = "198.51.100.7"
)

const host = "app.example"

// A gate is a whole gateway that serves on free ports, in front of an app.
type gate struct {
	t      testing.TB
	app    *app
	run    *gateway.Gateway
	config config.Config // that it was started with
	at     gateway.Addresses
	log    *testkit.Buffer
	data   string // folder
	policy string // file, "" if there is none
	geo    string // file, "" if the setup names its own
	roots  *x509.CertPool
	tls    *tls.Config     // of clients that ask for the host
	done   <-chan struct{} // Serve has returned
	cancel func()
	failed error // what Serve returned, once done
}

// start starts a gate and stops it when the test ends.
func start(t testing.TB, s setup) *gate {
	t.Helper()
	g, err := tryStart(t, s)
	for errors.Is(err, syscall.EADDRINUSE) { // the UDP port of the number of a free TCP port
		g, err = tryStart(t, s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// tryStart starts a gate if it can be.
func tryStart(t testing.TB, s setup) (*gate, error) {
	t.Helper()
	g := &gate{t: t, app: newApp(t, s.handler), log: new(testkit.Buffer)}
	c := config.Default()
	c.Listen = config.Listen{HTTPS: "127.0.0.1:0", HTTP: config.Plain{Address: "127.0.0.1:0"}}
	c.Listen.Engine = os.Getenv("EXITGATE_TEST_ENGINE") // .ci/run has all tests run on each
	c.Admin.Listen = "127.0.0.1:0"
	c.Data = dataFolder(t)
	c.Drain = time.Second
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.Geo.Databases, c.Geo.Hold = s.databases, config.GeoHold{} // world is small
	c.Geo.MaxAge = 0                                            // and as old as it is
	if s.databases == nil {
		g.geo = geotest.File(t, worldDatabase(t))
		c.Geo.Databases = []string{g.geo}
	}
	if s.upstreams == nil {
		s.upstreams = []string{g.app.URL}
	}
	c.Apps = []config.App{{Hosts: []string{host}, Upstreams: s.upstreams}}
	if s.policy != "" {
		c.Policy.File = filepath.Join(t.TempDir(), "policy.yaml")
		testkit.WriteFile(t, c.Policy.File, s.policy)
	}
	if s.configure != nil {
		s.configure(&c)
	}
	if c.Listen.HTTPS != "" && len(c.ProxyProtocol) == 0 && c.Listen.HTTP3 == 0 {
		c.Listen.HTTP3 = 443
	}
	g.policy, g.data, g.config = c.Policy.File, c.Data, c
	options := &slog.HandlerOptions{Level: s.level}
	logger := slog.New(slog.NewTextHandler(g.log, options))
	if s.format == "json" {
		logger = slog.New(slog.NewJSONHandler(g.log, options))
	}
	o := gateway.Options{Config: c, Logger: logger, Now: s.now}
	if s.flags != nil {
		o.Flags = []openfeature.FeatureProvider{s.flags}
	}
	gw, err := gateway.New(o)
	if err != nil {
		return nil, err
	}
	g.run = gw
	if g.at, err = gw.Listen(); err != nil {
		return nil, err
	}
	if pem, err := os.ReadFile(filepath.Join(c.Data, "self-signed.crt")); err == nil {
		g.roots = x509.NewCertPool()
		g.roots.AppendCertsFromPEM(pem)
	}
	started := time.Now()
	if s.now != nil {
		started = s.now() // when the certificate was made
	}
	g.tls = &tls.Config{RootCAs: g.roots, ServerName: host, Time: func() time.Time { return started }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	g.done, g.cancel = done, cancel
	go func() {
		defer close(done)
		g.failed = gw.Serve(ctx)
	}()
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if t.Failed() {
			t.Logf("the log of the gateway:\n%s", g.log)
		}
	})
	return g, nil
}

// stop ends the gate and returns what Serve returned.
func (g *gate) stop() error {
	g.cancel()
	<-g.done
	return g.failed
}

// dataFolder returns a folder whose path is short enough for a socket in it, also where
// that of temporary files is long.
func dataFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "exitgate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "data")
}

var worldOnce struct {
	sync.Once
	content []byte
}

func worldDatabase(t testing.TB) []byte {
	worldOnce.Do(func() { worldOnce.content = geotest.City(t, world) })
	return worldOnce.content
}

// transport returns what a client of the gate connects with: to the public
// listener, whatever host it asks for.
func (g *gate) transport(major int) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			to := g.at.HTTPS
			if strings.HasSuffix(address, ":80") {
				to = g.at.HTTP
			}
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		},
		TLSClientConfig:     g.tls.Clone(),
		Protocols:           new(http.Protocols),
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
	}
	t.Protocols.SetHTTP1(major == 1)
	t.Protocols.SetHTTP2(major == 2)
	g.t.Cleanup(t.CloseIdleConnections)
	return t
}

// http3 returns what a client of the gate connects with over QUIC.
func (g *gate) http3() *http3.Transport {
	t := &http3.Transport{
		TLSClientConfig:    g.tls.Clone(),
		DisableCompression: true,
		Dial: func(ctx context.Context, _ string, tls *tls.Config, c *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, g.at.HTTPS, tls, c)
		},
	}
	g.t.Cleanup(func() { t.Close() })
	return t
}

// client returns a client that speaks only HTTP/1.1, HTTP/2 or HTTP/3 and doesn't
// follow redirects.
func (g *gate) client(major int) *http.Client {
	transport := http.RoundTripper(g.transport(major))
	if major == 3 {
		transport = g.http3()
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An answer is what a client got, whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// request makes a request for the app, "POST /signup", as a client at an
// address would, behind the trusted proxy that the test is.
func (g *gate) request(c *http.Client, line, from string) answer {
	g.t.Helper()
	a, err := g.try(c, line, from)
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

func (g *gate) try(c *http.Client, line, from string) (answer, error) {
	method, path, ok := strings.Cut(line, " ")
	if !ok {
		method, path = http.MethodGet, line
	}
	r, err := http.NewRequest(method, "https://"+host+path, nil)
	if err != nil {
		return answer{}, err
	}
	if from != "" {
		r.Header.Set("X-Forwarded-For", from)
	}
	res, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	return read(res)
}

func read(res *http.Response) (answer, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(body)}, err
}

// dial returns a TLS connection for HTTP/1.1, for what no client sends.
func (g *gate) dial() (*tls.Conn, *bufio.Reader) {
	g.t.Helper()
	return g.dialFrom("127.0.0.1")
}

// dialFrom dials from an address of loopback.
func (g *gate) dialFrom(from string) (*tls.Conn, *bufio.Reader) {
	g.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	raw, err := dialer.Dial("tcp", g.at.HTTPS)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	c := tls.Client(raw, g.tls)
	if err := c.Handshake(); err != nil {
		g.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// raw sends what is given, byte for byte, and returns the status of the answer
// and its body.
func (g *gate) raw(request string) answer {
	g.t.Helper()
	c, r := g.dial()
	if _, err := io.WriteString(c, request); err != nil {
		g.t.Fatal(err)
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// admin asks the operators' listener.
func (g *gate) admin(path string) (int, string) {
	g.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport}).Get("http://" + g.at.Admin + path)
	if err != nil {
		g.t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		g.t.Fatal(err)
	}
	return a.status, a.body
}

// samples returns all samples of /metrics, by name and labels as they are
// written there.
func (g *gate) samples() map[string]float64 {
	g.t.Helper()
	_, text := g.admin("/metrics")
	samples := make(map[string]float64)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			g.t.Fatalf("metric %q: %v", line, err)
		}
		samples[line[:space]] = value
	}
	return samples
}

// metric returns one sample, failing the test if there is none.
func (g *gate) metric(name string) float64 {
	g.t.Helper()
	value, ok := g.samples()[name]
	if !ok {
		g.t.Fatalf("there is no metric %s", name)
	}
	return value
}

// sum adds up the samples whose name and labels contain all of the parts.
func (g *gate) sum(parts ...string) float64 {
	g.t.Helper()
	total := 0.0
sample:
	for name, value := range g.samples() {
		for _, part := range parts {
			if !strings.Contains(name, part) {
				continue sample
			}
		}
		total += value
	}
	return total
}

// A check is one entry of /readyz.
type check struct {
	OK     bool
	Detail string
	Since  *time.Time
}

// ready asks /readyz.
func (g *gate) ready() (status int, checks map[string]check) {
	g.t.Helper()
	status, body := g.admin("/readyz")
	var answer struct {
		Ready  bool
		Checks map[string]check
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		g.t.Fatalf("%v in %s", err, body)
	}
	if answer.Ready != (status == http.StatusOK) {
		g.t.Errorf("/readyz answers %d and ready: %v", status, answer.Ready)
	}
	return status, answer.Checks
}

// An app is what stands behind the gate. It remembers what it was asked.
type app struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
	keep atomic.Bool // remember
}

// seen is a request as it reached the app.
type seen struct {
	method, target, host, body string
	header                     http.Header
}

func newApp(t testing.TB, h http.Handler) *app {
	if h == nil {
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served\n") })
	}
	a := new(app)
	a.keep.Store(true)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.keep.Load() && r.Header.Get("Upgrade") == "" && r.Header.Get("X-Dont-Read") == "" {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			a.mu.Lock()
			a.seen = append(a.seen, seen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()})
			a.mu.Unlock()
		}
		h.ServeHTTP(w, r)
	}))
	a.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.Server.Config.Protocols = new(http.Protocols)
	a.Server.Config.Protocols.SetHTTP1(true)
	a.Server.Config.Protocols.SetUnencryptedHTTP2(true)
	a.Server.Start()
	t.Cleanup(func() {
		a.Server.CloseClientConnections()
		a.Server.Close()
	})
	return a
}

// asked returns what the app was asked since it was last asked for that.
func (a *app) asked() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.seen
	a.seen = nil
	return all
}

// over runs a test for clients of each protocol.
func over(t *testing.T, test func(t *testing.T, major int)) {
	for _, major := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("over HTTP/%d", major), func(t *testing.T) { test(t, major) })
	}
}
