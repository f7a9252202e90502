package admin

import (
	"errors"
	"net"
	"syscall"
)

// peerID returns the user that opened the socket, as the kernel has it: see
// SO_PEERCRED in unix(7).
func peerID(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *syscall.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		credentials, failure = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, failure); err != nil {
		return 0, err
	}
	return credentials.Uid, nil
}
