package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Everything is started, verified and measured, if only for a second each.
func TestEveryServerIsMeasuredInEveryScenario(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	peers, err := choosePeers(options{peers: []string{"nginx", "haproxy", "exitgate", "exitgate-fast"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := requirePrograms(peers); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	t.Setenv("TMPDIR", t.TempDir())

	var stdout, stderr bytes.Buffer
	args := []string{"--json", "--rounds", "1", "--seconds", "1", "--warm-up", "0", "--connections", "4"}
	if err := run(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var report struct{ Summaries []summary }
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, s := range report.Summaries {
		got = append(got, s.Scenario+", "+s.Peer)
		if s.RequestsPerSecond <= 0 || s.P50Millis <= 0 || s.P99Millis < s.P50Millis {
			t.Errorf("impossible figures: %+v", s)
		}
	}
	for _, scenario := range scenarios {
		for _, p := range peers {
			want = append(want, scenario.name+", "+p.name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("measured\n%q, want\n%q", got, want)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestMissingProgramsAreNamedWithTheirPackages(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := run(t.Context(), []string{"--peers", "haproxy"}, io.Discard, io.Discard)
	want := "missing: taskset, nginx, wrk, h2load, haproxy; on Debian: apt-get install util-linux nginx wrk nghttp2-client haproxy"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--rounds 0":     "--rounds must be at least 1",
		"--peers apache": `--peers: "apache" is not one of nginx, haproxy, exitgate, exitgate-fast`,
		"fast":           `unexpected argument "fast"`,
	} {
		err := run(context.Background(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", args, err, want)
		}
	}
}

func TestParseWrk(t *testing.T) {
	const served = `Running 5s test @ https://127.0.0.1:8443/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.12ms    9.48ms 127.70ms   94.06%
    Req/Sec     8.40k     1.91k   10.60k    75.00%
  Latency Distribution
     50%  793.00us
     75%    3.24ms
     90%    7.52ms
     99%    1.02s 
  264183 requests in 5.01s, 3.05MB read
Requests/sec:  52731.14
Transfer/sec:      1.52MB
`
	trouble := strings.Replace(served, "Requests/sec", "  Socket errors: connect 0, read 2, write 0, timeout 1\n  Non-2xx or 3xx responses: 264180\nRequests/sec", 1)
	right := result{requests: 264183, duration: 5010 * time.Millisecond, p50: 793 * time.Microsecond, p99: 1020 * time.Millisecond}
	wrong := func(n int) result { r := right; r.wrong = n; return r }
	tests := map[string]struct {
		said   string
		status int
		want   result
	}{
		"all are served": {served, 200, wrong(0)},
		"all are served, though refusal was right":   {served, 451, wrong(264183)},
		"most are refused, rightly":                  {trouble, 451, wrong(3 + 3)},
		"most are refused, though serving was right": {trouble, 200, wrong(264180 + 3)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseWrk(test.said, test.status)
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
	if _, err := parseWrk("unable to connect", 200); err == nil {
		t.Error("an output without figures was read")
	}
}

func TestReadLogOfH2load(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	lines := "1763763000000000\t200\t300\n1763763000000100\t200\t100\n1763763000000200\t451\t200\n"
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readLog(path, 200)
	want := result{requests: 3, wrong: 1, p50: 200 * time.Microsecond, p99: 200 * time.Microsecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// The ratio is the median of the rounds' ratios, not the ratio of medians.
func TestTable(t *testing.T) {
	r := report{
		Options: settings{Rounds: 3, Seconds: 5, Connections: 32, Streams: 8},
		Memory:  []memory{{"nginx", 9.1, 12.2}, {"exitgate", 41, 52.75}},
	}
	for round, cpu := range [][2]float64{{17, 51}, {20, 40}, {34, 68}} {
		for _, scenario := range scenarios {
			r.Measurements = append(r.Measurements,
				measurement{round + 1, "nginx", scenario.name, 100000, 50000, cpu[0], 1.5, 3.25, 0.01},
				measurement{round + 1, "exitgate", scenario.name, 80000, 40000, cpu[1], 2, 4, 0.01})
		}
	}
	var got bytes.Buffer
	if err := r.writeTable(&got); err != nil {
		t.Fatal(err)
	}
	if *update {
		os.MkdirAll("testdata", 0o755)
		os.WriteFile("testdata/table.golden", got.Bytes(), 0o644)
	}
	want, err := os.ReadFile("testdata/table.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}
