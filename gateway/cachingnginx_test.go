//go:build integration

package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// A cache is a real nginx that keeps answers, in front of a gate.
type cache struct {
	t       *testing.T
	address string
	folder  string // where it keeps them
	client  *http.Client
}

// startCache starts nginx as docs/operations.md has it, but for directives of a
// location that the test adds, and with a header by which a test is anywhere. A blind
// one doesn't keep places apart.
func startCache(t *testing.T, to string, blind bool, more string) *cache {
	t.Helper()
	scratch := t.TempDir()
	c := &cache{t: t, address: fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t)), folder: filepath.Join(scratch, "kept")}
	documented := strings.NewReplacer(
		"/var/cache/nginx", c.folder, "listen 443 ssl;", "listen "+c.address+";", "https://127.0.0.1:8443", "https://"+to,
		"/etc/exitgate/countries.conf", filepath.Join(scratch, "countries.conf"),
	).Replace(documented(t, "caching.conf"))
	documented = regexp.MustCompile(`(?m)^.*ssl_certificate.*\n`).ReplaceAllString(documented, "")
	documented = strings.Replace(documented, "proxy_cache app;", "proxy_cache app; add_header X-Cache $upstream_cache_status always; proxy_ssl_server_name on; proxy_ssl_name "+host+";\n"+more, 1)
	if blind {
		documented = strings.Replace(documented, "proxy_cache_key $country", "proxy_cache_key ", 1)
	}
	testkit.WriteFile(t, filepath.Join(scratch, "countries.conf"), "2.0.0.0/15 FR;\n5.1.0.0/16 DE;\n3.1.0.0/16 US-MS;\n3.2.0.0/16 US-CA;\n83.0.0.0/16 DE; # wrongly\n")
	startNginx(t, scratch, c.address, "set_real_ip_from 127.0.0.0/8; real_ip_header X-Test-Client;\n"+documented)
	transport := &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	c.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// startNginx starts an nginx in a folder, with what its configuration has for http,
// which listens at an address.
func startNginx(t *testing.T, folder, address, http string) {
	t.Helper()
	user := ""
	if os.Getuid() == 0 { // else its workers may not open the test's folder
		user = "user root; "
	}
	testkit.WriteFile(t, filepath.Join(folder, "nginx.conf"), user+`daemon off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
`+http+"}\n")
	runApp(t, folder, address, []string{"nginx", "-e", "stderr", "-p", folder, "-c", "nginx.conf"})
}

// get asks the cache as a client from somewhere.
func (c *cache) get(line, from string) answer {
	method, path, ok := strings.Cut(line, " ")
	if !ok {
		method, path = "GET", line
	}
	r, err := http.NewRequest(method, "http://"+c.address+path, nil)
	if err != nil {
		c.t.Error(err)
		return answer{}
	}
	r.Host = host
	r.Header.Set("X-Test-Client", from)
	r.Header.Set("X-Country", "DE") // a client may say what it wants
	res, err := c.client.Do(r)
	if err != nil {
		c.t.Error(err)
		return answer{}
	}
	a, err := read(res)
	if err != nil {
		c.t.Error(err)
	}
	return a
}

// stubborn are directives by which nginx keeps what it can.
const stubborn = `
	proxy_ignore_headers Vary Set-Cookie;
	proxy_cache_valid any 10m;
	proxy_cache_methods GET HEAD POST;
	proxy_cache_lock on;
	proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504 http_403 http_404 http_429;
	proxy_cache_background_update on;
	proxy_cache_revalidate on;
`

// sayings are what apps say to caches.
var sayings = []string{
	"Cache-Control: public, max-age=600",
	"Cache-Control: s-maxage=600, stale-while-revalidate=600, stale-if-error=600",
	"",
	"Expires: Thu, 31 Dec 2099 00:00:00 GMT",
	"X-Accel-Expires: 600",
	"X-Accel-Expires: @4102444800|Cache-Control: private",
	"Cache-Control: public|Cache-Control: max-age=600, immutable",
	`Cache-Control: private="set-cookie", max-age=600`,
	"Vary: *|Cache-Control: max-age=600",
	"Cache-Control: max-age=1|Etag: \"1\"|Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT",
	"Set-Cookie: a=b|Cache-Control: public, max-age=600",
}

// sayingApp answers /N/… with the fields of sayings[N], and 304 to who has it.
var sayingApp = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	number, _, _ := strings.Cut(r.URL.Path[1:], "/")
	n, _ := strconv.Atoi(number)
	for field := range strings.SplitSeq(sayings[n%len(sayings)], "|") {
		if name, value, ok := strings.Cut(field, ": "); ok {
			w.Header().Add(name, value)
		}
	}
	if r.Header.Get("If-None-Match") != "" {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	io.WriteString(w, "served")
})

// Issue 10, C13: French 451, German 200, French 200 HIT.
func TestACacheInFrontServesNobodyWhoIsRefused(t *testing.T) {
	g := start(t, setup{policy: "version: 1\njurisdictions: {FR: withdrawn}", handler: sayingApp})
	g.app.keep.Store(false)
	c := startCache(t, g.at.HTTPS, true, stubborn)
	const requests, clients = 10_000, 8
	var served, refused atomic.Int64
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := range requests / clients {
				path := fmt.Sprintf("/%d/%d", i%len(sayings), i/(2*len(sayings))%5)
				if i%7 == 0 {
					path = "HEAD " + path
				}
				from := germany
				if (i+client)%2 == 0 {
					from = france
				}
				switch a := c.get(path, from); {
				case from == germany && a.status == 200:
					served.Add(1)
				case from == france && a.status == 451:
					refused.Add(1)
				default:
					t.Errorf("%s from %s: %d, %s", path, from, a.status, a.header.Get("X-Cache"))
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d were served, %d refused", served.Load(), refused.Load())
}

// As long as nothing is refused, the cache keeps what it kept before.
func TestACacheInFrontOfAnOpenServiceKeepsAnswers(t *testing.T) {
	g := start(t, setup{handler: sayingApp})
	c := startCache(t, g.at.HTTPS, true, stubborn)
	for n, saying := range sayings {
		if strings.Contains(saying, "private") {
			continue // nginx keeps none of these
		}
		path := fmt.Sprintf("/%d/x", n)
		c.get(path, germany)
		if a := c.get(path, france); a.status != 200 || a.header.Get("X-Cache") != "HIT" {
			t.Errorf("of %q: %d, %s", saying, a.status, a.header.Get("X-Cache"))
		}
	}
}

// A cache whose key has the client's place keeps answers in each.
func TestACacheThatKeysOnThePlaceKeepsAnswers(t *testing.T) {
	g := start(t, setup{
		policy: "version: 1\njurisdictions: {FR: withdrawn, US-MS: withdrawn}", handler: sayingApp,
		configure: func(c *config.Config) { c.Caches.KeyHeader = "X-Country" },
	})
	c := startCache(t, g.at.HTTPS, false, stubborn)
	for range 20 {
		for _, from := range []string{france, mississippi} {
			if a := c.get("/0/x", from); a.status != 451 {
				t.Fatalf("%s gets %d, %s", from, a.status, a.header.Get("X-Cache"))
			}
		}
		for _, from := range []string{germany, california} {
			if a := c.get("/0/x", from); a.status != 200 {
				t.Fatalf("%s gets %d", from, a.status)
			}
		}
	}
	for _, from := range []string{germany, california} {
		if a := c.get("/0/x", from); a.header.Get("X-Cache") != "HIT" {
			t.Errorf("%s gets %s", from, a.header.Get("X-Cache"))
		}
	}
	// nginx has these elsewhere than the gateway.
	for range 2 {
		if a := c.get("/0/y", ireland); a.status != 200 || a.header.Get("X-Cache") != "MISS" {
			t.Errorf("who is in IE gets %d, %s", a.status, a.header.Get("X-Cache"))
		}
	}
}

// What a cache has may be given out until the step, and not a second longer.
func TestACacheInFrontEndsWithTheStep(t *testing.T) {
	step := time.Now().Add(10 * time.Second)
	g := start(t, setup{
		policy:  "version: 1\njurisdictions: {FR: {schedule: [{from: 2026-01-01T00:00:00Z, phase: announced}, {from: " + step.UTC().Format(time.RFC3339Nano) + ", phase: withdrawn}]}}",
		handler: sayingApp,
	})
	g.app.keep.Store(false)
	c := startCache(t, g.at.HTTPS, true, "proxy_ignore_headers Vary Set-Cookie; proxy_cache_valid any 10m;")
	hits := 0
	for n := 0; time.Since(step) < time.Second; n++ {
		asked := time.Now()
		path := fmt.Sprintf("/%d/x", n%len(sayings))
		c.get(path, germany)
		a := c.get(path, france)
		switch {
		case !asked.Before(step) && a.status != 451:
			t.Fatalf("of %q, %s after the step: %d, %s", sayings[n%len(sayings)], asked.Sub(step), a.status, a.header.Get("X-Cache"))
		case a.header.Get("X-Cache") == "HIT":
			hits++
		}
	}
	t.Logf("before, the cache served %d", hits)
}

// What a cache had before a withdrawal is purged by the hook, and so is what it
// stores later of answers that were under way then.
func TestACacheInFrontIsPurged(t *testing.T) {
	release, purge := make(chan struct{}), filepath.Join(t.TempDir(), "purge")
	g := start(t, setup{
		policy: "version: 1\n",
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sayingApp.ServeHTTP(w, r)
			if r.URL.Path == "/0/slow" {
				w.(http.Flusher).Flush()
				<-release
			}
		}),
		configure: func(c *config.Config) { c.Caches.Purge.Command = []string{"/bin/sh", purge} },
	})
	c := startCache(t, g.at.HTTPS, true, stubborn)
	testkit.WriteFile(t, purge, "find "+c.folder+" -type f -delete\n")
	var kept []string
	for n, saying := range sayings {
		if !strings.Contains(saying, "private") {
			kept = append(kept, fmt.Sprintf("/%d/x", n))
		}
	}
	for _, path := range kept {
		c.get(path, germany)
		if a := c.get(path, france); a.header.Get("X-Cache") != "HIT" {
			t.Fatalf("%s: %s", path, a.header.Get("X-Cache"))
		}
	}
	slow := make(chan answer)
	go func() { slow <- c.get("/0/slow", germany) }()
	testkit.Eventually(t, "an answer is under way", func() bool {
		return g.sum("exitgate_upstream_requests_total", `code="200"`) == float64(len(kept)+1)
	})

	testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {FR: withdrawn}\n")
	testkit.Eventually(t, "the cache is purged", func() bool { return g.metric(`exitgate_cache_purges_total{result="success"}`) > 0 })
	for range 20 {
		for _, path := range kept {
			if a := c.get(path, france); a.status != 451 {
				t.Fatalf("%s from France: %d, %s", path, a.status, a.header.Get("X-Cache"))
			}
			if a := c.get(path, germany); a.status != 200 {
				t.Fatalf("%s from Germany: %d", path, a.status)
			}
		}
	}
	close(release)
	<-slow
	testkit.Eventually(t, "the cache is purged for good", func() bool {
		text, _ := os.ReadFile(filepath.Join(g.data, "purges.json"))
		return strings.Contains(string(text), `"FR"`)
	})
	if entries, err := filepath.Glob(c.folder + "/*"); err != nil || len(entries) > 0 {
		t.Errorf("it has %v, %v", entries, err)
	}
	for range 20 {
		if a := c.get("/0/slow", france); a.status != 451 {
			t.Fatalf("what was under way, from France: %d, %s", a.status, a.header.Get("X-Cache"))
		}
	}
}
