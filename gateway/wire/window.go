package wire

// maxWindow is the largest window of flow control (RFC 9113, section 6.9.1).
const maxWindow = 1<<31 - 1

// sendWindow is how many bytes of data the peer takes. It may be below zero: the peer can
// lower what streams begin with while they are under way (RFC 9113, section 6.9.2).
type sendWindow int64

// add widens the window, and reports whether it is one then.
func (w *sendWindow) add(n int64) bool {
	*w += sendWindow(n)
	return *w <= maxWindow
}

// receiveWindow is how many bytes of data the peer may send.
type receiveWindow struct {
	size int64 // that it has when nothing is under way
	left int64
	due  int64 // read since the peer was told
}

func newReceiveWindow(size int64) receiveWindow { return receiveWindow{size: size, left: size} }

// take notes that data has come, and reports whether the peer was allowed to send as much.
func (w *receiveWindow) take(n int64) bool {
	w.left -= n
	return w.left >= 0
}

// give notes that data was read, and returns by how much to widen the peer's window now:
// not for each little bit.
func (w *receiveWindow) give(n int64) (update uint32) {
	if w.due += n; w.due < w.size/4 {
		return 0
	}
	update = uint32(w.due)
	w.left += w.due
	w.due = 0
	return update
}
