package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What stays where a package was, and what goes with it.
const (
	program  = "usr/bin/exitgate"
	unit     = "usr/lib/systemd/system/exitgate.service"
	settings = "etc/exitgate/exitgate.yaml"
	data     = "var/lib/exitgate/ledger.json"
)

func TestPackagesAreInstalledUpgradedAndRemoved(t *testing.T) {
	b := released(t).build
	t.Run("deb", func(t *testing.T) {
		root := newRoot(t, "dpkg")
		for _, folder := range []string{"info", "updates", "triggers"} {
			write(t, filepath.Join(root, "var/lib/dpkg", folder, ".keep"), "")
		}
		write(t, filepath.Join(root, "var/lib/dpkg/status"), "")
		lifeOf(t, b, root, "deb", func(args ...string) {
			succeed(t, "dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--log=/dev/null"}, args...)...)
		}, []string{"--install"}, []string{"--remove", "exitgate"})
	})
	t.Run("rpm", func(t *testing.T) {
		root := newRoot(t, "rpm")
		// The folder has no shell, which scripts need; they are those of the .deb.
		lifeOf(t, b, root, "rpm", func(args ...string) {
			succeed(t, "rpm", append([]string{"--root=" + root, "--nodeps", "--noscripts"}, args...)...)
		}, []string{"--upgrade"}, []string{"--erase", "exitgate"})
	})
}

// newRoot returns the root folder of a machine that a program installs in.
func newRoot(t *testing.T, program string) string {
	_, err := exec.LookPath(program)
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") == "":
		t.Skipf("%s is not installed", program)
	case err != nil:
		t.Fatal(err)
	case os.Geteuid() != 0:
		t.Skip("only root installs packages")
	}
	return t.TempDir()
}

// lifeOf installs a version of a package, upgrades it, and removes it.
func lifeOf(t *testing.T, b build, root, format string, do func(...string), install, remove []string) {
	file := func(name string) string { return filepath.Join(root, name) }
	out := t.TempDir()
	b.version = "1.0.0"
	first := packed(t, b, format, out)
	do(append(install, first)...)
	if said := succeed(t, file(program), "check", "--config", file(settings)); !strings.Contains(said, "is valid") {
		t.Errorf("of the settings in the package, it is said: %s", said)
	}
	if info, err := os.Stat(file(unit)); err != nil || info.Mode().Perm() != 0o644 || !info.ModTime().Equal(b.time) {
		t.Errorf("the unit: %v, %v", info, err)
	}

	mine := string(read(t, file(settings))) + "trusted-proxies: [10.0.0.0/8]\n"
	write(t, file(settings), mine)
	write(t, file(data), "what a gateway knows")
	b.version = "1.1.0"
	do(append(install, packed(t, b, format, out))...)
	if got := string(read(t, file(settings))); got != mine {
		t.Errorf("after an upgrade the settings are not those that were written:\n%s", got)
	}

	do(remove...)
	for _, name := range []string{program, unit} {
		if _, err := os.Stat(file(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the removal, %s: %v", name, err)
		}
	}
	read(t, file(data))
}

// packed returns the path of a new package.
func packed(t *testing.T, b build, format, out string) string {
	t.Helper()
	name, err := b.pack(format, runtime.GOARCH, out)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(out, name)
}

func succeed(t *testing.T, program string, args ...string) string {
	t.Helper()
	said, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, said)
	}
	return string(said)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}
