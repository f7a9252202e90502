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
	"syscall"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

const servePolicy = `version: 1
routes:
  sign-up: [POST /post]
jurisdictions:
  FR:
    schedule:
      - {from: 2026-06-01T00:00:00Z, phase: announced}
      - {from: 2026-09-01T00:00:00Z, phase: withdrawn}
  ES: closed-to-new
notices:
  default:
    blocked-by: https://example.org/transparency
    appeal: https://example.org/appeal
    export: https://example.org/account/export
`

// Addresses of the embedded database.
const (
	fromFrance  = "90.0.0.1"
	fromGermany = "91.0.0.1"
	fromSpain   = "80.24.0.1"
	fromNowhere = "192.0.2.1"
)

func TestServeStandsInFrontOfGoHTTPBin(t *testing.T) {
	app := httptest.NewServer(httpbin.New())
	defer app.Close()
	g := startServe(t, app.URL)

	for _, c := range []struct {
		method, path, from string
		status             int
	}{
		{"GET", "/get", fromGermany, 200},
		{"GET", "/get", fromNowhere, 200},
		{"GET", "/get", fromFrance, 451},
		{"GET", "/status/418", fromGermany, 418},
		{"GET", "/status/418", fromFrance, 451},
		{"POST", "/post", fromGermany, 200},
		{"POST", "/post", fromSpain, 451},
		{"GET", "/get", fromSpain, 200},
		{"GET", "/.well-known/market-status", fromFrance, 200},
	} {
		t.Run(c.method+" "+c.path+" from "+c.from, func(t *testing.T) {
			if status, body := g.ask(t, c.method, c.path, c.from); status != c.status {
				t.Errorf("status %d, not %d:\n%s", status, c.status, body)
			}
		})
	}

	t.Run("the app is told the client's market and address", func(t *testing.T) {
		_, body := g.ask(t, "GET", "/headers", fromSpain)
		var seen struct{ Headers map[string][]string }
		if err := json.Unmarshal([]byte(body), &seen); err != nil {
			t.Fatalf("%v:\n%s", err, body)
		}
		for name, want := range map[string]string{
			"Market-Jurisdiction": "ES",
			"Market-Phase":        "closed-to-new",
			"X-Forwarded-For":     fromSpain,
			"X-Forwarded-Proto":   "https",
		} {
			if got := fmt.Sprint(seen.Headers[name]); got != "["+want+"]" {
				t.Errorf("%s: %s, not [%s]", name, got, want)
			}
		}
	})
}

// A served is a running "exitgate serve".
type served struct {
	https  string
	client *http.Client
}

// startServe runs the command in front of an app until the test ends, when it
// must stop by itself.
func startServe(t *testing.T, to string, more ...string) *served {
	t.Helper()
	folder := t.TempDir()
	policyFile := filepath.Join(folder, "policy.yaml")
	if err := os.WriteFile(policyFile, []byte(servePolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"serve", "--to", to, "--policy", policyFile, "--data", folder,
		"--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--trusted-proxy", "127.0.0.0/8", "--log-format", "json"}, more...)
	cmd := exec.Command("exitgate", args...)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	var all []string
	g := &served{client: &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}}}
	for g.https == "" && lines.Scan() {
		all = append(all, lines.Text())
		var line struct{ Msg, HTTPS string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			g.https = line.HTTPS
		}
	}
	if g.https == "" {
		_ = cmd.Wait()
		t.Fatalf("serve didn't start: %q", all)
	}
	drained := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, log)
		close(drained)
	}()
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	})
	return g
}

// ask makes a request for a client at an address, as a proxy in front would.
func (g *served) ask(t *testing.T, method, path, from string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+g.https+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", from)
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
