package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// Over the socket whoever asks for the API is the user of the command, so nothing but
// pages is passed on, however it is spelt, and for no other name.
func TestTheConsolesProxyPassesOnPagesAndNothingElse(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var passed []string
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { passed = append(passed, r.Host+r.URL.Path) })}
	go func() { _ = server.Serve(l) }() // it ends with the test
	defer server.Close()
	c := &client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}}
	proxy := newConsoleProxy(c)
	for _, target := range []string{
		"/v1/status", "/v1", "/V1/status", "//v1/status", "/./v1/status", "/assets/../v1/status", "/assets/%2e%2e/v1/status", "/log/..%2fv1/status", "/log//v1/status",
		"/metrics", "/readyz", "/healthz", "/ofrep/v1/evaluate/flags", "/%76%31/status", "/other",
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:1234"+target, nil)
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		if len(passed) > 0 {
			t.Errorf("%s leads to %s", target, passed)
			passed = nil
		}
	}
	for host, want := range map[string]string{"127.0.0.1:1234": "127.0.0.1:1234/markets/FR", "localhost:1": "localhost:1/markets/FR", "evil.example:1234": "", "evil.example": ""} {
		passed = nil
		r := httptest.NewRequest("GET", "http://"+host+"/markets/FR", nil)
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		if got := strings.Join(passed, " "); got != want {
			t.Errorf("for %s it asks for %q, want %q", host, got, want)
		}
	}
}
