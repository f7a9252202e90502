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
// a write has failed, it writes nothing any more and says so only in its log:
// then it is started again.
type embedded struct {
	folder, stream string
	log            *slog.Logger
	onFailure      func(error) // called when it can't write
	unlock         func() error

	starting sync.Mutex // held while it is stopped and started; guards closed
	closed   bool
	mu       sync.Mutex     // guards what follows
	server   *server.Server // nil: it is stopped
	failed   error          // why it has to be started again
}

const startTimeout = 10 * time.Second // how long the server may take to start

// errStore is the error of a server in the process that can't write.
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
	return &embedded{folder: folder, stream: stream, log: log, onFailure: failing, unlock: unlock, failed: errors.New("it isn't started")}, nil
}

// ensureRunning starts the server if it doesn't run. Then it returns the last
// number in the stream's files, else 0.
func (e *embedded) ensureRunning(known Point) (last uint64, err error) {
	e.starting.Lock()
	defer e.starting.Unlock()
	if e.closed {
		return 0, ErrClosed
	}
	if e.failure() == nil && e.server.JetStreamEnabled() {
		return 0, nil
	}
	e.stop()
	last, err = checkBlocks(e.folder, e.stream, known)
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
	log := &serverLog{log: e.log.With("part", "nats-server"), onFailure: e.fail}
	s.SetLoggerV2(log, false, false, false)
	e.set(s, nil)
	s.Start()
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		err := fmt.Errorf("the NATS server in the process doesn't start: %w", log.startError())
		e.stop()
		return 0, err
	}
	return last, nil
}

func (e *embedded) set(s *server.Server, failed error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server, e.failed = s, failed
}

func (e *embedded) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// fail notes that the server has to be started again. The server calls it, perhaps
// with its locks held.
func (e *embedded) fail(why string) {
	err := fmt.Errorf("%w: %s", errStore, why)
	e.mu.Lock()
	first := e.failed == nil
	if first {
		e.failed = err
	}
	e.mu.Unlock()
	if first {
		e.onFailure(err)
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
	e.set(nil, errors.New("it is stopped"))
}

func (e *embedded) close() error {
	e.starting.Lock()
	defer e.starting.Unlock()
	e.closed = true
	e.stop()
	return e.unlock()
}

// InProcessConn returns a connection to the server as it runs now.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if s == nil {
		return nil, errors.New("the NATS server in the process is stopped")
	}
	return s.InProcessConn()
}

// serverLog logs what the server logs, its notices as debug messages.
type serverLog struct {
	log       *slog.Logger
	onFailure func(why string)

	mu    sync.Mutex
	fatal string
}

func (s *serverLog) Noticef(format string, args ...any) { s.write(slog.LevelDebug, format, args) }
func (s *serverLog) Debugf(string, ...any)              {}
func (s *serverLog) Tracef(string, ...any)              {}

func (s *serverLog) Warnf(format string, args ...any) {
	if !strings.HasPrefix(format, "Maximum payloads over") { // few records are large
		s.write(slog.LevelWarn, format, args)
	}
	s.checkFailure(format, args)
}

func (s *serverLog) Errorf(format string, args ...any) {
	s.write(slog.LevelError, format, args)
	s.checkFailure(format, args)
}

// checkFailure recognises what the server doesn't recover from: it has no other way
// to tell.
func (s *serverLog) checkFailure(format string, args []any) {
	for _, part := range []string{"ritical write error", "will be DISABLED", "disabling JetStream"} {
		if strings.Contains(format, part) {
			s.onFailure(fmt.Sprintf(format, args...))
		}
	}
}

func (s *serverLog) Fatalf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fatal = fmt.Sprintf(format, args...)
}

func (s *serverLog) write(level slog.Level, format string, args []any) {
	if s.log.Enabled(context.Background(), level) {
		s.log.Log(context.Background(), level, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// startError returns why the server gave up.
func (s *serverLog) startError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fatal == "" {
		return fmt.Errorf("it isn't ready after %v", startTimeout)
	}
	return errors.New(s.fatal)
}
