//go:build integration

package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
)

const (
	customBuild     = "../../flags/examples/launchdarkly"
	customBuildPage = "../../docs/custom-build.md"
)

// TestACustomBuildBringsItsOwnFlagSource runs the example of the documentation,
// with the flags and the policy of the documentation, as the process that it
// would be in production.
func TestACustomBuildBringsItsOwnFlagSource(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program, which the race detector doesn't see")
	}
	files := filesOfPage(t, customBuildPage)
	app := newListener()
	defer app.Close()
	g := startCustomBuild(t, buildCustom(t), app.URL, files["policy.yaml"], flagsOf(t, files["flags.json"], 1, true))

	for _, from := range []string{fromFrance, fromGermany} {
		testkit.Eventually(t, "a client at "+from+" is served", func() bool { return g.status(t, from) == 200 })
	}
	for _, market := range []string{"FR", "DE"} {
		if told := app.told(market); told != "end-to-end-encryption, release=1" {
			t.Errorf("the app is told of %s: %q", market, told)
		}
	}

	testkit.ReplaceFile(t, g.flags, flagsOf(t, files["flags.json"], 2, false))
	testkit.Eventually(t, "France is refused", func() bool { return g.status(t, fromFrance) == 451 })
	if !strings.Contains(g.metrics(t), `exitgate_decisions_total{action="refuse",jurisdiction="FR",phase="withdrawn",reason="guarantee"}`) {
		t.Errorf("the reason is not counted:\n%s", g.metrics(t))
	}
	testkit.Eventually(t, "Germany is served with the new release", func() bool {
		return g.status(t, fromGermany) == 200 && app.told("DE") == "end-to-end-encryption, release=2"
	})

	testkit.ReplaceFile(t, g.flags, flagsOf(t, files["flags.json"], 3, true))
	testkit.Eventually(t, "the gateway has seen the flags as they were", func() bool {
		return g.status(t, fromGermany) == 200 && app.told("DE") == "end-to-end-encryption, release=3"
	})
	if status := g.status(t, fromFrance); status != 451 {
		t.Errorf("France is served again with %d, though nobody has looked into it", status)
	}

	testkit.ReplaceFile(t, g.policy, files["policy.yaml"]+fmt.Sprintf(`acknowledge:
  - {flag: end-to-end-encryption, jurisdiction: FR, at: %s, by: Ana, because: A rule was set to the wrong variation.}
`, time.Now().UTC().Format(time.RFC3339Nano)))
	testkit.Eventually(t, "France is served again", func() bool { return g.status(t, fromFrance) == 200 })

	if all := app.everything(); strings.Contains(all, "end-to-end-encryption=?0") {
		t.Errorf("the app was told of the breach: %s", all)
	}
}

// TestThePageOnCustomBuildsQuotesTheExample holds the excerpts of the page
// against the files that they are from.
func TestThePageOnCustomBuildsQuotesTheExample(t *testing.T) {
	page, err := os.ReadFile(customBuildPage)
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, name := range []string{"main.go", "provider.go"} {
		text, err := os.ReadFile(filepath.Join(customBuild, name))
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	excerpts := 0
	for _, b := range block.FindAllStringSubmatch(string(page), -1) {
		if b[1] != "go" {
			continue
		}
		excerpts++
		if !strings.Contains(source.String(), b[3]) {
			t.Errorf("the example doesn't say what the page says it does:\n%s", b[3])
		}
	}
	if excerpts == 0 {
		t.Error("the page has no excerpts")
	}
}

// filesOfPage returns the files that a page shows, by name.
func filesOfPage(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		if name := b[2]; name != "" {
			files[name] = b[3]
		}
	}
	return files
}

// flagsOf returns the flags of the page at a later release, with what France is
// given.
func flagsOf(t *testing.T, page string, release int, encryptedInFrance bool) string {
	t.Helper()
	var document struct {
		Flags map[string]map[string]any `json:"flags"`
	}
	if err := json.Unmarshal([]byte(page), &document); err != nil {
		t.Fatal(err)
	}
	variation := 0
	if !encryptedInFrance {
		variation = 1
	}
	document.Flags["end-to-end-encryption"]["rules"].([]any)[0].(map[string]any)["variation"] = variation
	document.Flags["release"]["fallthrough"] = map[string]any{"variation": release - 1}
	for _, flag := range document.Flags {
		flag["version"] = release
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// buildCustom builds the example and returns the program.
func buildCustom(t *testing.T) string {
	t.Helper()
	requireProgram(t, "go")
	goCommand := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = customBuild
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=readonly")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// Its modules are not those that a checkout was built with before.
	if out, err := goCommand("mod", "download"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("go mod download: %v\n%s", err, out)
		}
		t.Skipf("the modules of the example can't be downloaded: %s", out)
	}
	program := filepath.Join(t.TempDir(), "exitgate-launchdarkly")
	if out, err := goCommand("build", "-o", program, "."); err != nil {
		t.Fatalf("go build: %v; where it asks for an update of go.mod, run: go mod tidy -C flags/examples/launchdarkly\n%s", err, out)
	}
	return program
}

// A custom is a running custom build.
type custom struct {
	https, admin  string
	flags, policy string // files
	client        *http.Client

	mu  sync.Mutex
	log []string
}

func startCustomBuild(t *testing.T, program, to, policy, flags string) *custom {
	t.Helper()
	folder := t.TempDir()
	g := &custom{
		flags:  filepath.Join(folder, "flags.json"),
		policy: filepath.Join(folder, "policy.yaml"),
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
	}
	settings := filepath.Join(folder, "exitgate.yaml")
	testkit.ReplaceFile(t, g.flags, flags)
	testkit.ReplaceFile(t, g.policy, policy)
	testkit.ReplaceFile(t, settings, fmt.Sprintf(`listen: {https: "127.0.0.1:0", http: "127.0.0.1:0"}
apps:
  - {hosts: ["*"], upstreams: [%q]}
trusted-proxies: [127.0.0.0/8]
policy: {file: %q}
admin: {listen: "127.0.0.1:0"}
data: %q
drain: 1s
`, to, g.policy, filepath.Join(folder, "data")))

	cmd := exec.Command(program, "--config", settings, "--flags", g.flags)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			g.mu.Lock()
			g.log = append(g.log, lines.Text())
			g.mu.Unlock()
			var line struct{ Msg, HTTPS, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				g.https, g.admin = line.HTTPS, line.Admin
				close(serving)
			}
		}
	}()
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the custom build ended with %v", err)
		}
		if t.Failed() {
			t.Logf("its log:\n%s", g.logged())
		}
	})
	select {
	case <-serving:
	case <-ended:
		t.Fatal("the custom build didn't start")
	}
	return g
}

func (g *custom) logged() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.log, "\n")
}

// status asks for a client at an address, as a proxy in front would.
func (g *custom) status(t *testing.T, from string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+g.https+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", from)
	status, _ := g.do(t, r)
	return status
}

func (g *custom) metrics(t *testing.T) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, body := g.do(t, r)
	return body
}

func (g *custom) do(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A listener is an app that remembers what it was told of flags.
type listener struct {
	*httptest.Server
	mu  sync.Mutex
	all []string // "FR: end-to-end-encryption"
}

func newListener() *listener {
	l := new(listener)
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, r.Header.Get("Market-Jurisdiction")+": "+r.Header.Get("Market-Flags"))
	}))
	return l
}

// told returns what the app was told last of a market.
func (l *listener) told(market string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := ""
	for _, line := range l.all {
		if flags, ok := strings.CutPrefix(line, market+": "); ok {
			last = flags
		}
	}
	return last
}

func (l *listener) everything() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}
