package client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/client"
)

// An echo is an HTTP server behind ProxyProtocol that answers with whom it
// thinks to be asked by.
type echo struct {
	addr     string
	rejected chan string
}

var (
	loopback  = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	elsewhere = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
)

// serve starts an echo. Headers from sources may take an hour, so that in no
// test but those about time time plays a part.
func serve(t *testing.T, sources []netip.Prefix) echo {
	return serveWithin(t, sources, time.Hour)
}

func serveWithin(t *testing.T, sources []netip.Prefix, headerTimeout time.Duration) echo {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := echo{addr: inner.Addr().String(), rejected: make(chan string, 100)}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.RemoteAddr)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(client.ProxyProtocol(inner, sources, headerTimeout, func(reason string) { e.rejected <- reason }))
	}()
	t.Cleanup(func() { server.Close(); <-done })
	return e
}

func (e echo) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// answer sends bytes and an HTTP request on one connection, and returns the
// body of the answer with the sender's own address written as "me"; or "" if
// the connection is closed without an answer.
func (e echo) answer(t *testing.T, sent string) string {
	t.Helper()
	conn := e.dial(t)
	io.WriteString(conn, sent+"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		return response.Status
	}
	return strings.ReplaceAll(string(body), conn.LocalAddr().String(), "me")
}

// v2 returns a version 2 header, as the specification lays it out: command
// (0 LOCAL, 1 PROXY), address family and transport, and what follows.
func v2(command, family byte, payloadHex string) string {
	payload, err := hex.DecodeString(strings.ReplaceAll(payloadHex, " ", ""))
	if err != nil {
		panic(err)
	}
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family, byte(len(payload) >> 8), byte(len(payload))}) + string(payload)
}

const (
	v4Addrs = "cb007109 c0000201 8235 01bb"                                                 // 203.0.113.9:33333 to 192.0.2.1:443
	v6Addrs = "20010db8000000000000000000000009 20010db8000000000000000000000001 8235 01bb" // [2001:db8::9]:33333 to [2001:db8::1]:443
	mapped  = "00000000000000000000ffffcb007109 00000000000000000000ffffc0000201 8235 01bb" // the first, IPv4-mapped
	tlvs    = "01 0002 6832 04 0003 000000"                                                 // ALPN h2, three bytes of nothing
)

func TestProxyProtocolHeadersOfConfiguredSources(t *testing.T) {
	e := serve(t, loopback)
	for _, test := range []struct {
		name     string
		sent     string
		want     string // whom the request is from
		rejected string
	}{
		{"version 1, IPv4", "PROXY TCP4 203.0.113.9 192.0.2.1 33333 443\r\n", "203.0.113.9:33333", ""},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::9 2001:db8::1 33333 443\r\n", "[2001:db8::9]:33333", ""},
		{"version 1, UNKNOWN is the proxy's own", "PROXY UNKNOWN\r\n", "me", ""},
		{"version 1, addresses after UNKNOWN are not trusted", "PROXY UNKNOWN 203.0.113.9 192.0.2.1 33333 443\r\n", "me", ""},
		{"version 2, IPv4", v2(1, 0x11, v4Addrs), "203.0.113.9:33333", ""},
		{"version 2, IPv6", v2(1, 0x21, v6Addrs), "[2001:db8::9]:33333", ""},
		{"version 2, IPv4-mapped", v2(1, 0x21, mapped), "203.0.113.9:33333", ""},
		{"version 2, TLVs are skipped", v2(1, 0x11, v4Addrs+tlvs), "203.0.113.9:33333", ""},
		{"version 2, a client that came by UDP (HTTP/3)", v2(1, 0x12, v4Addrs), "203.0.113.9:33333", ""},
		{"version 2, LOCAL is the proxy's own", v2(0, 0x00, ""), "me", ""},
		{"version 2, addresses in LOCAL are not trusted", v2(0, 0x11, v4Addrs), "me", ""},
		{"version 2, LOCAL with TLVs", v2(0, 0x00, tlvs), "me", ""},

		{"version 2, a client on a Unix socket", v2(1, 0x31, strings.Repeat("2f", 216)), "", "hidden"},
		{"version 2, an unspecified client", v2(1, 0x00, ""), "", "hidden"},

		{"no header", "", "", "missing"},
		{"no header, but a request that begins like one", "PROPFIND / HTTP/1.1\r\nHost: example.org\r\n\r\n", "", "missing"},
		{"no header, but a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", "missing"},

		{"version 1, a header in lower case", "proxy TCP4 203.0.113.9 192.0.2.1 33333 443\r\n", "", "missing"},
		{"version 1, garbage for an address", "PROXY TCP4 203.0.113.999 192.0.2.1 33333 443\r\n", "", "malformed"},
		{"version 1, a name for an address", "PROXY TCP4 localhost 192.0.2.1 33333 443\r\n", "", "malformed"},
		{"version 1, an IPv6 address in TCP4", "PROXY TCP4 2001:db8::9 2001:db8::1 33333 443\r\n", "", "malformed"},
		{"version 1, a zone", "PROXY TCP6 fe80::9%eth0 2001:db8::1 33333 443\r\n", "", "malformed"},
		{"version 1, a port that is too large", "PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n", "", "malformed"},
		{"version 1, a field too many", "PROXY TCP4 203.0.113.9 192.0.2.1 33333 443 0\r\n", "", "malformed"},
		{"version 1, a family that isn't", "PROXY UDP4 203.0.113.9 192.0.2.1 33333 443\r\n", "", "malformed"},
		{"version 1, no end", "PROXY TCP4 " + strings.Repeat("1", 200), "", "malformed"},
		{"version 1, an end without CR", "PROXY TCP4 203.0.113.9 192.0.2.1 33333 443\n", "", "malformed"},
		{"version 1, two headers", strings.Repeat("PROXY TCP4 203.0.113.9 192.0.2.1 33333 443\r\n", 2), "400 Bad Request", ""},
		{"version 2, a command that isn't", v2(2, 0x11, v4Addrs), "", "malformed"},
		{"version 2, addresses that are cut", v2(1, 0x11, v4Addrs[:20]), "", "malformed"},
		{"version 2, IPv4 addresses for IPv6", v2(1, 0x21, v4Addrs), "", "malformed"},
		{"version 2, more TLVs than are read", v2(1, 0x11, v4Addrs+strings.Repeat("00", 5000)), "", "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := e.answer(t, test.sent); got != test.want {
				t.Errorf("answered %q, want %q", got, test.want)
			}
			if test.rejected != "" {
				if got := <-e.rejected; got != test.rejected {
					t.Errorf("rejected because %q, want %q", got, test.rejected)
				}
			}
			select {
			case extra := <-e.rejected:
				t.Errorf("rejected once more, because %q", extra)
			default:
			}
		})
	}
}

func TestProxyProtocolHeadersOfOthersAreJustBrokenRequests(t *testing.T) {
	for name, sources := range map[string][]netip.Prefix{
		"others are configured": elsewhere,
		"nobody is configured":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, sources)
			for _, test := range []struct{ name, sent, want string }{
				{"no header", "", "me"},
				{"version 1", "PROXY TCP4 203.0.113.9 192.0.2.1 33333 443\r\n", "400 Bad Request"},
				{"version 2", v2(1, 0x11, v4Addrs), "400 Bad Request"},
				{"LOCAL", v2(0, 0x00, ""), "400 Bad Request"},
			} {
				if got := e.answer(t, test.sent); got != test.want {
					t.Errorf("%s: answered %q, want %q", test.name, got, test.want)
				}
			}
			if len(e.rejected) > 0 {
				t.Errorf("rejected because %q", <-e.rejected)
			}
		})
	}
}

func TestConnectionsOfOthersComeBackAsAccepted(t *testing.T) {
	inner := listen(t)
	listener := client.ProxyProtocol(inner, elsewhere, 0, nil)
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if _, ok := accepted.(*net.TCPConn); !ok {
		t.Errorf("got a %T", accepted)
	}
	if client.ProxyProtocol(inner, nil, 0, nil) != inner {
		t.Error("without sources the listener is wrapped")
	}
}

func TestASilentSourceHoldsUpNobody(t *testing.T) {
	e := serve(t, loopback)
	for range 20 {
		e.dial(t)
	}
	const header = "PROXY TCP4 203.0.113.9 192.0.2.1 33333 443\r\n"
	if got := e.answer(t, header); got != "203.0.113.9:33333" {
		t.Errorf("answered %q", got)
	}
}

func TestALateHeaderClosesTheConnection(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing sent":            "",
		"a signature's beginning": "PRO",
		"half a version 2 header": v2(1, 0x11, v4Addrs)[:20],
	} {
		t.Run(name, func(t *testing.T) {
			e := serveWithin(t, loopback, 10*time.Millisecond)
			conn := e.dial(t)
			io.WriteString(conn, sent)
			if got := <-e.rejected; got != "late" {
				t.Errorf("rejected because %q", got)
			}
			if n, _ := io.Copy(io.Discard, conn); n > 0 {
				t.Errorf("%d bytes were answered", n)
			}
		})
	}
}

func TestAConnectionThatEndsBeforeItsHeaderIsToldFromOneWithout(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing sent":            "",
		"a signature's beginning": "PRO",
		"half a version 2 header": v2(1, 0x11, v4Addrs)[:20],
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, loopback)
			conn := e.dial(t)
			io.WriteString(conn, sent)
			conn.CloseWrite()
			if got := <-e.rejected; got != "closed" {
				t.Errorf("rejected because %q", got)
			}
		})
	}
}

// Errors of net and of proxyproto say who and what; what a rejected connection
// returns must not.
func TestARefusedConnectionTellsOnlyWhy(t *testing.T) {
	inner := listen(t)
	reasons := make(chan string, 10)
	listener := client.ProxyProtocol(inner, loopback, time.Hour, func(reason string) { reasons <- reason })
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "PROXY TCP4 203.0.113.999 192.0.2.1 33333 443\r\nsecret")

	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got, want := accepted.RemoteAddr().String(), conn.LocalAddr().String(); got != want {
		t.Errorf("the remote address is %s, want the proxy's own, %s", got, want)
	}
	for range 2 {
		if n, err := accepted.Read(make([]byte, 10)); n != 0 || err != client.Malformed {
			t.Errorf("Read: %d, %v", n, err)
		}
		if n, err := accepted.Write([]byte("hello")); n != 0 || err != client.Malformed {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	if len(reasons) != 1 {
		t.Errorf("%d reasons, want 1", len(reasons))
	}
}

func TestTheHeaderComesBeforeTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.RemoteAddr)
	}))
	server.EnableHTTP2 = true
	server.Listener = client.ProxyProtocol(server.Listener, loopback, time.Hour, func(reason string) { t.Errorf("rejected because %q", reason) })
	server.StartTLS()
	defer server.Close()

	transport := server.Client().Transport.(*http.Transport)
	transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		io.WriteString(conn, v2(1, 0x21, v6Addrs))
		secure := tls.Client(conn, &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com", NextProtos: []string{"h2"}})
		return secure, secure.HandshakeContext(ctx)
	}
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if got, want := string(body), "HTTP/2.0 [2001:db8::9]:33333"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The deadlines that a server sets hold after the header as they would
// without one.
func TestDeadlinesOutliveTheHeader(t *testing.T) {
	inner := listen(t)
	listener := client.ProxyProtocol(inner, loopback, time.Hour, nil)
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "PROXY UNKNOWN\r\n")

	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	accepted.RemoteAddr()
	accepted.SetReadDeadline(time.Unix(1, 0))
	if _, err := accepted.Read(make([]byte, 1)); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("Read: %v, want a timeout", err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}
