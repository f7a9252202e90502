package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// streams is an app whose answers go on until it is told to end them.
type streams struct {
	end      chan struct{}
	uploaded chan struct{} // the first line of an upload
	told     atomic.Int64  // the status with which a WebSocket was closed last
}

func newStreams() *streams {
	return &streams{end: make(chan struct{}), uploaded: make(chan struct{}, 1)}
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/websocket":
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		heard := make(chan error, 1)
		go func() {
			_, _, err := c.Read(context.Background())
			heard <- err
		}()
		select {
		case <-s.end:
			_ = c.Write(r.Context(), websocket.MessageText, []byte("ended"))
			_ = c.Close(websocket.StatusNormalClosure, "")
		case err := <-heard:
			s.told.Store(int64(websocket.CloseStatus(err)))
		}
	case "/events", "/download":
		begin := "begin\n"
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
		} else { // one of known length, of which a part has come
			begin += strings.Repeat("x", 1<<20)
			w.Header().Set("Content-Length", strconv.Itoa(len(begin)+len("ended\n")))
		}
		_, _ = io.WriteString(w, begin)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-s.end:
			_, _ = io.WriteString(w, "ended\n")
		case <-r.Context().Done():
		}
	case "/upload":
		body := bufio.NewReader(r.Body)
		begin, err := body.ReadString('\n')
		if err == nil {
			s.uploaded <- struct{}{}
		}
		rest, err := io.ReadAll(body)
		if err == nil {
			_, _ = io.WriteString(w, begin+string(rest))
		}
	}
}

// An open exchange, and how it ends: with all that was to come, or cut.
type open struct {
	name  string
	ended func() (whole bool)
}

// openAll opens one of each kind from an address.
func openAll(t *testing.T, g *gate, app *streams, major int, from string) (all []open) {
	t.Helper()
	c := g.client(major)
	header := http.Header{"X-Forwarded-For": {from}}
	for _, path := range []string{"/events", "/download"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := bufio.NewReader(res.Body)
		if line, err := body.ReadString('\n'); line != "begin\n" {
			t.Fatalf("%s begins with %q, %v", path, line, err)
		}
		all = append(all, open{path, func() bool {
			defer res.Body.Close()
			rest, err := io.ReadAll(body)
			return err == nil && strings.TrimLeft(string(rest), "x") == "ended\n"
		}})
	}
	in, out := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+"/upload", in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	uploaded := make(chan bool, 1)
	go func() {
		res, err := c.Do(r)
		if err != nil {
			_ = in.CloseWithError(err)
			uploaded <- false
			return
		}
		a, err := read(res)
		uploaded <- err == nil && a.body == "begin\nended\n"
	}()
	if _, err := io.WriteString(out, "begin\n"); err != nil {
		t.Fatal(err)
	}
	<-app.uploaded
	all = append(all, open{"/upload", func() bool {
		_, _ = io.WriteString(out, "ended\n")
		_ = out.Close()
		return <-uploaded
	}})
	if major == 1 {
		ws, _, err := websocket.Dial(t.Context(), "wss://"+host+"/websocket", &websocket.DialOptions{HTTPClient: c, HTTPHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, open{"/websocket", func() bool {
			defer ws.CloseNow()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, text, err := ws.Read(ctx)
			if err != nil && websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
				t.Errorf("the WebSocket from %s ends with %v", from, err)
			}
			return err == nil && string(text) == "ended"
		}})
	}
	return all
}

// Issue 12: what is connected already is cut, by whatever cause it would be refused
// now; what others have goes on to its end.
func TestWhatIsUnderWayIsCutWhenItsMarketIsWithdrawn(t *testing.T) {
	const before = "version: 1\njurisdictions: {JP: withdrawn}\n"
	for cause, withdraw := range map[string]func(*gate){
		"by the policy": func(g *gate) {
			testkit.ReplaceFile(g.t, g.policy, "version: 1\njurisdictions: {FR: withdrawn}\n")
		},
		"by a step that is due": func(g *gate) {
			soon := time.Now().Add(200 * time.Millisecond).UTC().Format(time.RFC3339Nano)
			testkit.ReplaceFile(g.t, g.policy, "version: 1\njurisdictions: {FR: {schedule: [{from: "+soon+", phase: withdrawn}]}}\n")
		},
		"by its routes": func(g *gate) {
			testkit.ReplaceFile(g.t, g.policy, "version: 1\nroutes: {everything: [/]}\njurisdictions: {FR: {features: {everything: withdrawn}}}\n")
		},
		"by another database": func(g *gate) {
			moved := geotest.Networks{}
			for network, code := range world {
				moved[network] = code
			}
			moved["2.0.0.0/16"] = "JP"
			geotest.Replace(g.t, g.geo, geotest.City(g.t, moved))
		},
	} {
		t.Run(cause, func(t *testing.T) {
			over(t, func(t *testing.T, major int) {
				app := newStreams()
				g := start(t, setup{policy: before, handler: app})
				g.app.keep.Store(false)
				french, german := openAll(t, g, app, major, france), openAll(t, g, app, major, germany)
				withdraw(g)
				testkit.Eventually(t, "all that was open is cut", func() bool {
					return g.metric("exitgate_connections_severed_total") >= float64(len(french))
				})
				if a := g.request(g.client(major), "/", france); a.status != 451 {
					t.Errorf("what comes anew gets %d", a.status)
				}
				var ending sync.WaitGroup
				for _, x := range french {
					ending.Go(func() {
						if x.ended() {
							t.Errorf("%s from France was served to its end", x.name)
						}
					})
				}
				ending.Wait()
				if major == 1 {
					testkit.Eventually(t, "the app is told, too", func() bool { return app.told.Load() == int64(websocket.StatusPolicyViolation) })
				}
				close(app.end)
				for _, x := range german {
					if !x.ended() {
						t.Errorf("%s from Germany was cut", x.name)
					}
				}
				if strings.Contains(g.log.String(), france) {
					t.Error("there is an address in the log")
				}
			})
		})
	}
}

// When the gateway is stopped, WebSockets are told at once, so that clients go elsewhere;
// what ends by itself has the drain.
func TestAWebSocketIsToldThatTheGatewayIsStopped(t *testing.T) {
	app := newStreams()
	g := start(t, setup{handler: app, configure: func(c *config.Config) { c.Drain = time.Hour }})
	g.app.keep.Store(false)
	others := openAll(t, g, app, 2, germany)
	ws, _, err := websocket.Dial(t.Context(), "wss://"+host+"/websocket", &websocket.DialOptions{HTTPClient: g.client(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	g.cancel()
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("it ends with %v", err)
	}
	close(app.end)
	for _, x := range others {
		if !x.ended() {
			t.Errorf("%s was cut", x.name)
		}
	}
}

// A request that the app hasn't answered yet gets the refusal that it would get now.
func TestARequestThatIsCutBeforeItsAnswerIsRefused(t *testing.T) {
	over(t, func(t *testing.T, major int) {
		asked := make(chan struct{}, 1)
		g := start(t, setup{policy: "version: 1\n", handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-r.Context().Done()
		})})
		answered := make(chan answer, 1)
		go func() {
			a, err := g.try(g.client(major), "/slow", france)
			if err != nil {
				t.Error(err)
			}
			answered <- a
		}()
		<-asked
		testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {FR: withdrawn}\n")
		if a := <-answered; a.status != 451 || !strings.Contains(a.body, "France") {
			t.Errorf("it gets %d %q", a.status, a.body)
		}
	})
}

// What is under way is shown by market, but for few of one, who could be singled out.
func TestWhatIsUnderWayIsMeasuredByMarket(t *testing.T) {
	end, begun := make(chan struct{}), make(chan struct{}, 15)
	g := start(t, setup{handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	})})
	g.app.keep.Store(false)
	var asking sync.WaitGroup
	for i := range 15 {
		from := france
		if i < 3 {
			from = germany
		}
		asking.Go(func() { g.request(g.client(1), "/", from) })
	}
	for range 15 {
		<-begun
	}
	for market, want := range map[string]float64{"FR": 12, "other": 3} {
		if n := g.metric(`exitgate_exchanges_active{jurisdiction="` + market + `"}`); n != want {
			t.Errorf("of %s there are %v, want %v", market, n, want)
		}
	}
	close(end)
	asking.Wait()
}

// Issue 12: what is under way goes on in the drain, while everything new is refused; and
// ends with it. A step's drain is over at its moment, and in one there is that another
// change shortens.
func TestWhatIsUnderWayEndsWithItsDrain(t *testing.T) {
	const before = "version: 1\n" + "jurisdictions: {JP: withdrawn}\n"
	withdrawn := func(drain string) string {
		return "version: 1\nwithdrawal: {drain: " + drain + "}\njurisdictions: {FR: withdrawn}\n"
	}
	for name, end := range map[string]func(g *gate, was []open){
		"by its end": func(g *gate, _ []open) {
			testkit.ReplaceFile(g.t, g.policy, withdrawn("1s"))
		},
		"before, if a later revision says so": func(g *gate, french []open) {
			testkit.ReplaceFile(g.t, g.policy, withdrawn("1h"))
			testkit.Eventually(g.t, "what is new is refused", func() bool { return g.request(g.client(1), "/", france).status == 451 })
			if n := g.metric("exitgate_connections_severed_total"); n != 0 {
				g.t.Errorf("%v are cut in the drain", n)
			}
			testkit.ReplaceFile(g.t, g.policy, withdrawn("0s"))
		},
		"at the moment of a step": func(g *gate, _ []open) {
			soon := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)
			testkit.ReplaceFile(g.t, g.policy, "version: 1\nwithdrawal: {drain: 1h}\njurisdictions: {FR: {schedule: [{from: "+soon+", phase: withdrawn}]}}\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			app := newStreams()
			g := start(t, setup{policy: before, handler: app})
			g.app.keep.Store(false)
			french, german := openAll(t, g, app, 1, france), openAll(t, g, app, 1, germany)
			end(g, french)
			testkit.Eventually(t, "all that was open is cut", func() bool {
				return g.metric("exitgate_connections_severed_total") >= float64(len(french))
			})
			if a := g.request(g.client(1), "/", france); a.status != 451 {
				t.Errorf("what comes anew gets %d", a.status)
			}
			for _, x := range french {
				if x.ended() {
					t.Errorf("%s from France was served to its end", x.name)
				}
			}
			close(app.end)
			for _, x := range german {
				if !x.ended() {
					t.Errorf("%s from Germany was cut", x.name)
				}
			}
		})
	}
}

// In a drain what is under way goes on, to its end if it has one, and nothing new is served
// beside it, on the same connection either.
func TestADrainServesNothingNew(t *testing.T) {
	over(t, func(t *testing.T, major int) {
		app := newStreams()
		g := start(t, setup{policy: "version: 1\njurisdictions: {JP: withdrawn}\n", handler: app})
		g.app.keep.Store(false)
		french := openAll(t, g, app, major, france)
		c := g.client(major)
		if a := g.request(c, "/", france); a.status != 200 {
			t.Fatalf("before, it gets %d", a.status)
		}
		testkit.ReplaceFile(t, g.policy, "version: 1\nwithdrawal: {drain: 1h}\njurisdictions: {FR: withdrawn}\n")
		testkit.Eventually(t, "the policy is in use", func() bool { return g.request(g.client(major), "/", france).status == 451 })
		for range 10 {
			if a := g.request(c, "/", france); a.status != 451 {
				t.Errorf("in the drain, it gets %d", a.status)
			}
		}
		close(app.end)
		for _, x := range french {
			if !x.ended() {
				t.Errorf("%s, which was under way, was cut", x.name)
			}
		}
	})
}

// Issue 12: a call of gRPC that is cut ends with a status, as one that comes anew does.
func TestACallOfGRPCThatIsCutEndsWithAStatus(t *testing.T) {
	server, serving := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, serving)
	t.Cleanup(server.Stop)
	t.Cleanup(serving.Shutdown) // ends what watches it
	g := start(t, setup{policy: "version: 1\njurisdictions: {JP: withdrawn}\n", handler: http.HandlerFunc(server.ServeHTTP)})
	g.app.keep.Store(false)
	conn, err := grpc.NewClient("passthrough:///"+g.at.HTTPS, grpc.WithTransportCredentials(credentials.NewTLS(g.transport(2).TLSClientConfig)), grpc.WithAuthority(host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	from := func(address string) (grpc.ServerStreamingClient[healthpb.HealthCheckResponse], error) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-forwarded-for", address)
		stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			return nil, err
		}
		_, err = stream.Recv()
		return stream, err
	}
	french, err := from(france)
	german, otherErr := from(germany)
	if err := errors.Join(err, otherErr); err != nil {
		t.Fatal(err)
	}
	testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {FR: withdrawn}\n")
	if _, err := french.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the call from France ends with %v", err)
	}
	if _, err := from(france); status.Code(err) != codes.PermissionDenied {
		t.Errorf("one that comes anew ends with %v", err)
	}
	serving.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	if m, err := german.Recv(); err != nil || m.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the call from Germany goes on with %v, %v", m, err)
	}
}
