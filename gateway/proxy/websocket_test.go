package proxy

import (
	"bytes"
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

// A Close frame comes behind the frame that is under way, wherever the stream is when it is
// to come, and nothing behind it; none comes behind that of the sender.
func TestACloseFrameComesBetweenTwoFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		ends := []int{0}
		sendersClose := rapid.IntRange(0, 6).Draw(t, "frame that is a Close frame")
		for i := range rapid.IntRange(1, 5).Draw(t, "frames") {
			opcode := byte(2)
			if i == sendersClose {
				opcode = closeOpcode
			}
			stream = append(stream, frame(opcode, false, rapid.SampledFrom([]int{0, 1, 125, 126, 1000}).Draw(t, "length"))...)
			if i <= sendersClose {
				ends = append(ends, len(stream))
			}
		}
		var sent bytes.Buffer
		d := direction{w: &sent, closed: make(chan struct{})}
		write := func(from, to int) {
			for from < to {
				n := rapid.IntRange(1, to-from).Draw(t, "bytes")
				if written, err := d.Write(stream[from : from+n]); written != n || err != nil {
					t.Fatal(written, err)
				}
				from += n
			}
		}
		at := rapid.IntRange(0, len(stream)).Draw(t, "end at")
		write(0, at)
		d.end(policyViolation, severedReason)
		write(at, len(stream))

		want := stream
		for i, end := range ends {
			if end >= at && i <= sendersClose {
				want = append(bytes.Clone(stream[:end]), closeFrame(policyViolation, severedReason, false)...)
				break
			}
		}
		if !bytes.Equal(sent.Bytes(), want) {
			t.Fatalf("%x is sent, want %x", sent.Bytes(), want)
		}
		select {
		case <-d.closed:
			if sendersClose >= 5 {
				t.Fatal("it has heard of a Close frame")
			}
		default:
		}
	})
}
