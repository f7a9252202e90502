package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// embedded is a NATS server in the process, which nobody else can reach.
type embedded struct {
	server *server.Server
	unlock func() error
	last   uint64 // the number that the stream ended with when it started
}

const ready = 10 * time.Second // how long the server may take to start

func startEmbedded(folder, stream string, known Point, log *slog.Logger) (*embedded, error) {
	if folder == "" {
		return nil, errors.New("no folder is set")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(folder, "lock"))
	if err != nil {
		return nil, err
	}
	last, err := inspect(folder, stream, known)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	s, err := server.NewServer(&server.Options{
		ServerName:             "exitgate",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               folder,
		SyncAlways:             true,
		MaxPayload:             maxRecord + 1<<20,
		JetStreamMaxMemory:     16 << 20,
		JetStreamMaxStore:      1 << 50, // the disk is the limit
	})
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	e := &embedded{s, unlock, last}
	voice := &voice{log: log.With("part", "nats-server")}
	s.SetLoggerV2(voice, false, false, false)
	s.Start()
	if !s.ReadyForConnections(ready) || !s.JetStreamEnabled() {
		return nil, errors.Join(fmt.Errorf("the NATS server in the process doesn't start: %w", voice.fatal()), e.stop())
	}
	return e, nil
}

func (e *embedded) stop() error {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	return e.unlock()
}

// voice turns what the server says into log lines. Nobody needs to know that
// it started and stopped.
type voice struct {
	log  *slog.Logger
	mu   sync.Mutex
	last string
}

func (v *voice) Noticef(format string, args ...any) { v.say(slog.LevelDebug, format, args) }
func (v *voice) Warnf(format string, args ...any) {
	if !strings.HasPrefix(format, "Maximum payloads over") { // they are rare here
		v.say(slog.LevelWarn, format, args)
	}
}
func (v *voice) Errorf(format string, args ...any) { v.say(slog.LevelError, format, args) }
func (v *voice) Debugf(string, ...any)             {}
func (v *voice) Tracef(string, ...any)             {}

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
