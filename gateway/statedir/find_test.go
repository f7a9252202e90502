package statedir

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	unit := filepath.Join(root, "unit")
	// As for who isn't root: a link to what can't be seen.
	if err := os.Symlink(filepath.Join(root, "private"), unit); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(root, "used")
	own := filepath.Join(used, ".local/state/exitgate")
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(root, "fresh")
	for name, c := range map[string]struct{ named, home, stateDirectory, unit, want string }{
		"what is named":                             {"/named", used, "", unit, "/named"},
		"what systemd says":                         {"", used, "/state", unit, "/state"},
		"the user's own":                            {"", used, "", unit, own},
		"the unit's, if the user has none":          {"", fresh, "", unit, unit},
		"the unit's, if the user has no home":       {"", "", "", unit, unit},
		"the user's own to be, if there is no unit": {"", fresh, "", filepath.Join(root, "none"), filepath.Join(fresh, ".local/state/exitgate")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOME", c.home)
			t.Setenv("XDG_STATE_HOME", "")
			t.Setenv("STATE_DIRECTORY", c.stateDirectory)
			if got, err := find(c.named, c.unit); err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
