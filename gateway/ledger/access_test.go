package ledger_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
)

// newLog returns a logger and what it logs.
func newLog() (*slog.Logger, *testkit.Buffer) {
	log := new(testkit.Buffer)
	return slog.New(slog.NewTextHandler(log, nil)), log
}

// works does all that a gateway does with its ledger.
func works(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	f := follow(t, l, ledger.Point{})
	a := add(t, l, ledger.Point{}, "a")
	f.until("1 a")
	add(t, l, a[0].Point(), "b")
	f.until("2 b")
	if got := history(t, l); len(got) != 2 {
		t.Errorf("there is %q", got)
	}
	if report := verify(t, l); report.Records != 2 || report.Invalid != nil {
		t.Errorf("there is %+v", report)
	}
	must[ledger.Record](t)(l.Record(within(t), 2))
	echo(t, l, "one")
	until(t, func() bool { return slices.Equal(answers(t, l, ""), []string{"one "}) }, "it is answered")
	b := must[*ledger.Bucket](t)(l.Bucket(within(t), "locks"))
	revision := must[uint64](t)(b.Put(within(t), "key", []byte("value"), 0, 0))
	must[ledger.Value](t)(b.Get(within(t), "key"))
	must[[]string](t)(b.Keys(within(t)))
	if err := b.Delete(within(t), "key", revision); err != nil {
		t.Error(err)
	}
}

// unreachable checks that a ledger can't be reached and why, and that no secret is
// logged.
func unreachable(t *testing.T, o ledger.Options, why string, secrets ...string) {
	t.Helper()
	var log *testkit.Buffer
	o.Log, log = newLog()
	l := open(t, o)
	f := follow(t, l, ledger.Point{})
	until(t, func() bool { return strings.Contains(strings.ToLower(l.Status().Why), strings.ToLower(why)) }, "the status says "+why+" in place of "+l.Status().Why)
	_ = f.stop()
	closed(t, l)
	for _, secret := range secrets {
		if strings.Contains(log.String(), secret) || strings.Contains(l.Status().Why, secret) {
			t.Errorf("%s is in the log: %s", secret, log)
		}
	}
	if !strings.Contains(strings.ToLower(log.String()), strings.ToLower(why)) {
		t.Errorf("the log lacks %q: %s", why, log)
	}
}

func TestConnect_passwordOrTokenInTheURL(t *testing.T) {
	t.Parallel()
	s := start(t, &server.Options{Username: "exitgate", Password: "sesame"})
	works(t, open(t, elsewhere("nats://exitgate:sesame@"+s.Addr().String())))
	unreachable(t, elsewhere("nats://exitgate:wrong-word@"+s.Addr().String()), nats.AUTHORIZATION_ERR, "wrong-word")
	unreachable(t, elsewhere(s.ClientURL()), nats.AUTHORIZATION_ERR)

	s = start(t, &server.Options{Authorization: "sesame"})
	works(t, open(t, elsewhere("nats://sesame@"+s.Addr().String())))
	unreachable(t, elsewhere("nats://wrong-word@"+s.Addr().String()), nats.AUTHORIZATION_ERR, "wrong-word")
}

func TestOpen_invalidURLIsNotShown(t *testing.T) {
	for _, url := range []string{
		"nats://exitgate:ses/ame@127.0.0.1:4222",
		"nats://exitgate:12/ame@127.0.0.1:4222",
		"nats://exitgate:12#ame@127.0.0.1:4222",
		"nats://exitgate:12?ame@127.0.0.1:4222",
		"nats://exitgate:ses%zzame@127.0.0.1:4222",
		"nats://exitgate:ses,ame@127.0.0.1:4222",
		"nats://exitgate:ses ame@127.0.0.1:4222",
		"exitgate:ses[ame@127.0.0.1:4222",
		"nats://exitgate:ame@",
		"",
	} {
		o := elsewhere("nats://127.0.0.1:4222", url)
		var log *testkit.Buffer
		o.Log, log = newLog()
		_, err := ledger.Open(within(t), o)
		if err == nil || !strings.Contains(err.Error(), "URL 2") || strings.Contains(err.Error(), "ame") || log.String() != "" {
			t.Errorf("%q: the error is %v, the log %s", url, err, log)
		}
	}
	if _, err := ledger.Open(within(t), elsewhere()); err == nil {
		t.Errorf("the error is %v", err)
	}
}

// An operator is a NATS operator with an account for exitgate.
type operator struct {
	t       *testing.T
	account nkeys.KeyPair
	server  *server.Server
}

func public(t *testing.T, pair nkeys.KeyPair) string {
	return must[string](t)(pair.PublicKey())
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	key := must[nkeys.KeyPair](t)
	self, system, account := key(nkeys.CreateOperator()), key(nkeys.CreateAccount()), key(nkeys.CreateAccount())
	claims := jwt.NewOperatorClaims(public(t, self))
	claims.SystemAccount = public(t, system)
	must[string](t)(claims.Encode(self))
	resolver := &server.MemAccResolver{}
	for _, pair := range []nkeys.KeyPair{system, account} {
		c := jwt.NewAccountClaims(public(t, pair))
		if pair == account {
			c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
		}
		if err := resolver.Store(public(t, pair), must[string](t)(c.Encode(self))); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, &server.Options{ServerName: "operated", TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: resolver, SystemAccount: public(t, system)})
	return &operator{t, account, s}
}

// user writes a credentials file for a user of an account.
func (o *operator) user(file string, account nkeys.KeyPair, expires time.Time) (seed string) {
	o.t.Helper()
	pair := must[nkeys.KeyPair](o.t)(nkeys.CreateUser())
	claims := jwt.NewUserClaims(public(o.t, pair))
	if !expires.IsZero() {
		claims.Expires = expires.Unix()
	}
	secret := must[[]byte](o.t)(pair.Seed())
	text := must[[]byte](o.t)(jwt.FormatUserConfig(must[string](o.t)(claims.Encode(account)), secret))
	// As secrets are put in their place: renamed, never half written.
	if err := errors.Join(os.WriteFile(file+".new", text, 0o600), os.Rename(file+".new", file)); err != nil {
		o.t.Fatal(err)
	}
	return string(secret)
}

func (o *operator) options(file string) ledger.Options {
	options := elsewhere("nats://" + o.server.Addr().String())
	options.Cluster.Credentials = file
	return options
}

func TestConnect_credentialsAreReadAtEachAttempt(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	file := filepath.Join(t.TempDir(), "user.creds")
	unreachable(t, o.options(file), "the NATS credentials: open "+file+": "+syscall.ENOENT.Error())
	stranger := must[nkeys.KeyPair](t)(nkeys.CreateAccount())
	seed := o.user(file, stranger, time.Time{})
	unreachable(t, o.options(file), nats.AUTHORIZATION_ERR, seed, "eyJ")
	if err := os.WriteFile(file, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	unreachable(t, o.options(file), nkeys.ErrNoSeedFound.Error(), "sesame")

	o.user(file, stranger, time.Time{})
	l := open(t, o.options(file))
	f := follow(t, l, ledger.Point{})
	until(t, func() bool { return strings.Contains(strings.ToLower(l.Status().Why), nats.AUTHORIZATION_ERR) }, "the status says why")
	time.Sleep(time.Second) // more than the two attempts after which the library gives up
	o.user(file, o.account, time.Time{})
	connected(t, l, true)
	a := add(t, l, ledger.Point{}, "a")
	f.until("1 a")

	o.user(file, o.account, time.Now().Add(2*time.Second))
	expiring := open(t, o.options(file))
	g := follow(t, expiring, ledger.Point{})
	g.until("1 a")
	connected(t, expiring, false)
	time.Sleep(time.Second)
	o.user(file, o.account, time.Time{})
	connected(t, expiring, true)
	add(t, l, a[0].Point(), "b")
	g.until("2 b")
}

// certificate makes one that an authority has signed, nil for the authority's
// own.
func certificate(t *testing.T, authority *tls.Certificate) tls.Certificate {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "exitgate test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: authority == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, any(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must[*x509.Certificate](t)(x509.ParseCertificate(der))}
}

func TestConnect_clientCertificate(t *testing.T) {
	authority, stranger := certificate(t, nil), certificate(t, nil)
	trusted := x509.NewCertPool()
	trusted.AddCert(authority.Leaf)
	s := start(t, &server.Options{TLS: true, TLSVerify: true, TLSTimeout: 5, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate(t, &authority)}, ClientCAs: trusted, ClientAuth: tls.RequireAndVerifyClientCert,
	}})
	with := func(config *tls.Config) ledger.Options {
		o := elsewhere("nats://" + s.Addr().String())
		o.Cluster.TLS = config
		return o
	}
	works(t, open(t, with(&tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{certificate(t, &authority)}})))
	unreachable(t, with(&tls.Config{RootCAs: trusted}), "tls")
	unreachable(t, with(&tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{certificate(t, &stranger)}}), "tls")
	unreachable(t, with(&tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{certificate(t, &authority)}}), x509.UnknownAuthorityError{}.Error())
	unreachable(t, with(nil), x509.UnknownAuthorityError{}.Error())
}

// What the account of a gateway has to be allowed, with the ledger's name.
var (
	publishing = []string{
		"exitgate.ledger", // to append
		"exitgate.ask.*",  // to ask other gateways
		"$JS.API.STREAM.INFO.exitgate-ledger",
		"$JS.API.STREAM.MSG.GET.exitgate-ledger",
		"$JS.API.CONSUMER.CREATE.exitgate-ledger.>",
		"$JS.API.CONSUMER.MSG.NEXT.exitgate-ledger.*",
		"$JS.API.CONSUMER.DELETE.exitgate-ledger.*",
	}
	making  = []string{"$JS.API.STREAM.CREATE.exitgate-ledger"} // the stream; not if it is there
	buckets = []string{                                         // of each, here locks
		"$JS.API.STREAM.INFO.KV_exitgate-locks",
		"$JS.API.INFO", "$JS.API.STREAM.CREATE.KV_exitgate-locks", // not if it is there
		"$JS.API.DIRECT.GET.KV_exitgate-locks.>",
		"$JS.API.CONSUMER.CREATE.KV_exitgate-locks.>",
		"$JS.API.CONSUMER.DELETE.KV_exitgate-locks.*",
		"$JS.FC.KV_exitgate-locks.>", // once it has very many keys
		"$KV.exitgate-locks.>",
	}
	subscribing = []string{"_INBOX.>", "exitgate.ask.*"}
)

// restricted is a NATS server with a user that may do only this.
func restricted(t *testing.T, folder string, publish, subscribe []string) *server.Server {
	t.Helper()
	return start(t, &server.Options{ServerName: "restricted", StoreDir: folder, Users: []*server.User{
		{Username: "admin", Password: "admin"},
		{Username: "exitgate", Password: "sesame", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: publish},
			Subscribe: &server.SubjectPermission{Allow: subscribe},
			Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: time.Minute},
		}},
	}})
}

func as(user string, s *server.Server) string { return "nats://" + user + "@" + s.Addr().String() }

func TestPermissions_documentedOnesSuffice(t *testing.T) {
	s := restricted(t, "", slices.Concat(publishing, making, buckets), subscribing)
	o := elsewhere(as("exitgate:sesame", s))
	var log *testkit.Buffer
	o.Log, log = newLog()
	works(t, open(t, o))
	if strings.Contains(strings.ToLower(log.String()), nats.PERMISSIONS_ERR) {
		t.Error(log)
	}
	violations := make(chan error, 1)
	conn := must[*nats.Conn](t)(nats.Connect(as("exitgate:sesame", s), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err })))
	defer conn.Close()
	if err := conn.Publish("$JS.API.STREAM.DELETE.exitgate-ledger", nil); err != nil {
		t.Fatal(err)
	}
	if err := <-violations; !errors.Is(err, nats.ErrPermissionViolation) {
		t.Error(err)
	}
}

func TestPermissions_missingOneIsNamed(t *testing.T) {
	without := func(subject string, list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == subject })
	}
	for _, lost := range []string{
		"$JS.API.STREAM.INFO.exitgate-ledger",
		"$JS.API.STREAM.CREATE.exitgate-ledger",
		"$JS.API.CONSUMER.CREATE.exitgate-ledger.>",
		"$JS.API.CONSUMER.MSG.NEXT.exitgate-ledger.*",
		"_INBOX.>",
	} {
		t.Run(lost, func(t *testing.T) {
			s := restricted(t, "", without(lost, slices.Concat(publishing, making)), without(lost, subscribing))
			l := open(t, elsewhere(as("exitgate:sesame", s)))
			follow(t, l, ledger.Point{})
			until(t, func() bool {
				why := l.Status().Why
				return strings.Contains(why, nats.ErrPermissionViolation.Error()) && strings.Contains(why, strings.TrimRight(lost, "*>"))
			}, fmt.Sprintf("the status says why: %+v", l.Status()))
		})
	}
	t.Run("exitgate.ledger", func(t *testing.T) {
		s := restricted(t, "", without("exitgate.ledger", slices.Concat(publishing, making)), subscribing)
		_, err := open(t, elsewhere(as("exitgate:sesame", s))).Append(within(t), ledger.Point{}, entry("a"))
		if err == nil || !strings.HasPrefix(err.Error(), "nothing was written: "+nats.ErrPermissionViolation.Error()) || !strings.Contains(err.Error(), `"exitgate.ledger"`) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("exitgate.ask.*", func(t *testing.T) {
		s := restricted(t, "", without("exitgate.ask.*", slices.Concat(publishing, making)), without("exitgate.ask.*", subscribing))
		o := elsewhere(as("exitgate:sesame", s))
		var log *testkit.Buffer
		o.Log, log = newLog()
		l := open(t, o)
		f := follow(t, l, ledger.Point{})
		add(t, l, ledger.Point{}, "a")
		echo(t, l, "one")
		if got := answers(t, l, ""); got != nil {
			t.Errorf("there is %q", got)
		}
		f.until("1 a")
		// To publish and to subscribe.
		until(t, func() bool { return len(log.Lines("level=WARN", "exitgate.ask.traffic")) == 2 }, "both are logged")
		connected(t, l, true)
	})
}

func TestPermissions_streamOfAnother(t *testing.T) {
	s := restricted(t, "", slices.Concat(publishing, making), subscribing)
	first := open(t, elsewhere(as("admin:admin", s)))
	a := add(t, first, ledger.Point{}, "a")
	l := open(t, elsewhere(as("exitgate:sesame", s)))
	f := follow(t, l, ledger.Point{})
	add(t, l, a[0].Point(), "b")
	f.until("2 b")
	if diff := cmp.Diff([]string{"1 a", "2 b"}, f.got()); diff != "" {
		t.Error(diff)
	}
}
