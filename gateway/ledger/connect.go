package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/internal/files"
)

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
	// URLs may have a user and password in them, or a token, escaped as in any
	// URL. They are never logged or shown.
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

// connect connects to the operator's NATS, now or when it can be reached.
func (l *Ledger) connect(context.Context) (err error) {
	c := l.options.Cluster
	if err := checkURLs(c.URLs); err != nil {
		return err
	}
	// Credentials that aren't accepted now may be in a while: they are read
	// anew at each attempt.
	options := append(l.connOptions(), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort())
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

// credentials is an option by which a user's JWT and seed are read from a file at
// each attempt to connect. The library's own fails if the file is missing at the
// first.
func credentials(file string) nats.Option {
	const limit = 64 << 10
	read := func() (o nats.Options, err error) {
		text, err := files.Read(file, limit)
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

// checkURLs returns an error if the URLs can't be parsed. The library's own errors
// would show the passwords in them.
func checkURLs(urls []string) error {
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

// connOptions returns what a connection inside the process and one to the
// operator's NATS have in common.
func (l *Ledger) connOptions() []nats.Option {
	return []nats.Option{
		nats.Name("exitgate"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(retryDelay),
		nats.ReconnectJitter(retryDelay/2, retryDelay/2),
		// What can't be sent now must not be sent later, when nobody waits
		// for it any more.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(heartbeat),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(requestTimeout),
		nats.ConnectHandler(func(*nats.Conn) { l.setConnected() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.setConnected() }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.setUnreachable(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				err = errors.New("the connection to NATS was closed")
			}
			l.disconnect(err)
			l.setUnreachable(err)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.options.Log.Warn("NATS error", "error", err)
			if l.isFatalPermission(err) {
				l.disconnect(err) // no answer will come
			}
		}),
	}
}

// isFatalPermission reports whether an error is of a permission that the ledger
// can't do without.
func (l *Ledger) isFatalPermission(err error) bool {
	about := func(subject string) bool { return strings.Contains(err.Error(), subject) }
	return errors.Is(err, nats.ErrPermissionViolation) && !about(".CONSUMER.DELETE.") &&
		(about("."+l.name) || about(`"`+l.subject()+`"`) || about(`"_INBOX.`))
}

// disconnect ends all that waits for an answer over a connection that is lost.
func (l *Ledger) disconnect(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endConn(err)
	l.connCtx, l.endConn = context.WithCancelCause(context.Background())
}

// connection returns a context that ends when the connection is lost.
func (l *Ledger) connection() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connCtx
}

// whileConnected calls do with a context that ends with the connection, too.
func (l *Ledger) whileConnected(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	connection := l.connection()
	defer context.AfterFunc(connection, func() { cancel(context.Cause(connection)) })()
	err := do(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
