package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// streams is an app whose answers go on until it is told to end them.
type streams struct {
	end      chan struct{}
	uploaded chan struct{} // the first line of an upload
}

func newStreams() *streams { return &streams{make(chan struct{}), make(chan struct{}, 1)} }

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/websocket":
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		select {
		case <-s.end:
			_ = c.Write(r.Context(), websocket.MessageText, []byte("ended"))
			_ = c.Close(websocket.StatusNormalClosure, "")
		case <-c.CloseRead(context.Background()).Done():
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

// When the gateway is stopped, a WebSocket that is open at the end of the drain is told.
func TestAWebSocketIsToldThatTheGatewayIsStopped(t *testing.T) {
	g := start(t, setup{handler: newStreams()})
	g.app.keep.Store(false)
	ws, _, err := websocket.Dial(t.Context(), "wss://"+host+"/websocket", &websocket.DialOptions{HTTPClient: g.client(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	g.cancel()
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("it ends with %v", err)
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
