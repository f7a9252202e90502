package statedir

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// RestoreUnderWay returns the file that is there while the folder is being restored: then
// no gateway starts with it.
func (d Dir) RestoreUnderWay() string { return d.in("restore-under-way") }

// selfSigned are the certificate of the gateway's own making, and its key.
var selfSigned = []string{"self-signed.crt", "self-signed.key"}

// stateFiles are the files that are replaced as a whole.
func (d Dir) stateFiles() []string {
	return []string{
		filepath.Base(d.Replica()), filepath.Base(d.LastGood()), filepath.Base(d.Schedule()), filepath.Base(d.Steps()),
		filepath.Base(d.Occurrences()), filepath.Base(d.Flags()), filepath.Base(d.Decisions()),
		filepath.Base(d.Notifications()), filepath.Base(d.Purges()),
	}
}

// BackupNames returns which files there are that a backup has, beside the records of the
// ledger: relative to the folder, with slashes, in order. With keys, also those with
// private keys. What is of one machine only, or can be made again, isn't among them.
func (d Dir) BackupNames(keys bool) (names []string, err error) {
	for _, name := range d.stateFiles() {
		if _, err := os.Stat(d.in(name)); err == nil {
			names = append(names, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	below := []string{filepath.Base(d.Databases())}
	if keys {
		below = append(below, filepath.Base(d.Certificates()))
		for _, name := range selfSigned {
			if _, err := os.Stat(d.in(name)); err == nil {
				names = append(names, name)
			}
		}
	}
	for _, folder := range below {
		err := filepath.WalkDir(d.in(folder), func(file string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !entry.Type().IsRegular() || path.Ext(file) == ".unfinished" || path.Ext(file) == ".lock" {
				return err
			}
			relative, err := filepath.Rel(string(d), file)
			names = append(names, filepath.ToSlash(relative))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// RestoredNames returns what of the folder a restore replaces: what a backup has, and what
// is made of it. With keys, also what has private keys.
func (d Dir) RestoredNames(keys bool) []string {
	names := append(d.stateFiles(), filepath.Base(d.Records()), filepath.Base(d.Databases()), filepath.Base(d.Ledger()))
	if keys {
		names = append(append(names, filepath.Base(d.Certificates())), selfSigned...)
	}
	return slices.Clip(names)
}

// Protecting returns the names of the files that say what must not be forgotten: which steps
// were taken, which breaches were seen, what was decided and by which policy.
func (d Dir) Protecting() []string {
	return []string{filepath.Base(d.LastGood()), filepath.Base(d.Steps()), filepath.Base(d.Occurrences()), filepath.Base(d.Flags()), filepath.Base(d.Decisions())}
}
