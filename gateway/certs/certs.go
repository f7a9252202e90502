// Package certs provides the certificates of the public listener, and loads
// what else TLS is configured with.
//
// [Certificates] is what a listener asks: GetCertificate for each handshake, and
// AnswerChallenge for each request. They are read from [Files], or
// obtained by [ACME].
package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/watch"
)

// A Pair names the PEM files of a certificate chain and its key.
type Pair struct{ Cert, Key string }

// Options are what Files are loaded with.
type Options struct {
	Logger    *slog.Logger
	Now       func() time.Time
	OnFailure func() // called for each reload that fails
}

// Files are certificates that are kept in files. All methods may be called
// concurrently.
type Files struct {
	pairs   []Pair
	options Options
	loaded  atomic.Pointer[[]tls.Certificate]
	failure atomic.Pointer[Failure]
}

// A Failure is why changed files are not in use, and since when.
type Failure struct {
	Err   error
	Since time.Time
}

// limit bounds a PEM file: the longest real chains are some 20 KB.
const limit = 1 << 20

// Load reads certificates from files. The error names every pair that is wrong.
func Load(pairs []Pair, o Options) (*Files, error) {
	loaded, err := loadAll(pairs)
	if err != nil {
		return nil, err
	}
	f := &Files{pairs: pairs, options: o}
	f.loaded.Store(&loaded)
	return f, nil
}

func loadAll(pairs []Pair) ([]tls.Certificate, error) {
	var loaded []tls.Certificate
	var wrong []error
	for _, pair := range pairs {
		cert, err := load(pair)
		if err != nil {
			wrong = append(wrong, err)
		}
		loaded = append(loaded, cert)
	}
	return loaded, errors.Join(wrong...)
}

func load(pair Pair) (tls.Certificate, error) {
	chain, err := files.Read(pair.Cert, limit)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := files.Read(pair.Key, limit)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key of certificate %s: %w", pair.Cert, err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with key %s: %w", pair.Cert, pair.Key, err)
	}
	return cert, nil
}

// Watch reloads the certificates whenever their files change, until the context
// ends. If any of the files is wrong, all certificates stay as they are.
func (f *Files) Watch(ctx context.Context) {
	var names []string
	for _, p := range f.pairs {
		names = append(names, p.Cert, p.Key)
	}
	watch.Files(ctx, names, watch.Options{Logger: f.options.Logger}, f.reload)
}

func (f *Files) reload() {
	loaded, err := loadAll(f.pairs)
	if err != nil {
		f.failure.Store(&Failure{err, f.options.Now()})
		f.options.OnFailure()
		f.options.Logger.Error("certificates not reloaded, the previous ones stay in use", "error", err)
		return
	}
	previous := f.loaded.Swap(&loaded)
	same := slices.EqualFunc(*previous, loaded, func(a, b tls.Certificate) bool {
		return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
	})
	if f.failure.Swap(nil) != nil || !same {
		f.options.Logger.Info("certificates reloaded")
	}
}

// Failure returns why the files as they are now are not in use; nil if they are.
func (f *Files) Failure() *Failure { return f.failure.Load() }

// find returns the first certificate that is for the name the client asks for and
// that the client supports, nil if there is none.
func (f *Files) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	certs := *f.loaded.Load()
	for i := range certs {
		if hello.SupportsCertificate(&certs[i]) == nil {
			return &certs[i]
		}
	}
	return nil
}

// first returns the first of all certificates.
func (f *Files) first() *tls.Certificate { return &(*f.loaded.Load())[0] }

// Covers reports whether one of the certificates is for a host, which may begin
// with "*." for one label more.
func (f *Files) Covers(host string) bool {
	return slices.ContainsFunc(*f.loaded.Load(), func(c tls.Certificate) bool {
		return slices.Contains(hosts(c.Leaf), host) || c.Leaf.VerifyHostname(host) == nil
	})
}

// Expiry returns when the certificate for each host expires, the earliest if
// there are several.
func (f *Files) Expiry() map[string]time.Time {
	ends := make(map[string]time.Time)
	for _, cert := range *f.loaded.Load() {
		for _, host := range hosts(cert.Leaf) {
			if end, ok := ends[host]; !ok || cert.Leaf.NotAfter.Before(end) {
				ends[host] = cert.Leaf.NotAfter
			}
		}
	}
	return ends
}

func hosts(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = append(names, leaf.Subject.CommonName)
	}
	return names
}
