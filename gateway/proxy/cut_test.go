package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/exitgate/exitgate/gateway/proxy"
)

// A cutContext has ended since cut, but nobody was told yet: what waits for that would
// hear of it a moment later.
type cutContext struct {
	context.Context
	cut *atomic.Bool
}

func (c cutContext) Err() error {
	if c.cut.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

// Issue 12: a request that was cut before its answer isn't served, if that comes in the
// same moment. One whose answer has begun may be.
func TestAnAnswerThatComesAsItIsCutIsNotServed(t *testing.T) {
	for _, method := range []string{"GET", "POST"} { // by the two ways that there are
		t.Run(method, func(t *testing.T) {
			var cut atomic.Bool
			app, err := proxy.New(serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				cut.Store(true)
				_, _ = io.WriteString(w, "answer")
			})))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(app.Close)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				app.Forward(w, r.WithContext(cutContext{r.Context(), &cut}), forwarding)
			}))
			t.Cleanup(server.Close)
			r := request(t, method, server.URL+"/", http.NoBody)
			if method == "POST" {
				r = request(t, method, server.URL+"/", strings.NewReader("x"))
			}
			if res, err := server.Client().Do(r); err == nil {
				t.Errorf("it is served as %d %q", res.StatusCode, body(t, res))
			}
		})
	}
}

// The causes of a cut, and what a WebSocket and a call of gRPC end with.
var cuts = map[string]struct {
	cause  error
	close  websocket.StatusCode
	status codes.Code
	reason string
}{
	"as it would be refused now":      {proxy.ErrSevered, websocket.StatusPolicyViolation, codes.PermissionDenied, "This service is no longer available here."},
	"as the gateway is being stopped": {proxy.ErrStopped, websocket.StatusGoingAway, codes.Unavailable, "The service is being restarted."},
}

func TestBothSidesOfAWebSocketAreToldWhyItIsCut(t *testing.T) {
	for name, want := range cuts {
		t.Run(name, func(t *testing.T) {
			app, begun := make(chan error, 1), make(chan struct{})
			g := newGateway(t, serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := websocket.Accept(w, r, nil)
				if err != nil {
					app <- err
					return
				}
				defer c.CloseNow()
				close(begun)
				_, _, err = c.Read(context.WithoutCancel(r.Context()))
				app <- err
			})))
			client, _, err := websocket.Dial(t.Context(), g.URL, &websocket.DialOptions{HTTPClient: g.client(1)})
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseNow()
			<-begun
			// By its answer both directions are known to be followed.
			ponged := make(chan error, 1)
			go func() { ponged <- client.Ping(t.Context()) }()
			heard := make(chan error, 1)
			go func() {
				_, _, err := client.Read(t.Context())
				heard <- err
			}()
			if err := <-ponged; err != nil {
				t.Fatal(err)
			}
			g.cut(want.cause)
			for side, err := range map[string]error{"client": <-heard, "app": <-app} {
				var end websocket.CloseError
				if !errors.As(err, &end) || end.Code != want.close || end.Reason != want.reason {
					t.Errorf("the %s hears %v", side, err)
				}
			}
		})
	}
}

func TestACallOfGRPCThatIsCutEndsWithAStatus(t *testing.T) {
	server := grpc.NewServer()
	server.RegisterService(&echoService, nil)
	t.Cleanup(server.Stop)
	for _, kind := range []string{"http", "https"} {
		for name, want := range cuts {
			t.Run(kind+", "+name, func(t *testing.T) {
				g := newGateway(t, serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) })))
				c, err := grpc.NewClient(g.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(g.tlsConfig())))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				stream, err := c.NewStream(t.Context(), &echoService.Streams[0], "/test.Echo/Both")
				if err != nil {
					t.Fatal(err)
				}
				m := new(wrapperspb.StringValue)
				if err := errors.Join(stream.SendMsg(wrapperspb.String("hello")), stream.RecvMsg(m)); err != nil || m.Value != "hello" {
					t.Fatal(m.Value, err)
				}
				g.cut(want.cause)
				err = stream.RecvMsg(m)
				if got := status.Convert(err); got.Code() != want.status || got.Message() != want.reason {
					t.Errorf("it ends with %v", err)
				}
			})
		}
	}
}

// Also an upload ends that the app has begun to answer before it has all of it.
func TestAnExchangeIsCutWhileBothSidesStillSend(t *testing.T) {
	for _, kind := range []string{"http", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					answer := http.NewResponseController(w)
					_ = answer.EnableFullDuplex()
					_, _ = io.CopyN(w, r.Body, 1)
					_ = answer.Flush()
					_, _ = io.Copy(w, r.Body)
				})))
				in, out := io.Pipe()
				defer out.Close()
				go out.Write([]byte("x"))
				res := send(t, g.client(major), request(t, "POST", g.URL, in))
				defer res.Body.Close()
				if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				g.cut(proxy.ErrSevered)
				if rest, err := io.ReadAll(res.Body); err == nil {
					t.Errorf("it ends with %q, as if it was whole", rest)
				}
			})
		})
	}
}
