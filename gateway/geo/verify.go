package geo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/oschwald/maxminddb-golang/v2"
)

// separator is how many bytes, all zero, lie between the search tree and the
// data section.
const separator = 16

// verify checks the structure of a database: that its search tree ends, and leads
// to values, and that the data section is values and pointers to values from its
// first byte to its last (MaxMind DB specification 2.0). The reader has a check
// of its own, which decodes all that there is as well, and takes 2.8 s for a
// City database where this takes 0.3; what is decoded here, tabulate checks.
func verify(content []byte, metadata maxminddb.Metadata) error {
	if metadata.BinaryFormatMajorVersion != 2 {
		return fmt.Errorf("its format is %d.%d, not 2.0", metadata.BinaryFormatMajorVersion, metadata.BinaryFormatMinorVersion)
	}
	size := metadata.RecordSize
	if size != 24 && size != 28 && size != 32 || metadata.IPVersion != 4 && metadata.IPVersion != 6 {
		return fmt.Errorf("its metadata has records of %d bits and IP version %d", size, metadata.IPVersion)
	}
	end := bytes.LastIndex(content, []byte(metadataMarker))
	treeSize := metadata.NodeCount * (size / 4)
	if metadata.NodeCount == 0 || end < 0 || metadata.NodeCount > uint(len(content)) || treeSize+separator > uint(end) {
		return errors.New("its metadata has a tree that the file has no room for")
	}
	if !bytes.Equal(content[treeSize:treeSize+separator], make([]byte, separator)) {
		return errors.New("there is no separator behind the tree")
	}
	data := content[treeSize+separator : end]
	values, err := findValues(data)
	if err != nil {
		return err
	}
	return verifyTree(content, metadata, values)
}

const metadataMarker = "\xab\xcd\xefMaxMind.com"

// verifyTree checks that each way through a search tree ends after as many bits
// as an address has, at the latest, and leads to a value or to nothing.
func verifyTree(content []byte, metadata maxminddb.Metadata, values bitSet) error {
	bits := 32
	if metadata.IPVersion == 6 {
		bits = 128
	}
	const unknown, beginning = 0, 0xff
	heights := make([]uint8, metadata.NodeCount) // how many nodes lie on the longest way from each on
	var descend func(node uint, depth int) (uint8, error)
	descend = func(node uint, depth int) (height uint8, err error) {
		if depth == bits || heights[node] == beginning {
			return 0, fmt.Errorf("a way through its tree doesn't end after %d bits", bits)
		}
		heights[node] = beginning
		for _, pointer := range children(content[metadata.RecordSize/4*node:], metadata.RecordSize) {
			below := uint8(0)
			switch {
			case pointer == metadata.NodeCount:
			case pointer > metadata.NodeCount:
				if offset := pointer - metadata.NodeCount - separator; pointer < metadata.NodeCount+separator || !values.has(offset) {
					return 0, errors.New("its tree leads to where no record is")
				}
			case heights[pointer] != unknown && heights[pointer] != beginning:
				below = heights[pointer]
			default:
				if below, err = descend(pointer, depth+1); err != nil {
					return 0, err
				}
			}
			height = max(height, below+1)
		}
		if int(height) > bits-depth {
			return 0, fmt.Errorf("a way through its tree doesn't end after %d bits", bits)
		}
		heights[node] = height
		return height, nil
	}
	_, err := descend(0, 0)
	return err
}

// The types of values, as the specification numbers them.
const (
	extendedType = iota
	pointerType
	stringType
	doubleType
	bytesType
	uint16Type
	uint32Type
	mapType
	int32Type
	uint64Type
	uint128Type
	arrayType
	containerType
	endType
	boolType
	floatType
)

// sizes are the least and the largest size of the values whose sizes are limited.
var sizes = [...][2]uint{
	doubleType: {8, 8}, uint16Type: {0, 2}, uint32Type: {0, 4}, int32Type: {0, 4}, uint64Type: {0, 8}, uint128Type: {0, 16},
	boolType: {0, 1}, floatType: {4, 4},
}

// findValues returns where values begin in a data section, those within others
// among them. It is an error if something else is there, or a pointer leads to
// something else.
func findValues(data []byte) (bitSet, error) {
	values := make(bitSet, len(data)/64+1)
	var pointers []uint32
	within := uint(0) // how many values of maps and arrays that began are still to come
	cut := errors.New("its data section is cut")
	for at := uint(0); at < uint(len(data)); {
		values.add(at)
		within = max(within, 1) - 1
		kind, size, next, ok := readControl(data, at)
		if !ok {
			return nil, cut
		}
		switch kind {
		case pointerType:
			pointers = append(pointers, uint32(size))
			size = 0
		case mapType, arrayType:
			if size > uint(len(data)) {
				return nil, cut
			}
			if within += size; kind == mapType {
				within += size
			}
			size = 0
		case stringType:
			if next+size <= uint(len(data)) && !utf8.Valid(data[next:next+size]) {
				return nil, fmt.Errorf("the text at %d isn't UTF-8", at)
			}
		case bytesType:
		case doubleType, uint16Type, uint32Type, int32Type, uint64Type, uint128Type, boolType, floatType:
			if size < sizes[kind][0] || size > sizes[kind][1] {
				return nil, fmt.Errorf("the value at %d has the wrong size", at)
			}
			if kind == boolType {
				size = 0 // it is the value
			}
		default:
			return nil, fmt.Errorf("there is no value at %d", at)
		}
		at = next + size
		if at > uint(len(data)) {
			return nil, cut
		}
	}
	if within > 0 {
		return nil, cut
	}
	for _, to := range pointers {
		if !values.has(uint(to)) {
			return nil, fmt.Errorf("a pointer leads to %d, where no value begins", to)
		}
	}
	return values, nil
}

// readControl reads what a value begins with: its type and size, or of a pointer
// where it leads to, and where the rest of it is.
func readControl(data []byte, at uint) (kind, size, next uint, ok bool) {
	var head [8]byte // of the longest one, and what lies behind
	n := uint(copy(head[:], data[at:]))
	kind, size, next = uint(head[0]>>5), uint(head[0]&0x1f), 1
	if kind == pointerType {
		rest := binary.BigEndian.Uint32(head[1:])
		high := uint32(size & 7)
		switch next = 2 + size>>3; next {
		case 2:
			size = uint(high<<8 | rest>>24)
		case 3:
			size = uint(high<<16|rest>>16) + 2048
		case 4:
			size = uint(high<<24|rest>>8) + 526336
		default:
			size = uint(rest)
		}
		return kind, size, at + next, next <= n
	}
	if kind == extendedType {
		kind, next = 7+uint(head[1]), 2
		if kind == mapType {
			kind = extendedType // the type 0 is none
		}
	}
	switch size {
	case 29:
		size, next = 29+uint(head[next]), next+1
	case 30:
		size, next = 285+uint(binary.BigEndian.Uint16(head[next:])), next+2
	case 31:
		size, next = 65821+(uint(binary.BigEndian.Uint32(head[next:]))>>8), next+3
	}
	return kind, size, at + next, next <= n
}

// A bitSet is a set of offsets.
type bitSet []uint64

func (s bitSet) add(n uint) { s[n/64] |= 1 << (n % 64) }

func (s bitSet) has(n uint) bool { return n/64 < uint(len(s)) && s[n/64]&(1<<(n%64)) != 0 }
