package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
)

func TestFailures_limit(t *testing.T) {
	g := newFixture(t)
	const address = "192.0.2.77:4711"
	try := func(address, authorization string) answer {
		t.Helper()
		r := request(t, g, nobody, "GET", "/v1/status", nil, headers{"Authorization": authorization})
		r.RemoteAddr = address
		return serve(t, g, r)
	}
	wrong := []string{"Bearer exg_abcdefgh_no", "Bearer", "Bearer ", "Basic YTpi", "exg_abcdefgh_no", "Bearer " + strings.Repeat("a", 9000), "Bearer \x80", "Bearer a b", ", ", "Bearer " + g.tokens[viewer] + "x"}
	for i, authorization := range wrong {
		if got := try(address, authorization); got.status != http.StatusUnauthorized {
			t.Errorf("wrong token %d: got %d %s", i, got.status, got.code)
		}
	}
	got := try(address, wrong[0])
	if got.status != http.StatusTooManyRequests || got.code != "too-many-failures" || got.header.Get("Retry-After") != "6" {
		t.Errorf("one too many: got %d %s, Retry-After: %s", got.status, got.code, got.header.Get("Retry-After"))
	}
	if got := try(address, "bearer "+g.tokens[viewer]); got.status != http.StatusOK {
		t.Errorf("a good token: got %d", got.status)
	}
	if got := try("192.0.2.78:4711", wrong[0]); got.status != http.StatusUnauthorized {
		t.Errorf("another client: got %d", got.status)
	}
	g.tick(6 * time.Second)
	for _, want := range []int{401, 429} {
		if got := try(address, wrong[0]); got.status != want {
			t.Errorf("6 seconds later: got %d, not %d", got.status, want)
		}
	}
	if r := ask(t, g, nobody, "GET", "/v1/status", nil); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") != `Bearer realm="exitgate"` {
		t.Errorf("no token: got %d", r.status)
	}
	if got, want := int(g.failures.Load()), len(wrong)+4; got != want {
		t.Errorf("%d failures were counted, not %d", got, want)
	}
	if log := g.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}

func TestClientPrefix(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.77:4711":             "192.0.2.77/32",
		"[::ffff:192.0.2.77]:4711":    "192.0.2.77/32",
		"[2001:db8:1:2:3:4:5:6]:4711": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:4711":         "fe80::/64",
		"@":                           "invalid Prefix",
		"":                            "invalid Prefix",
	} {
		if got := admin.ClientPrefix(remote).String(); got != want {
			t.Errorf("%s: got %s, not %s", remote, got, want)
		}
	}
}

func TestFailures_memory(t *testing.T) {
	f := admin.NewFailures()
	now := start
	const first = "[2001:db8::1]:1"
	for range 10 {
		f.Add(first, now)
	}
	for i := range 3 * admin.MaxClients {
		now = now.Add(time.Millisecond)
		f.Add(fmt.Sprintf("[2001:db9:0:%x::1]:1", i), now)
		if f.Clients() > admin.MaxClients {
			t.Fatalf("%d clients are known", f.Clients())
		}
	}
	if now = now.Add(time.Hour); f.Add(first, now) != 0 {
		t.Error("an hour later the first is still limited")
	}
	f.Add("[2001:dba::1]:1", now)
	for i := range admin.MaxClients {
		f.Add(fmt.Sprintf("[2001:dbb:0:%x::1]:1", i), now)
	}
	if f.Clients() > admin.MaxClients {
		t.Errorf("%d clients are known", f.Clients())
	}
}

func TestFailures_clockGoesBack(t *testing.T) {
	f := admin.NewFailures()
	for range 11 {
		f.Add("192.0.2.77:1", start)
	}
	if wait := f.Add("192.0.2.77:1", start.Add(-time.Hour)); wait != 6*time.Second {
		t.Errorf("the wait is %s", wait)
	}
}
