// Package listen serves on several addresses with one shutdown. Each is an
// Endpoint; one more protocol or port is one more of them.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
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

// TCP binds an address. The setting is for errors.
func TCP(address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, inUse(err, setting)
	}
	return l, nil
}

// UDP binds an address. The setting is for errors.
func UDP(address, setting string) (net.PacketConn, error) {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, inUse(err, setting)
	}
	return c, nil
}

func inUse(err error, setting string) error {
	return fmt.Errorf("%w; choose another address for %s", err, setting)
}

// HTTP returns a Server that serves HTTP on a listener: over TLS if s has a
// TLSConfig. It owns s: net/http sets HTTP/2 up once for a server.
func HTTP(l net.Listener, s *http.Server) Server { return &httpServer{s, l} }

type httpServer struct {
	*http.Server
	listener net.Listener
}

func (s *httpServer) Addr() net.Addr { return s.listener.Addr() }

// Close closes the listener, too, which s doesn't know before Serve.
func (s *httpServer) Close() error { return errors.Join(s.Server.Close(), s.listener.Close()) }

func (s *httpServer) Serve() error {
	if s.TLSConfig != nil {
		return s.ServeTLS(s.listener, "", "")
	}
	return s.Server.Serve(s.listener)
}

// Shutdown is how Serve ends.
type Shutdown struct {
	Drain time.Duration // in which what is under way may finish
	// Begin is called first. For the Delay after it all is served on, so that who
	// sends clients here notices.
	Begin func()
	Delay time.Duration
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
