package geo

import (
	"net/netip"
	"slices"

	"github.com/exitgate/exitgate/policy"
)

// mostTried is how many networks of a database Example looks up.
const mostTried = 100000

// Example returns an address, of IPv4 if there is one, whose client would be located in a
// country or a part of one, or be anonymous, at a place that is wanted. It walks the
// databases until it finds one: it is for people, not for each request.
func (l *Locator) Example(code policy.Code, wanted func(policy.Place) bool) (found netip.Addr, ok bool) {
	s, country := l.inUse.Load(), policy.PlaceOf(code).Country
	for _, db := range s.located {
		may, tried := make([]bool, len(db.places)), 0
		for i, place := range db.places {
			may[i] = place.Country == country && country != "" || code == policy.Anonymous && place.Anonymous
		}
		if !slices.Contains(may, true) {
			continue
		}
		db.tree.walk(func(network netip.Addr, offset uint32) (goOn bool) {
			if !may[db.index.at(offset)] {
				return true
			}
			if addr, _, _ := subject(network); addr.IsValid() && wanted(s.locate(addr)) { // as all databases have it
				found = network
				return false
			}
			tried++
			return tried < mostTried
		})
		if found.IsValid() {
			return found, true
		}
	}
	return netip.Addr{}, false
}

// walk calls visit with the first address of each network that leads to a record, of IPv4
// first, until that returns false.
func (t *tree) walk(visit func(network netip.Addr, offset uint32) (goOn bool)) {
	var bits [16]byte
	var descend func(pointer uint, depth, length int, without uint) bool
	descend = func(pointer uint, depth, length int, without uint) bool {
		if pointer >= t.nodes {
			if pointer < t.nodes+16 {
				return true
			}
			addr := netip.AddrFrom16(bits)
			if length == 32 {
				addr = netip.AddrFrom4([4]byte(bits[:4]))
			}
			return visit(addr, uint32(pointer-t.nodes-16))
		}
		if depth == length || depth > 0 && pointer == without {
			return true
		}
		for bit := range uint(2) {
			bits[depth/8] &^= 0x80 >> (depth % 8)
			bits[depth/8] |= byte(bit) << (7 - depth%8)
			if !descend(t.child(pointer, bit), depth+1, length, without) {
				return false
			}
		}
		bits[depth/8] &^= 0x80 >> (depth % 8)
		return true
	}
	if descend(t.ipv4Root, 0, 32, t.nodes) && len(t.ipv6) > 0 {
		clear(bits[:])
		descend(0, 0, 128, t.ipv4Root)
	}
}
