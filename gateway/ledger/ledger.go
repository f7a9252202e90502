// Package ledger is the append-only record of what was decided, by whom and why,
// in a NATS JetStream stream: on one machine in a NATS server inside the process,
// else on the operator's own.
//
// Every record has the hash of the one before it, so that history can't be
// edited unseen, and is appended with the sequence number that it expects, so
// that of two writers one wins. Every gateway follows the stream and reads the
// same records from it in the same order. A message that isn't a record, or
// doesn't follow from the one before it, is invalid for all of them and skipped.
//
// The chain shows what was changed afterwards. It doesn't show who wrote: that
// is for the permissions of the NATS account that the ledger is in.
//
// # Where things are
//
//   - record.go: the format of a record; chain.go: which messages are records
//   - append.go, follow.go, verify.go: writing, reading, checking
//   - stream.go, messages.go: the JetStream stream and reading from it
//   - query.go: questions of gateways to each other; bucket.go: values that
//     change, beside the ledger
//   - connect.go, status.go: the connection
//   - embedded.go, blockfiles.go: the NATS server in the process and its files
//
// # Compatibility
//
// The format of records (version 1), the stream's name and configuration, the
// subjects of questions and the buckets' names are shared by gateways of
// different versions on one NATS, and by a gateway with its own past. Records of
// later versions are followed and not interpreted: [Record.Version].
package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say where the ledger is.
type Options struct {
	// Name is that of the ledger in its NATS account; "" is "exitgate".
	Name string
	// Folder has the files of the NATS server in the process, and no others.
	// It is made if it is missing. Unused with Cluster.
	Folder string
	// Cluster is the operator's NATS; nil is a server in the process.
	Cluster *Cluster
	// Known is the last record that this machine has seen. A ledger without
	// it was lost, cut or changed, and is not used.
	Known Point

	Log *slog.Logger
	// Now is the clock that records are dated by; nil is time.Now.
	Now func() time.Time
	// OnStatus is called with every new Status; it must not block. May be nil.
	OnStatus func(Status)
	// OnInvalid is called with every invalid record, once each. May be nil.
	OnInvalid func(InvalidRecord)
}

// An InvalidRecord is a message in the stream that isn't a valid record: changed,
// damaged or forged. It is skipped.
type InvalidRecord struct {
	Number uint64
	Err    error
}

func (r InvalidRecord) Error() string {
	return fmt.Sprintf("record %d is invalid: %v", r.Number, r.Err)
}
func (r InvalidRecord) Unwrap() error { return r.Err }

var (
	// ErrClosed is the error after Close.
	ErrClosed = errors.New("the ledger is closed")
	// ErrNoRecord is the error of a number that no record has yet.
	ErrNoRecord = errors.New("there is no such record")
	// ErrHistory is the error of a ledger whose history isn't the one that
	// this machine knows.
	ErrHistory = errors.New("the ledger's history is not the one that is known")
	// ErrStream is the error of a stream that is configured otherwise than a
	// ledger needs.
	ErrStream = errors.New("the stream isn't as exitgate makes it, and not used")
)

const (
	requestTimeout  = 2 * time.Second        // for NATS to answer
	retryDelay      = 250 * time.Millisecond // before another attempt
	appendTimeout   = 20 * time.Second       // if the caller has no deadline: a cluster that lost its leader needs up to nine for a new one
	heartbeat       = 500 * time.Millisecond // a connection that is silent for three of them is lost
	pullExpiry      = 20 * time.Second       // after which messages are asked for anew
	duplicateWindow = 2 * time.Minute        // in which NATS stores a message that is sent twice once
)

// A Ledger is safe for concurrent use.
type Ledger struct {
	options Options
	name    string    // of the stream
	server  *embedded // nil: the operator's
	conn    *nats.Conn
	writing jetstream.JetStream
	reading jetstream.JetStream // the same, or the mirror's

	ctx       context.Context // ends with Close
	end       context.CancelFunc
	closing   sync.Once
	responses sync.WaitGroup // to questions, under way, and watchLeader

	clockOffset atomic.Int64 // of this machine to the NATS servers, nanoseconds

	mu      sync.Mutex      // guards what follows
	connCtx context.Context // ends when the connection is lost
	endConn context.CancelCauseFunc
	status  Status
	logged  []string // why it wasn't connected, since it was
	known   Point    // the last record that was seen
	minLast uint64   // the last number of the stream, at the least

	reached     bool      // the connection, or what is read over it, is well
	unreached   error     // why it isn't
	leaderless  error     // why the stream can't be written, although it is reached
	writeFailed time.Time // when one wasn't answered, zero if the last one was
}

// Open connects to the ledger. A server in the process has started when it
// returns; the operator's may be unreachable: then the ledger connects as soon
// as it can. The stream is made by the first who needs it.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	if o.Name == "" {
		o.Name = "exitgate"
	}
	if strings.ContainsAny(o.Name, " \t\r\n.*>/\\") {
		return nil, fmt.Errorf("the ledger's name %q: spaces and any of . * > / \\ can't be in it", o.Name)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Ledger{options: o, name: o.Name + "-ledger", known: o.Known, minLast: o.Known.Number}
	l.ctx, l.end = context.WithCancel(context.Background())
	l.connCtx, l.endConn = context.WithCancelCause(context.Background())
	l.status = Status{Since: o.Now(), Why: "not connected yet"}
	open, where := l.connect, "open the ledger"
	if o.Cluster == nil {
		open, where = l.startServer, "open the ledger in "+o.Folder
	}
	if err := open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", where, err), l.Close())
	}
	if l.server == nil {
		l.responses.Go(l.watchLeader)
	}
	return l, nil
}

// startServer starts the server in the process and connects to it.
func (l *Ledger) startServer(ctx context.Context) (err error) {
	l.server, err = newEmbedded(l.options.Folder, l.name, l.options.Log, l.disconnect)
	if err != nil {
		return err
	}
	if err := l.ensureServer(); err != nil {
		return err
	}
	l.conn, err = nats.Connect("", append(l.connOptions(), nats.InProcessServer(l.server), nats.ReconnectWait(retryDelay/10), nats.ReconnectJitter(0, 0))...)
	if err != nil {
		return err
	}
	if l.writing, err = jetstream.New(l.conn); err != nil {
		return err
	}
	l.reading = l.writing
	s, err := l.writeStream(ctx)
	if err != nil {
		return err
	}
	return s.checkComplete()
}

// ensureServer starts the server in the process if it doesn't run, or can't write
// any more.
func (l *Ledger) ensureServer() error {
	if l.server == nil {
		return nil
	}
	last, err := l.server.ensureRunning(l.lastKnown())
	l.ExpectAtLeast(last)
	return err
}

// Close ends all that follow the ledger and all responses to questions, and stops
// the server in the process, with everything on disk.
func (l *Ledger) Close() (err error) {
	l.closing.Do(func() {
		l.mu.Lock()
		l.end()
		l.mu.Unlock()
		l.disconnect(ErrClosed)
		if l.conn != nil {
			l.conn.Close()
		}
		l.responses.Wait()
		if l.server != nil {
			err = l.server.close()
		}
	})
	return err
}

// ExpectAtLeast sets the number that others have seen in the ledger: a stream that
// ends before it isn't used, and a missing one isn't made anew.
func (l *Ledger) ExpectAtLeast(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.minLast = max(l.minLast, number)
}

func (l *Ledger) lastKnown() Point {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known
}

func (l *Ledger) requiredLast() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.minLast
}

// setKnown notes a record that was seen: a stream without it isn't used.
func (l *Ledger) setKnown(p Point) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Number > l.known.Number {
		l.known, l.minLast = p, max(l.minLast, p.Number)
	}
}
