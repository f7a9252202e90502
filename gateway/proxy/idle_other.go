//go:build !unix

package proxy

import "net"

// newIdleCheck returns a function that can't tell, so that no connection is used
// twice.
func newIdleCheck(net.Conn) func() bool { return func() bool { return false } }
