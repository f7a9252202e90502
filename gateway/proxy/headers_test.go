package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/google/go-cmp/cmp"
)

// showHeaders is an app that answers with the header fields it got.
var showHeaders = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	var lines []string
	add := func(prefix string, h http.Header) {
		for name, values := range h {
			for _, v := range values {
				lines = append(lines, prefix+name+": "+v)
			}
		}
	}
	add("", r.Header)
	add("trailer ", r.Trailer)
	slices.Sort(lines)
	fmt.Fprintf(w, "Host: %s\n%s\n", r.Host, strings.Join(lines, "\n"))
})

// told is what the app is told of every request in these tests.
const told = `Market-Jurisdiction: FR
Market-Phase: announced
X-Forwarded-For: 192.0.2.7
X-Forwarded-Host: example.com
X-Forwarded-Port: 443
X-Forwarded-Proto: https
X-Request-Id: request-1
`

func TestTheAppHearsTheGatewayAndNotTheClient(t *testing.T) {
	for _, spoof := range []string{
		"Market-Jurisdiction: DE",
		"market-jurisdiction: DE",
		"MARKET-JURISDICTION: DE",
		"Market-Anything-Else: 1",
		"Market_Jurisdiction: DE",
		"Market.Jurisdiction: DE",
		"Market-Jurisdiction: DE\r\nMarket-Jurisdiction: US",
		"X-Forwarded-For: 198.51.100.1",
		"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 198.51.100.2",
		"X_Forwarded_For: 198.51.100.1",
		"X-Forwarded-Proto: http",
		"X-Forwarded-Host: evil.example",
		"X-Forwarded-Port: 80",
		"X-Forwarded-Prefix: /admin",
		"X-Forwarded-Server: evil.example",
		"Forwarded: for=198.51.100.1",
		"X-Request-Id: chosen",
		"X-Real-IP: 198.51.100.1",
		"X_REAL_IP: 198.51.100.1",
		"True-Client-IP: 198.51.100.1",
		"CF-Connecting-IP: 198.51.100.1",
		"CF-IPCountry: DE",
		"X-Original-URL: /admin",
		"X-Rewrite-URL: /admin",
		"Proxy: http://evil.example",
		"Connection: Market-Jurisdiction",
		"Connection: close, X-Forwarded-For, market-phase, x-request-id, X-Forwarded-Proto, x-forwarded-host",
		"Connection: X-Request-Id\r\nX-Request-Id: chosen",
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
		"Connection: Upgrade\r\nUpgrade: HTTP/2.0",
		"Keep-Alive: timeout=5",
		"Proxy-Connection: keep-alive",
		"Proxy-Authorization: Basic Zm9vOmJhcg==",
	} {
		t.Run(strings.ReplaceAll(spoof, "\r\n", ", "), func(t *testing.T) {
			for _, kind := range []string{"http", "h2c"} {
				g := newGateway(t, serve(t, kind, showHeaders))
				res := g.raw("GET / HTTP/1.1\r\nHost: example.com\r\n" + spoof + "\r\n\r\n")
				if diff := cmp.Diff("Host: example.com\n"+told, body(t, res)); diff != "" {
					t.Errorf("over %s (-want +got):\n%s", kind, diff)
				}
			}
		})
	}
}

func TestTheAppHearsTheGatewayAndNotAnHTTP2Client(t *testing.T) {
	g := newGateway(t, serve(t, "http", showHeaders))
	r := request(t, "GET", g.URL, nil)
	r.Host = "example.com"
	for _, name := range []string{"market-jurisdiction", "market_jurisdiction", "x-forwarded-for", "forwarded", "x-real-ip"} {
		r.Header[name] = []string{"DE"}
	}
	r.Header["User-Agent"] = nil
	if diff := cmp.Diff("Host: example.com\n"+told, body(t, send(t, g.client(2), r))); diff != "" {
		t.Error(diff)
	}
}

func TestAClientCannotSpeakForTheGatewayInTrailers(t *testing.T) {
	for _, kind := range []string{"http", "h2c"} {
		for name, request := range map[string]string{
			"announced":   "Trailer: Market-Jurisdiction, X-Sum\r\n",
			"unannounced": "",
		} {
			if name == "unannounced" && kind == "h2c" {
				continue // net/http's HTTP/2 server drops what wasn't announced
			}
			t.Run(name+" over "+kind, func(t *testing.T) {
				g := newGateway(t, serve(t, kind, showHeaders))
				res := g.raw("POST / HTTP/1.1\r\nHost: example.com\r\n" + request + "Transfer-Encoding: chunked\r\n\r\n" +
					"2\r\nhi\r\n0\r\nMarket-Jurisdiction: DE\r\nX-Sum: 42\r\n\r\n")
				if diff := cmp.Diff("Host: example.com\n"+told+"trailer X-Sum: 42\n", body(t, res)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestOtherFieldsReachTheAppAsTheyAre(t *testing.T) {
	each(t, func(t *testing.T, major int) {
		g := newGateway(t, serve(t, "http", showHeaders))
		r := request(t, "GET", g.URL, nil)
		r.Host = "Example.com:8443"
		r.Header = http.Header{
			"Accept":     {"text/html", "text/*;q=0.5"},
			"Cookie":     {"a=1; b=2"},
			"User-Agent": {"test/1"},
			"X-Empty":    {""},
			"Te":         {"trailers"},
		}
		res := send(t, g.client(major), r)
		want := "Host: Example.com:8443\nAccept: text/*;q=0.5\nAccept: text/html\nCookie: a=1; b=2\n" +
			strings.NewReplacer("example.com", "Example.com:8443", "443", "8443").Replace(told)
		want = strings.Replace(want, "X-Forwarded-For", "Te: trailers\nUser-Agent: test/1\nX-Empty: \nX-Forwarded-For", 1)
		if diff := cmp.Diff(want, body(t, res)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestForwardedIsSentOnRequest(t *testing.T) {
	for _, test := range []struct{ client, host, want string }{
		{"192.0.2.7", "example.com", `for=192.0.2.7;host="example.com";proto=https`},
		{"::ffff:192.0.2.7", "example.com", `for=192.0.2.7;host="example.com";proto=https`},
		{"2001:db8::1", "example.com:8443", `for="[2001:db8::1]";host="example.com:8443";proto=https`},
		{"fe80::1%eth0", "[2001:db8::2]", `for="[fe80::1]";host="[2001:db8::2]";proto=https`},
		{"", "example.com", `for=unknown;host="example.com";proto=https`},
	} {
		t.Run(test.client+" "+test.host, func(t *testing.T) {
			f := forwarding
			f.Client, _ = netip.ParseAddr(test.client)
			o := serve(t, "http", showHeaders)
			o.Forwarded = true
			g := newGatewayWith(t, o, f)
			got := body(t, g.raw("GET / HTTP/1.1\r\nHost: "+test.host+"\r\n\r\n"))
			if !strings.Contains(got, "\nForwarded: "+test.want+"\n") {
				t.Errorf("want %s in\n%s", test.want, got)
			}
		})
	}
}

func TestTheTargetReachesTheAppByteForByte(t *testing.T) {
	for _, target := range []string{
		"/",
		"/a/b",
		"/%2e%2e/x",
		"/a%2Fb/c%2fd",
		"/%41%c3%a9/%E2%82%AC",
		"/a//b",
		"//a/b",
		"/a/./b/../c",
		"/a;b=c,d:e@f/!$&'()*+=~",
		"/{a}|b^`\"<>",
		"/caf\xc3\xa9",
		"/?",
		"/?a=1;b=2&c",
		"/?%zz=%",
		"/?q=a+b%20c&d=\"{}|<>",
		"/a?b?c=d/e",
		"/a#b",
		"/*",
	} {
		t.Run(target, func(t *testing.T) {
			seen := make(chan string, 1)
			url := listen(t, func(c net.Conn, r *bufio.Reader) {
				h, _ := head(r)
				line, _, _ := strings.Cut(h, "\r\n")
				seen <- line
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			})
			g := newGateway(t, proxy.Options{Upstreams: []string{url}})
			if res := g.raw("GET " + target + " HTTP/1.1\r\nHost: example.com\r\n\r\n"); res.StatusCode != 204 {
				t.Fatal(res.Status, body(t, res))
			}
			if got, want := <-seen, "GET "+target+" HTTP/1.1"; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if strings.Contains(target, "\xc3") {
				return // not a valid :path
			}
			h2c := newGateway(t, serve(t, "h2c", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, r.RequestURI)
			})))
			if got := body(t, h2c.raw("GET "+target+" HTTP/1.1\r\nHost: example.com\r\n\r\n")); got != target {
				t.Errorf("over h2c: got  %q\nwant %q", got, target)
			}
		})
	}
}

func TestOfAnAbsoluteTargetThePathIsForwarded(t *testing.T) {
	showTarget := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host+" "+r.RequestURI) })
	g := newGateway(t, serve(t, "http", showTarget))
	if got, want := body(t, g.raw("GET https://example.com/a%2Fb?c HTTP/1.1\r\nHost: example.com\r\n\r\n")), "example.com /a%2Fb?c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := body(t, g.raw("GET https://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n")), "example.com /"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOptionsOfTheWholeServerAreForwarded(t *testing.T) {
	seen := make(chan string, 1)
	url := listen(t, func(c net.Conn, r *bufio.Reader) {
		h, _ := head(r)
		line, _, _ := strings.Cut(h, "\r\n")
		seen <- line
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	g := newGateway(t, proxy.Options{Upstreams: []string{url}})
	g.Config.DisableGeneralOptionsHandler = true
	if res := g.raw("OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n"); res.StatusCode != 204 {
		t.Fatal(res.Status)
	}
	if got, want := <-seen, "OPTIONS * HTTP/1.1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnUpgradeToNothingReadableIsRefused(t *testing.T) {
	g := newGateway(t, serve(t, "http", showHeaders))
	res := g.raw("POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: \xe9\r\n\r\nhi")
	if res.StatusCode != 400 {
		t.Fatal(res.Status)
	}
}

func TestATunnelIsRefused(t *testing.T) {
	g := newGateway(t, serve(t, "http", showHeaders))
	if res := g.raw("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"); res.StatusCode != 501 {
		t.Fatal(res.Status)
	}
}

func TestTheGatewaysFieldsAreAddedToEveryAnswer(t *testing.T) {
	f := forwarding
	f.Response = []proxy.Field{
		{Name: "Sunset", Value: "Tue, 01 Dec 2026 00:00:00 GMT"},
		{Name: "Link", Value: `<https://example.org/>; rel="sunset"`},
	}
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Sunset"] = []string{"never", "ever"}
		w.Header().Set("Link", `</style.css>; rel="preload"`)
		w.Header().Set("Alt-Svc", `h3=":8443"`)
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
	})
	each(t, func(t *testing.T, major int) {
		g := newGatewayWith(t, serve(t, "http", app), f)
		res := get(t, g.client(major), g.URL)
		res.Header.Del("Date")
		want := http.Header{
			"Sunset":         {"Tue, 01 Dec 2026 00:00:00 GMT"},
			"Link":           {`</style.css>; rel="preload"`, `<https://example.org/>; rel="sunset"`},
			"Set-Cookie":     {"a=1", "b=2"},
			"Content-Length": {"0"},
		}
		if diff := cmp.Diff(want, res.Header); diff != "" {
			t.Error(diff)
		}

		down := newGatewayWith(t, proxy.Options{Upstreams: []string{nobody(t)}}, f)
		res = get(t, down.client(major), down.URL)
		if got := res.Header["Sunset"]; res.StatusCode != 502 || !slices.Equal(got, want["Sunset"]) {
			t.Error(res.Status, got)
		}
	})
}

// nobody returns the URL of an upstream that isn't there: its port is taken, but
// nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("http://127.0.0.1:", name.(*syscall.SockaddrInet4).Port)
}
