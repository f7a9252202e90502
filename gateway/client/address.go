// Package client determines a client's address: where a request really comes
// from, when there are proxies between the client and the gateway.
//
// Nothing that a stranger sends is trusted. Forwarding headers count only on
// connections from the operator's own proxies (Trust), a PROXY protocol header
// only on connections from configured sources (ProxyProtocol). Where one of
// those proxies sends something that can't be understood, the request is
// rejected: taking the proxy's own address instead would place the client
// wherever the proxy stands.
package client

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Names of the list headers, as http.Header spells them.
const (
	xForwardedFor = "X-Forwarded-For"
	forwarded     = "Forwarded"
)

// Limits of what is read of a list header. They count from its right end;
// what a client piled up to the left of its own address is never looked at.
const (
	maxHops  = 64
	maxBytes = 8 << 10
)

// Trust says whose forwarding headers are trusted, and which.
type Trust struct {
	// Proxies are the networks of the operator's own proxies. Default: none.
	Proxies []netip.Prefix

	// Header is the header in which they name the client:
	//
	//   - "X-Forwarded-For", the default, or "Forwarded" (RFC 7239): lists to
	//     which every proxy adds the address that it was asked from;
	//   - any other name is that of a header with a single address, such as
	//     CF-Connecting-IP, which the proxies MUST overwrite.
	Header string
}

// A Resolver determines the address of a request's client. It is immutable and
// safe for concurrent use.
type Resolver struct {
	proxies networks
	header  string
}

// NewResolver returns a Resolver that trusts these proxies. The error names every
// network that is none, that has address bits beyond its length, or that is
// too wide for proxies, and a Header that can't be the name of one.
func NewResolver(trust Trust) (*Resolver, error) {
	errs := []error{CheckNetworks("trusted proxies", trust.Proxies)}
	header := cmp.Or(http.CanonicalHeaderKey(trust.Header), xForwardedFor)
	if !httpguts.ValidHeaderFieldName(header) {
		errs = append(errs, fmt.Errorf("client address header: %q is not the name of a header: write X-Forwarded-For, Forwarded, or a name like CF-Connecting-IP", trust.Header))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Resolver{proxies: newNetworks(trust.Proxies), header: header}, nil
}

// CheckNetworks returns what is wrong with the networks of those who are believed where
// clients are. The setting is for errors.
func CheckNetworks(setting string, networks []netip.Prefix) error {
	var errs []error
	for _, network := range networks {
		switch {
		case !network.IsValid():
			errs = append(errs, fmt.Errorf("%s: a network is missing its address or length: write it as 10.0.0.0/8", setting))
		case isTooWide(unmapped(network)):
			errs = append(errs, fmt.Errorf("%s: %s is wider than any network of proxies, and would let strangers claim any address: name the networks of your own, as 10.0.0.0/8", setting, network))
		case network != network.Masked():
			errs = append(errs, fmt.Errorf("%s: %s has address bits beyond its length: write %s for the network or %s for the one address",
				setting, network, network.Masked(), netip.PrefixFrom(network.Addr(), network.Addr().BitLen())))
		}
	}
	return errors.Join(errs...)
}

// isTooWide reports whether a network is more than anybody has who runs proxies: wider than
// a /8 of IPv4, or a /16 of the IPv6 addresses that are given out, 2000::/3 (RFC 4291).
func isTooWide(network netip.Prefix) bool {
	switch address := network.Addr(); {
	case address.Is4():
		return network.Bits() < 8
	case network.Bits() < 7: // fc00::/7 is the widest that isn't given out (RFC 4193)
		return true
	default:
		return network.Bits() < 16 && address.As16()[0]>>5 == 1
	}
}

// Address returns the address of the client: without a zone, and IPv4 as
// IPv4, never mapped into IPv6. peer is the connection's remote address, the
// one that the PROXY protocol gave where it is spoken. header is the
// request's.
//
// A peer that is no trusted proxy is the client; nothing that it sends is
// read. Of a trusted proxy:
//
//   - A list header is read from right to left, over all its lines, up to the
//     first address that is not a trusted proxy's. Everything to the left of
//     that was written by a stranger and may be anything. If all addresses
//     are trusted proxies', the leftmost is the client.
//   - If both X-Forwarded-For and Forwarded come, they must agree; a Forwarded
//     that keeps the address to itself (for=unknown) agrees with all. So a
//     client whose Forwarded passes through a proxy that only knows
//     X-Forwarded-For is rejected, unless it tells the truth. A proxy should
//     remove the one that it doesn't write.
//   - A single-address header must come once and hold one address. The lists
//     are not compared with it: who names such a header does so because the
//     lists are not what to go by.
//   - Without any of these headers the request is the proxy's own, a health
//     check as a rule, and the peer is the client. If Trust.Header is missing
//     but one of the lists is there, somebody is being forwarded, and it can't
//     be told who: rejected.
//
// A proxy that forwards clients without a header can't be told from one that
// checks the gateway's health: such clients are where the proxy is. A policy
// that withdraws the jurisdiction private closes this for proxies in private
// networks.
//
// An error is a Rejection, holds no address, and means that the request can't be
// attributed: the answer is 400 (Bad Request).
func (r *Resolver) Address(peer netip.Addr, header http.Header) (netip.Addr, error) {
	peer = normalize(peer)
	if !peer.IsValid() {
		return netip.Addr{}, NoPeer
	}
	if !r.Trusts(peer) {
		return peer, nil
	}
	named, listed, standard := header[r.header], header[xForwardedFor], header[forwarded]
	switch {
	case len(named)+len(listed)+len(standard) == 0:
		return peer, nil
	case len(named) == 0:
		return netip.Addr{}, Missing
	case r.header == xForwardedFor:
		return r.addressInBoth(listed, bareNode, standard, forwardedFor)
	case r.header == forwarded:
		return r.addressInBoth(standard, forwardedFor, listed, bareNode)
	case len(named) > 1:
		return netip.Addr{}, Repeated
	default:
		return bareNode(trimSpace(named[0]))
	}
}

// Trusts reports whether a peer is a trusted proxy.
func (r *Resolver) Trusts(peer netip.Addr) bool { return r.proxies.contain(normalize(peer)) }

// addressInBoth returns the client that one list header names, if the other
// doesn't name another.
func (r *Resolver) addressInBoth(lines []string, read nodeReader, otherLines []string, readOther nodeReader) (netip.Addr, error) {
	client, err := r.addressIn(lines, read)
	if err != nil || len(otherLines) == 0 {
		return client, err
	}
	switch other, err := r.addressIn(otherLines, readOther); {
	case err == Hidden:
		return client, nil
	case err != nil:
		return netip.Addr{}, err
	case other != client:
		return netip.Addr{}, Conflicting
	}
	return client, nil
}

// A nodeReader reads the address in one element of a list header.
type nodeReader func(element string) (netip.Addr, error)

// addressIn returns the first address, from right to left, in a list header that
// is not a trusted proxy's.
//
// Every comma ends an element, also one in quotes. Proxies append to what
// clients send, and a quote that a client left open must not swallow what a
// proxy added; no value that a proxy writes needs a comma.
//
// An empty element is not skipped, as RFC 9110, section 5.6.1 would have it:
// a proxy that added nothing where it should have added the client must not
// make the client of the element before it.
func (r *Resolver) addressIn(lines []string, read nodeReader) (netip.Addr, error) {
	var leftmost netip.Addr
	hops, bytes := 0, 0
	for i := len(lines) - 1; i >= 0; i-- {
		line, more := lines[i], true
		for more {
			var last string
			line, last, more = cutLast(line)
			hops, bytes = hops+1, bytes+len(last)
			if hops > maxHops || bytes > maxBytes {
				return netip.Addr{}, TooLong
			}
			hop, err := read(trimSpace(last))
			if err != nil {
				return netip.Addr{}, err
			}
			if !r.proxies.contain(hop) {
				return hop, nil
			}
			leftmost = hop
		}
	}
	return leftmost, nil
}

// cutLast cuts a line at its last comma; more reports whether there was one.
func cutLast(line string) (before, last string, more bool) {
	if comma := strings.LastIndexByte(line, ','); comma >= 0 {
		return line[:comma], line[comma+1:], true
	}
	return "", line, false
}

// normalize returns an address in the one form in which addresses are compared,
// located and passed on.
func normalize(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// trimSpace removes optional whitespace (RFC 9110, section 5.6.3), which is
// less than what strings.TrimSpace removes.
func trimSpace(s string) string { return strings.Trim(s, " \t") }
