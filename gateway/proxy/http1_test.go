package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Simple requests take a shorter way than others. Neither the app nor the
// client may be able to tell.
func TestTheShortWayAndTheLongWayAgree(t *testing.T) {
	type script struct{ seen, answer string }
	var mu sync.Mutex
	var current *script
	url := listen(t, func(c net.Conn, r *bufio.Reader) {
		for {
			h, err := head(r)
			if err != nil {
				return
			}
			mu.Lock()
			lines := strings.Split(strings.TrimSuffix(h, "\r\n"), "\r\n")
			slices.Sort(lines[1:])
			current.seen = strings.Join(lines, "\n")
			answer := current.answer
			mu.Unlock()
			io.WriteString(c, answer)
			if !strings.Contains(answer, "Content-Length") && !strings.Contains(answer, "chunked") && !strings.Contains(answer, " 204 ") ||
				strings.Contains(answer, "Connection: close") {
				return
			}
		}
	})
	o := proxy.Options{Upstreams: []string{url}}
	short, long := newGateway(t, o), newGateway(t, o)
	long.app.ByTransportOnly()

	names := []string{
		"Accept", "Cookie", "X-A", "X-B", "Te", "Market-Jurisdiction", "market_phase", "X-Forwarded-For",
		"X-Request-Id", "Keep-Alive", "Proxy-Authorization", "Range", "Accept-Encoding", "Idempotency-Key",
	}
	rapid.Check(t, func(t *rapid.T) {
		method := rapid.SampledFrom([]string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "QUERY"}).Draw(t, "method")
		target := "/" + rapid.StringMatching(`([a-z;:{}"][a-z/;:{}"]{0,8})?(\?[a-z=&;%"]{0,8})?`).Draw(t, "target")
		var request strings.Builder
		fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: example.com\r\n", method, target)
		for range rapid.IntRange(0, 6).Draw(t, "fields") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			fmt.Fprintf(&request, "%s: %s\r\n", name, rapid.SampledFrom([]string{"", "1", "trailers", "a, b", "\xe9", "gzip;q=0"}).Draw(t, "value"))
		}
		if rapid.Bool().Draw(t, "connection") {
			fmt.Fprintf(&request, "Connection: %s\r\n", strings.Join(rapid.SliceOf(rapid.SampledFrom(names)).Draw(t, "tokens"), ", "))
		}
		request.WriteString("Connection: close\r\n\r\n")

		var answer strings.Builder
		for range rapid.IntRange(0, 2).Draw(t, "interim") {
			answer.WriteString("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX-A: interim\r\n\r\n")
		}
		fmt.Fprintf(&answer, "HTTP/1.1 %d Whatever\r\nDate: Sat, 21 Nov 2026 22:10:00 GMT\r\n", rapid.SampledFrom([]int{200, 201, 302, 404, 500, 204, 999}).Draw(t, "status"))
		for range rapid.IntRange(0, 4).Draw(t, "answer fields") {
			answer.WriteString(rapid.SampledFrom([]string{
				"Set-Cookie: a=1\r\n", "Set-Cookie: b=2\r\n", "Keep-Alive: timeout=5\r\n", "X-Hop: 1\r\nConnection: X-Hop\r\n",
				"Content-Type: text/event-stream\r\n", "Content-Type: text/html\r\n", "Alt-Svc: h3\r\n", "Connection: close\r\n",
				"Trailer: X-Sum\r\n", "Market-Jurisdiction: DE\r\n", "Server: test\r\n", "Link: </b>\r\n",
			}).Draw(t, "answer field"))
		}
		content := strings.Repeat("x", rapid.SampledFrom([]int{0, 1, 5, 4096, 40000}).Draw(t, "size"))
		if method == "HEAD" || strings.Contains(answer.String(), " 204 ") {
			content = ""
		}
		switch rapid.SampledFrom([]string{"length", "chunked", "close"}).Draw(t, "framing") {
		case "length":
			fmt.Fprintf(&answer, "Content-Length: %d\r\n\r\n%s", len(content), content)
		case "chunked":
			fmt.Fprintf(&answer, "Transfer-Encoding: chunked\r\n\r\n")
			if content != "" {
				fmt.Fprintf(&answer, "%x\r\n%s\r\n", len(content), content)
			}
			if method != "HEAD" && !strings.Contains(answer.String(), " 204 ") {
				fmt.Fprintf(&answer, "0\r\nX-Sum: 42\r\n\r\n")
			}
		case "close":
			if method == "HEAD" { // or nothing says that the connection ends
				answer.WriteString("Connection: close\r\n")
			}
			fmt.Fprintf(&answer, "\r\n%s", content)
		}

		run := func(g *gateway) (seen, got string) {
			mu.Lock()
			current = &script{answer: answer.String()}
			mu.Unlock()
			c, r := g.dial()
			defer c.Close()
			io.WriteString(c, request.String())
			var b strings.Builder
			for {
				res, err := http.ReadResponse(r, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				content, err := io.ReadAll(res.Body)
				show := func(kind string, h http.Header) {
					for _, name := range slices.Sorted(maps.Keys(h)) {
						fmt.Fprintln(&b, kind, name, h[name])
					}
				}
				if !strings.Contains(answer.String(), "Content-Length") {
					// Then it depends on what comes together.
					res.Header.Del("Content-Length")
				}
				fmt.Fprintln(&b, res.Status, len(content), err)
				show("header", res.Header)
				show("trailer", res.Trailer)
				if res.StatusCode >= 200 {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			return current.seen, b.String()
		}
		longSeen, longGot := run(long)
		shortSeen, shortGot := run(short)
		if diff := cmp.Diff(longSeen, shortSeen); diff != "" {
			t.Errorf("the app sees a difference (-long +short):\n%s\n%s", diff, request.String())
		}
		if diff := cmp.Diff(longGot, shortGot); diff != "" {
			t.Errorf("the client sees a difference (-long +short):\n%s\n%s\n%.300s", diff, request.String(), answer.String())
		}
	})
}

// Whatever happens to some requests, others never get an answer that isn't
// theirs.
func TestAnAnswerIsNeverAnothersWhoeverLeaves(t *testing.T) {
	t.Parallel() // it waits
	url := listen(t, func(c net.Conn, r *bufio.Reader) {
		for {
			h, err := head(r)
			if err != nil {
				return
			}
			_, id, _ := strings.Cut(h, "/")
			id, _, _ = strings.Cut(id, " ")
			body := strings.Repeat(id+" ", 1000)
			switch rand.IntN(12) {
			case 0:
				reset(c)
				return
			case 1:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body)+1, body)
				return
			case 2:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				c.Close()
				return
			case 3:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", len(body), body)
				// Whoever used this connection again would get poison.
			case 4:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body)
				<-time.After(time.Millisecond)
				fmt.Fprintf(c, "0\r\n\r\n")
			case 5:
				<-time.After(2 * time.Millisecond)
				fallthrough
			default:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}
		}
	})
	g := newGateway(t, proxy.Options{Upstreams: []string{url}})
	var complete atomic.Int64
	each(t, func(t *testing.T, major int) {
		client := g.client(major)
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 150 {
					id := fmt.Sprintf("%d-%d-%d", major, worker, i)
					ctx, cancel := context.WithCancel(context.Background())
					if rand.IntN(4) == 0 {
						time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
					}
					r, _ := http.NewRequestWithContext(ctx, "GET", g.URL+"/"+id, nil)
					res, err := client.Do(r)
					if err == nil {
						b, err := io.ReadAll(res.Body)
						res.Body.Close()
						for got := range strings.FieldsSeq(string(b)) {
							if res.StatusCode == 200 && err == nil && got != id {
								t.Errorf("asked for %s, got %s", id, got)
								break
							}
						}
						if res.StatusCode == 200 && err == nil {
							complete.Add(1)
						}
					}
					cancel()
				}
			})
		}
		wg.Wait()
	})
	if complete.Load() < 500 {
		t.Errorf("only %d of 2400 requests were answered", complete.Load())
	}
}

func TestAConnectionIsUsedAgainAfterACompleteAnswerOnly(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		again        bool
	}{
		{"of known length", "Content-Length: 5\r\n\r\nhello", true},
		{"in chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true},
		{"empty", "Content-Length: 0\r\n\r\n", true},
		{"that says it is the last", "Content-Length: 5\r\nConnection: close\r\n\r\nhello", false},
		{"with more behind it", "Content-Length: 5\r\n\r\nhello!", false},
	} {
		t.Run("an answer "+test.name, func(t *testing.T) {
			var connections atomic.Int64
			url := listen(t, func(c net.Conn, r *bufio.Reader) {
				connections.Add(1)
				for {
					if _, err := head(r); err != nil {
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\n"+test.answer)
				}
			})
			g := newGateway(t, proxy.Options{Upstreams: []string{url}})
			c := g.client(1)
			for range 5 {
				body(t, get(t, c, g.URL))
			}
			want := int64(5)
			if test.again {
				want = 1
			}
			if got := connections.Load(); got != want {
				t.Errorf("%d connections, want %d", got, want)
			}
		})
	}
}

func TestATargetThatWouldBeAnotherInHTTP1IsRefused(t *testing.T) {
	app, err := proxy.New(serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%q reached the app", r.RequestURI)
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	for _, target := range []string{"/a HTTP/1.1", "/a\r\nX: y", "/a\tb", "/a\x7f", "/?a b"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = target // as HTTP/2 could carry it
		w := httptest.NewRecorder()
		app.Forward(w, r, forwarding)
		if w.Code != 400 {
			t.Errorf("%q: %d", target, w.Code)
		}
	}
}
