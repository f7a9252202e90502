package proxy

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// frame writes a frame with a payload of a length.
func frame(opcode byte, masked bool, length int) []byte {
	b := []byte{0x80 | opcode, 0}
	switch {
	case length < 126:
		b[1] = byte(length)
	case length <= 0xffff:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(length))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(length))
	}
	if masked {
		b[1] |= 0x80
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, make([]byte, length)...)
}

// TestFramesAreFollowedHoweverTheyAreCut holds each prefix of a stream against whether
// it ends with a whole frame.
func TestFramesAreFollowedHoweverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		ends := map[int]bool{0: true}
		for range rapid.IntRange(1, 5).Draw(t, "frames") {
			length := rapid.SampledFrom([]int{0, 1, 125, 126, 127, 1000, 0xffff, 0x10000}).Draw(t, "length")
			stream = append(stream, frame(rapid.SampledFrom([]byte{0, 1, 2, 9, 10}).Draw(t, "opcode"), rapid.Bool().Draw(t, "masked"), length)...)
			ends[len(stream)] = true
		}
		var f frames
		for at := 0; at < len(stream); {
			n := rapid.IntRange(1, len(stream)-at).Draw(t, "bytes")
			f.follow(stream[at : at+n])
			if at += n; f.betweenTwo() != ends[at] {
				t.Fatalf("behind byte %d of %d: %v", at, len(stream), f.betweenTwo())
			}
		}
		f.follow(frame(closeOpcode, false, 2))
		if f.betweenTwo() {
			t.Fatal("a frame may follow the Close frame")
		}
	})
}
