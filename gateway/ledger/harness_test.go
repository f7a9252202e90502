package ledger_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open opens a ledger that is closed with the test.
func open(t testing.TB, o ledger.Options) *ledger.Ledger {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet()
	}
	l, err := ledger.Open(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, l) })
	return l
}

func closed(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func entry(body string) ledger.Content {
	return ledger.Content{Kind: "revision", Author: "ada", Reason: "because", Body: []byte(body)}
}

// add appends entries one after the other.
func add(t testing.TB, l *ledger.Ledger, after ledger.Point, bodies ...string) (records []ledger.Record) {
	t.Helper()
	for _, body := range bodies {
		r, err := l.Append(within(t), after, entry(body))
		if err != nil {
			t.Fatalf("append %q after %v: %v", body, after, err)
		}
		records, after = append(records, r), r.Point()
	}
	return records
}

// history is what the ledger holds, as "number body".
func history(t testing.TB, l *ledger.Ledger) (lines []string) {
	t.Helper()
	for r, err := range l.History(within(t), ledger.Point{}) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line(r))
	}
	return lines
}

func line(r ledger.Record) string { return fmt.Sprintf("%d %s", r.Number, r.Body) }

// a follower follows a ledger and records what was delivered.
type follower struct {
	t        testing.TB
	mu       sync.Mutex
	lines    []string
	last     ledger.Point
	caughtUp []int // how many lines there were whenever it had caught up, each once
	changed  chan struct{}
	stop     func() error
}

func follow(t testing.TB, l *ledger.Ledger, after ledger.Point) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, changed: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- l.Follow(ctx, after, func(r ledger.Record) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.lines, f.last = append(f.lines, line(r)), r.Point()
			select {
			case f.changed <- struct{}{}:
			default:
			}
		}, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if n := len(f.lines); !slices.Contains(f.caughtUp, n) {
				f.caughtUp = append(f.caughtUp, n)
			}
		})
	}()
	var once sync.Once
	var err error
	f.stop = func() error {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	t.Cleanup(func() { _ = f.stop() })
	return f
}

func (f *follower) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.lines...)
}

func (f *follower) point() ledger.Point {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// until waits until the last that was delivered is this.
func (f *follower) until(last string) {
	f.t.Helper()
	timeout := time.After(patience)
	for {
		got := f.got()
		if len(got) > 0 && got[len(got)-1] == last {
			return
		}
		select {
		case <-f.changed:
		case <-timeout:
			f.t.Fatalf("delivered were %q: %q never came", got, last)
		}
	}
}

// blocks are the files in which the server in the process keeps the ledger.
func blocks(t testing.TB, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "jetstream", "*", "streams", "exitgate-ledger", "msgs", "*.blk"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no block files in %s: %v", folder, err)
	}
	return files
}

// alter changes one byte in the files, where the text is.
func alter(t testing.TB, folder, text string) {
	t.Helper()
	for _, file := range blocks(t, folder) {
		content := must[[]byte](t)(os.ReadFile(file))
		if at := strings.Index(string(content), text); at >= 0 {
			content[at] ^= 1
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q isn't in the files of %s", text, folder)
}
