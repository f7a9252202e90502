// Package ledgertest is NATS for tests: servers in processes of their own, which a
// test kills, freezes and restarts, and links to them, which it cuts. Tests that
// start them have the build tag integration.
package ledgertest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// configFile is the environment variable that makes a NATS server of a test
// binary: the server's configuration file.
const configFile = "LEDGERTEST_CONFIG"

// patience is how long to wait for what must happen. No verdict depends on how
// long it took.
const patience = time.Minute

// Main is for the beginning of TestMain: it doesn't return in the processes
// that are NATS servers, which are the test binary itself, run again.
func Main() {
	file := os.Getenv(configFile)
	if file == "" {
		return
	}
	go func() { // no server outlives its test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	if err := serve(file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(file string) error {
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		return err
	}
	s.WaitForShutdown()
	return nil
}

// A Cluster is three NATS servers with JetStream. They don't tell clients of
// each other, so that these go only where they are told to.
type Cluster struct {
	t     testing.TB
	Nodes []*Node
}

// Start starts a cluster, and returns when each of its nodes can be asked. It
// ends with the test.
func Start(t testing.TB) *Cluster {
	t.Helper()
	const size = 3
	c, folder := &Cluster{t: t}, t.TempDir()
	var routes []string
	for range size {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", testkit.FreePort(t)))
	}
	for i := range size {
		name, port := fmt.Sprint("node", i), testkit.FreePort(t)
		n := &Node{t: t, Name: name, URL: fmt.Sprintf("nats://127.0.0.1:%d", port), Folder: filepath.Join(folder, name), config: filepath.Join(folder, name+".conf")}
		text := fmt.Sprintf(`
			server_name: %s
			listen: "127.0.0.1:%d"
			max_payload: 16MB
			jetstream: {store_dir: %q, sync_interval: always}
			cluster: {name: test, no_advertise: true, listen: %q, routes: [%s]}
			log_file: %q
		`, name, port, n.Folder, strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "), filepath.Join(folder, name+".log"))
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n.Start()
		t.Cleanup(n.Kill)
		c.Nodes = append(c.Nodes, n)
	}
	for _, n := range c.Nodes {
		c.await(n.Name+" answers", func(ctx context.Context) bool { return n.answers(ctx) })
	}
	return c
}

// URLs are where the nodes are.
func (c *Cluster) URLs() (urls []string) {
	for _, n := range c.Nodes {
		urls = append(urls, n.URL)
	}
	return urls
}

// Connect connects to whichever node there is, past exitgate.
func (c *Cluster) Connect() jetstream.JetStream {
	c.t.Helper()
	conn, err := nats.Connect(strings.Join(c.URLs(), ","), nats.MaxReconnects(-1), nats.ReconnectWait(pause), nats.PingInterval(time.Second))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		c.t.Fatal(err)
	}
	return js
}

// Leader returns the node that a stream is written through, when there is one.
func (c *Cluster) Leader(stream string) (leader *Node) {
	c.t.Helper()
	js := c.Connect()
	defer js.Conn().Close()
	c.await("the stream "+stream+" has a leader", func(ctx context.Context) bool {
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		for _, n := range c.Nodes {
			if n.running() && n.Name == s.CachedInfo().Cluster.Leader {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

// AwaitInSync waits until every node has all of a stream.
func (c *Cluster) AwaitInSync(stream string) {
	c.t.Helper()
	js := c.Connect()
	defer js.Conn().Close()
	c.await("all nodes have the stream "+stream, func(ctx context.Context) bool {
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
			return false
		}
		replicas := s.CachedInfo().Cluster.Replicas
		for _, r := range replicas {
			if !r.Current || r.Offline {
				return false
			}
		}
		return len(replicas) == len(c.Nodes)-1
	})
}

const pause = 50 * time.Millisecond

// await repeats an attempt until it succeeds. Each ends before long, as a node may
// be frozen.
func (c *Cluster) await(what string, ok func(context.Context) bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		done := ok(ctx)
		cancel()
		if done {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("it never happened: %s", what)
		}
	}
}

// A Node is a NATS server in a process of its own.
type Node struct {
	t         testing.TB
	Name, URL string
	Folder    string // of JetStream
	config    string // file
	process   *exec.Cmd
	stdin     io.Closer
}

// Start starts a node that isn't running, and doesn't wait for it.
func (n *Node) Start() {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	n.process = exec.Command(self)
	n.process.Env = append(os.Environ(), configFile+"="+n.config)
	n.process.Stderr = os.Stderr
	if n.stdin, err = n.process.StdinPipe(); err != nil {
		n.t.Fatal(err)
	}
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// Kill ends a node as a power cut does, also a frozen one.
func (n *Node) Kill() {
	_ = n.process.Process.Kill()
	_ = n.process.Wait()
}

// Freeze suspends a node: its connections stay open, and nobody answers on them.
func (n *Node) Freeze() { n.signal(syscall.SIGSTOP) }

// Resume resumes a frozen node.
func (n *Node) Resume() { n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.process.Process.Signal(s); err != nil {
		n.t.Error(err)
	}
}

func (n *Node) running() bool { return n.process.ProcessState == nil }

// answers reports whether JetStream responds through a node.
func (n *Node) answers(ctx context.Context) bool {
	conn, err := nats.Connect(n.URL)
	if err != nil {
		return false
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	return err == nil
}
