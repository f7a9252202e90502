package geo

import (
	"encoding/binary"
	"math/bits"

	"github.com/oschwald/maxminddb-golang/v2"
)

// An offsetTable maps the offsets at which a data section has records to small
// numbers. It answers with two reads of memory, where a Go map has to hash and
// to compare.
type offsetTable struct {
	// words has a bit for each offset, and with each 64 of them the number of
	// those set before.
	words []struct {
		bits   uint64
		before uint32
	}
	values []uint32 // one for each bit that is set
}

// newOffsetTable makes a table of the records that the search tree of a
// database points to, all with the value 0. It reads the nodes one after the
// other, which takes a fraction of the time of walking all networks, and ends
// even if the tree is a maze.
func newOffsetTable(content []byte, metadata maxminddb.Metadata) offsetTable {
	var t offsetTable
	size := metadata.RecordSize / 4   // of a node in bytes
	dataAt := metadata.NodeCount + 16 // the pointer to the first byte of data
	t.words = make([]struct {
		bits   uint64
		before uint32
	}, (uint(len(content))-size*metadata.NodeCount)/64+1)
	for node := range metadata.NodeCount {
		for _, pointer := range children(content[size*node:], metadata.RecordSize) {
			if offset := pointer - dataAt; pointer >= dataAt && offset/64 < uint(len(t.words)) {
				t.words[offset/64].bits |= 1 << (offset % 64)
			}
		}
	}
	count := 0
	for i := range t.words {
		t.words[i].before = uint32(count)
		count += bits.OnesCount64(t.words[i].bits)
	}
	t.values = make([]uint32, count)
	return t
}

// children returns the two records of a node, which have 24, 28 or 32 bits
// (MaxMind DB specification 2.0, "Node Layout").
func children(node []byte, recordSize uint) [2]uint {
	switch recordSize {
	case 24:
		left := binary.BigEndian.Uint32(node) >> 8
		right := binary.BigEndian.Uint32(node[2:]) & 0xffffff
		return [2]uint{uint(left), uint(right)}
	case 28:
		left := binary.BigEndian.Uint32(node)
		left = left>>8 | left<<20&0x0f000000
		right := binary.BigEndian.Uint32(node[3:]) & 0x0fffffff
		return [2]uint{uint(left), uint(right)}
	}
	return [2]uint{uint(binary.BigEndian.Uint32(node)), uint(binary.BigEndian.Uint32(node[4:]))}
}

// offsets returns the offsets in the table, in their order, which is that of
// values.
func (t *offsetTable) offsets() []uint32 {
	offsets := make([]uint32, 0, len(t.values))
	for i, word := range t.words {
		for ; word.bits != 0; word.bits &= word.bits - 1 {
			offsets = append(offsets, uint32(64*i+bits.TrailingZeros64(word.bits)))
		}
	}
	return offsets
}

// at returns the value at an offset, which must be in the table.
func (t *offsetTable) at(offset uint32) uint32 {
	word := &t.words[offset/64]
	lower := word.bits & (1<<(offset%64) - 1)
	return t.values[word.before+uint32(bits.OnesCount64(lower))]
}
