package listen

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A journal is what happened, in order.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (l *journal) add(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event)
}

func (l *journal) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// A server is a Server that has something under way for some time.
type server struct {
	name  string
	log   *journal
	busy  time.Duration
	fails chan error // what Serve returns
}

func newServer(name string, l *journal, busy time.Duration) *server {
	return &server{name, l, busy, make(chan error, 2)}
}

func (s *server) Addr() net.Addr { return nil }
func (s *server) Serve() error   { return <-s.fails }

func (s *server) Shutdown(ctx context.Context) error {
	s.fails <- http.ErrServerClosed
	select {
	case <-ctx.Done():
	case <-time.After(s.busy):
		s.log.add(s.name + " is drained")
	}
	return ctx.Err()
}

func (s *server) Close() error {
	s.fails <- http.ErrServerClosed
	s.log.add(s.name + " is closed")
	return nil
}

// shutdown serves at two endpoints, of which the first drains and has something
// under way for some time, until end is called.
func shutdown(t *testing.T, busy time.Duration, end func(public *server, cancel func())) (events []string, err error) {
	synctest.Test(t, func(t *testing.T) {
		l := new(journal)
		public, admin := newServer("public", l, busy), newServer("admin", l, 0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			err = Serve(ctx, []Endpoint{{Name: "public", Drain: true, Server: public}, {Name: "admin", Server: admin}}, Shutdown{
				BeginDrain: func() { l.add("begin drain") },
				Drain:      time.Minute,
				Begin:      func() { l.add("begin") },
				Wait:       func(context.Context) { l.add("wait") },
				CutOff:     func() { l.add("cut off") },
				Log:        slog.New(slog.DiscardHandler),
			})
		}()
		synctest.Wait()
		if len(l.events) != 0 {
			t.Errorf("before the end there was %q", l.events)
		}
		end(public, cancel)
		<-done
		events = l.events
	})
	return events, err
}

func TestServeDrainsThenCutsOff(t *testing.T) {
	stop := func(_ *server, cancel func()) { cancel() }
	events, err := shutdown(t, time.Second, stop)
	want := []string{"begin", "begin drain", "public is drained", "wait", "cut off", "wait", "public is closed", "admin is closed"}
	if !slices.Equal(events, want) || err != nil {
		t.Errorf("there was %q, %v; want %q", events, err, want)
	}
	events, err = shutdown(t, time.Hour, stop)
	want = slices.Delete(want, 2, 3)
	if !slices.Equal(events, want) || err != nil {
		t.Errorf("with a slow client there was %q, %v; want %q", events, err, want)
	}
}

// For the delay all is served on: who sends clients here has to notice.
func TestServeServesOnForTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(journal)
		public := newServer("public", l, 0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = Serve(ctx, []Endpoint{{Name: "public", Drain: true, Server: public}}, Shutdown{
				BeginDrain: func() {},
				Drain:      time.Minute, Delay: 10 * time.Second, Begin: func() { l.add("begin") },
				Wait: func(context.Context) {}, CutOff: func() {}, Log: slog.New(slog.DiscardHandler),
			})
		}()
		cancel()
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		if !slices.Equal(l.all(), []string{"begin"}) {
			t.Errorf("before the delay is over there was %q", l.all())
		}
		<-done
		if want := []string{"begin", "public is drained", "public is closed"}; !slices.Equal(l.all(), want) {
			t.Errorf("there was %q", l.all())
		}
	})
}

func TestServeEndsWithAnEndpointThatFails(t *testing.T) {
	broken := errors.New("broken")
	events, err := shutdown(t, 0, func(public *server, _ func()) { public.fails <- broken })
	if !errors.Is(err, broken) || events[len(events)-1] != "admin is closed" {
		t.Errorf("there was %q, %v", events, err)
	}
}

func TestCloseClosesAListenerThatIsNotServedYet(t *testing.T) {
	l, err := Sockets(nil).TCP("https", "127.0.0.1:0", "listen.https")
	if err != nil {
		t.Fatal(err)
	}
	if err := HTTP(l, &http.Server{}).Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it is not closed: %v", err)
	}
}

// net/http drops a request that it reads when it has been told to shut down.
func TestARequestThatIsBeingReadWhenTheServerStopsIsAnswered(t *testing.T) {
	l, err := Sockets(nil).TCP("http", "127.0.0.1:0", "listen.http")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	s := HTTP(l, &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				close(accepted)
			}
		},
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-accepted
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("Serve returns %v", err)
	}
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); string(body) != "done" || err != nil || !res.Close {
		t.Errorf("it gets %q, %v, and the connection stays: %v", body, err, !res.Close)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
}
