package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

func TestAPortThatIsInUseIsNamedWithTheSettingToChange(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for setting, configure := range map[string]func(*config.Config){
		"listen.https": func(c *config.Config) { c.Listen.HTTPS = address },
		"listen.http":  func(c *config.Config) { c.Listen.HTTP.Address = address },
		"admin.listen": func(c *config.Config) { c.Admin.Listen = address },
	} {
		_, err := tryStart(t, setup{configure: configure})
		want := "listen tcp " + address + ": bind: " + syscall.EADDRINUSE.Error() + "; choose another address for " + setting
		if err == nil || err.Error() != want {
			t.Errorf("it says %v, want %s", err, want)
		}
	}
}

func TestADataFolderThatCantBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	testkit.WriteFile(t, file, "")
	_, err := tryStart(t, setup{configure: func(c *config.Config) { c.Data = filepath.Join(file, "data") }})
	want := "data folder: mkdir " + file + ": " + syscall.ENOTDIR.Error() + "; choose another with --data"
	if err == nil || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
}

func TestAGateWithoutAnAppSaysHowToGiveItOne(t *testing.T) {
	_, err := tryStart(t, setup{configure: func(c *config.Config) { c.Apps = nil }})
	if want := "there is no app to stand in front of; add one under apps:, or give --to URL"; err == nil || err.Error() != want {
		t.Errorf("it says %v", err)
	}
}

func TestBothProtocolsAreSpokenAndTheirConnectionsCounted(t *testing.T) {
	inside := make(chan struct{})
	release := make(chan struct{})
	g := start(t, setup{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-release
	})})
	var asking sync.WaitGroup
	for _, major := range []int{1, 1, 2, 2} {
		c := g.client(major)
		asking.Go(func() {
			res, err := c.Get("https://" + host + "/")
			if err != nil {
				t.Error(err)
				return
			}
			if res.ProtoMajor != major {
				t.Errorf("it speaks %s", res.Proto)
			}
			res.Body.Close()
			c.CloseIdleConnections()
		})
	}
	for range 4 {
		<-inside
	}
	for _, protocol := range []string{"http/1.1", "h2"} {
		if n := g.metric(`exitgate_connections_active{protocol="` + protocol + `"}`); n != 2 {
			t.Errorf("%v connections of %s are counted", n, protocol)
		}
	}
	close(release)
	asking.Wait()
	testkit.Eventually(t, "no connection is counted any more", func() bool { return g.sum("exitgate_connections_active") == 0 })
}

// stopping begins to stop the gate, and returns once it accepts nothing more.
func (g *gate) stopping() {
	g.t.Helper()
	g.cancel()
	testkit.Eventually(g.t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", g.at.HTTPS)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// slowApp is an app with everything that takes its time: it goes on while alive,
// and then completes.
type slowApp struct {
	alive chan struct{}
	begun chan string // what has
}

func (b *slowApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wait := func() bool {
		select {
		case <-b.alive:
			return true
		case <-r.Context().Done():
			return false
		}
	}
	switch r.URL.Path {
	case "/websocket":
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		b.begun <- r.URL.Path
		ctx := c.CloseRead(context.Background())
		select {
		case <-b.alive:
			c.Write(ctx, websocket.MessageText, []byte("end\n"))
			c.Close(websocket.StatusNormalClosure, "")
		case <-ctx.Done():
		}
		return
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
	case "/grpc":
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		defer w.Header().Set("Grpc-Status", "0")
	}
	io.WriteString(w, "begin\n")
	http.NewResponseController(w).Flush()
	b.begun <- r.URL.Path
	if wait() {
		io.WriteString(w, "end\n")
	}
}

// keepBusy begins one of each, and returns what came of them, by path, once
// all have ended.
func keepBusy(t *testing.T, g *gate, b *slowApp) (ended func() map[string]string) {
	t.Helper()
	var mu sync.Mutex
	var running sync.WaitGroup
	got := map[string]string{}
	report := func(path, what string) {
		mu.Lock()
		defer mu.Unlock()
		got[path] = what
	}
	for path, major := range map[string]int{"/long": 1, "/events": 2, "/grpc": 2} {
		c := g.client(major)
		r, _ := http.NewRequest("GET", "https://"+host+path, nil)
		if path == "/grpc" {
			body, end := io.Pipe()
			go func() {
				<-b.alive
				end.Close()
			}()
			t.Cleanup(func() { end.Close() })
			r, _ = http.NewRequest("POST", "https://"+host+path, body)
			r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "X-Dont-Read": {"1"}}
		}
		running.Go(func() {
			res, err := c.Do(r)
			if err != nil {
				report(path, "no answer")
				return
			}
			a, err := read(res)
			if err != nil {
				a.body += "cut off"
			}
			report(path, a.body+res.Trailer.Get("Grpc-Status"))
		})
	}
	c := g.client(1)
	running.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ws, _, err := websocket.Dial(ctx, "wss://"+host+"/websocket", &websocket.DialOptions{HTTPClient: c})
		if err != nil {
			report("/websocket", err.Error())
			return
		}
		defer ws.CloseNow()
		_, text, err := ws.Read(ctx)
		if err != nil {
			text = []byte("cut off")
		}
		report("/websocket", string(text))
		ws.Read(ctx) // until it is closed
	})
	for range 4 {
		<-b.begun
	}
	return func() map[string]string {
		running.Wait()
		return got
	}
}

func TestWhatIsUnderWayFinishesWithinTheDrain(t *testing.T) {
	b := &slowApp{alive: make(chan struct{}), begun: make(chan string)}
	g := start(t, setup{handler: b, configure: func(c *config.Config) { c.Drain = patience }})
	ended := keepBusy(t, g, b)
	if n := g.metric(`exitgate_connections_active{protocol="websocket"}`); n != 1 {
		t.Errorf("%v WebSockets are counted", n)
	}
	g.stopping()
	if status, checks := g.ready(); status != http.StatusServiceUnavailable || checks["listener"].Detail != "stopping: finishing what is under way" {
		t.Errorf("/readyz answers %d with %+v", status, checks["listener"])
	}
	select {
	case <-g.done:
		t.Fatal("it stopped before they had finished")
	default:
	}
	close(b.alive)
	want := map[string]string{"/long": "begin\nend\n", "/events": "begin\nend\n", "/grpc": "begin\nend\n0", "/websocket": "end\n"}
	if d := cmp.Diff(want, ended()); d != "" {
		t.Error(d)
	}
	<-g.done
	if g.failed != nil {
		t.Errorf("Serve returned %v", g.failed)
	}
	if len(g.log.Lines("the drain is over")) != 0 {
		t.Error("something is said to have been cut off")
	}
}

func TestWhatHasNotFinishedWhenTheDrainIsOverIsCutOff(t *testing.T) {
	b := &slowApp{alive: make(chan struct{}), begun: make(chan string)}
	g := start(t, setup{handler: b, configure: func(c *config.Config) { c.Drain = 50 * time.Millisecond }})
	ended := keepBusy(t, g, b)
	g.cancel()
	<-g.done
	defer close(b.alive)
	if g.failed != nil {
		t.Errorf("Serve returned %v", g.failed)
	}
	for path, got := range ended() {
		if !strings.HasSuffix(got, "cut off") {
			t.Errorf("%s got %q", path, got)
		}
	}
	if len(g.log.Lines("the drain is over; cutting off what is left")) != 1 {
		t.Error("it isn't in the log")
	}
}

func TestTheAdminListenerAnswersLoopbackNamesOnly(t *testing.T) {
	g := start(t, setup{})
	ask := func(name, path string) (int, http.Header) {
		r, _ := http.NewRequest("GET", "http://"+g.at.Admin+path, nil)
		r.Host = name
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode, res.Header
	}
	for name, want := range map[string]int{
		"localhost": 200, "localhost:8600": 200, "127.0.0.1": 200, "127.9.9.9:1": 200, "[::1]:8600": 200,
		"evil.example": 421, "127.0.0.1.evil.example": 421, "192.0.2.7": 421, "localhost.": 421, "[::2]": 421,
	} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			if got, _ := ask(name, path); got != want {
				t.Errorf("as %s, %s answers %d, want %d", name, path, got, want)
			}
		}
	}
	if got, h := ask("localhost", "/"); got != 303 || !strings.HasPrefix(h.Get("Location"), "/sign-in?") {
		t.Errorf("/ answers %d, %v", got, h)
	}
	if _, h := ask("localhost", "/healthz"); h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" {
		t.Errorf("/healthz answers with %v", h)
	}
	// None of it is on the public listener.
	for _, path := range []string{"/metrics", "/readyz"} {
		if a := g.request(g.client(1), path, ""); a.body != "served\n" {
			t.Errorf("in public, %s answers %s", path, a.body)
		}
	}
}

func TestThePlainListenerRedirects(t *testing.T) {
	g := start(t, setup{configure: func(c *config.Config) {
		c.Apps[0].Hosts = []string{host, "*.app.example", "127.0.0.1"}
	}})
	_, port, _ := net.SplitHostPort(g.at.HTTPS)
	for _, test := range []struct {
		line, host string
		status     int
		location   string
	}{
		{"GET /", host, 308, "https://" + host + "/"},
		{"GET /", host + ":8080", 308, "https://" + host + ":" + port + "/"},
		{"GET /a%2Fb/?c=d%26e", "x." + host, 308, "https://x." + host + "/a%2Fb/?c=d%26e"},
		{"POST /signup", host, 308, "https://" + host + "/signup"},
		{"GET //evil.example/", host, 308, "https://" + host + "//evil.example/"},
		{"GET http://app.example/x?y", host, 308, "https://" + host + "/x?y"},
		{"GET http://evil.example/", host, 421, ""},
		{"GET /", "APP.example.:80", 308, "https://" + host + ":" + port + "/"},
		{"GET /", "127.0.0.1", 308, "https://127.0.0.1/"},
		{"GET /", "evil.example", 421, ""},
		{"GET /", "evil.example@app.example", 400, ""},
		{"GET *", host, 400, ""},
		{"OPTIONS *", host, 400, ""},
		{"GET /#x", host, 400, ""},
		{"GET @evil.example", host, 400, ""},
		{"CONNECT app.example:443", host, 405, ""},
	} {
		c, err := net.Dial("tcp", g.at.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, lines(test.line+" HTTP/1.1", "Host: "+test.host))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s for %s: %v", test.line, test.host, err)
		}
		res.Body.Close()
		if got := res.Header.Get("Location"); res.StatusCode != test.status || got != test.location {
			t.Errorf("%s for %s answers %d to %q, want %d to %q", test.line, test.host, res.StatusCode, got, test.status, test.location)
		}
		c.Close()
	}
	g.untouched(t)
}

func TestABodyThatNeverComesDoesntHoldUpTheRedirect(t *testing.T) {
	g := start(t, setup{})
	c, err := net.Dial("tcp", g.at.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, lines("POST / HTTP/1.1", "Host: "+host, "Content-Length: 1000"))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 308 ") {
		t.Errorf("it answers %q, %v", answer, err)
	}
}

// startWithShortTimeouts makes a gate that is not patient with clients.
func startWithShortTimeouts(t *testing.T, h http.Handler) *gate {
	return start(t, setup{handler: h, configure: func(c *config.Config) {
		c.Limits.HeaderTimeout = 100 * time.Millisecond
		c.Limits.IdleTimeout = 100 * time.Millisecond
		c.Limits.StallTimeout = 100 * time.Millisecond
	}})
}

// closes waits until the gate closes a connection, and returns what came before.
func closes(t *testing.T, c net.Conn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c)
	if wait, ok := err.(net.Error); ok && wait.Timeout() {
		t.Errorf("the connection stays open; it got %q", got)
	}
	return string(got)
}

func TestSlowClientsAreCutOff(t *testing.T) {
	g := startWithShortTimeouts(t, nil)
	t.Run("one that does no handshake", func(t *testing.T) {
		c, err := net.Dial("tcp", g.at.HTTPS)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		closes(t, c)
	})
	t.Run("one that sends nothing", func(t *testing.T) {
		c, _ := g.dial()
		if got := closes(t, c); got != "" {
			t.Errorf("it gets %q", got)
		}
	})
	t.Run("one that sends its header byte by byte", func(t *testing.T) {
		c, _ := g.dial()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, b := range []byte(lines("GET / HTTP/1.1", "Host: "+host, "X: "+strings.Repeat("x", 10000))) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		closes(t, c)
		c.Close()
		<-ended
	})
	t.Run("one that stays without asking again", func(t *testing.T) {
		c, r := g.dial()
		io.WriteString(c, lines("GET / HTTP/1.1", "Host: "+host))
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
		closes(t, c)
	})
	g.app.asked()
	t.Run("one that doesn't send its body", func(t *testing.T) {
		c, _ := g.dial()
		io.WriteString(c, lines("POST / HTTP/1.1", "Host: "+host, "Content-Length: 10")+"abc")
		if got := closes(t, c); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("it gets %q", got)
		}
	})
	if a := g.request(g.client(1), "/", ""); a.status != 200 {
		t.Errorf("then others get %d", a.status)
	}
}

func TestAClientThatDoesntReadItsAnswerIsCutOff(t *testing.T) {
	gone := make(chan struct{})
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	// Not startWithShortTimeouts: the request itself may take its time on a busy machine.
	g := start(t, setup{handler: endless, configure: func(c *config.Config) { c.Limits.StallTimeout = 100 * time.Millisecond }})
	c, _ := g.dial()
	io.WriteString(c, lines("GET / HTTP/1.1", "Host: "+host))
	select {
	case <-gone:
	case <-time.After(patience):
		t.Error("the app goes on for ever")
	}
}

func TestABodyBeyondTheLimitIsTooLarge(t *testing.T) {
	g := start(t, setup{configure: func(c *config.Config) { c.Limits.Body = 10 }})
	over(t, func(t *testing.T, major int) {
		for _, test := range []struct {
			bytes   int
			chunked bool
			status  int
		}{{10, false, 200}, {11, false, 413}, {10, true, 200}, {11, true, 413}, {1 << 20, false, 413}, {1 << 20, true, 413}} {
			var body io.Reader = strings.NewReader(strings.Repeat("x", test.bytes))
			if test.chunked {
				body = io.MultiReader(body)
			}
			r, _ := http.NewRequest("POST", "https://"+host+"/", body)
			res, err := g.client(major).Do(r)
			if err != nil {
				t.Errorf("%+v: %v", test, err)
				continue
			}
			if res.Body.Close(); res.StatusCode != test.status {
				t.Errorf("%+v gets %d", test, res.StatusCode)
			}
		}
	})
	for _, s := range g.app.asked() {
		if len(s.body) > 10 {
			t.Errorf("the app saw %d bytes", len(s.body))
		}
	}
}

func TestAStartWithAWrongPolicyIsByTheLastGoodOne(t *testing.T) {
	g := start(t, setup{policy: twoRefused})
	testkit.WriteFile(t, g.policy, "version: 1\njurisdictions: {FR: opne}\n")
	g = g.restart(setup{})
	for from, want := range map[string]int{france: 451, mississippi: 451, germany: 200} {
		if a := g.request(g.client(1), "/", from); a.status != want {
			t.Errorf("from %s it gets %d", from, a.status)
		}
	}
	g.policyFailsAtStart(t, `"opne" is not a phase`)
	if len(g.log.Lines("level=ERROR", "starting with the last good policy instead", "last-good-policy.yaml")) != 1 {
		t.Error("it isn't in the log")
	}
	// Also without the file.
	if err := os.Remove(g.policy); err != nil {
		t.Fatal(err)
	}
	g = g.restart(setup{})
	if a := g.request(g.client(1), "/", france); a.status != 451 {
		t.Errorf("without the file it gets %d", a.status)
	}
	g.policyFailsAtStart(t, syscall.ENOENT.Error())
	testkit.WriteFile(t, g.policy, "version: 1\n")
	g.policyHolds(t)
	if a := g.request(g.client(1), "/", france); a.status != 200 {
		t.Errorf("by the good one it gets %d", a.status)
	}
}

func (g *gate) policyFailsAtStart(t *testing.T, words string) {
	t.Helper()
	if _, checks := g.ready(); checks["policy"].OK || !contains(checks["policy"].Detail, words) {
		t.Errorf("/readyz says %+v", checks["policy"])
	}
	if g.metric("exitgate_policy_last_apply_successful") != 0 || g.metric("exitgate_policy_apply_failures_total") != 1 {
		t.Error("the metrics don't show it")
	}
}

func TestAFirstStartWithAWrongPolicyFailsAndSaysWhy(t *testing.T) {
	_, err := tryStart(t, setup{policy: "version: 1\njurisdictions: {FR: opne}\n"})
	if err == nil || !contains(err.Error(), "policy.yaml:2:") || !contains(err.Error(), `"opne" is not a phase`) {
		t.Errorf("it says %v", err)
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	_, err = tryStart(t, setup{configure: func(c *config.Config) { c.Policy.File = missing }})
	if !errors.Is(err, fs.ErrNotExist) || !contains(err.Error(), "policy: ") || !contains(err.Error(), missing) {
		t.Errorf("it says %v", err)
	}
}

// An unreliableApp does with each connection what its mode says.
type unreliableApp struct {
	url  string
	mode atomic.Value // string
}

func newUnreliableApp(t *testing.T) *unreliableApp {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &unreliableApp{url: "http://" + l.Addr().String()}
	f.mode.Store("well")
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				switch f.mode.Load() {
				case "well":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
				case "slow":
					<-ended
				case "reset":
					c.(*net.TCPConn).SetLinger(0)
				case "closes":
				case "short":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok\n")
				case "long":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil\n")
				case "two lengths":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 8\r\n\r\nok\nevil\n")
				case "chunks cut short":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\n\r\n")
				case "garbage":
					io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
				case "huge":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
				}
			})
		}
	})
	t.Cleanup(func() {
		close(ended)
		l.Close()
		running.Wait()
	})
	return f
}

func TestAnAppThatFailsIsSaidToAndServedAgainWhenItIsBack(t *testing.T) {
	f := newUnreliableApp(t)
	g := start(t, setup{upstreams: []string{f.url}, configure: func(c *config.Config) { c.Limits.UpstreamTimeout = 200 * time.Millisecond }})
	const (
		notAnswered = "502 Bad Gateway\nThe service did not answer. Try again later.\n"
		invalid     = "502 Bad Gateway\nThe service gave no valid answer. Try again later.\n"
		late        = "504 Gateway Timeout\nThe service took too long to answer. Try again later.\n"
	)
	over(t, func(t *testing.T, major int) {
		c := g.client(major)
		for mode, want := range map[string]string{
			"slow": late, "reset": notAnswered, "closes": notAnswered, "garbage": invalid, "two lengths": invalid, "huge": invalid,
			"short": "cut off", "chunks cut short": "cut off", "long": "ok\n",
		} {
			f.mode.Store(mode)
			a, err := g.try(c, "/", "")
			got := a.body
			if err != nil {
				got = "cut off"
			}
			if got != want {
				t.Errorf("%s: it gets %d, %q, %v", mode, a.status, got, err)
			}
			f.mode.Store("well")
			if a := g.request(c, "/", ""); a.status != 200 || a.body != "ok\n" {
				t.Errorf("after %s it gets %d, %q", mode, a.status, a.body)
			}
		}
	})
	if n := g.metric(`exitgate_upstream_requests_total{code="504",upstream="` + f.url + `"}`); n != 3 {
		t.Errorf("%v time-outs are counted", n)
	}
}

func TestAnAppThatIsDownIsServedWhenItIsUp(t *testing.T) {
	address := fmt.Sprint("127.0.0.1:", testkit.FreePort(t))
	g := start(t, setup{upstreams: []string{"http://" + address}, policy: twoRefused})
	c := g.client(2)
	if a := g.request(c, "/", germany); a.status != 502 || a.body != "502 Bad Gateway\nThe service did not answer. Try again later.\n" {
		t.Errorf("it gets %d, %q", a.status, a.body)
	}
	if a := g.request(c, "/", france); a.status != 451 {
		t.Errorf("who is refused gets %d", a.status)
	}
	if len(g.log.Lines("upstream failed", syscall.ECONNREFUSED.Error(), "start the app")) != 1 {
		t.Error("it isn't in the log")
	}
	app := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "up") })}
	go app.ListenAndServe()
	defer app.Close()
	testkit.Eventually(t, "it is served", func() bool { return g.request(c, "/", germany).status == 200 })
}

func TestALoadBalancerThatOnlyConnectsIsNoError(t *testing.T) {
	g := start(t, setup{})
	for range 3 {
		c, err := tls.Dial("tcp", g.at.HTTPS, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		raw, err := net.Dial("tcp", g.at.HTTPS)
		if err != nil {
			t.Fatal(err)
		}
		raw.Close()
	}
	if a := g.request(g.client(1), "/", ""); a.status != 200 {
		t.Errorf("then it gets %d", a.status)
	}
	if lines := g.log.Lines("level=ERROR"); len(lines) > 0 {
		t.Errorf("the log says %s", lines)
	}
}

func TestADataFolderWithALongPathOnlyCostsTheSocket(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	g := start(t, setup{policy: twoRefused, configure: func(c *config.Config) { c.Data = long }})
	if a := g.request(g.client(1), "/", mississippi); a.status != 451 || g.at.Socket != "" {
		t.Errorf("it answers %d, and listens on %q", a.status, g.at.Socket)
	}
	if len(g.log.Lines("level=ERROR", "operators can't use the socket", "choose a data folder with a shorter path")) != 1 {
		t.Error("the log doesn't say so")
	}
}
