package gateway_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// issue 10, F: the secret of an app is read again when it changes, the last good one
// stays, and it is said nowhere.
func TestAnAppsSecretIsReadAgainWhenItChanges(t *testing.T) {
	first, second := strings.Repeat("1a", 16), strings.Repeat("2b", 32)
	file := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, file, first+"\n")
	g := start(t, setup{configure: func(c *config.Config) { c.Apps[0].SecretFile = file }})
	c := g.client(1)
	sent := func() string {
		t.Helper()
		g.request(c, "/", germany)
		seen := g.app.asked()
		if len(seen) != 1 || len(seen[0].header["Market-Gateway-Secret"]) != 1 {
			t.Fatalf("the app saw %v", seen)
		}
		return seen[0].header.Get("Market-Gateway-Secret")
	}
	if got := sent(); got != first {
		t.Errorf("the app gets %q", got)
	}
	testkit.WriteFile(t, file, second+"\n")
	testkit.Eventually(t, "the second is sent", func() bool { return sent() == second })

	testkit.WriteFile(t, file, second[:20]+"\n")
	testkit.Eventually(t, "the failure is reported", func() bool {
		status, checks := g.ready()
		check := checks["credentials for "+host]
		return status == 200 && !check.OK && check.Since != nil && contains(check.Detail, file)
	})
	if got := sent(); got != second {
		t.Errorf("then the app gets %q", got)
	}
	if g.metric("exitgate_app_credentials_reload_failures_total") < 1 {
		t.Error("the failure isn't counted")
	}
	_, metrics := g.admin("/metrics")
	_, ready := g.admin("/readyz")
	for _, part := range []string{first[:16], second[:16]} {
		if strings.Contains(g.log.String()+metrics+ready, part) {
			t.Errorf("%s is said somewhere", part)
		}
	}
	testkit.WriteFile(t, file, first)
	testkit.Eventually(t, "the first is sent again", func() bool { return sent() == first })
	testkit.Eventually(t, "nothing is said to be wrong", func() bool { _, checks := g.ready(); return checks["credentials for "+host].Detail == "" })
}

// issue 10, F
func TestWhatIsWrongWithCredentialsAtTheStartIsAllSaid(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	testkit.WriteFile(t, at("short"), "secret\n")
	cert, _ := certificate(t, 1)
	_, key := certificate(t, 2)
	testkit.WriteFile(t, at("app.crt"), cert)
	testkit.WriteFile(t, at("app.key"), key)
	_, err := tryStart(t, setup{configure: func(c *config.Config) {
		c.Apps[0].SecretFile = at("short")
		c.Apps = append(c.Apps, config.App{Hosts: []string{"other.example"}, Upstreams: []string{"https://127.0.0.1:1"}, Cert: at("app.crt"), Key: at("app.key")})
	}})
	if err == nil {
		t.Fatal("it starts")
	}
	for _, want := range []string{"app " + host, at("short"), "app other.example", at("app.key")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it doesn't name %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "must hold one line") && strings.Contains(err.Error(), ": secret\n") {
		t.Errorf("it quotes the secret: %v", err)
	}
}

// issue 10, F: an end of the certificate that an app is shown is seen beforehand.
func TestTheEndOfACertificateForUpstreamsIsShown(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	cert, key := certificate(t, 2)
	testkit.WriteFile(t, at("app.crt"), cert)
	testkit.WriteFile(t, at("app.key"), key)
	g := start(t, setup{upstreams: []string{"https://127.0.0.1:1"}, configure: func(c *config.Config) {
		c.Apps[0].Cert, c.Apps[0].Key = at("app.crt"), at("app.key")
	}})
	if n := g.metric(`exitgate_certificate_expiry_timestamp_seconds{host="app.example (shown to upstreams)"}`); n != float64(time.Date(2090, 1, 2, 0, 0, 0, 0, time.UTC).Unix()) {
		t.Errorf("it is said to end at %v", n)
	}
}
