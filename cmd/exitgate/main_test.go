package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

func TestMain(m *testing.M) {
	ledgertest.Main()
	// Most of the time the tests wait for processes: more of them fit at once
	// than there are processors. The flag -parallel still says otherwise.
	_ = flag.Set("test.parallel", "6") // it exists
	testscript.Main(m, map[string]func(){"exitgate": func() { os.Exit(process(clock(os.Getenv(clockFile)))) }})
}

// clockFile is the environment variable by which a test gives a process of the
// command another clock: a file with the time.
const clockFile = "EXITGATE_TEST_CLOCK"

// clockAhead is the environment variable by which .ci/clock-overlay sets the wall
// clock of tests and of the processes that they start.
const clockAhead = "CLOCK_AHEAD"

// passOn gives a script's processes a variable of the test's own environment.
func passOn(env *testscript.Env, name string) {
	if value, set := os.LookupEnv(name); set {
		env.Setenv(name, value)
	}
}

// clock returns the clock of a process.
func clock(file string) func() time.Time {
	if file == "" {
		return time.Now
	}
	return func() time.Time {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
		if err != nil {
			panic(err)
		}
		return at
	}
}

// TestScripts runs the scripts of testdata/script, which show the command as
// its users see it.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a hundred processes")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXITGATE_DATA", env.WorkDir+"/data")
			passOn(env, clockAhead)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"binary": binary,
			"huge":   huge,
			"listen": listen,
		},
	})
}

// binary FILE writes a file that is no text.
func binary(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: binary FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte{0x7f, 'E', 'L', 'F', 0, 0, 0xff, 0xfe}, 0o600))
}

// huge KIND FILE writes a file that is right, but for its size.
func huge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: huge KIND FILE")
	}
	text := "version: 1\n"
	if args[0] == "settings" {
		text = "drain: 30s\n"
	}
	text += strings.Repeat("# All the same.\n", 8<<20/16)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// listen VARIABLE takes a port until the script ends, and sets a variable to
// it.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// TestTheCommandsThatTheDemoPrintsGiveTheAnswersThatItPrints pastes what a
// newcomer would paste.
func TestTheCommandsThatTheDemoPrintsGiveTheAnswersThatItPrints(t *testing.T) {
	requireProgram(t, "curl")
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan int, 1)
	var log bytes.Buffer
	go func() {
		done <- run(ctx, time.Now, []string{"demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, nil, writer, &log)
		writer.Close()
	}()
	printed := readUntil(t, reader, "Ctrl-C ends the demo.\n")

	trials := regexp.MustCompile(`(?m)^  # (.*)\n  (curl .*)\n  → (.*)$`).FindAllStringSubmatch(printed, -1)
	if len(trials) < 10 {
		t.Fatalf("the demo proposes only %d commands:\n%s", len(trials), printed)
	}
	for _, trial := range trials {
		t.Run(trial[1], func(t *testing.T) {
			answer, err := exec.CommandContext(ctx, "sh", "-c", trial[2]).Output()
			if got := strings.TrimSpace(string(answer)); err != nil || got != trial[3] {
				t.Errorf("%s\nanswers %q (%v), not %q", trial[2], got, err, trial[3])
			}
		})
	}

	stop()
	if code := <-done; code != exitDone {
		t.Errorf("the demo ended with %d:\n%s", code, log.String())
	}
	folder := regexp.MustCompile(`policy   (\S+)/policy\.yaml`).FindStringSubmatch(printed)[1]
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the demo left %s behind", folder)
	}
}

// readUntil returns what is read up to the text end, and goes on to read.
func readUntil(t *testing.T, r io.Reader, end string) string {
	t.Helper()
	var text strings.Builder
	buffer := make([]byte, 4096)
	for !strings.HasSuffix(text.String(), end) {
		n, err := r.Read(buffer)
		text.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v after:\n%s", err, text.String())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return text.String()
}

// requireProgram skips a test whose program a newcomer may lack; CI has them
// all.
func requireProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}
