package gateway_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// reload has the gate read settings: those that it was started with, changed.
func (g *gate) reload(changes ...func(*config.Config)) error {
	return g.run.Reload(func() (config.Config, error) {
		c := g.config
		c.Apps = slices.Clone(c.Apps)
		for _, change := range changes {
			change(&c)
		}
		return c, nil
	})
}

// mustReload is a reload that succeeds.
func (g *gate) mustReload(changes ...func(*config.Config)) {
	g.t.Helper()
	if err := g.reload(changes...); err != nil {
		g.t.Fatal(err)
	}
}

// upstream is a change: the app is at these.
func upstream(urls ...string) func(*config.Config) {
	return func(c *config.Config) { c.Apps[0].Upstreams = urls }
}

// answers is an app that says who it is.
func answers(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

func TestAnAppMovesUnderLoadAndNoRequestFails(t *testing.T) {
	app := newStreams()
	g := start(t, setup{policy: twoRefused, handler: app})
	g.app.keep.Store(false)
	second, third := newApp(t, answers("second")), newApp(t, answers("third"))
	underWay := append(openAll(t, g, app, 1, germany), openAll(t, g, app, 2, germany)...)
	load := startLoad(g, 4)
	c := g.client(2)
	for range 20 {
		for _, to := range []*struct{ url, says string }{{second.URL, "second"}, {third.URL, "third"}} {
			g.mustReload(upstream(to.url))
			if got := g.request(c, "/", germany); got.body != to.says {
				t.Fatalf("at %s it gets %q", to.says, got.body)
			}
		}
	}
	before := load.requests.Load()
	testkit.Eventually(t, "the load goes on", func() bool { return load.requests.Load() > before+100 })
	load.end(t)
	close(app.end)
	for _, o := range underWay {
		if !o.ended() {
			t.Errorf("%s, which was under way at the first app, was cut", o.name)
		}
	}
}

func TestAppsAndHostsComeAndGo(t *testing.T) {
	g := start(t, setup{})
	g.tls.InsecureSkipVerify = true // another host is another certificate
	other := newApp(t, answers("other"))
	asks := func(host string) (status int) {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, "https://"+g.at.HTTPS+"/", nil)
		r.Host = host
		res, err := g.client(1).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = read(res)
		redirected, _ := http.NewRequest(http.MethodGet, "http://"+host+"/", nil)
		plain, err := g.client(1).Do(redirected)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = read(plain)
		if (plain.StatusCode == http.StatusPermanentRedirect) != (res.StatusCode == http.StatusOK) {
			t.Errorf("%s gets %d over TLS, and %d without", host, res.StatusCode, plain.StatusCode)
		}
		return res.StatusCode
	}
	add := func(c *config.Config) {
		c.Apps = append(c.Apps, config.App{Hosts: []string{"other.example"}, Upstreams: []string{other.URL}})
	}
	for i, step := range []struct {
		change      func(*config.Config)
		first, also int
	}{
		{func(*config.Config) {}, 200, 421},
		{add, 200, 200},
		{func(c *config.Config) { c.Apps[0].Hosts = []string{"*.example"} }, 200, 200},
		{func(c *config.Config) { add(c); c.Apps = c.Apps[1:] }, 421, 200},
		{func(*config.Config) {}, 200, 421},
	} {
		g.mustReload(step.change)
		if first, also := asks(host), asks("other.example"); first != step.first || also != step.also {
			t.Errorf("step %d: the hosts get %d and %d, want %d and %d", i, first, also, step.first, step.also)
		}
	}
}

// What is under way is decided anew, too: a WebSocket that was located at a load
// balancer would else be served for ever.
func TestWhoIsTrustedDecidesAnewWhereClientsAre(t *testing.T) {
	app := newStreams()
	g := start(t, setup{policy: twoRefused, handler: app, configure: func(c *config.Config) { c.TrustedProxies = nil }})
	g.app.keep.Store(false)
	trust := func(c *config.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
	c := g.client(1)
	french, german := openAll(t, g, app, 1, france), openAll(t, g, app, 1, germany)
	g.mustReload(trust)
	for from, want := range map[string]int{france: 451, germany: 200} {
		if got := g.request(c, "/", from).status; got != want {
			t.Errorf("%s gets %d, want %d", from, got, want)
		}
	}
	for _, o := range french {
		if o.ended() {
			t.Errorf("%s from France wasn't cut", o.name)
		}
	}
	close(app.end)
	for _, o := range german {
		if !o.ended() {
			t.Errorf("%s from Germany was cut", o.name)
		}
	}
	g.mustReload(trust, func(c *config.Config) { c.ClientHeader = "X-Real-Ip" })
	if got := g.request(c, "/", france).status; got != 400 {
		t.Errorf("without the header that is believed, it gets %d", got)
	}
	g.mustReload()
	if got := g.request(c, "/", france).status; got != 200 {
		t.Errorf("of nobody who is trusted, it gets %d", got)
	}
}

func TestCertificatesHSTSAndLimitsChange(t *testing.T) {
	folder := t.TempDir()
	pair := func(serial int64, name string) config.CertFile {
		f := config.CertFile{Cert: filepath.Join(folder, name+".crt"), Key: filepath.Join(folder, name+".key")}
		cert, key := certificate(t, serial)
		testkit.ReplaceFile(t, f.Key, key)
		testkit.ReplaceFile(t, f.Cert, cert)
		return f
	}
	files := func(pairs ...config.CertFile) func(*config.Config) {
		return func(c *config.Config) { c.TLS.Files = pairs }
	}
	g := start(t, setup{})
	shown := func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", g.at.HTTPS, &tls.Config{InsecureSkipVerify: true, ServerName: host})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	keptOpen := g.client(1)
	g.request(keptOpen, "/", germany)
	first, second := pair(1, "a"), pair(2, "b")
	g.mustReload(files(first))
	if got := shown(); got != 1 {
		t.Errorf("certificate %d is shown", got)
	}
	g.mustReload(files(second, first))
	if got := shown(); got != 2 {
		t.Errorf("certificate %d is shown", got)
	}
	pair(3, "b") // as it is renewed
	testkit.Eventually(t, "the files are followed that are in use now", func() bool { return shown() == 3 })

	g.mustReload(files(second), func(c *config.Config) { c.TLS.HSTS.MaxAge, c.Limits.Body = time.Hour, 4 })
	answer := g.request(keptOpen, "/", germany) // on a connection that was there before
	if got := answer.header["Strict-Transport-Security"]; !slices.Equal(got, []string{"max-age=3600"}) {
		t.Errorf("HSTS is %q", got)
	}
	r, _ := http.NewRequest(http.MethodPost, "https://"+host+"/", strings.NewReader("12345"))
	res, err := keptOpen.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, _ = read(res); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of five bytes gets %d", res.StatusCode)
	}
}

func TestWhatIsWrongLeavesTheSettingsAndIsSaidUntilItIsMended(t *testing.T) {
	g := start(t, setup{policy: twoRefused})
	c := g.client(2)
	moved := newApp(t, answers("moved"))
	at := g.metric("exitgate_config_last_reload_success_timestamp_seconds")
	if at == 0 || g.metric("exitgate_config_last_reload_successful") != 1 {
		t.Fatal("at the start, the metrics are wrong")
	}
	var since *time.Time
	for name, test := range map[string]struct {
		change func(*config.Config)
		said   []string
	}{
		"what can't be":            {func(c *config.Config) { c.Apps[0].Hosts = []string{"Not A Host"} }, []string{"Not A Host"}},
		"no apps":                  {func(c *config.Config) { c.Apps = nil }, []string{"apps"}},
		"a certificate is missing": {func(c *config.Config) { c.TLS.Files = []config.CertFile{{Cert: "/missing.crt", Key: "/missing.key"}} }, []string{"/missing.crt"}},
		"several things": {func(c *config.Config) {
			c.TLS.Files = []config.CertFile{{Cert: "/missing.crt", Key: "/missing.key"}}
			c.Apps = append(c.Apps, config.App{Hosts: []string{"new.example"}, Upstreams: []string{moved.URL}, SecretFile: "/missing.secret"})
		}, []string{"/missing.crt", "/missing.secret", "new.example"}},
		"a restart is needed": {func(c *config.Config) {
			c.Listen.HTTPS, c.Data, c.TLS.ACME.Email = "127.0.0.1:1", "/elsewhere", "ops@example.org"
		}, []string{"restart", "listen.https", "data", "tls.acme.email"}},
	} {
		err := g.reload(upstream(moved.URL), test.change)
		if err == nil {
			t.Errorf("%s: it is taken", name)
			continue
		}
		status, checks := g.ready()
		check := checks["settings"]
		if status != 200 || check.OK || check.Since == nil || since != nil && !since.Equal(*check.Since) {
			t.Errorf("%s: readiness is %d, %+v, and it failed since %v", name, status, check, since)
		}
		since = check.Since
		for _, text := range []string{err.Error(), check.Detail} {
			for _, part := range test.said {
				if !contains(text, part) {
					t.Errorf("%s: %s isn't said in %s", name, part, text)
				}
			}
		}
		if got := g.request(c, "/", germany); got.body != "served\n" {
			t.Errorf("%s: the old app isn't asked: %q", name, got.body)
		}
		if g.metric("exitgate_config_last_reload_successful") != 0 || g.metric("exitgate_config_last_reload_success_timestamp_seconds") != at {
			t.Errorf("%s: the metrics are wrong", name)
		}
	}
	unread := errors.New("half a file")
	if err := g.run.Reload(func() (config.Config, error) { return config.Config{}, unread }); !errors.Is(err, unread) {
		t.Errorf("what can't be read is %v", err)
	}

	g.mustReload(upstream(moved.URL))
	if got := g.request(c, "/", germany); got.body != "moved" {
		t.Errorf("mended, it gets %q", got.body)
	}
	if _, checks := g.ready(); checks["settings"].Detail != "" {
		t.Errorf("mended, %+v is said", checks["settings"])
	}
	if g.metric("exitgate_config_last_reload_successful") != 1 || g.metric("exitgate_config_last_reload_success_timestamp_seconds") < at {
		t.Error("mended, the metrics are wrong")
	}
	if len(g.log.Lines("level=INFO", "settings reloaded", "apps")) != 1 {
		t.Error("the log doesn't say what has changed")
	}
}

// Hosts that certificates are obtained for don't change; others do.
func TestAHostThatNeedsACertificateByACMETakesARestart(t *testing.T) {
	cert, key := certificate(t, 1)
	f := config.CertFile{Cert: filepath.Join(t.TempDir(), "a.crt"), Key: filepath.Join(t.TempDir(), "a.key")}
	testkit.WriteFile(t, f.Cert, cert)
	testkit.WriteFile(t, f.Key, key)
	// One host, which the file's certificate is for: nothing is obtained yet.
	g := start(t, setup{configure: func(c *config.Config) {
		c.TLS.Files, c.TLS.ACME.Email, c.TLS.ACME.Directory = []config.CertFile{f}, "ops@example.org", "https://127.0.0.1:1/dir"
	}})
	if err := g.reload(func(c *config.Config) { c.Apps[0].Hosts = []string{host, "www.app.example"} }); err == nil || !contains(err.Error(), "tls.acme") {
		t.Errorf("another host: %v", err)
	}
	g.mustReload(func(c *config.Config) { c.TLS.HSTS.MaxAge = time.Hour })
}

// What caches have already is known on: it is what a withdrawal has to wait for.
func TestWhatCachesHaveIsKnownAfterAReload(t *testing.T) {
	g := start(t, setup{handler: cacheable})
	g.request(g.client(1), "/?Cache-Control=public,+max-age=86400", germany)
	planned := func() (p api.Plan) {
		t.Helper()
		g.operate(200, "POST", "/v1/plan", `{"policy": "version: 1\njurisdictions: {FR: withdrawn}\n"}`, &p)
		return p
	}
	before := planned().Caches
	if before == nil || before.Shared.IsZero() {
		t.Fatalf("caches have %+v", before)
	}
	g.mustReload(func(c *config.Config) { c.TrustedProxies = nil }) // that they were named counts, too
	if now := planned().Caches; now == nil || !now.Shared.Equal(before.Shared) || !now.Private.Equal(before.Private) {
		t.Errorf("caches had %+v, and have %+v", before, now)
	}
}

func TestReloadsAtOnceAndWhileTheGatewayStops(t *testing.T) {
	g := start(t, setup{policy: twoRefused})
	g.app.keep.Store(false)
	other := newApp(t, nil)
	load := startLoad(g, 2)
	var reloads sync.WaitGroup
	begun := make(chan struct{}, 1000)
	for range 4 {
		reloads.Go(func() {
			for _, to := range []string{g.app.URL, other.URL} {
				for g.reload(upstream(to)) == nil && len(begun) < cap(begun)/2 {
					begun <- struct{}{}
				}
			}
		})
	}
	testkit.Eventually(t, "there are reloads under load", func() bool { return len(begun) > 20 && load.requests.Load() > 50 })
	load.end(t)
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	reloads.Wait()
	if err := g.reload(upstream(other.URL)); err == nil {
		t.Error("a gateway that has stopped takes settings")
	}
}
