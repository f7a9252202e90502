package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// firstSocket is the descriptor of the first socket, see sd_listen_fds(3).
const firstSocket = 3

// Sockets returns the sockets that the service manager has bound for this process, by the
// names that it has for them (FileDescriptorName=), none if it hasn't. Programs that this
// one starts don't get them. Call it once.
func Sockets() (map[string]*os.File, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // they were another's
	}
	for _, variable := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(variable) // it was there
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, and no number of sockets", count)
	}
	if n != len(names) {
		return nil, fmt.Errorf("the service manager has bound %d sockets and names %d of them: give each a FileDescriptorName", n, len(names))
	}
	sockets := make(map[string]*os.File)
	for i, name := range names {
		if sockets[name] != nil {
			return nil, fmt.Errorf("the service manager has bound two sockets named %q: give each a FileDescriptorName of its own", name)
		}
		syscall.CloseOnExec(firstSocket + i)
		sockets[name] = os.NewFile(uintptr(firstSocket+i), name)
	}
	return sockets, nil
}
