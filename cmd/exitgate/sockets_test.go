package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
)

// hold binds a socket, as a service manager does, which is there while the test is.
func (m *gatewayProcess) hold(name string) net.Addr {
	m.t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		m.t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _, _ = l.Close(), f.Close() })
	m.sockets, m.files = append(m.sockets, name), append(m.files, f)
	return l.Addr()
}

// Issue 12: whose sockets the service manager holds can be restarted without anybody being
// turned away: connections wait meanwhile.
func TestARestartWithSocketsOfTheServiceManagerTurnsNobodyAway(t *testing.T) {
	t.Parallel()
	m := newGatewayProcess(t, "jurisdictions: {FR: withdrawn}\n")
	m.listen = `{https: "127.0.0.1:1", http: ""}` // where nothing may listen
	m.drain = "1m"                                // for a busy machine
	address := m.hold("https").String()
	m.start()
	if m.https != address {
		t.Fatalf("it serves at %s", m.https)
	}

	var asking sync.WaitGroup
	var asked atomic.Int64
	over := make(chan struct{})
	kept := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 4}}
	http2 := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	for how, ask := range map[string]func(address, client string) (int, error){
		"on a connection of its own": askOnce, "on one that is kept": askBy(kept), "over HTTP/2": askBy(http2),
	} {
		for country, want := range map[string]int{"FR": http.StatusUnavailableForLegalReasons, "DE": http.StatusOK} {
			for range 2 {
				asking.Go(func() {
					for {
						select {
						case <-over:
							return
						default:
						}
						if status, err := ask(address, clients[country]); err != nil || status != want {
							t.Errorf("from %s, %s: %d, %v", country, how, status, err)
							return
						}
						asked.Add(1)
					}
				})
			}
		}
	}
	for range 3 {
		before := asked.Load()
		testkit.Eventually(t, "clients are answered", func() bool { return asked.Load() > before+20 })
		if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-m.ended
		m.start()
	}
	close(over)
	asking.Wait()
	kept.CloseIdleConnections()
	http2.CloseIdleConnections()
}

// askBy makes a request with a client, which makes one again that a server didn't take.
func askBy(c *http.Client) func(address, client string) (status int, err error) {
	return func(address, client string) (int, error) {
		r, err := http.NewRequest(http.MethodGet, "https://"+address, nil)
		if err != nil {
			return 0, err
		}
		r.Header.Set("X-Forwarded-For", client)
		res, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
}

// askOnce makes a request on a connection of its own.
func askOnce(address, client string) (status int, err error) {
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: %s\r\nConnection: close\r\n\r\n", client)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func TestSocketsThatFitNoListenerAreSaid(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sockets []string
		said    string
	}{
		"an unknown name":         {[]string{"https", "web"}, "web"},
		"two of a name":           {[]string{"https", "https"}, "FileDescriptorName"},
		"the operators' listener": {[]string{"admin"}, "admin"},
		"HTTP/3, which needs UDP": {[]string{"http3"}, "it has to be one for UDP"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newGatewayProcess(t, "")
			m.listen = `{https: "127.0.0.1:0", http: "", http3: 443}`
			for _, socket := range test.sockets {
				m.hold(socket)
			}
			if m.run() {
				m.kill()
				t.Fatal("it starts")
			}
			if !strings.Contains(m.log.String(), test.said) {
				t.Errorf("it says %s", m.log)
			}
		})
	}
}
