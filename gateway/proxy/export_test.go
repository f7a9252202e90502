package proxy

import (
	"context"
	"net"
	"net/http"
)

// ByTransportOnly makes simple requests go by a transport, too.
func (a *App) ByTransportOnly() { a.http1 = false }

// DialBy makes the app's upstreams be connected to by dial.
func (a *App) DialBy(dial func() (net.Conn, error)) {
	f := func(context.Context, string, string) (net.Conn, error) { return dial() }
	for _, u := range a.upstreams.all {
		by := u.transports.Load()
		for _, t := range []*http.Transport{by.ordinary, by.grpc, by.upgrade} {
			t.DialContext = f
		}
		u.http1.dial = f
	}
}
