//go:build unix

package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
)

// shortFolder is a folder whose path a socket has room behind.
func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "exg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

// serveOverSocket serves over a socket, and returns a client of it.
func serveOverSocket(t *testing.T, g *fixture, path string) *http.Client {
	t.Helper()
	l, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: g, ConnContext: admin.ConnContext}
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &http.Client{Transport: transport}
}

func TestSocket_user(t *testing.T) {
	g := newFixture(t)
	client := serveOverSocket(t, g, filepath.Join(shortFolder(t), "admin.sock"))
	for range 2 {
		answer, err := client.Get("http://exitgate/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var status api.Status
		if err := json.NewDecoder(answer.Body).Decode(&status); err != nil && !strings.Contains(err.Error(), "reason") {
			t.Fatal(err)
		}
		self, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		if want := "unix:" + self.Username; status.You.Name != want || !status.You.Local || len(status.You.Roles) != 4 {
			t.Errorf("got %+v, not %s", status.You, want)
		}
	}
}

func TestSocket_permissions(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(shortFolder(t), "admin.sock")
	l, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	again, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// leaveStaleSocket leaves behind what a process does that is killed.
func leaveStaleSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSocket_replacesThatOfADeadProcess(t *testing.T) {
	folder := shortFolder(t)
	path := filepath.Join(folder, "admin.sock")
	leaveStaleSocket(t, path)
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, ".sock"), 0o700); err != nil {
		t.Fatal(err)
	}
	leaveStaleSocket(t, filepath.Join(folder, ".sock", "s"))
	client := serveOverSocket(t, newFixture(t), path)
	answer, err := client.Get("http://exitgate/v1/policy")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("got %s", answer.Status)
	}
	if _, err := os.Stat(filepath.Join(folder, ".sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf(".sock is still there: %v", err)
	}
}

func TestSocket_errors(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, folder string) (path string)
		fault   string
	}{
		"another gateway's": {
			func(t *testing.T, folder string) string {
				path := filepath.Join(folder, "admin.sock")
				l, err := admin.ListenSocket(path)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if c, err := net.Dial("unix", path); err != nil {
						t.Errorf("the other gateway's is gone: %v", err)
					} else {
						_ = c.Close()
					}
					_ = l.Close()
				})
				return path
			},
			"another gateway runs with this data folder",
		},
		"a file": {
			func(t *testing.T, folder string) string {
				path := filepath.Join(folder, "admin.sock")
				if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			},
			"DIR/admin.sock is there and is not a socket",
		},
		"no folder": {
			func(_ *testing.T, folder string) string { return filepath.Join(folder, "none", "admin.sock") },
			"there is no folder DIR/none",
		},
		"a folder that is a file": {
			func(t *testing.T, folder string) string {
				if err := os.WriteFile(filepath.Join(folder, "f"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				return filepath.Join(folder, "f", "admin.sock")
			},
			"DIR/f is not a folder",
		},
		"a folder of everybody": {
			func(t *testing.T, folder string) string {
				if err := os.Chmod(folder, 0o777); err != nil {
					t.Fatal(err)
				}
				return filepath.Join(folder, "admin.sock")
			},
			"chmod o-w DIR",
		},
		"a long path": {
			func(_ *testing.T, folder string) string { return filepath.Join(folder, strings.Repeat("a", 100)) },
			admin.ErrLongPath.Error(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := shortFolder(t)
			l, err := admin.ListenSocket(test.prepare(t, folder))
			if err == nil {
				_ = l.Close()
				t.Fatal("it can be")
			}
			if got := strings.ReplaceAll(err.Error(), folder, "DIR"); !strings.Contains(got, test.fault) {
				t.Errorf("got %s\nnot %s", got, test.fault)
			}
		})
	}
}

func TestSocket_notOnTCP(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	if ctx := admin.ConnContext(t.Context(), server); ctx != t.Context() {
		t.Error("somebody is at the other end")
	}
}
