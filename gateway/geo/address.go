package geo

import "net/netip"

// A form is how the address that is looked up is found in the client's.
type form uint8

// The IPv6 prefixes whose addresses carry an IPv4 address.
const (
	native     form = iota
	ipv4Mapped      // ::ffff:0:0/96, RFC 4291, 2.5.5.2
	sixToFour       // 2002::/16, RFC 3056
	nat64           // 64:ff9b::/96, RFC 6052; 64:ff9b:1::/48, RFC 8215
	teredo          // 2001::/32, RFC 4380
)

func (f form) String() string {
	return [...]string{"", "IPv4-mapped", "6to4", "NAT64", "Teredo"}[f]
}

// subject returns the address that is looked up for a client's. If it isn't
// valid none is: the client is private or unlocated.
func subject(of netip.Addr) (addr netip.Addr, form form, private bool) {
	switch {
	case of.Is4():
		addr = of
	case of.Is4In6():
		addr, form = of.Unmap(), ipv4Mapped
	case of.IsValid():
		addr, form = subjectOfIPv6(of)
	}
	if !isPrivate(addr) {
		return addr, form, false
	}
	// Whoever chooses an address chooses what it carries. That can't make its
	// bearer private, whom a policy may well treat better than all others.
	private = form == native || form == ipv4Mapped
	return netip.Addr{}, form, private
}

func subjectOfIPv6(addr netip.Addr) (netip.Addr, form) {
	a := addr.As16()
	switch {
	case a[0] == 0x20 && a[1] == 0x02:
		return netip.AddrFrom4([4]byte(a[2:6])), sixToFour
	case a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0:
		return netip.AddrFrom4([4]byte{^a[12], ^a[13], ^a[14], ^a[15]}), teredo
	case a[0] == 0 && a[1] == 0x64 && a[2] == 0xff && a[3] == 0x9b && isNAT64(a):
		return netip.AddrFrom4([4]byte(a[12:])), nat64
	case [12]byte(a[:12]) == [12]byte{} && !addr.IsLoopback():
		return netip.Addr{}, native // IPv4-compatible, or unspecified
	}
	return addr.WithZone(""), native
}

func isNAT64(a [16]byte) bool {
	wellKnown := [8]byte(a[4:12]) == [8]byte{}
	localUse := a[4] == 0 && a[5] == 1
	return wellKnown || localUse
}

func isPrivate(addr netip.Addr) bool {
	if !addr.Is4() {
		return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()
	}
	a := addr.As4()
	switch a[0] {
	case 10, 127: // RFC 1918, loopback
		return true
	case 100: // 100.64.0.0/10, behind carriers' NAT: RFC 6598
		return a[1]&0xc0 == 64
	case 169: // 169.254.0.0/16, link-local: RFC 3927
		return a[1] == 254
	case 172: // 172.16.0.0/12: RFC 1918
		return a[1]&0xf0 == 16
	case 192: // 192.168.0.0/16: RFC 1918
		return a[1] == 168
	}
	return false
}
