package geo

import (
	"maps"
	"math/bits"
	"slices"
)

// An offsetTable is a map from offsets of a data section to small numbers. It
// answers with two reads of memory, where a Go map has to hash and to compare.
type offsetTable struct {
	// words has a bit for each offset up to the last one in the table, and
	// with each 64 of them the number of those set before.
	words []struct {
		bits   uint64
		before uint32
	}
	values []uint32 // one for each bit that is set
}

func newOffsetTable(content map[uint32]uint32) offsetTable {
	var t offsetTable
	for _, offset := range slices.Sorted(maps.Keys(content)) {
		for len(t.words) <= int(offset/64) {
			t.words = append(t.words, struct {
				bits   uint64
				before uint32
			}{before: uint32(len(t.values))})
		}
		t.words[offset/64].bits |= 1 << (offset % 64)
		t.values = append(t.values, content[offset])
	}
	t.words = slices.Clip(t.words)
	return t
}

// at returns the number at an offset, which must be in the table.
func (t *offsetTable) at(offset uint32) uint32 {
	word := &t.words[offset/64]
	lower := word.bits & (1<<(offset%64) - 1)
	return t.values[word.before+uint32(bits.OnesCount64(lower))]
}
