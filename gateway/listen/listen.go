// Package listen serves on several addresses with one shutdown. Each is an
// Endpoint; one more protocol or port is one more of them.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is what serves at an Endpoint. HTTP returns the usual one.
type Server interface {
	// Addr returns the address that it is bound to.
	Addr() net.Addr
	// Serve serves until Shutdown or Close: then the error is
	// http.ErrServerClosed.
	Serve() error
	// Shutdown accepts nothing more, and waits until nothing is under way or
	// the context ends.
	Shutdown(context.Context) error
	// Close cuts off what is under way.
	Close() error
}

// An Endpoint is one address that a gateway serves on.
type Endpoint struct {
	Name string // for errors and logs
	// Drain lets what is under way finish when the gateway is stopped. An
	// endpoint without it is up until that is done.
	Drain bool
	Server
}

// Sockets are those that are bound already, by whoever has started the process, by the
// names of endpoints. Each that is used is taken out.
type Sockets map[string]*os.File

// TCP returns the endpoint's socket, or else binds an address. The setting is for errors.
func (s Sockets) TCP(name, address, setting string) (net.Listener, error) {
	if f := s.take(name); f != nil {
		defer f.Close() // the listener has its own descriptor
		l, err := net.FileListener(f)
		if err != nil {
			return nil, notUsable(err, name, "TCP")
		}
		if _, ok := l.(*net.TCPListener); !ok {
			return nil, errors.Join(notUsable(errors.New("it is another"), name, "TCP"), l.Close())
		}
		return l, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, inUse(err, setting)
	}
	return l, nil
}

// UDP returns the endpoint's socket, or else binds an address. The setting is for errors.
func (s Sockets) UDP(name, address, setting string) (net.PacketConn, error) {
	if f := s.take(name); f != nil {
		defer f.Close() // the connection has its own descriptor
		c, err := net.FilePacketConn(f)
		if err != nil {
			return nil, notUsable(err, name, "UDP")
		}
		if _, ok := c.(*net.UDPConn); !ok {
			return nil, errors.Join(notUsable(errors.New("it is another"), name, "UDP"), c.Close())
		}
		return c, nil
	}
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, inUse(err, setting)
	}
	return c, nil
}

// Unused returns an error if there are sockets that no endpoint has taken.
func (s Sockets) Unused() error {
	if len(s) == 0 {
		return nil
	}
	return fmt.Errorf("sockets are bound for listeners that there aren't: %s; they can be for https, http3, http, decisions and probes, where the settings have these",
		strings.Join(slices.Sorted(maps.Keys(s)), ", "))
}

func (s Sockets) take(name string) *os.File {
	f := s[name]
	delete(s, name)
	return f
}

func notUsable(err error, name, protocol string) error {
	return fmt.Errorf("the socket that is bound for %s can't be used, it has to be one for %s: %w", name, protocol, err)
}

func inUse(err error, setting string) error {
	return fmt.Errorf("%w; choose another address for %s", err, setting)
}

// HTTP returns a Server that serves HTTP on a listener: over TLS if s has a
// TLSConfig. It owns s: net/http sets HTTP/2 up once for a server.
func HTTP(l net.Listener, s *http.Server) Server {
	h := &httpServer{Server: s, listener: l, served: make(chan struct{})}
	h.reading.track(s)
	return h
}

type httpServer struct {
	*http.Server
	listener net.Listener
	reading  readingTracker
	stopping atomic.Bool
	served   chan struct{} // Serve has returned
}

func (s *httpServer) Addr() net.Addr { return s.listener.Addr() }

// Close closes the listener, too, which s doesn't know before Serve.
func (s *httpServer) Close() error { return errors.Join(s.Server.Close(), s.listener.Close()) }

func (s *httpServer) Serve() (err error) {
	defer close(s.served)
	if s.TLSConfig != nil {
		err = s.ServeTLS(s.listener, "", "")
	} else {
		err = s.Server.Serve(s.listener)
	}
	if s.stopping.Load() {
		return http.ErrServerClosed
	}
	return err
}

// Shutdown answers also what is being read from connections that were accepted already.
func (s *httpServer) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	_ = s.listener.Close() // it may be closed
	select {
	case <-s.served: // nothing more is accepted
	case <-ctx.Done():
	}
	s.SetKeepAlivesEnabled(false)
	s.reading.wait(ctx)
	return s.Server.Shutdown(ctx)
}

// Shutdown is how Serve ends.
type Shutdown struct {
	Drain time.Duration // in which what is under way may finish
	// Begin is called first. For the Delay after it all is served on, so that who
	// sends clients here notices.
	Begin func()
	Delay time.Duration
	// BeginDrain is called when the delay is over, and nothing more is to be accepted.
	BeginDrain func()
	// Wait waits for what no Server knows of any more, until the context ends.
	Wait func(context.Context)
	// CutOff ends what hasn't finished within the drain.
	CutOff func()
	Log    *slog.Logger
}

// Serve serves at all endpoints until the context ends or one of them fails.
// Then it accepts nothing more, lets what is under way finish within the drain,
// cuts off the rest, and returns why an endpoint failed.
func Serve(ctx context.Context, endpoints []Endpoint, o Shutdown) (failure error) {
	failed := make(chan error, len(endpoints))
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, e := range endpoints {
		serving.Go(func() {
			if err := e.Serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s listener: %w", e.Name, err)
			}
		})
	}
	select {
	case <-ctx.Done():
		o.Log.Info("stopping", "delay", o.Delay, "drain", o.Drain)
	case failure = <-failed:
	}
	o.Begin()
	if failure == nil && o.Delay > 0 {
		select {
		case <-time.After(o.Delay):
		case failure = <-failed:
		}
	}
	drain(endpoints, o)
	o.CutOff()
	o.Wait(context.WithoutCancel(ctx))
	for _, e := range endpoints {
		_ = e.Close() // what is still open now is to be cut off
	}
	return failure
}

// drain lets what is under way finish.
func drain(endpoints []Endpoint, o Shutdown) {
	o.BeginDrain()
	ctx, cancel := context.WithTimeout(context.Background(), o.Drain)
	defer cancel()
	var draining sync.WaitGroup
	for _, e := range endpoints {
		if e.Drain {
			draining.Go(func() { _ = e.Shutdown(ctx) })
		}
	}
	draining.Wait()
	o.Wait(ctx)
	if ctx.Err() != nil {
		o.Log.Warn("the drain is over; cutting off what is left")
	}
}
