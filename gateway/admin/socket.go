package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/exitgate/exitgate/internal/files"
)

// ErrLongPath is of a socket whose path is longer than the system allows.
var ErrLongPath = errors.New("choose a data folder with a shorter path")

// ListenSocket listens on a Unix socket that only its owner may open (and who
// may open it may operate). What a process that was killed has left there is
// replaced; if one is alive, there is an error. Closing the listener removes the
// socket.
func ListenSocket(path string) (net.Listener, error) {
	const longest = 103 // of sun_path on Darwin; Linux has 107
	if len(path) > longest {
		return nil, fmt.Errorf("the path of the socket %s has %d bytes, and a socket's may have %d: %w", path, len(path), longest, ErrLongPath)
	}
	folder := filepath.Dir(path)
	if err := checkFolder(folder); err != nil {
		return nil, err
	}
	unlock, err := files.Lock(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("the admin socket %s: %w", path, err)
	}
	l, err := bind(path)
	if err != nil {
		_ = unlock() // nothing was done under it
		return nil, fmt.Errorf("the admin socket: %w", err)
	}
	return &socket{UnixListener: l, path: path, unlock: unlock}, nil
}

// checkFolder wants a folder in which nobody else can put another socket in the
// place of ours.
func checkFolder(folder string) error {
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the admin socket: there is no folder %s: create it, or choose another data folder", folder)
	case err != nil:
		return fmt.Errorf("the admin socket: %w", err)
	case !info.IsDir():
		return fmt.Errorf("the admin socket: %s is not a folder: choose another data folder", folder)
	case info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("the admin socket: every user of this machine may write to %s and could take the gateway's place: chmod o-w %s", folder, folder)
	}
	return nil
}

// bind makes the socket, in the place of one that is there: the caller holds the
// lock, so that is a dead process's. It comes to its path when only its owner
// may open it, which bind(2) by itself leaves to the umask.
func bind(path string) (*net.UnixListener, error) {
	switch info, err := os.Lstat(path); {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there and is not a socket: move it away", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	private := filepath.Join(filepath.Dir(path), ".sock")
	if err := os.RemoveAll(private); err != nil {
		return nil, err
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(private) }() // else the next one removes it
	own := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: own, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // socket.Close does, while it has the lock
	if err := errors.Join(os.Chmod(own, 0o600), os.Rename(own, path)); err != nil {
		_ = l.Close() // nobody knows it
		return nil, err
	}
	return l, nil
}

// A socket is a listener that keeps other processes from its path.
type socket struct {
	*net.UnixListener
	path   string
	unlock func() error
	closed sync.Once
}

func (s *socket) Close() error {
	var err error
	s.closed.Do(func() {
		err = errors.Join(s.UnixListener.Close(), os.Remove(s.path), s.unlock())
	})
	return err
}

// A peer is the user at the other end of a socket.
type peer struct {
	name func() string // asked for when it is needed, as it may take a while
}

type peerKey struct{}

// ConnContext notes who is at the other end of a connection, if that is a Unix
// socket. It is for http.Server.ConnContext.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := peerID(conn)
	if err != nil {
		return ctx // nobody, then
	}
	return context.WithValue(ctx, peerKey{}, peer{sync.OnceValue(func() string { return userName(uid) })})
}

func peerOf(ctx context.Context) (peer, bool) {
	p, ok := ctx.Value(peerKey{}).(peer)
	return p, ok
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return "uid " + id
	}
	return u.Username
}
