package accesslog_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/gateway/accesslog"
	"github.com/exitgate/exitgate/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fixture is a Log that is closed when the test ends.
type fixture struct {
	*accesslog.Log
	t    *testing.T
	file string
	lost atomic.Int64
	log  testkit.Buffer
	next int
}

func open(t *testing.T, file string) *fixture {
	t.Helper()
	f := &fixture{t: t, file: file}
	var err error
	f.Log, err = accesslog.Open(accesslog.Options{
		File: file, OnLost: func(lines int) { f.lost.Add(int64(lines)) }, Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// record records so many exchanges, numbered.
func (f *fixture) record(n int) {
	for range n {
		f.Record(&accesslog.Exchange{RequestID: fmt.Sprint(f.next), App: strings.Repeat("x", 200)})
		f.next++
	}
}

// numbers returns the numbers of the whole lines in a file, and how many others there are.
func numbers(t *testing.T, text string) (whole []string, torn int) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e struct {
			ID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			torn++
			continue
		}
		whole = append(whole, e.ID)
	}
	return whole, torn
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestALineHasTheseFields(t *testing.T) {
	for want, e := range map[string]accesslog.Exchange{
		`{"time":"2026-12-01T00:00:00.120Z","request_id":"id","protocol":"h2","tls":"1.3","method":"GET","app":"a.example, *.a.example","class":"sign-up",` +
			`"jurisdiction":"FR","phase":"withdrawn","decision":"forward","reason":"entry","status":200,"bytes_received":10,"bytes_sent":1024,` +
			`"duration_seconds":1.500000,"upstream_seconds":0.000250,"ended":"severed"}`: {
			End:       time.Date(2026, 12, 1, 1, 0, 0, 120_999_999, time.FixedZone("", 3600)),
			RequestID: "id", Protocol: "h2", TLS: tls.VersionTLS13, Method: "GET", App: "a.example, *.a.example", Class: "sign-up",
			Jurisdiction: "FR", Phase: "withdrawn", Decision: "forward", Reason: "entry", Status: 200, Received: 10, Sent: 1001,
			Duration: 1500 * time.Millisecond, Upstream: 250 * time.Microsecond, HowEnded: "severed",
		},
		`{"time":"2026-12-01T00:00:00.000Z","tls":"1.2","app":"\"\n","status":0,"bytes_received":0,"bytes_sent":0,"duration_seconds":0.000000}`: {
			End: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), TLS: tls.VersionTLS12, App: "\"\n",
		},
	} {
		f := open(t, filepath.Join(t.TempDir(), "access.log"))
		f.Record(&e)
		f.Close()
		if got := read(t, f.file); got != want+"\n" {
			t.Errorf("it is\n%s, want\n%s", got, want)
		}
	}
}

// A size may be rounded by 12 %, up, and a larger one never comes to less.
func TestSizesAreRounded(t *testing.T) {
	for size, want := range map[int64]int64{0: 0, 1: 1, 7: 7, 9: 10, 100: 104, 1000: 1024, 1001: 1024, 4097: 4352, 48_213: 49_152, 1 << 30: 1 << 30} {
		if got := accesslog.RoundUp(size); got != want {
			t.Errorf("%d becomes %d, want %d", size, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 1<<50).Draw(t, "size")
		got := accesslog.RoundUp(size)
		if got < size || float64(got) > 1.12*float64(size) || accesslog.RoundUp(got) != got || accesslog.RoundUp(size+1) < got {
			t.Errorf("%d becomes %d", size, got)
		}
	})
}

func TestAFileThatTakesNothingHoldsNobodyUp(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := accesslog.Open(accesslog.Options{File: pipe}); err == nil {
		t.Fatal("a pipe that nobody reads could be opened")
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f := open(t, pipe)
	for f.lost.Load() < 1000 { // 4 MiB wait by then
		f.record(100)
	}
	// What is written while it is closed is read.
	const end = "the end\n"
	content := make(chan string)
	go func() {
		var all []byte
		buffer := make([]byte, 1<<20)
		for !strings.HasSuffix(string(all[max(0, len(all)-len(end)):]), end) {
			n, err := reader.Read(buffer)
			if all = append(all, buffer[:n]...); err != nil {
				t.Error(err)
				break
			}
		}
		content <- strings.TrimSuffix(string(all), end)
	}()
	f.Close()
	if _, err := reader.WriteString(end); err != nil {
		t.Fatal(err)
	}
	whole, torn := numbers(t, <-content)
	if torn > 0 || len(whole)+int(f.lost.Load()) != f.next {
		t.Errorf("of %d lines %d were written, %d lost and %d torn", f.next, len(whole), f.lost.Load(), torn)
	}
	for i := 1; i < len(whole); i++ {
		if len(whole[i]) < len(whole[i-1]) || len(whole[i]) == len(whole[i-1]) && whole[i] <= whole[i-1] {
			t.Fatalf("%s comes after %s", whole[i], whole[i-1])
		}
	}
	if lines := f.log.Lines("as fast as requests come"); len(lines) != 1 {
		t.Errorf("the log has %q", lines)
	}
	before := f.lost.Load()
	if f.record(1); f.lost.Load() != before+1 {
		t.Error("what is recorded after the end isn't lost")
	}
}

func TestCloseDoesNotWaitForAFileThatTakesNothing(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f := open(t, pipe)
	f.SetFlushTime(time.Millisecond)
	f.record(1000) // more than a pipe takes
	f.Close()
	if f.lost.Load() == 0 || len(f.log.Lines("lines are lost", "i/o timeout")) != 1 {
		t.Errorf("%d lines are lost, and the log says %s", f.lost.Load(), &f.log)
	}
}

func TestARotationLosesNothing(t *testing.T) {
	folder := t.TempDir()
	f := open(t, filepath.Join(folder, "access.log"))
	var recording sync.WaitGroup
	// All lines together are fewer than may wait, so that a slow disk loses none either,
	// and some are recorded at each rotation.
	const each = 1500
	var recorded, allowed atomic.Int64
	allowed.Store(each)
	stop := make(chan struct{})
	for range 4 {
		recording.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if recorded.Load() < allowed.Load() {
					f.Record(&accesslog.Exchange{RequestID: fmt.Sprint(recorded.Add(1)), App: "app.example"})
				}
				time.Sleep(time.Microsecond) // not as fast as can be
			}
		})
	}
	for n := range 5 {
		testkit.Eventually(t, "it is written", func() bool {
			info, err := os.Stat(f.file)
			return err == nil && info.Size() > 0
		})
		if err := os.Rename(f.file, fmt.Sprint(f.file, ".", n)); err != nil {
			t.Fatal(err)
		}
		f.Reopen()
		allowed.Add(each)
	}
	close(stop)
	recording.Wait()
	f.Close()
	files, err := filepath.Glob(f.file + "*")
	if err != nil || len(files) != 6 {
		t.Fatalf("there are %v, %v", files, err)
	}
	seen := make(map[string]bool)
	for _, file := range files {
		whole, torn := numbers(t, read(t, file))
		rotated := file != f.file // after the last rotation there may be none
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 || len(whole) == 0 && rotated || torn > 0 {
			t.Errorf("%s has %d lines, %d torn, and is %v", file, len(whole), torn, info.Mode())
		}
		for _, id := range whole {
			if seen[id] {
				t.Errorf("%s was written twice", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != int(recorded.Load()) || f.lost.Load() > 0 {
		t.Errorf("of %d lines %d are there, and %d lost", recorded.Load(), len(seen), f.lost.Load())
	}
}

func TestWhereNoFileCanBeOpenedTheOneInUseStays(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	f := open(t, filepath.Join(folder, "access.log"))
	f.record(1)
	if err := os.Rename(folder, folder+".moved"); err != nil {
		t.Fatal(err)
	}
	f.Reopen()
	testkit.Eventually(t, "it says that it can't be", func() bool { return len(f.log.Lines("could not be opened again")) == 1 })
	f.record(1)
	f.Close()
	if whole, torn := numbers(t, read(t, filepath.Join(folder+".moved", "access.log"))); len(whole) != 2 || torn > 0 || f.lost.Load() > 0 {
		t.Errorf("there are %v, %d are torn and %d lost", whole, torn, f.lost.Load())
	}
}

func TestAFileThatIsThereIsGoneOnWith(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(file, []byte("before\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	f := open(t, file)
	f.record(1)
	f.Close()
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o640 || !strings.HasPrefix(read(t, file), "before\n{") {
		t.Errorf("it is %v: %s", info.Mode(), read(t, file))
	}
}

func TestCheck(t *testing.T) {
	folder := t.TempDir()
	for file, ok := range map[string]bool{"": true, "-": true, filepath.Join(folder, "new"): true, folder: false, filepath.Join(folder, "none", "new"): false} {
		if err := accesslog.Check(file); (err == nil) != ok {
			t.Errorf("%q: %v", file, err)
		}
		if file == "" || file == "-" {
			continue
		}
		if l, err := accesslog.Open(accesslog.Options{File: file}); (err == nil) != ok {
			t.Errorf("%q is opened: %v", file, err)
		} else if err == nil {
			l.Close()
		}
	}
}
