package client

import (
	"net/netip"
	"strconv"
	"strings"
)

// bareNode reads a node as it is in X-Forwarded-For and single-address headers:
// like node, and besides an IPv6 address that is not in brackets. Such an
// address has no port.
func bareNode(s string) (netip.Addr, error) {
	if !strings.HasPrefix(s, "[") && strings.Count(s, ":") > 1 {
		return address(s, true)
	}
	return node(s)
}

// node reads a node identifier (RFC 7239, section 6): an IPv4 address or an
// IPv6 address in brackets, each with or without a port, which is checked and
// dropped. "unknown" and obfuscated identifiers are Hidden.
func node(s string) (netip.Addr, error) {
	var name, port string
	var hasPort, inBrackets bool
	if strings.HasPrefix(s, "[") {
		var closed bool
		name, port, closed = strings.Cut(s[1:], "]")
		if !closed {
			return netip.Addr{}, Malformed
		}
		inBrackets = true
		if port, hasPort = strings.CutPrefix(port, ":"); !hasPort && port != "" {
			return netip.Addr{}, Malformed
		}
	} else {
		name, port, hasPort = strings.Cut(s, ":")
	}
	if hasPort && !isPort(port) {
		return netip.Addr{}, Malformed
	}
	if !inBrackets && (strings.EqualFold(name, "unknown") || isObfuscated(name)) {
		return netip.Addr{}, Hidden
	}
	return address(name, inBrackets)
}

// address reads an address of one family. A zone is dropped from a link-local
// address, to which Go's proxies add it; elsewhere it makes no sense.
func address(s string, ipv6 bool) (netip.Addr, error) {
	s, zone, zoned := strings.Cut(s, "%")
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Is6() != ipv6 { // err quotes the address
		return netip.Addr{}, Malformed
	}
	addr = normalize(addr)
	if zoned && (zone == "" || addr.Is4() || !addr.IsLinkLocalUnicast()) {
		return netip.Addr{}, Malformed
	}
	return addr, nil
}

// isPort reports whether s is a node-port of RFC 7239, section 6.3.
func isPort(s string) bool {
	if isObfuscated(s) {
		return true
	}
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil && len(s) <= len("65535")
}

// isObfuscated reports whether s is an obfnode or obfport of RFC 7239, section 6.3.
func isObfuscated(s string) bool {
	if len(s) < 2 || s[0] != '_' {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
