package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/internal/testkit"
)

// memory is a network in memory with one server, so that time can be simulated.
type memory struct {
	dialed chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func newMemory() *memory { return &memory{dialed: make(chan net.Conn), closed: make(chan struct{})} }

func (m *memory) Addr() net.Addr { return &net.TCPAddr{} }
func (m *memory) Close() error   { m.close.Do(func() { close(m.closed) }); return nil }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.dialed:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.dialed <- server:
		return client, nil
	case <-m.closed:
		return nil, errors.New("nobody listens")
	}
}

// serveInMemory serves HTTP/1.1 and HTTP/2 until the end of the test.
func serveInMemory(t *testing.T, s *http.Server) *memory {
	m := newMemory()
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.ErrorLog = log.New(io.Discard, "", 0)
	go s.Serve(m)
	t.Cleanup(func() { s.Close() })
	return m
}

// simulate runs a test in simulated time, for either protocol. Of an app the test
// gets a client, which asks it through a gateway. The gateway must log one
// failure of a class, or none if that is empty.
func simulate(t *testing.T, class string, test func(t *testing.T, clientOf func(app http.HandlerFunc) *http.Client)) {
	each(t, func(t *testing.T, major int) {
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(func() { time.Sleep(time.Second) }) // net/http lingers on connections that it closes
			var logged testkit.Buffer
			test(t, func(app http.HandlerFunc) *http.Client {
				upstream := serveInMemory(t, &http.Server{Handler: app})
				a, err := proxy.New(proxy.Options{Upstreams: []string{"http://app.example"}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
				if err != nil {
					t.Fatal(err)
				}
				a.DialBy(upstream.dial)
				t.Cleanup(a.Close)
				gateway := serveInMemory(t, &http.Server{
					WriteTimeout: 2 * bodyIdle,
					Handler:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.Forward(w, r, forwarding) }),
				})
				c := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return gateway.dial() }}
				c.Protocols.SetHTTP1(major == 1)
				c.Protocols.SetUnencryptedHTTP2(major == 2)
				t.Cleanup(c.CloseIdleConnections)
				return &http.Client{Transport: c}
			})
			synctest.Wait()
			if lines := strings.Count(logged.String(), "\n"); class == "" && lines > 0 || class != "" && (lines != 1 || len(logged.Lines(class)) != 1) {
				t.Errorf("logged:\n%s", &logged)
			}
		})
	})
}

// The limits that hold by default.
const (
	bodyIdle              = 30 * time.Second
	responseHeaderTimeout = time.Minute
	responseIdle          = 5 * time.Minute
	bodyRate              = 256.0
)

const gatewayURL = "http://gateway.example"

// slowBody is a body of n bytes with a pause before each.
func slowBody(n int, pause time.Duration) io.Reader { return slowBodyOf(n, ".", pause) }

// slowBodyOf is a body of n parts with a pause before each.
func slowBodyOf(n int, part string, pause time.Duration) io.Reader {
	from, to := io.Pipe()
	go func() {
		for range n {
			time.Sleep(pause)
			io.WriteString(to, part)
		}
		to.Close()
	}()
	return from
}

// respondSlowly is an app that sends n bytes with a pause before each.
func respondSlowly(n int, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for range n {
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return
			}
			io.WriteString(w, ".")
		}
	}
}

func TestAClientThatSendsSlowlyIsNotCutOff(t *testing.T) {
	simulate(t, "", func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
		c := clientOf(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		})
		pause := bodyIdle - time.Second
		part := strings.Repeat(".", int(bodyRate*pause.Seconds())+1)
		if got, want := body(t, post(t, c, gatewayURL, slowBodyOf(10, part, pause))), fmt.Sprint(10*len(part), nil); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// C15: a byte now and then doesn't keep an upstream's connection.
func TestAClientThatSendsTooLittleIsCutOff(t *testing.T) {
	simulate(t, "", func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
		broken := make(chan error, 1)
		c := clientOf(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			broken <- err
		})
		start := time.Now()
		from, to := io.Pipe()
		sent := make(chan bool)
		go func() {
			defer close(sent)
			for err := error(nil); err == nil; time.Sleep(bodyIdle - time.Second) {
				_, err = io.WriteString(to, ".")
			}
		}()
		res := post(t, c, gatewayURL, from)
		from.Close()
		<-sent
		if waited := time.Since(start); res.StatusCode != http.StatusRequestTimeout || waited > 7*bodyIdle {
			t.Errorf("%s after %v", res.Status, waited)
		}
		if err := <-broken; err == nil {
			t.Error("the app took the body for complete")
		}
	})
}

// That the app is slow to take a body isn't the client's fault.
func TestAClientOfASlowAppIsNotCutOff(t *testing.T) {
	simulate(t, "", func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
		c := clientOf(func(w http.ResponseWriter, r *http.Request) {
			for buffer := make([]byte, 16<<10); ; {
				time.Sleep(bodyIdle / 2)
				if _, err := io.ReadFull(r.Body, buffer); err != nil {
					return
				}
			}
		})
		if res := post(t, c, gatewayURL, strings.NewReader(strings.Repeat(".", 256<<10))); res.StatusCode != 200 {
			t.Error(res.Status)
		}
	})
}

func TestAClientMayPauseOnceTheAppResponds(t *testing.T) {
	simulate(t, "", func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
		c := clientOf(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			rc.EnableFullDuplex()
			rc.Flush()
			io.Copy(w, r.Body)
		})
		if got := body(t, post(t, c, gatewayURL, slowBody(3, 3*bodyIdle))); len(got) != 3 {
			t.Error(got)
		}
	})
}

func TestAClientThatDoesNotSendItsBodyIsCutOff(t *testing.T) {
	for _, sent := range []int{0, 5} {
		simulate(t, "", func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
			broken := make(chan error, 1)
			c := clientOf(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				broken <- err
			})
			start := time.Now()
			from, to := io.Pipe()
			defer to.Close()
			go io.WriteString(to, strings.Repeat(".", sent))
			res := post(t, c, gatewayURL, from)
			if waited := time.Since(start); res.StatusCode != http.StatusRequestTimeout || waited < bodyIdle || waited > 2*bodyIdle {
				t.Errorf("%s after %v", res.Status, waited)
			}
			if err := <-broken; err == nil {
				t.Error("the app took the body for complete")
			}
		})
	}
}

// Nor does the server's WriteTimeout cut it off.
func TestAClientThatReadsALongResponseIsNotCutOff(t *testing.T) {
	simulate(t, "", func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
		if got := body(t, get(t, clientOf(respondSlowly(100, bodyIdle)), gatewayURL)); len(got) != 100 {
			t.Error(got)
		}
	})
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	simulate(t, "", func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
		broken := make(chan error, 1)
		c := clientOf(func(w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 64<<10))
			}
			broken <- err
		})
		start := time.Now()
		get(t, c, gatewayURL) // and never read the body
		<-broken
		if waited := time.Since(start); waited < bodyIdle || waited > 3*bodyIdle {
			t.Errorf("after %v", waited)
		}
	})
}

func TestAnUpstreamThatTakesTooLong(t *testing.T) {
	for _, test := range []struct {
		name       string
		head, rest time.Duration // that the app takes
		length     string        // of its body, if it says so
		class      string
	}{
		{"responds just in time", responseHeaderTimeout - time.Second, responseIdle - time.Second, "", ""},
		{"responds too late", time.Hour, 0, "", `class="response timeout"`},
		{"stalls", 0, time.Hour, "", `class="response stalled"`},
		// C14.
		{"stalls behind a head with a length", 0, time.Hour, "1", `class="response stalled"`},
		{"pauses behind a head with a length", 0, responseHeaderTimeout - time.Second, "1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, test.class, func(t *testing.T, clientOf func(http.HandlerFunc) *http.Client) {
				c := clientOf(func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(test.head):
						if test.length != "" {
							w.Header().Set("Content-Length", test.length)
						}
						respondSlowly(1, test.rest)(w, r)
					case <-r.Context().Done():
					}
				})
				start := time.Now()
				res := get(t, c, gatewayURL)
				if waited := time.Since(start); test.head == 0 && waited > time.Second {
					t.Errorf("the head comes after %v", waited)
				}
				_, err := io.Copy(io.Discard, res.Body)
				waited, idle := time.Since(start), responseIdle
				if test.length != "" {
					idle = responseHeaderTimeout
				}
				late, stalled := test.head == time.Hour, test.rest == time.Hour
				if (res.StatusCode == http.StatusGatewayTimeout) != late || (err != nil) != stalled {
					t.Error(res.Status, err)
				}
				if late && waited > responseHeaderTimeout+bodyIdle || stalled && waited > idle+bodyIdle {
					t.Errorf("after %v", waited)
				}
			})
		})
	}
}
