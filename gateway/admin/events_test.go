package admin_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// A following is a stream of events that somebody reads.
type following struct {
	*http.Response
	lines *bufio.Reader
}

// follow begins to read the events. When it returns, the service knows.
func follow(t *testing.T, g *fixture, server *httptest.Server, token string) following {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return following{answer, bufio.NewReader(answer.Body)}
}

// next reads up to an empty line.
func (f following) next(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%q, then %v", text.String(), err)
		}
		if text.WriteString(line); line == "\n" {
			return text.String()
		}
	}
}

// event reads the next one.
func (f following) event(t *testing.T) string {
	t.Helper()
	for {
		if text := f.next(t); text != ":\n\n" {
			return text
		}
	}
}

// ends wants the stream to.
func (f following) ends(t *testing.T) {
	t.Helper()
	for {
		line, err := f.lines.ReadString('\n')
		if err == io.EOF && line == "" {
			return
		}
		if err != nil || strings.TrimPrefix(line, ":") != "\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

func TestEvents(t *testing.T) {
	g := newFixture(t)
	server := httptest.NewServer(g)
	defer server.Close()
	f := follow(t, g, server, g.tokens[viewer])
	if f.StatusCode != 200 || f.Header.Get("Content-Type") != "text/event-stream" || f.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s, %v", f.Status, f.Header)
	}
	if got := f.next(t); got != ":\n\n" {
		t.Errorf("at first %q", got)
	}
	g.happening.Publish(api.Event{Type: "revision", Number: 7, Author: "ada", Message: "FR open → withdrawn\n<now>", Revision: 7})
	want := "event: revision\n" +
		`data: {"type":"revision","time":"2026-11-22T12:00:00Z","number":7,"author":"ada","message":"FR open → withdrawn\n\u003cnow\u003e","revision":7}` + "\n\n"
	if got := f.event(t); got != want {
		t.Errorf("got %s\nnot %s", got, want)
	}
	g.happening.Publish(api.Event{Type: "ledger", Message: "the ledger can't be reached"})
	if got := f.event(t); !strings.HasPrefix(got, "event: ledger\n") {
		t.Errorf("got %s", got)
	}
	g.happening.Close()
	f.ends(t)
}

func TestEvents_outlastTimeouts(t *testing.T) {
	g := newFixtureWithin(t, admin.Limits{Heartbeat: 30 * time.Millisecond})
	server := httptest.NewUnstartedServer(g)
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Config.WriteTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	f := follow(t, g, server, g.tokens[viewer])
	for range 10 { // which takes longer than either timeout
		if got := f.next(t); got != ":\n\n" {
			t.Errorf("got %q", got)
		}
	}
	g.happening.Publish(api.Event{Type: "transition", Message: "x"})
	if got := f.event(t); !strings.HasPrefix(got, "event: transition\n") {
		t.Errorf("got %s", got)
	}
	g.happening.Close()
	f.ends(t)
}

func TestEvents_endWithThePermission(t *testing.T) {
	for name, end := range map[string]func(*fixture, string){
		"revoked": func(g *fixture, id string) {
			if err := g.RevokeToken(context.Background(), local, "ada", id, "x", changes.Request{}); err != nil {
				t.Fatal(err)
			}
		},
		"removed": func(g *fixture, id string) {
			if err := g.RemovePrincipal(context.Background(), local, "ada", "x", changes.Request{}); err != nil {
				t.Fatal(err)
			}
		},
		"expired": func(g *fixture, _ string) { g.tick(time.Hour) },
	} {
		for _, happens := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				limits := admin.Limits{Heartbeat: time.Hour}
				if !happens {
					limits.Heartbeat = 5 * time.Millisecond
				}
				g := newFixtureWithin(t, limits)
				token, id := g.token(t, "ada", start.Add(time.Hour), changes.Viewer)
				server := httptest.NewServer(g)
				defer server.Close()
				f := follow(t, g, server, token)
				end(g, id)
				if happens {
					g.happening.Publish(api.Event{Type: "revision", Message: "nothing for them"})
				}
				f.ends(t)
			})
		}
	}
}

func TestEvents_fewStreamsAtATime(t *testing.T) {
	g := newFixtureWithin(t, admin.Limits{Streams: 2, Heartbeat: 5 * time.Millisecond})
	server := httptest.NewServer(g)
	defer server.Close()
	first := follow(t, g, server, g.tokens[viewer])
	second := follow(t, g, server, g.tokens[operator])
	if got := ask(t, g, socket, "GET", "/v1/events", nil); got.code != "busy" || got.header.Get("Retry-After") != "5" {
		t.Errorf("the third: got %d %s", got.status, got.code)
	}
	second.next(t)
	_ = second.Body.Close()
	g.happening.Close()
	first.ends(t)
	// Both places are free again, once the server has noticed.
	for ask(t, g, socket, "GET", "/v1/events", nil).code == "busy" {
		time.Sleep(time.Millisecond)
	}
}

func TestEvents_aReaderThatStopsIsDropped(t *testing.T) {
	g := newFixtureWithin(t, admin.Limits{EventTime: 50 * time.Millisecond})
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		g.ServeHTTP(w, r)
	}))
	defer server.Close()
	f := follow(t, g, server, g.tokens[viewer])
	defer f.Body.Close()
	message := strings.Repeat("x", 1<<20)
	for range 64 { // more than the sockets hold
		g.happening.Publish(api.Event{Type: "revision", Message: message})
	}
	<-ended
}

func TestEvents_aClientThatLeavesIsNoticed(t *testing.T) {
	g := newFixture(t)
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		g.ServeHTTP(w, r)
	}))
	defer server.Close()
	f := follow(t, g, server, g.tokens[viewer])
	f.next(t)
	_ = f.Body.Close()
	<-ended
}
