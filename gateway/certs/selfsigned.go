package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// lifetime keeps browsers content: some refuse more than 398 days.
	lifetime = 397 * 24 * time.Hour
	// renewal is how long before it expires a certificate is replaced.
	renewal = 30 * 24 * time.Hour
)

// SelfSigned returns a self-signed certificate, for development, from the folder
// where it is kept; if there is none, or it is not for all hosts, or expires
// soon, a new one is made. localhost and the loopback addresses are always among
// its hosts.
func SelfSigned(folder string, hosts []string, o Options) (*Files, error) {
	pair := Pair{Cert: filepath.Join(folder, "self-signed.crt"), Key: filepath.Join(folder, "self-signed.key")}
	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	if f, err := Load([]Pair{pair}, o); err == nil && f.validFor(hosts, o.Now()) {
		return f, nil
	}
	if err := sign(pair, hosts, o.Now()); err != nil {
		return nil, fmt.Errorf("make a self-signed certificate: %w", err)
	}
	return Load([]Pair{pair}, o)
}

// validFor reports whether the certificate is for all hosts, and for long enough.
func (f *Files) validFor(hosts []string, now time.Time) bool {
	leaf := (*f.loaded.Load())[0].Leaf
	missing := slices.ContainsFunc(hosts, func(host string) bool { return leaf.VerifyHostname(host) != nil })
	return !missing && now.After(leaf.NotBefore) && now.Add(renewal).Before(leaf.NotAfter)
}

func sign(pair Pair, names []string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "exitgate (self-signed)"},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key first: a certificate without its key would not load, and the
	// next start makes both anew.
	if err := write(pair.Key, "PRIVATE KEY", der, 0o600); err != nil {
		return err
	}
	return write(pair.Cert, "CERTIFICATE", cert, 0o644)
}

func write(file, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
