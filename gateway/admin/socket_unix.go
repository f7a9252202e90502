//go:build unix

package admin

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock holds a file for as long as this process has the socket: whether the one
// that is there is alive can't be found out otherwise without a race.
func lock(file string) (unlock func() error, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		_ = f.Close()
		return nil, fmt.Errorf("another gateway runs with this data folder (%s is locked): stop it, or give this one another folder", file)
	case err != nil:
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return f.Close, nil
}
