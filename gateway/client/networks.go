package client

import (
	"net/netip"
	"slices"
)

// networks are prefixes that don't overlap, sorted by address, so that one
// binary search tells whether an address is in any of them.
type networks []netip.Prefix

// newNetworks leaves out prefixes that are not valid: they contain nobody.
func newNetworks(prefixes []netip.Prefix) networks {
	sorted := make([]netip.Prefix, 0, len(prefixes))
	for _, prefix := range prefixes {
		if prefix.IsValid() {
			sorted = append(sorted, unmapped(prefix).Masked())
		}
	}
	slices.SortFunc(sorted, netip.Prefix.Compare)

	// A network that contains others comes before them.
	var set networks
	for _, prefix := range sorted {
		if n := len(set); n == 0 || !set[n-1].Contains(prefix.Addr()) {
			set = append(set, prefix)
		}
	}
	return set
}

// contain reports whether an address, normalized, is in one of the networks.
func (n networks) contain(addr netip.Addr) bool {
	i, found := slices.BinarySearchFunc(n, addr, func(network netip.Prefix, addr netip.Addr) int {
		return network.Addr().Compare(addr)
	})
	return found || i > 0 && n[i-1].Contains(addr)
}

// unmapped turns ::ffff:10.0.0.0/104 into 10.0.0.0/8, since addresses are
// compared unmapped.
func unmapped(prefix netip.Prefix) netip.Prefix {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix
}
