package geo

import "net/netip"

// A tree finds the records of addresses. For the first 16 bits of an address,
// most of the way for IPv4, it has a table: half of the time that the reader
// takes.
type tree struct {
	content    []byte
	nodes      uint // how many there are
	recordSize uint // bits
	ipv4, ipv6 heads
	ipv4Root   uint // where IPv4 addresses begin: a node, or what a node may point to
}

// heads are where the first 16 bits of an address lead, by these bits: to a
// node, or to what a node may point to. Empty if the database has no such
// addresses.
type heads []uint32

const headBits = 16

// newTree walks the search tree of a verified database.
func newTree(content []byte, nodes, recordSize, ipVersion uint) *tree {
	t := &tree{content: content, nodes: nodes, recordSize: recordSize}
	root := uint(0)
	if ipVersion == 6 {
		t.ipv6 = t.tabulate(root)
		for bit := 0; bit < 96 && root < nodes; bit++ { // IPv4 is below ::/96
			root = t.child(root, 0)
		}
	}
	t.ipv4Root = root
	t.ipv4 = t.tabulate(root)
	return t
}

// tabulate returns the table of the addresses below a root.
func (t *tree) tabulate(root uint) heads {
	found := make(heads, 1<<headBits)
	var descend func(pointer, begin, depth uint)
	descend = func(pointer, begin, depth uint) {
		if depth < headBits && pointer < t.nodes {
			descend(t.child(pointer, 0), begin, depth+1)
			descend(t.child(pointer, 1), begin+1<<(headBits-depth-1), depth+1)
			return
		}
		for head := begin; head < begin+1<<(headBits-depth); head++ {
			found[head] = uint32(pointer)
		}
	}
	descend(root, 0, 0)
	return found
}

// offset returns where the data section has the record of an address.
func (t *tree) offset(addr netip.Addr) (offset uint32, found bool) {
	var pointer uint
	switch {
	case addr.Is4():
		a := addr.As4()
		pointer = t.lookup(t.ipv4, a[:])
	case len(t.ipv6) > 0:
		a := addr.As16()
		pointer = t.lookup(t.ipv6, a[:])
	}
	if pointer < t.nodes+16 { // there is nothing, or only the separator
		return 0, false
	}
	return uint32(pointer - t.nodes - 16), true
}

// lookup returns where the bits of an address lead.
func (t *tree) lookup(heads heads, bits []byte) uint {
	pointer := uint(heads[uint(bits[0])<<8|uint(bits[1])])
	for _, b := range bits[headBits/8:] {
		for shift := 7; shift >= 0; shift-- {
			if pointer >= t.nodes {
				return pointer
			}
			pointer = t.child(pointer, uint(b)>>shift&1)
		}
	}
	return pointer
}

// child returns one of the two records of a node, which have 24, 28 or 32 bits
// (MaxMind DB specification 2.0, "Node Layout").
func (t *tree) child(node, bit uint) uint {
	if t.recordSize == 24 {
		r := t.content[6*node+3*bit:]
		return uint(r[2]) | uint(r[1])<<8 | uint(r[0])<<16
	}
	return children(t.content[t.recordSize/4*node:], t.recordSize)[bit]
}
