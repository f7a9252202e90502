package geo

import "net/netip"

// A subject is what is looked up for an address. Without a valid addr nothing
// is: the client is private or unlocated.
type subject struct {
	addr    netip.Addr
	private bool
	form    string // how addr was found in the client's address
}

// The IPv6 prefixes whose addresses carry an IPv4 address.
const (
	ipv4Mapped = "IPv4-mapped" // ::ffff:0:0/96, RFC 4291, 2.5.5.2
	sixToFour  = "6to4"        // 2002::/16, RFC 3056
	nat64      = "NAT64"       // 64:ff9b::/96, RFC 6052; 64:ff9b:1::/48, RFC 8215
	teredo     = "Teredo"      // 2001::/32, RFC 4380
)

func subjectOf(addr netip.Addr) subject {
	if addr.Is4() {
		return ownAddress(addr, "")
	}
	if addr.Is4In6() {
		return ownAddress(addr.Unmap(), ipv4Mapped)
	}
	if !addr.IsValid() {
		return subject{}
	}
	a := addr.As16()
	switch {
	case a[0] == 0x20 && a[1] == 0x02:
		return carried([4]byte(a[2:6]), sixToFour)
	case a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0:
		return carried([4]byte{^a[12], ^a[13], ^a[14], ^a[15]}, teredo)
	case a[0] == 0 && a[1] == 0x64 && a[2] == 0xff && a[3] == 0x9b && isNAT64(a):
		return carried([4]byte(a[12:]), nat64)
	case [12]byte(a[:12]) == [12]byte{} && !addr.IsLoopback():
		return subject{} // IPv4-compatible, or unspecified
	}
	return ownAddress(addr.WithZone(""), "")
}

func isNAT64(a [16]byte) bool {
	wellKnown := [8]byte(a[4:12]) == [8]byte{}
	localUse := a[4] == 0 && a[5] == 1
	return wellKnown || localUse
}

func ownAddress(addr netip.Addr, form string) subject {
	if isPrivate(addr) {
		return subject{private: true, form: form}
	}
	return subject{addr: addr, form: form}
}

// carried is the subject of an address that carries an IPv4 address. Whoever
// chose the one chose the other, so it can't make its bearer private, which a
// policy may well treat better than the rest of the world.
func carried(ipv4 [4]byte, form string) subject {
	addr := netip.AddrFrom4(ipv4)
	if isPrivate(addr) {
		return subject{form: form}
	}
	return subject{addr: addr, form: form}
}

func isPrivate(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || isShared(addr)
}

// isShared reports whether an address is of 100.64.0.0/10, which carriers use
// behind their NAT (RFC 6598).
func isShared(addr netip.Addr) bool {
	if !addr.Is4() {
		return false
	}
	a := addr.As4()
	return a[0] == 100 && a[1]&0xc0 == 64
}
