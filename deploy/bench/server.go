package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A peer is a server that can be measured. Its command, run on one core,
// serves HTTPS on the port of 127.0.0.1 until it gets SIGTERM.
type peer struct {
	name    string
	needs   []program
	command func(ctx context.Context, f *fixture, port int) ([]string, error)
}

// choosePeers returns the peers that the options name, in that order.
func choosePeers(o options) ([]peer, error) {
	known := []peer{nginx(), haproxy(), exitgate("exitgate", "standard", o.exitgate), exitgate("exitgate-fast", "fast", o.exitgate)}
	var chosen []peer
	for _, name := range o.peers {
		i := slices.IndexFunc(known, func(p peer) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--peers: %q is not one of nginx, haproxy, exitgate, exitgate-fast", name)
		}
		chosen = append(chosen, known[i])
	}
	return chosen, nil
}

func (p peer) start(ctx context.Context, f *fixture, core int) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	command, err := p.command(ctx, f, port)
	if err != nil {
		return nil, err
	}
	return startServer(ctx, p.name, command, port, core)
}

// A server is a running program, in a process group of its own.
type server struct {
	name string
	addr string // host:port
	core int
	cmd  *exec.Cmd
	said *output
	done chan struct{} // closed when the program has ended
}

// startServer runs a command on one core and waits until its port accepts
// connections.
func startServer(ctx context.Context, name string, command []string, port, core int) (*server, error) {
	s := &server{
		name: name,
		addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		core: core,
		cmd:  pinned(core, command...),
		said: new(output),
		done: make(chan struct{}),
	}
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours alone
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.done)
	}()
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.output())
	}
	return s, nil
}

func pinned(core int, command ...string) *exec.Cmd {
	return exec.Command("taskset", append([]string{"--cpu-list", strconv.Itoa(core)}, command...)...)
}

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.done:
			return errors.New("ended while starting")
		case <-ctx.Done():
			return errors.New("does not listen")
		}
	}
}

// stop ends the whole process group, first politely.
func (s *server) stop() {
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
	}
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// output returns the end of what the program wrote.
func (s *server) output() string { return s.said.String() }

// An account is how much CPU time was used until a moment, to 10 ms.
type account struct {
	at   time.Time
	own  time.Duration // by all processes of the server, user and system
	core time.Duration // by everything on the server's core
}

func (s *server) account() (account, error) {
	processes := s.processes()
	if len(processes) == 0 {
		return account{}, errors.New("the server has ended")
	}
	var ticks int64
	for _, stat := range processes {
		user, err1 := strconv.ParseInt(stat[statUserTime], 10, 64)
		system, err2 := strconv.ParseInt(stat[statSystemTime], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return account{}, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		ticks += user + system
	}
	core, err := coreBusy(s.core)
	return account{time.Now(), time.Duration(ticks) * time.Second / ticksPerSecond, core}, err
}

// residentMB returns the memory of all processes of the server. What they
// share counts more than once.
func (s *server) residentMB() float64 {
	var pages int64
	for _, stat := range s.processes() {
		n, _ := strconv.ParseInt(stat[statResident], 10, 64)
		pages += n
	}
	return float64(pages) * float64(os.Getpagesize()) / 1e6
}

// Positions in /proc/PID/stat (proc(5)) after the command's name.
const (
	statGroup      = 2
	statUserTime   = 11
	statSystemTime = 12
	statResident   = 21
)

// processes returns the fields of /proc/PID/stat after the command's name, for
// every process of the server's group.
func (s *server) processes() [][]string {
	group := strconv.Itoa(s.cmd.Process.Pid)
	var found [][]string
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// The name stands in parentheses and may hold anything.
		fields := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+1:]))
		if len(fields) > statResident && fields[statGroup] == group {
			found = append(found, fields)
		}
	}
	return found
}

// An output keeps the last 4 KB that a program wrote.
type output struct {
	mu   sync.Mutex
	tail []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, p...)
	o.tail = o.tail[max(0, len(o.tail)-4<<10):]
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.tail)
}
