//go:build integration

package gateway_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// page is one from elsewhere, which asks the service for all kinds of things and
// posts to its own server what it got.
const page = `<!doctype html><title>elsewhere</title><body><script>
const at = %q, got = {};
const element = (name, attributes) => new Promise((done) => {
	const e = document.createElement(name);
	e.onload = () => done("shown"); e.onerror = () => done("failed");
	Object.assign(e, attributes);
	document.body.append(e);
	if (name === "img") { e.onload = () => done("shown, " + e.naturalWidth + " wide"); }
});
(async () => {
	const answer = await fetch(at + "/items/7", {method: "DELETE", credentials: "include", headers: {"X-Csrf": "1", Accept: "application/json"}});
	got.fetch = answer.status + " " + (await answer.json()).phase + " " + answer.headers.get("Link");
	got.image = await element("img", {src: at + "/picture.png"});
	got.script = await element("script", {src: at + "/app.js"});
	got.frame = await element("iframe", {src: at + "/widget"});
})().catch((e) => { got.error = String(e); }).finally(() => fetch("/got", {method: "POST", body: JSON.stringify(got)}));
</script>`

// C12: in a real browser, a page from elsewhere can read and show a refusal.
func TestABrowserReadsARefusalForAPageFromElsewhere(t *testing.T) {
	chromium := findChromium(t)
	g := start(t, setup{policy: "version: 1\njurisdictions: {private: withdrawn}\nnotices: {default: {blocked-by: 'https://example.org/why'}}\n"})
	_, port, err := net.SplitHostPort(g.at.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan map[string]string, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/got" {
			var got map[string]string
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			results <- got
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, page, "https://"+host+":"+port)
	}))
	defer elsewhere.Close()

	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	defer stop()
	c := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-component-update", "--disable-background-networking", "--ignore-certificate-errors", "--user-data-dir="+t.TempDir(),
		"--host-resolver-rules=MAP "+host+" 127.0.0.1", "--remote-debugging-port=0", elsewhere.URL)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer stop()
	var got map[string]string
	select {
	case got = <-results:
	case <-ctx.Done():
		t.Fatal("the page says nothing")
	}
	for what, want := range map[string]string{
		"fetch": `^451 withdrawn <https://example.org/why>; rel="blocked-by"`, "image": "^shown, 640 wide$", "script": "^failed$", "frame": "^shown$",
	} {
		if !regexp.MustCompile(want).MatchString(got[what]) {
			t.Errorf("%s: %q, want %s", what, got[what], want)
		}
	}
	if got["error"] != "" {
		t.Error(got["error"])
	}
	g.untouched(t)
}

// Issue 12: Chromium is refused over HTTP/3.
func TestABrowserSpeaksHTTP3(t *testing.T) {
	chromium := findChromium(t)
	access := filepath.Join(t.TempDir(), "access.log")
	g := start(t, setup{policy: "version: 1\njurisdictions: {private: withdrawn}\n", configure: func(c *config.Config) {
		c.TrustedProxies, c.AccessLog.File = nil, access
	}})
	_, port, err := net.SplitHostPort(g.at.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(g.data, "self-signed.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(certificate.RawSubjectPublicKeyInfo) // QUIC takes no certificate by --ignore-certificate-errors
	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	defer stop()
	shown, err := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-quic", "--no-first-run",
		"--origin-to-force-quic-on="+host+":"+port, "--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(key[:]),
		"--disable-component-update", "--disable-background-networking", "--user-data-dir="+t.TempDir(),
		"--host-resolver-rules=MAP "+host+" 127.0.0.1", "--dump-dom", "https://"+host+":"+port).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(shown), "A private network") {
		t.Errorf("it shows %s", shown)
	}
	testkit.Eventually(t, "it is refused over HTTP/3", func() bool {
		lines, err := os.ReadFile(access)
		return err == nil && strings.Contains(string(lines), `"protocol":"h3"`) && strings.Contains(string(lines), `"status":451`)
	})
}

func findChromium(t *testing.T) string {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("chromium is not installed")
	}
	return chromium
}
