// Bench measures exitgate side by side with nginx and HAProxy doing the same
// work: terminate TLS, find the client's country in the same database, refuse
// one country with status 451 and forward the others to the same origin.
//
//	go -C deploy/bench run .
//	go -C deploy/bench run . --rounds 5 --seconds 10 --json
//
// Each server runs on one core; the origin and the load generator share
// another. The servers take turns within each round, so that a change of the
// machine's mood meets all of them alike. What counts is the CPU time that a
// server's processes used for a request, by the kernel's account: it holds
// also when the load generator is the bottleneck.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds, seconds, warmUp int
	connections, streams    int
	gatewayCore, loadCore   int
	peers                   []string
	exitgate                string
	json                    bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 3, "measure everything this often; the table shows medians")
	flags.IntVar(&o.seconds, "seconds", 5, "length of one measurement")
	flags.IntVar(&o.warmUp, "warm-up", 1, "seconds of load before each measurement")
	flags.IntVar(&o.connections, "connections", 32, "concurrent connections")
	flags.IntVar(&o.streams, "streams", 8, "concurrent requests an HTTP/2 connection")
	flags.IntVar(&o.gatewayCore, "gateway-core", 0, "core that the servers run on")
	flags.IntVar(&o.loadCore, "load-core", 1, "core that the origin and the load generators run on")
	peers := flags.String("peers", "nginx,haproxy,exitgate,exitgate-fast", "servers to measure")
	flags.StringVar(&o.exitgate, "exitgate", "", "exitgate binary (default: built from this module)")
	flags.BoolVar(&o.json, "json", false, "print all measurements as JSON instead of a table")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.peers = strings.Split(*peers, ",")
	for name, value := range map[string]int{
		"rounds": o.rounds, "seconds": o.seconds, "connections": o.connections, "streams": o.streams,
	} {
		if value < 1 {
			return o, fmt.Errorf("--%s must be at least 1", name)
		}
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	peers, err := choosePeers(o)
	if err != nil {
		return err
	}
	if err := requirePrograms(peers); err != nil {
		return err
	}

	f, err := newFixture()
	if err != nil {
		return err
	}
	defer f.remove()
	origin, err := startOrigin(ctx, f, o.loadCore)
	if err != nil {
		return err
	}
	defer origin.stop()

	var running []*server
	defer func() {
		for _, s := range running {
			s.stop()
		}
	}()
	for _, p := range peers {
		s, err := p.start(ctx, f, o.gatewayCore)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		running = append(running, s)
		if err := verify(ctx, s); err != nil {
			return fmt.Errorf("%s: %w\n%s", p.name, err, s.output())
		}
	}

	report := report{Options: o.public(), Started: time.Now().UTC()}
	for _, s := range running {
		report.Memory = append(report.Memory, memory{Peer: s.name, IdleMB: s.residentMB()})
	}
	load := generator{
		core: o.loadCore, connections: o.connections, streams: o.streams,
		log: f.path("h2load.log"),
	}
	for round := range o.rounds {
		for _, scenario := range scenarios {
			for _, s := range running {
				fmt.Fprintf(stderr, "round %d of %d: %s, %s\n", round+1, o.rounds, scenario, s.name)
				m, err := measure(ctx, load, s, scenario, o.warmUp, o.seconds)
				if err != nil {
					return fmt.Errorf("%s, %s: %w\n%s", s.name, scenario, err, s.output())
				}
				m.Round = round + 1
				report.Measurements = append(report.Measurements, m)
			}
		}
	}
	for i, s := range running {
		report.Memory[i].LoadedMB = s.residentMB()
	}
	if o.json {
		return report.writeJSON(stdout)
	}
	return report.writeTable(stdout)
}
