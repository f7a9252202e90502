// Package ledger keeps the append-only record of what was decided, by whom
// and why, in a NATS JetStream stream: on one machine in a NATS server inside
// the process, beyond it on the operator's own.
//
// Every record holds the hash of the one before it, so that history can't be
// edited unseen, and is appended with the sequence number that it expects, so
// that of two writers one wins. Every gateway follows the stream and takes the
// same records from it in the same order. What isn't a record, or doesn't
// follow from the one before it, is refused by all alike and skipped.
//
// The chain shows what was changed afterwards. It doesn't show who wrote: that
// is for the permissions of the NATS account that the ledger is in.
package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say where the ledger is.
type Options struct {
	// Name tells ledgers in one NATS account apart; "" is "exitgate".
	Name string
	// Folder is where the NATS server in the process keeps its files, and
	// nobody else any. It is made if it is missing. Unused with Cluster.
	Folder string
	// Cluster is the operator's NATS; nil is a server in the process.
	Cluster *Cluster
	// Known is the last record that this machine has seen. A ledger that
	// doesn't hold it was lost, cut or changed, and is not believed.
	Known Point

	Log *slog.Logger
	// Now is the clock that records are dated by; nil is time.Now.
	Now func() time.Time
	// OnStatus is told of every new Status; nil is nobody. It must not block.
	OnStatus func(Status)
	// OnInvalid is told of every message that is not believed; nil is nobody.
	OnInvalid func(InvalidRecord)
}

// A Cluster is the operator's NATS.
//
// The account should be exitgate's own: who may write to the ledger's subject
// can change what is decided. Its users need, of a ledger that is named
// exitgate, no more than these permissions:
//
//	publish    exitgate.ledger
//	           exitgate.ask.*
//	           $JS.API.STREAM.INFO.exitgate-ledger
//	           $JS.API.STREAM.CREATE.exitgate-ledger  (not if the stream is there)
//	           $JS.API.STREAM.MSG.GET.exitgate-ledger
//	           $JS.API.CONSUMER.CREATE.exitgate-ledger.>
//	           $JS.API.CONSUMER.MSG.NEXT.exitgate-ledger.*
//	           $JS.API.CONSUMER.DELETE.exitgate-ledger.*
//	subscribe  _INBOX.>
//	           exitgate.ask.*
//	responses  one to a message (allow_responses)
//
// In a JetStream domain they begin with $JS.DOMAIN.API in place of $JS.API, and
// with a mirror there are those of its domain, too.
// For a Bucket NAME there are in addition, to publish:
//
//	$KV.exitgate-NAME.>
//	$JS.API.STREAM.INFO.KV_exitgate-NAME
//	$JS.API.INFO, $JS.API.STREAM.CREATE.KV_exitgate-NAME  (not if the bucket is there)
//	$JS.API.DIRECT.GET.KV_exitgate-NAME.>
//	$JS.API.CONSUMER.CREATE.KV_exitgate-NAME.>
//	$JS.API.CONSUMER.DELETE.KV_exitgate-NAME.*
//	$JS.FC.KV_exitgate-NAME.>
type Cluster struct {
	// URLs may have a user and password in them, or a token, with what is
	// special in URLs escaped. They are never shown.
	URLs []string
	// Credentials is a file with the user's JWT and seed, read anew at each
	// attempt to connect; "" is none.
	Credentials string
	TLS         *tls.Config
	Domain      string // JetStream domain; "" is that of the account
	Replicas    int    // copies of the stream; 0 is 1
	// Mirror is the JetStream domain in which a copy of the stream is kept
	// and read, in a region of its own; "" reads where it is written.
	Mirror string
}

// A InvalidRecord is a message that is not believed.
type InvalidRecord struct {
	Number uint64
	Err    error
}

func (r InvalidRecord) Error() string {
	return fmt.Sprintf("record %d is refused: %v", r.Number, r.Err)
}
func (r InvalidRecord) Unwrap() error { return r.Err }

// Status says whether the ledger can be reached.
type Status struct {
	Connected bool
	Since     time.Time
	Why       string // "" if it is connected
}

var (
	// ErrClosed is the error after Close.
	ErrClosed = errors.New("the ledger is closed")
	// ErrNoRecord is of a number that no record has yet.
	ErrNoRecord = errors.New("there is no such record")
	// ErrNewer is of a record of a later version of exitgate: it can't be
	// skipped, as others build on it.
	ErrNewer = errors.New("the record is of a later version of exitgate: update this one")
	// ErrHistory is of a ledger that isn't the one that this machine knows.
	ErrHistory = errors.New("the ledger's history is not the one that is known")
	// ErrStream is of a stream that promises less than a ledger has to.
	ErrStream = errors.New("the stream isn't as exitgate makes it, and not used")
)

const (
	request  = 2 * time.Second        // how long NATS may take to answer
	again    = 250 * time.Millisecond // the pause before another attempt
	longest  = 20 * time.Second       // how long an Append may take if the caller doesn't say: a cluster that lost its leader needs up to nine for a new one
	idle     = 2 * time.Second        // how long NATS may be silent, and then as long again
	maxMsgID = 2 * time.Minute        // how long a message sent twice is known to be the same
)

// A Ledger is safe for concurrent use.
type Ledger struct {
	options Options
	name    string
	server  *embedded // nil: the operator's
	conn    *nats.Conn
	writing jetstream.JetStream
	reading jetstream.JetStream

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	closing sync.Once
	answers sync.WaitGroup // that are being worked out

	mu     sync.Mutex
	line   context.Context // ends with the connection as it is now
	cut    context.CancelCauseFunc
	status Status
	said   []string // why it can't be reached, since it could
	known  Point
	least  uint64 // the number that the stream goes to, at the least
}

// Open connects to the ledger. A server in the process has started when it
// returns; the operator's may be out of reach: then the ledger connects as
// soon as it can. The stream is made by the first who needs it.
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
	l := &Ledger{options: o, name: o.Name + "-ledger", known: o.Known, least: o.Known.Number}
	l.ctx, l.end = context.WithCancel(context.Background())
	l.line, l.cut = context.WithCancelCause(context.Background())
	l.status = Status{Since: o.Now(), Why: "not connected yet"}
	open, where := l.connect, "open the ledger"
	if o.Cluster == nil {
		open, where = l.start, "open the ledger in "+o.Folder
	}
	if err := open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", where, err), l.Close())
	}
	return l, nil
}

// start starts the server in the process and connects to it.
func (l *Ledger) start(ctx context.Context) (err error) {
	l.server, err = newEmbedded(l.options.Folder, l.name, l.options.Log, l.interrupt)
	if err != nil {
		return err
	}
	if err := l.revive(); err != nil {
		return err
	}
	l.conn, err = nats.Connect("", append(l.connection(), nats.InProcessServer(l.server), nats.ReconnectWait(again/10), nats.ReconnectJitter(0, 0))...)
	if err != nil {
		return err
	}
	if l.writing, err = jetstream.New(l.conn); err != nil {
		return err
	}
	l.reading = l.writing
	s, err := l.stream(ctx)
	if err != nil {
		return err
	}
	return s.whole()
}

// revive starts the server in the process if it can't go on.
func (l *Ledger) revive() error {
	if l.server == nil {
		return nil
	}
	least, err := l.server.run(l.lastKnown())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.least = max(l.least, least)
	return err
}

// connect connects to the operator's NATS, now or when it can be reached.
func (l *Ledger) connect(context.Context) (err error) {
	c := l.options.Cluster
	if err := readable(c.URLs); err != nil {
		return err
	}
	// Credentials that aren't accepted now may be in a while: they are read
	// anew at each attempt.
	options := append(l.connection(), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort())
	if c.Credentials != "" {
		options = append(options, credentials(c.Credentials))
	}
	if c.TLS != nil {
		options = append(options, nats.Secure(c.TLS))
	}
	l.conn, err = nats.Connect(strings.Join(c.URLs, ","), options...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	in := func(domain string) (jetstream.JetStream, error) {
		if domain == "" {
			return jetstream.New(l.conn)
		}
		return jetstream.NewWithDomain(l.conn, domain)
	}
	if l.writing, err = in(c.Domain); err != nil {
		return err
	}
	l.reading = l.writing
	if c.Mirror != "" {
		l.reading, err = in(c.Mirror)
	}
	return err
}

// credentials has a user's JWT and seed read from a file at each attempt to
// connect. The library's own option insists on a good file at the first.
func credentials(file string) nats.Option {
	read := func() (o nats.Options, err error) {
		text, err := os.ReadFile(file)
		if err == nil {
			err = nats.UserCredentialBytes(text)(&o)
		}
		return o, err
	}
	return func(o *nats.Options) error {
		o.UserJWT = func() (string, error) {
			now, err := read()
			if err != nil {
				return "", fmt.Errorf("the NATS credentials: %w", err)
			}
			return now.UserJWT()
		}
		o.SignatureCB = func(nonce []byte) ([]byte, error) {
			now, err := read()
			if err != nil {
				return nil, err
			}
			return now.SignatureCB(nonce)
		}
		return nil
	}
}

// readable says whether the URLs can be read. The library's own errors would
// show the passwords in them.
func readable(urls []string) error {
	if len(urls) == 0 {
		return errors.New("no URL of a NATS server is set")
	}
	for i, text := range urls {
		if !strings.Contains(text, "://") {
			text = "nats://" + text // as the library does
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || strings.ContainsAny(text, ", \t\n") || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
			return fmt.Errorf("URL %d of NATS can't be read: write it as nats://HOST:PORT, and in a password %%2F for /, %%40 for @ and so on; it isn't shown, as there may be a password in it", i+1)
		}
	}
	return nil
}

// connection is what a connection inside the process and one to the operator's
// NATS have in common.
func (l *Ledger) connection() []nats.Option {
	return []nats.Option{
		nats.Name("exitgate"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(again),
		nats.ReconnectJitter(again/2, again/2),
		// What can't be sent now is not sent later, when nobody waits for
		// it any more.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(idle),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(request),
		nats.ConnectHandler(func(*nats.Conn) { l.reached() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.reached() }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				err = errors.New("the connection to NATS was closed")
			}
			l.interrupt(err)
			l.lost(err)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.options.Log.Warn("NATS", "error", err)
			if l.denied(err) {
				l.interrupt(err) // no answer will come
			}
		}),
	}
}

// denied says whether an error is of a permission that the ledger can't do
// without.
func (l *Ledger) denied(err error) bool {
	about := func(subject string) bool { return strings.Contains(err.Error(), subject) }
	return errors.Is(err, nats.ErrPermissionViolation) && !about(".CONSUMER.DELETE.") &&
		(about("."+l.name) || about(`"`+l.subject()+`"`) || about(`"_INBOX.`))
}

// Close ends what follows the ledger and what answers questions, waits for the
// answers that are being worked out, and stops the server in the process, with
// everything on disk.
func (l *Ledger) Close() (err error) {
	l.closing.Do(func() {
		l.mu.Lock()
		l.end()
		l.mu.Unlock()
		l.interrupt(ErrClosed)
		if l.conn != nil {
			l.conn.Close()
		}
		l.answers.Wait()
		if l.server != nil {
			err = l.server.close()
		}
	})
	return err
}

// Status says whether the ledger can be reached, since when, and why not.
func (l *Ledger) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Connected says whether the ledger can be reached.
func (l *Ledger) Connected() bool { return l.Status().Connected }

func (l *Ledger) reached() { l.become(true, nil) }

// lost notes why the ledger can't be reached, or not be believed.
func (l *Ledger) lost(err error) {
	if errors.Is(err, nats.ErrReconnectBufExceeded) { // there is no connection; why is known better
		if err = l.conn.LastError(); err == nil {
			return
		}
	}
	l.become(false, err)
}

func (l *Ledger) become(connected bool, err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil || l.status.Connected == connected && l.status.Why == why {
		return
	}
	if l.status.Connected != connected {
		l.status.Since = l.options.Now()
	}
	switch {
	case connected && !l.status.Connected:
		l.said = nil
		l.options.Log.Info("the ledger can be reached")
	case len(l.said) < 10 && !slices.Contains(l.said, why): // a few reasons may take turns
		l.said = append(l.said, why)
		if passing(err) {
			l.options.Log.Warn("the ledger can't be reached: the last good state stays", "error", why)
		} else {
			l.options.Log.Error("the ledger is not believed: the last good state stays", "error", why)
		}
	}
	l.status.Connected, l.status.Why = connected, why
	if l.options.OnStatus != nil {
		l.options.OnStatus(l.status)
	}
}

// interrupt ends what goes over a connection that is lost, so that nobody
// waits for an answer on it.
func (l *Ledger) interrupt(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut(err)
	l.line, l.cut = context.WithCancelCause(context.Background())
}

func (l *Ledger) currentLine() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}

func (l *Ledger) lastKnown() Point {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known
}

func (l *Ledger) leastNumber() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.least
}

// know notes a record that was seen, so that it can't be taken away.
func (l *Ledger) know(p Point) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Number > l.known.Number {
		l.known, l.least = p, max(l.least, p.Number)
	}
}
