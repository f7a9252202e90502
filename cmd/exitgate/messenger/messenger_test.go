package messenger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/exitgate/exitgate/cmd/exitgate/messenger"
)

func noon() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func TestRequests(t *testing.T) {
	tests := map[string]struct {
		method, target string
		header         http.Header
		form           string
		status         int
		body           string
	}{
		"the page names jurisdiction and phase": {
			method: "GET", target: "/",
			header: http.Header{"Market-Jurisdiction": {"FR"}, "Market-Phase": {"announced"}},
			status: 200, body: "Hello from the messenger. Your jurisdiction is FR, its phase announced.\n",
		},
		"the page says when no gateway is in front": {
			method: "GET", target: "/",
			status: 200, body: "Hello from the messenger. No gateway told me where you are.\n",
		},
		"messages come with jurisdiction and phase": {
			method: "GET", target: "/api/messages",
			header: http.Header{"Market-Jurisdiction": {"FR"}, "Market-Phase": {"announced"}},
			status: 200, body: `{"jurisdiction":"FR","phase":"announced","messages":[` +
				`{"id":1,"from":"messenger","text":"Welcome! Say something.","sent":"2026-11-21T12:00:00Z"}]}` + "\n",
		},
		"anybody may send": {
			method: "POST", target: "/api/messages", form: "text=hello",
			status: 201, body: `{"id":2,"from":"guest","text":"hello","sent":"2026-11-21T12:00:00Z"}` + "\n",
		},
		"an empty message is refused": {
			method: "POST", target: "/api/messages", form: "text=",
			status: 400, body: "Want the form field text with 1 to 65536 bytes.\n",
		},
		"a huge message is refused": {
			method: "POST", target: "/api/messages", form: "text=" + strings.Repeat("x", 64<<10),
			status: 413, body: "The request is too large.\n",
		},
		"a broken form is refused": {
			method: "POST", target: "/api/messages", form: "text=%zz",
			status: 400, body: "The form can't be read.\n",
		},
		"a long name is refused": {
			method: "POST", target: "/signup", form: "name=" + strings.Repeat("x", 65),
			status: 400, body: "Want the form field name with 1 to 64 bytes.\n",
		},
		"a wrong key does not sign in": {
			method: "POST", target: "/login", form: "key=guess",
			status: 401, body: "No account has this key.\n",
		},
		"the export needs an account": {
			method: "GET", target: "/account/export",
			status: 401, body: "Sign in first.\n",
		},
		"the legal page is there": {
			method: "GET", target: "/legal/imprint",
			status: 200, body: "This messenger is a sample. It keeps nothing beyond its own end.\n",
		},
		"other paths are not found": {
			method: "GET", target: "/nowhere",
			status: 404, body: "404 page not found\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			app := messenger.New(noon)
			defer app.Close()
			r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for key, values := range test.header {
				r.Header[key] = values
			}
			w := httptest.NewRecorder()
			app.ServeHTTP(w, r)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("got  %d %q\nwant %d %q", w.Code, w.Body, test.status, test.body)
			}
		})
	}
}

func TestPageForBrowsersEscapesWhatItShows(t *testing.T) {
	app := messenger.New(noon)
	defer app.Close()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Market-Jurisdiction", "<FR>")
	r.Header.Set("Market-Phase", "wind-down")
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	for _, want := range []string{"<dd>&lt;FR&gt;</dd>", "<dd>wind-down</dd>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestLifeOfAnAccount(t *testing.T) {
	url, _ := start(t)
	var account struct{ Name, Key string }
	decode(t, post(t, url+"/signup", "", "name", "ada"), 201, &account)
	expect(t, post(t, url+"/signup", "", "name", "ada"), 409, "This name is taken, or there are too many accounts.\n")
	expect(t, post(t, url+"/login", "", "key", account.Key), 200, `{"name":"ada"}`+"\n")
	sent := `{"id":2,"from":"ada","text":"hello","sent":"2026-11-21T12:00:00Z"}`
	expect(t, post(t, url+"/api/messages", account.Key, "text", "hello"), 201, sent+"\n")
	expect(t, get(t, url+"/account/export", account.Key), 200, `{"messages":[`+sent+`],"name":"ada"}`+"\n")
	expect(t, post(t, url+"/account/delete", account.Key, "", ""), 204, "")
	expect(t, get(t, url+"/account/export", account.Key), 401, "Sign in first.\n")

	var list struct{ Messages []messenger.Message }
	decode(t, get(t, url+"/api/messages", ""), 200, &list)
	if len(list.Messages) != 1 || list.Messages[0].From != "messenger" {
		t.Errorf("after the deletion, the messages are %+v", list.Messages)
	}
}

func TestOnlyTheLastThousandMessagesAreKept(t *testing.T) {
	url, _ := start(t)
	for range 1000 {
		post(t, url+"/api/messages", "", "text", "x").Body.Close()
	}
	var list struct{ Messages []messenger.Message }
	decode(t, get(t, url+"/api/messages", ""), 200, &list)
	if n, first := len(list.Messages), list.Messages[0].ID; n != 1000 || first != 2 {
		t.Errorf("%d messages from %d on, want 1000 from 2 on", n, first)
	}
}

func TestLiveConnectionsHearEachOtherUntilTheEnd(t *testing.T) {
	url, app := start(t)
	ctx := t.Context()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(url, "http")+"/api/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	events := get(t, url+"/api/events", "")
	defer events.Body.Close()

	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	want := `{"id":2,"from":"guest","text":"hello","sent":"2026-11-21T12:00:00Z"}`
	if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
		t.Fatalf("the WebSocket said %s, %v; want %s", got, err, want)
	}
	stream := bufio.NewReader(events.Body)
	for _, want := range []string{"id: 2\n", "data: " + want + "\n", "\n"} {
		if got, err := stream.ReadString('\n'); err != nil || got != want {
			t.Fatalf("the event stream said %q, %v; want %q", got, err, want)
		}
	}

	closed := make(chan struct{})
	go func() { app.Close(); close(closed) }()
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("at the end the WebSocket said %v, want status 1001", err)
	}
	if rest, _ := io.ReadAll(stream); len(rest) != 0 {
		t.Errorf("at the end the event stream said %q", rest)
	}
	<-closed
}

func TestGRPC(t *testing.T) {
	url, _ := start(t)
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	reply := new(wrapperspb.StringValue)
	err = conn.Invoke(t.Context(), "/messenger.v1.Messenger/Send", wrapperspb.String("hello"), reply)
	if err != nil || reply.Value != "message 2 sent" {
		t.Errorf("Send said %q, %v", reply.GetValue(), err)
	}
	err = conn.Invoke(t.Context(), "/messenger.v1.Messenger/Send", wrapperspb.String(""), reply)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("Send of nothing said %v", err)
	}
	health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), new(grpc_health_v1.HealthCheckRequest))
	if err != nil || health.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("Check said %v, %v", health, err)
	}
}

// start serves a messenger on a free port for the length of the test.
func start(t *testing.T) (url string, app *messenger.App) {
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app = messenger.New(noon)
	served := make(chan error)
	go func() { served <- app.Serve(l) }()
	t.Cleanup(func() {
		app.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve said %v", err)
		}
	})
	return "http://" + l.Addr().String(), app
}

func get(t *testing.T, url, key string) *http.Response {
	t.Helper()
	r, _ := http.NewRequestWithContext(context.Background(), "GET", url, nil)
	return do(t, r, key)
}

func post(t *testing.T, target, key, field, value string) *http.Response {
	t.Helper()
	r, _ := http.NewRequest("POST", target, strings.NewReader(url.Values{field: {value}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, r, key)
}

func do(t *testing.T, r *http.Request, key string) *http.Response {
	t.Helper()
	r.AddCookie(&http.Cookie{Name: "messenger-key", Value: key})
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func expect(t *testing.T, r *http.Response, status int, body string) {
	t.Helper()
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status || string(got) != body {
		t.Errorf("%s %s: got %d %q, %v; want %d %q", r.Request.Method, r.Request.URL.Path, r.StatusCode, got, err, status, body)
	}
}

func decode(t *testing.T, r *http.Response, status int, into any) {
	t.Helper()
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(into); err != nil || r.StatusCode != status {
		t.Fatalf("%s %s: got %d, %v; want %d", r.Request.Method, r.Request.URL.Path, r.StatusCode, err, status)
	}
}
