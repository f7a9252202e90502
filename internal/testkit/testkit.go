// Package testkit has what the tests of several packages need: golden files,
// waiting for an event, a buffer for concurrent writers, a clock that is set, a
// port that is free.
// Only tests import it.
package testkit

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Patience is how long Eventually waits. No verdict depends on how long
// something took: it is only meant to end a test that would hang.
const Patience = time.Minute

// Eventually waits until ok reports true, and fails the test if it doesn't
// within Patience. what says what is waited for.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

// Updating reports whether golden files are to be written rather than compared
// with: whether the environment variable UPDATE_GOLDEN is set.
func Updating() bool { return os.Getenv("UPDATE_GOLDEN") != "" }

// Golden compares got with the content of a file, or writes it there when
// Updating.
func Golden(t testing.TB, file, got string) {
	t.Helper()
	if Updating() {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		WriteFile(t, file, got)
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (UPDATE_GOLDEN=1 go test writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); UPDATE_GOLDEN=1 go test writes it anew:\n%s", file, diff)
	}
}

// WriteFile writes a file that everybody may read.
func WriteFile(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ReplaceFile renames a new file over another one, as editors do.
func ReplaceFile(t testing.TB, file, text string) {
	t.Helper()
	WriteFile(t, file+".next", text)
	if err := os.Rename(file+".next", file); err != nil {
		t.Fatal(err)
	}
}

// A Buffer is a bytes.Buffer for concurrent use. Its zero value is empty.
type Buffer struct {
	mu      sync.Mutex
	content bytes.Buffer
}

// Write appends to the buffer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.Write(p)
}

// String returns all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.String()
}

// Lines returns the lines that contain all of the parts.
func (b *Buffer) Lines(parts ...string) []string {
	var found []string
lines:
	for line := range strings.Lines(b.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}

// A Clock shows the time that it was set to. It is safe for concurrent use.
type Clock struct{ at atomic.Pointer[time.Time] }

// NewClock returns a clock that shows a time.
func NewClock(at time.Time) *Clock {
	c := new(Clock)
	c.Set(at)
	return c
}

// Set sets the clock.
func (c *Clock) Set(at time.Time) { c.at.Store(&at) }

// Now returns what the clock shows.
func (c *Clock) Now() time.Time { return *c.at.Load() }

// ports counts the ports that FreePort has tried in this process.
var ports atomic.Uint32

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on, and that nobody
// else gets until the test ends: it is below those that systems give away, and the
// UDP port of its number is held, as a sign to other processes that run tests.
// Each of these starts at a port of its own.
func FreePort(t testing.TB) int {
	t.Helper()
	const first, last, each = 10_000, 30_000, 100
	for range last - first {
		port := first + (os.Getpid()*each+int(ports.Add(1)))%(last-first)
		address := fmt.Sprint("127.0.0.1:", port)
		sign, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = sign.Close() // nothing was sent
			continue
		}
		_ = l.Close() // nothing was accepted
		// A process that another test starts holds the listener too, from its fork to its
		// exec: who dials in these milliseconds reaches nobody.
		for c, err := net.Dial("tcp", address); err == nil; c, err = net.Dial("tcp", address) {
			_ = c.Close() // nothing was sent
		}
		t.Cleanup(func() { _ = sign.Close() })
		return port
	}
	t.Fatal("no port is free")
	return 0
}
