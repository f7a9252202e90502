//go:build integration

package main

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
)

func TestTheServiceManagerIsToldHowTheGatewayIs(t *testing.T) {
	// Of a socket's path there is room for 108 bytes.
	folder, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(folder, "socket"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := func() string {
		t.Helper()
		message := make([]byte, 256)
		_ = manager.SetReadDeadline(time.Now().Add(patience)) // or the test hangs
		n, err := manager.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}

	g := newGatewayProcess(t, "")
	g.env = []string{"NOTIFY_SOCKET=" + manager.LocalAddr().String()}
	g.start()
	if got := told(); got != "READY=1" {
		t.Errorf("when it listens, it is told %q", got)
	}
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != "STOPPING=1" {
		t.Errorf("when it stops, it is told %q", got)
	}
	<-g.ended // a second signal would cut it short
}

func TestAServiceManagerThatIsGoneStopsNoGateway(t *testing.T) {
	g := newGatewayProcess(t, "")
	g.env = []string{"NOTIFY_SOCKET=/nowhere/socket"}
	g.start()
	testkit.Eventually(t, "it serves", func() bool { return g.gets("DE") == 200 })
}
