package gateway_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/exitgate/exitgate/gateway/config"
)

// secrets are addresses of clients, in the forms in which one could give them
// away.
type secrets map[string]bool

func (s secrets) add(address string) {
	a := netip.MustParseAddr(address)
	for _, form := range []string{a.String(), a.StringExpanded()} {
		s[form] = true
	}
	b := a.As16()
	// As the words that a netip.Addr is made of are printed, and as bytes.
	s[strings.TrimLeft(fmt.Sprintf("%x", b[8:]), "0")] = true
	s[fmt.Sprintf("%x", a.AsSlice())] = true
	if a.Is4() {
		b := a.As4()
		s[strings.Trim(fmt.Sprint(b), "[]")] = true
		s[strings.ReplaceAll(a.String(), ".", "-")] = true
	}
}

var words = []*regexp.Regexp{
	regexp.MustCompile(`[0-9]{1,3}(?:[.\- ][0-9]{1,3}){3}`),
	regexp.MustCompile(`[0-9a-fA-F]*:[0-9a-fA-F:]+|[0-9a-f]{8,}`),
}

// in returns the addresses that are in a text.
func (s secrets) in(text string) (found []string) {
	for _, kind := range words {
		for _, word := range kind.FindAllString(text, -1) {
			if s[word] || s[strings.TrimLeft(word, "0")] || s[strings.TrimSuffix(word, ":")] {
				found = append(found, word)
			}
		}
	}
	return found
}

func TestSecretsAreFoundInWhateverFormTheyAre(t *testing.T) {
	s := secrets{}
	s.add("81.2.69.142")
	s.add("2a01:cb00::7:1")
	for _, text := range []string{
		"read tcp 81.2.69.142:4711->1.2.3.4:443", "[::ffff:81.2.69.142]", "from=[2a01:cb00::7:1]:443", "2a01:cb00:0000:0000:0000:0000:0007:0001",
		"Address({{0x0, 0xffff5102458e}, 0xc000})", "[81 2 69 142]", "host-81-2-69-142.example", "0x70001",
	} {
		if len(s.in(text)) == 0 && text != "0x70001" { // too short to tell
			t.Errorf("%q hides it", text)
		}
	}
	if found := s.in("81.2.69.143 2a01:cb00::7 0xffff5102458f"); found != nil {
		t.Errorf("found %v", found)
	}
}

// panickingClock is a clock that panics with an address now and then, but only where
// a request is being served.
type panickingClock struct{ calls atomic.Int64 }

func (p *panickingClock) now() time.Time {
	var callers [8]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "request.(*Handler).ServeHTTP") && p.calls.Add(1)%50 == 0 {
			panic(errors.New("a bug that quotes 5.1.0.1"))
		}
		if !more {
			return time.Now()
		}
	}
}

func TestNoAddressOfAClientIsInAnyLogMetricAnswerOrFile(t *testing.T) {
	scale := 5
	if testing.Short() {
		scale = 20 // each kind of load still comes several times
	}
	t.Run("log as text", func(t *testing.T) { checkNoSecrets(t, "text", scale) })
	t.Run("log as JSON", func(t *testing.T) { checkNoSecrets(t, "json", 2*scale) })
}

// checkNoSecrets has 10,000/scale clients do everything that can go wrong.
func checkNoSecrets(t *testing.T, format string, scale int) {
	clock := new(panickingClock)
	g := start(t, setup{
		policy: spoofed, format: format, level: slog.LevelDebug, now: clock.now,
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/fail"):
				panic(http.ErrAbortHandler)
			case strings.HasPrefix(r.URL.Path, "/short"):
				w.Header().Set("Content-Length", "100")
				io.WriteString(w, "short")
			default:
				io.WriteString(w, "served\n")
			}
		}),
		configure: func(c *config.Config) {
			c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			c.Limits.HeaderTimeout = 300 * time.Millisecond
			c.Limits.Body = 1000
			c.AccessLog.File = filepath.Join(c.Data, "access.log")
		},
	})
	g.app.keep.Store(false)

	known := secrets{}
	known.add("5.1.0.1") // of the panics
	var mu sync.Mutex
	leak := func(where, text string) {
		mu.Lock()
		defer mu.Unlock()
		if found := known.in(text); len(found) > 0 {
			t.Errorf("%s holds %v: %.300s", where, found, text)
		}
	}

	// Who comes through the trusted proxy, through the PROXY protocol, and
	// directly.
	var forwarded, proxied, direct []string
	for i := range 7000 / scale {
		switch network := []string{"2.0", "5.1", "3.3", "198.51"}[i%4]; {
		case i%7 == 0:
			forwarded = append(forwarded, fmt.Sprintf("2a02:8100::%x:7", i+1))
		default:
			forwarded = append(forwarded, fmt.Sprintf("%s.%d.%d", network, 100+i/250, 1+i%250))
		}
	}
	for i := range 1500 / scale {
		proxied = append(proxied, fmt.Sprintf("%s.%d.%d", []string{"2.0", "5.1"}[i%2], 200+i/250, 1+i%250))
		direct = append(direct, fmt.Sprintf("127.%d.%d.%d", 10+i%100, 1+i/250, 1+i%250))
	}
	for _, all := range [][]string{forwarded, proxied, direct} {
		for _, address := range all {
			known.add(address)
		}
	}

	var load sync.WaitGroup
	queue := make(chan func())
	for range 48 {
		load.Go(func() {
			for f := range queue {
				f()
			}
		})
	}
	clients := []*http.Client{g.client(1), g.client(2)}
	for i, address := range forwarded {
		queue <- func() { g.forwardedLoad(clients[i%2], i, address, leak) }
	}
	for i, address := range proxied {
		queue <- func() { g.connectionLoad("127.0.0.2", "PROXY TCP4 "+address+" 127.0.0.1 4711 443\r\n", i, address) }
	}
	for i, address := range direct {
		queue <- func() { g.connectionLoad(address, "", i, address) }
	}
	close(queue)
	load.Wait()

	_, metrics := g.admin("/metrics")
	leak("/metrics", metrics)
	_, ready := g.admin("/readyz")
	leak("/readyz", ready)
	for _, name := range []string{
		"exitgate_panics_total", "exitgate_tls_handshake_errors_total", `exitgate_requests_rejected_total{reason="malformed"}`,
		`exitgate_requests_rejected_total{reason="proxy-protocol-malformed"}`,
	} {
		if g.metric(name) == 0 {
			t.Errorf("the load didn't bring about %s", name)
		}
	}
	if g.sum(`code="502"`) == 0 || g.sum("decisions_total", `action="refuse"`) == 0 || g.sum("decisions_total", `action="forward"`) == 0 {
		t.Error("the load was one-sided")
	}
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	log := g.log.String()
	leak("the log", log)
	if panics := g.log.Lines("please report this", "request_id"); len(panics) == 0 || !strings.Contains(panics[0], "ServeHTTP") {
		t.Error("no panic is in the log, or not of which request")
	}
	if lines, err := os.ReadFile(filepath.Join(g.data, "access.log")); err != nil || bytes.Count(lines, []byte("\n")) < len(forwarded) {
		t.Errorf("the access log has %d bytes, %v", len(lines), err)
	}
	err := filepath.WalkDir(g.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		leak(path, string(content))
		leak("the name of a file", path)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d addresses, %d bytes of log", len(forwarded)+len(proxied)+len(direct), len(log))
}

// forwardedLoad is what clients behind the trusted proxy do: some of all that
// can go wrong.
func (g *gate) forwardedLoad(c *http.Client, i int, address string, leak func(where, text string)) {
	method, path, body := "GET", "/", io.Reader(nil)
	header := http.Header{"X-Forwarded-For": {address}}
	switch i % 16 {
	case 1:
		path = "/fail"
	case 2:
		path = "/short"
	case 3:
		header.Set("X-Forwarded-For", address+"x")
	case 4:
		header.Set("Forwarded", "for="+address+"1")
	case 5:
		method, body = "POST", io.MultiReader(strings.NewReader("half"), failingReader{})
	case 6:
		method, body = "POST", strings.NewReader(strings.Repeat("x", 2000))
	case 7:
		path = "/a/..%2f" + address
	case 8:
		path = "/?from=" + address
	case 9:
		header.Set("Market-Jurisdiction", address)
		header.Set("Connection", "Market-Jurisdiction")
	case 10:
		header.Set("X", strings.Repeat(address+" ", 8000))
	case 11:
		method, path = "POST", "/signup"
	case 12:
		path = "/.well-known/market-status"
	}
	r, err := http.NewRequest(method, "https://"+host+path, body)
	if err != nil {
		return
	}
	r.Header = header
	if i%16 == 13 {
		r.Host = address + ".evil.example"
	}
	if c.Transport.(*http.Transport).Protocols.HTTP2() {
		r.Header.Del("Connection")
	}
	res, err := c.Do(r)
	if err != nil {
		return // as it should be, for some
	}
	a, _ := read(res)
	leak("an answer", a.body)
	leak("the header of an answer", fmt.Sprint(a.header))
}

// failingReader is a body that breaks off.
type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// connectionLoad is what connections from an address do.
func (g *gate) connectionLoad(local, greeting string, i int, address string) {
	to := g.at.HTTPS
	if i%10 == 9 {
		to = g.at.HTTP
	}
	raw, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}).Dial("tcp", to)
	if err != nil {
		g.t.Error(err)
		return
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	if i%10 == 8 && greeting != "" {
		greeting = strings.Replace(greeting, " 4711", "x 4711", 1)
	}
	io.WriteString(raw, greeting)
	drain := func(c net.Conn) { io.Copy(io.Discard, c) }
	switch i % 10 {
	case 0:
		io.WriteString(raw, "\x16\x03\x01garbage garbage garbage")
		drain(raw)
	case 1:
		io.WriteString(raw, lines("GET / HTTP/1.1", "Host: "+address)) // in the clear
		drain(raw)
	case 2:
		return // nothing at all
	case 3: // a client that doesn't trust the certificate, and says so
		tls.Client(raw, &tls.Config{ServerName: host}).Handshake()
	case 4: // a request that breaks off
		c := tls.Client(raw, g.tls)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 100\r\n\r\nhalf")
	case 5:
		c := tls.Client(raw, g.tls)
		io.WriteString(c, "GARBAGE "+address+"\r\n\r\n")
		drain(c)
	case 6: // HTTP/2 that is none
		config := g.tls.Clone()
		config.NextProtos = []string{"h2"}
		c := tls.Client(raw, config)
		io.WriteString(c, "PRI * HTTP/"+address)
		raw.(*net.TCPConn).CloseWrite()
		drain(c)
	case 7: // HTTP/2 that breaks its rules
		config := g.tls.Clone()
		config.NextProtos = []string{"h2"}
		c := tls.Client(raw, config)
		io.WriteString(c, http2.ClientPreface)
		framer := http2.NewFramer(c, c)
		framer.AllowIllegalWrites = true
		framer.WriteSettings()
		framer.WriteData(0, true, []byte(address))
		drain(c)
	case 9:
		io.WriteString(raw, lines("GET /"+address+" HTTP/1.1", "Host: "+host, "Connection: close"))
		drain(raw)
	default:
		c := tls.Client(raw, g.tls)
		io.WriteString(c, lines("GET / HTTP/1.1", "Host: "+host, "Connection: close"))
		drain(c)
	}
}
