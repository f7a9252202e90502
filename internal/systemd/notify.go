// Package systemd tells the service manager how the process is.
package systemd

import (
	"net"
	"os"
)

// What Notify can tell, see sd_notify(3).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Notify tells the service manager a state. Where none wants to know, it does
// nothing.
func Notify(state string) error {
	socket := os.Getenv("NOTIFY_SOCKET") // "@…" in the abstract namespace, as net has it
	if socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}
