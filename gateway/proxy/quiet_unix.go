//go:build unix

package proxy

import (
	"net"
	"syscall"
)

// isQuiet reports whether an idle connection is open and nothing has come in: a
// close, or an answer that nobody asked for, would make it unfit for use.
func isQuiet(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:])
		quiet = err == syscall.EAGAIN
		return true
	})
	return err == nil && quiet
}
