//go:build integration && linux

package main

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A container runs programs of an image as a container runtime does: in namespaces
// of their own but for the network, in the image's files, which are read-only, with a
// volume for the data, as the image's user.
type container struct {
	root, settings, data string
	config               v1.Config
}

// enter makes the mounts in a new namespace, and becomes the program: its process
// keeps the number 1.
const enter = `
root=$1 settings=$2 data=$3 user=$4; shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind "$settings" "$root/etc/exitgate"
mount --bind "$data" "$root/var/lib/exitgate"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,bind,ro "$root/etc/exitgate"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" "$@"
`

func (c container) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-ec", enter, "sh", c.root, c.settings, c.data, c.config.User}, args...)...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.config.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	return cmd
}

// run runs a program of the image to its end, and returns what it printed.
func (c container) run(args ...string) (string, error) {
	said, err := c.command(context.Background(), args...).CombinedOutput()
	return string(said), err
}

// newContainer unpacks an image, with a volume, and settings that are mounted.
func newContainer(t *testing.T, image v1.Image, settings string) container {
	if os.Geteuid() != 0 {
		t.Skip("only root makes the mounts of a container")
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	c := container{root: folder + "/root", settings: folder + "/settings", data: folder + "/data", config: config.Config}
	unpack(t, image, c.root)
	write(t, c.settings+"/exitgate.yaml", settings)
	volume := filepath.Join(c.root, "var/lib/exitgate")
	info, err := os.Stat(volume)
	if err != nil {
		t.Fatal(err)
	}
	// A new volume is as the folder in the image, as Docker and Podman make it.
	owner := info.Sys().(*syscall.Stat_t)
	if err := errors.Join(os.Mkdir(c.data, info.Mode().Perm()), os.Chown(c.data, int(owner.Uid), int(owner.Gid)), os.Mkdir(c.root+"/proc", 0o755)); err != nil {
		t.Fatal(err)
	}
	for dir := folder; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := c.run(c.config.Entrypoint[0], "version"); errors.Is(err, syscall.EPERM) {
		t.Skip("namespaces aren't allowed here")
	} else if err != nil {
		t.Fatalf("version: %v\n%s", err, said)
	}
	return c
}

// unpack writes the files of an image, with their owners.
func unpack(t *testing.T, image v1.Image, root string) {
	t.Helper()
	for name, f := range filesOf(t, image) {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if f.Typeflag == tar.TypeDir {
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		} else {
			err = errors.Join(err, os.WriteFile(path, f.content, 0o600))
		}
		// The owner first: to change it takes bits of the mode away.
		if err := errors.Join(err, os.Chown(path, f.Uid, f.Gid), os.Chmod(path, f.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImageRunsAndStops(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the app") }))
	defer app.Close()
	c := newContainer(t, imageFor(t, pulled(t), runtime.GOARCH), fmt.Sprintf(`
listen: {https: "127.0.0.1:0", http: ""}
apps: [{hosts: ["*"], upstreams: [%q]}]
drain: 1s
`, app.URL))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // a start takes a second
	defer cancel()
	gateway := c.command(ctx, append(c.config.Entrypoint, c.config.Cmd...)...)
	log, err := gateway.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	address, said := "", ""
	lines := bufio.NewScanner(log)
	for serving := regexp.MustCompile(`"msg":"serving","https":"(.+?)"`); address == "" && lines.Scan(); {
		said += lines.Text() + "\n"
		if found := serving.FindStringSubmatch(lines.Text()); found != nil {
			address = found[1]
		}
	}
	if address == "" {
		t.Fatalf("the gateway ended: %v\n%s", gateway.Wait(), said)
	}
	go func() {
		for lines.Scan() { // a gateway that nobody reads would wait
		}
	}()

	c.isConfined(t, gateway.Process.Pid)
	if said, err := c.run(c.config.Healthcheck.Test[1:]...); err != nil {
		t.Errorf("the health check: %v\n%s", err, said)
	}
	if said, err := c.run(c.config.Entrypoint[0], "version"); err != nil || !strings.Contains(said, "(embedded)\n    sha256") || !strings.HasSuffix(said, runtime.Version()+" (embedded)\n") {
		t.Errorf("the data of places and of time zones isn't the program's own: %v\n%s", err, said)
	}
	expect(t, address, http.StatusOK, "the app")
	if said, err := c.run(c.config.Entrypoint[0], "set", "private", "withdrawn", "--because", "To see it."); err != nil {
		t.Errorf("set: %v\n%s", err, said)
	}
	expect(t, address, http.StatusUnavailableForLegalReasons, "")

	signals := map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM}
	if err := gateway.Process.Signal(signals[c.config.StopSignal]); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Wait(); err != nil {
		t.Errorf("after %s: %v", c.config.StopSignal, err)
	}
	if _, err := c.run(c.config.Healthcheck.Test[1:]...); err == nil {
		t.Error("the health check says that what was stopped is ready")
	}
}

// isConfined says what isn't as a container's of the image should be.
func (c container) isConfined(t *testing.T, process int) {
	t.Helper()
	status := string(read(t, fmt.Sprintf("/proc/%d/status", process)))
	for _, want := range []string{
		`Uid:(\t65532){4}\n`, `Gid:(\t65532){4}\n`, `Groups:\t ?\n`, `NSpid:\t\d+\t1\n`, `CapEff:\t0+\n`, `NoNewPrivs:\t1\n`,
	} {
		if !regexp.MustCompile(want).MatchString(status) {
			t.Errorf("the process isn't %q:\n%s", want, status)
		}
	}
	if mounts := string(read(t, fmt.Sprintf("/proc/%d/mounts", process))); !regexp.MustCompile(`(?m)^\S+ / \S+ ro,`).MatchString(mounts) {
		t.Errorf("the root isn't read-only:\n%s", mounts)
	}
}

func expect(t *testing.T, address string, status int, body string) {
	t.Helper()
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // it has made its certificate itself
	}}
	response, err := client.Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || body != "" && string(got) != body {
		t.Errorf("got %d %q, %v; want %d %q", response.StatusCode, got, err, status, body)
	}
}
