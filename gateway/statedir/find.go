package statedir

import (
	"errors"
	"io/fs"
	"os"
)

// unitFolder is the data folder of the systemd unit.
const unitFolder = "/var/lib/exitgate"

// Find returns the path of the data folder of the gateway of this machine, for
// what isn't the gateway itself: that of Path, or that of the systemd unit if none is
// named and the user has none.
func Find(named string) (string, error) { return find(named, unitFolder) }

func find(named, unit string) (string, error) {
	folder, err := Path(named)
	if named != "" || os.Getenv("STATE_DIRECTORY") != "" {
		return folder, err
	}
	if _, own := os.Stat(folder); err == nil && !errors.Is(own, fs.ErrNotExist) {
		return folder, nil
	}
	// With DynamicUser= it is a link into a folder that only root may enter: who
	// isn't root is to be told so.
	if _, missing := os.Lstat(unit); missing == nil {
		return unit, nil
	}
	return folder, err
}
