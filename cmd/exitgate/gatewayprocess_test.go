package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// patience is how long a test waits for what should happen soon. No verdict
// depends on how long it took.
const patience = time.Minute

// Clients of a gateway that a machine runs, by where they are.
var clients = map[string]string{
	"FR": "2.0.0.7",
	"GF": "90.0.0.7",
	"DE": "5.1.0.7",
	"IT": "79.0.0.7",
	"ES": "80.24.0.7",
}

// A gatewayProcess is where a gateway runs, in front of an app, with a process of its
// own that can be killed and started again.
type gatewayProcess struct {
	t *testing.T
	*recorder
	folder  string
	geo     string // file
	source  string // setting of where the policy comes from, "" for the file
	flags   string // settings of the flag source, "" for none
	clock   string // file, "" for the system's clock
	listen  string // setting of the public listener, "" for HTTPS on a free port
	hosts   string // setting of the app's hosts, "" for any
	acme    string // settings of who issues certificates, "" for a certificate of its own making
	program string // "" for the tests' own
	access  string // file of the access log, "" for none
	stdout  *os.File
	env     []string
	sockets []string   // names of those that it is handed, as a service manager does
	files   []*os.File // they themselves
	limit   string     // of a file's size, as ulimit -f takes it; "" for none
	drain   string     // "" is a second

	https, admin string
	log          *testkit.Buffer
	ended        chan struct{} // the process has
	cmd          *exec.Cmd
	client       *http.Client
}

// newGatewayProcess sets a machine up with a policy, but starts nothing.
func newGatewayProcess(t *testing.T, policy string) *gatewayProcess {
	t.Helper()
	m := &gatewayProcess{t: t, recorder: newRecorder(t), folder: t.TempDir(), client: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2:   true,
			TLSHandshakeTimeout: patience,
		},
	}}
	networks := geotest.Networks{}
	for country, address := range clients {
		networks[address+"/32"] = country
	}
	m.geo = geotest.File(t, geotest.Country(t, networks))
	m.revise(policy)
	return m
}

// file returns the path of a file of the machine.
func (m *gatewayProcess) file(name string) string { return filepath.Join(m.folder, name) }

// write replaces a file.
func (m *gatewayProcess) write(name, text string) {
	m.t.Helper()
	testkit.ReplaceFile(m.t, m.file(name), text)
}

// revise puts another policy into the place that the gateway reads it from.
func (m *gatewayProcess) revise(policy string) {
	m.t.Helper()
	m.write("policy.yaml", "version: 1\n"+policy)
}

// start runs the gateway until the test ends, when it must stop by itself.
func (m *gatewayProcess) start() {
	m.t.Helper()
	if !m.run() {
		m.t.Fatalf("the gateway didn't start:\n%s", m.log)
	}
	m.stopsWithTheTest()
}

// stopsWithTheTest sees to it that a gateway that runs stops by itself when the
// test ends.
func (m *gatewayProcess) stopsWithTheTest() {
	m.t.Helper()
	cmd, ended := m.cmd, m.ended
	m.t.Cleanup(func() {
		m.client.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if code := cmd.ProcessState.ExitCode(); code > exitDone {
			m.t.Errorf("the gateway ended with %d", code)
		}
		if m.t.Failed() {
			m.t.Logf("the log of the gateway:\n%s", m.log)
		}
	})
}

// becomesReady waits until the gateway knows all that it needs.
func (m *gatewayProcess) becomesReady() {
	m.t.Helper()
	testkit.Eventually(m.t, "the gateway is ready", func() bool { return m.getAdmin("/readyz").status == http.StatusOK })
}

// run starts the gateway and waits until it serves; false if it ended before.
func (m *gatewayProcess) run() bool {
	m.t.Helper()
	source := m.source
	if source == "" {
		source = fmt.Sprintf("{file: %q}", m.file("policy.yaml"))
	}
	settings := fmt.Sprintf(`listen: %s
admin: {listen: "127.0.0.1:0"}
apps: [{hosts: %s, upstreams: [%q]}]
trusted-proxies: [127.0.0.0/8]
geo: {databases: [%q], hold: {coverage: 0, jurisdiction: 0}}
policy: %s
data: %q
drain: %s
`, cmp.Or(m.listen, `{https: "127.0.0.1:0", http: ""}`), cmp.Or(m.hosts, `["*"]`), m.recorder.URL, m.geo, source, m.file("data"), cmp.Or(m.drain, "1s"))
	if m.acme != "" {
		settings += "tls: {acme: {" + m.acme + "}}\n"
	}
	if m.access != "" {
		settings += fmt.Sprintf("access-log: {file: %q}\n", m.access)
	}
	if m.flags != "" {
		settings += "flags: {ofrep: " + m.flags + "}\n"
	}
	m.write("exitgate.yaml", settings)

	cmd := exec.Command(cmp.Or(m.program, "exitgate"), "serve", "--config", m.file("exitgate.yaml"), "--log-format", "json")
	if m.limit != "" {
		cmd = exec.Command("sh", append([]string{"-c", `ulimit -f "$0" && exec "$@"`, m.limit}, cmd.Args...)...)
	}
	if m.sockets != nil {
		cmd = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)...)
		cmd.ExtraFiles = m.files
	}
	cmd.Env = append(os.Environ(), m.env...)
	if m.sockets != nil {
		cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(m.sockets)), "LISTEN_FDNAMES="+strings.Join(m.sockets, ":"))
	}
	if m.stdout != nil {
		cmd.Stdout = m.stdout
	}
	if m.clock != "" {
		cmd.Env = append(cmd.Env, clockFile+"="+m.clock)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	log, ended, serving := new(testkit.Buffer), make(chan struct{}), make(chan logLine, 1)
	m.cmd, m.log, m.ended = cmd, log, ended
	go func() {
		defer close(ended)
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			if line != "" {
				io.WriteString(m.log, line)
			}
			var l logLine
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "serving" {
				serving <- l
			}
			if err != nil {
				_ = cmd.Wait() // its code is looked at
				return
			}
		}
	}()
	select {
	case l := <-serving:
		m.https, m.admin = l.HTTPS, l.Admin
		return true
	case <-ended:
		return false
	}
}

// kill ends the gateway as a power cut does.
func (m *gatewayProcess) kill() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}

// A response is what a client got, whole.
type response struct {
	status int
	header http.Header
	body   string
}

// request makes a request, "POST /signup", as a client from a country would, for
// which the test is the trusted proxy. more are header fields.
func (m *gatewayProcess) request(country, line string, more ...string) response {
	m.t.Helper()
	method, path, _ := strings.Cut(line, " ")
	r, err := http.NewRequestWithContext(m.t.Context(), method, "https://"+m.https+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", clients[country])
	for _, field := range more {
		name, value, _ := strings.Cut(field, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return m.do(r)
}

// gets returns the status that a client from a country gets.
func (m *gatewayProcess) gets(country string) int {
	m.t.Helper()
	return m.request(country, "GET /").status
}

// getAdmin asks the operators' listener.
func (m *gatewayProcess) getAdmin(path string) response {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), "GET", "http://"+m.admin+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.do(r)
}

// metric returns the value of a metric with its labels, "" if there is none.
func (m *gatewayProcess) metric(name string) string {
	m.t.Helper()
	for line := range strings.Lines(m.getAdmin("/metrics").body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// evaluate asks for flags as an app does, over OFREP: for one by its name, for
// all with "".
func (m *gatewayProcess) evaluate(flag string, about map[string]any) response {
	m.t.Helper()
	path := "/ofrep/v1/evaluate/flags"
	if flag != "" {
		path += "/" + flag
	}
	body, err := json.Marshal(map[string]any{"context": about})
	if err != nil {
		m.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(m.t.Context(), "POST", "http://"+m.admin+path, bytes.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return m.do(r)
}

func (m *gatewayProcess) do(r *http.Request) response {
	m.t.Helper()
	res, err := m.client.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, string(body)}
}

// raw sends what is given over TLS, byte for byte, and returns what comes back
// until the connection ends.
func (m *gatewayProcess) raw(request string) string {
	m.t.Helper()
	c, err := tls.Dial("tcp", m.https, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		m.t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(answer)
}

// says looks for words.
func (m *gatewayProcess) says(what, text string, words ...string) {
	m.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			m.t.Errorf("%s doesn't say %q:\n%s", what, w, text)
		}
	}
}

// expectHeader holds a field of a header against its values.
func (m *gatewayProcess) expectHeader(what string, got response, name string, values ...string) {
	m.t.Helper()
	if !slices.Equal(got.header[name], values) {
		m.t.Errorf("%s has %s: %q, want %q", what, name, got.header[name], values)
	}
}

// changingLines are those that change with the time, with each request, and with what
// others are refused: these are for caches.
var changingLines = regexp.MustCompile(`(?m)^(Date|X-Request-Id|Cache-Control|Cdn-Cache-Control|X-Accel-Expires): .*\r?\n`)

// everything returns all that a country's clients get of the app, to the byte,
// but for what is changing.
func (m *gatewayProcess) everything(country string, lines ...string) string {
	m.t.Helper()
	var all strings.Builder
	for _, line := range lines {
		plain := m.raw(fmt.Sprintf("%s HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", line, clients[country]))
		fmt.Fprintf(&all, "> %s HTTP/1.1\n%s\n", line, plain)
		second := m.request(country, line)
		fmt.Fprintf(&all, "> %s HTTP/2\n%d\n", line, second.status)
		for _, name := range slices.Sorted(maps.Keys(second.header)) {
			fmt.Fprintf(&all, "%s: %q\n", name, second.header[name])
		}
		fmt.Fprintf(&all, "\n%s\n", second.body)
	}
	return changingLines.ReplaceAllString(all.String(), "")
}

// A logLine is what tests look for in a line of the log.
type logLine struct {
	Level, Msg   string
	HTTPS, Admin string
}

// A recorder is an app that remembers what it was told, and answers alike to
// equal requests.
type recorder struct {
	*httptest.Server
	mu  sync.Mutex
	all []*http.Request
}

func newRecorder(t *testing.T) *recorder {
	app := new(recorder)
	app.Server = httptest.NewServer(app)
	t.Cleanup(app.Close)
	return app
}

func (app *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the trailers come after it
	app.mu.Lock()
	app.all = append(app.all, r)
	app.mu.Unlock()
	if r.Header.Get("Upgrade") != "" {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			_ = c.CloseNow() // that it was opened is enough
		}
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", cmp.Or(r.URL.Query().Get("cache"), "no-store"))
	w.Header().Set("Set-Cookie", "seen=1; Path=/; Secure")
	fmt.Fprintf(w, "%s %s\n", r.Method, r.URL)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if strings.HasPrefix(name, "Market-") || name == "X-Forwarded-For" {
			fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
		}
	}
}

// heard returns what the app was told of markets with each request so far, in
// whatever spelling, by header and trailer: "Market-Flags: a, b".
func (app *recorder) heard() [][]string {
	app.mu.Lock()
	defer app.mu.Unlock()
	var all [][]string
	for _, r := range app.all {
		var told []string
		for _, fields := range []http.Header{r.Header, r.Trailer} {
			for name, values := range fields {
				if strings.HasPrefix(strings.ToLower(name), "market") {
					told = append(told, fmt.Sprintf("%s: %s", name, strings.Join(values, " | ")))
				}
			}
		}
		slices.Sort(told)
		all = append(all, told)
	}
	return all
}

// told returns what the app was told of flags with the last request from a
// country, and how many there were from there.
func (app *recorder) told(country string) (flags string, requests int) {
	app.mu.Lock()
	defer app.mu.Unlock()
	for _, r := range app.all {
		if r.Header.Get("Market-Jurisdiction") == country {
			flags, requests = strings.Join(r.Header["Market-Flags"], " | "), requests+1
		}
	}
	return flags, requests
}
