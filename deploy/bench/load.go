package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// A generator loads a server with wrk (HTTP/1.1) or h2load (HTTP/2), one
// thread each, on one core.
type generator struct {
	core, connections, streams int
	log                        string // h2load's file of requests
}

// A result is what a load generator saw.
type result struct {
	requests int
	wrong    int // answered with another status than the scenario's, or not at all
	duration time.Duration
	p50, p99 time.Duration
}

// A measurement is one scenario's load on one server.
type measurement struct {
	Round             int     `json:"round"`
	Peer              string  `json:"peer"`
	Scenario          string  `json:"scenario"`
	Requests          int     `json:"requests"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	CPUMicros         float64 `json:"cpuMicrosPerRequest"`
	P50Millis         float64 `json:"p50Millis"`
	P99Millis         float64 `json:"p99Millis"`
	OtherWork         float64 `json:"otherWork"` // share of the server's core that something else took
}

// measure loads a server, first to warm it up. h2load 1.52 at times never ends
// where connections are slow to start: it gets three chances.
func measure(ctx context.Context, g generator, s *server, want scenario, warmUp, seconds int) (m measurement, err error) {
	for range 3 {
		m, err = measureOnce(ctx, g, s, want, warmUp, seconds)
		if !errors.Is(err, errOvertime) {
			break
		}
	}
	return m, err
}

func measureOnce(ctx context.Context, g generator, s *server, want scenario, warmUp, seconds int) (measurement, error) {
	if warmUp > 0 {
		if _, err := g.run(ctx, s.addr, want, warmUp); err != nil {
			return measurement{}, err
		}
	}
	before, err := s.account()
	if err != nil {
		return measurement{}, err
	}
	r, err := g.run(ctx, s.addr, want, seconds)
	if err != nil {
		return measurement{}, err
	}
	after, err := s.account()
	switch {
	case err != nil:
		return measurement{}, err
	case r.requests == 0:
		return measurement{}, errors.New("no request was answered")
	case r.wrong > 0:
		return measurement{}, fmt.Errorf("%d of %d requests were not answered with %d", r.wrong, r.requests, want.status)
	}
	own, all := after.own-before.own, after.core-before.core
	return measurement{
		Peer:              s.name,
		Scenario:          want.name,
		Requests:          r.requests,
		RequestsPerSecond: float64(r.requests) / r.duration.Seconds(),
		CPUMicros:         float64(own.Microseconds()) / float64(r.requests),
		P50Millis:         r.p50.Seconds() * 1e3,
		P99Millis:         r.p99.Seconds() * 1e3,
		OtherWork:         max(0, all-own).Seconds() / after.at.Sub(before.at).Seconds(),
	}, nil
}

var errOvertime = errors.New("did not end in time")

// run loads a server for some seconds.
func (g generator) run(ctx context.Context, addr string, want scenario, seconds int) (result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(seconds+10)*time.Second, errOvertime)
	defer cancel()
	if want.protocol == "HTTP/2.0" {
		return g.h2load(ctx, addr, want, seconds)
	}
	return g.wrk(ctx, addr, want, seconds)
}

// command runs a load generator to its end, or kills it with the context.
func (g generator) command(ctx context.Context, args ...string) (string, error) {
	cmd := pinned(g.core, args...)
	cmd = exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", args[0], err, said)
	}
	return string(said), nil
}

func (g generator) wrk(ctx context.Context, addr string, want scenario, seconds int) (result, error) {
	said, err := g.command(ctx, "wrk", "--threads", "1", "--connections", strconv.Itoa(g.connections),
		"--duration", strconv.Itoa(seconds), "--latency", "--timeout", "10",
		"--header", "X-Forwarded-For: "+want.client, "https://"+addr+"/")
	if err != nil {
		return result{}, err
	}
	return parseWrk(said, want.status)
}

// What wrk prints. It calls every status of 400 or more an error.
var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in ([\d.]+[a-z]+),`)
	wrkP50      = regexp.MustCompile(`(?m)^\s+50%\s+([\d.]+[a-z]+)\s*$`)
	wrkP99      = regexp.MustCompile(`(?m)^\s+99%\s+([\d.]+[a-z]+)\s*$`)
	wrkSocket   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

func parseWrk(said string, status int) (result, error) {
	requests, p50, p99 := wrkRequests.FindStringSubmatch(said), wrkP50.FindStringSubmatch(said), wrkP99.FindStringSubmatch(said)
	if requests == nil || p50 == nil || p99 == nil {
		return result{}, fmt.Errorf("can't read wrk's output:\n%s", said)
	}
	var r result
	var errs [4]error
	r.requests, errs[0] = strconv.Atoi(requests[1])
	r.duration, errs[1] = time.ParseDuration(requests[2])
	r.p50, errs[2] = time.ParseDuration(p50[1])
	r.p99, errs[3] = time.ParseDuration(p99[1])
	if err := errors.Join(errs[:]...); err != nil {
		return result{}, fmt.Errorf("can't read wrk's output: %w\n%s", err, said)
	}
	failed := 0
	if m := wrkStatus.FindStringSubmatch(said); m != nil {
		failed, _ = strconv.Atoi(m[1])
	}
	r.wrong = failed
	if status >= 400 {
		r.wrong = r.requests - failed
	}
	if m := wrkSocket.FindStringSubmatch(said); m != nil {
		for _, count := range m[1:] {
			n, _ := strconv.Atoi(count)
			r.wrong += n
		}
	}
	return r, nil
}

func (g generator) h2load(ctx context.Context, addr string, want scenario, seconds int) (result, error) {
	defer os.Remove(g.log)
	_, err := g.command(ctx, "h2load", "--threads=1", "--clients="+strconv.Itoa(g.connections),
		"--max-concurrent-streams="+strconv.Itoa(g.streams), "--duration="+strconv.Itoa(seconds),
		"--log-file="+g.log, "--header=X-Forwarded-For: "+want.client, "https://"+addr+"/")
	if err != nil {
		return result{}, err
	}
	r, err := readLog(g.log, want.status)
	r.duration = time.Duration(seconds) * time.Second
	return r, err
}

// readLog reads h2load's file: a line a request with its start, its status and
// its microseconds. What h2load prints has no percentiles.
func readLog(path string, status int) (result, error) {
	file, err := os.Open(path)
	if err != nil {
		return result{}, err
	}
	defer file.Close()
	var r result
	var latencies []int
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var start int64
		var got, micros int
		if _, err := fmt.Sscan(lines.Text(), &start, &got, &micros); err != nil {
			return result{}, fmt.Errorf("can't read h2load's log: %w", err)
		}
		r.requests++
		if got != status {
			r.wrong++
		}
		latencies = append(latencies, micros)
	}
	if len(latencies) == 0 {
		return r, nil
	}
	slices.Sort(latencies)
	percentile := func(p int) time.Duration {
		return time.Duration(latencies[(len(latencies)-1)*p/100]) * time.Microsecond
	}
	r.p50, r.p99 = percentile(50), percentile(99)
	return r, nil
}
