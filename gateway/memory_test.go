//go:build integration

package gateway_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestAnIdleGatewayHoldsAtMost80MB starts the command as an operator would, on
// the embedded database. How long the start took is only reported.
func TestAnIdleGatewayHoldsAtMost80MB(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	program := filepath.Join(t.TempDir(), "exitgate")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/exitgate/exitgate/cmd/exitgate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "serve", "--to", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0",
		"--admin", "127.0.0.1:0", "--data", t.TempDir(), "--log-format", "text")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	}()
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	ready := false
	for lines := bufio.NewScanner(log); !ready && lines.Scan(); {
		ready = strings.Contains(lines.Text(), "msg=serving ")
	}
	if !ready {
		t.Fatal("it doesn't serve")
	}
	started := time.Since(begun)
	resident := 0
	for _, field := range []string{"VmRSS", "VmHWM"} {
		kilobytes := 0
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, field+":"); ok {
				fmt.Sscan(value, &kilobytes)
			}
		}
		t.Logf("%s: %d KB", field, kilobytes)
		if field == "VmRSS" {
			resident = kilobytes
		}
	}
	t.Logf("ready after %s", started.Round(time.Millisecond))
	if resident == 0 || resident > 80_000 {
		t.Errorf("it holds %d KB", resident)
	}
}
