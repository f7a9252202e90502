package proxy_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/google/go-cmp/cmp"
	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestEveryKindOfUpstreamIsSpokenToInItsProtocol(t *testing.T) {
	for kind, protocol := range map[string]string{
		"http": "HTTP/1.1", "unix": "HTTP/1.1", "https with HTTP/1.1 only": "HTTP/1.1",
		"h2c": "HTTP/2.0", "unix+h2c": "HTTP/2.0", "https": "HTTP/2.0",
	} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					fmt.Fprintf(w, "%s %s %s", r.Proto, r.Method, b)
				})))
				c := g.client(major)
				for want, r := range map[string]*http.Request{
					" GET ":                   request(t, "GET", g.URL, nil),
					" POST hello":             request(t, "POST", g.URL, strings.NewReader("hello")),
					" POST of unknown length": request(t, "POST", g.URL, io.MultiReader(strings.NewReader("of unknown length"))),
				} {
					if got := body(t, send(t, c, r)); got != protocol+want {
						t.Errorf("got %q, want %q", got, protocol+want)
					}
				}
				res := send(t, c, request(t, "HEAD", g.URL, nil))
				if got, want := res.ContentLength, int64(len(protocol+" HEAD ")); got != want || body(t, res) != "" {
					t.Errorf("Content-Length %d, want %d and no body", got, want)
				}
			})
		})
	}
}

func TestAnAppThatNobodyHereWroteWorks(t *testing.T) {
	o := serve(t, "http", httpbin.New().Handler())
	each(t, func(t *testing.T, major int) {
		g := newGateway(t, o)
		c := g.client(major)
		for _, test := range []struct {
			path   string
			status int
			holds  string
		}{
			{"/get?a=b", 200, `"a"`},
			{"/headers", 200, `"Market-Jurisdiction"`},
			{"/status/418", 418, "teapot"},
			{"/status/204", 204, ""},
			{"/status/304", 304, ""},
			{"/redirect-to?url=/get", 302, ""},
			{"/gzip", 200, "\x1f\x8b"},
			{"/stream/3", 200, `"id":2`},
			{"/drip?numbytes=5&duration=0&delay=0", 200, "*****"},
			{"/bytes/100000?seed=1", 200, ""},
			{"/range/100", 200, "abc"},
			{"/encoding/utf8", 200, "∀"},
			{"/trailers?X-Sum=1", 200, ""},
		} {
			res := get(t, c, g.URL+test.path)
			if got := body(t, res); res.StatusCode != test.status || !strings.Contains(got, test.holds) {
				t.Errorf("%s: %s\n%.200s", test.path, res.Status, got)
			}
			if test.path == "/trailers?X-Sum=1" && res.Trailer.Get("X-Sum") != "1" {
				t.Error("trailer:", res.Trailer)
			}
		}
	})
}

func TestTrailersPassBothWays(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		io.Copy(w, r.Body)
		w.Header().Set("X-Announced", "said before")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "said after")
		w.Header().Set(http.TrailerPrefix+"X-Echo", r.Trailer.Get("X-Sum"))
	})
	for _, kind := range []string{"http", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, serve(t, kind, app))
				r := request(t, "POST", g.URL, io.MultiReader(strings.NewReader("hello")))
				r.Trailer = http.Header{"X-Sum": {"42"}}
				res := send(t, g.client(major), r)
				if got := body(t, res); got != "hello" {
					t.Error(got)
				}
				want := http.Header{"X-Announced": {"said before"}, "X-Unannounced": {"said after"}, "X-Echo": {"42"}}
				if diff := cmp.Diff(want, res.Trailer); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// echoService is a gRPC service that is written by hand, to do without protoc.
var echoService = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{
		StreamName: "Both", ClientStreams: true, ServerStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error {
			in, _ := metadata.FromIncomingContext(s.Context())
			s.SetTrailer(metadata.Pairs("x-jurisdiction", strings.Join(in["market-jurisdiction"], "+")))
			for {
				m := new(wrapperspb.StringValue)
				if err := s.RecvMsg(m); err == io.EOF {
					return status.Error(codes.Aborted, "that's all")
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
		},
	}},
}

func TestGRPCWorksOverEveryKindOfUpstream(t *testing.T) {
	server := grpc.NewServer()
	server.RegisterService(&echoService, nil)
	healthpb.RegisterHealthServer(server, health.NewServer())
	defer server.Stop()
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) })

	// And a server of grpc-go's own, which is not net/http's.
	own := grpc.NewServer()
	own.RegisterService(&echoService, nil)
	healthpb.RegisterHealthServer(own, health.NewServer())
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go own.Serve(l)
	defer own.Stop()

	for _, kind := range append(kinds, "grpc-go") {
		if kind == "https with HTTP/1.1 only" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			o := proxy.Options{Upstreams: []string{"unix:" + path}}
			if kind != "grpc-go" {
				o = serve(t, kind, app)
			}
			g := newGateway(t, o)
			c, err := grpc.NewClient(g.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(g.tlsConfig())))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "market-jurisdiction", "DE")

			client := healthpb.NewHealthClient(c)
			if res, err := client.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || res.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("a call: %v, %v", res, err)
			}
			// The answer to this one is nothing but trailers.
			if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "unknown"}); status.Code(err) != codes.NotFound {
				t.Errorf("a call that fails: %v", err)
			}

			stream, err := c.NewStream(ctx, &echoService.Streams[0], "/test.Echo/Both")
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"to", "and", "fro"} {
				if err := stream.SendMsg(wrapperspb.String(word)); err != nil {
					t.Fatal(err)
				}
				m := new(wrapperspb.StringValue)
				if err := stream.RecvMsg(m); err != nil || m.Value != word {
					t.Fatalf("sent %q, received %q, %v", word, m.Value, err)
				}
			}
			stream.CloseSend()
			if err := stream.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.Aborted || status.Convert(err).Message() != "that's all" {
				t.Errorf("at the end: %v", err)
			}
			if got := stream.Trailer()["x-jurisdiction"]; !slices.Equal(got, []string{"FR"}) {
				t.Errorf("the app heard of jurisdiction %q", got)
			}
		})
	}
}

func TestGRPCToAnUpstreamThatIsDownIsUnavailable(t *testing.T) {
	g := newGateway(t, proxy.Options{Upstreams: []string{nobody(t)}})
	c, err := grpc.NewClient(g.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(g.tlsConfig())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = healthpb.NewHealthClient(c).Check(context.Background(), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

func TestWebSocketsWorkOverEveryKindOfUpstream(t *testing.T) {
	t.Parallel() // it waits
	closed := make(chan websocket.StatusCode, 1)
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, OriginPatterns: []string{"*"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.Write(r.Context(), websocket.MessageText, []byte("hello "+r.Header.Get("Market-Jurisdiction")))
		c.SetReadLimit(-1)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				closed <- websocket.CloseStatus(err)
				return
			}
			c.Write(r.Context(), kind, message)
		}
	})
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := serve(t, kind, app)
			o.BodyIdle = time.Second // nothing to a connection that was upgraded
			g := newGateway(t, o)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			c, res, err := websocket.Dial(ctx, g.URL, &websocket.DialOptions{HTTPClient: g.client(1), Subprotocols: []string{"chat"}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			c.SetReadLimit(-1)
			if res.StatusCode != 101 || c.Subprotocol() != "chat" {
				t.Error(res.Status, c.Subprotocol())
			}
			if _, hello, err := c.Read(ctx); err != nil || string(hello) != "hello FR" {
				t.Error(string(hello), err)
			}
			for _, n := range []int{0, 1, 1000, 1 << 20} {
				message := make([]byte, n)
				rand.Read(message)
				go c.Write(ctx, websocket.MessageBinary, message)
				if _, got, err := c.Read(ctx); err != nil || string(got) != string(message) {
					t.Fatalf("sent %d bytes, received %d, %v", n, len(got), err)
				}
			}
			<-time.After(o.BodyIdle + 200*time.Millisecond)
			go c.Write(ctx, websocket.MessageText, []byte("still there"))
			if _, got, err := c.Read(ctx); err != nil || string(got) != "still there" {
				t.Error(string(got), err)
			}
			c.Close(websocket.StatusGoingAway, "bye")
			if code := <-closed; code != websocket.StatusGoingAway {
				t.Error(code)
			}
			if got, want := g.heard(1), []string{o.Upstreams[0] + " 101"}; !slices.Equal(got, want) {
				t.Errorf("heard %q, want %q", got, want)
			}
		})
	}
}

func TestAWebSocketThatTheAppRefusesIsRefused(t *testing.T) {
	g := newGateway(t, serve(t, "http", http.NotFoundHandler()))
	_, res, err := websocket.Dial(context.Background(), g.URL, &websocket.DialOptions{HTTPClient: g.client(1)})
	if err == nil || res.StatusCode != 404 {
		t.Error(res, err)
	}
}

func TestEventsArriveWhenTheyAreSent(t *testing.T) {
	next := make(chan bool)
	for name, header := range map[string]http.Header{
		"event stream":                     {"Content-Type": {"text/event-stream"}},
		"event stream that names a length": {"Content-Type": {"text/event-stream; charset=utf-8"}, "Content-Length": {"24"}},
		"anything of unknown length":       {"Content-Type": {"application/json"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{"http", "h2c"} {
				each(t, func(t *testing.T, major int) {
					o := serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						for name, values := range header {
							w.Header()[name] = values
						}
						http.NewResponseController(w).Flush()
						for i := range 3 {
							<-next
							fmt.Fprintf(w, "data: %d\n", i)
							http.NewResponseController(w).Flush()
						}
					}))
					g := newGateway(t, o)
					res := get(t, g.client(major), g.URL) // the head comes before the first event
					events := bufio.NewReader(res.Body)
					for i := range 3 {
						next <- true
						if got, err := events.ReadString('\n'); err != nil || got != fmt.Sprintf("data: %d\n", i) {
							t.Fatal(got, err)
						}
					}
				})
			}
		})
	}
}

func TestEarlyHintsArriveBeforeTheAnswer(t *testing.T) {
	for _, kind := range []string{"http", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, major int) {
				hinted := make(chan bool)
				g := newGateway(t, serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for range 2 {
						w.Header().Set("Link", "</style.css>; rel=preload")
						w.WriteHeader(http.StatusEarlyHints)
						<-hinted
					}
					w.Header().Set("X-Final", "1")
					io.WriteString(w, "final")
				})))
				r := request(t, "GET", g.URL, nil)
				r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
						if code != 103 || h.Get("Link") == "" {
							t.Error(code, h)
						}
						hinted <- true
						return nil
					},
				}))
				res := send(t, g.client(major), r)
				if got := body(t, res); got != "final" || res.Header.Get("X-Final") != "1" {
					t.Error(got, res.Header)
				}
			})
		})
	}
}

func TestAClientThatExpectsContinueWaitsForTheApp(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		io.Copy(w, r.Body)
	})
	for _, kind := range []string{"http", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			g := newGateway(t, serve(t, kind, app))
			c, r := g.dial()
			io.WriteString(c, "POST /taken HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			if kind == "http" { // net/http sends no Expect over HTTP/2
				if interim, err := head(r); err != nil || interim != "HTTP/1.1 100 Continue\r\n" {
					t.Fatalf("%q %v", interim, err)
				}
			}
			io.WriteString(c, "hello")
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode == 100 {
				res, _ = http.ReadResponse(r, nil)
			}
			if got := body(t, res); res.StatusCode != 200 || got != "hello" {
				t.Error(res.Status, got)
			}

			c, r = g.dial()
			io.WriteString(c, "POST /refused HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 417 {
				t.Error(res, err)
			}
		})
	}
}

func TestAnAppMayAnswerWhileTheClientStillSends(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, line)
			rc.Flush()
		}
	})
	for _, kind := range []string{"http", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, serve(t, kind, app))
				from, to := io.Pipe()
				r := request(t, "POST", g.URL, from)
				res := send(t, g.client(major), r)
				defer res.Body.Close()
				answers := bufio.NewReader(res.Body)
				for range 3 {
					io.WriteString(to, "ping\n")
					if got, err := answers.ReadString('\n'); err != nil || got != "ping\n" {
						t.Fatal(got, err)
					}
				}
				to.Close()
				if _, err := answers.ReadString('\n'); err != io.EOF {
					t.Error(err)
				}
			})
		})
	}
}

func TestLargeBodiesPassBothWaysInConstantMemory(t *testing.T) {
	const size = 64 << 20
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		block := make([]byte, 64<<10)
		for n := 0; n < size; n += len(block) {
			w.Write(block)
		}
	})
	for _, kind := range []string{"http", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, serve(t, kind, app))
				c := g.client(major)
				var before, after runtime.MemStats
				debug.FreeOSMemory()
				runtime.ReadMemStats(&before)
				res := post(t, c, g.URL, io.LimitReader(zeros{}, size))
				if got, want := body(t, res), fmt.Sprint(size, " <nil>"); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				res = get(t, c, g.URL)
				if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
					t.Error(n, err)
				}
				runtime.ReadMemStats(&after)
				// At the worst moment, and with the client and the app.
				grown := int64(after.HeapSys-after.HeapReleased) - int64(before.HeapSys-before.HeapReleased)
				if grown > size/2 { // when it is collected depends on the machine
					t.Errorf("it took %d MB to pass %d MB", grown>>20, size>>20)
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABodyArrivesAsItWasSent(t *testing.T) {
	content := make([]byte, 3<<20)
	rand.Read(content)
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		w.Header().Set("X-Sum", fmt.Sprintf("%x %v", sha256.Sum256(b), err))
		w.Write(b)
	})
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, major int) {
				g := newGateway(t, serve(t, kind, app))
				res := post(t, g.client(major), g.URL, strings.NewReader(string(content)))
				if got := fmt.Sprintf("%x", sha256.Sum256([]byte(body(t, res)))); got != sum || res.Header.Get("X-Sum") != sum+" <nil>" {
					t.Error("it changed on the way")
				}
			})
		})
	}
}
