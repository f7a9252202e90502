package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/proxy"
)

// BenchmarkForward measures what a request over a TLS keep-alive connection
// costs the gateway's process in CPU time, net/http's server included. The load
// and the upstream run in processes of their own, and don't count. To compare
// with, there is httputil.ReverseProxy with a transport and a pool of buffers
// like ours, which does less than an App: that limits, watches and tells the
// upstream more. And there is an App that sends all by a transport.
func BenchmarkForward(b *testing.B) {
	upstream := startRole(b, "upstream")
	handlers := map[string]func(b *testing.B) http.Handler{
		"ReverseProxy": func(b *testing.B) http.Handler {
			to, _ := url.Parse(upstream)
			t := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
			b.Cleanup(t.CloseIdleConnections)
			return &httputil.ReverseProxy{
				Transport:  t,
				BufferPool: new(buffers),
				Rewrite: func(pr *httputil.ProxyRequest) {
					pr.SetURL(to)
					pr.SetXForwarded()
				},
			}
		},
		"App": func(b *testing.B) http.Handler { return forwarder(benchmarked(b, upstream)) },
		"AppByTransport": func(b *testing.B) http.Handler {
			app := benchmarked(b, upstream)
			app.ByTransportOnly()
			return forwarder(app)
		},
	}
	for _, protocol := range []string{"HTTP1", "HTTP2"} {
		for _, name := range []string{"ReverseProxy", "AppByTransport", "App"} {
			b.Run(protocol+"/"+name, func(b *testing.B) {
				gateway := httptest.NewUnstartedServer(handlers[name](b))
				gateway.EnableHTTP2 = true
				gateway.StartTLS()
				defer gateway.Close()
				load(b, protocol, gateway.URL, 2000)
				b.ReportAllocs()
				b.ResetTimer()
				before := cpuTime(b)
				load(b, protocol, gateway.URL, b.N)
				b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

func benchmarked(b *testing.B, upstream string) *proxy.App {
	app, err := proxy.New(proxy.Options{Upstreams: []string{upstream}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(app.Close)
	return app
}

func forwarder(app *proxy.App) http.Handler {
	f := proxy.Forwarding{
		Client:    netip.MustParseAddr("192.0.2.1"),
		RequestID: "0123456789abcdef",
		Headers:   []proxy.Field{{Name: "Market-Jurisdiction", Value: "FR"}, {Name: "Market-Phase", Value: "open"}},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.Forward(w, r, f) })
}

type buffers struct{ pool sync.Pool }

func (p *buffers) Get() []byte {
	if b, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *buffers) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

func cpuTime(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// roles are what this test binary can be besides the tests.
var roles = map[string]func(){"upstream": serveUpstream, "load": generateLoad}

const roleVariable = "EXITGATE_PROXY_TEST_ROLE"

func roleCommand(role string, env ...string) *exec.Cmd {
	self, _ := os.Executable()
	c := exec.Command(self)
	c.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	c.Stderr = os.Stderr
	return c
}

// startRole starts a role that prints its URL, until the test ends.
func startRole(tb testing.TB, role string) (url string) {
	tb.Helper()
	c := roleCommand(role)
	stdin, err := c.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		stdin.Close() // upon which it exits
		c.Wait()
	})
	if _, err := fmt.Fscanln(stdout, &url); err != nil {
		tb.Fatal(err)
	}
	return url
}

func serveUpstream() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	body := strings.Repeat("x", 1024)
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Cache-Control", "no-cache")
		io.WriteString(w, body)
	}))
	fmt.Println("http://" + l.Addr().String())
	io.Copy(io.Discard, os.Stdin)
}

func load(tb testing.TB, protocol, url string, n int) {
	c := roleCommand("load", "URL="+url, "PROTOCOL="+protocol, "N="+strconv.Itoa(n))
	if out, err := c.Output(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
}

func generateLoad() {
	n, _ := strconv.ParseInt(os.Getenv("N"), 10, 64)
	const connections = 8
	var left atomic.Int64
	left.Store(n)
	streams := 1
	if os.Getenv("PROTOCOL") == "HTTP2" {
		streams = 8
	}
	var wg sync.WaitGroup
	for range connections {
		t := &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // of httptest
			ForceAttemptHTTP2: streams > 1,
		}
		for range streams {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					r, _ := http.NewRequestWithContext(context.Background(), "GET", os.Getenv("URL")+"/some/path?with=query", nil)
					r.Header.Set("Accept", "*/*")
					r.Header.Set("Accept-Language", "fr, en")
					r.Header.Set("Cookie", "session=0123456789abcdef0123456789abcdef")
					res, err := t.RoundTrip(r)
					if err != nil {
						fmt.Println(err)
						os.Exit(1)
					}
					if got, err := io.Copy(io.Discard, res.Body); err != nil || got != 1024 || res.StatusCode != 200 {
						fmt.Println(got, err, res.Status)
						os.Exit(1)
					}
					res.Body.Close()
				}
			})
		}
	}
	wg.Wait()
}
