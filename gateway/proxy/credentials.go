package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/watch"
)

// SecretField is the field in which each request to an app has its secret. It is
// one of Market-*, of which no client can send any, in no spelling.
const SecretField = "Market-Gateway-Secret"

// Credentials are what the upstreams of an app know the gateway by, and the
// gateway them.
type Credentials struct {
	// Secret is sent with each request in SecretField, "" for none.
	Secret string
	// TLS has the authorities that sign certificates of https upstreams, nil
	// for the system's, and the certificate that these are shown, if any.
	TLS *tls.Config
}

// A CredentialSource is where Credentials come from. The zero one has the zero
// Credentials.
type CredentialSource struct {
	// Load reads them; the error must not hold a secret.
	Load func() (Credentials, error)
	// Files are read again whenever they change.
	Files []string
	// OnFailure is called for each change that is not taken into use.
	OnFailure func()
}

// A CredentialFailure is why changed files are not in use, and since when.
type CredentialFailure struct {
	Err   error
	Since time.Time
}

const (
	minSecret = 32 // characters: 128 bits as hexadecimal digits
	maxSecret = 1024
)

// ReadSecret reads a secret, which is the only line of its file. Without a file
// it returns "".
func ReadSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := files.Read(file, maxSecret+2)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	isOther := func(c rune) bool { return c <= ' ' || c >= 0x7f }
	if n := len(secret); n < minSecret || n > maxSecret || strings.ContainsFunc(secret, isOther) {
		return "", fmt.Errorf("secret: %s must hold one line of %d to %d characters of ASCII without spaces: write one with openssl rand -hex 32", file, minSecret, maxSecret)
	}
	return secret, nil
}

// Watch takes credentials into use whenever their files change, until the
// context ends. If any is wrong, all stay as they are.
func (a *App) Watch(ctx context.Context) {
	if len(a.options.Credentials.Files) == 0 {
		return
	}
	watch.Files(ctx, a.options.Credentials.Files, watch.Options{Logger: a.log}, a.reload)
}

// CredentialFailure returns why the files as they are now are not in use; nil if
// they are.
func (a *App) CredentialFailure() *CredentialFailure { return a.failure.Load() }

// CertificateEnd returns when the certificate that upstreams are shown ends; zero
// if there is none.
func (a *App) CertificateEnd() time.Time {
	if c := a.credentials.Load().TLS; c != nil && len(c.Certificates) > 0 {
		return c.Certificates[0].Leaf.NotAfter
	}
	return time.Time{}
}

func (a *App) reload() {
	c, err := a.options.Credentials.Load()
	if err != nil {
		a.failure.Store(&CredentialFailure{err, time.Now().Round(0)})
		a.options.Credentials.OnFailure()
		a.log.Error("credentials for upstreams not reloaded, the previous ones stay in use", "error", err)
		return
	}
	if a.failure.Swap(nil) != nil || !a.credentials.Load().equal(c) {
		a.log.Info("credentials for upstreams reloaded")
	}
	a.use(c)
}

// use has requests that begin from now on go with these credentials, over new
// connections if they are about connections.
func (a *App) use(c Credentials) {
	previous := a.credentials.Swap(&c)
	if previous != nil && equalTLS(previous.TLS, c.TLS) {
		return
	}
	for _, u := range a.upstreams.all {
		u.connectWith(c.TLS)
	}
}

func (c *Credentials) equal(other Credentials) bool {
	return c.Secret == other.Secret && equalTLS(c.TLS, other.TLS)
}

// equalTLS reports whether two configurations have the same authorities and
// certificate.
func equalTLS(a, b *tls.Config) bool {
	if a == nil || b == nil {
		return a == b
	}
	sameChain := func(x, y tls.Certificate) bool { return slices.EqualFunc(x.Certificate, y.Certificate, bytes.Equal) }
	if !slices.EqualFunc(a.Certificates, b.Certificates, sameChain) || (a.RootCAs == nil) != (b.RootCAs == nil) {
		return false
	}
	return a.RootCAs == nil || a.RootCAs.Equal(b.RootCAs)
}
