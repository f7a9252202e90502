//go:build unix

package files

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// GiveTo gives a file, or a folder with all that is in it, to the owner of another folder, if
// this process is root's: else it is that owner's already, or can't be.
func GiveTo(owned, name string) error {
	info, err := os.Stat(owned)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return filepath.WalkDir(name, func(file string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(file, int(owner.Uid), int(owner.Gid))
	})
}
