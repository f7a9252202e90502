package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/exitgate/exitgate/internal/files"
)

// embedded is a NATS server in the process, which nobody else can reach. Once
// it couldn't write, it writes nothing any more and says so only in its log:
// then it is started again.
type embedded struct {
	folder, stream string
	log            *slog.Logger
	failing        func(error) // told when it can't write
	unlock         func() error

	starting sync.Mutex // held while it is stopped and started
	mu       sync.Mutex
	server   *server.Server // nil: it is stopped
	failed   error          // why it has to be started again
	closed   bool
}

const ready = 10 * time.Second // how long the server may take to start

// errStore is of a server in the process that can't write.
var errStore = errors.New("the ledger can't be written to disk")

func newEmbedded(folder, stream string, log *slog.Logger, failing func(error)) (*embedded, error) {
	if folder == "" {
		return nil, errors.New("no folder is set")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	unlock, err := files.Lock(filepath.Join(folder, "lock"))
	if err != nil {
		return nil, err
	}
	return &embedded{folder: folder, stream: stream, log: log, failing: failing, unlock: unlock, failed: errors.New("it isn't started")}, nil
}

// run sees to it that the server runs, and returns the number that the stream
// must go to if it was started now.
func (e *embedded) run(known Point) (least uint64, err error) {
	e.starting.Lock()
	defer e.starting.Unlock()
	if e.closed {
		return 0, ErrClosed
	}
	if e.failure() == nil && e.server.JetStreamEnabled() {
		return 0, nil
	}
	e.stop()
	least, err = inspect(e.folder, e.stream, known)
	if err != nil {
		return 0, err
	}
	s, err := server.NewServer(&server.Options{
		ServerName:             "exitgate",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               e.folder,
		SyncAlways:             true,
		MaxPayload:             maxRecord + 1<<20,
		JetStreamMaxMemory:     16 << 20,
		JetStreamMaxStore:      1 << 50, // the disk is the limit
	})
	if err != nil {
		return 0, err
	}
	voice := &voice{log: e.log.With("part", "nats-server"), failing: e.fail}
	s.SetLoggerV2(voice, false, false, false)
	e.become(s, nil)
	s.Start()
	if !s.ReadyForConnections(ready) || !s.JetStreamEnabled() {
		err := fmt.Errorf("the NATS server in the process doesn't start: %w", voice.fatal())
		e.stop()
		return 0, err
	}
	return least, nil
}

func (e *embedded) become(s *server.Server, failed error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server, e.failed = s, failed
}

func (e *embedded) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// fail notes that the server has to be started again. The server calls it,
// and may hold its locks.
func (e *embedded) fail(why string) {
	err := fmt.Errorf("%w: %s", errStore, why)
	e.mu.Lock()
	first := e.failed == nil
	if first {
		e.failed = err
	}
	e.mu.Unlock()
	if first {
		e.failing(err)
	}
}

func (e *embedded) stop() {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
	e.become(nil, errors.New("it is stopped"))
}

func (e *embedded) close() error {
	e.starting.Lock()
	defer e.starting.Unlock()
	e.closed = true
	e.stop()
	return e.unlock()
}

// InProcessConn is a connection to the server as it runs now.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if s == nil {
		return nil, errors.New("the NATS server in the process is stopped")
	}
	return s.InProcessConn()
}

// voice turns what the server says into log lines. Nobody needs to know that
// it started and stopped.
type voice struct {
	log     *slog.Logger
	failing func(why string)

	mu   sync.Mutex
	last string
}

func (v *voice) Noticef(format string, args ...any) { v.say(slog.LevelDebug, format, args) }
func (v *voice) Debugf(string, ...any)              {}
func (v *voice) Tracef(string, ...any)              {}

func (v *voice) Warnf(format string, args ...any) {
	if !strings.HasPrefix(format, "Maximum payloads over") { // they are rare here
		v.say(slog.LevelWarn, format, args)
	}
	v.listen(format, args)
}

func (v *voice) Errorf(format string, args ...any) {
	v.say(slog.LevelError, format, args)
	v.listen(format, args)
}

// listen hears the server's words for what it doesn't get over.
func (v *voice) listen(format string, args []any) {
	for _, sign := range []string{"ritical write error", "will be DISABLED", "disabling JetStream"} {
		if strings.Contains(format, sign) {
			v.failing(fmt.Sprintf(format, args...))
		}
	}
}

func (v *voice) Fatalf(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = fmt.Sprintf(format, args...)
}

func (v *voice) say(level slog.Level, format string, args []any) {
	if v.log.Enabled(context.Background(), level) {
		v.log.Log(context.Background(), level, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// fatal is why the server gave up.
func (v *voice) fatal() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last == "" {
		return fmt.Errorf("it isn't ready after %v", ready)
	}
	return errors.New(v.last)
}
