package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"pgregory.net/rapid"
)

// TestACallThatIsCutEndsBehindAMessage cuts a stream of messages anywhere.
func TestACallThatIsCutEndsBehindAMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		ends := []int{0}
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			length := rapid.SampledFrom([]int{0, 1, 5, 300, 70_000}).Draw(t, "length")
			stream = binary.BigEndian.AppendUint32(append(stream, 0), uint32(length))
			stream = append(stream, make([]byte, length)...)
			ends = append(ends, len(stream))
		}
		ctx, cut := context.WithCancelCause(t.Context())
		out := httptest.NewRecorder()
		x := &exchange{in: httptest.NewRequestWithContext(ctx, "POST", "/", nil), out: out}
		call := &grpcCall{x: x, cancel: func() {}}
		trailer := http.Header{"Grpc-Status": {"0"}}
		var passed bytes.Buffer
		var end error
		write := func(from, to int) {
			for from < to && end == nil {
				n := rapid.IntRange(1, to-from).Draw(t, "bytes")
				var some int
				some, end = call.pass(stream[from:from+n], nil, trailer)
				passed.Write(stream[from : from+some])
				from += n
			}
		}
		at := rapid.IntRange(0, len(stream)-1).Draw(t, "cut at")
		write(0, at)
		cut(ErrSevered)
		call.end()
		write(at, len(stream))

		want := 0
		for want < len(ends) && ends[want] < at {
			want++
		}
		if end != io.EOF || passed.Len() != ends[want] {
			t.Fatalf("%d bytes are passed, then %v; want %d", passed.Len(), end, ends[want])
		}
		if status := out.Header()[http.TrailerPrefix+"Grpc-Status"]; len(status) != 1 || status[0] != "7" || len(trailer) != 0 {
			t.Fatal(out.Header(), trailer)
		}
	})
}
