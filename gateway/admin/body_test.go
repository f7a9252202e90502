package admin_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
)

// padded is a body of a length that says nothing.
func emptyBody(length int) string { return "{" + strings.Repeat(" ", length-2) + "}" }

func TestBody_limits(t *testing.T) {
	for name, test := range map[string]struct {
		target  string
		length  int
		chunked bool
		status  int
		code    string
	}{
		"a question of 64 KiB":              {"/v1/explain", admin.SmallBody, false, 400, "invalid"},
		"a question of a byte more":         {"/v1/explain", admin.SmallBody + 1, false, 413, "too-large"},
		"a question in chunks":              {"/v1/explain", admin.SmallBody, true, 400, "invalid"},
		"a question in chunks, a byte more": {"/v1/explain", admin.SmallBody + 1, true, 413, "too-large"},
		"a plan of 64 KiB":                  {"/v1/plan", admin.SmallBody, false, 400, "invalid"},
		"a plan of a byte more":             {"/v1/plan", admin.SmallBody + 1, false, 400, "invalid"},
		"a plan of 64 KiB in chunks":        {"/v1/plan", admin.SmallBody + 1, true, 400, "invalid"},
		"a plan of 17 MiB":                  {"/v1/plan", admin.PolicyBody, false, 400, "invalid"},
		"a plan of 17 MiB and a byte":       {"/v1/plan", admin.PolicyBody + 1, false, 413, "too-large"},
		"a plan of 17 MiB in chunks":        {"/v1/plan", admin.PolicyBody, true, 400, "invalid"},
		"a plan of more in chunks":          {"/v1/plan", admin.PolicyBody + 1, true, 413, "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && test.length > 1<<20 {
				t.Skip("takes long under the race detector")
			}
			g := newFixture(t)
			r := request(t, g, viewer, "POST", test.target, emptyBody(test.length))
			if test.chunked {
				r.ContentLength = -1
			}
			if got := serve(t, g, r); got.status != test.status || got.code != test.code {
				t.Errorf("got %d %s", got.status, got.code)
			}
		})
	}
}

func TestBody_policyOfEightMegabytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	g := newFixture(t)
	comment := "# " + strings.Repeat("\\ \"quoted\" \t", 100) + "\n"
	source := fourEyes + strings.Repeat(comment, (8<<20-len(fourEyes))/len(comment))
	got := ask(t, g, viewer, "POST", "/v1/plan", map[string]string{"policy": source})
	if got.status != 200 {
		t.Errorf("got %d\n%.1000s", got.status, got.body)
	}
}

// A client is a connection that a test writes to by itself.
type client struct {
	net.Conn
	answers *bufio.Reader
}

// startBody sends the header of a request to plan something, without its body. When
// it returns, the body is waited for.
func startBody(t *testing.T, g *fixture, server *httptest.Server, field string) *client {
	t.Helper()
	c := dial(t, g, server, field+"\r\nExpect: 100-continue")
	c.proceed(t)
	return c
}

func dial(t *testing.T, g *fixture, server *httptest.Server, fields string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{conn, bufio.NewReaderSize(conn, 512)}
	c.send(t, "POST /v1/plan HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer "+g.tokens[viewer]+"\r\n"+fields+"\r\n\r\n")
	return c
}

func (c *client) send(t *testing.T, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// proceed waits until the body is waited for.
func (c *client) proceed(t *testing.T) {
	t.Helper()
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
		if line, err := c.answers.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

// answer reads one.
func (c *client) answer(t *testing.T) answer {
	t.Helper()
	r, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return checkAnswer(t, "POST", "/v1/plan", r.StatusCode, r.Header, string(body))
}

// ends wants the connection to.
func (c *client) ends(t *testing.T) {
	t.Helper()
	if _, err := c.answers.ReadByte(); err != io.EOF {
		t.Errorf("the connection stays open: %v", err)
	}
}

func TestBody_largeOnesWaitForEachOther(t *testing.T) {
	const large = 1 << 20
	known := fmt.Sprint("Content-Length: ", large)
	for name, second := range map[string]func(*testing.T, *fixture, *httptest.Server) *client{
		"of a known length": func(t *testing.T, g *fixture, s *httptest.Server) *client { return dial(t, g, s, known) },
		"in chunks": func(t *testing.T, g *fixture, s *httptest.Server) *client {
			c := dial(t, g, s, "Transfer-Encoding: chunked")
			c.send(t, fmt.Sprintf("%x\r\n%s\r\n", admin.SmallBody+1, strings.Repeat(" ", admin.SmallBody+1)))
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newFixtureWithin(t, admin.Limits{LargeBodies: 1, SlotWait: time.Millisecond})
			server := httptest.NewServer(g)
			defer server.Close()
			first := startBody(t, g, server, known)
			second := second(t, g, server)
			if got := second.answer(t); got.code != "busy" || got.header.Get("Retry-After") != "5" {
				t.Errorf("got %d %s, Retry-After: %s", got.status, got.code, got.header.Get("Retry-After"))
			}
			second.ends(t)
			small := dial(t, g, server, "Content-Length: 2")
			small.send(t, "{}")
			if got := small.answer(t); got.code != "invalid" {
				t.Errorf("a small one meanwhile: got %d %s", got.status, got.code)
			}
			first.send(t, emptyBody(large))
			if got := first.answer(t); got.code != "invalid" {
				t.Errorf("the first: got %d %s", got.status, got.code)
			}
			third := startBody(t, g, server, known)
			third.send(t, emptyBody(large))
			if got := third.answer(t); got.code != "invalid" {
				t.Errorf("afterwards: got %d %s", got.status, got.code)
			}
		})
	}
}

func TestBody_slowClients(t *testing.T) {
	for name, field := range map[string]string{
		"a small body":     "Content-Length: 60000",
		"a large body":     "Content-Length: 1000000",
		"a body in chunks": "Transfer-Encoding: chunked",
	} {
		t.Run(name, func(t *testing.T) {
			g := newFixtureWithin(t, admin.Limits{LargeBodies: 1, BodyTime: 20 * time.Millisecond})
			server := httptest.NewServer(g)
			defer server.Close()
			c := startBody(t, g, server, field)
			piece := " "
			if strings.HasPrefix(field, "Transfer") {
				piece = "1\r\n \r\n"
			}
			slowly, stop := context.WithCancel(t.Context())
			var sending sync.WaitGroup
			sending.Go(func() {
				for slowly.Err() == nil {
					if _, err := io.WriteString(c, piece); err != nil {
						return
					}
					select {
					case <-slowly.Done():
					case <-time.After(time.Millisecond):
					}
				}
			})
			if got := c.answer(t); got.status != http.StatusRequestTimeout || got.code != "too-slow" {
				t.Errorf("got %d %s", got.status, got.code)
			}
			stop()
			sending.Wait()
			_ = c.Close()

			_ = startBody(t, g, server, "Content-Length: 100000").Close() // the slot is free again
		})
	}
}

// A client that may not gets its answer at once, whatever it goes on to send.
func TestBody_isNotReadWithoutPermission(t *testing.T) {
	for name, target := range map[string]string{"nobody": "/v1/plan", "a viewer": "/v1/changes"} {
		g := newFixture(t)
		server := httptest.NewServer(g)
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := &client{conn, bufio.NewReader(conn)}
		token := ""
		if name == "a viewer" {
			token = "Authorization: Bearer " + g.tokens[viewer] + "\r\n"
		}
		c.send(t, "POST "+target+" HTTP/1.1\r\nHost: localhost\r\n"+token+"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		if got := c.answer(t); got.status != 401 && got.status != 403 {
			t.Errorf("%s: got %d", name, got.status)
		}
		c.ends(t)
		_ = c.Close()
		server.Close()
	}
}

func TestBody_memoryOfAThousandClients(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 2,000 connections")
	}
	const clients, large = 1000, admin.PolicyBody
	g := newFixtureWithin(t, admin.Limits{SlotWait: time.Hour, BodyTime: time.Hour})
	server := httptest.NewServer(g)
	defer server.Close()
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()

	// Half of them say how long their bodies are, half don't. All have sent
	// what is taken without a slot, and more.
	piece := []byte(strings.Repeat(" ", 2*admin.SmallBody))
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(piece), piece)
	all := make([]*client, clients)
	var sending sync.WaitGroup
	for i := range all {
		if i%2 == 0 {
			all[i] = dial(t, g, server, fmt.Sprint("Content-Length: ", large))
			sending.Go(func() { _, _ = all[i].Write(piece) }) // until the test ends
		} else {
			all[i] = dial(t, g, server, "Transfer-Encoding: chunked")
			sending.Go(func() { _, _ = all[i].Write(chunk) })
		}
	}
	sending.Wait()
	// Somebody else is not kept from reading, nor from small things.
	for range 20 {
		r := request(t, g, viewer, "POST", "/v1/explain", `{"jurisdiction": "FR"}`)
		if got := serve(t, g, r); got.status != 200 {
			t.Errorf("meanwhile: got %d %s", got.status, got.code)
		}
	}
	const mebibyte = 1 << 20
	if grown := (used() - before) / mebibyte; grown > 4*17+150 {
		t.Errorf("%d clients take %d MiB", clients, grown)
	} else {
		t.Logf("%d clients take %d MiB", clients, grown)
	}
	for _, c := range all {
		_ = c.Close()
	}
	if log := g.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}

// What takes long is not cut off by the time that a server gives requests to
// arrive.
func TestVerify_outlastsTheReadTimeout(t *testing.T) {
	g := newFixture(t)
	server := httptest.NewUnstartedServer(g)
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	g.verifying = func(ctx context.Context) {
		select {
		case <-ctx.Done():
			t.Error("the request was cut off")
		case <-time.After(3 * server.Config.ReadTimeout):
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/v1/log/verification", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+g.tokens[viewer])
	got, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	if got.StatusCode != 200 {
		t.Errorf("got %s", got.Status)
	}
}

func TestVerify_fewAtATime(t *testing.T) {
	g := newFixtureWithin(t, admin.Limits{Verifications: 2})
	verifying, done := make(chan struct{}), make(chan struct{})
	g.verifying = func(context.Context) { verifying <- struct{}{}; <-done }
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			if got := ask(t, g, viewer, "GET", "/v1/log/verification", nil); got.status != 200 {
				t.Errorf("got %d", got.status)
			}
		})
		<-verifying
	}
	if got := ask(t, g, viewer, "GET", "/v1/log/verification", nil); got.code != "busy" {
		t.Errorf("the third: got %d %s", got.status, got.code)
	}
	close(done)
	asking.Wait()
}
