package geo

import "net/netip"

// An ipv4Tree finds the records of IPv4 addresses, most of all clients'. It has
// walked the first 16 bits of every address in advance, which is most of the
// way: half of the time that the reader takes.
type ipv4Tree struct {
	content    []byte
	nodes      uint // how many there are
	recordSize uint
	heads      []uint32 // where 16 bits lead, by these bits: a node, or what a node may point to
}

// headBits is how much of an address has been walked in advance.
const headBits = 16

// newIPv4Tree walks the search tree of a verified database.
func newIPv4Tree(content []byte, nodes, recordSize, ipVersion uint) *ipv4Tree {
	t := &ipv4Tree{content: content, nodes: nodes, recordSize: recordSize, heads: make([]uint32, 1<<headBits)}
	root := uint(0)
	if ipVersion == 6 { // IPv4 addresses are below ::/96
		for bit := 0; bit < 96 && root < nodes; bit++ {
			root = t.children(root)[0]
		}
	}
	t.walk(root, 0, 0)
	return t
}

// walk notes where the addresses that begin with these bits lead.
func (t *ipv4Tree) walk(pointer, begin, depth uint) {
	switch {
	case depth == headBits:
		t.heads[begin] = uint32(pointer)
	case pointer >= t.nodes:
		for head := begin; head < begin+1<<(headBits-depth); head++ {
			t.heads[head] = uint32(pointer)
		}
	default:
		next := t.children(pointer)
		t.walk(next[0], begin, depth+1)
		t.walk(next[1], begin+1<<(headBits-depth-1), depth+1)
	}
}

// offset returns where the data section has the record of an IPv4 address.
func (t *ipv4Tree) offset(addr netip.Addr) (offset uint32, found bool) {
	a := addr.As4()
	pointer := uint(t.heads[uint(a[0])<<8|uint(a[1])])
	rest := uint(a[2])<<8 | uint(a[3])
	for bit := uint(15); pointer < t.nodes; bit-- {
		pointer = t.children(pointer)[rest>>(bit&15)&1]
		if bit == 0 {
			break
		}
	}
	if pointer < t.nodes+16 { // there is nothing, or only the separator
		return 0, false
	}
	return uint32(pointer - t.nodes - 16), true
}

func (t *ipv4Tree) children(node uint) [2]uint {
	return children(t.content[t.recordSize/4*node:], t.recordSize)
}
