//go:build integration

package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
)

// Issue 12: a real nginx, as docs/operations.md has it, asks what becomes of requests that
// it forwards itself.
func TestNginxAsksForDecisions(t *testing.T) {
	g := start(t, decisionService())
	scratch := t.TempDir()
	address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	documented := strings.NewReplacer(
		"listen 443 ssl;", "listen "+address+";", "https://127.0.0.1:8443", "https://"+g.at.HTTPS,
		"127.0.0.1:8602", g.at.Decisions, "http://127.0.0.1:3000", g.app.URL,
	).Replace(documented(t, "decisions.conf"))
	documented = regexp.MustCompile(`(?m)^.*ssl_certificate.*\n`).ReplaceAllString(documented, "")
	startNginx(t, scratch, address, "set_real_ip_from 127.0.0.0/8; real_ip_header X-Test-Client;\n"+documented) // the test is anywhere

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, test := range []struct {
		line, from string
		fields     []string
		want       int
		reaches    bool // the app
	}{
		{"GET /", america, nil, 200, true},
		{"GET /", france, nil, 451, false},
		{"POST /signup?a=b", germany, nil, 451, false},
		{"POST /signup", america, nil, 200, true},
		{"POST /login", germany, nil, 200, true},
		{"POST /login?_method=PUT", germany, nil, 200, true},
		{"GET /x/%2e%2e/signup", france, nil, 451, false},
		{"POST /x/%2e%2e/signup", germany, nil, 400, false},
		{"GET /.well-known/market-status", france, nil, 200, false},
		{"GET /", france, []string{"X-Forwarded-Uri", "/.well-known/market-status"}, 451, false},
		{"GET /", france, []string{"Market-Jurisdiction", "US"}, 451, false},
		{"GET /", america, []string{"Market-Jurisdiction", "FR"}, 200, true},
		{"GET /", france, []string{"Forwarded", "for=" + america}, 451, false},
		{"GET /.exitgate", america, nil, 404, false},
	} {
		method, path, _ := strings.Cut(test.line, " ")
		r, err := http.NewRequest(method, "http://"+address+path, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("X-Test-Client", test.from)
		if test.fields != nil {
			r.Header.Set(test.fields[0], test.fields[1])
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", test.line, err)
		}
		got, err := read(res)
		if err != nil || got.status != test.want {
			t.Errorf("%s from %s, %v: %d, %v, want %d\n%s", test.line, test.from, test.fields, got.status, err, test.want, got.body)
		}
		if test.want == 451 && (!strings.Contains(got.header.Get("Link"), "blocked-by") && got.body == "" || got.header.Get("Content-Type") == "text/html") {
			t.Errorf("%s from %s gets no notice: %v", test.line, test.from, got.header)
		}
		seen := g.app.asked()
		if (len(seen) == 1) != test.reaches {
			t.Errorf("%s from %s: the app saw %v", test.line, test.from, seen)
		}
		if len(seen) == 1 && seen[0].header.Get("Market-Jurisdiction") == "FR" {
			t.Errorf("%s from %s: the app is told of %v", test.line, test.from, seen[0].header["Market-Jurisdiction"])
		}
	}
	// The host that is asked about is the one that the app gets: of a target in absolute form,
	// the one in it.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET http://elsewhere.example/ HTTP/1.1\r\nHost: %s\r\nX-Test-Client: %s\r\n\r\n", host, america)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := read(res); got.status != http.StatusMisdirectedRequest || len(g.app.asked()) > 0 {
		t.Errorf("another host in the target gets %d", got.status)
	}
	g.stop()
	r, _ := http.NewRequest("GET", "http://"+address+"/", nil)
	r.Header.Set("X-Test-Client", america)
	if res, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(res); got.status < 500 || len(g.app.asked()) > 0 {
		t.Errorf("without the gateway it is %d", got.status)
	}
}
