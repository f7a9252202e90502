package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// An accessLine has all fields that a line of the access log may have.
type accessLine struct {
	Time                                         time.Time
	RequestID                                    string `json:"request_id"`
	Protocol, TLS, Method, App, Class            string
	Jurisdiction, Phase, Decision, Reason, Ended string
	Status                                       int
	Received                                     int64   `json:"bytes_received"`
	Sent                                         int64   `json:"bytes_sent"`
	Duration                                     float64 `json:"duration_seconds"`
	Upstream                                     float64 `json:"upstream_seconds"`
}

// String returns what doesn't differ from run to run; an absent field is "-".
func (l accessLine) String() string {
	words := []string{l.Protocol, l.TLS, l.Method, l.App, l.Class, l.Jurisdiction, l.Phase, l.Decision, l.Reason, fmt.Sprint(l.Status), fmt.Sprint(l.Received), fmt.Sprint(l.Sent), l.Ended}
	for i, word := range words {
		if word == "" {
			words[i] = "-"
		}
	}
	return strings.Join(words, " ")
}

// chosen is in everything that a client can choose.
const chosen = "ch0sen"

// withAccessLog adds an access log to a setup.
func withAccessLog(t *testing.T, s setup) (_ setup, file string) {
	file = filepath.Join(t.TempDir(), "access.log")
	configure := s.configure
	s.configure = func(c *config.Config) {
		if configure != nil {
			configure(c)
		}
		c.AccessLog.File = file
	}
	return s, file
}

// accessLines waits for so many lines, in a file that has no others, and returns them.
func accessLines(t *testing.T, file string, n int) (lines []accessLine) {
	t.Helper()
	var content []byte
	testkit.Eventually(t, fmt.Sprint(n, " lines are written"), func() (ok bool) {
		content, _ = os.ReadFile(file)
		return strings.Count(string(content), "\n") >= n
	})
	if strings.Contains(strings.ToLower(string(content)), chosen) {
		t.Errorf("a client chose some of %s", content)
	}
	for text := range strings.Lines(string(content)) {
		var l accessLine
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	if len(lines) != n {
		t.Errorf("there are %d lines, want %d: %s", len(lines), n, content)
	}
	return lines
}

// logged is an app with an answer of each kind.
var logged = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", "of-the-app")
	switch r.URL.Path {
	case "/short":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
	case "/early": // an answer before the answer
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "served\n")
	case "/websocket":
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, message, err := c.Read(context.Background())
			if err != nil || c.Write(context.Background(), kind, message) != nil {
				return
			}
		}
	default:
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", int(5*n)+7))
	}
})

const loggedPolicy = `
version: 1
routes: {sign-up: [POST /signup], essential: [/legal/]}
jurisdictions: {FR: {phase: withdrawn, territories: none}, DE: closed-to-new, US-MS: announced}
`

// Each exchange with what its line says, its answer's id that of the line and, if it was
// forwarded, of the app.
func TestTheAccessLogSaysOfEachExchange(t *testing.T) {
	over(t, func(t *testing.T, major int) {
		protocol := map[int]string{1: "http/1.1", 2: "h2", 3: "h3"}[major]
		for _, test := range []struct {
			line, from string
			body       int
			header     http.Header
			want       string // behind the protocol
		}{
			{line: "/", from: america, want: "1.3 GET app.example other default open forward default 200 0 7 -"},
			{line: "/" + chosen + "?" + chosen + "=1", from: mississippi, want: "1.3 GET app.example other US-MS announced forward entry 200 0 7 -"},
			{line: "POST /upload", from: america, body: 1001, want: "1.3 POST app.example other default open forward default 200 1024 5120 -"},
			{line: "POST /signup", from: germany, body: 1001, want: "1.3 POST app.example sign-up DE closed-to-new refuse entry 451 0 * -"},
			{line: "/", from: france, want: "1.3 GET app.example other FR withdrawn refuse entry 451 0 * -"},
			{line: "HEAD /", from: france, want: "1.3 HEAD app.example other FR withdrawn refuse entry 451 0 0 -"},
			{line: "OPTIONS /", from: france, header: http.Header{"Origin": {"https://" + chosen + ".example"}, "Access-Control-Request-Method": {"PUT"}},
				want: "1.3 OPTIONS app.example other FR withdrawn refuse entry 204 0 0 -"},
			{line: "/legal/" + chosen, from: france, want: "1.3 GET app.example essential FR withdrawn forward entry 200 0 7 -"},
			{line: strings.ToUpper(chosen) + " /", from: america, want: "1.3 other app.example other default open forward default 200 0 7 -"},
			{line: "/early", from: america, want: "1.3 GET app.example other default open forward default 200 0 7 -"},
			{line: "/short", from: america, want: "1.3 GET app.example other default open forward default 200 0 5 aborted"},
			{line: "/", from: "garbage" + chosen, want: "1.3 GET app.example - - - reject malformed 400 0 * -"},
			{line: "POST /x/../signup", from: germany, want: "1.3 POST app.example - - - reject ambiguous-path 400 0 * -"},
			{line: "/", from: america, header: http.Header{"Host": {chosen + ".example"}}, want: "1.3 GET - - - - reject unknown-host 421 0 * -"},
			{line: "TRACE /", from: america, want: "1.3 TRACE app.example - - - reject method 405 0 * -"},
			{line: "/.well-known/market-status", from: france, want: "1.3 GET app.example - - - own market-status 200 0 * -"},
			{line: "/.well-known/exitgate/health", want: "1.3 GET - - - - own health-check 200 0 3 -"},
		} {
			t.Run(strings.ReplaceAll(test.line, "/", "|")+" "+test.from, func(t *testing.T) {
				s, file := withAccessLog(t, setup{policy: loggedPolicy, handler: logged})
				g := start(t, s)
				method, path, ok := strings.Cut(test.line, " ")
				if !ok {
					method, path = http.MethodGet, test.line
				}
				r, err := http.NewRequest(method, "https://"+host+path, strings.NewReader(strings.Repeat("b", test.body)))
				if err != nil {
					t.Fatal(err)
				}
				r.Header = http.Header{
					"User-Agent": {chosen}, "Referer": {"https://" + chosen + ".example/"}, "Cookie": {"session=" + chosen}, "Authorization": {"Bearer " + chosen},
					"Accept-Language": {chosen}, "X-Forwarded-Proto": {chosen},
				}
				if test.from != "" {
					r.Header.Set("X-Forwarded-For", test.from)
				}
				for name, values := range test.header {
					if r.Header[name] = values; name == "Host" {
						r.Host = values[0]
					}
				}
				res, err := g.client(major).Do(r)
				switch {
				case err == nil:
					_, _ = read(res) // a short one has an error
				case path == "/short": // or comes to nothing
					res = nil
				default:
					t.Fatal(err)
				}
				l := accessLines(t, file, 1)[0]
				want := protocol + " " + test.want
				if star := strings.Index(want, " * "); star >= 0 {
					if l.Sent == 0 {
						t.Error("nothing was sent")
					}
					want = want[:star] + fmt.Sprintf(" %d ", l.Sent) + want[star+3:]
				}
				if got := l.String(); got != want {
					t.Errorf("it is\n%s, want\n%s", got, want)
				}
				if res != nil {
					if ids := res.Header["X-Request-Id"]; len(ids) != 1 || ids[0] != l.RequestID || len(l.RequestID) != 26 {
						t.Errorf("the answer has the ids %q, and the line %s", ids, l.RequestID)
					}
				}
				asked := g.app.asked()
				if (l.Decision == "forward") != (len(asked) == 1) || len(asked) == 1 && asked[0].header.Get("X-Request-Id") != l.RequestID {
					t.Errorf("the app was asked %v", asked)
				}
				if l.Duration <= 0 || (l.Upstream > 0) != (l.Decision == "forward") || l.Upstream > l.Duration || time.Since(l.Time) > patience {
					t.Errorf("it ended at %s after %v s, %v of them for the app", l.Time, l.Duration, l.Upstream)
				}
				if secret := (secrets{france: true, germany: true, america: true, mississippi: true, "127.0.0.1": true}); len(secret.in(testRead(t, file))) > 0 {
					t.Errorf("there is an address in %s", testRead(t, file))
				}
				if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
					t.Errorf("its file is %v, %v", info.Mode(), err)
				}
			})
		}
	})
}

func testRead(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestTheAccessLogSaysWhatOnlyWouldBeRefused(t *testing.T) {
	s, file := withAccessLog(t, setup{policy: "version: 1\nmode: observe\njurisdictions: {FR: withdrawn}\n"})
	g := start(t, s)
	g.request(g.client(2), "/", france)
	if got := accessLines(t, file, 1)[0].String(); got != "h2 1.3 GET app.example other FR withdrawn would-refuse entry 200 0 7 -" {
		t.Errorf("it is %s", got)
	}
}

func TestTheAccessLogSaysWhereAFlagWithholdsTheService(t *testing.T) {
	s, file := withAccessLog(t, setup{policy: promising})
	g, _ := breached(t, s, "FR", france)
	g.request(g.client(2), "/", germany)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	all := accessLines(t, file, strings.Count(testRead(t, file), "\n"))
	for line, want := range map[accessLine]string{
		all[len(all)-2]: "FR withdrawn refuse guarantee", all[len(all)-1]: "default open forward default",
	} {
		if !strings.Contains(line.String(), " other "+want+" ") {
			t.Errorf("it is %s, want %s", line, want)
		}
	}
}

func TestTheAccessLogSaysWhatTheOtherListenersAndProtocolsAre(t *testing.T) {
	s, file := withAccessLog(t, setup{policy: loggedPolicy, handler: logged})
	g := start(t, s)
	if got := g.raw(lines("GET / HTTP/1.0", "Host: "+host, "X-Forwarded-For: "+america)); len(got.header["X-Request-Id"]) != 1 {
		t.Errorf("the answer's ids are %q", got.header["X-Request-Id"])
	}
	res, err := g.client(1).Get("http://" + host + "/" + chosen)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = read(res)
	all := accessLines(t, file, 2)
	for i, want := range []string{
		"http/1.0 1.3 GET app.example other default open forward default 200 0 7 -",
		"http/1.1 - GET app.example - - - own redirect 308 0 0 -",
	} {
		if got := all[i].String(); got != want {
			t.Errorf("it is\n%s, want\n%s", got, want)
		}
	}
	if ids := res.Header["X-Request-Id"]; len(ids) != 1 || ids[0] != all[1].RequestID || ids[0] == all[0].RequestID {
		t.Errorf("the redirect has the ids %q", ids)
	}
}

func TestTheAccessLogSaysHowAWebSocketEnds(t *testing.T) {
	for ended, end := range map[string]func(*gate, *websocket.Conn){
		"-": func(_ *gate, ws *websocket.Conn) { _ = ws.Close(websocket.StatusNormalClosure, "") },
		"severed": func(g *gate, _ *websocket.Conn) {
			testkit.ReplaceFile(g.t, g.policy, "version: 1\njurisdictions: {US: withdrawn}\n")
		},
	} {
		t.Run(ended, func(t *testing.T) {
			s, file := withAccessLog(t, setup{policy: "version: 1\n", handler: logged})
			g := start(t, s)
			ws, res, err := websocket.Dial(t.Context(), "wss://"+host+"/websocket", &websocket.DialOptions{HTTPClient: g.client(1), HTTPHeader: http.Header{"X-Forwarded-For": {america}}})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			if err := ws.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat(chosen, 1000))); err != nil {
				t.Fatal(err)
			}
			ws.SetReadLimit(-1)
			if _, _, err := ws.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			reading := ws.CloseRead(t.Context())
			end(g, ws)
			<-reading.Done()
			l := accessLines(t, file, 1)[0]
			if l.Received < 6000 || l.Sent < 6000 || l.Received > 7000 || l.Sent > 7000 {
				t.Errorf("%d bytes came and %d went", l.Received, l.Sent)
			}
			want := fmt.Sprintf("websocket 1.3 GET app.example other default open forward default 101 %d %d %s", l.Received, l.Sent, ended)
			if ids := res.Header["X-Request-Id"]; l.String() != want || len(ids) != 1 || ids[0] != l.RequestID {
				t.Errorf("the ids are %q, and it is\n%s, want\n%s", ids, l, want)
			}
		})
	}
}

// The app hangs when its market is withdrawn: what the client gets is what is logged.
func TestWhatIsCutBeforeItIsAnsweredIsLoggedAsRefused(t *testing.T) {
	asked := make(chan struct{})
	s, file := withAccessLog(t, setup{policy: "version: 1\n", handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})})
	g := start(t, s)
	done := make(chan answer)
	go func() {
		a, _ := g.try(g.client(2), "/", america)
		done <- a
	}()
	<-asked
	testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {US: withdrawn}\n")
	a := <-done
	l := accessLines(t, file, 1)[0]
	if got, want := l.String(), fmt.Sprintf("h2 1.3 GET app.example other US withdrawn refuse entry 451 0 %d -", l.Sent); a.status != 451 || got != want || a.header.Get("X-Request-Id") != l.RequestID {
		t.Errorf("it is\n%s, want\n%s", got, want)
	}
}

func TestAnAccessLogThatTakesNothingHoldsUpNoRequest(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for name, file := range map[string]string{"slow": pipe, "full": "/dev/full"} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(file); err != nil {
				t.Skip(err)
			}
			g := start(t, setup{policy: loggedPolicy, configure: func(c *config.Config) { c.AccessLog.File = file }})
			g.app.keep.Store(false)
			c, n := g.client(2), 1000 // more than a pipe takes
			for range n {
				if a := g.request(c, "/", france); a.status != 451 {
					t.Fatalf("it gets %d", a.status)
				}
			}
			if name == "full" {
				testkit.Eventually(t, "all are counted as lost", func() bool { return g.metric("exitgate_access_log_lines_lost_total") == float64(n) })
				if len(g.log.Lines("access log can't be written")) != 1 {
					t.Error("it isn't said")
				}
				return
			}
			go func() { _, _ = io.Copy(io.Discard, reader) }() // so that the gateway can end
			testkit.Eventually(t, "nothing is lost", func() bool { return g.metric("exitgate_access_log_lines_lost_total") == 0 })
		})
	}
}

func TestWithoutAnAccessLogThereIsNone(t *testing.T) {
	g := start(t, setup{policy: loggedPolicy})
	before := g.log.String()
	a := g.request(g.client(1), "/", france)
	if got := g.log.String(); got != before || len(a.header["X-Request-Id"]) != 1 {
		t.Errorf("the log says %s", strings.TrimPrefix(got, before))
	}
}

// A 1xx answer of the app empties the header that is to come.
func TestTheGatewaysFieldsStayBehindAnEarlyAnswer(t *testing.T) {
	over(t, func(t *testing.T, major int) {
		for _, scheme := range []string{"http://", "h2c://"} {
			app := newApp(t, logged)
			g := start(t, setup{policy: "version: 1\n", upstreams: []string{scheme + strings.TrimPrefix(app.URL, "http://")}, configure: func(c *config.Config) { c.TLS.HSTS.MaxAge = time.Hour }})
			a := g.request(g.client(major), "/early", america)
			if ids := a.header["X-Request-Id"]; len(ids) != 1 || ids[0] == "of-the-app" {
				t.Errorf("with %s the ids are %q", scheme, ids)
			}
			if got := a.header["Strict-Transport-Security"]; len(got) != 1 || got[0] != "max-age=3600" {
				t.Errorf("with %s Strict-Transport-Security is %q", scheme, got)
			}
		}
	})
}

// Trace contexts (https://www.w3.org/TR/trace-context/) go to the app as they are, whichever
// way it is asked.
func TestTraceContextsAreForwarded(t *testing.T) {
	trace := http.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "Tracestate": {"rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"}}
	over(t, func(t *testing.T, major int) {
		for _, scheme := range []string{"http://", "h2c://"} {
			app := newApp(t, nil)
			g := start(t, setup{policy: "version: 1\n", upstreams: []string{scheme + strings.TrimPrefix(app.URL, "http://")}})
			for _, method := range []string{"GET", "POST"} {
				r, err := http.NewRequest(method, "https://"+host+"/", strings.NewReader(map[string]string{"POST": "a body"}[method]))
				if err != nil {
					t.Fatal(err)
				}
				r.Header = trace.Clone()
				res, err := g.client(major).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = read(res)
				asked := app.asked()
				if len(asked) != 1 {
					t.Fatalf("the app was asked %v", asked)
				}
				for name, want := range trace {
					if got := asked[0].header[name]; fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s over %s: %s is %q", method, scheme, name, got)
					}
				}
			}
		}
	})
}
