//go:build integration

package gateway_test

import (
	"crypto/tls"
	"fmt"
	"io"
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

// documented returns a block of docs/operations.md by its name.
func documented(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```\\w+ " + regexp.QuoteMeta(name) + "\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatalf("docs/operations.md has no %s", name)
	}
	return string(block[1])
}

const appSecret = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// issue 10, F: the examples of docs/operations.md refuse what doesn't come through the
// gateway, and don't let the secret get any further.
func TestAppsRefuseWhatGoesPastTheGateway(t *testing.T) {
	folder, err := filepath.Abs("testdata/frameworks")
	if err != nil {
		t.Fatal(err)
	}
	secretFile := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, secretFile, appSecret+"\n")
	for name, app := range map[string]struct {
		example, rest string // PORT stands for the port
		command       []string
		needs         string
	}{
		"Flask": {"flask_app.py", `
@app.route("/")
def root():
    return "served " + str("Market-Gateway-Secret" in request.headers)
app.run(port=PORT)
`, []string{"/usr/bin/python3"}, ""},
		"Express": {"express_app.mjs", `
app.get("/", (request, response) => { response.send("served " + ("market-gateway-secret" in request.headers ? "True" : "False")); });
app.listen(PORT, "127.0.0.1");
`, []string{"node"}, "node_modules"},
		"Go": {"fromgateway.go", "", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := fmt.Sprint(testkit.FreePort(t))
			text := strings.ReplaceAll(documented(t, app.example), "/etc/app/gateway-secret", secretFile) + strings.ReplaceAll(app.rest, "PORT", port)
			if name == "Go" {
				text = "package main\n\nimport (\n\"crypto/subtle\"\n\"io\"\n\"net/http\"\n)\n\n" + text + `
func main() {
	http.ListenAndServe("127.0.0.1:` + port + `", fromGateway("` + appSecret + `", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Market-Gateway-Secret") != "" {
			io.WriteString(w, "served True")
			return
		}
		io.WriteString(w, "served False")
	})))
}
`
			}
			at := t.TempDir()
			file := filepath.Join(at, app.example)
			testkit.WriteFile(t, file, text)
			if app.needs != "" {
				needed := filepath.Join(folder, app.needs)
				if _, err := os.Stat(needed); err != nil {
					missing(t)("run npm ci in %s", folder)
				}
				if err := os.Symlink(needed, filepath.Join(at, app.needs)); err != nil {
					t.Fatal(err)
				}
			}
			command := append(app.command[:len(app.command):len(app.command)], file)
			if name == "Go" { // not by go run, whose child would outlive it
				binary := filepath.Join(at, "app")
				if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, file).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				command = []string{binary}
			}
			address := "127.0.0.1:" + port
			runApp(t, at, address, command)
			for secret, want := range map[string]int{"": 403, "guessed": 403, appSecret[1:]: 403, appSecret + "0": 403, "\xff": 403, appSecret: 200} {
				if status, _ := sendSecret(t, http.DefaultTransport, "http://"+address+"/", secret); status != want {
					t.Errorf("past the gateway with the secret %q it gets %d, want %d", secret, status, want)
				}
			}
			g := start(t, setup{upstreams: []string{"http://" + address}, configure: func(c *config.Config) { c.Apps[0].SecretFile = secretFile }})
			if a := g.request(g.client(2), "/", germany); a.status != 200 || a.body != "served False" {
				t.Errorf("through the gateway it gets %d: %s", a.status, a.body)
			}
		})
	}
}

// sendSecret makes a request that goes past the gateway.
func sendSecret(t *testing.T, by http.RoundTripper, url, secret string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true // nothing is left behind
	if secret != "" {
		r.Header.Set("Market-Gateway-Secret", secret)
	}
	res, err := by.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatal(err)
	}
	return a.status, a.body
}

// issue 10, F: an nginx with ssl_verify_client and the secret, as docs/operations.md has it.
func TestANginxRefusesWhatGoesPastTheGateway(t *testing.T) {
	var got []string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header["Market-Gateway-Secret"]...)
		io.WriteString(w, "served")
	}))
	t.Cleanup(app.Close)
	scratch := t.TempDir()
	at := func(name string) string { return filepath.Join(scratch, name) }
	address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	var pairs []tls.Certificate
	for i, name := range []string{"app", "gateway", "stranger"} {
		cert, key := certificate(t, int64(i+1))
		testkit.WriteFile(t, at(name+".crt"), cert)
		testkit.WriteFile(t, at(name+".key"), key)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, pair)
	}
	testkit.WriteFile(t, at("secret"), appSecret+"\n")
	testkit.WriteFile(t, at("secrets.conf"), `"`+strings.Repeat("0", 64)+`" 1;`+"\n"+`"`+appSecret+`" 1;`+"\n")
	server := strings.NewReplacer(
		"/etc/nginx/gateway-secrets.conf", at("secrets.conf"), "/etc/nginx/gateway-ca.crt", at("gateway.crt"), "/etc/nginx/", scratch+"/",
		"listen 443 ssl;", "listen "+address+" ssl;", "http://127.0.0.1:3000", app.URL,
	).Replace(documented(t, "app.conf"))
	startNginx(t, scratch, address, server)

	direct := func(secret string, shown ...tls.Certificate) int {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: shown}}
		status, _ := sendSecret(t, transport, "https://"+address+"/", secret)
		return status
	}
	for what, status := range map[string][2]int{
		"neither":                          {direct(""), 400},
		"the secret alone":                 {direct(appSecret), 400},
		"the certificate alone":            {direct("", pairs[1]), 403},
		"another secret":                   {direct(appSecret[1:], pairs[1]), 403},
		"somebody else's certificate":      {direct(appSecret, pairs[2]), 400},
		"both, as the gateway alone could": {direct(appSecret, pairs[1]), 200},
	} {
		if status[0] != status[1] {
			t.Errorf("past the gateway, with %s, it gets %d, want %d", what, status[0], status[1])
		}
	}
	g := start(t, setup{upstreams: []string{"https://" + address}, configure: func(c *config.Config) {
		c.Apps[0].SecretFile, c.Apps[0].CA, c.Apps[0].ServerName = at("secret"), at("app.crt"), host
		c.Apps[0].Cert, c.Apps[0].Key = at("gateway.crt"), at("gateway.key")
	}})
	over(t, func(t *testing.T, major int) {
		if a := g.request(g.client(major), "/", germany); a.status != 200 || a.body != "served" {
			t.Errorf("through the gateway it gets %d: %s", a.status, a.body)
		}
	})
	if len(got) > 0 {
		t.Errorf("nginx passes the secret on: %q", got)
	}
}
