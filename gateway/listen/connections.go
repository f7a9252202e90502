package listen

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// CountConnections returns a http.Server's ConnState that counts connections by
// protocol: http/1.1 or h2.
func CountConnections(gauge func(protocol string) prometheus.Gauge) func(net.Conn, http.ConnState) {
	http1, http2 := gauge("http/1.1"), gauge("h2")
	var counted sync.Map // net.Conn → prometheus.Gauge
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateActive: // after the handshake, then for each request of HTTP/1.1
			if _, known := counted.Load(c); known {
				return
			}
			g := http1
			if t, ok := c.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
				g = http2
			}
			counted.Store(c, g)
			g.Inc()
		case http.StateHijacked, http.StateClosed:
			if g, known := counted.LoadAndDelete(c); known {
				g.(prometheus.Gauge).Dec()
			}
		}
	}
}
