package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// The demo's second policy serves Portugal for an hour against the promise.
func TestTheDemoShowsAPolicyThatIsRefused(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, print := io.Pipe()
	said, say := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, time.Now, []string{"demo", "--json", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, nil, print, say)
		print.Close()
		say.Close()
	}()
	var seen demoInfo
	if err := json.NewDecoder(out).Decode(&seen); err != nil {
		t.Fatal(err)
	}

	if !strings.HasPrefix(seen.URL, "https://localhost:") || len(seen.Trials) < 10 || !strings.Contains(seen.Trials[0].Command, seen.URL) {
		t.Errorf("it says %+v", seen)
	}

	var wrong strings.Builder
	if code := run(ctx, time.Now, []string{"check", seen.Policy}, nil, io.Discard, &wrong); code != exitDone {
		t.Errorf("the demo's own policy ends check with %d:\n%s", code, wrong.String())
	}
	wrong.Reset()
	const why = "pt-sample requires end-to-end-encryption: false"
	if code := run(ctx, time.Now, []string{"check", seen.Refused}, nil, io.Discard, &wrong); code != exitRefused || !strings.Contains(wrong.String(), why) {
		t.Errorf("check of the refused policy ends with %d:\n%s", code, wrong.String())
	}

	refused, err := os.ReadFile(seen.Refused)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(seen.Policy, refused, 0o600); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && !(strings.Contains(lines.Text(), "the previous one stays in use") && strings.Contains(lines.Text(), why)) {
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()

	stop()
	if code := <-done; code != exitDone {
		t.Errorf("the demo ended with %d", code)
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}
