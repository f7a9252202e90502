package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
)

// alone is a NATS server that others can reach, in this process.
func alone(t testing.TB, folder string, port int) *server.Server {
	t.Helper()
	return start(t, &server.Options{ServerName: "alone", Port: port, StoreDir: folder})
}

func start(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoSigs, o.NoLog, o.MaxPayload = "127.0.0.1", true, true, 16<<20
	o.JetStream, o.DisableJetStreamBanner, o.SyncAlways = true, true, true
	if o.Port == 0 {
		o.Port = -1
	}
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server doesn't start")
	}
	return s
}

func elsewhere(urls ...string) ledger.Options {
	return ledger.Options{Cluster: &ledger.Cluster{URLs: urls}}
}

// raw is a connection with which somebody goes behind exitgate's back.
func raw(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return must[jetstream.JetStream](t)(jetstream.New(conn))
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A node is a NATS server in a process of its own.
type node struct {
	t       testing.TB
	config  string
	name    string
	url     string
	process *exec.Cmd
}

// three are a cluster.
func three(t testing.TB) (nodes []*node) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	folder := t.TempDir()
	var ports, routes []int
	var peers []string
	for range 3 {
		ports, routes = append(ports, freePort(t)), append(routes, freePort(t))
		peers = append(peers, fmt.Sprintf("nats://127.0.0.1:%d", routes[len(routes)-1]))
	}
	for i := range 3 {
		name := fmt.Sprint("node", i)
		config := filepath.Join(folder, name+".conf")
		text := fmt.Sprintf(`
			server_name: %s
			listen: "127.0.0.1:%d"
			max_payload: 16MB
			jetstream: {store_dir: %q, sync_interval: always}
			cluster: {name: test, no_advertise: true, listen: "127.0.0.1:%d", routes: [%s]}
			log_file: %q
		`, name, ports[i], filepath.Join(folder, name), routes[i], strings.Join(peers, ", "), filepath.Join(folder, name+".log"))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n := &node{t: t, config: config, name: name, url: fmt.Sprintf("nats://127.0.0.1:%d", ports[i])}
		n.start()
		nodes = append(nodes, n)
		t.Cleanup(n.kill)
	}
	for _, n := range nodes {
		until(t, n.answers, n.name+" answers")
	}
	return nodes
}

func urls(nodes []*node) (urls []string) {
	for _, n := range nodes {
		urls = append(urls, n.url)
	}
	return urls
}

func (n *node) start() {
	n.t.Helper()
	n.process = exec.Command(os.Args[0], n.config)
	n.process.Env = append(os.Environ(), role+"=nats-server")
	n.process.Stderr = os.Stderr
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) answers() bool {
	c, err := net.Dial("tcp", strings.TrimPrefix(n.url, "nats://"))
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func (n *node) kill() {
	_ = n.process.Process.Kill()
	_ = n.process.Wait()
}

func (n *node) signal(s syscall.Signal) {
	if err := n.process.Process.Signal(s); err != nil {
		n.t.Error(err)
	}
}

// leader is the node that the stream is written through.
func leader(t testing.TB, nodes []*node, js jetstream.JetStream) *node {
	t.Helper()
	for ctx := within(t); ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		s, err := js.Stream(ctx, "exitgate-ledger")
		if err != nil || s.CachedInfo().Cluster == nil {
			continue
		}
		for _, n := range nodes {
			if n.name == s.CachedInfo().Cluster.Leader {
				return n
			}
		}
	}
	t.Fatal("the stream has no leader")
	return nil
}

// A proxy is a line between a gateway and NATS that can be cut.
type proxy struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup
	mu       sync.Mutex
	down     bool
	deaf     bool // nothing comes back
	lines    map[net.Conn]bool
}

func between(t testing.TB, url string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, to: strings.TrimPrefix(url, "nats://"), lines: make(map[net.Conn]bool)}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.to)
		if err != nil || !p.hold(from, to) {
			_ = from.Close()
			continue
		}
		p.running.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
		p.running.Go(func() { _, _ = io.Copy(heard{p, from}, to); _ = from.Close() })
	}
}

// heard is the way back.
type heard struct {
	proxy *proxy
	to    io.Writer
}

func (h heard) Write(text []byte) (int, error) {
	h.proxy.mu.Lock()
	deaf := h.proxy.deaf
	h.proxy.mu.Unlock()
	if deaf {
		return len(text), nil
	}
	return h.to.Write(text)
}

func (p *proxy) deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

func (p *proxy) hold(lines ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range lines {
		p.lines[line] = true
		if p.down {
			_ = line.Close()
		}
	}
	return !p.down
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for line := range p.lines {
		_ = line.Close()
	}
	clear(p.lines)
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.deaf = false, false
}

// until waits until something is so.
func until(t testing.TB, so func() bool, what string) {
	t.Helper()
	for ctx := within(t); !so(); time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("it didn't come that %s", what)
		}
	}
}

func connected(t testing.TB, l *ledger.Ledger, want bool) {
	t.Helper()
	until(t, func() bool { return l.Connected() == want }, fmt.Sprint("connected is ", want))
}

// runWriter appends to the ledger in a folder until it is killed, and says
// what was acknowledged.
func runWriter() {
	l, err := ledger.Open(context.Background(), ledger.Options{Folder: os.Args[1], Log: quiet()})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var after ledger.Point
	for r, err := range l.History(context.Background(), after) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		after = r.Point()
	}
	fmt.Println("found", after.Number, after.Hash)
	body := strings.Repeat("x", 20<<10)
	for {
		r, err := l.Append(context.Background(), after, entry(body))
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("acked", r.Number, r.Hash)
		after = r.Point()
	}
}

// a writer is a process that appends.
type writer struct {
	process *exec.Cmd
	says    *bufio.Reader
}

func startWriter(t *testing.T, folder string) *writer {
	t.Helper()
	process := exec.Command(os.Args[0], folder)
	process.Env = append(os.Environ(), role+"=writer")
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &writer{process, bufio.NewReader(out)}
}

// next is what the writer says next; nothing if it was killed within a line.
func (w *writer) next(t *testing.T) (word string, at ledger.Point) {
	t.Helper()
	line, err := w.says.ReadString('\n')
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return "", at
	}
	if err != nil {
		t.Fatal(err)
	}
	var hash string
	if _, err := fmt.Sscan(line, &word, &at.Number, &hash); err != nil {
		t.Fatalf("the writer says %s", line)
	}
	if err := at.Hash.UnmarshalText([]byte(hash)); err != nil {
		t.Fatal(err)
	}
	return word, at
}
