//go:build unix

package ledger

import (
	"fmt"
	"os"
	"syscall"
)

// lock holds a file so that no other process keeps its ledger in the folder:
// the NATS server doesn't see to that.
func lock(file string) (unlock func() error, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another exitgate has its ledger here (%s is locked): stop it, or give this one another data folder", file)
	}
	return f.Close, nil
}
