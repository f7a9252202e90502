//go:build unix

package proxy

import (
	"net"
	"syscall"
)

// newIdleCheck returns a function that reports whether a connection that no
// request uses is idle: open, and with nothing to read. A close, or a response
// that nobody asked for, makes it unfit for use. The function doesn't allocate.
func newIdleCheck(c net.Conn) func() bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return func() bool { return false }
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	var idle bool
	var b [1]byte
	probe := func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), b[:])
		idle = err == syscall.EAGAIN
		return true
	}
	return func() bool {
		idle = false
		return raw.Read(probe) == nil && idle
	}
}
