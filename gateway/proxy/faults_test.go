package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/internal/testkit"
)

// reset closes a connection with a TCP reset.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func TestAnUpstreamThatFailsBeforeItResponds(t *testing.T) {
	writes := func(text string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) {
			head(r)
			io.WriteString(c, text)
		}
	}
	const lost, invalid, late = `"connection lost"`, `"invalid response"`, `"response timeout"`
	for _, test := range []struct {
		name   string
		handle func(net.Conn, *bufio.Reader)
		class  string
	}{
		{"isn't there", nil, "connect"},
		{"resets", func(c net.Conn, r *bufio.Reader) { head(r); reset(c) }, lost},
		{"closes", func(c net.Conn, r *bufio.Reader) { head(r) }, lost},
		{"closes within the head", writes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), lost},
		{"stops within the head", func(c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConte")
			io.Copy(io.Discard, r)
		}, late},
		{"speaks another protocol", writes("\x00\x01\x02 SSH-2.0-OpenSSH\r\n\r\n"), invalid},
		{"sends 1 MB of header", writes("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), invalid},
		{"sends 100,000 header fields", writes("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 100_000) + "\r\n"), invalid},
		{"has status 000", writes("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n"), invalid},
		{"has status 99", writes("HTTP/1.1 099 Nothing\r\nContent-Length: 0\r\n\r\n"), invalid},
		{"has a status of four digits", writes("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"), invalid},
		{"upgrades unasked", writes("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), invalid},
		{"has two lengths", writes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), invalid},
		{"has a negative length", writes("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc"), invalid},
		{"has an unknown transfer coding", writes("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"), invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := proxy.Options{ResponseHeaderTimeout: 30 * time.Second}
			if test.handle == nil {
				o.Upstreams = []string{nobody(t)}
			} else {
				o.Upstreams = []string{listen(t, test.handle)}
			}
			status := http.StatusBadGateway
			if test.class == late {
				o.ResponseHeaderTimeout, status = 200*time.Millisecond, http.StatusGatewayTimeout
			}
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, o)
				res := get(t, g.client(major), g.URL)
				if res.StatusCode != status || res.Header.Get("Cache-Control") != "no-store" || body(t, res) == "" {
					t.Error(res.Status, res.Header)
				}
				if got, want := g.heard(1), []string{fmt.Sprint(o.Upstreams[0], " ", status)}; !slices.Equal(got, want) {
					t.Errorf("heard %q, want %q", got, want)
				}
				if lines := g.log.Lines("level=WARN", "upstream="+o.Upstreams[0], "class="+test.class, "advice="); len(lines) != 1 {
					t.Errorf("logged:\n%s", g.log)
				}
			})
		})
	}
}

func TestAProgramGetsTheFailureAsJSON(t *testing.T) {
	g := newGateway(t, proxy.Options{Upstreams: []string{nobody(t)}})
	r := request(t, "GET", g.URL, nil)
	r.Header.Set("Accept", "application/json")
	res := send(t, g.client(2), r)
	var problem struct {
		Status        int
		Title, Detail string
	}
	if err := json.Unmarshal([]byte(body(t, res)), &problem); err != nil || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Error(err, res.Header)
	}
	if problem.Status != 502 || problem.Title == "" || problem.Detail == "" {
		t.Errorf("%+v", problem)
	}
}

func TestAnUntrustedCertificateIsAFailure(t *testing.T) {
	for name, spoil := range map[string]func(*proxy.Options){
		"unknown authority": func(o *proxy.Options) { o.Credentials = proxy.CredentialSource{} },
		"another name":      func(o *proxy.Options) { o.ServerName = "elsewhere.example" },
	} {
		t.Run(name, func(t *testing.T) {
			o := serve(t, "https", showHeaders)
			spoil(&o)
			g := newGateway(t, o)
			if res := get(t, g.client(1), g.URL); res.StatusCode != 502 || len(g.log.Lines("class=certificate")) != 1 {
				t.Error(res.Status, g.log)
			}
		})
	}
	t.Run("not TLS at all", func(t *testing.T) {
		o := serve(t, "http", showHeaders)
		o.Upstreams[0] = "https" + strings.TrimPrefix(o.Upstreams[0], "http")
		g := newGateway(t, o)
		if res := get(t, g.client(1), g.URL); res.StatusCode != 502 || len(g.log.Lines(`class="TLS handshake"`)) != 1 {
			t.Error(res.Status, g.log)
		}
	})
	t.Run("the right name", func(t *testing.T) {
		o := serve(t, "https", showHeaders)
		o.ServerName = "example.com" // as in httptest's certificate
		g := newGateway(t, o)
		if res := get(t, g.client(1), g.URL); res.StatusCode != 200 {
			t.Error(res.Status, g.log)
		}
	})
}

func TestAnIncompleteResponseIsNotEndedCleanly(t *testing.T) {
	nothing := func(net.Conn) {}
	for _, test := range []struct {
		name, response string
		then           func(net.Conn)
	}{
		{"is reset", "Content-Length: 100\r\n\r\nhello", reset},
		{"is shorter than its length", "Content-Length: 100\r\n\r\nhello", nothing},
		{"has no last chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", nothing},
		{"has half a chunk", "Transfer-Encoding: chunked\r\n\r\n50\r\nhello", nothing},
		{"has a malformed chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzzz\r\n", nothing},
		{"has a chunk of 2^64 bytes", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10000000000000000\r\n", nothing},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := listen(t, func(c net.Conn, r *bufio.Reader) {
				head(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\n"+test.response)
				test.then(c)
			})
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, proxy.Options{Upstreams: []string{url}})
				res, err := g.client(major).Get(g.URL)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				if err == nil {
					t.Error("the client takes it for complete")
				}
				testkit.Eventually(t, "it is logged", func() bool { return len(g.log.Lines(`class="response cut short"`)) == 1 })
			})
		})
	}
}

func TestWhatFollowsAnAnswerIsNotTakenForTheNext(t *testing.T) {
	for _, answer := range []string{
		"Content-Length: 5\r\n\r\nhello world HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
	} {
		url := listen(t, func(c net.Conn, r *bufio.Reader) {
			for {
				if _, err := head(r); err != nil {
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\n"+answer)
			}
		})
		each(t, func(t *testing.T, major int) {
			g := newGateway(t, proxy.Options{Upstreams: []string{url}})
			c := g.client(major)
			for range 20 {
				if got := body(t, get(t, c, g.URL)); got != "hello" {
					t.Fatalf("got %q", got)
				}
			}
		})
	}
}

func TestAnAnswerWithoutABodyIsNotWaitedFor(t *testing.T) {
	url := listen(t, func(c net.Conn, r *bufio.Reader) {
		for {
			h, err := head(r)
			switch {
			case err != nil:
				return
			case strings.HasPrefix(h, "HEAD"):
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
			case strings.HasPrefix(h, "GET /304"):
				io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n")
			default:
				io.WriteString(c, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")
			}
		}
	})
	each(t, func(t *testing.T, major int) {
		g := newGateway(t, proxy.Options{Upstreams: []string{url}})
		c := g.client(major)
		for range 3 {
			for _, line := range []string{"HEAD /", "GET /304", "GET /204"} {
				if major == 2 && line == "GET /304" {
					continue // net/http's client then waits for 100 bytes itself
				}
				method, path, _ := strings.Cut(line, " ")
				res := send(t, c, request(t, method, g.URL+path, nil))
				if got := body(t, res); got != "" {
					t.Errorf("%s: %s %q", line, res.Status, got)
				}
				if length := res.Header.Get("Content-Length"); line == "GET /204" && length != "" { // C14
					t.Errorf("%s has Content-Length %s", res.Status, length)
				}
			}
		}
	})
}

func TestAnAnswerThatEndsWithTheConnectionIsComplete(t *testing.T) {
	for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
		url := listen(t, func(c net.Conn, r *bufio.Reader) {
			head(r)
			io.WriteString(c, version+" 200 OK\r\n\r\nhello")
		})
		each(t, func(t *testing.T, major int) {
			g := newGateway(t, proxy.Options{Upstreams: []string{url}})
			for range 3 {
				if got := body(t, get(t, g.client(major), g.URL)); got != "hello" {
					t.Errorf("%s: got %q", version, got)
				}
			}
		})
	}
}

func TestARequestThatReachedAnUpstreamIsNotSentAgain(t *testing.T) {
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		t.Run(method, func(t *testing.T) {
			var requests atomic.Int64
			broken := func(c net.Conn, r *bufio.Reader) {
				head(r)
				requests.Add(1)
			}
			g := newGateway(t, proxy.Options{Upstreams: []string{listen(t, broken), listen(t, broken)}})
			res := send(t, g.client(1), request(t, method, g.URL, nil))
			if res.StatusCode != 502 || requests.Load() != 1 {
				t.Errorf("%s after %d requests", res.Status, requests.Load())
			}
		})
	}
}

func TestARequestGoesOnToAnUpstreamThatCanBeReached(t *testing.T) {
	each(t, func(t *testing.T, major int) {
		var sum atomic.Int64
		o := serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			sum.Add(n)
		}))
		live := o.Upstreams[0]
		o.Upstreams = []string{nobody(t), nobody(t), live}
		g := newGateway(t, o)
		c := g.client(major)
		var want []string
		for range 20 {
			res := post(t, c, g.URL, strings.NewReader("12345"))
			if res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			want = append(want, live+" 200")
		}
		if got := g.heard(20); sum.Load() != 100 || !slices.Equal(got, want) {
			t.Errorf("%d bytes arrived; heard %q", sum.Load(), got)
		}
		if n := strings.Count(g.log.String(), "upstream is down"); n != 2 {
			t.Errorf("%d upstreams were noticed to be down:\n%s", n, g.log)
		}
	})
}

// An upstream that closes idle connections after each answer without saying so.
func TestAConnectionThatDiedWhileIdleIsNoFailure(t *testing.T) {
	closed := make(chan bool, 1)
	url := listen(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := head(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		c.Close()
		closed <- true
	})
	each(t, func(t *testing.T, major int) {
		g := newGateway(t, proxy.Options{Upstreams: []string{url}})
		c := g.client(major)
		for range 50 {
			if res := get(t, c, g.URL); res.StatusCode != 200 || body(t, res) != "hello" {
				t.Fatal(res.Status)
			}
			<-closed
		}
	})
}

// The same, but it closes when the next request has come already: whether that
// may be repeated is up to its method.
func TestOnAConnectionThatDiedWithTheRequestOnlyTheIdempotentIsRepeated(t *testing.T) {
	for method, want := range map[string]int{
		"GET": 200, "OPTIONS": 200, "PUT": 200, "DELETE": 200, "POST": 502, "PATCH": 502,
	} {
		t.Run(method, func(t *testing.T) {
			var requests atomic.Int64
			url := listen(t, func(c net.Conn, r *bufio.Reader) {
				if _, err := head(r); err != nil {
					return
				}
				requests.Add(1)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
				if _, err := head(r); err == nil {
					requests.Add(1)
				}
			})
			g := newGateway(t, proxy.Options{Upstreams: []string{url}})
			c := g.client(1)
			body(t, get(t, c, g.URL))
			res := send(t, c, request(t, method, g.URL, nil))
			seen := int64(2)
			if want == 200 {
				seen = 3
			}
			if res.StatusCode != want || requests.Load() != seen {
				t.Errorf("%s after %d requests; want %d after %d", res.Status, requests.Load(), want, seen)
			}
		})
	}
}

func TestABodyOverTheLimitIsRefused(t *testing.T) {
	each(t, func(t *testing.T, major int) {
		var whole atomic.Int64
		o := serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				whole.Add(1)
			}
		}))
		o.MaxBody = 100_000
		g := newGateway(t, o)
		c := g.client(major)
		for _, test := range []struct {
			size   int64
			known  bool
			status int
		}{
			{100_000, true, 200}, {100_001, true, 413}, {1 << 40, true, 413},
			{100_000, false, 200}, {100_001, false, 413}, {1 << 20, false, 413},
		} {
			r, _ := http.NewRequest("POST", g.URL, io.LimitReader(zeros{}, test.size))
			if test.known {
				r.ContentLength = test.size
			}
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(test, err)
			}
			res.Body.Close()
			if res.StatusCode != test.status {
				t.Errorf("%d bytes, length known: %v: %s", test.size, test.known, res.Status)
			}
		}
		if n := whole.Load(); n != 2 {
			t.Errorf("the app took %d bodies for complete", n)
		}
		if log := g.log.String(); log != "" {
			t.Error(log)
		}
	})
}

// C15: uploads that are under way are bounded, and nothing else by it.
func TestTooManyBodiesAtATimeAreRefused(t *testing.T) {
	arrived := make(chan bool)
	o := serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			arrived <- true
			io.Copy(io.Discard, r.Body)
		}
	}))
	busy := make(chan bool, 10)
	o.MaxBodies, o.OnBusy = 2, func() { busy <- true }
	each(t, func(t *testing.T, major int) {
		g := newGateway(t, o)
		c := g.client(major)
		done := make(chan int)
		var uploads []*io.PipeWriter
		for range 2 {
			from, to := io.Pipe()
			uploads = append(uploads, to)
			go func() {
				res, err := c.Post(g.URL, "", from)
				if err != nil {
					t.Error(err)
					done <- 0
					return
				}
				res.Body.Close()
				done <- res.StatusCode
			}()
			io.WriteString(to, ".")
			<-arrived
		}
		if res := post(t, c, g.URL, strings.NewReader("one more")); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Error(res.Status)
		}
		<-busy
		if res := get(t, c, g.URL); res.StatusCode != 200 {
			t.Error(res.Status)
		}
		for _, upload := range uploads {
			upload.Close()
			if status := <-done; status != 200 {
				t.Error(status)
			}
		}
		go func() { <-arrived }()
		if res := post(t, c, g.URL, strings.NewReader("one more")); res.StatusCode != 200 {
			t.Errorf("then there is %s", res.Status)
		}
	})
}

func TestAWebSocketClientThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel() // it waits
	broken := make(chan error, 1)
	o := serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		for err == nil {
			err = c.Write(r.Context(), websocket.MessageBinary, make([]byte, 64<<10))
		}
		c.CloseNow()
		broken <- err
	}))
	o.BodyIdle = 100 * time.Millisecond
	g := newGateway(t, o)
	c, r := g.dial()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if h, err := head(r); err != nil || !strings.HasPrefix(h, "HTTP/1.1 101 ") {
		t.Fatal(h, err)
	}
	if err := <-broken; err == nil {
		t.Error("it is fed for ever")
	}
}

func TestAClientThatLeavesTakesItsRequestWithIt(t *testing.T) {
	each(t, func(t *testing.T, major int) {
		arrived, left := make(chan bool), make(chan bool)
		o := serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived <- true
			<-r.Context().Done()
			left <- true
		}))
		g := newGateway(t, o)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-arrived; cancel() }()
		r, _ := http.NewRequestWithContext(ctx, "GET", g.URL, nil)
		if _, err := g.client(major).Do(r); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		<-left
		if got, want := g.heard(1), []string{o.Upstreams[0] + " 499"}; !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		if log := g.log.String(); log != "" {
			t.Error(log)
		}
	})
}

func TestAClientThatLeavesWithinItsBodyLeavesNothingCompleteBehind(t *testing.T) {
	broken := make(chan error, 1)
	o := serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		broken <- err
	}))
	for name, part := range map[string]string{
		"known length": "Content-Length: 10\r\n\r\nhello",
		"chunks":       "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"bad chunks":   "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, o)
			c, _ := g.dial()
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: example.com\r\n"+part)
			c.Close()
			if err := <-broken; err == nil {
				t.Error("the app took the body for complete")
			}
			g.heard(1)
			if log := g.log.String(); log != "" {
				t.Error(log)
			}
		})
	}
}

func TestAnEarlyAnswerReachesAClientThatStillSends(t *testing.T) {
	url := listen(t, func(c net.Conn, r *bufio.Reader) {
		head(r)
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	})
	each(t, func(t *testing.T, major int) {
		g := newGateway(t, proxy.Options{Upstreams: []string{url}})
		from, to := io.Pipe()
		defer to.Close()
		go io.WriteString(to, "hello")
		res := post(t, g.client(major), g.URL, from)
		if got := body(t, res); res.StatusCode != 403 || got != "no" {
			t.Error(res.Status, got)
		}
	})
}

// What is left of the body must not be taken for a request: behind a proxy that
// shares connections it would be somebody else's.
func TestWhatIsLeftOfABodyIsNotTakenForARequest(t *testing.T) {
	t.Parallel() // it waits
	for name, handle := range map[string]func(c net.Conn, r *bufio.Reader){
		"after an early answer": func(c net.Conn, r *bufio.Reader) {
			head(r)
			io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			io.Copy(io.Discard, r)
		},
		"after a reset": func(c net.Conn, r *bufio.Reader) { head(r); reset(c) },
		"after silence": func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) },
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			url := listen(t, func(c net.Conn, r *bufio.Reader) {
				requests.Add(1)
				handle(c, r)
			})
			g := newGateway(t, proxy.Options{Upstreams: []string{url}, BodyIdle: time.Second})
			for _, framing := range []string{"Content-Length: 1000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
				c, r := g.dial()
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: example.com\r\n"+framing)
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				if !res.Close {
					t.Error("the connection is kept")
				}
				io.WriteString(c, "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n")
				if _, err := http.ReadResponse(r, nil); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection was left open:", err)
				}
			}
			if n := requests.Load(); n != 2 {
				t.Errorf("%d requests reached the app", n)
			}
		})
	}
}

func TestInvalidUpstreamsAreRejected(t *testing.T) {
	for _, addresses := range [][]string{
		nil, {""}, {"127.0.0.1:3000"}, {"localhost:3000"}, {"ftp://localhost"}, {"http://"}, {"http://:3000"}, {"h2c://localhost"},
		{"http://localhost:0"}, {"http://localhost:65536"}, {"h2c://localhost:99999"}, {"https://localhost:-1"},
		{"http://localhost/base"}, {"http://localhost?a"}, {"unix:relative"}, {"unix://host/path"}, {"http://a", "http://a"},
	} {
		if _, err := proxy.New(proxy.Options{Upstreams: addresses}); err == nil || len(addresses) > 0 && !strings.Contains(err.Error(), strconv.Quote(addresses[0])) {
			t.Errorf("%q: %v", addresses, err)
		}
	}
	if _, err := proxy.New(proxy.Options{Upstreams: []string{"http://user:secret@app:3000"}}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("with a password: %v", err)
	}
}

func TestNoAddressOfAClientIsLoggedWhateverFails(t *testing.T) {
	var fault atomic.Int64
	url := listen(t, func(c net.Conn, r *bufio.Reader) {
		head(r)
		switch fault.Add(1) % 5 {
		case 0:
			reset(c)
		case 1:
			io.WriteString(c, "garbage\r\n\r\n")
		case 2:
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
		case 3:
			io.Copy(io.Discard, r)
		}
	})
	logged := new(testkit.Buffer)
	log.SetOutput(logged)
	defer log.SetOutput(io.Discard)
	g := newGateway(t, proxy.Options{Upstreams: []string{url, nobody(t)}, BodyIdle: 50 * time.Millisecond, ResponseHeaderTimeout: 50 * time.Millisecond})
	var clients []string
	for i := range 10 {
		c, r := g.dial()
		clients = append(clients, c.LocalAddr().String())
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\n\r\nhello")
		if i%2 == 0 {
			reset(c.NetConn())
			continue
		}
		if _, err := io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection was left open")
		}
	}
	g.CloseClientConnections()
	g.Close()
	if log := g.log.String() + logged.String(); log == "" {
		t.Error("nothing was logged")
	} else {
		for _, address := range append(clients, "192.0.2.7") {
			if strings.Contains(log, address) {
				t.Errorf("%s was logged:\n%s", address, log)
			}
		}
	}
}

// https://grpc.io/docs/what-is-grpc/core-concepts/#rpc-life-cycle: the server
// may end a call whenever it likes.
func TestACallThatTheAppEndsEndsThoughTheClientIsStillSending(t *testing.T) {
	for _, kind := range []string{"http", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			g := newGateway(t, serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Trailer", "Grpc-Status")
				w.WriteHeader(http.StatusOK)
				w.Header().Set("Grpc-Status", "5")
			})))
			sending, more := io.Pipe()
			defer more.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/service/Method", sending)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/grpc")
			r.Header.Set("Te", "trailers")
			res, err := g.client(2).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body(t, res)
			if status := res.Trailer.Get("Grpc-Status"); status != "5" {
				t.Errorf("grpc-status %q", status)
			}
		})
	}
}

func TestABodyThatIsAnnouncedTooLargeIsNotWaitedFor(t *testing.T) {
	o := serve(t, "http", http.NotFoundHandler())
	o.MaxBody = 10
	g := newGateway(t, o)
	res := g.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
	if res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
		t.Errorf("status %d, close %t", res.StatusCode, res.Close)
	}
}
