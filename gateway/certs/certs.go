// Package certs holds the certificates of the public listener.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// A Pair names the PEM files of a certificate chain and its key.
type Pair struct{ Cert, Key string }

// Files are certificates that are kept in files. All methods may be called
// concurrently.
type Files struct {
	pairs  []Pair
	loaded atomic.Pointer[[]tls.Certificate]
}

// limit bounds a PEM file: the longest real chains are some 20 KB.
const limit = 1 << 20

// Load reads certificates from files.
func Load(pairs []Pair) (*Files, error) {
	f := &Files{pairs: pairs}
	_, err := f.Reload()
	return f, err
}

// Reload reads the files again, and says whether others are in use now. If any
// is wrong, all stay as they were.
func (f *Files) Reload() (changed bool, err error) {
	var loaded []tls.Certificate
	var wrong []error
	for _, pair := range f.pairs {
		cert, err := load(pair)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		loaded = append(loaded, cert)
	}
	if len(wrong) > 0 {
		return false, errors.Join(wrong...)
	}
	before := f.loaded.Swap(&loaded)
	same := before != nil && slices.EqualFunc(*before, loaded, func(a, b tls.Certificate) bool {
		return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
	})
	return !same, nil
}

func load(pair Pair) (tls.Certificate, error) {
	chain, err := read(pair.Cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := read(pair.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key of certificate %s: %w", pair.Cert, err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with key %s: %w", pair.Cert, pair.Key, err)
	}
	return cert, nil
}

func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that a PEM file may have", file, info.Size(), limit)
	}
	return os.ReadFile(file)
}

// Names returns the files that are read, for watching them.
func (f *Files) Names() []string {
	var names []string
	for _, p := range f.pairs {
		names = append(names, p.Cert, p.Key)
	}
	return names
}

// Get finds the certificate for a handshake: the first that is for the name
// the client asks for and that it supports, else the first of all. It is a
// tls.Config's GetCertificate.
func (f *Files) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certs := *f.loaded.Load()
	for i := range certs {
		if hello.SupportsCertificate(&certs[i]) == nil {
			return &certs[i], nil
		}
	}
	return &certs[0], nil
}

// Expiry returns when the certificate for each host ends, the earliest if
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
