//go:build unix

package proxy

import (
	"net"
	"syscall"
)

// quietness returns a function that reports whether a connection, while idle,
// is open and nothing has come in: a close, or an answer that nobody asked for,
// would make it unfit for use. It is made once a connection, and allocates
// nothing then.
func quietness(c net.Conn) func() bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return func() bool { return false }
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	var quiet bool
	var b [1]byte
	look := func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), b[:])
		quiet = err == syscall.EAGAIN
		return true
	}
	return func() bool {
		quiet = false
		return raw.Read(look) == nil && quiet
	}
}
