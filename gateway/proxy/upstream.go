package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxResponseHeader is for all header fields of a response together.
	maxResponseHeader = 256 << 10
	// maxIdle is high, as an idle connection costs an upstream less than
	// one that has to be opened anew.
	maxIdle     = 1024
	idleTimeout = time.Minute
	// expectTimeout is how long an upstream that doesn't know "Expect:
	// 100-continue" holds up a body.
	expectTimeout = time.Second
	// An HTTP/2 connection on which nothing came for pingAfter is asked
	// for a sign of life, and given up pingTimeout later.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// upstream is one address of an app.
type upstream struct {
	name string // as the operator wrote it
	// scheme and host are for the URLs that the transports get.
	scheme, host string

	transports atomic.Pointer[transports]
	// newTransports makes them; the TLS configuration is for https.
	newTransports func(*tls.Config) *transports
	// http1, if not nil, is for simple requests, without a transport.
	http1 *http1Pool

	inFlight atomic.Int64
	health   health
	log      logLimiter
}

// transports are how an upstream is connected to. Which of them a request takes
// depends on what it needs: gRPC needs HTTP/2, an upgrade needs HTTP/1.1, any
// other takes what is best.
type transports struct{ ordinary, grpc, upgrade *http.Transport }

func (t *transports) closeIdle() {
	t.ordinary.CloseIdleConnections()
	t.grpc.CloseIdleConnections()
	t.upgrade.CloseIdleConnections()
}

// newUpstream returns an upstream, which needs connectWith to be used.
func newUpstream(address string, o *Options) (*upstream, error) {
	wrong := func(why string) (*upstream, error) {
		return nil, fmt.Errorf("upstream %q %s: write it as http://HOST:PORT, https://HOST:PORT, h2c://HOST:PORT, unix:/PATH or unix+h2c:/PATH", address, why)
	}
	at, err := url.Parse(address)
	switch {
	case err != nil:
		return wrong("is not a URL")
	case at.User != nil:
		return nil, fmt.Errorf("upstream %q holds a password: nothing would be done with it, remove it", at.Redacted())
	case at.RawQuery != "" || at.ForceQuery || at.Fragment != "" || at.Opaque != "":
		return wrong("is more than an address")
	}

	u := &upstream{name: address, scheme: "http"}
	network, target := "tcp", ""
	switch at.Scheme {
	case "http", "https", "h2c":
		port := at.Port()
		switch {
		case at.Hostname() == "":
			return wrong("has no host")
		case at.Path != "" && at.Path != "/":
			return nil, fmt.Errorf("upstream %q has a path: paths are forwarded as they are, remove %q", address, at.Path)
		case port == "" && at.Scheme == "h2c":
			return wrong("has no port")
		case port == "" && at.Scheme == "https":
			port = "443"
		case port == "":
			port = "80"
		case !isPort(port):
			return wrong("has no port from 1 to 65535")
		}
		target = net.JoinHostPort(at.Hostname(), port)
		u.host = target
	case "unix", "unix+h2c":
		if at.Host != "" || !strings.HasPrefix(at.Path, "/") {
			return wrong("is not an absolute path")
		}
		network, target = "unix", at.Path
		u.host = "localhost"
	default:
		return wrong("has an unknown scheme")
	}

	dialer := &net.Dialer{Timeout: o.DialTimeout}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, target)
		if err != nil {
			return nil, dialFailure(ctx, err)
		}
		return c, nil
	}
	transport := func(dial dialFunc, protocols ...func(*http.Protocols, bool)) *http.Transport {
		t := &http.Transport{
			DialContext:            dial,
			DialTLSContext:         dial,
			Protocols:              new(http.Protocols),
			DisableCompression:     true, // what the client asked for is what it gets
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        idleTimeout,
			ResponseHeaderTimeout:  o.ResponseHeaderTimeout,
			ExpectContinueTimeout:  expectTimeout,
			MaxResponseHeaderBytes: maxResponseHeader,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		}
		for _, set := range protocols {
			set(t.Protocols, true)
		}
		return t
	}
	http1, http2, h2c := (*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2, (*http.Protocols).SetUnencryptedHTTP2

	if at.Scheme == "http" || at.Scheme == "unix" {
		u.http1 = &http1Pool{dial: dial}
	}
	u.newTransports = func(config *tls.Config) *transports {
		t := new(transports)
		switch at.Scheme {
		case "http", "unix":
			t.ordinary = transport(dial, http1)
			t.upgrade = t.ordinary
			t.grpc = transport(dial, h2c)
		case "h2c", "unix+h2c":
			t.ordinary = transport(dial, h2c)
			t.upgrade = transport(dial, http1)
			t.grpc = transport(dial, h2c)
		case "https":
			withALPN := func(protocols ...string) dialFunc {
				c := &tls.Config{MinVersion: tls.VersionTLS12}
				if config != nil {
					c = config.Clone()
				}
				c.ServerName = cmp.Or(o.ServerName, at.Hostname())
				c.NextProtos = protocols
				c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
				return dialTLS(dial, c, o.DialTimeout)
			}
			t.ordinary = transport(withALPN("h2", "http/1.1"), http1, http2)
			t.upgrade = transport(withALPN("http/1.1"), http1)
			t.grpc = transport(withALPN("h2"), http2)
		}
		t.grpc.ResponseHeaderTimeout = 0
		return t
	}
	if at.Scheme == "https" {
		u.scheme = "https"
	}
	return u, nil
}

// connectWith has new requests go over new connections, of which those over TLS
// are configured so. A session of TLS is not resumed: it would go by who was
// trusted before.
func (u *upstream) connectWith(config *tls.Config) {
	if previous := u.transports.Load(); previous == nil || u.scheme == "https" {
		u.transports.Store(u.newTransports(config))
		if previous != nil {
			previous.closeIdle() // others close when they have been idle for a while
		}
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialTLS does the TLS handshake within dialing, so that an upstream with the
// wrong certificate counts as one that can't be reached.
func dialTLS(dial dialFunc, config *tls.Config, timeout time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		shake := ctx
		if timeout > 0 {
			var cancel context.CancelFunc
			shake, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		c := tls.Client(raw, config)
		if err := c.HandshakeContext(shake); err != nil {
			raw.Close()
			return nil, dialFailure(ctx, fmt.Errorf("TLS handshake: %w", err))
		}
		return c, nil
	}
}

// acquire counts a request in. The caller must release it.
func (u *upstream) acquire() *upstream {
	u.inFlight.Add(1)
	return u
}

func (u *upstream) release() { u.inFlight.Add(-1) }

func (u *upstream) roundTrip(out *http.Request, k kind) (*http.Response, error) {
	out.URL.Scheme, out.URL.Host = u.scheme, u.host
	t := u.transports.Load()
	switch k {
	case grpc:
		return t.grpc.RoundTrip(out)
	case upgrade:
		return t.upgrade.RoundTrip(out)
	}
	return t.ordinary.RoundTrip(out)
}

func (u *upstream) closeIdle() {
	u.transports.Load().closeIdle()
	if u.http1 != nil {
		u.http1.closeIdle()
	}
}

func isPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port != 0
}
