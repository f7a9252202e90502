package client

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// defaultHeaderTimeout holds where ProxyProtocol is given none: a proxy sends
// its header at once (PROXY protocol, section 2), so this is a network's worst.
const defaultHeaderTimeout = 5 * time.Second

// ProxyProtocol returns a listener on which connections from sources MUST
// begin with a PROXY protocol header, version 1 or 2
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Their
// RemoteAddr is then the source address in the header; a Resolver compares its
// trusted proxies with that address, not with the one that connected.
//
// On all other connections a header is not looked for: they come back exactly
// as inner accepted them, and such a header is just the beginning of a broken
// TLS handshake or HTTP request.
//
// A LOCAL header (in version 1: UNKNOWN) says that the connection is the
// proxy's own, a health check: RemoteAddr remains the proxy's. A header whose
// source is not an IP address (a Unix socket, UNSPEC) says that there is a
// client but not where, and is rejected.
//
// A version 1 header that arrives in pieces is malformed: it MUST be sent at
// once. TLVs of version 2 are skipped, up to 4 KiB.
//
// Accept never waits for a header. It is read by the first call of Read,
// Write or RemoteAddr, which therefore block until it is there, for at most
// headerTimeout (5 seconds if that is not positive). Call RemoteAddr in the
// connection's own goroutine, as http.Server does, and never in its ConnState
// and ConnContext hooks, which hold up Accept. A connection whose header is
// missing, malformed, late or names nobody is closed, rejected is called once
// with the Rejection, and Read and Write return that; no byte of it is ever
// delivered.
//
// Prefixes that are not valid contain nobody. Without sources, inner itself
// comes back.
func ProxyProtocol(inner net.Listener, sources []netip.Prefix, headerTimeout time.Duration, rejected func(reason string)) net.Listener {
	set := newNetworks(sources)
	if len(set) == 0 {
		return inner
	}
	if headerTimeout <= 0 {
		headerTimeout = defaultHeaderTimeout
	}
	return &proxyListener{Listener: inner, sources: set, headerTimeout: headerTimeout, rejected: rejected}
}

type proxyListener struct {
	net.Listener
	sources       networks
	headerTimeout time.Duration
	rejected      func(reason string)
}

func (l *proxyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if peer, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !l.sources.contain(normalize(peer.AddrPort().Addr())) {
		return conn, nil
	}
	return l.wrap(conn), nil
}

// wrap wraps a connection that must begin with a header.
func (l *proxyListener) wrap(conn net.Conn) net.Conn {
	socket := &socket{Conn: conn}
	proxied := proxyproto.NewConn(socket,
		proxyproto.WithPolicy(proxyproto.REQUIRE),
		proxyproto.SetReadHeaderTimeout(l.headerTimeout),
		proxyproto.ValidateHeader(checkSource),
	)
	readHeader := sync.OnceValue(func() error {
		if proxied.ProxyHeader() != nil { // waits for it
			return nil
		}
		_, err := proxied.Read(nil) // why there is none
		rejection := rejectionOf(err, socket.failure())
		conn.Close()
		l.rejected(string(rejection))
		return rejection
	})
	return &proxiedConn{Conn: proxied, socket: conn, readHeader: readHeader}
}

// proxiedConn is a connection with a header. It hides what else proxyproto
// offers, because some of that gets by the header.
type proxiedConn struct {
	net.Conn
	socket     net.Conn
	readHeader func() error // once; later calls return the same
}

func (c *proxiedConn) Read(b []byte) (int, error) {
	if err := c.readHeader(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *proxiedConn) Write(b []byte) (int, error) {
	if err := c.readHeader(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// IsProxied reports whether a connection, as a listener of ProxyProtocol has accepted it,
// is from one of its sources.
func IsProxied(conn net.Conn) bool {
	_, is := conn.(*proxiedConn)
	return is
}

// RemoteAddr returns the client's address; of a connection that is rejected,
// the proxy's.
func (c *proxiedConn) RemoteAddr() net.Addr {
	if c.readHeader() != nil {
		return c.socket.RemoteAddr()
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr returns where the connection arrived, not where the proxy says
// that the client wanted to go, and so doesn't wait for the header.
func (c *proxiedConn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// checkSource rejects headers for clients that have no IP address.
func checkSource(header *proxyproto.Header) error {
	if _, _, ok := header.IPs(); !ok && !header.Command.IsLocal() {
		return Hidden
	}
	return nil
}

// rejectionOf sorts the errors of proxyproto, whose texts may quote what the
// header says, into Rejections. failure is why the socket couldn't be read, or
// nil.
func rejectionOf(err, failure error) Rejection {
	switch {
	case errors.Is(failure, os.ErrDeadlineExceeded):
		return Late
	case failure != nil:
		return Closed
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		return Missing
	case errors.Is(err, Hidden), errors.Is(err, proxyproto.ErrUnsupportedAddressFamilyAndProtocol):
		return Hidden
	}
	return Malformed
}

// A socket remembers why reading it first failed: proxyproto reports a
// connection that is silent and one that ends as having no header.
type socket struct {
	net.Conn
	first atomic.Pointer[error]
}

func (s *socket) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err != nil {
		s.first.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (s *socket) failure() error {
	if err := s.first.Load(); err != nil {
		return *err
	}
	return nil
}
